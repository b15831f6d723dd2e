# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job with KServe on a sandbox: rollouts that are watched, and what is refused beforehand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.tests.support.artefacts import problems

from ...support.playbooks import Playbooks

BASELINE, CANARY = "sklearn-iris-predictor-00001", "sklearn-iris-predictor-00002"


@pytest.fixture
def playbooks(tmp_path: Path) -> Iterator[Playbooks]:
    extra = ["-e", f"iter8_kfserving_sandbox=k{os.getpid()}", "-e", "iter8_kfserving_platform=kserve"]
    user = Playbooks(tmp_path, extra)
    yield user
    user.clean_up()


@pytest.mark.sandbox
@pytest.mark.timeout(420)
def test_a_rollout_of_somebody_elses_passes_and_leaves_nothing(playbooks: Playbooks) -> None:
    run = playbooks.run("e2e")
    assert run.returncode == 0, run.stdout

    verdict = playbooks.artifact("verdict.json")
    assert verdict["verdict"] == "pass", verdict["reasons"]
    load = playbooks.artifact("load.json")
    assert set(load["RetCodes"]) == {"200"}
    assert load["RetCodes"]["200"] == verdict["requests"] > 300
    assert set(load["LoadTest"]["revisions"]) == {BASELINE, CANARY}

    status = playbooks.artifact("inferenceservice.json")["status"]["components"]["predictor"]
    assert [(entry["revisionName"], entry["percent"]) for entry in status["traffic"]] == [(CANARY, 100)]
    assert not (playbooks.artifacts / "experiment.json").exists()
    assert problems(playbooks.artifacts) == []
    playbooks.wait_until_gone()


@pytest.mark.sandbox
@pytest.mark.timeout(420)
def test_a_slow_canary_that_nobody_rejects_fails(playbooks: Playbooks) -> None:
    run = playbooks.run("e2e", "-e", "iter8_kfserving_fault=canary-slow")
    assert run.returncode != 0, run.stdout

    verdict = playbooks.artifact("verdict.json")
    assert verdict["verdict"] == "fail"
    assert verdict["failed"] == 0
    assert [reason for reason in verdict["reasons"] if "latency" in reason["code"]], verdict["reasons"]
    assert problems(playbooks.artifacts) == []
    playbooks.wait_until_gone()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "iter8_kfserving_platform=kserv",
            "There is no platform 'kserv'. Nothing was changed; name kfserving or kserve",
        ),
        ("iter8_kfserving_platform=kfserving iter8_kfserving_fault=kserve-conflict", "is one of KServe's"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    playbooks: Playbooks, arguments: str, message: str
) -> None:
    run = playbooks.run("e2e", *(part for each in arguments.split() for part in ("-e", each)))
    assert run.returncode != 0
    assert message in " ".join(run.stdout.split()), run.stdout
    assert playbooks.left_running() == []
