# SPDX-License-Identifier: GPL-3.0-or-later
"""The Node object: what the node says of itself, and that it is there."""

from __future__ import annotations

import os
import platform

from ..kube.client import STRATEGIC, ApiError, ApiUnreachable, Json
from ..kube.times import timestamp
from .context import NODE, Context, log

_HEARTBEAT_SECONDS = 10.0


class Registration:
    """Keeps the Node object as it should be."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def register(self) -> None:
        """Make the Node object, or take it over; tries until the API server answers. Raises ApiError."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": NODE,
                "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"},
            },
        }
        try:
            await self._context.call_with_retry("POST", "/api/v1/nodes", node)
        except ApiError as error:
            if error.status != 409:
                raise
        await self._context.call_with_retry(
            "PATCH", f"/api/v1/nodes/{NODE}/status", self._status(first=True), STRATEGIC
        )
        log(f"node {NODE} is registered, pods get addresses of 127.{self._context.network}.0.0/16")

    def _status(self, first: bool) -> Json:
        now = timestamp(self._context.clock())
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "pods run as local processes",
            "lastHeartbeatTime": now,
        }
        if not first:
            return {"status": {"conditions": [ready]}}
        ready["lastTransitionTime"] = now
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        capacity = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": "110"}
        addresses = [
            {"type": "InternalIP", "address": self._context.host_address},
            {"type": "Hostname", "address": NODE},
        ]
        info = {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": platform.release(),
            "osImage": platform.platform(),
            "containerRuntimeVersion": "sandbox://1",
            "kubeletVersion": "sandbox",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(
                platform.machine(), platform.machine()
            ),
        }
        return {
            "status": {
                "conditions": [ready],
                "capacity": capacity,
                "allocatable": capacity,
                "addresses": addresses,
                "nodeInfo": info,
            }
        }

    async def beat(self) -> None:
        """Say again and again, for ever, that the node is ready."""
        while True:
            await self._context.sleep(_HEARTBEAT_SECONDS)
            try:
                await self._context.call(
                    "PATCH", f"/api/v1/nodes/{NODE}/status", self._status(first=False), STRATEGIC
                )
            except ApiUnreachable as error:
                log(f"heartbeat: {error}")
            except ApiError as error:
                log(f"heartbeat: {error}")
                if error.status == 404:
                    await self.register()
