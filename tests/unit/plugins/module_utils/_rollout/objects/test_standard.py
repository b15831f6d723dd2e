# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe's Standard mode, read from the Deployments, ReplicaSets, HTTPRoutes and pods."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import inferenceservice
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import State
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.snapshot import (
    NOT_REPORTED,
    Revisions,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View, view_of
from ansible_collections.iter8.kfserving.tests.support import standard as made
from ansible_collections.iter8.kfserving.tests.support.standard import CANARY, STABLE

PLAIN = (made.deployment("m-predictor"), made.replicaset(STABLE), made.route({"m-predictor": 1}))


def reason(obj: dict[str, Any], *objects: dict[str, Any], **options: Any) -> tuple[str, str]:
    outcome = inferenceservice.assess(obj, children=made.children(*objects), **options)
    return outcome.reason, outcome.message


def changed(obj: dict[str, Any], part: str, **fields: Any) -> dict[str, Any]:
    return {**obj, part: {**obj[part], **fields}}


@pytest.mark.parametrize(
    ("weights", "traffic"),
    [
        ({"m-predictor": None}, {STABLE: 100}),
        ({"m-predictor": 100}, {STABLE: 100}),
        ({"m-predictor": 3, "m-v2-predictor": 1}, {STABLE: 75, CANARY: 25}),
        ({"m-predictor": 2, "m-v2-predictor": None}, {STABLE: 67, CANARY: 33}),
        ({"m-predictor": 0, "m-v2-predictor": 100}, {CANARY: 100}),
        ({"m-predictor": 0, "m-v2-predictor": 0}, {}),
    ],
)
def test_weights_become_percents(weights: dict[str, int | None], traffic: dict[str, int]) -> None:
    there = made.canary_at(0) | {"HTTPRoute": {"m": made.route(weights)}}
    assert inferenceservice.read(made.service(), there).traffic == traffic


@pytest.mark.parametrize("weight", ["10", -5, True, 2.5, None])
def test_a_weight_that_is_no_number_leaves_untold_who_answers(weight: Any) -> None:
    route = made.route({"m-predictor": 5, "m-v2-predictor": 95})
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = weight
    seen = inferenceservice.read(made.service(), made.canary_at(0) | {"HTTPRoute": {"m": route}})
    assert (seen.traffic, seen.traffic_reported) == ({NOT_REPORTED: 100}, False)


def test_routes_that_contradict_each_other_tell_nothing() -> None:
    there = made.canary_at(25)
    there["HTTPRoute"]["m-predictor"] = made.route({"m-predictor": 100}, "m-predictor")
    snapshot = inferenceservice.read(made.service(("v2", 25)), there)
    assert snapshot.traffic == {NOT_REPORTED: 100}
    assert not snapshot.traffic_reported


def test_a_rule_that_leads_to_another_component_says_nothing_of_the_predictor() -> None:
    there = made.canary_at(25)
    there["HTTPRoute"]["m-transformer"] = made.route({"m-transformer": 1}, "m-transformer")
    assert inferenceservice.read(made.service(("v2", 25)), there).traffic == {STABLE: 75, CANARY: 25}


def test_without_a_route_the_service_sends_all_to_the_stable_pods() -> None:
    there = made.children(*PLAIN[:2])
    assert inferenceservice.read(made.service(), there).traffic == {STABLE: 100}
    assert inferenceservice.assess(made.service(), children=there).state is State.SUCCEEDED
    nobody = made.children(made.deployment("m-predictor", availableReplicas=0), PLAIN[1])
    assert inferenceservice.read(made.service(), nobody).traffic == {}
    word, message = reason(made.service(("v2", 25)), *PLAIN[:2], *_canary())
    assert (word, "enableGatewayApi" in message) == ("TrafficNotAsExpected", True)


def _canary() -> tuple[dict[str, Any], ...]:
    return made.deployment("m-v2-predictor"), made.replicaset(CANARY)


def test_the_revisions_are_the_replicasets() -> None:
    snapshot = inferenceservice.read(made.service(("v2", 25)), made.canary_at(25))
    assert snapshot.revisions == Revisions(CANARY, CANARY, STABLE, "", STABLE)
    assert inferenceservice.read(made.service(("v2", 100)), made.canary_at(100)).revisions.serving == CANARY
    renamed = made.service(name="v2")
    there = made.children(*_canary(), made.route({"m-v2-predictor": 1}))
    assert inferenceservice.read(renamed, there).revisions == Revisions(CANARY, CANARY, CANARY, "", CANARY)


def test_in_a_rolling_update_nobody_sets_who_answers() -> None:
    new = made.replicaset("m-predictor-ccc", revision=2)
    there = made.children(*PLAIN, new)
    assert inferenceservice.read(made.service(), there).traffic == {NOT_REPORTED: 100}
    assert inferenceservice.read(made.service(), there).revisions.created == "m-predictor-ccc"
    assert inferenceservice.assess(made.service(), children=there, serving=True).state is State.PENDING
    # One of its pods still ends, and answers on the connections that it has.
    old = made.replicaset(STABLE, pods=0)
    ending = changed(made.pod(STABLE), "metadata", deletionTimestamp="2026-11-28T00:00:00Z")
    word, message = reason(made.service(), PLAIN[0], old, new, PLAIN[2], ending)
    assert (word, "still end" in message) == ("DeploymentNotReady", True)
    ended = changed(ending, "status", containerStatuses=[{"name": "c", "state": {"terminated": {}}}])
    assert reason(made.service(), PLAIN[0], old, new, PLAIN[2], ended)[0] == "AsExpected"


TEMPLATE = {"spec": {"containers": [{"name": "kserve-container", "image": "model:1"}]}}


@pytest.mark.parametrize(
    ("service", "objects", "word", "words"),
    [
        (made.service(), PLAIN, "AsExpected", f"revision {STABLE} is ready; traffic {STABLE} 100 %"),
        (made.service(), (), "RevisionNotCreated", ""),
        (made.service(), (PLAIN[1],), "DeploymentNotReady", "m-predictor has not been made yet"),
        (
            made.service(),
            (changed(PLAIN[0], "metadata", generation=2), *PLAIN[1:]),
            "DeploymentNotReady",
            "has not been taken up since it was changed",
        ),
        (
            made.service(),
            (made.deployment("m-predictor", pods=2), *PLAIN[1:]),
            "DeploymentNotReady",
            "and its ReplicaSet tell of different pods",
        ),
        (
            made.service(),
            (changed(PLAIN[0], "spec", replicas=2), *PLAIN[1:]),
            "DeploymentNotReady",
            "has 1 of 2 new pods",
        ),
        (
            made.service(),
            (made.deployment("m-predictor", replicas=3), *PLAIN[1:]),
            "DeploymentNotReady",
            "still has 2 of the pods from before",
        ),
        (
            made.service(),
            (made.deployment("m-predictor", availableReplicas=0), *PLAIN[1:]),
            "DeploymentNotReady",
            "has 0 of 1 pods available",
        ),
        (made.service(minReplicas=2), PLAIN, "DeploymentNotReady", "ask for 1 of the 2 pods in minReplicas"),
        (
            made.service(containers=[{"name": "kserve-container", "image": "model:2"}]),
            (changed(PLAIN[0], "spec", template=TEMPLATE), *PLAIN[1:]),
            "DeploymentNotReady",
            "still has the image model:1",
        ),
        (
            made.service(containers=[{"name": "kserve-container", "image": "model:1"}]),
            (changed(PLAIN[0], "spec", template=TEMPLATE), *PLAIN[1:]),
            "AsExpected",
            "",
        ),
        (
            made.service(model={"storageUri": "s3://v2"}),
            (
                changed(
                    PLAIN[0],
                    "metadata",
                    annotations={"internal.serving.kserve.io/storage-initializer-sourceuri": "s3://v1"},
                ),
                *PLAIN[1:],
            ),
            "DeploymentNotReady",
            "still has the model from before",
        ),
        (
            made.service(),
            (*PLAIN[:2], {**PLAIN[2], "status": {}}),
            "RouteNotReady",
            "m has not been taken up by a gateway yet",
        ),
        (
            made.service(),
            (*PLAIN[:2], made.route({"m-predictor": 1}, seen=0)),
            "RouteNotReady",
            "m has not been taken up since it was changed",
        ),
        (
            made.service(),
            (*PLAIN[:2], made.route({"m-predictor": 1}, status="False", message="no such Gateway")),
            "RouteNotReady",
            "m is not Accepted: no such Gateway",
        ),
        (made.service(ready="False"), PLAIN, "NotReady", "Ready is False"),
        (
            made.service(("v2", 25)),
            (*PLAIN, *_canary()),
            "TrafficNotAsExpected",
            "gives m-predictor 100 %, and the spec asks for m-predictor 75 %, m-v2-predictor 25 %",
        ),
        (made.service(("v2", 0)), (*PLAIN, *_canary()), "AsExpected", ""),
        (
            made.service(("v2", 0)),
            (*PLAIN, _canary()[1]),
            "DeploymentNotReady",
            "m-v2-predictor has not been",
        ),
    ],
)
def test_what_is_missing_is_told(
    service: dict[str, Any], objects: tuple[dict[str, Any], ...], word: str, words: str
) -> None:
    found, message = reason(service, *objects)
    assert found == word, message
    assert words in message


def test_a_parent_that_tells_no_generation_is_taken_at_its_word() -> None:
    route = made.route({"m-predictor": 1})
    del route["status"]["parents"][0]["conditions"][0]["observedGeneration"]
    assert reason(made.service(), *PLAIN[:2], route)[0] == "AsExpected"


def test_traffic_that_is_asked_for_by_name_counts_before_that_of_the_spec() -> None:
    service, there = made.service(("v2", 50)), made.canary_at(25)
    assert inferenceservice.assess(service, children=there).reason == "TrafficNotAsExpected"
    options = {"baseline_revision": STABLE, "expected_traffic": {"latest": 25, "baseline": 75}}
    assert inferenceservice.assess(service, children=there, **options).reason == "AsExpected"


def test_the_baseline_is_not_the_new_revision() -> None:
    assert reason(made.service(), *PLAIN, baseline_revision=STABLE)[0] == "RevisionNotCreated"
    assert reason(made.service(), *PLAIN, baseline_revision="m-predictor-000")[0] == "AsExpected"


def test_a_deployment_that_kubernetes_has_given_up_is_a_failure() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    there = made.children(made.deployment("m-predictor", conditions=[late], availableReplicas=0), *PLAIN[1:])
    outcome = inferenceservice.assess(made.service(), children=there)
    assert (outcome.state, outcome.reason) == (State.FAILED, "ProgressDeadlineExceeded")
    # While the latest revision is the baseline, that is old news.
    assert inferenceservice.assess(made.service(), STABLE, children=there).state is State.PENDING


def test_the_model_status_decides_nothing_but_that_nothing_comes_of_the_spec() -> None:
    service = made.service()
    service["status"]["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad"}
    assert inferenceservice.assess(service, children=made.children(*PLAIN)).state is State.SUCCEEDED
    service["status"]["modelStatus"] = {"transitionStatus": "InvalidSpec"}
    assert inferenceservice.assess(service, children=made.children(*PLAIN)).state is State.SUCCEEDED
    assert inferenceservice.assess(service).reason == "InvalidSpec"


def test_an_older_name_of_the_mode_is_the_same_mode() -> None:
    service = made.service()
    service["status"]["deploymentMode"] = "RawDeployment"
    assert reason(service, *PLAIN)[0] == "AsExpected"


def test_a_revision_that_is_the_latest_again_was_not_created_again() -> None:
    view = View()
    told = []
    for obj in [made.service(), *PLAIN, *_canary(), made.service(("v2", 25)), made.service()]:
        told += [event.data["revision"] for event in view.take(obj) if event.event == "revision_created"]
    assert told == [STABLE, CANARY]


def test_the_rows_of_an_observer_leave_the_last_in_view() -> None:
    rows = [{"type": "present", "object": each} for each in (made.service(), *PLAIN, *_canary())]
    rows += [{"type": "deleted", "object": each} for each in _canary()]
    rows += [{"type": "unobserved", "from": 1.0}]
    view = view_of(rows)
    assert view.snapshot.traffic == {STABLE: 100}
    assert set(view.children["Deployment"]) == {"m-predictor"}


def test_a_pod_in_trouble_is_told_of_its_own_revision() -> None:
    view = view_of(
        {"type": "present", "object": each} for each in (made.service(), made.cannot_start(CANARY))
    )
    expected = f"container kserve-container of pod {CANARY}-x does not start: ImagePullBackOff: no such image"
    assert view.trouble(CANARY) == expected
    assert view.trouble(STABLE) == ""
