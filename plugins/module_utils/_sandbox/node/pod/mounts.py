# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's credentials and volumes on this machine: written before it starts, kept up to date."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Optional

from ...kube.client import ApiError, Json
from ..context import Context, within
from ..store import PodFolder
from . import credentials, volumes

_LONGEST_SLEEP = 3600.0


class Mounts:
    """What a pod finds on disk."""

    def __init__(self, context: Context, pod: Json, folder: PodFolder) -> None:
        self._context = context
        self._pod = pod
        self._folder = folder
        self._renew_at = 0.0 if credentials.wanted(pod) else float("inf")
        self._changed = asyncio.Event()

    async def set_up(self) -> None:
        """Write credentials and volumes. Raises VolumeError or ApiError if that cannot be done (yet)."""
        self._folder.create()
        await self._renew()
        for name in volumes.configmaps(self._pod):
            await self._read_configmap(name)
        self._write_volumes()

    def configmap_changed(self, name: str) -> None:
        """A ConfigMap of the pod's namespace is no longer what it was."""
        if name in volumes.configmaps(self._pod):
            self._changed.set()

    async def keep_up(self) -> None:
        """Follow changes of ConfigMaps and renew the token, for ever."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._sleep(), self._changed.wait())
            self._changed.clear()
            try:
                await self._renew()
                changed = self._write_volumes()
            except (volumes.VolumeError, ApiError, OSError) as error:
                # What is there stays there, as with the kubelet: a deleted ConfigMap takes nothing away.
                self._context.event(self._pod, "Warning", "FailedMount", str(error))
            else:
                for name in changed:
                    self._context.event(self._pod, "Normal", "VolumeUpdated", f"volume {name} has changed")

    def _sleep(self) -> float:
        """How long nothing need be done of the node's own accord, in seconds."""
        return float(min(_LONGEST_SLEEP, max(1.0, self._renew_at - self._context.clock())))

    async def _renew(self) -> None:
        """Write the service account's token, if that is due."""
        if self._renew_at <= self._context.clock():
            token, self._renew_at = await credentials.request_token(self._context, self._pod)
            credentials.write(self._context, self._pod, self._folder, token)

    def _write_volumes(self) -> list[str]:
        """Write every volume as it should be now; returns the names of those that changed."""
        shared = self._context.layout.shared
        return [
            volume["name"]
            for volume in volumes.own_volumes(self._pod)
            if volumes.show(
                volume, volumes.location(volume, self._folder.volumes, shared), self._known_configmap
            )
        ]

    def _known_configmap(self, name: str) -> Optional[Json]:
        return self._context.configmaps.get(self._pod["metadata"]["namespace"], name)

    async def _read_configmap(self, name: str) -> None:
        """Take note of the ConfigMap as it is now: the watch may be a moment behind whoever changed it."""
        namespace = self._pod["metadata"]["namespace"]
        try:
            found = await self._context.call_with_retry(
                "GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}"
            )
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            self._context.configmaps.keep(found)
