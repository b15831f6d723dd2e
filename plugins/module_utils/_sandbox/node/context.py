# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of the node needs: the API server, the sandbox's paths, time, where to tell of events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Coroutine, Mapping, Optional, TypeVar

from ..kube.client import ApiError, ApiUnreachable, Json, KubeClient
from ..kube.times import timestamp
from ..paths import Layout
from .store import Addresses

NODE = "sandbox"

_T = TypeVar("_T")
_RETRY_FIRST = 0.1
_RETRY_LONGEST = 2.0


async def within(seconds: Optional[float], work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`; asyncio.TimeoutError, and `work` cancelled, if it takes longer (None: no limit).

    Unlike asyncio.wait_for before Python 3.12, a cancellation of the caller is never lost, not even when the
    work ends at that very moment: a lost one would leave a pod's tasks running and its end waiting for them.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise asyncio.TimeoutError
    finally:
        task.cancel()
        await asyncio.wait({task})


async def first(*works: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of them is done, and cancel the others."""
    tasks = {asyncio.get_running_loop().create_task(work) for work in works}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def log(text: str) -> None:
    """One line to stdout, with the time in UTC."""
    now = time.time()
    # A full disk must not end the node.
    with contextlib.suppress(OSError):
        print(f"{timestamp(now)[:-1]}.{int(now * 1000) % 1000:03d}Z {text}", flush=True)


@dataclass
class ConfigMaps:
    """The ConfigMaps as last seen, by (namespace, name)."""

    _known: dict[tuple[str, str], Json] = field(default_factory=dict)

    def replace(self, items: list[Json]) -> None:
        """All there are."""
        self._known = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in items}

    def keep(self, item: Json) -> bool:
        """One that was read or has changed. Returns False, and keeps what is known, if that is newer."""
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        known = self._known.get(key)
        if known is not None and _version(known) > _version(item):
            return False
        self._known[key] = item
        return True

    def drop(self, item: Json) -> None:
        """One that was deleted."""
        self._known.pop((item["metadata"]["namespace"], item["metadata"]["name"]), None)

    def get(self, namespace: str, name: str) -> Optional[Json]:
        """The ConfigMap, if it is known."""
        return self._known.get((namespace, name))


def _version(item: Json) -> int:
    return int(item["metadata"]["resourceVersion"])


@dataclass
class Context:
    """network: X of 127.X.0.0/16. programs: what `python3`, `envoy` and `prometheus` stand for as a command.
    clock: seconds since the epoch. monotonic: seconds that never jump. sleep: waits for so many seconds.
    """

    api: KubeClient
    layout: Layout
    network: int
    programs: Mapping[str, str]
    addresses: Addresses
    configmaps: ConfigMaps = field(default_factory=ConfigMaps)
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # Two pools, so that an API server that does not answer keeps no process from being started or ended.
    _calls: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "call"))
    _works: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "work"))
    _events: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def host_address(self) -> str:
        """The node's own address."""
        return f"127.{self.network}.0.1"

    async def blocking(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run what blocks on this machine (not on the API server) in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._works, function, *arguments)

    async def call(
        self, method: str, path: str, body: Optional[Json] = None, content_type: str = "application/json"
    ) -> Json:
        """One call to the API server. Raises ApiError, ApiUnreachable."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._calls, self.api.call, method, path, body, content_type)

    async def call_with_retry(
        self, method: str, path: str, body: Optional[Json] = None, content_type: str = "application/json"
    ) -> Json:
        """One call, made again until the API server answers it. Raises ApiError where it refuses."""
        pause = _RETRY_FIRST
        while True:
            try:
                return await self.call(method, path, body, content_type)
            except ApiUnreachable as error:
                problem: Exception = error
            except ApiError as error:
                if not error.passing:
                    raise
                problem = error
            await self.sleep(pause)
            if pause < _RETRY_LONGEST <= pause * 2:
                log(f"trying again until it succeeds: {problem}")
            pause = min(pause * 2, _RETRY_LONGEST)

    def event(self, pod: Json, kind: str, reason: str, message: str) -> None:
        """Log what happened to a pod and record it as an Event (`kind` is Normal or Warning)."""
        meta = pod["metadata"]
        log(f"{meta['namespace']}/{meta['name']} {reason}: {message}")
        task = asyncio.get_running_loop().create_task(self._record(pod, kind, reason, message[:1000]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, pod: Json, kind: str, reason: str, message: str) -> None:
        meta, now = pod["metadata"], timestamp(self.clock())
        key = (meta["uid"], reason, message)
        path = f"/api/v1/namespaces/{meta['namespace']}/events"
        name, count = self._events.get(key, (f"{meta['name']}.{time.time_ns():x}", 0))
        self._events[key] = (name, count + 1)
        try:
            if count:
                patch = {"count": count + 1, "lastTimestamp": now}
                await self.call("PATCH", f"{path}/{name}", patch, "application/merge-patch+json")
                return
            reference = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "namespace": meta["namespace"],
            }
            event = {
                "metadata": {"name": name},
                "involvedObject": {**reference, "uid": meta["uid"]},
                "type": kind,
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": "kubelet", "host": NODE},
            }
            await self.call("POST", path, event)
        except (ApiError, ApiUnreachable):
            # The log has it; an Event is a courtesy, refused for instance in a namespace that ends.
            self._events.pop(key, None)

    def forget(self, uid: str) -> None:
        """A pod is gone: its Events need not be counted any more."""
        for key in [key for key in self._events if key[0] == uid]:
            del self._events[key]
