# SPDX-License-Identifier: GPL-3.0-or-later
"""Several rollouts at once on a sandbox: each judged by itself, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.tests.support.artefacts import problems, summary_problems

from ...support.playbooks import Playbooks
from ...support.several import Several

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def playbooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playbooks]:
    """A user with a sandbox that is up."""
    extra = ["-e", f"iter8_kfserving_sandbox=r{os.getpid()}", "-e", "iter8_kfserving_platform=kserve"]
    user = Playbooks(tmp_path_factory.mktemp("several"), extra)
    try:
        run = user.run("deploy")
        assert run.returncode == 0, run.stdout
        yield user
    finally:
        user.clean_up()


@pytest.fixture(scope="module")
def three(playbooks: Playbooks) -> Several:
    """Three models, one of which has a new version that loses requests."""
    kubeconfig = playbooks.state / f"iter8-kfserving/sandboxes/r{os.getpid()}/kubeconfig"
    found = Several(kubeconfig, playbooks.folder, 3, faulty=["m02"], driver="observe")
    found.deploy()
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def flat(text: str) -> str:
    """As one line: Ansible wraps what it says."""
    return " ".join(text.split())


def test_what_is_wrong_with_any_is_told_at_once_and_nothing_begins(
    playbooks: Playbooks, three: Several
) -> None:
    items = [three.item(name) for name in three.names]
    wrong = [
        {**items[0], "rollout_load_rate": "ten"},
        {**items[1], "name": "twin"},
        items[1],
        {"name": "gone", "rollout_inferenceservice": "no-such-model", "rollout_canary_timeout": 1},
        {**items[2], "rollout_settle_seconds": 3},
    ]
    given = playbooks.folder / "wrong.json"
    given.write_text(json.dumps({"rollout_list": wrong, "rollout_settle_seconds": 4}))
    run = playbooks.run("rollouts", "-e", f"@{given}")
    assert run.returncode != 0
    said = flat(run.stdout.partition("TASK [iter8.kfserving.rollout : Refuse rollouts that cannot")[2])
    assert re.search("m01: Validation of arguments failed: .*'rollout_load_rate'", said), run.stdout
    for name in ("twin", "m02"):
        assert f"{name}: twin and m02 roll out the same InferenceService, default/m02." in said, run.stdout
    assert "gone: This cannot be rolled out:" in said, run.stdout
    assert "m03: rollout_settle_seconds of this rollout is given with -e as well" in said, run.stdout
    assert not list(playbooks.artifacts.glob("*/timeline.jsonl"))
    assert not list(playbooks.state.glob("iter8-kfserving/loads/*"))


def test_check_mode_and_a_selection_of_hosts_begin_nothing(playbooks: Playbooks, three: Several) -> None:
    run = playbooks.run("rollouts", "-e", f"@{three.list_file()}", "--check")
    assert run.returncode == 0, run.stdout
    assert "the cluster was asked whether this run can do it" in flat(run.stdout), run.stdout
    run = playbooks.run("rollouts", "-e", f"@{three.list_file()}", "--limit", "localhost")
    assert run.returncode != 0
    assert "m01, m02, m03 were not checked." in flat(run.stdout), run.stdout
    assert not playbooks.artifacts.exists() or not list(playbooks.artifacts.iterdir())
    assert not list(playbooks.state.glob("iter8-kfserving/loads/*"))


def test_one_that_loses_requests_does_not_hurt_the_others(playbooks: Playbooks, three: Several) -> None:
    run = playbooks.run("rollouts", "--forks", "8", "-e", f"@{three.list_file()}", timeout=560)
    assert run.returncode != 0
    found = read(playbooks.artifacts / "summary.json")
    verdicts = {each["name"]: each["verdict"] for each in found["rollouts"]}
    assert verdicts == {"m01": "pass", "m02": "fail", "m03": "pass"}, found
    assert found["verdict"] == "fail"
    assert found["failed"] == read(playbooks.artifacts / "m02/verdict.json")["failed"] > 0
    assert summary_problems(playbooks.artifacts) == []
    assert "FAIL: 3 rollouts: 1 fail (m02), 2 pass;" in flat(run.stdout), run.stdout

    processes = set()
    for name in three.names:
        assert problems(playbooks.artifacts / name) == [], name
        # Each has its own load and sees its own model, whose name all that it shows begins with.
        loads = playbooks.state / f"iter8-kfserving/loads/r{os.getpid()}.{name}"
        assert loads.is_dir()
        rows = (playbooks.artifacts / name / "observations.jsonl").read_text().splitlines()
        models = {
            row["object"]["metadata"]["name"]
            for row in map(json.loads, rows)
            if row.get("feed") == "inferenceservice" and "object" in row
        }
        assert models == {name}
        assert f"    [{name}] " in run.stdout
        observer = playbooks.state / f"iter8-kfserving/observers/r{os.getpid()}.{name}/process.json"
        processes.add(read(observer)["pid"])
    assert len(processes) == 1


def test_what_is_there_is_judged_again(playbooks: Playbooks, three: Several) -> None:
    """Needs the rollouts of the test before."""
    before = read(playbooks.artifacts / "summary.json")
    (playbooks.artifacts / "summary.json").unlink()
    run = playbooks.run("rollouts", "-e", f"@{three.list_file()}", "--tags", "verify")
    assert run.returncode != 0
    assert read(playbooks.artifacts / "summary.json") == before


def test_a_teardown_ends_them_all(playbooks: Playbooks, three: Several) -> None:
    run = playbooks.run("teardown", timeout=120)
    assert run.returncode == 0, run.stdout
    playbooks.wait_until_gone()
