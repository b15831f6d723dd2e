# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod, read: which revision it serves, whether it is ready, what happened between two snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .events import Event
from .tree import entries, is_true, mapping, name_of, number, text

# Why a container does not start, where waiting does not mend it by itself.
STUCK = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
_KEEPS_DYING = 2


def revision_of(pod: Mapping[str, Any]) -> str:
    """The revision that the pod serves: Knative's label, or else the ReplicaSet that made it."""
    return text(mapping(pod, "metadata", "labels"), "serving.knative.dev/revision") or owner_of(
        pod, "ReplicaSet"
    )


def owner_of(obj: Mapping[str, Any], kind: str) -> str:
    """The name of the object's owner of this kind; empty where it has none."""
    owners = entries(obj, "metadata", "ownerReferences")
    return next((text(owner, "name") for owner in owners if text(owner, "kind") == kind), "")


def is_ready(pod: Mapping[str, Any] | None) -> bool:
    """Whether the pod's condition Ready is True."""
    return is_true(pod, "Ready")


def runs(pod: Mapping[str, Any]) -> bool:
    """Whether it can answer: it is ready, or it is being ended and a container of it still runs."""
    if not _deleted(pod):
        return is_ready(pod)
    containers = entries(pod, "status", "containerStatuses")
    return any("running" in mapping(each, "state") for each in containers)


def trouble(pod: Mapping[str, Any]) -> str:
    """What keeps the pod from ever becoming ready, as a clause; empty where nothing is known to.

    A container that does not start, or one that keeps dying: it was started anew at least twice and is not
    ready. Between two starts such a container runs for a while.
    """
    if is_ready(pod) or _deleted(pod):
        return ""
    name = name_of(pod)
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in entries(pod, "status", kind):
            waiting = mapping(status, "state", "waiting")
            reason, container = text(waiting, "reason"), text(status, "name")
            if reason in STUCK:
                detail = f": {text(waiting, 'message')}" if text(waiting, "message") else ""
                return f"container {container} of pod {name} does not start: {reason}{detail}"
            # An init container that is done is ready.
            if number(status, "restartCount") >= _KEEPS_DYING and status.get("ready") is not True:
                end = mapping(status, "lastState", "terminated")
                times = number(status, "restartCount")
                return f"container {container} of pod {name} was started anew {times} times{_because(end)}"
    return ""


def transitions(previous: Mapping[str, Any] | None, current: Mapping[str, Any] | None) -> list[Event]:
    """What happened between two snapshots: ready, unready, ending; containers ended, restarted, stuck; gone.

    `previous` is None for the first snapshot, `current` is None once the pod is gone. The data of each names
    the pod and its revision.
    """
    if current is None:
        return [_event(previous or {}, "gone", "is gone", {})]
    events = []
    if is_ready(current) and not is_ready(previous):
        events.append(_event(current, "ready", "is ready", {}))
    if is_ready(previous) and not is_ready(current):
        events.append(_event(current, "unready", "is no longer ready", {}))
    if _deleted(current) and not _deleted(previous):
        events.append(_event(current, "ending", "is being ended", {"deletion": _deleted(current)}))
    for status in entries(current, "status", "containerStatuses"):
        events += _container(previous, current, status)
    return events


def _container(
    previous: Mapping[str, Any] | None, current: Mapping[str, Any], status: Mapping[str, Any]
) -> list[Event]:
    name = text(status, "name")
    before = next(
        (each for each in entries(previous, "status", "containerStatuses") if text(each, "name") == name), {}
    )
    events = []
    ended = mapping(status, "state", "terminated")
    if number(status, "restartCount") > number(before, "restartCount"):
        # The end of the run before stands in lastState, if it was not seen itself.
        end = mapping(status, "lastState", "terminated")
        data = {"container": name, "restarts": number(status, "restartCount"), **_end(end)}
        events.append(_event(current, "restarted", f"restarted its container {name}{_because(end)}", data))
    if ended and ended != mapping(before, "state", "terminated"):
        data = {"container": name, **_end(ended)}
        events.append(_event(current, "ended", f"container {name} ended{_because(ended)}", data))
    waiting = text(mapping(status, "state", "waiting"), "reason")
    if waiting in STUCK and waiting != text(mapping(before, "state", "waiting"), "reason"):
        message = text(mapping(status, "state", "waiting"), "message")
        data = {"container": name, "reason": waiting, "message": message}
        events.append(_event(current, "stuck", f"container {name} does not start: {waiting}", data))
    return events


def _deleted(pod: Mapping[str, Any] | None) -> str:
    return text(mapping(pod, "metadata"), "deletionTimestamp")


def _end(ended: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "reason": text(ended, "reason"),
        "exit_code": ended.get("exitCode"),
        "signal": ended.get("signal"),
    }


def _because(ended: Mapping[str, Any]) -> str:
    reason, code = text(ended, "reason"), ended.get("exitCode")
    parts = [word for word in (reason, f"exit code {code}" if code is not None else "") if word]
    return f" ({', '.join(parts)})" if parts else ""


def _event(pod: Mapping[str, Any], event: str, message: str, data: dict[str, Any]) -> Event:
    name = name_of(pod)
    return Event("pod", event, f"{name}  {message}", {"pod": name, "revision": revision_of(pod), **data})
