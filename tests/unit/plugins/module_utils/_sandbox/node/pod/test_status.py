# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.times import timestamp
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import status
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.facts import (
    ContainerFacts,
    PodFacts,
    Running,
    State,
    Terminated,
    Waiting,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.supported import RUNTIME_IMAGE

GOOD = Terminated(0, "Completed", 10.0, 20.0)
BAD = Terminated(3, "Error", 10.0, 20.0)
UP = Running(10.0)
CREATING = Waiting("ContainerCreating")


def pod(policy: str = "Always", names: str = "a") -> dict[str, Any]:
    spec = {
        "restartPolicy": policy,
        "containers": [{"name": name, "image": RUNTIME_IMAGE} for name in names],
    }
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": spec}


def facts(*states: State, ready: bool = True, terminating: bool = False) -> PodFacts:
    containers = {name: ContainerFacts(one, ready=ready, process="pod-1") for name, one in zip("abc", states)}
    return PodFacts("127.9.1.1", "127.9.0.1", 5.0, containers, terminating)


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [CREATING], "Pending"),
        ("Always", [UP], "Running"),
        ("Always", [UP, CREATING], "Pending"),
        ("Always", [BAD], "Running"),
        ("Always", [GOOD, UP], "Running"),
        ("Never", [GOOD], "Succeeded"),
        ("Never", [GOOD, BAD], "Failed"),
        ("Never", [BAD, UP], "Running"),
        ("OnFailure", [GOOD, GOOD], "Succeeded"),
        ("OnFailure", [BAD], "Running"),
    ],
)
def test_phase(policy: str, states: list[State], phase: str) -> None:
    assert status.phase(policy, facts(*states)) == phase


def test_a_container_in_back_off_has_run() -> None:
    known = facts()
    known.containers["a"] = ContainerFacts(Waiting("CrashLoopBackOff"), BAD)
    assert status.phase("Always", known) == "Running"


def conditions(computed: dict[str, Any]) -> dict[str, tuple[str, Optional[str]]]:
    return {one["type"]: (one["status"], one.get("reason")) for one in computed["conditions"]}


@pytest.mark.parametrize(
    ("spec", "known", "expected"),
    [
        (pod(), facts(UP), {"Ready": ("True", None), "ContainersReady": ("True", None)}),
        (
            pod(),
            facts(UP, ready=False),
            {"Ready": ("False", "ContainersNotReady"), "ContainersReady": ("False", "ContainersNotReady")},
        ),
        (
            pod(),
            facts(UP, terminating=True),
            {"Ready": ("False", "ContainersNotReady"), "ContainersReady": ("False", "ContainersNotReady")},
        ),
        (
            pod("Never"),
            facts(GOOD),
            {"Ready": ("False", "PodCompleted"), "Initialized": ("True", "PodCompleted")},
        ),
        (pod("Never"), facts(BAD), {"Ready": ("False", "ContainersNotReady"), "Initialized": ("True", None)}),
    ],
)
def test_conditions(
    spec: dict[str, Any], known: PodFacts, expected: dict[str, tuple[str, Optional[str]]]
) -> None:
    found = conditions(status.compute(spec, known, {}, 30.0))
    assert found["PodScheduled"] == ("True", None)
    assert {kind: found[kind] for kind in expected} == expected


def test_a_condition_keeps_its_time_until_its_status_changes_and_takes_its_reason_back() -> None:
    unready = status.compute(pod(), facts(UP, ready=False), {}, 30.0)
    still = status.compute(pod(), facts(UP, ready=False), unready, 40.0)
    ready = status.compute(pod(), facts(UP), still, 50.0)
    times = [
        next(one for one in each["conditions"] if one["type"] == "Ready")["lastTransitionTime"]
        for each in (unready, still, ready)
    ]
    assert times == [timestamp(30), timestamp(30), timestamp(50)]
    condition = next(one for one in ready["conditions"] if one["type"] == "Ready")
    # A patch has to name what is to go.
    assert condition["reason"] is None
    assert condition["message"] is None


def test_container_status() -> None:
    known = facts(UP)
    known.containers["a"] = replace(known.containers["a"], last=BAD, restarts=2)
    one = status.compute(pod(), known, {}, 30.0)["containerStatuses"][0]
    assert one["state"] == {"running": {"startedAt": "1970-01-01T00:00:10Z"}}
    assert one["lastState"]["terminated"]["exitCode"] == 3
    assert (one["ready"], one["started"], one["restartCount"]) == (True, True, 2)
    assert one["containerID"] == "sandbox://pod-1"


@pytest.mark.parametrize(
    ("computed", "seen", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": {}}, {}, True),
        ({"a": None}, {}, True),
        ({"a": None}, {"a": "x"}, False),
        ({"l": [1, 2]}, {"l": [1]}, False),
        ({"c": [{"type": "x", "status": "1"}]}, {"c": [{"type": "y"}, {"type": "x", "status": "1"}]}, True),
        ({"c": [{"type": "x", "status": "1"}]}, {"c": [{"type": "y"}]}, False),
    ],
)
def test_holds(computed: Any, seen: Any, same: bool) -> None:
    assert status.holds(computed, seen) is same


def test_a_status_holds_once_it_is_written() -> None:
    first = status.compute(pod(), facts(UP), {}, 30.0)
    again = status.compute(pod(), facts(UP), first, 99.0)
    assert status.holds(again, first)
    assert not status.holds(status.compute(pod(), facts(BAD), first, 99.0), first)
