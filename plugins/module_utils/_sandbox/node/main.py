# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's process: registers the node, gives it every pod, and keeps it informed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import IO, Callable, Optional, Sequence

from .. import paths
from ..kube.client import ApiError, Json, KubeClient, read_kubeconfig
from ..kube.reflector import Reflector
from . import store
from .context import NODE, Context, log
from .handle import end_recorded
from .pod.container import LEAST_GRACE
from .pod.life import PodLife
from .registration import Registration

# When the node is told to end, its pods get at most so long: whoever would ask a draining model goes with it.
# The rest is for the kill to work.
_SHUTDOWN_GRACE = 0.5
_SHUTDOWN_SECONDS = 10.0
_ROLES = ("pod", "exec")
_FAULT_PAUSE = 1.0
_LONGEST_FAULT_PAUSE = 60.0


class Node:
    """Runs the pods of one sandbox."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registration = Registration(context)
        self._lives: dict[str, PodLife] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._binding: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._swept = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        registering = loop.create_task(self._registration.register())
        stopping = loop.create_task(self._stopped.wait())
        await asyncio.wait({registering, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopped.is_set():
            registering.result()
            watches = self._watch()
            beating = loop.create_task(self._registration.beat())
            await asyncio.wait({stopping, beating}, return_when=asyncio.FIRST_COMPLETED)
            for watch in watches:
                watch.stop()
            beating.cancel()
        registering.cancel()
        await self._shut_down()

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
        for life in self._lives.values():
            for item in items:
                _tell(life, item)

    def _configmap(self, kind: str, item: Json) -> None:
        if kind == "DELETED":
            self._context.configmaps.drop(item)
        else:
            self._context.configmaps.keep(item)
        for life in self._lives.values():
            _tell(life, item)

    def _pods(self, items: list[Json]) -> None:
        present = {item["metadata"]["uid"] for item in items}
        if not self._swept:
            self._swept = True
            self._spawn(self._sweep(present))
        for uid, life in list(self._lives.items()):
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
                known.removed()
        elif known:
            known.update(item)
        elif item["spec"].get("nodeName") == NODE:
            self._take_in(item)
        elif self._bindable(item):
            self._binding.add(uid)
            self._spawn(self._bind(item))

    def _bindable(self, item: Json) -> bool:
        spec, meta = item["spec"], item["metadata"]
        return not (spec.get("nodeName") or "deletionTimestamp" in meta or meta["uid"] in self._binding)

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
            await self._context.call_with_retry(
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
        try:
            self._lives[meta["uid"]] = life = PodLife(self._context, pod, folder)
        except OSError as error:
            log(f"{meta['namespace']}/{meta['name']} cannot be taken in: {error}")
            return
        log(f"{meta['namespace']}/{meta['name']} has address {life.facts.address}")
        task = asyncio.get_running_loop().create_task(self._keep(meta["uid"], folder))
        self._keeping.add(task)
        task.add_done_callback(self._finished)

    async def _keep(self, uid: str, folder: store.PodFolder) -> None:
        """Let a pod live; once its object is gone, forget it."""
        life = self._lives[uid]
        meta, pause = life.pod["metadata"], _FAULT_PAUSE
        while True:
            try:
                await life.run()
                break
            except Exception:
                # A fault of the node itself: it must not go unseen, and the pod must not stay unattended.
                log(f"{meta['namespace']}/{meta['name']}: {traceback.format_exc()}")
            await self._context.sleep(pause)
            pause = min(pause * 2, _LONGEST_FAULT_PAUSE)
            self._lives[uid] = life = life.again(folder)
        if self._stopped.is_set():
            return
        await self._end_records(uid)
        folder.retire()
        store.prune_logs(self._context.layout)
        self._context.addresses.give_back(life.facts.address)
        self._context.forget(uid)
        del self._lives[uid]
        log(f"{meta['namespace']}/{meta['name']} is gone")

    async def _sweep(self, present: set[str]) -> None:
        """End what pods left behind whose objects went while no node was there."""
        for folder in store.folders(self._context.layout):
            if folder.uid in present or folder.retired or folder.uid in self._lives:
                continue
            facts = folder.load()
            log(f"{folder.path.name} has no Pod any more: ending what it left")
            await self._end_records(folder.uid)
            folder.retire()
            if facts:
                self._context.addresses.give_back(facts.address)

    async def _end_records(self, uid: str) -> None:
        """End whatever is recorded of a pod; its containers have had their time."""
        records = self._context.layout.processes
        await self._context.blocking(end_recorded, records, _ROLES, f"-{uid}-", LEAST_GRACE)

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._keeping.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log(f"a fault of the node: {''.join(traceback.format_exception(error))}")

    # -- the end --

    async def _shut_down(self) -> None:
        log(f"ending, with {len(self._lives)} pods")
        for life in self._lives.values():
            life.shut_down(_SHUTDOWN_GRACE)
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=_SHUTDOWN_SECONDS)
        await self._context.blocking(end_recorded, self._context.layout.processes, _ROLES)
        log("ended")


def _tell(life: PodLife, configmap: Json) -> None:
    meta = configmap["metadata"]
    life.configmap_changed(meta["namespace"], meta["name"])


def _programs(sandbox: paths.Sandbox) -> dict[str, str]:
    """What a pod's command may call by name: the sandbox's own programs, whatever else the machine has."""
    python = sandbox.programs.get("python3", sys.executable)
    found = {"python3": python, "python": python}
    for name in ("envoy", "prometheus"):
        if name in sandbox.programs:
            found[name] = sandbox.programs[name]
    return found


def _lock(layout: paths.Layout) -> IO[str]:
    """Held as long as the node lives: two nodes would start every pod twice."""
    stream = open(layout.root / "node.lock", "w", encoding="utf-8")  # noqa: SIM115
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stream


def _context(layout: paths.Layout) -> Context:
    sandbox = paths.read_sandbox(layout)
    if sandbox is None:
        raise ValueError(
            f"{layout.record} is missing or cannot be read: {layout.root} is no sandbox's state folder."
        )
    for folder in (layout.pods, layout.processes, layout.shared):
        folder.mkdir(exist_ok=True, mode=0o700)
    return Context(
        api=KubeClient(read_kubeconfig(layout.node_kubeconfig)),
        layout=layout,
        network=sandbox.network,
        programs=_programs(sandbox),
        addresses=store.Addresses(layout, sandbox.network),
    )


async def _run(layout: paths.Layout) -> None:
    await Node(_context(layout)).run()


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the node of the sandbox in --state-dir."""
    parser = argparse.ArgumentParser(description="The sandbox's node: runs pods as local processes.")
    parser.add_argument("--state-dir", type=Path, required=True, help="the sandbox's state folder")
    layout = paths.Layout(parser.parse_args(arguments).state_dir.absolute())
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


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it would wait for threads that still wait for an API server that does not answer.
    os._exit(status)
