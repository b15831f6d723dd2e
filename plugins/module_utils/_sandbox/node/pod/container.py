# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one container of a pod: start or adopt, probe, end, start again.

A pod calls its containers and never the other way round: what a container has to say goes up as a Report.
The states that it goes through are listed in `facts`.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional

from ...processes import records
from ..handle import Handle
from . import checks
from .facts import ContainerFacts, Running, Terminated, Waiting
from .place import Place

# The kubelet gives a container so long after SIGTERM even if its preStop hook has used up the grace period.
LEAST_GRACE = 2.0
# A node before this one was killed while it started a process: so long its record may take to appear.
_RECORD_SECONDS = 1.0


@dataclass(frozen=True)
class PodEvent:
    """What happened to a container, for people. kind: Normal or Warning. reason: one word."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True)
class Report:
    """What is known of a container from now on, and the events that go with it."""

    name: str
    facts: ContainerFacts
    events: tuple[PodEvent, ...]


class Container:
    """One container. policy: the pod's restartPolicy. grace: its grace period in seconds."""

    def __init__(
        self,
        place: Place,
        facts: ContainerFacts,
        policy: str,
        grace: float,
        report: Callable[[Report], None],
    ) -> None:
        self.name: str = place.spec["name"]
        self.facts = facts
        self._place = place
        self._context = place.context
        self._policy = policy
        self._grace = grace
        self._report = report
        self._handle: Optional[Handle] = None
        self._starting: Optional[asyncio.Future[records.Process]] = None
        self._hook_has_run = False

    async def recall(self) -> None:
        """Take up what a node before this one knew: adopt its process, or note that it has ended."""
        if isinstance(self.facts.state, Terminated) or not self.facts.process:
            return
        running = isinstance(self.facts.state, Running)
        found = await self._recorded()
        if found is not None and records.alive(found):
            if running:
                self._handle = Handle(self._context, found)
            else:
                self._attach(found)
            self._tell("Normal", "Adopted", f"container {self.name} goes on as process {found.pid}")
        elif running or found is not None:
            if found is not None:
                await self._context.blocking(records.end_all, [found], 0.0)
            text = f"container {self.name} ended while no node was there to see it"
            self._now(self.facts.lost(self._context.clock()), PodEvent("Warning", "Lost", text))

    def refuse(self, reason: str, message: str) -> None:
        """It is not to be started, since the pod asks for what cannot be had."""
        refused = self.facts.refused(reason, message)
        if refused != self.facts:
            self._now(refused, PodEvent("Warning", "Failed", f"Error: {reason}: {message}"))

    async def run(self) -> None:
        """Start the container and keep it running as the restartPolicy says; returns when it is over."""
        while True:
            await self._wait_out_back_off()
            if isinstance(self.facts.state, Waiting):
                await self._start()
            if self._handle is not None:
                await self._watch_over(self._handle)
            if self.facts.over(self._policy):
                return
            self._again()

    async def stop(self, grace: float, hooks: bool = True) -> None:
        """End the container: preStop, SIGTERM, and SIGKILL when `grace` seconds are over."""
        deadline = self._context.monotonic() + grace
        handle = await self._running()
        if handle is None:
            return
        if hooks and grace > 0 and await self._pre_stop(handle, grace):
            deadline = max(deadline, self._context.monotonic() + LEAST_GRACE)
        if grace > 0:
            handle.signal(signal.SIGTERM)
            await handle.ended_within(deadline - self._context.monotonic())
        handle.kill()
        await asyncio.wait({handle.exited})
        self._ended(handle)

    # -- starting --

    async def _recorded(self) -> Optional[records.Process]:
        record = self._context.layout.processes / f"{self.facts.process}.json"
        found = records.read(record)
        starting = isinstance(self.facts.state, Waiting) and self.facts.pausing_until is None
        if found is None and starting:
            await self._context.sleep(_RECORD_SECONDS)
            found = records.read(record)
        return found

    async def _wait_out_back_off(self) -> None:
        until = self.facts.pausing_until
        if until is not None:
            await self._context.sleep(max(0.0, until - self._context.clock()))
            self._now(self.facts.pause_over())

    async def _start(self) -> None:
        """Start the container's process; afterwards it runs, or its state is Terminated."""
        place = self._place
        process = f"pod-{place.pod['metadata']['uid']}-{self.name}-{self.facts.restarts}"
        self._now(self.facts.named(process))
        self._hook_has_run = False
        log = place.folder.log(self.name)
        self._starting = asyncio.ensure_future(place.launch(process, place.command_line(), "pod", log))
        try:
            started = await asyncio.shield(self._starting)
        except (records.ProcessError, OSError) as error:
            self._starting = None
            failed = self.facts.not_started(str(error), self._context.clock())
            self._now(failed, PodEvent("Warning", "Failed", f"Error: {error}"))
        else:
            self._attach(started)

    def _attach(self, process: records.Process) -> None:
        self._starting = None
        self._handle = Handle(self._context, process)
        ready = not self._place.spec.get("readinessProbe")
        text = f"Started container {self.name} as process {process.pid}"
        self._now(self.facts.started(self._context.clock(), ready), PodEvent("Normal", "Started", text))

    # -- running --

    async def _watch_over(self, handle: Handle) -> None:
        """Probe the running container until it ends, or until its liveness probe wants it to."""
        spec, loop = self._place.spec, asyncio.get_running_loop()
        wanted = {"readinessProbe": self._follow_readiness, "livenessProbe": self._until_not_alive}
        probes = [loop.create_task(probe(spec[key])) for key, probe in wanted.items() if spec.get(key)]
        try:
            await _first_of(handle.exited, *probes)
        finally:
            await _cancel(*probes)
        for probe in probes:
            if not probe.cancelled():
                probe.result()
        if not handle.exited.done():
            await self.stop(self._grace)
        self._ended(handle)

    async def _follow_readiness(self, probe: Mapping[str, Any]) -> None:
        asking = checks.Asking(self._place, probe, self._started_at(), self.facts.ready)
        while True:
            ready = await asking.next()
            if ready == self.facts.ready:
                continue
            if ready:
                event = PodEvent("Normal", "Ready", f"container {self.name} is ready")
            else:
                event = PodEvent("Warning", "Unhealthy", f"Readiness probe failed: {asking.problem}")
            self._now(self.facts.probed(ready), event)

    async def _until_not_alive(self, probe: Mapping[str, Any]) -> None:
        asking = checks.Asking(self._place, probe, self._started_at(), True)
        while await asking.next():
            pass
        self._tell("Warning", "Unhealthy", f"Liveness probe failed: {asking.problem}")
        self._tell("Normal", "Killing", f"Container {self.name} failed liveness probe, will be restarted")

    def _started_at(self) -> float:
        """When the container started, on the clock that never jumps."""
        state = self.facts.state
        ago = self._context.clock() - state.started_at if isinstance(state, Running) else 0.0
        return float(self._context.monotonic() - max(0.0, ago))

    # -- ending --

    async def _running(self) -> Optional[Handle]:
        """The process that runs, also one that is just being started."""
        if self._handle is None and self._starting is not None:
            try:
                self._attach(await asyncio.shield(self._starting))
            except (records.ProcessError, OSError):
                return None
        return self._handle

    async def _pre_stop(self, handle: Handle, grace: float) -> bool:
        """Run the preStop hook, once, at most for the grace period and not beyond the container's own end.

        Returns whether there was one to run.
        """
        lifecycle = self._place.spec.get("lifecycle") or {}
        if not lifecycle.get("preStop") or self._hook_has_run or handle.exited.done():
            return False
        self._hook_has_run = True
        command, identity = lifecycle["preStop"]["exec"]["command"], f"{self.facts.process}-prestop"
        hook = asyncio.get_running_loop().create_task(checks.run_hook(self._place, identity, command, grace))
        try:
            await _first_of(handle.exited, hook)
        finally:
            await _cancel(hook)
        if not hook.cancelled() and hook.result():
            self._tell("Warning", "FailedPreStopHook", hook.result())
        return True

    def _ended(self, handle: Handle) -> None:
        """Note the end of a run; whoever sees it first does."""
        if self._handle is not handle:
            return
        self._handle = None
        facts = self.facts.ended(handle.exited.result(), self._context.clock())
        state = facts.state
        how = f"{state.reason}, exit code {state.exit_code}" if isinstance(state, Terminated) else ""
        self._now(facts, PodEvent("Normal", "Ended", f"container {self.name} ended: {how}"))

    def _again(self) -> None:
        facts = self.facts.again(self._place.whom)
        if facts.pausing_until is not None and isinstance(facts.state, Waiting):
            self._now(facts, PodEvent("Warning", "BackOff", facts.state.message))
        else:
            self._now(facts)

    # -- telling the pod --

    def _now(self, facts: ContainerFacts, *events: PodEvent) -> None:
        """This is what holds from now on."""
        self.facts = facts
        self._report(Report(self.name, facts, events))

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self._now(self.facts, PodEvent(kind, reason, message))


async def _first_of(*works: asyncio.Future[Any]) -> None:
    """Wait until one of them is done."""
    await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
