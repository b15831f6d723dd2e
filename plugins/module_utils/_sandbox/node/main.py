# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's process: registers the node, gives it every pod, and keeps it informed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import platform
import signal
import sys
from pathlib import Path
from typing import IO, Callable, Optional, Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import processes, state
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import store
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.api import (
    STRATEGIC,
    Api,
    ApiError,
    ApiUnreachable,
    Json,
    read_kubeconfig,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.container import LEAST_GRACE
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import NODE, Context, log
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import PodLife
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.reflector import Reflector
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.status import timestamp

_HEARTBEAT_SECONDS = 10.0
# When the node is told to end, its pods get at most so long; the rest is for the kill to work.
_SHUTDOWN_GRACE = 8.0
_SHUTDOWN_SECONDS = 10.0


class Node:
    """Runs the pods of one sandbox."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lives: dict[str, tuple[PodLife, asyncio.Task[None]]] = {}
        self._binding: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._swept = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        registering = loop.create_task(self._register())
        stopping = loop.create_task(self._stopped.wait())
        await asyncio.wait({registering, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopped.is_set():
            registering.result()
            watches = self._watch()
            beating = loop.create_task(self._beat())
            await asyncio.wait({stopping, beating}, return_when=asyncio.FIRST_COMPLETED)
            for watch in watches:
                watch.stop()
            beating.cancel()
        registering.cancel()
        await self._shut_down()

    # -- the Node object --

    async def _register(self) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": NODE,
                "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"},
            },
        }
        try:
            await self._context.insist("POST", "/api/v1/nodes", node)
        except ApiError as error:
            if error.status != 409:
                raise
        await self._context.insist(
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

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            try:
                await self._context.call(
                    "PATCH", f"/api/v1/nodes/{NODE}/status", self._status(first=False), STRATEGIC
                )
            except ApiUnreachable as error:
                log(f"heartbeat: {error}")
            except ApiError as error:
                log(f"heartbeat: {error}")
                if error.status == 404:
                    await self._register()

    # -- the pods --

    def _watch(self) -> list[Reflector]:
        loop = asyncio.get_running_loop()

        def on_loop(function: Callable[..., None]) -> Callable[..., None]:
            def call(*arguments: object) -> None:
                # RuntimeError: the loop is closed, the node has ended.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(function, *arguments)

            return call

        api = self._context.api
        watches = [
            Reflector(api, "/api/v1/configmaps", on_loop(self._configmaps), on_loop(self._configmap), log),
            Reflector(api, "/api/v1/pods", on_loop(self._pods), on_loop(self._pod), log),
        ]
        for watch in watches:
            watch.start()
        return watches

    def _configmaps(self, items: list[Json]) -> None:
        self._context.configmaps.replace(items)
        for life, _task in self._lives.values():
            for item in items:
                self._tell(life, item)

    def _configmap(self, kind: str, item: Json) -> None:
        if kind == "DELETED":
            self._context.configmaps.drop(item)
        else:
            self._context.configmaps.keep(item)
        for life, _task in self._lives.values():
            self._tell(life, item)

    def _tell(self, life: PodLife, item: Json) -> None:
        if life.pod["metadata"]["namespace"] == item["metadata"]["namespace"]:
            life.mounts.configmap_changed(item["metadata"]["name"])

    def _pods(self, items: list[Json]) -> None:
        present = {item["metadata"]["uid"] for item in items}
        if not self._swept:
            self._swept = True
            self._spawn(self._sweep(present))
        for uid, (life, _task) in list(self._lives.items()):
            if uid not in present:
                life.removed()
        for item in items:
            self._pod("MODIFIED", item)

    def _pod(self, kind: str, item: Json) -> None:
        if self._stopped.is_set():
            return
        uid = item["metadata"]["uid"]
        known = self._lives.get(uid)
        if kind == "DELETED":
            if known:
                known[0].removed()
        elif known:
            known[0].update(item)
        elif item["spec"].get("nodeName") == NODE:
            self._take_in(item)
        elif self._bindable(item):
            self._binding.add(uid)
            self._spawn(self._bind(item))

    def _bindable(self, item: Json) -> bool:
        spec, meta = item["spec"], item["metadata"]
        return not (
            spec.get("nodeName")
            or spec.get("schedulingGates")
            or "deletionTimestamp" in meta
            or meta["uid"] in self._binding
        )

    async def _bind(self, pod: Json) -> None:
        meta = pod["metadata"]
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "uid": meta["uid"]},
            "target": target,
        }
        try:
            await self._context.insist(
                "POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding", body
            )
        except ApiError as error:
            if error.status not in (404, 409):
                log(f"{meta['namespace']}/{meta['name']} cannot be bound: {error}")
        finally:
            self._binding.discard(meta["uid"])

    def _take_in(self, pod: Json) -> None:
        meta = pod["metadata"]
        folder = store.PodFolder(self._context.layout.pod(meta["namespace"], meta["name"], meta["uid"]))
        life = PodLife(self._context, pod, folder)
        log(f"{meta['namespace']}/{meta['name']} has address {life.address}")
        task = asyncio.get_running_loop().create_task(self._keep(life, folder))
        self._lives[meta["uid"]] = (life, task)

    async def _keep(self, life: PodLife, folder: store.PodFolder) -> None:
        """Let a pod live; once its object is gone, forget it."""
        meta = life.pod["metadata"]
        try:
            await life.run()
        except Exception as error:
            # A fault of the node itself. The other pods must not suffer from it, and it must not go unseen.
            log(
                f"{meta['namespace']}/{meta['name']} is no longer looked after: "
                f"{type(error).__name__}: {error}"
            )
            raise
        if self._stopped.is_set():
            return
        await self._context.blocking(self._end_records, f"-{meta['uid']}-")
        folder.retire()
        store.prune_logs(self._context.layout)
        self._context.addresses.give_back(life.address)
        self._context.forget(meta["uid"])
        del self._lives[meta["uid"]]
        log(f"{meta['namespace']}/{meta['name']} is gone")

    async def _sweep(self, present: set[str]) -> None:
        """End what pods left behind whose objects went while no node was there."""
        for folder in store.folders(self._context.layout):
            if folder.uid in present or folder.retired or folder.uid in self._lives:
                continue
            facts = folder.load()
            log(f"{folder.path.name} has no Pod any more: ending what it left")
            await self._context.blocking(self._end_records, f"-{folder.uid}-")
            folder.retire()
            if facts:
                self._context.addresses.give_back(facts.address)

    def _end_records(self, part: str) -> None:
        roles = ("pod", "exec")
        found = [
            one
            for one in processes.read_all(self._context.layout.processes)
            if one.role in roles and part in one.id
        ]
        processes.end_all(found, LEAST_GRACE)

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the end --

    async def _shut_down(self) -> None:
        log(f"ending, with {len(self._lives)} pods")
        for life, _task in self._lives.values():
            life.shut_down(_SHUTDOWN_GRACE)
        tasks = {task for _life, task in self._lives.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=_SHUTDOWN_SECONDS)
        await self._context.blocking(self._end_everything)
        log("ended")

    def _end_everything(self) -> None:
        roles = ("pod", "exec")
        found = [one for one in processes.read_all(self._context.layout.processes) if one.role in roles]
        if found:
            processes.end_all(found, 0.0)


def _programs(sandbox: state.Sandbox) -> dict[str, str]:
    """What a pod's command may call by name: the sandbox's own programs, whatever else the machine has."""
    python = sandbox.programs.get("python3", sys.executable)
    others = {name: sandbox.programs[name] for name in ("envoy", "prometheus") if name in sandbox.programs}
    return {**others, "python3": python, "python": python}


def _lock(layout: state.Layout) -> IO[str]:
    """Held as long as the node lives: two nodes would start every pod twice."""
    stream = open(layout.root / "node.lock", "w", encoding="utf-8")  # noqa: SIM115
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stream


def _context(layout: state.Layout) -> Context:
    sandbox = state.read_sandbox(layout)
    if sandbox is None:
        raise ValueError(
            f"{layout.record} is missing or cannot be read: {layout.root} is no sandbox's state folder."
        )
    for folder in (layout.pods, layout.processes, layout.shared):
        folder.mkdir(exist_ok=True, mode=0o700)
    return Context(
        api=Api(read_kubeconfig(layout.node_kubeconfig)),
        layout=layout,
        network=sandbox.network,
        programs=_programs(sandbox),
        addresses=store.Addresses(layout, sandbox.network),
    )


async def _run(layout: state.Layout) -> None:
    await Node(_context(layout)).run()


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the node of the sandbox in --state-dir."""
    parser = argparse.ArgumentParser(description="The sandbox's node: runs pods as local processes.")
    parser.add_argument("--state-dir", type=Path, required=True, help="the sandbox's state folder")
    layout = state.Layout(parser.parse_args(arguments).state_dir.absolute())
    try:
        lock = _lock(layout)
    except BlockingIOError:
        print(f"Another node runs the sandbox in {layout.root}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    with lock:
        try:
            asyncio.run(_run(layout))
        except (ValueError, OSError, ApiError) as error:
            print(f"The node cannot run: {error}", file=sys.stderr)
            return 1
    return 0
