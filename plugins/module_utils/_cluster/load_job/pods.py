# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each generator's pod, as its object tells. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..client.api import Json
from .objects import CONTROL, INDEX

GONE = "its pod is gone, and with it what it had counted"


@dataclass(frozen=True)
class Pod:
    """The pod of one generator. `control` is what it was told so far, `problem` why it is none any more, or
    cannot become one; empty where nothing is wrong."""

    name: str
    uid: str
    index: int
    node: str
    phase: str
    control: Mapping[str, Any]
    problem: str

    @property
    def over(self) -> bool:
        """Whether its container will say nothing more."""
        return self.phase in ("Succeeded", "Failed")


def generators(listed: Iterable[Json], job_uid: str, count: int) -> list[Optional[Pod]]:
    """The pod of each part, None where there is none. Of several that one which was told to begin: another
    that a controller put in its place counts for nothing."""
    found: list[Optional[Pod]] = [None] * count
    for each in listed:
        owners = each["metadata"].get("ownerReferences") or []
        if job_uid not in [owner.get("uid") for owner in owners]:
            continue
        pod = read(each)
        if 0 <= pod.index < count:
            have = found[pod.index]
            if have is None or pod.control.get("start") and not have.control.get("start"):
                found[pod.index] = pod
    return found


def read(pod: Json) -> Pod:
    """A pod's object."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    annotations = metadata.get("annotations") or {}
    try:
        control = json.loads(annotations.get(CONTROL) or "{}")
    except ValueError:
        control = {}
    index = str(annotations.get(INDEX) or "")
    return Pod(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        index=int(index) if index.isdigit() else -1,
        node=str((pod.get("spec") or {}).get("nodeName") or ""),
        phase=str(status.get("phase") or ""),
        control=control if isinstance(control, dict) else {},
        problem=_problem(metadata, status),
    )


def _problem(metadata: Json, status: Json) -> str:
    """Why it does not run, the reason that explains most first."""
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    disrupted, scheduled = conditions.get("DisruptionTarget") or {}, conditions.get("PodScheduled") or {}
    reasons = [
        _reason("its pod was ended", disrupted) if disrupted.get("status") == "True" else "",
        _reason("its pod was ended", status) if status.get("reason") else "",  # Evicted, NodeLost
        *(_of_container(each.get("state") or {}) for each in status.get("containerStatuses") or []),
        "its pod is being deleted" if metadata.get("deletionTimestamp") else "",
        _reason("its pod has no node", scheduled) if scheduled.get("status") == "False" else "",
    ]
    return next(filter(None, reasons), "")


def _of_container(state: Json) -> str:
    ended, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    if ended.get("exitCode") or ended.get("signal"):
        return _reason(f"its container ended with exit status {ended.get('exitCode')}", ended)
    usual = ("ContainerCreating", "PodInitializing")
    if waiting and waiting.get("reason") not in usual:
        return _reason("its container waits", waiting)
    return ""


def _reason(what: str, why: Json) -> str:
    parts = (why.get("reason"), why.get("message"))
    details = ": ".join(str(each).strip().rstrip(".") for each in parts if each)
    return f"{what} ({details})" if details else what
