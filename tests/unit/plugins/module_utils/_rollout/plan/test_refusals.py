# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.refusals import (
    Refused,
    drains,
    mode_of,
    refuse,
    rolled_out,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.standard import canary_service
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import Done
from ansible_collections.iter8.kfserving.tests.support.driven import NEW, Driver, Knative, Standard, plan_of

Bend = Callable[[Any], Any]


def _knative(bend: Bend) -> Seen:
    cluster = Knative()
    bend(cluster)
    for _unused in range(5):
        cluster.tick(1.0)
    return cluster.seen(None)


def host_of(length: int) -> str:
    """A host of the predictor, with which that of the canary begins with a label of so many characters."""
    added = len(canary_service(plan_of())) - len("iris-predictor")
    return f"iris-predictor-{'n' * (length - added - len('iris-predictor-'))}.example.com"


def _predictor(**fields: Any) -> Bend:
    return lambda cluster: cluster.patch({"spec": {"predictor": fields}})


def _rolled_out_and_asked_for(percent: int) -> Bend:
    """As it is for a moment, before the version before it is given the rest."""

    def bend(cluster: Any) -> None:
        cluster.patch({"spec": {"predictor": NEW}})
        for _unused in range(5):
            cluster.tick(1.0)
        cluster.tick = lambda _seconds: None
        cluster.patch({"spec": {"predictor": {"canaryTrafficPercent": percent}}})

    return bend


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (_predictor(canaryTrafficPercent=20, model={"storageUri": "gs://other"}), "No revision alone"),
        (_rolled_out_and_asked_for(20), "serves already, and the InferenceService is not Ready"),
        (lambda c: c.patch({"spec": {"canary": [{}]}}), "spec.canary is for Standard mode"),
        (lambda c: c.deleted_revisions.add("iris-predictor-00001"), "no longer exists"),
        (
            lambda c: setattr(c, "revisions", []) or setattr(c, "slow", {1: 99.0, 2: 99.0}),
            "No revision serves",
        ),
    ],
)
def test_what_cannot_be_rolled_out_in_knative_mode(bend: Bend, words: str) -> None:
    seen = _knative(bend)
    if words == "No revision serves":
        seen.inferenceservice["status"] = {}  # type: ignore[index]
    with pytest.raises(Refused, match=words):
        refuse(plan_of(), "knative", seen)


def _standard(bend: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Seen:
    seen = Standard(2).seen(None)
    assert seen.inferenceservice is not None
    obj: Any = seen.inferenceservice
    route: Any = seen.route
    bend(obj, route)
    return seen


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda _obj, route: route["spec"].update(rules=[]), "no HTTPRoute"),
        (
            lambda obj, _route: obj["metadata"].update(
                labels={"networking.knative.dev/visibility": "cluster-local"}
            ),
            "cluster-local",
        ),
        (lambda obj, _route: obj["spec"].update(canary=[{"trafficPercent": 5}]), "holds a canary already"),
        (
            lambda obj, _route: obj["spec"]["predictor"].update(canaryTrafficPercent=5),
            "Standard mode ignores",
        ),
        (
            lambda obj, _route: (
                obj["spec"]["predictor"].pop("model"),
                obj["spec"]["predictor"].update(containers=[{}]),
            ),
            "plain containers",
        ),
        (lambda obj, _route: obj["spec"].update(transformer={"containers": [{}]}), "transformer"),
        (lambda obj, _route: obj["spec"]["predictor"].update(maxReplicas=3), "no room for twice"),
        (
            lambda _obj, route: route["spec"]["rules"][0]["backendRefs"].append({"name": "other"}),
            "does not give everything",
        ),
        (lambda _obj, route: route["spec"].update(hostnames=[host_of(64)]), "63 characters"),
    ],
)
def test_what_cannot_be_rolled_out_in_standard_mode(bend: Any, words: str) -> None:
    seen = _standard(bend)
    with pytest.raises(Refused, match=words) as refused:
        refuse(plan_of(), "standard", seen)
    assert "Nothing was changed" in str(refused.value)


ONNX = {"modelFormat": {"name": "onnx"}, "storageUri": "gs://models/2"}


@pytest.mark.parametrize(
    ("runtime", "status", "words"),
    [
        ("", {"clusterServingRuntimeName": "sklearnserver"}, "its runtime sklearnserver included"),
        ("", {"servingRuntimeName": "ours"}, "its runtime ours included"),
        ("named", {"servingRuntimeName": "ours"}, "its runtime named included"),
        ("", {}, "its runtime included"),
    ],
)
@pytest.mark.parametrize("change", [ONNX, {"modelFormat": {"version": "2"}}, {**ONNX, "runtime": None}])
def test_a_format_that_would_come_to_the_old_ones_runtime(
    runtime: str, status: dict[str, str], words: str, change: dict[str, Any]
) -> None:
    def bend(obj: Any, _route: Any) -> None:
        obj["status"].update(status)
        if runtime:
            obj["spec"]["predictor"]["model"]["runtime"] = runtime

    with pytest.raises(Refused, match=words):
        refuse(plan_of(change={"model": change}), "standard", _standard(bend))
    refuse(plan_of(change={"model": {**change, "runtime": "onnxserver"}}), "standard", _standard(bend))


def test_knative_mode_chooses_a_runtime_for_each_version() -> None:
    seen = Knative().seen(None)
    refuse(plan_of(change={"model": ONNX}), "knative", seen)


@pytest.mark.parametrize("nothing", [None, [], "", False, 0])
def test_what_the_canary_would_still_have_of_the_predictor(nothing: Any) -> None:
    def bend(obj: Any, _route: Any) -> None:
        obj["spec"]["predictor"]["model"]["args"] = ["--quick"]

    plan = plan_of(change={"model": {"storageUri": "gs://models/2", "args": nothing, "env": nothing}})
    with pytest.raises(Refused, match=r"takes away model.args of the predictor"):
        refuse(plan, "standard", _standard(bend))
    refuse(plan, "standard", _standard(lambda _obj, _route: None))


@pytest.mark.parametrize("hosts", [[host_of(63)], ["iris.example.com"], [], None])
def test_a_canarys_host_that_is_short_enough_is_not_refused(hosts: list[str] | None) -> None:
    seen = _standard(lambda _obj, route: route["spec"].update(hostnames=hosts))
    refuse(plan_of(), "standard", seen)


@pytest.mark.parametrize("cluster", [Knative(), Standard()])
def test_what_can_be_rolled_out_is_not_refused(cluster: Any) -> None:
    seen = cluster.seen(None)
    refuse(plan_of(), mode_of(seen), seen)


def test_stopped_or_going_is_refused() -> None:
    for metadata, words in (
        ({"annotations": {"serving.kserve.io/stop": "true"}}, "is stopped"),
        ({"deletionTimestamp": "now"}, "being deleted"),
    ):
        seen = Knative().seen(None)
        seen.inferenceservice["metadata"].update(metadata)  # type: ignore[index]
        with pytest.raises(Refused, match=words):
            refuse(plan_of(), "knative", seen)


@pytest.mark.parametrize(
    ("status", "annotation", "mode"),
    [
        ("Knative", "", "knative"),
        ("Serverless", "Standard", "knative"),
        ("Standard", "", "standard"),
        ("RawDeployment", "", "standard"),
        ("", "Standard", "standard"),
        ("", "", "knative"),
    ],
)
def test_the_mode_is_that_of_the_status(status: str, annotation: str, mode: str) -> None:
    obj = {
        "metadata": {"annotations": {"serving.kserve.io/deploymentMode": annotation}},
        "status": {"deploymentMode": status},
    }
    assert mode_of(Seen(obj)) == mode


def test_what_has_no_split_is_refused() -> None:
    with pytest.raises(Refused, match="ModelMesh has no split"):
        mode_of(Seen({"status": {"deploymentMode": "ModelMesh"}}))
    with pytest.raises(Refused, match="does not exist"):
        mode_of(Seen(None))


@pytest.mark.parametrize("cluster", [Knative(), Standard()])
def test_what_is_rolled_out_is_known(cluster: Any) -> None:
    plan = plan_of(steps=[{"percent": 50, "seconds": 1}], gates=[{"type": "pods"}])
    assert not rolled_out(plan, cluster.mode, cluster.seen(None))
    driver = Driver(plan, cluster)
    for _unused in range(12):
        driver.look()
        driver.pass_time()
        assert not rolled_out(plan, cluster.mode, cluster.seen(None)) or driver.state.outcome
    assert isinstance(driver.run(), Done)
    driver.pass_time(5.0)
    assert rolled_out(plan, cluster.mode, cluster.seen(None))


def test_a_hook_before_the_end_is_known() -> None:
    def seen(predictor: dict[str, Any]) -> Seen:
        return Seen({"spec": {"predictor": predictor}})

    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "15"]}}}}
    assert drains(seen({"model": hook}))
    assert drains(seen({"containers": [hook]}))
    assert not drains(seen({"model": {}}))
