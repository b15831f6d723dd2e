# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import inferenceservice
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import State
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.inferenceservice import (
    Revisions,
    Stability,
)
from ansible_collections.iter8.kfserving.tests.support import builders
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.places import DATA
from ansible_collections.iter8.kfserving.tests.support.recordings import rows_of


def condition(reason: str, message: str, kind: str = "PredictorRouteReady") -> list[dict[str, str]]:
    return [
        {"type": kind, "status": "False", "reason": reason, "message": message},
        {"type": "Ready", "status": "False", "reason": reason, "message": message},
    ]


DELETING = builders.isvc()
DELETING["metadata"]["deletionTimestamp"] = "2026-11-22T20:00:00Z"
BLOCKED = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": {"message": "no such bucket"}}


@pytest.mark.parametrize(
    ("obj", "expected", "state", "reason", "words"),
    [
        (None, None, State.PENDING, "NotFound", "does not exist yet"),
        ({"metadata": {}}, None, State.PENDING, "RevisionNotCreated", "no revision has been created"),
        (builders.stale(), None, State.PENDING, "RevisionNotCreated", f"still the baseline {BASELINE}"),
        (
            builders.isvc(ready=BASELINE),
            None,
            State.PENDING,
            "RevisionNotReady",
            f"{CANARY} is not ready yet",
        ),
        (builders.isvc(ready_status="Unknown"), None, State.PENDING, "NotReady", "Ready is Unknown"),
        (
            builders.isvc(),
            None,
            State.SUCCEEDED,
            "AsExpected",
            f"{CANARY} is ready; traffic {BASELINE} 99 %, ",
        ),
        (builders.isvc(), {"latest": 1, "baseline": 99}, State.SUCCEEDED, "AsExpected", ""),
        (builders.isvc(), {"latest": 1}, State.SUCCEEDED, "AsExpected", ""),
        (builders.isvc(), {CANARY: 1, BASELINE: 99}, State.SUCCEEDED, "AsExpected", ""),
        (builders.isvc(), {"latest": 100}, State.PENDING, "TrafficNotAsExpected", "not yet latest 100 %"),
        (builders.isvc(), {"latest": 5}, State.PENDING, "TrafficNotAsExpected", "not yet latest 5 %"),
        (builders.isvc(), {"latest": 0}, State.PENDING, "TrafficNotAsExpected", "not yet latest 0 %"),
        (builders.isvc(), {"latest": 0, "baseline": 100}, State.PENDING, "TrafficNotAsExpected", ""),
        (
            builders.isvc(traffic={BASELINE: 100}),
            {"latest": 0, "baseline": 100},
            State.SUCCEEDED,
            "AsExpected",
            "",
        ),
        (builders.promoted(), {"latest": 100, "previous": 0}, State.SUCCEEDED, "AsExpected", ""),
        (builders.promoted(), {"latest": 1}, State.PENDING, "TrafficNotAsExpected", ""),
        (
            builders.isvc(traffic={CANARY: 60}),
            None,
            State.PENDING,
            "TrafficNotAsExpected",
            "does not sum to 100",
        ),
        (
            builders.isvc(traffic={CANARY: 60, BASELINE: 60}),
            None,
            State.PENDING,
            "TrafficNotAsExpected",
            "sum to 100",
        ),
        (builders.isvc(traffic={}), None, State.PENDING, "TrafficNotAsExpected", "nothing"),
        (DELETING, None, State.FAILED, "Deleting", "is being deleted"),
        (builders.isvc(modelStatus=BLOCKED), None, State.FAILED, "BlockedByFailedLoad", "no such bucket"),
        (
            builders.isvc(modelStatus={"transitionStatus": "InvalidSpec"}),
            None,
            State.FAILED,
            "InvalidSpec",
            "the model is InvalidSpec",
        ),
        (
            builders.isvc(modelStatus={"transitionStatus": "UpToDate"}),
            None,
            State.SUCCEEDED,
            "AsExpected",
            "",
        ),
        (
            builders.isvc(
                ready=BASELINE, conditions=condition("RevisionFailed", f'Revision "{CANARY}" failed')
            ),
            None,
            State.FAILED,
            "RevisionFailed",
            f'Revision "{CANARY}" failed',
        ),
        # The failure of another revision than the latest is not the failure of this wait.
        (
            builders.isvc(
                ready=BASELINE, conditions=condition("RevisionFailed", f'Revision "{BASELINE}" failed')
            ),
            None,
            State.PENDING,
            "RevisionNotReady",
            f'(Revision "{BASELINE}" failed)',
        ),
        (
            builders.isvc(
                ready=BASELINE, conditions=condition("Deploying", f'Revision "{CANARY}" is deploying')
            ),
            None,
            State.PENDING,
            "RevisionNotReady",
            "is deploying",
        ),
    ],
)
def test_a_change_from_the_baseline(
    obj: dict[str, Any] | None, expected: Mapping[str, int] | None, state: State, reason: str, words: str
) -> None:
    outcome = inferenceservice.assess(obj, BASELINE, expected)
    assert (outcome.state, outcome.reason) == (state, reason)
    assert words in outcome.message


def test_while_the_status_is_the_baselines_its_failed_load_is_old_news_but_a_refused_spec_is_not() -> None:
    obj = builders.stale()
    obj["status"]["modelStatus"] = BLOCKED
    assert inferenceservice.assess(obj, BASELINE).reason == "RevisionNotCreated"
    assert inferenceservice.assess(obj, None).reason == "BlockedByFailedLoad"
    obj["status"]["modelStatus"] = {"transitionStatus": "InvalidSpec"}
    assert inferenceservice.assess(obj, BASELINE).reason == "InvalidSpec"


def test_while_the_status_is_the_baselines_its_failed_revision_is_old_news() -> None:
    obj = builders.stale()
    obj["status"]["conditions"] = condition("RevisionFailed", f'Revision "{BASELINE}" failed')
    assert inferenceservice.assess(obj, BASELINE).reason == "RevisionNotCreated"
    assert inferenceservice.assess(obj, None).reason == "RevisionFailed"


def test_a_first_deployment_needs_no_baseline() -> None:
    first = builders.stale()
    first["metadata"]["generation"] = 1
    assert inferenceservice.assess(first).state is State.SUCCEEDED
    assert inferenceservice.assess(first, new_revision=True).state is State.SUCCEEDED
    assert inferenceservice.assess(first, BASELINE, new_revision=False).state is State.SUCCEEDED


def test_what_is_read_from_an_object() -> None:
    snapshot = inferenceservice.read(builders.promoted())
    assert snapshot.revisions == Revisions(CANARY, CANARY, CANARY, BASELINE, CANARY)
    assert snapshot.traffic == {CANARY: 100}
    assert snapshot.url == "http://my-model.default.example.com"
    assert snapshot.ready
    outcome = inferenceservice.assess(builders.promoted())
    assert (outcome.revisions, outcome.traffic) == (snapshot.revisions, {CANARY: 100})
    assert [c.type for c in outcome.conditions] == ["IngressReady", "PredictorReady", "Ready"]


def test_traffic_of_a_revision_with_two_tags_is_added_and_zero_entries_are_left_out() -> None:
    obj = builders.isvc()
    obj["status"]["components"]["predictor"]["traffic"] = [
        {"revisionName": BASELINE, "percent": 40, "tag": "latest"},
        {"revisionName": BASELINE, "percent": 60, "tag": "prev"},
        {"revisionName": CANARY, "tag": "latest"},
    ]
    assert inferenceservice.read(obj).traffic == {BASELINE: 100}


def test_an_unnamed_latest_entry_means_the_latest_ready_revision() -> None:
    obj = builders.isvc()
    obj["status"]["components"]["predictor"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    assert inferenceservice.read(obj).traffic == {CANARY: 100}


def test_an_object_as_kfserving_wrote_it() -> None:
    obj = json.loads((DATA / "inferenceservice-canary.json").read_text())
    outcome = inferenceservice.assess(obj, BASELINE, {"latest": 1, "baseline": 99})
    assert outcome.state is State.SUCCEEDED
    assert outcome.traffic == {CANARY: 1, BASELINE: 99}
    assert outcome.revisions == Revisions(CANARY, CANARY, BASELINE, "", BASELINE)


def recorded() -> list[dict[str, Any]]:
    """Marks and InferenceService of a recorded rollout: a canary at 10 % and at 50 %, then promoted."""
    rows = rows_of("knative-promote")
    return [row for row in rows if "mark" in row or row.get("object", {}).get("kind") == "InferenceService"]


def test_the_transitions_of_a_recorded_rollout() -> None:
    objects = [line["object"] for line in recorded() if "object" in line]
    events = [e for a, b in zip([None, *objects], objects) for e in inferenceservice.transitions(a, b)]
    one, two = "m-predictor-00001", "m-predictor-00002"
    assert [e.data for e in events] == [
        {"revision": one},
        {"revision": one},
        {"traffic": {one: 100}},
        {"ready": True},
        {"revision": two},
        {"ready": False},
        {"revision": two},
        {"traffic": {one: 90, two: 10}},
        {"ready": True},
        {"traffic": {one: 50, two: 50}},
        {"ready": False},
        {"ready": True},
        {"ready": False},
        {"traffic": {two: 100}},
        {"ready": True},
    ]


@pytest.mark.parametrize(
    ("mark", "expected", "reasons"),
    [
        ("canary 10", {"latest": 10}, ["RevisionNotCreated", "RevisionNotReady", "NotReady", "AsExpected"]),
        ("canary 50", {"latest": 50}, ["TrafficNotAsExpected", "NotReady", "AsExpected"]),
        ("promote", {"latest": 100}, ["TrafficNotAsExpected", "NotReady", "AsExpected"]),
    ],
)
def test_after_each_change_the_status_is_the_old_one_first(
    mark: str, expected: dict[str, int], reasons: list[str]
) -> None:
    """It still says Ready=True then, in every one of the three."""
    after = recorded()
    after = after[next(i for i, line in enumerate(after) if line.get("mark") == mark) + 1 :]
    first = next((i for i, line in enumerate(after) if "mark" in line), len(after))
    objects = [line["object"] for line in after[:first]]
    assert inferenceservice.read(objects[0]).ready
    found = [inferenceservice.assess(obj, "m-predictor-00001", expected).reason for obj in objects]
    assert list(dict.fromkeys(found)) == reasons


@pytest.mark.parametrize(
    ("percent", "traffic", "reason"),
    [
        (25, {CANARY: 25, BASELINE: 75}, "AsExpected"),
        (25, {CANARY: 10, BASELINE: 90}, "TrafficNotAsExpected"),
        (25, {CANARY: 100}, "TrafficNotAsExpected"),
        (0, {BASELINE: 100}, "AsExpected"),
        (0, {CANARY: 10, BASELINE: 90}, "TrafficNotAsExpected"),
        (100, {CANARY: 100}, "AsExpected"),
        (100, {CANARY: 90, BASELINE: 10}, "TrafficNotAsExpected"),
    ],
)
def test_what_its_own_spec_asks_for_is_what_is_waited_for(percent, traffic, reason) -> None:
    """A change of the percent alone creates no revision, and leaves the old status Ready for a moment."""
    outcome = inferenceservice.assess(builders.isvc(percent=percent, traffic=traffic))
    assert outcome.reason == reason
    if outcome.state is State.PENDING:
        assert f"its spec asks for {percent} %" in outcome.message


def test_what_is_asked_for_by_name_comes_before_the_spec() -> None:
    assert (
        inferenceservice.assess(
            builders.isvc(percent=1), expected_traffic={"latest": 1, "baseline": 99}
        ).reason
        != "AsExpected"
    )
    assert (
        inferenceservice.assess(builders.isvc(percent=50), BASELINE, {"latest": 1, "baseline": 99}).reason
        == "AsExpected"
    )


def test_a_spec_without_a_percent_asks_for_all() -> None:
    obj = builders.isvc(traffic={CANARY: 10, BASELINE: 90})
    del obj["spec"]["predictor"]["canaryTrafficPercent"]
    assert "its spec asks for 100 %" in inferenceservice.assess(obj).message


def test_one_revision_in_both_entries_is_not_the_split_yet() -> None:
    """KServe shows the old revision twice until the new one is ready."""
    obj = builders.isvc(created=BASELINE, percent=20)
    rows = [{"revisionName": BASELINE, "percent": share, "latestRevision": share == 20} for share in (20, 80)]
    obj["status"]["components"]["predictor"].update(traffic=rows, previousRolledoutRevision="older")
    assert inferenceservice.assess(obj).reason == "TrafficNotAsExpected"
    assert "both" in inferenceservice.assess(obj).message


def test_a_first_revision_has_all_whatever_is_asked() -> None:
    obj = builders.isvc(created=BASELINE, rolledout=BASELINE, traffic={BASELINE: 100}, percent=10)
    assert inferenceservice.assess(obj).reason == "TrafficNotAsExpected"
    obj["metadata"]["generation"] = 1
    assert inferenceservice.assess(obj).reason == "AsExpected"


def test_a_mode_without_revisions_is_told_at_once() -> None:
    outcome = inferenceservice.assess(builders.isvc(deploymentMode="ModelMesh"))
    assert (outcome.state, outcome.reason) == (State.FAILED, "NoRevisions")
    assert "ModelMesh" in outcome.message


def feed(stability: Stability, *steps: tuple[float, dict[str, Any] | None]) -> list[str]:
    return [stability.feed(time, obj).reason for time, obj in steps]


def test_it_must_hold_for_the_time_asked() -> None:
    wait = Stability(BASELINE, {"latest": 1}, stable_seconds=2)
    good = builders.isvc()
    steps = [(10.0, builders.stale()), (11.0, good), (12.9, good), (13.0, good)]
    assert feed(wait, *steps) == ["RevisionNotCreated", "NotStableYet", "NotStableYet", "AsExpected"]


def test_pending_says_how_long_it_has_held() -> None:
    wait = Stability(stable_seconds=2)
    wait.feed(5, builders.isvc())
    outcome = wait.feed(6.5, builders.isvc())
    assert outcome.state is State.PENDING
    assert outcome.message.endswith("held for 1.5 of 2 s")


def test_an_interruption_starts_the_time_again() -> None:
    wait = Stability(BASELINE, stable_seconds=2)
    good, bad = builders.isvc(), builders.isvc(ready_status="False")
    steps = [(0.0, good), (1.0, bad), (1.5, good), (3.0, good), (3.5, good)]
    assert feed(wait, *steps) == ["NotStableYet", "NotReady", "NotStableYet", "NotStableYet", "AsExpected"]


def test_another_split_starts_the_time_again() -> None:
    wait = Stability(BASELINE, stable_seconds=2)
    steps = [
        (0.0, builders.isvc()),
        (1.9, builders.isvc(traffic={CANARY: 100}, percent=100)),
        (3.0, builders.promoted()),
    ]
    assert feed(wait, *steps) == ["NotStableYet"] * 3


def test_one_snapshot_is_never_enough() -> None:
    wait = Stability(stable_seconds=0)
    assert feed(wait, (0.0, builders.isvc()), (0.0, builders.isvc())) == ["NotStableYet", "AsExpected"]
    three = Stability(stable_seconds=0, snapshots=3)
    assert feed(three, *[(0.0, builders.isvc())] * 3) == ["NotStableYet", "NotStableYet", "AsExpected"]


def test_an_object_that_vanishes_or_is_replaced_fails_the_wait() -> None:
    wait = Stability()
    assert feed(wait, (0.0, None), (1.0, builders.isvc()), (2.0, None)) == [
        "NotFound",
        "NotStableYet",
        "Deleted",
    ]
    gone = wait.feed(3.0, None)
    assert (gone.state, gone.message) == (State.FAILED, "the InferenceService was deleted during the wait")
    wait = Stability()
    wait.feed(0.0, builders.isvc())
    other = wait.feed(9.0, builders.isvc(uid="uid-2"))
    assert (other.state, other.reason) == (State.FAILED, "Replaced")
    assert other.message == "the InferenceService was replaced by another one of the same name"


def test_transitions_of_a_whole_rollout() -> None:
    steps = [
        None,
        {"metadata": {}},
        builders.isvc(created=BASELINE, ready="", traffic={}, ready_status="Unknown"),
        builders.stale(),
        builders.isvc(ready=BASELINE, traffic={BASELINE: 100}),
        builders.isvc(),
        builders.promoted(),
        None,
    ]
    events = [e for a, b in zip(steps, steps[1:]) for e in inferenceservice.transitions(a, b)]
    assert [(e.event, e.text) for e in events] == [
        ("revision_created", f"revision {BASELINE} created"),
        ("revision_ready", f"revision {BASELINE} ready"),
        ("traffic", f"traffic: {BASELINE} 100 %"),
        ("ready", "InferenceService ready"),
        ("revision_created", f"revision {CANARY} created"),
        ("revision_ready", f"revision {CANARY} ready"),
        ("traffic", f"traffic: {BASELINE} 99 %, {CANARY} 1 %"),
        ("traffic", f"traffic: {CANARY} 100 %"),
        ("deleted", "InferenceService deleted"),
    ]
    assert {e.source for e in events} == {"inferenceservice"}
    assert events[0].data == {"revision": BASELINE}
    assert events[1].data == {"revision": BASELINE}
    assert events[3].data == {"ready": True}
    assert events[6].data == {"traffic": {CANARY: 1, BASELINE: 99}}


def test_losing_ready_is_told_with_the_reason() -> None:
    lost = builders.isvc(
        conditions=condition("RevisionMissing", "Configuration is waiting", "PredictorReady")
    )
    events = inferenceservice.transitions(builders.isvc(), lost)
    assert [(e.text, e.data) for e in events] == [
        ("InferenceService not ready (Configuration is waiting)", {"ready": False})
    ]


def test_nothing_new_tells_nothing() -> None:
    for obj in ({}, builders.stale(), builders.promoted()):
        assert inferenceservice.transitions(obj, obj) == []
    assert inferenceservice.transitions(None, None) == []


def test_a_split_of_a_first_snapshot_is_marked_so() -> None:
    seen = [e.data for e in inferenceservice.transitions(None, builders.stale()) if e.event == "traffic"]
    assert seen == [{"traffic": {BASELINE: 100}, "first": True}]


def test_only_the_ready_condition_tells_readiness() -> None:
    lagging = [{"type": "IngressReady", "status": "False"}, {"type": "Ready", "status": "True"}]
    assert inferenceservice.read(builders.isvc(conditions=lagging)).ready is True
    early = [{"type": "PredictorReady", "status": "True"}, {"type": "Ready", "status": "False"}]
    assert inferenceservice.read(builders.isvc(conditions=early)).ready is False


def test_a_named_entry_keeps_its_name_though_it_is_the_latest() -> None:
    obj = builders.isvc(ready=BASELINE)
    assert inferenceservice.read(obj).traffic == {CANARY: 1, BASELINE: 99}


def test_a_stale_message_of_a_ready_service_explains_nothing() -> None:
    fine = [{"type": "Ready", "status": "True", "message": "all is well"}]
    outcome = inferenceservice.assess(builders.isvc(ready=BASELINE, conditions=fine), BASELINE)
    assert outcome.message == f"revision {CANARY} is not ready yet"
    unknown = inferenceservice.assess(builders.isvc(ready_status="Unknown"))
    assert unknown.message == "Ready is Unknown"


def test_by_default_it_must_hold_for_two_seconds() -> None:
    wait = Stability()
    assert feed(wait, *[(t, builders.isvc()) for t in (0.0, 1.9, 2.0)]) == ["NotStableYet"] * 2 + [
        "AsExpected"
    ]


@pytest.mark.parametrize(
    ("percent", "mode", "asks"),
    [(10, "Serverless", 10), (0, "Knative", 0), (None, "Knative", 100), (10, "RawDeployment", None)],
)
def test_a_change_tells_what_the_spec_asks_for(percent: int | None, mode: str, asks: int | None) -> None:
    before, after = builders.isvc(deploymentMode=mode), builders.isvc(deploymentMode=mode)
    after["metadata"]["generation"] = before["metadata"]["generation"] + 1
    predictor = after["spec"]["predictor"]
    predictor.pop("canaryTrafficPercent", None)
    if percent is not None:
        predictor["canaryTrafficPercent"] = percent
    (event,) = inferenceservice.changed(before, after)
    assert event.data.get("asks") == asks
