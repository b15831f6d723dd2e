# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one container of a pod: start or adopt, probe, end, start again."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, Mapping, Optional, Protocol

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import (
    checks,
    environment,
    restart,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import Context
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.handle import Handle
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.probes import (
    LIVENESS,
    READINESS,
    STARTUP,
    ProbeSpec,
    ProbeState,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.status import (
    LOST_EXIT_CODE,
    LOST_REASON,
    RUNTIME_IMAGE,
    ContainerFacts,
    Running,
    State,
    Terminated,
    Waiting,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

# The kubelet gives a container so long after SIGTERM even if its preStop hook has used up the grace period.
LEAST_GRACE = 2.0
_CONFIG_RETRY_SECONDS = 2.0
# A node before this one was killed while it started a process: so long its record may take to appear.
_RECORD_SECONDS = 1.0
_START_ERROR = 128


class Home(Protocol):
    """What a container needs of its pod."""

    context: Context
    pod: dict[str, Any]
    folder: Path
    address: str

    async def environment(self, spec: Mapping[str, Any]) -> dict[str, str]:
        """The container's environment. Raises environment.ConfigError."""

    def log_path(self, container: str) -> Path:
        """Where its output goes."""

    def moved(self) -> None:
        """What is known of a container has changed: keep it, and write the status."""


async def _either(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    """Wait until one of the two is done."""
    await asyncio.wait({one, other}, return_when=asyncio.FIRST_COMPLETED)


def _code_reason(code: int) -> str:
    return "Completed" if code == 0 else "Error"


class Container:
    """One container. `facts` says at any time what is known of it; it is kept by the pod."""

    def __init__(self, home: Home, spec: Mapping[str, Any], facts: ContainerFacts, policy: str) -> None:
        self.home = home
        self.name: str = spec["name"]
        self.facts = facts
        self._policy = policy
        self._context = home.context
        self._handle: Optional[Handle] = None
        self._starting: Optional[asyncio.Future[records.Process]] = None
        self._env: Optional[dict[str, str]] = None
        self._fresh = False
        self._pre_stopped = False

    @property
    def spec(self) -> Mapping[str, Any]:
        """The container's spec as the pod has it now (its image may be changed)."""
        spec = self.home.pod["spec"]
        for one in [*spec["containers"], *(spec.get("initContainers") or ())]:
            if one["name"] == self.name:
                return dict(one)
        raise KeyError(self.name)

    async def run(self) -> None:
        """Start the container and keep it running as the restartPolicy says; returns when it is over."""
        if isinstance(self.facts.state, Waiting) and self.facts.last is not None:
            await self._wait_out(self.facts.last)
        while True:
            if self._handle is None and not isinstance(self.facts.state, Terminated):
                await self._start()
            if self._handle is not None:
                await self._watch_over(self._handle)
            ended = self.facts.state
            assert isinstance(ended, Terminated)
            if not restart.restarts(self._policy, ended.exit_code):
                return
            await self._pause(ended)

    async def stop(self, grace: float, hooks: bool = True) -> None:
        """End the container: preStop, SIGTERM, and SIGKILL when `grace` seconds are over."""
        deadline = self._context.monotonic() + grace
        if self._handle is None and self._starting is not None:
            try:
                self._attach(await asyncio.shield(self._starting))
            except records.ProcessError:
                return
        handle: Optional[Handle] = self._handle
        if handle is None:
            return
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook and hooks and grace > 0 and not self._pre_stopped and not handle.exited.done():
            self._pre_stopped = True
            await self._pre_stop(hook, handle, grace)
            deadline = max(deadline, self._context.monotonic() + LEAST_GRACE)
        if grace > 0:
            handle.signal(signal.SIGTERM)
            await handle.ended_within(deadline - self._context.monotonic())
        handle.kill()
        await asyncio.wait({handle.exited})
        self._ended(handle)

    # -- starting --

    async def recall(self) -> None:
        """Take up what a node before this one knew: adopt its process, or note that it has ended."""
        facts = self.facts
        if isinstance(facts.state, Terminated) or not facts.process:
            return
        record = self._context.layout.processes / f"{facts.process}.json"
        running = isinstance(facts.state, Running)
        found = records.read(record)
        if found is None and isinstance(facts.state, Waiting) and facts.state.reason != "CrashLoopBackOff":
            await self._context.sleep(_RECORD_SECONDS)
            found = records.read(record)
        if found is not None and records.alive(found):
            if running:
                self._handle = Handle(self._context, found)
            else:
                self._attach(found)
            self._tell("Normal", "Adopted", f"container {self.name} goes on as process {found.pid}")
        elif running or found is not None:
            self._tell("Warning", "Lost", f"container {self.name} ended while no node was there to see it")
            if found is not None:
                await self._context.blocking(records.end_all, [found], 0.0)
            self._set(self._termination(None))

    async def _start(self) -> None:
        """Start the container once it can be; afterwards it runs, or its state is Terminated."""
        env, argv = await self._configured()
        facts = self.facts
        facts.process = f"pod-{self.home.pod['metadata']['uid']}-{self.name}-{facts.restarts}"
        self._env, self._pre_stopped = env, False
        self.home.moved()
        argv[0] = self._context.programs.get(argv[0], argv[0])
        self._starting = asyncio.ensure_future(
            self._context.blocking(
                lambda: records.start(
                    self._context.layout.processes,
                    facts.process,
                    argv,
                    role="pod",
                    log=self.home.log_path(self.name),
                    env=env,
                    cwd=self.home.folder,
                )
            )
        )
        try:
            started = await asyncio.shield(self._starting)
        except (records.ProcessError, OSError) as error:
            self._starting = None
            now = self._context.clock()
            self._set(Terminated(_START_ERROR, "StartError", now, now, str(error)))
            self._tell("Warning", "Failed", f"Error: {error}")
        else:
            self._attach(started)

    def _attach(self, process: records.Process) -> None:
        self._starting = None
        self._fresh = True
        self._handle = Handle(self._context, process)
        spec = self.spec
        self.facts.started = not spec.get("startupProbe")
        self.facts.ready = self.facts.started and not spec.get("readinessProbe")
        self._set(Running(self._context.clock()))
        self._tell("Normal", "Started", f"Started container {self.name} as process {process.pid}")

    async def _configured(self) -> tuple[dict[str, str], list[str]]:
        """The environment and command line, once image and configuration allow."""
        while True:
            image = self.spec.get("image")
            if image != RUNTIME_IMAGE:
                text = (
                    f"the image {image} cannot be pulled: the sandbox runs {RUNTIME_IMAGE} only, "
                    "with the program to run as the container's command. Use that image, or a real cluster."
                )
                problem = Waiting("ErrImagePull", text)
            else:
                try:
                    env = await self.home.environment(self.spec)
                    return env, environment.command_line(self.spec, env)
                except environment.ConfigError as error:
                    problem = Waiting("CreateContainerConfigError", str(error))
            if self.facts.state != problem:
                self._set(problem)
                self._tell("Warning", "Failed", f"Error: {problem.reason}: {problem.message}")
            await self._context.sleep(_CONFIG_RETRY_SECONDS)

    # -- running --

    async def _watch_over(self, handle: Handle) -> None:
        """Probe the running container until it ends."""
        probing = asyncio.get_running_loop().create_task(self._probe_all())
        try:
            await _either(handle.exited, probing)
            if probing.done():
                probing.result()
            await asyncio.wait({handle.exited})
        finally:
            probing.cancel()
            await asyncio.wait({probing})
        self._ended(handle)

    async def _probe_all(self) -> None:
        spec = self.spec
        if self._env is None:
            self._env = await self._recalled_environment(spec)
        hook = (spec.get("lifecycle") or {}).get("postStart")
        if hook and self._fresh:
            problem = await checks.ask(self._place(), "poststart", hook, self._grace({}))
            if problem:
                self._tell("Warning", "FailedPostStartHook", problem)
                await self.stop(self._grace({}))
                return
        if spec.get("startupProbe") and not self.facts.started:
            await self._probe(STARTUP, spec["startupProbe"])
            self.facts.started = True
            self.facts.ready = not spec.get("readinessProbe")
            self.home.moved()
        kinds = [(READINESS, spec.get("readinessProbe")), (LIVENESS, spec.get("livenessProbe"))]
        await asyncio.gather(*(self._probe(kind, probe) for kind, probe in kinds if probe))

    async def _recalled_environment(self, spec: Mapping[str, Any]) -> dict[str, str]:
        """The environment of an adopted container, for its exec probes."""
        try:
            return await self.home.environment(spec)
        except environment.ConfigError:
            return {}

    async def _probe(self, kind: str, probe: Mapping[str, Any]) -> None:
        """Ask one probe again and again; a startup probe until it has succeeded."""
        state = ProbeState(
            kind,
            ProbeSpec.parse(probe),
            self._started_at(),
            True if kind == READINESS and self.facts.ready else None,
        )
        place = self._place()
        while True:
            await self._context.sleep(max(0.0, state.due - self._context.monotonic()))
            problem = await checks.ask(place, kind, probe, state.spec.timeout)
            verdict = state.observe(not problem, self._context.monotonic())
            if kind == READINESS:
                if verdict is not None and verdict != self.facts.ready:
                    self.facts.ready = verdict
                    if verdict:
                        self._tell("Normal", "Ready", f"container {self.name} is ready")
                    else:
                        self._tell("Warning", "Unhealthy", f"Readiness probe failed: {problem}")
                    self.home.moved()
            elif verdict is False:
                self._tell("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {problem}")
                self._tell(
                    "Normal", "Killing", f"Container {self.name} failed {kind} probe, will be restarted"
                )
                await self.stop(self._grace(probe))
                return
            elif verdict and kind == STARTUP:
                return

    def _started_at(self) -> float:
        """When the container started, on the clock that never jumps."""
        state = self.facts.state
        ago = self._context.clock() - state.started_at if isinstance(state, Running) else 0.0
        return float(self._context.monotonic() - max(0.0, ago))

    def _grace(self, probe: Mapping[str, Any]) -> float:
        own = probe.get("terminationGracePeriodSeconds")
        return float(
            own if own is not None else self.home.pod["spec"].get("terminationGracePeriodSeconds", 30)
        )

    def _place(self) -> checks.Place:
        return checks.Place(
            context=self._context,
            spec=self.spec,
            address=self.home.address,
            env=self._env or {},
            folder=self.home.folder,
            identity=self.facts.process,
        )

    # -- ending --

    async def _pre_stop(self, hook: Mapping[str, Any], handle: Handle, grace: float) -> None:
        """Run the preStop hook: at most for the grace period, and not beyond the container's own end."""
        hooking = asyncio.get_running_loop().create_task(checks.ask(self._place(), "prestop", hook, grace))
        try:
            await _either(handle.exited, hooking)
        finally:
            hooking.cancel()
            await asyncio.wait({hooking})
        if not hooking.cancelled() and hooking.result():
            self._tell("Warning", "FailedPreStopHook", hooking.result())

    def _ended(self, handle: Handle) -> None:
        """Note the end of a run; whoever sees it first does."""
        code = handle.exited.result()
        if self._handle is not handle:
            return
        self._handle = None
        ended = self._termination(code)
        self._set(ended)
        self._tell(
            "Normal", "Ended", f"container {self.name} ended: {ended.reason}, exit code {ended.exit_code}"
        )

    def _termination(self, code: Optional[int]) -> Terminated:
        state, now = self.facts.state, self._context.clock()
        began = state.started_at if isinstance(state, Running) else now
        if code is None:
            text = "The process ended while nobody was there to learn its exit code."
            return Terminated(LOST_EXIT_CODE, LOST_REASON, began, now, text)
        return Terminated(code, _code_reason(code), began, now)

    async def _pause(self, ended: Terminated) -> None:
        """Wait for the back-off's time and make ready for the next run."""
        backoff = restart.Backoff(self.facts.pause)
        self.facts.pause = backoff.after(ended.finished_at - ended.started_at)
        self.facts.last = ended
        if self.facts.pause:
            meta = self.home.pod["metadata"]
            text = (
                f"back-off {self.facts.pause:g}s restarting failed container={self.name} "
                f"pod={meta['name']}_{meta['namespace']}({meta['uid']})"
            )
            self._set(Waiting("CrashLoopBackOff", text))
            self._tell("Warning", "BackOff", text)
        else:
            self._set(Waiting("ContainerCreating"))
        await self._wait_out(ended)

    async def _wait_out(self, ended: Terminated) -> None:
        await self._context.sleep(max(0.0, ended.finished_at + self.facts.pause - self._context.clock()))
        self.facts.restarts += 1

    def _set(self, state: State) -> None:
        self.facts.state = state
        if not isinstance(state, Running):
            self.facts.ready = self.facts.started = False
        self.home.moved()

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self._context.event(self.home.pod, kind, reason, message)
