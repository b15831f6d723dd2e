# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one pod on the node: set up, run, report, end."""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import time
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    STRATEGIC,
    ApiError,
    Json,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import status, volumes
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.container import (
    LEAST_GRACE,
    Container,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import (
    Context,
    first,
    within,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.handle import end_recorded
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.mounts import Mounts
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.status import (
    ContainerFacts,
    PodFacts,
    Running,
    Terminated,
    Waiting,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.store import PodFolder

_SET_UP_RETRY = 0.2
_SET_UP_RETRY_LONGEST = 5.0
# The API server may be gone already when the node ends.
_LAST_STATUS_SECONDS = 1.0
_LONGEST_ANNOTATION = 63
_DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


def _new_facts(context: Context, pod: Json, address: str) -> PodFacts:
    spec = pod["spec"]
    init = spec.get("initContainers") or ()
    first = Waiting("PodInitializing" if init else "ContainerCreating")
    return PodFacts(
        address=address,
        host_address=context.host_address,
        start_time=context.clock(),
        containers={one["name"]: ContainerFacts(first) for one in spec["containers"]},
        init_containers={one["name"]: ContainerFacts(Waiting("PodInitializing")) for one in init},
    )


class PodLife:
    """One pod. `run` is its whole life; `update`, `removed` and `shut_down` tell it what happens outside."""

    def __init__(self, context: Context, pod: Json, folder: PodFolder) -> None:
        self.context = context
        self.pod = pod
        self.folder: Path = folder.path
        self._folder = folder
        kept = folder.load()
        if kept is None:
            folder.create()
        self.facts = kept or _new_facts(context, pod, context.addresses.take())
        self.address = self.facts.address
        self.mounts = Mounts(context, pod, folder, self.address)
        spec = pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        self._init = [
            Container(
                self,
                one,
                self.facts.init_containers[one["name"]],
                "Never" if policy == "Never" else "OnFailure",
            )
            for one in spec.get("initContainers") or ()
        ]
        self._containers = [
            Container(self, one, self.facts.containers[one["name"]], policy) for one in spec["containers"]
        ]
        # A pod that was over when this node first saw it is not run again; its status is left as it is.
        self._recalled = kept is not None
        self._over = kept is None and (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        self._seen: Mapping[str, Any] = pod.get("status") or {}
        self._gone = asyncio.Event()
        self._shutdown_grace: Optional[float] = None
        self._shutting_down = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._dirty = asyncio.Event()
        self._pushing = asyncio.Lock()
        self._grace = self._grace_of(pod)
        if "deletionTimestamp" in pod["metadata"]:
            self._stopping.set()
        if kept is None:
            folder.save(self.facts)

    # -- what happens outside --

    def update(self, pod: Json) -> None:
        """The Pod object has changed."""
        before, self.pod = self.pod, pod
        self.mounts.pod_changed(pod)
        if "deletionTimestamp" in pod["metadata"]:
            grace = self._grace_of(pod)
            if self._stopping.is_set() and grace < self._grace:
                self._hurry.set()
            self._grace = grace
            self._stopping.set()
        if pod["spec"].get("readinessGates") and before.get("status") != pod.get("status"):
            self._seen = pod.get("status") or {}
            self._dirty.set()

    def again(self, folder: PodFolder) -> PodLife:
        """The same pod taken up anew from what is kept on disk, after a fault of the node."""
        life = PodLife(self.context, self.pod, folder)
        if self._gone.is_set():
            life.removed()
        if self._shutdown_grace is not None:
            life.shut_down(self._shutdown_grace)
        return life

    def removed(self) -> None:
        """The Pod object is gone: end what runs, report nothing more."""
        self._gone.set()
        self._grace = min(self._grace, LEAST_GRACE)
        self._hurry.set()
        self._stopping.set()

    def shut_down(self, grace: float) -> None:
        """The node ends: end what runs in at most `grace` seconds, leave the Pod object to the next node."""
        self._shutdown_grace = grace
        self._shutting_down.set()
        self._stopping.set()

    def _grace_of(self, pod: Json) -> float:
        meta, spec = pod["metadata"], pod["spec"]
        asked = meta.get("deletionGracePeriodSeconds")
        if asked is None:
            asked = spec.get("terminationGracePeriodSeconds", 30)
        return float(asked)

    # -- what containers need --

    async def environment(self, spec: Mapping[str, Any]) -> dict[str, str]:
        """The environment of a container. Raises environment.ConfigError."""
        env: dict[str, str] = await self.mounts.environment(spec)
        return env

    def log_path(self, container: str) -> Path:
        """Where a container's output goes."""
        path: Path = self._folder.log(container)
        return path

    def moved(self) -> None:
        """Keep what is known, and write the status."""
        try:
            self._folder.save(self.facts)
        except OSError as error:
            # A full disk: a node after this one will know less, but this one goes on.
            self.context.event(self.pod, "Warning", "FailedSave", str(error))
        self._dirty.set()

    # -- the life --

    async def run(self) -> None:
        """Run the pod until its object is gone (or the node ends) and nothing of it is left running."""
        loop = asyncio.get_running_loop()
        if self._recalled:
            # Probes and hooks that a node before this one was waiting for have nobody who waits any more.
            records = self.context.layout.processes
            await self.context.blocking(end_recorded, records, ("exec",), f"-{self.pod['metadata']['uid']}-")
        await asyncio.gather(*(one.recall() for one in [*self._init, *self._containers]))
        publishing = loop.create_task(self._publish())
        living = loop.create_task(self._live())
        stopping = loop.create_task(self._stopping.wait())
        try:
            await asyncio.wait({living, stopping, publishing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (living, publishing):
                # Neither ends by itself before the pod is over; if one failed, that must be told.
                if task.done():
                    task.result()
            await stopping
            living.cancel()
            await asyncio.wait({living})
            await self._end()
        finally:
            publishing.cancel()
            living.cancel()
            stopping.cancel()

    async def _live(self) -> None:
        """Run the containers until all are over for good."""
        if self._over:
            return
        self._dirty.set()
        if self.facts.failure:
            return
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        left = None if limit is None else max(0.0, self.facts.start_time + limit - self.context.clock())
        try:
            await within(left, self._run_containers())
        except asyncio.TimeoutError:
            self.facts.failure = _DEADLINE
            self.context.event(self.pod, "Normal", *_DEADLINE)
            await self._stop_containers(self._grace)
            self.moved()

    async def _run_containers(self) -> None:
        await self._set_up()
        loop = asyncio.get_running_loop()
        upkeep = loop.create_task(self.mounts.keep_up())
        running: list[asyncio.Task[None]] = []
        try:
            for container in self._init:
                await container.run()
                ended = container.facts.state
                if not isinstance(ended, Terminated) or ended.exit_code:
                    return
            running = [loop.create_task(container.run()) for container in self._containers]
            await asyncio.gather(*running)
        finally:
            for task in (upkeep, *running):
                task.cancel()
            await asyncio.wait({upkeep, *running})

    async def _set_up(self) -> None:
        """Write credentials and volumes; until that succeeds the pod waits."""
        pause = _SET_UP_RETRY
        while True:
            try:
                await self.mounts.set_up()
                return
            except (volumes.VolumeError, ApiError, OSError) as error:
                self.context.event(self.pod, "Warning", "FailedMount", str(error))
            if any(isinstance(one.state, Running) for one in self.facts.containers.values()):
                # Adopted containers have what they need; what is missing now will be seen to by the upkeep.
                return
            await self.context.sleep(pause)
            pause = min(pause * 2, _SET_UP_RETRY_LONGEST)

    # -- the end --

    async def _end(self) -> None:
        self.facts.terminating = True
        self._dirty.set()
        if self._shutdown_grace is not None:
            await self._stop_containers(min(self._grace, self._shutdown_grace))
            with contextlib.suppress(asyncio.TimeoutError):
                await within(_LAST_STATUS_SECONDS, self._push())
            return
        self.context.event(
            self.pod, "Normal", "Killing", f"Stopping the pod, grace period {self._remaining():g} s"
        )
        await self._stop_containers(self._remaining())
        if not self._gone.is_set():
            await self._push()
            await self._delete_object()
            # Not over before the watch says so: what it still has to say of the pod is not of a new one.
            await first(self._gone.wait(), self._shutting_down.wait())

    def _remaining(self) -> float:
        """What is left of the grace period, in seconds: a node before this one may have begun to end it."""
        deadline = self.pod["metadata"].get("deletionTimestamp")
        if deadline is None or self._gone.is_set():
            return self._grace
        until = calendar.timegm(time.strptime(deadline, "%Y-%m-%dT%H:%M:%SZ"))
        # The API server counts in whole seconds: a pod killed up to a second early would be killed too early.
        left = until + 1.0 - self.context.clock()
        return float(max(LEAST_GRACE, min(self._grace, left)))

    async def _stop_containers(self, grace: float) -> None:
        """Stop all containers; if the pod is deleted again with less time (or altogether), in that time."""
        everything = [*self._init, *self._containers]
        loop = asyncio.get_running_loop()
        stops = [loop.create_task(one.stop(grace)) for one in everything]
        hurry = loop.create_task(self._hurry.wait())
        pending = set(stops)
        while pending and not hurry.done():
            await asyncio.wait({*pending, hurry}, return_when=asyncio.FIRST_COMPLETED)
            for one in stops:
                if one.done():
                    one.result()
            pending = {one for one in pending if not one.done()}
        hurry.cancel()
        if pending:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending)
            least = min(max(self._grace, LEAST_GRACE), grace)
            await asyncio.gather(*(one.stop(least, hooks=False) for one in everything))

    async def _delete_object(self) -> None:
        meta = self.pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": meta["uid"]},
        }
        try:
            await self.context.insist("DELETE", self._path(), body)
        except ApiError as error:
            # Not found, or another pod of that name by now: in either case this one is gone.
            if error.status not in (404, 409):
                self.context.event(self.pod, "Warning", "FailedDelete", str(error))

    # -- the status --

    def _path(self) -> str:
        meta = self.pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    def _annotations(self) -> dict[str, str]:
        """Where the logs lie: the first container's, and by their names those of a pod with several."""
        spec = self.pod["spec"]
        names = [one["name"] for one in [*spec["containers"], *(spec.get("initContainers") or ())]]
        found = {status.LOG_ANNOTATION: str(self._folder.log(names[0]))}
        if len(names) > 1:
            # A longer name would be no valid annotation, and the API server would refuse the whole status.
            fitting = (name for name in names if len(f"log-{name}") <= _LONGEST_ANNOTATION)
            found.update({f"{status.LOG_ANNOTATION}-{name}": str(self._folder.log(name)) for name in fitting})
        return found

    async def _publish(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._push()

    async def _push(self) -> None:
        """Write the status if it differs from what was last written or seen."""
        if self._over:
            return
        async with self._pushing:
            now = status.compute(self.pod, self.facts, self._seen, self.context.clock())
            meta = self.pod["metadata"]
            annotations = self._annotations()
            shown = meta.get("annotations") or {}
            logged = annotations.items() <= shown.items()
            if self._gone.is_set() or (logged and status.holds(now, self._seen)):
                return
            # The UID makes the API server refuse (409) if the name belongs to another pod by now.
            patch = {
                "metadata": {"uid": meta["uid"], "annotations": annotations},
                "status": now,
            }
            try:
                answer = await self.context.insist("PATCH", f"{self._path()}/status", patch, STRATEGIC)
            except ApiError as error:
                if error.status not in (404, 409):
                    self.context.event(self.pod, "Warning", "FailedStatus", str(error))
                return
            self._seen = answer.get("status") or {}
            meta["annotations"] = {**shown, **annotations}
