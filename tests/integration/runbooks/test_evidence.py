# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that read what a run left find it there, where something was lost and where not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run

from .conftest import Shell

FIRST, LAST = slice(0, 1), slice(-1, None)


@pytest.fixture
def left(tmp_path: Path, needs: Callable[..., None]) -> Callable[[Run], Shell]:
    """A shell whose artefacts are those of a run."""
    needs("jq")

    def store(run: Run) -> Shell:
        pod = {"kind": "Pod", "metadata": {"name": "p"}}
        rows = [
            {"time": START + 25.0, "feed": "pod", "type": "present", "object": pod},
            {"time": START + 25.2, "feed": "pod", "type": "deleted", "object": pod},
        ]
        path = tmp_path / "observations.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        runs.judged(run, tmp_path, observations=str(path))
        return Shell({"ARTIFACTS": str(tmp_path), "CONTEXT": "none", "KUBECONFIG": "/nonexistent"})

    return store


def test_what_was_lost_is_listed_with_whose_it_was(left: Callable[[Run], Shell]) -> None:
    shell = left(runs.lossy())
    said = shell.page("requests-were-lost", slice(0, 2))
    assert "\tstatus\t500\t" in said
    assert "lost, asked of" in said
    assert " s: pod " in said, "what happened around it"
    shell.page("requests-were-lost", LAST, expect=1)


def test_where_nothing_was_lost_the_page_says_that_it_worked(left: Callable[[Run], Shell]) -> None:
    shell = left(rollouts.good())
    shell.page("requests-were-lost", LAST)
    assert "pass" in shell.page("verify-a-rollout-now", LAST)
    shell.page("verdict-inconclusive", LAST)
    assert shell.page("experiment-failed", LAST).count(": pass") == 2
    assert "mean-latency" in shell.page("experiment-failed", slice(1, 2))


def test_an_inconclusive_verdict_is_judged_again(left: Callable[[Run], Shell]) -> None:
    shell = left(rollouts.good(rate=2))
    assert "enough_requests: " in shell.page("verdict-inconclusive", FIRST)
    assert "verdict: inconclusive" in shell.page("verdict-inconclusive", slice(1, 2))
    shell.page("verdict-inconclusive", LAST, expect=1)


def test_the_generator_tells_of_itself(left: Callable[[Run], Shell]) -> None:
    said = left(rollouts.good()).page("load-generator", FIRST)
    assert json.loads(said)["state"] == "stopped"
