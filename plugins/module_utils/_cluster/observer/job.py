# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer as a detached process: started, looked at, stopped; its files.

The process is forked from the module that starts it, so that it has the credentials without their ever being
written down, and a token that the Kubernetes client renews is renewed here as well. It lets go of everything
else: its session, the folder, what Ansible reads.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import alive, own_record, send
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import (
    Lines,
    Store,
    check_room,
    read_json,
    read_lines,
)

from ..client.errors import ClusterError
from ..client.watch import Clock
from .coverage import Unobserved
from .observer import Observer
from .recorder import Recorder, Row

START_SECONDS = 30.0
STOP_SECONDS = 15.0
CHECKPOINT_SECONDS = 0.5
FLUSH_AT_END_SECONDS = 5.0
"""How long the end is held up for a disk that is full."""


class ObserverStore(Store):
    """Where an observer keeps its files."""

    kind = "observers"

    @property
    def observations(self) -> Path:
        """`observations.jsonl`, which only grows."""
        return self.folder / "observations.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is to be observed, for whom, and for how long at the most (seconds)."""

    name: str
    inferenceservice: str
    namespace: str
    experiment: str
    handler_namespace: str
    timeline: str
    duration: float

    @property
    def public(self) -> dict[str, Any]:
        """What may be written down of it."""
        return asdict(self)


# Makes the observer of a forked process: its own connections, never those of the process it came from.
Make = Callable[[], Observer]


def state(state_dir: str | None, name: str) -> str:
    """`absent`, `running`, `stopped` (it ended by itself or was asked to), `interrupted` (it was killed)."""
    store = ObserverStore(state_dir, name)
    if not store.exists():
        return "absent"
    # In this order: the process writes its result before it ends.
    running = alive(read_json(store.record))
    if store.result.exists():
        return "stopped"
    if running:
        return "running"
    return "interrupted" if store.record.exists() else "absent"


def start(plan: Plan, make: Make, state_dir: str | None) -> bool:
    """Start it; True if it was started, False if it runs already with the same plan.

    Returns once everything needed has been listed. Raises ClusterError if that fails, or if one of the name
    observes something else.
    """
    store = ObserverStore(state_dir, plan.name)
    check_room(store.folder, "state folder")
    with store.locked(create=True):
        if alive(read_json(store.record)) and not store.result.exists():
            if (read_json(store.description) or {}).get("plan") == plan.public:
                return False
            raise ClusterError(
                f"An observer named {plan.name!r} is running and observes something else: stop it first, or "
                "choose another name."
            )
        store.clear()
        write_atomically(store.description, json.dumps({"plan": plan.public}))
        try:
            _fork(plan, make, store)
        except ClusterError:
            store.remove()
            raise
    return True


def _fork(plan: Plan, make: Make, store: ObserverStore) -> None:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        # Nothing of the caller's may run in the child: no handler at exit, no exception that gets out.
        os.close(reading)
        _detached(plan, make, store, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, encoding="utf-8") as pipe:
        message = pipe.readline()
    if message != "ready\n":
        raise ClusterError(message.strip() or f"The observer ended before it observed; see {store.log}.")


def _detached(plan: Plan, make: Make, store: ObserverStore, writing: int) -> NoReturn:
    status = 1
    try:
        if os.fork():
            os._exit(0)  # the caller need not wait for what outlives it
        os.setsid()
        os.chdir("/")
        log = os.open(store.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        for handle, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(handle, target)
        _close_all_but(writing)
        status = _Process(plan, store, writing).run(make)
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(status)


def _close_all_but(kept: int) -> None:
    """Let go of what the caller had open: a pipe that somebody waits for the end of, above all."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


class _Process:
    """The run, and what it writes."""

    def __init__(self, plan: Plan, store: ObserverStore, writing: int) -> None:
        self._plan = plan
        self._store = store
        self._writing = writing
        self._stopped = False
        self._failed_writes = 0
        self._written = 0.0
        self._unobserved: dict[str, Any] = {}
        store.hold_room()
        self._observations = Lines(store.observations)
        self._transitions = Lines(store.timeline)
        self._timeline = Appended(Path(plan.timeline)) if plan.timeline else None
        write_atomically(store.record, json.dumps(own_record()))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _stop(self, *_: Any) -> None:
        self._stopped = True

    def run(self, make: Make) -> int:
        """Observe to the end; the exit status."""
        clock = Clock()
        recorder = Recorder(
            self._plan.inferenceservice, self._plan.experiment, self._observe, self._transition
        )
        try:
            make().run(
                recorder, clock.now() + self._plan.duration, lambda: self._stopped, self._ready, self._tick
            )
        except ClusterError as error:
            self._say(f"{error}\n")
            return 1
        self._finish()
        return 0

    def _say(self, message: str) -> None:
        if self._writing >= 0:
            os.write(self._writing, message.encode())
            os.close(self._writing)
            self._writing = -1

    def _ready(self) -> None:
        self._checkpoint()
        self._say("ready\n")

    def _observe(self, row: Row) -> None:
        with self._despite_full_disk():
            self._observations.add([row])

    def _transition(self, row: Row) -> None:
        with self._despite_full_disk():
            self._transitions.add([row])
        if self._timeline is not None:
            with self._despite_full_disk():
                self._timeline.add(row)

    def _tick(self, unobserved: Mapping[str, Unobserved]) -> None:
        self._unobserved = {feed: asdict(gap) for feed, gap in unobserved.items()}
        if time.monotonic() - self._written >= CHECKPOINT_SECONDS:
            self._checkpoint()

    def _checkpoint(self) -> None:
        self._written = time.monotonic()
        with self._despite_full_disk():
            self._flush()
        checkpoint = {
            "heartbeat": time.time(),
            "observations_bytes": self._observations.size,
            "timeline_bytes": self._transitions.size,
            "unobserved": self._unobserved,
        }
        with self._despite_full_disk():
            write_atomically(self._store.checkpoint, json.dumps(checkpoint), durable=False)

    def _flush(self) -> None:
        """What a full disk kept back."""
        self._observations.add(())
        self._transitions.add(())
        if self._timeline is not None:
            self._timeline.flush()

    def _finish(self) -> None:
        self._store.give_room()
        deadline = time.monotonic() + FLUSH_AT_END_SECONDS
        while True:
            try:
                self._flush()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    print(f"{time.time():.3f} not all could be written: {error}", flush=True)
                    break
                time.sleep(0.2)
        self._checkpoint()
        result = {"ended": time.time(), "failed_writes": self._failed_writes}
        write_atomically(self._store.result, json.dumps(result))

    @contextlib.contextmanager
    def _despite_full_disk(self) -> Iterator[None]:
        """What cannot be written is kept, and written with the next."""
        try:
            yield
        except OSError as error:
            self._failed_writes += 1
            if self._failed_writes == 1:
                with contextlib.suppress(OSError):
                    print(f"{time.time():.3f} cannot write: {error}", flush=True)


class Appended:
    """The timeline of the run, to which others append as well: whole lines at its end, each in one write."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._pending: list[bytes] = []
        self._half: tuple[int, int] | None = None

    def add(self, row: Row) -> None:
        """Append a line. Raises OSError if it could not be written; it is kept then."""
        self._pending.append(json.dumps(row).encode() + b"\n")
        self.flush()

    def flush(self) -> None:
        """Write what was kept."""
        while self._pending:
            line = self._pending[0]
            begin = 0
            if self._half is not None:
                # Half of it went onto a disk that was full then. Where nobody has written since, the rest
                # follows; else the half stays a line of its own, and the whole is written anew.
                size, written = self._half
                begin = written if os.fstat(self._handle).st_size == size else 0
                line = line if begin else b"\n" + line
            written = begin + os.write(self._handle, line[begin:])
            if written < len(line):
                self._half = os.fstat(self._handle).st_size, written
                self._pending[0] = line
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._half = None
            self._pending.pop(0)


def plan_of(state_dir: str | None, name: str) -> dict[str, Any]:
    """What the observer of this name was asked to observe; empty where there is none."""
    plan: dict[str, Any] = (read_json(ObserverStore(state_dir, name).description) or {}).get("plan", {})
    return plan


def progress(state_dir: str | None, name: str) -> dict[str, Any]:
    """`state`, `heartbeat` (epoch seconds, None if there is none) and `unobserved` as of the heartbeat."""
    checkpoint = read_json(ObserverStore(state_dir, name).checkpoint) or {}
    return {
        "state": state(state_dir, name),
        "heartbeat": checkpoint.get("heartbeat"),
        "unobserved": checkpoint.get("unobserved", {}),
    }


def stop(state_dir: str | None, name: str) -> bool:
    """End it, with all that it has found written. True if it was running."""
    store = ObserverStore(state_dir, name)
    with store.locked(create=False) as there:
        record = read_json(store.record) if there else None
        if record is None or not send(record, signal.SIGTERM):
            return False
        deadline = time.monotonic() + STOP_SECONDS
        while alive(record):
            if time.monotonic() > deadline:
                send(record, signal.SIGKILL)
            time.sleep(0.05)
    return True


def observations(state_dir: str | None, name: str) -> list[dict[str, Any]]:
    """What it has written so far. Of one that was killed, a last row says that nothing was observed since."""
    store = ObserverStore(state_dir, name)
    rows = read_lines(store.observations, _size(store.observations))
    now = progress(state_dir, name)
    if now["state"] == "interrupted" and now["heartbeat"]:
        why = "the observer was killed"
        rows.append({"time": now["heartbeat"], "type": "killed", "from": now["heartbeat"], "why": why})
    return rows


def deliver(state_dir: str | None, name: str, dest: str) -> bool:
    """Write the observations to a file. True unless they were there already. Raises ClusterError."""
    text = "".join(json.dumps(row) + "\n" for row in observations(state_dir, name))
    path = Path(dest)
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        write_atomically(path, text, 0o644)
    except OSError as error:
        raise ClusterError(f"The observations cannot be written to {dest}: {error.strerror}.") from None
    return True


def killed_at(state_dir: str | None, name: str) -> float | None:
    """When it was seen alive last, if it was killed."""
    now = progress(state_dir, name)
    return now["heartbeat"] if now["state"] == "interrupted" else None


def mark_killed(timeline: str, at: float) -> None:
    """Write the end of an observer that could not write it itself into the run's timeline, once.

    Raises ClusterError if it cannot be written.
    """
    data = {"killed": True}
    row = {
        "time": round(at, 3),
        "source": "observer",
        "event": "stopped",
        "text": "the observer was killed",
        "data": data,
    }
    path = Path(timeline)
    try:
        if json.dumps(row) not in (path.read_text(encoding="utf-8").splitlines() if path.exists() else ()):
            Appended(path).add(row)
    except OSError as error:
        raise ClusterError(f"The timeline {timeline} cannot be written: {error.strerror}.") from None


def remove(state_dir: str | None, name: str) -> bool:
    """Stop it and remove its folder. True if there was one."""
    store = ObserverStore(state_dir, name)
    if not store.exists():
        return False
    stop(state_dir, name)
    with store.locked(create=False) as there:
        if there:
            store.remove()
    return there


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
