# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one pod on the node.

    setting up   credentials and volumes are written; tried again until that succeeds
    refused      it asks for what the sandbox does not offer: its containers wait, and say why
    running      its containers run, each as `container` has it, until all are over for good
    over         all are: nothing runs any more, the object stays
    ending       the object was deleted or is gone, or the node ends: containers are stopped
    done         nothing is left running; the object is deleted too, unless the next node is to have it

It goes down this list, and from each of the first four straight to ending.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Mapping

from ...kube.client import ApiError, Json
from ...kube.times import seconds
from ..context import Context, first, within
from ..handle import end_recorded
from ..store import PodFolder
from . import supported, volumes
from .container import LEAST_GRACE, Container, Report
from .facts import ContainerFacts, PodFacts, Running, Waiting
from .mounts import Mounts
from .place import Place
from .pod_object import PodObject

_SET_UP_RETRY = 0.2
_SET_UP_RETRY_LONGEST = 5.0
_REFUSED_RETRY = 2.0
# The API server may be gone already when the node ends.
_LAST_STATUS_SECONDS = 1.0


def _new_facts(context: Context, pod: Json) -> PodFacts:
    return PodFacts(
        address=context.addresses.take(),
        host_address=context.host_address,
        start_time=context.clock(),
        containers={one["name"]: ContainerFacts() for one in pod["spec"]["containers"]},
    )


def _grace_of(pod: Json) -> float:
    """The pod's grace period in seconds; once it is deleted, the one that it was deleted with."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    return float(pod["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked)


class PodLife:
    """One pod. `run` is its whole life; `update`, `removed` and `shut_down` tell it what happens outside."""

    def __init__(self, context: Context, pod: Json, folder: PodFolder) -> None:
        self._context = context
        self._folder = folder
        kept = folder.load()
        self._recalled = kept is not None
        if kept is None:
            folder.create()
        self.facts = kept or _new_facts(context, pod)
        if kept is None:
            folder.save(self.facts)
        self._object = PodObject(context, pod, folder, self.facts)
        self._mounts = Mounts(context, pod, folder)
        self._containers = [self._container(spec) for spec in pod["spec"]["containers"]]
        # A pod that was over when this node first saw it is not run again; its status is left as it is.
        self._was_over = kept is None and (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        self._grace = _grace_of(pod)
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._shutting_down = asyncio.Event()
        self._shutdown_grace = 0.0
        if "deletionTimestamp" in pod["metadata"]:
            self._stopping.set()

    def _container(self, spec: Mapping[str, Any]) -> Container:
        pod = self.pod
        place = Place(self._context, pod, spec, self._folder, self.facts.address)
        policy, facts = pod["spec"].get("restartPolicy", "Always"), self.facts.containers[spec["name"]]
        return Container(place, facts, policy, _grace_of(pod), self._report)

    @property
    def pod(self) -> Json:
        """The Pod object as last seen."""
        return self._object.pod

    # -- what happens outside --

    def update(self, pod: Json) -> None:
        """The Pod object has changed."""
        self._object.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            grace = _grace_of(pod)
            if self._stopping.is_set() and grace < self._grace:
                self._hurry.set()
            self._grace = grace
            self._stopping.set()

    def configmap_changed(self, namespace: str, name: str) -> None:
        """A ConfigMap is no longer what it was."""
        if namespace == self.pod["metadata"]["namespace"]:
            self._mounts.configmap_changed(name)

    def removed(self) -> None:
        """The Pod object is gone: end what runs, report nothing more."""
        self._object.gone.set()
        self._grace = min(self._grace, LEAST_GRACE)
        self._hurry.set()
        self._stopping.set()

    def shut_down(self, grace: float) -> None:
        """The node ends: end what runs in at most `grace` seconds, leave the Pod object to the next node."""
        self._shutdown_grace = grace
        self._shutting_down.set()
        self._stopping.set()

    def again(self, folder: PodFolder) -> PodLife:
        """The same pod taken up anew from what is kept on disk, after a fault of the node."""
        life = PodLife(self._context, self.pod, folder)
        if self._object.gone.is_set():
            life.removed()
        if self._shutting_down.is_set():
            life.shut_down(self._shutdown_grace)
        return life

    # -- what its containers say --

    def _report(self, report: Report) -> None:
        """Keep what is known before anything follows from it, and write the status."""
        self.facts.containers[report.name] = report.facts
        try:
            self._folder.save(self.facts)
        except OSError as error:
            # A full disk: a node after this one will know less, but this one goes on.
            self._object.event("Warning", "FailedSave", str(error))
        self._object.changed()
        for event in report.events:
            self._object.event(event.kind, event.reason, event.message)

    # -- the life --

    async def run(self) -> None:
        """Run the pod until its object is gone (or the node ends) and nothing of it is left running."""
        loop = asyncio.get_running_loop()
        await self._recall()
        writing = loop.create_task(self._object.keep_status())
        living = loop.create_task(self._live())
        try:
            await self._until_stopping(living, writing)
            living.cancel()
            await asyncio.wait({living})
            await self._end()
        finally:
            writing.cancel()
            living.cancel()

    async def _recall(self) -> None:
        if self._recalled:
            # Hooks that a node before this one was waiting for have nobody who waits any more.
            records = self._context.layout.processes
            await self._context.blocking(end_recorded, records, ("exec",), f"-{self.pod['metadata']['uid']}-")
        await asyncio.gather(*(one.recall() for one in self._containers))

    async def _until_stopping(self, *works: asyncio.Task[None]) -> None:
        """Wait until the pod is to end; if one of the works fails before, raise that."""
        stopping = asyncio.get_running_loop().create_task(self._stopping.wait())
        pending: set[asyncio.Task[Any]] = {stopping, *works}
        try:
            while not stopping.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
        finally:
            stopping.cancel()

    async def _live(self) -> None:
        """Run the containers until all are over for good."""
        if self._was_over:
            return
        self._object.changed()
        await self._admitted()
        await self._set_up()
        loop = asyncio.get_running_loop()
        upkeep = loop.create_task(self._mounts.keep_up())
        running = [loop.create_task(one.run()) for one in self._containers]
        try:
            await asyncio.gather(*running)
        finally:
            for task in (upkeep, *running):
                task.cancel()
            await asyncio.wait({upkeep, *running})

    async def _admitted(self) -> None:
        """Return once the pod asks for nothing that the sandbox does not offer; what has run before does."""
        while all(isinstance(one.facts.state, Waiting) for one in self._containers):
            refusal = supported.refusal(self.pod)
            if refusal is None:
                return
            for one in self._containers:
                one.refuse(*refusal)
            # Its image may yet be changed.
            await self._context.sleep(_REFUSED_RETRY)

    async def _set_up(self) -> None:
        """Write credentials and volumes; until that succeeds the pod waits."""
        pause = _SET_UP_RETRY
        while True:
            try:
                await self._mounts.set_up()
                return
            except (volumes.VolumeError, ApiError, OSError) as error:
                self._object.event("Warning", "FailedMount", str(error))
            if any(isinstance(one.facts.state, Running) for one in self._containers):
                # Adopted containers have what they need; what is missing now will be seen to by the upkeep.
                return
            await self._context.sleep(pause)
            pause = min(pause * 2, _SET_UP_RETRY_LONGEST)

    # -- the end --

    async def _end(self) -> None:
        self.facts.terminating = True
        if self._shutting_down.is_set():
            await self._end_with_the_node()
            return
        left = self._remaining()
        self._object.event("Normal", "Killing", f"Stopping the pod, grace period {left:g} s")
        await self._stop_containers(left)
        if not self._object.gone.is_set():
            await self._write_status()
            await self._object.delete()
            # Not over before the watch says so: what it still has to say of the pod is not of a new one.
            await first(self._object.gone.wait(), self._shutting_down.wait())

    async def _end_with_the_node(self) -> None:
        await self._stop_containers(min(self._grace, self._shutdown_grace))
        with contextlib.suppress(asyncio.TimeoutError):
            await within(_LAST_STATUS_SECONDS, self._write_status())

    async def _write_status(self) -> None:
        if not self._was_over:
            await self._object.write_status()

    def _remaining(self) -> float:
        """What is left of the grace period, in seconds: a node before this one may have begun to end it."""
        deadline = self.pod["metadata"].get("deletionTimestamp")
        if deadline is None or self._object.gone.is_set():
            return self._grace
        until = seconds(deadline)
        # The API server counts in whole seconds: a pod killed up to a second early would be killed too early.
        left = until + 1.0 - self._context.clock()
        return float(max(LEAST_GRACE, min(self._grace, left)))

    async def _stop_containers(self, grace: float) -> None:
        """Stop all containers; if the pod is deleted again with less time (or altogether), in that time."""
        if not self._was_over:
            self._object.changed()
        await first(self._stop_all(grace), self._hurry.wait())
        await self._stop_all(min(max(self._grace, LEAST_GRACE), grace), hooks=False)

    async def _stop_all(self, grace: float, hooks: bool = True) -> None:
        """Stop those that run, all at once."""
        await asyncio.gather(*(one.stop(grace, hooks) for one in self._containers))
