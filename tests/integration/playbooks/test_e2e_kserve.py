# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job with KServe on a sandbox: rollouts that are watched, and what is refused beforehand."""

from __future__ import annotations

import json
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
    reasons = " ".join(reason["text"] for reason in verdict["reasons"])
    assert "95 % of the requests took" in reasons
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


GATES = [
    {"type": "losses", "max_rate": 0.05},
    {"type": "latency", "max_ratio": 5},
    {"type": "split", "tolerance": 0.15},
    {"type": "pods"},
]


# A second driver, while the first one's playbook does something between two steps.
SECOND = """
- name: Try to drive it too
  iter8.kfserving.progressive_rollout:
    name: "{{ rollout_name }}"
    namespace: "{{ rollout_namespace }}"
    predictor: "{{ rollout_version }}"
    steps: "{{ rollout_steps }}"
    gates: "{{ rollout_gates }}"
    deadline: "{{ rollout_deadline }}"
    ready_timeout: "{{ rollout_canary_timeout }}"
    drain: "{{ rollout_drain }}"
    playbook: another
  register: second
  failed_when: "'is between two steps' not in second.msg"
"""


def hooks(folder: Path) -> dict[str, str]:
    """Files of tasks that write down when they were included."""
    found = {}
    for moment in ("before", "before_step", "after_step", "success"):
        file = folder / f"{moment}.yml"
        file.write_text(
            "- name: Tell\n"
            "  ansible.builtin.lineinfile:\n"
            f"    path: {folder}/told\n"
            "    create: true\n"
            "    mode: '0644'\n"
            f"    line: \"{moment} {{{{ rollout_turn | default('-') }}}} "
            "{{ rollout_driven.outcome | default('-') }}\"\n" + (SECOND if moment == "after_step" else "")
        )
        found[moment] = str(file)
    return found


def progressive(tmp_path: Path, **more: object) -> list[str]:
    """The arguments of a rollout in two steps that are over in seconds, with hooks."""
    given = {
        "rollout_driver": "progressive",
        "rollout_change_tasks": "",
        "rollout_load_rate": 50,
        "rollout_steps": [{"percent": percent, "seconds": 3} for percent in (20, 50)],
        "rollout_gates": GATES,
        "rollout_hooks": hooks(tmp_path),
        **more,
    }
    return ["-e", json.dumps(given)]


@pytest.mark.sandbox
@pytest.mark.timeout(780)
def test_a_good_canary_is_promoted_step_by_step(playbooks: Playbooks, tmp_path: Path) -> None:
    # Seven hooks, and a second driver twice, are tasks more.
    run = playbooks.run("e2e", *progressive(tmp_path), timeout=600)
    assert run.returncode == 0, run.stdout

    verdict = playbooks.artifact("verdict.json")
    assert verdict["verdict"] == "pass", verdict["reasons"]
    assert verdict["failed"] == 0
    driver = verdict["driver"]
    assert (driver["mode"], driver["outcome"], driver["canary"]) == ("knative", "promoted", CANARY)
    assert [patch["move"] for patch in driver["patches"]] == ["create", "20 %", "50 %", "100 %"]
    assert [step["passed"] for step in driver["steps"]] == [True, True]
    assert (tmp_path / "told").read_text().splitlines() == [
        "before - -",
        "before_step 0 -",
        "after_step 0 step",
        "before_step 1 step",
        "after_step 1 step",
        "before_step 2 step",
        "success - promoted",
    ]
    assert "give the canary 50 %" in run.stdout
    assert problems(playbooks.artifacts) == []
    playbooks.wait_until_gone()


@pytest.mark.sandbox
@pytest.mark.timeout(420)
def test_a_canary_with_errors_is_rolled_back_and_nobody_else_loses_any(
    playbooks: Playbooks, tmp_path: Path
) -> None:
    arguments = progressive(tmp_path, rollout_expect="rolled_back", iter8_kfserving_fault="canary-5xx")
    run = playbooks.run("e2e", *arguments)
    verdict = playbooks.artifact("verdict.json")
    driver = verdict["driver"]
    assert driver["outcome"] == "rolled_back", run.stdout
    assert "losses:" in driver["cause"]
    assert [patch["move"] for patch in driver["patches"]] == ["create", "20 %", "0 %"]
    assert 0 < driver["rollback_seconds"] < 60
    # Its own errors are losses, and nothing else is.
    assert verdict["verdict"] == "fail"
    assert verdict["revisions"][BASELINE]["failed"] == 0
    assert verdict["revisions"][CANARY]["failed"] == verdict["failed"] > 0
    assert problems(playbooks.artifacts) == []
    playbooks.wait_until_gone()
