# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving import status
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.status import RevisionState
from ansible_collections.iter8.kfserving.tests.support.places import DATA

# What KFServing 0.5 wrote for a canary at 1 %.
CAPTURED = DATA / "inferenceservice-canary.json"
T1, T2 = "2021-01-01T00:00:01Z", "2021-01-01T00:00:02Z"


def service(percent: Optional[int] = None, **predictor: Any) -> dict[str, Any]:
    spec = {} if percent is None else {"canaryTrafficPercent": percent}
    made: dict[str, Any] = {
        "metadata": {"name": "m", "namespace": "ns"},
        "spec": {"predictor": {**spec, "tensorflow": {"storageUri": "gs://x"}}},
    }
    if predictor:
        made["status"] = {"components": {"predictor": predictor}}
    return made


def brief(traffic: Any) -> list[tuple[str, int, str]]:
    return [(entry["tag"], entry["percent"], entry["revisionName"]) for entry in traffic]


@pytest.mark.parametrize(
    ("ready", "recorded", "expected"),
    [
        ({}, "", ""),
        ({"a": False}, "", ""),
        ({"a": True}, "", "a"),
        ({"a": True, "b": False}, "a", "a"),
        ({"a": True, "b": True}, "a", "b"),
        ({"a": False, "b": False}, "b", "b"),
        ({"a": True, "b": False}, "b", "b"),
        ({"a": True, "b": False, "c": True}, "a", "c"),
        ({"b": False, "c": False}, "a", ""),
    ],
)
def test_latest_ready_never_goes_back(ready: dict[str, bool], recorded: str, expected: str) -> None:
    states = [RevisionState(name, is_ready) for name, is_ready in ready.items()]
    assert status.latest_ready(states, recorded) == expected


@pytest.mark.parametrize(
    ("percent", "rolled_out", "created", "ready", "expected"),
    [
        pytest.param(None, "", "a", "", [], id="nothing-ready"),
        pytest.param(None, "", "a", "a", [("latest", 100, "a")], id="first"),
        pytest.param(30, "", "a", "a", [("latest", 100, "a")], id="first-with-percent"),
        pytest.param(None, "a", "b", "a", [("latest", 100, "a")], id="update-not-ready"),
        pytest.param(None, "a", "b", "b", [("latest", 100, "b")], id="update-ready"),
        pytest.param(1, "a", "b", "a", [("latest", 100, "a")], id="canary-not-ready"),
        pytest.param(1, "a", "b", "b", [("latest", 1, "b"), ("prev", 99, "a")], id="canary"),
        pytest.param(0, "a", "b", "b", [("latest", 0, "b"), ("prev", 100, "a")], id="rolled-back"),
        pytest.param(100, "a", "b", "b", [("latest", 100, "b")], id="promoted"),
        pytest.param(1, "a", "a", "a", [("latest", 1, "a"), ("prev", 99, "a")], id="split-over-one"),
        pytest.param(
            20, "a", "c", "b", [("latest", 20, "b"), ("prev", 80, "a")], id="second-canary-not-ready"
        ),
        pytest.param(20, "a", "c", "c", [("latest", 20, "c"), ("prev", 80, "a")], id="second-canary"),
        pytest.param(100, "a", "b", "a", [("latest", 100, "a")], id="percent-100-kept-not-ready"),
    ],
)
def test_wanted_traffic(
    percent: Optional[int], rolled_out: str, created: str, ready: str, expected: list[tuple[str, int, str]]
) -> None:
    known = {"latestRolledoutRevision": rolled_out} if rolled_out else {}
    assert brief(status.wanted_traffic(service(percent, **known), created, ready)) == expected


def observe(one: dict[str, Any], created: RevisionState, ready: str, **extra: Any) -> dict[str, Any]:
    traffic = status.wanted_traffic(one, created.name, ready)
    extra.setdefault("routed", bool(traffic))
    return status.status(one, status.Observation(created, ready, traffic, **extra), T1)


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in found["conditions"]}


def test_captured_object_is_reproduced() -> None:
    captured = json.loads(CAPTURED.read_text())
    expected = captured.pop("status")
    old, new = "my-model-predictor-default-wl2cv", "my-model-predictor-default-zwjbq"
    captured["status"] = {"components": {"predictor": {"latestRolledoutRevision": old}}}
    found = observe(captured, RevisionState(new, True), new)
    for condition in [*found["conditions"], *expected["conditions"]]:
        del condition["lastTransitionTime"]
    assert found == expected


def test_first_revision_before_and_after_it_is_ready() -> None:
    before = observe(service(), RevisionState("a", False), "")
    assert set(conditions(before).values()) == {
        ("Unknown", "RevisionMissing"),
        ("Unknown", "Predictor ingress not created"),
        ("Unknown", ""),
    }
    assert "url" not in before
    assert before["components"]["predictor"] == {"latestCreatedRevision": "a"}
    after = observe({**service(), "status": before}, RevisionState("a", True), "a")
    assert {value for value, _unused in conditions(after).values()} == {"True"}
    assert after["url"] == "http://m.ns.example.com"
    assert after["address"] == {"url": "http://m.ns.svc.cluster.local/v1/models/m:predict"}
    assert after["components"]["predictor"]["latestRolledoutRevision"] == "a"
    assert "previousRolledoutRevision" not in after["components"]["predictor"]


def ready_service(percent: Optional[int] = None) -> dict[str, Any]:
    one = service(percent)
    one["status"] = observe(one, RevisionState("a", True), "a")
    return one


def test_update_takes_ready_back_and_leaves_the_traffic() -> None:
    one = ready_service()
    one["spec"]["predictor"]["canaryTrafficPercent"] = 10
    found = observe(one, RevisionState("b", False), "a")
    assert conditions(found) == {
        "IngressReady": ("Unknown", "Predictor ingress not created"),
        "PredictorConfigurationReady": ("True", ""),
        "PredictorReady": ("Unknown", ""),
        "PredictorRouteReady": ("Unknown", ""),
        "Ready": ("Unknown", "Predictor ingress not created"),
    }
    predictor = found["components"]["predictor"]
    assert brief(predictor["traffic"]) == [("latest", 100, "a")]
    assert (predictor["latestCreatedRevision"], predictor["latestReadyRevision"]) == ("b", "a")
    assert found["url"] == "http://m.ns.example.com"


def test_failed_canary_says_why() -> None:
    found = observe(ready_service(), RevisionState("b", False, "CrashLoopBackOff: back-off"), "a")
    by_type = {condition["type"]: condition for condition in found["conditions"]}
    assert by_type["Ready"]["status"] == "False"
    assert by_type["PredictorReady"]["reason"] == "RevisionFailed"
    assert by_type["PredictorReady"]["message"] == (
        'Revision "b" failed with message: CrashLoopBackOff: back-off.'
    )
    assert by_type["PredictorConfigurationReady"]["status"] == "True"


def test_routes_that_are_not_confirmed_change_nothing_but_the_conditions() -> None:
    one = ready_service(50)
    found = observe(one, RevisionState("b", True), "b", routed=False, gateway_problem="No gateway is ready.")
    assert brief(found["components"]["predictor"]["traffic"]) == [("latest", 100, "a")]
    assert found["components"]["predictor"]["latestRolledoutRevision"] == "a"
    by_type = {condition["type"]: condition for condition in found["conditions"]}
    assert by_type["Ready"]["status"] == "Unknown"
    assert by_type["PredictorConfigurationReady"]["message"] == "No gateway is ready."


@pytest.mark.parametrize(
    ("percent", "rolled_out", "previous", "created", "expected"),
    [
        (None, "", "", "a", ("a", "")),
        (50, "a", "", "b", ("a", "")),
        (100, "a", "", "b", ("b", "a")),
        (None, "a", "z", "b", ("b", "a")),
        (100, "b", "a", "b", ("b", "a")),
        (0, "a", "z", "b", ("a", "z")),
        pytest.param(20, "b", "a", "b", ("a", "a"), id="back-after-promotion"),
        pytest.param(1, "a", "", "a", ("a", ""), id="split-over-the-only-one"),
    ],
)
def test_rolled_out_revisions_rotate(
    percent: Optional[int], rolled_out: str, previous: str, created: str, expected: tuple[str, str]
) -> None:
    known = {"latestRolledoutRevision": rolled_out, "previousRolledoutRevision": previous}
    one = service(percent, **{key: value for key, value in known.items() if value} or {"url": "http://x"})
    predictor = observe(one, RevisionState(created, True), created)["components"]["predictor"]
    found = (predictor.get("latestRolledoutRevision", ""), predictor.get("previousRolledoutRevision", ""))
    assert found == expected


def test_condition_keeps_its_time_until_it_changes() -> None:
    one = ready_service()
    traffic = status.wanted_traffic(one, "a", "a")
    same = status.status(one, status.Observation(RevisionState("a", True), "a", traffic, True), T2)
    assert same == one["status"]
    other = status.status(one, status.Observation(RevisionState("b", False), "a", traffic, True), T2)
    times = {condition["type"]: condition["lastTransitionTime"] for condition in other["conditions"]}
    assert times["PredictorConfigurationReady"] == T1
    assert times["Ready"] == T2


def test_weights_add_up_and_leave_zero_out() -> None:
    split = status.wanted_traffic(service(1, latestRolledoutRevision="a"), "a", "a")
    assert status.weights(split) == {"a": 100}
    back = status.wanted_traffic(service(0, latestRolledoutRevision="a"), "b", "b")
    assert status.weights(back) == {"a": 100}
