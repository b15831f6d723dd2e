# SPDX-License-Identifier: GPL-3.0-or-later
"""The Molecule scenarios are those that their page promises, and can be copied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

FOLDER = ROOT / "extensions/molecule"
SCENARIOS = sorted(path.parent for path in FOLDER.glob("*/molecule.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_page_tells_of_every_scenario() -> None:
    told = re.findall(r"^\| \[([a-z-]+)\]\(\1\) \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(told) == [path.name for path in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_a_scenario_has_what_its_sequence_calls_and_no_more(scenario: Path) -> None:
    shared, own = read(FOLDER / "config.yml"), read(scenario / "molecule.yml")
    sequence = own.get("scenario", shared["scenario"])["test_sequence"]
    assert sequence[0] == "syntax"
    # Before, for what an interrupted run left; and after.
    assert (sequence[1], sequence[-1]) == ("cleanup", "cleanup")
    playbooks = {f"{step}.yml" for step in sequence if step not in ("syntax", "cleanup", "idempotence")}
    texts = "".join((scenario / name).read_text() for name in playbooks)
    imported = set(re.findall(r"import_playbook: ([a-z]+\.yml)", texts))
    named = set(re.findall(r"/files/([a-z]+\.yaml)", texts))
    assert {path.name for path in scenario.glob("*.*")} == {"molecule.yml", *playbooks, *imported}
    assert {path.name for path in scenario.glob("files/*")} == named


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_what_a_scenario_says_is_not_what_all_share(scenario: Path) -> None:
    """Else a copy would have to be changed in two places."""
    assert set(read(scenario / "molecule.yml")) <= {"provisioner", "scenario"}
    assert len((scenario / "molecule.yml").read_text().splitlines()) < 30


def test_ci_runs_scenarios_that_are_there() -> None:
    found = re.search(r'make molecule SCENARIOS="([a-z -]+)"', (ROOT / ".ci/run").read_text())
    assert found
    assert set(found[1].split()) <= {path.name for path in SCENARIOS}
