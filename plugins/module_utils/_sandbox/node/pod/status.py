# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's status from what is known of its containers, as the kubelet computes it. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ...kube.times import timestamp
from .facts import ContainerFacts, Json, PodFacts, Running, State, Terminated, Waiting
from .supported import RUNTIME_IMAGE


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
        "started": isinstance(facts.state, Running),
        "restartCount": facts.restarts,
        "state": _state(facts.state, facts.process),
        "lastState": _state(facts.last, ""),
    }
    if facts.process:
        status["containerID"] = f"sandbox://{facts.process}"
    return status


def phase(policy: str, facts: PodFacts) -> str:
    """The pod's phase under its restartPolicy, by the kubelet's rules (its `getPhase`)."""
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


def container_ready(facts: PodFacts, one: ContainerFacts) -> bool:
    """Whether a container counts as ready: running, its probe passed, and the pod is not on its way out."""
    return one.ready and isinstance(one.state, Running) and not facts.terminating


def _conditions(facts: PodFacts, reached: str) -> list[Json]:
    initialized: Json = {"status": "True"}
    unready = [name for name, one in facts.containers.items() if not container_ready(facts, one)]
    if reached == "Succeeded":
        initialized = {"status": "True", "reason": "PodCompleted"}
        ready = {"status": "False", "reason": "PodCompleted"}
    elif unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": text}
    else:
        ready = {"status": "True"}
    return [
        {"type": "Initialized", **initialized},
        {"type": "Ready", **ready},
        {"type": "ContainersReady", **ready},
        {"type": "PodScheduled", "status": "True"},
    ]


def compute(pod: Mapping[str, Any], facts: PodFacts, previous: Mapping[str, Any], now: float) -> Json:
    """The status to write.

    previous: the status written or read before. A condition whose status is the same keeps its
    lastTransitionTime.
    """
    reached = phase(pod["spec"].get("restartPolicy", "Always"), facts)
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    return {
        "phase": reached,
        "conditions": [
            _dated(condition, before.get(condition["type"]) or {}, now)
            for condition in _conditions(facts, reached)
        ],
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


def _dated(condition: Json, old: Mapping[str, Any], now: float) -> Json:
    """The condition with the time of its last transition."""
    same = old.get("status") == condition["status"] and old.get("lastTransitionTime")
    moved = old["lastTransitionTime"] if same else timestamp(now)
    # A reason or message that no longer holds is taken back by naming it as null in the patch.
    cleared = {key: None for key in ("reason", "message") if old.get(key) and key not in condition}
    return {**condition, **cleared, "lastTransitionTime": moved}


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
