# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on a sandbox: a good rollout, two bad ones, and a run that is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.tests.support.artefacts import problems

from ...support.playbooks import Playbooks

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(420)]


@pytest.fixture
def playbooks(tmp_path: Path) -> Iterator[Playbooks]:
    user = Playbooks(tmp_path, ["-e", f"iter8_kfserving_sandbox=t{os.getpid()}"])
    yield user
    user.clean_up()


def traffic_of(inferenceservice: dict[str, Any]) -> dict[str, int]:
    entries = inferenceservice["status"]["components"]["predictor"]["traffic"]
    return {entry["revisionName"]: entry["percent"] for entry in entries if entry["percent"]}


def test_a_good_rollout_passes_and_leaves_nothing(playbooks: Playbooks) -> None:
    run = playbooks.run("e2e")
    assert run.returncode == 0, run.stdout

    verdict = playbooks.artifact("verdict.json")
    assert verdict["verdict"] == "pass", verdict["reasons"]
    assert f"PASS: {verdict['summary']}" in " ".join(run.stdout.split())

    load = playbooks.artifact("load.json")
    assert set(load["RetCodes"]) == {"200"}
    assert load["RetCodes"]["200"] == load["DurationHistogram"]["Count"] == verdict["requests"] > 500

    experiment = playbooks.artifact("experiment.json")
    assert experiment["status"]["completedIterations"] == 12
    assert experiment["status"]["analysis"]["winnerAssessment"]["data"]["winner"] == "canary"
    canary = experiment["spec"]["versionInfo"]["candidates"][0]["tags"]["revision"]
    assert traffic_of(playbooks.artifact("inferenceservice.json")) == {canary: 100}

    applied = next(e["time"] for e in playbooks.timeline() if e["event"] == "canary_applied")
    promoted = max(e["time"] for e in playbooks.timeline() if e["event"] == "traffic")
    assert load["LoadTest"]["started"] < applied < promoted < load["LoadTest"]["ended"]

    iterations = [line for line in run.stdout.splitlines() if "iteration 12/12" in line]
    assert iterations, "the last iteration was not shown"
    assert "not 200" in iterations[0]
    assert problems(playbooks.artifacts) == []
    playbooks.wait_until_gone()


@pytest.mark.parametrize(
    ("fault", "lost"),
    [pytest.param("canary-5xx", True, id="5xx"), pytest.param("canary-slow", False, id="slow")],
)
def test_a_bad_canary_is_rolled_back_and_fails(playbooks: Playbooks, fault: str, lost: bool) -> None:
    run = playbooks.run("e2e", "-e", f"iter8_kfserving_fault={fault}")
    assert run.returncode != 0, run.stdout

    verdict = playbooks.artifact("verdict.json")
    assert verdict["verdict"] == "fail"
    experiment = playbooks.artifact("experiment.json")
    canary = experiment["spec"]["versionInfo"]["candidates"][0]["tags"]["revision"]
    baseline = experiment["spec"]["versionInfo"]["baseline"]["tags"]["revision"]
    assert traffic_of(playbooks.artifact("inferenceservice.json")) == {baseline: 100}

    reasons = " ".join(reason["text"] for reason in verdict["reasons"])
    if lost:
        assert verdict["failed"] > 0
        assert canary in reasons
        assert set(playbooks.artifact("load.json")["RetCodes"]) == {"200", "500"}
        assert {row["revision"] for row in playbooks.artifact("load.json")["LoadTest"]["ledger"]} == {canary}
    else:
        assert verdict["failed"] == 0
        assert "mean-latency" in reasons
    assert problems(playbooks.artifacts) == []
    playbooks.wait_until_gone()


def test_teardown_removes_what_a_killed_run_left(playbooks: Playbooks) -> None:
    process = playbooks.start("e2e")
    assert process.stdout is not None
    for line in process.stdout:
        # On a busy machine the wait may find the second one past.
        found = re.search(r"iteration (\d+)/12", line)
        if found and int(found.group(1)) >= 2:
            break
    else:
        pytest.fail("the run ended before its second iteration")
    # The playbook and its workers, as a machine's OOM killer or a lost terminal would.
    for pid in [process.pid, *workers_of(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.wait(10)
    assert playbooks.left_running(), "nothing was left to remove: the test proves nothing"

    run = playbooks.run("teardown", timeout=120)
    assert run.returncode == 0, run.stdout
    playbooks.wait_until_gone()


def workers_of(parent: int) -> list[int]:
    """The processes below one, children first."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            child = int(stat.parent.name)
            found += [child, *workers_of(child)]
    return found


def test_a_second_teardown_has_nothing_to_do(playbooks: Playbooks) -> None:
    run = playbooks.run("teardown", timeout=60)
    assert run.returncode == 0, run.stdout
    assert "changed=0" in run.stdout


def test_check_mode_changes_nothing(playbooks: Playbooks) -> None:
    started = time.time()
    run = playbooks.run("e2e", "--check", timeout=60)
    assert run.returncode == 0, run.stdout
    assert "no cluster was asked" in " ".join(run.stdout.split()), run.stdout
    assert playbooks.left_running() == []
    assert playbooks.left_behind() == []
    assert not playbooks.artifacts.exists()
    assert time.time() - started < 60
