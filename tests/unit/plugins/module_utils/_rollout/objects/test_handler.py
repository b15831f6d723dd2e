# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Job is whose handler, and how far it is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import handler
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import State

EXPERIMENT: dict[str, Any] = {
    "apiVersion": "iter8.tools/v2alpha1",
    "metadata": {"name": "experiment-1", "uid": "2eb8d97e-45f5-4ad7-a1d0-d733104920d2"},
    "spec": {"strategy": {"type": "Canary"}},
}


def job(failed: int = 0, condition: str = "", message: str = "") -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True", "message": message}] if condition else []
    name = "finish-handler-experiment-1-d733104920d2"
    return {"metadata": {"name": name}, "status": {"failed": failed, "conditions": conditions}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("finish-handler-experiment-1-d733104920d2", "finish"),
        ("start-handler-experiment-1-d733104920d2", "start"),
        ("my-own-handler-experiment-1-d733104920d2", "my-own"),
        ("finish-handler-experiment-1-000000000000", None),
        ("finish-handler-experiment-11-d733104920d2", None),
        ("-handler-experiment-1-d733104920d2", None),
        ("unrelated", None),
    ],
)
def test_the_name_tells_whose_job_it_is(name: str, expected: str | None) -> None:
    assert handler.handler_of(name, EXPERIMENT) == expected


def test_without_a_uid_no_job_is_anyones() -> None:
    assert handler.handler_of("finish-handler-experiment-1-", {"metadata": {"name": "experiment-1"}}) is None


@pytest.mark.parametrize(
    ("version", "strategy", "rolled_back", "expected"),
    [
        ("v2alpha1", {"type": "Canary"}, False, "finish"),
        ("v2alpha1", {"type": "Canary"}, True, "finish"),
        ("v2alpha1", {"type": "Canary", "handlers": {"finish": "end", "rollback": "undo"}}, False, "end"),
        ("v2alpha1", {"type": "Canary", "handlers": {"finish": "end", "rollback": "undo"}}, True, "undo"),
        ("v2alpha1", {"type": "Canary", "handlers": {"finish": "none"}}, False, None),
        ("v2alpha1", {"type": "Performance"}, False, None),
        ("v2alpha1", {"type": "Performance", "handlers": {"finish": "end"}}, False, "end"),
        ("v2alpha2", {"testingPattern": "Canary"}, False, None),
    ],
)
def test_the_last_handler(
    version: str, strategy: dict[str, Any], rolled_back: bool, expected: str | None
) -> None:
    experiment = {"apiVersion": f"iter8.tools/{version}", "spec": {"strategy": strategy}}
    assert handler.last_handler(experiment, rolled_back) == expected


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (None, (State.PENDING, "")),
        (job(), (State.PENDING, "")),
        (job(failed=3), (State.PENDING, "")),
        (job(condition="Complete"), (State.SUCCEEDED, "")),
        (
            job(failed=5, condition="Failed", message="BackoffLimitExceeded"),
            (State.FAILED, "BackoffLimitExceeded"),
        ),
        (job(condition="Failed"), (State.FAILED, "no reason given")),
        (job(condition="Suspended"), (State.PENDING, "")),
    ],
)
def test_a_job_has_three_states(current: dict[str, Any] | None, expected: tuple[State, str]) -> None:
    assert handler.assess(current) == expected


@pytest.mark.parametrize(
    ("before", "after", "statuses"),
    [
        (None, job(), ["launched"]),
        (job(), job(), []),
        (job(), job(failed=1), ["retrying"]),
        (job(failed=1), job(failed=1, condition="Complete"), ["succeeded"]),
        (job(failed=4), job(failed=5, condition="Failed", message="enough"), ["failed"]),
        (None, job(condition="Complete"), ["launched", "succeeded"]),
        (job(condition="Complete"), job(condition="Complete"), []),
    ],
)
def test_transitions(before: dict[str, Any] | None, after: dict[str, Any], statuses: list[str]) -> None:
    events = handler.transitions(before, after, "finish")
    assert [event.data["status"] for event in events] == statuses
    for event in events:
        assert event.source == "experiment"
        assert event.event == "handler"
        assert event.data["name"] == "finish"
        assert event.data["job"] == "finish-handler-experiment-1-d733104920d2"
        assert event.data["failed"] is (event.data["status"] == "failed")
