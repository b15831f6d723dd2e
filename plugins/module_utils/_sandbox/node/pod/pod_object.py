# SPDX-License-Identifier: GPL-3.0-or-later
"""A Pod at the API server: what was last seen of it, and what the node writes to it."""

from __future__ import annotations

import asyncio
from typing import Any, Mapping

from ...kube.client import STRATEGIC, ApiError, Json
from ..context import Context
from ..store import PodFolder
from . import status
from .facts import PodFacts

LOG_ANNOTATION = "sandbox.iter8.kfserving/log"

_LONGEST_ANNOTATION = 63
# The name belongs to another pod by now, or to none.
_NOT_OURS = (404, 409)


class PodObject:
    """One Pod. gone: set once the API server has it no more."""

    def __init__(self, context: Context, pod: Json, folder: PodFolder, facts: PodFacts) -> None:
        self.pod = pod
        self.gone = asyncio.Event()
        self._context = context
        self._folder = folder
        self._facts = facts
        self._status: Mapping[str, Any] = pod.get("status") or {}
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    def event(self, kind: str, reason: str, message: str) -> None:
        """Record an Event of the pod."""
        self._context.event(self.pod, kind, reason, message)

    def changed(self) -> None:
        """What is known of the pod is no longer what its status says."""
        self._changed.set()

    async def keep_status(self) -> None:
        """Write the status after each change, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.write_status()

    async def write_status(self) -> None:
        """Write the status if it differs from what was last written or seen."""
        async with self._writing:
            now = status.compute(self.pod, self._facts, self._status, self._context.clock())
            meta, annotations = self.pod["metadata"], self._annotations()
            shown = meta.get("annotations") or {}
            if self.gone.is_set() or (
                annotations.items() <= shown.items() and status.holds(now, self._status)
            ):
                return
            # The UID makes the API server refuse (409) if the name belongs to another pod by now.
            patch = {"metadata": {"uid": meta["uid"], "annotations": annotations}, "status": now}
            try:
                answer = await self._context.call_with_retry(
                    "PATCH", f"{self._path}/status", patch, STRATEGIC
                )
            except ApiError as error:
                if error.status not in _NOT_OURS:
                    self.event("Warning", "FailedStatus", str(error))
                return
            self._status = answer.get("status") or {}
            meta["annotations"] = {**shown, **annotations}

    async def delete(self) -> None:
        """Take the object away: nothing of the pod runs any more."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.pod["metadata"]["uid"]},
        }
        try:
            await self._context.call_with_retry("DELETE", self._path, body)
        except ApiError as error:
            if error.status not in _NOT_OURS:
                self.event("Warning", "FailedDelete", str(error))

    @property
    def _path(self) -> str:
        meta = self.pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    def _annotations(self) -> dict[str, str]:
        """Where the logs lie: the first container's, and by their names those of a pod with several."""
        names = [one["name"] for one in self.pod["spec"]["containers"]]
        found = {LOG_ANNOTATION: str(self._folder.log(names[0]))}
        if len(names) > 1:
            # A longer name would be no valid annotation, and the API server would refuse the whole status.
            fitting = (name for name in names if len(f"log-{name}") <= _LONGEST_ANNOTATION)
            found.update({f"{LOG_ANNOTATION}-{name}": str(self._folder.log(name)) for name in fitting})
        return found
