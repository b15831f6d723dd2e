# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod, read: which revision it serves, whether it is ready, what happened between two snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import (
    conditions,
    entries,
    mapping,
    number,
    text,
)

OOM_KILLED = "OOMKilled"
# Why a container does not start, where waiting does not mend it by itself.
STUCK = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
)


def revision_of(pod: Mapping[str, Any]) -> str:
    """The revision that the pod serves: Knative's label; empty for a pod of a plain Deployment."""
    return text(mapping(pod, "metadata", "labels"), "serving.knative.dev/revision")


def is_ready(pod: Mapping[str, Any] | None) -> bool:
    """Whether the pod's condition Ready is True."""
    return any(each.type == "Ready" and each.status == "True" for each in conditions(pod))


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
    words = [word for word in (reason, f"exit code {code}" if code is not None else "") if word]
    return f" ({', '.join(words)})" if words else ""


def _event(pod: Mapping[str, Any], event: str, words: str, data: dict[str, Any]) -> Event:
    name = text(mapping(pod, "metadata"), "name")
    return Event("pod", event, f"{name}  {words}", {"pod": name, "revision": revision_of(pod), **data})
