# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable of the command line that nothing reads is refused where it was meant to be one of ours."""

from __future__ import annotations

import re

import pytest
from ansible_collections.iter8.kfserving.plugins.lookup.misspelt import FAMILY, misspelt, options
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

KNOWN = options()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("rollout_load_rat", "rollout_load_rate"),
        ("rollout_load_rates", "rollout_load_rate"),
        ("rolout_load_rate", "rollout_load_rate"),
        ("verify_threshold", "verify_thresholds"),
        ("iter8_kfserving_platfrom", "iter8_kfserving_platform"),
        ("iter8_kfserving_kubeconfg", "iter8_kfserving_kubeconfig"),
        ("iter8_kfservng_context", "iter8_kfserving_context"),
        ("iter8_kfserving_artefacts", "iter8_kfserving_artifacts"),
    ],
)
def test_a_name_that_is_nearly_one_of_ours_is_told_with_it(given: str, meant: str) -> None:
    assert misspelt([given], KNOWN) == [f"there is no variable {given}, but {meant}"]


@pytest.mark.parametrize("given", ["iter8_kfserving_x", "iter8_kfserving_"])
def test_the_family_has_no_others(given: str) -> None:
    (told,) = misspelt([given], KNOWN)
    assert told.startswith(f"there is no variable {given}")


@pytest.mark.parametrize(
    "given",
    [
        "rollout_team",
        "rollout_ticket",
        "rollout_name",
        "load_rate",
        "ansible_python_interpreter",
        "model",
        "verify",
        "",
    ],
)
def test_names_of_the_users_own_stay_theirs(given: str) -> None:
    assert misspelt([given], KNOWN) == []


def test_every_option_is_known() -> None:
    assert misspelt(KNOWN, KNOWN) == []


def test_the_family_is_the_one_that_the_readme_has() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `{FAMILY}")]
    told = {name for row in rows for name in re.findall(rf"`({FAMILY}\w+)`", row.split("|")[1])}
    assert told == {name for name in KNOWN if name.startswith(FAMILY)}
