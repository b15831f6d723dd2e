# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for an InferenceService, present or absent."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.change import PromotedWaiter
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.inferenceservice import (
    CHILDREN,
    FEED,
    AbsentWaiter,
    PresentWaiter,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.waiting import End
from ansible_collections.iter8.kfserving.tests.support import standard as made


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


@pytest.mark.parametrize("kind", [PresentWaiter, PromotedWaiter])
def test_one_that_came_back_is_another(kind: type[PresentWaiter]) -> None:
    """After an outage both are told before anything is decided again."""
    options = {} if kind is PromotedWaiter else {"new_revision": None, "traffic": None}
    wait = kind("my-model", baseline_revision="a", stable_seconds=0.0, **options)  # type: ignore[arg-type]
    see(wait, STALE)
    see(wait, STALE, "deleted")
    see(wait, {**model("b", "b", {"b": 100}), "metadata": {"name": "my-model", "uid": "another"}})
    found = end(wait, 0, 10)
    assert found is not None
    assert found.outcome == "deleted"


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


FEEDS = {"Deployment": "deployment", "ReplicaSet": "replicaset", "HTTPRoute": "httproute", "Pod": "pod"}
PLAIN = (
    made.deployment("m-predictor"),
    made.replicaset(made.STABLE),
    made.route({"m-predictor": 1}),
    made.pod(made.STABLE),
)


def standard(**options: Any) -> PresentWaiter:
    """A wait for an InferenceService in Standard mode, whose first lists are complete."""
    arguments = {"baseline_revision": None, "new_revision": None, "traffic": None, "stable_seconds": 2.0}
    wait = PresentWaiter("m", children=CHILDREN, **{**arguments, **options})
    take(wait, made.service())
    for feed in (FEED, *CHILDREN):
        wait.feed(Notice(feed, "synced", 0.0))
    return wait


def take(wait: PresentWaiter, *objects: dict[str, Any], kind: str = "present") -> list[str]:
    found = []
    for each in objects:
        feed = FEEDS.get(each["kind"], FEED)
        found += [event.event for event in wait.feed(Notice(feed, kind, 0.0, "", each))]
    return found


def test_in_standard_mode_the_children_end_the_wait() -> None:
    wait = standard()
    assert end(wait, 0, 60) is None
    assert wait.pending() == "no revision has been created yet"
    assert "traffic" in take(wait, *PLAIN)
    found = end(wait, 61, 5)
    assert found is not None
    assert (found.outcome, found.reason) == ("succeeded", "AsExpected")


def test_in_standard_mode_nothing_is_decided_before_all_is_listed() -> None:
    wait = PresentWaiter(
        "m", baseline_revision=None, new_revision=None, traffic=None, stable_seconds=0, children=CHILDREN
    )
    take(wait, made.service(), *PLAIN[:2])
    for feed in (FEED, "deployment", "replicaset", "pod"):
        wait.feed(Notice(feed, "synced", 0.0))
    # The HTTPRoutes are still to come, and may say otherwise.
    assert wait.decide(1.0) is None
    wait.feed(Notice("httproute", "refused", 0.0, message="not served"))
    found = wait.decide(2.0)
    assert found is not None
    assert found.outcome == "succeeded"


def test_in_standard_mode_a_wait_that_may_not_see_the_children_says_so_at_once() -> None:
    wait = standard()
    wait.feed(Notice("replicaset", "refused", 0.0, message="GET /apis/apps/v1 is forbidden."))
    found = wait.decide(1.0)
    assert found is not None
    assert (found.outcome, found.reason) == ("failed", "ChildrenNotSeen")
    assert "forbidden" in found.message


def test_in_knative_mode_the_children_are_not_waited_for() -> None:
    wait = waiter(stable_seconds=0, children=CHILDREN)
    see(wait, STALE)
    wait.feed(Notice("replicaset", "refused", 0.0, message="forbidden"))
    found = wait.decide(1.0)
    assert found is not None
    assert found.outcome == "succeeded"


def test_a_foreign_pod_is_none_of_its_business() -> None:
    wait = standard(stuck_seconds=1.0)
    stranger = made.cannot_start("other-predictor-aaa")
    take(wait, *PLAIN)
    assert take(wait, stranger) == []
    mine = made.cannot_start(made.STABLE)
    assert take(wait, mine) == ["stuck"]


def test_pods_that_cannot_start_end_the_wait_after_a_while() -> None:
    wait = standard(stuck_seconds=60.0, baseline_revision=made.STABLE)
    take(wait, *PLAIN, made.service(("v2", 25)))
    stuck = made.deployment("m-v2-predictor", readyReplicas=0, availableReplicas=0)
    told = take(wait, stuck, made.replicaset(made.CANARY), made.cannot_start(made.CANARY))
    assert told == ["revision_created", "stuck"]
    assert end(wait, 0, 59.5) is None
    assert "does not start: ImagePullBackOff: no such image" in wait.pending()
    found = end(wait, 60, 0)
    assert found is not None
    assert (found.outcome, found.reason) == ("failed", "PodsStuck")


def test_pods_that_recover_in_time_end_nothing() -> None:
    wait = standard(stuck_seconds=60.0, baseline_revision=made.STABLE)
    take(wait, *PLAIN, made.service(("v2", 25)))
    stuck = made.deployment("m-v2-predictor", readyReplicas=0, availableReplicas=0)
    take(wait, stuck, made.replicaset(made.CANARY), made.cannot_start(made.CANARY))
    assert end(wait, 0, 50) is None
    take(wait, made.pod(made.CANARY))
    assert end(wait, 51, 1) is None
    take(wait, made.cannot_start(made.CANARY))
    assert end(wait, 53, 59) is None


def test_pods_of_the_baseline_are_no_news_and_0_waits_on() -> None:
    stuck = (made.deployment("m-predictor", availableReplicas=0), PLAIN[1], made.cannot_start(made.STABLE))
    wait = standard(stuck_seconds=60.0, baseline_revision=made.STABLE)
    take(wait, *stuck)
    assert end(wait, 0, 200) is None
    for_ever = standard(stuck_seconds=0.0)
    take(for_ever, *stuck)
    assert end(for_ever, 0, 200) is None


def test_a_container_that_keeps_dying_is_told_between_two_of_its_starts() -> None:
    last = {"terminated": {"reason": "Error", "exitCode": 1}}
    dying = {"name": "c", "ready": False, "restartCount": 2, "state": {"running": {}}, "lastState": last}
    wait = standard(stuck_seconds=60.0)
    down = made.deployment("m-predictor", readyReplicas=0, availableReplicas=0)
    take(wait, down, PLAIN[1], made.pod(made.STABLE, ready=False, containerStatuses=[dying]))
    found = end(wait, 0, 61)
    assert found is not None
    assert (
        "container c of pod m-predictor-aaa-x was started anew 2 times (Error, exit code 1)" in found.message
    )


def test_in_standard_mode_what_is_there_is_told_as_a_whole() -> None:
    wait = PresentWaiter(
        "m", baseline_revision=None, new_revision=None, traffic=None, stable_seconds=0, children=CHILDREN
    )
    assert take(wait, made.service(), *PLAIN) == []
    told = [[event.event for event in wait.feed(Notice(feed, "synced", 0.0))] for feed in (FEED, *CHILDREN)]
    assert told == [[]] * 4 + [["revision_created", "revision_ready", "traffic", "ready"]]
