# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for an InferenceService, present or absent."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.inferenceservice import (
    AbsentWaiter,
    PresentWaiter,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.waiting import End


def model(created: str, ready: str, traffic: dict[str, int], condition: str = "True") -> dict[str, Any]:
    return {
        "metadata": {"name": "my-model", "uid": "m"},
        "status": {
            "conditions": [{"type": "Ready", "status": condition}],
            "components": {
                "predictor": {
                    "latestCreatedRevision": created,
                    "latestReadyRevision": ready,
                    "traffic": [{"revisionName": name, "percent": share} for name, share in traffic.items()],
                }
            },
        },
    }


STALE = model("a", "a", {"a": 100})
CREATED = model("b", "a", {"a": 100})
CANARY = model("b", "b", {"a": 99, "b": 1})


def waiter(**options: Any) -> PresentWaiter:
    arguments: dict[str, Any] = {
        "baseline_revision": None,
        "new_revision": None,
        "traffic": None,
        "stable_seconds": 2.0,
        **options,
    }
    return PresentWaiter("my-model", **arguments)


def see(waiter: PresentWaiter | AbsentWaiter, obj: dict[str, Any] | None, kind: str = "present") -> list[str]:
    return [event.text for event in waiter.feed(Notice("inferenceservice", kind, 0.0, "my-model", obj))]


def end(waiter: PresentWaiter | AbsentWaiter, start: float, seconds: float) -> End | None:
    for half in range(int(seconds * 2) + 1):
        found = waiter.decide(start + half / 2)
        if found is not None:
            return found
    return None


def test_a_stale_ready_does_not_fool_it() -> None:
    wait = waiter(baseline_revision="a", traffic={"latest": 1, "baseline": 99})
    see(wait, STALE)
    assert end(wait, 0, 60) is None
    assert wait.pending() == "the latest revision is still the baseline a"
    see(wait, CREATED)
    assert end(wait, 61, 60) is None
    see(wait, CANARY)
    found = end(wait, 200, 5)
    assert found is not None
    assert found.outcome == "succeeded"


def test_a_first_deployment_has_no_baseline() -> None:
    wait = waiter()
    see(wait, STALE)
    assert end(wait, 0, 1.5) is None
    assert end(wait, 2.0, 0) is not None


def test_zero_stable_seconds_means_the_first_good_look() -> None:
    wait = waiter(stable_seconds=0.0)
    see(wait, STALE)
    assert end(wait, 0, 0) is not None


def test_the_transitions_of_a_canary() -> None:
    wait = waiter(baseline_revision="a")
    texts = see(wait, STALE) + see(wait, CREATED) + see(wait, CANARY)
    assert texts == [
        "my-model  revision a created",
        "my-model  revision a ready",
        "my-model  traffic: a 100 %",
        "my-model  InferenceService ready",
        "my-model  revision b created",
        "my-model  revision b ready",
        "my-model  traffic: a 99 %, b 1 %",
    ]


@pytest.mark.parametrize(
    ("obj", "kind", "outcome", "reason"),
    [
        (None, "synced", "failed", "NotFound"),
        (STALE, "deleted", "deleted", "Deleted"),
        (
            {**STALE, "metadata": {**STALE["metadata"], "deletionTimestamp": "now"}},
            "present",
            "failed",
            "Deleting",
        ),
        (
            {**STALE, "status": {"modelStatus": {"transitionStatus": "InvalidSpec"}}},
            "present",
            "failed",
            "InvalidSpec",
        ),
    ],
)
def test_terminal_failures(obj: dict[str, Any] | None, kind: str, outcome: str, reason: str) -> None:
    wait = waiter()
    see(wait, obj, kind)
    found = end(wait, 0, 0)
    assert found is not None
    assert (found.outcome, found.reason) == (outcome, reason)


def test_nothing_is_decided_before_the_first_list() -> None:
    assert end(waiter(), 0, 60) is None
    assert end(AbsentWaiter("my-model"), 0, 60) is None


def test_absent_shows_what_holds_it_until_it_is_gone() -> None:
    wait = AbsentWaiter("my-model")
    assert see(wait, STALE) == ["my-model  it has not been asked to go"]
    see(wait, None, "synced")
    assert end(wait, 0, 60) is None
    held = {"metadata": {**STALE["metadata"], "deletionTimestamp": "now", "finalizers": ["a.b/c", "d"]}}
    assert see(wait, held) == ["my-model  it is being deleted, held by finalizers: a.b/c, d"]
    assert see(wait, held) == []
    assert wait.pending() == "it is being deleted, held by finalizers: a.b/c, d"
    assert see(wait, held, "deleted") == ["my-model  InferenceService deleted"]
    found = end(wait, 60, 0)
    assert found is not None
    assert found.outcome == "succeeded"


def test_absent_at_once_where_it_never_was() -> None:
    wait = AbsentWaiter("my-model")
    see(wait, None, "synced")
    assert end(wait, 0, 0) is not None
