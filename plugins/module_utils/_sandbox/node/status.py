# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's status from what is known of its containers, as the kubelet computes it. Pure."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Mapping, Optional, Union

Json = dict[str, Any]

RUNTIME_IMAGE = "sandbox.iter8.kfserving/runtime"
LOG_ANNOTATION = "sandbox.iter8.kfserving/log"

# What the kubelet writes for a container whose end it did not see.
LOST_EXIT_CODE = 137
LOST_REASON = "ContainerStatusUnknown"


@dataclass(frozen=True)
class Waiting:
    """Not started, and why. `reason` is one word."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Started at `started_at` (seconds since the epoch)."""

    started_at: float


@dataclass(frozen=True)
class Terminated:
    """Ended. Times are seconds since the epoch; a signal's exit code is 128 + its number."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    message: str = ""


State = Union[Waiting, Running, Terminated]
_STATES: dict[str, type[State]] = {"waiting": Waiting, "running": Running, "terminated": Terminated}


@dataclass
class ContainerFacts:
    """What is known of one container. `process` names its process's record; `pause` is its back-off's."""

    state: State = field(default_factory=lambda: Waiting("ContainerCreating"))
    last: Optional[Terminated] = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    process: str = ""
    pause: float = -1.0

    def to_json(self) -> Json:
        """For keeping on disk."""
        kind = next(name for name, cls in _STATES.items() if isinstance(self.state, cls))
        return {**asdict(self), "kind": kind}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> ContainerFacts:
        """The inverse of to_json."""
        rest = {key: value for key, value in kept.items() if key != "kind"}
        rest["state"] = _STATES[kept["kind"]](**kept["state"])
        rest["last"] = Terminated(**kept["last"]) if kept["last"] else None
        return cls(**rest)


@dataclass
class PodFacts:
    """What is known of one pod. `failure`: the (reason, message) for which the node itself ended it."""

    address: str
    host_address: str
    start_time: float
    containers: dict[str, ContainerFacts]
    init_containers: dict[str, ContainerFacts] = field(default_factory=dict)
    terminating: bool = False
    failure: Optional[tuple[str, str]] = None


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, whole seconds, as the API server keeps times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _state(state: Optional[State], process: str) -> Json:
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    if isinstance(state, Running):
        return {"running": {"startedAt": timestamp(state.started_at)}}
    if isinstance(state, Terminated):
        ended = {
            "exitCode": state.exit_code,
            "reason": state.reason,
            "startedAt": timestamp(state.started_at),
            "finishedAt": timestamp(state.finished_at),
        }
        if state.message:
            ended["message"] = state.message
        if process:
            ended["containerID"] = f"sandbox://{process}"
        return {"terminated": ended}
    return {}


def _container_status(spec: Mapping[str, Any], facts: ContainerFacts, ready: bool) -> Json:
    known = spec.get("image") == RUNTIME_IMAGE
    status = {
        "name": spec["name"],
        "image": spec.get("image", ""),
        "imageID": RUNTIME_IMAGE if known and facts.process else "",
        "ready": ready,
        "started": facts.started and isinstance(facts.state, Running),
        "restartCount": facts.restarts,
        "state": _state(facts.state, facts.process),
        "lastState": _state(facts.last, ""),
    }
    if facts.process:
        status["containerID"] = f"sandbox://{facts.process}"
    return status


def initialized(pod: Mapping[str, Any], facts: PodFacts) -> bool:
    """Whether every init container has succeeded."""
    return all(
        isinstance(one.state, Terminated) and one.state.exit_code == 0
        for one in facts.init_containers.values()
    )


def phase(pod: Mapping[str, Any], facts: PodFacts) -> str:
    """The pod's phase, by the kubelet's rules (its `getPhase`)."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if facts.failure:
        return "Failed"
    if not initialized(pod, facts):
        failed = any(
            isinstance(one.state, Terminated) and one.state.exit_code
            for one in facts.init_containers.values()
        )
        return "Failed" if failed and policy == "Never" else "Pending"
    running = stopped = succeeded = 0
    for one in facts.containers.values():
        if isinstance(one.state, Running):
            running += 1
        elif isinstance(one.state, Terminated):
            stopped += 1
            succeeded += one.state.exit_code == 0
        elif one.last:
            stopped += 1
        else:
            return "Pending"
    if running or policy == "Always":
        return "Running"
    if succeeded == stopped:
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _unready(pod: Mapping[str, Any], facts: PodFacts) -> list[str]:
    return [
        spec["name"]
        for spec in pod["spec"]["containers"]
        if not container_ready(facts, facts.containers[spec["name"]])
    ]


def container_ready(facts: PodFacts, one: ContainerFacts) -> bool:
    """Whether a container counts as ready: running, its probe passed, and the pod is not on its way out."""
    return one.ready and isinstance(one.state, Running) and not facts.terminating


def _conditions(
    pod: Mapping[str, Any], facts: PodFacts, reached: str, others: Mapping[str, str]
) -> list[Json]:
    done = {"status": "False", "reason": "PodCompleted"}
    waiting_init = [name for name, one in facts.init_containers.items() if not _succeeded(one)]
    if waiting_init and reached != "Succeeded":
        text = f"containers with incomplete status: [{' '.join(waiting_init)}]"
        init = {"status": "False", "reason": "ContainersNotInitialized", "message": text}
    else:
        init = {"status": "True", **({"reason": "PodCompleted"} if reached == "Succeeded" else {})}
    unready = _unready(pod, facts)
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    closed = [gate for gate in gates if others.get(gate) != "True"]
    if reached == "Succeeded":
        containers = ready = done
    elif reached == "Failed" and facts.failure:
        containers = ready = {"status": "False", "reason": "PodFailed"}
    elif unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        containers = ready = {"status": "False", "reason": "ContainersNotReady", "message": text}
    else:
        containers = ready = {"status": "True"}
        if closed:
            text = "; ".join(
                f'corresponding condition of pod readiness gate "{gate}" is not "True".' for gate in closed
            )
            ready = {"status": "False", "reason": "ReadinessGatesNotReady", "message": text}
    return [
        {"type": "Initialized", **init},
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **containers},
        {"type": "PodScheduled", "status": "True"},
    ]


def _succeeded(one: ContainerFacts) -> bool:
    return isinstance(one.state, Terminated) and one.state.exit_code == 0


def compute(pod: Mapping[str, Any], facts: PodFacts, previous: Mapping[str, Any], now: float) -> Json:
    """The status to write.

    previous: the status written or read before. A condition whose status is the same keeps its
    lastTransitionTime, and conditions of other types are what readiness gates are judged by.
    """
    reached = phase(pod, facts)
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    conditions = []
    judged = {kind: one.get("status", "") for kind, one in before.items()}
    for condition in _conditions(pod, facts, reached, judged):
        old = before.get(condition["type"])
        same = old is not None and old.get("status") == condition["status"] and old.get("lastTransitionTime")
        moved = old["lastTransitionTime"] if old and same else timestamp(now)
        # A reason or message that no longer holds is taken back by naming it as null in the patch.
        cleared = {
            key: None for key in ("reason", "message") if old and old.get(key) and key not in condition
        }
        conditions.append({**condition, **cleared, "lastTransitionTime": moved})
    status: Json = {
        "phase": reached,
        "conditions": conditions,
        "hostIP": facts.host_address,
        "podIP": facts.address,
        "podIPs": [{"ip": facts.address}],
        "startTime": timestamp(facts.start_time),
        "containerStatuses": [
            _container_status(spec, one, container_ready(facts, one))
            for spec in pod["spec"]["containers"]
            for one in [facts.containers[spec["name"]]]
        ],
    }
    if facts.init_containers:
        status["initContainerStatuses"] = [
            _container_status(spec, one, _succeeded(one))
            for spec in pod["spec"].get("initContainers") or ()
            for one in [facts.init_containers[spec["name"]]]
        ]
    if facts.failure:
        status["reason"], status["message"] = facts.failure
    return status


def holds(computed: Any, seen: Any) -> bool:
    """Whether all that `computed` says stands in `seen` already, so that nothing need be written."""
    if isinstance(computed, dict):
        if not isinstance(seen, dict):
            return not computed and seen is None
        return all(holds(value, seen.get(key)) for key, value in computed.items())
    if isinstance(computed, list):
        if not isinstance(seen, list):
            return False
        if computed and isinstance(computed[0], dict) and "type" in computed[0]:
            by_type = {one.get("type"): one for one in seen}
            return all(holds(one, by_type.get(one["type"])) for one in computed)
        return len(computed) == len(seen) and all(holds(*pair) for pair in zip(computed, seen))
    return bool(computed == seen) or (computed == "" and seen is None)
