# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, find again and end the processes of a sandbox.

A process is known by its number and its start time, as its record says. A number alone is never trusted: the
kernel gives it to somebody else one day.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

from . import launch

Clock = Callable[[], float]
Sleep = Callable[[float], None]

# How often the death of a process is looked for, in seconds.
POLL_SECONDS = 0.02
# How long the kernel may need to remove a process that was sent SIGKILL (it may be writing to a slow disk).
KILL_SECONDS = 10.0
# More than any reason why a program cannot be executed takes.
_REASON_BYTES = 10_000


class ProcessError(Exception):
    """A process could not be started or ended; the text says which and why."""


@dataclass(frozen=True)
class Process:
    """One process, running or not.

    start_time, boot_id: when it was started, as `_common.processes` tells it.
    child: only where this very program started it; its `poll()` and `wait()` give the exit status.
    """

    id: str
    pid: int
    start_time: str
    boot_id: str
    role: str
    record: Path
    child: Optional[subprocess.Popen[bytes]] = field(default=None, compare=False, repr=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from a later process with the same number."""
        return {"pid": self.pid, "start_time": self.start_time, "boot_id": self.boot_id}


def alive(process: Process) -> bool:
    """Whether this very process still runs. A zombie has ended; one of our own is reaped."""
    running = processes.alive(process.identity)
    if not running and process.child is not None:
        # Asked after it was seen to have ended: asked before, one that ends in between stays a zombie.
        process.child.poll()
    return running


def send(process: Process, number: int) -> bool:
    """Send a signal to this very process, and to no other that got its number; False if it has ended."""
    return processes.send(process.identity, number)


def write(record: Path, identity: str, role: str, pid: int, argv0: str) -> Process:
    """Record a running process. Raises OSError, ProcessError if it has ended."""
    known = processes.record_of(pid)
    if known["start_time"] is None:
        raise ProcessError(f"{identity} has ended at once.")
    content = {"id": identity, **known, "role": role, "argv0": argv0}
    # Nothing of it holds after a crash of the machine, so no disk is waited for.
    write_atomically(record, json.dumps(content), durable=False)
    return Process(identity, **known, role=role, record=record)


def read(record: Path) -> Optional[Process]:
    """The process a record describes; None if there is no record there, or none that makes sense."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return Process(
            id=str(content["id"]),
            pid=int(content["pid"]),
            start_time=str(content["start_time"]),
            boot_id=str(content["boot_id"]),
            role=str(content["role"]),
            record=record,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(records_dir: Path, identity: str) -> bool:
    """Whether the process that is recorded by this id runs."""
    process = read(records_dir / f"{identity}.json")
    return process is not None and alive(process)


def read_all(records_dir: Path) -> list[Process]:
    """All recorded processes, running or not, in the order of their ids."""
    found = (read(record) for record in sorted(records_dir.glob("*.json")))
    return [process for process in found if process is not None]


def _launcher(pipe: socket.socket, state: Path) -> list[str]:
    """The command that becomes what follows it. `launch` is no file where Ansible runs it from an archive."""
    return [sys.executable, "-I", "-S", "-c", inspect.getsource(launch), str(pipe.fileno()), str(state), "--"]


def start(
    records_dir: Path,
    identity: str,
    argv: Sequence[str],
    *,
    role: str,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
) -> Process:
    """Start a program with its output appended to `log`, as leader of its own session.

    Returns when the program has been executed: one that does not exist is an error here (ProcessError).
    It outlives whoever starts it.
    """
    record = records_dir / f"{identity}.json"
    earlier = read(record)
    if earlier is not None and alive(earlier):
        raise ProcessError(f"{identity} runs already, as process {earlier.pid}.")
    ours, theirs = socket.socketpair()
    with ours:
        try:
            with theirs, open(log, "ab") as output:
                child = subprocess.Popen(
                    [*_launcher(theirs, records_dir.parent), *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    pass_fds=(theirs.fileno(),),
                )
        except OSError as error:
            why = f"{error.strerror}: {error.filename}"
            raise ProcessError(f"{identity} cannot be started: {why}.") from error
        try:
            process = write(record, identity, role, child.pid, argv[0])
            ours.sendall(launch.RECORDED)
            failure = ours.recv(_REASON_BYTES).decode(errors="replace")
        except (OSError, ProcessError) as error:
            failure = f"it cannot be recorded: {error}"
    if failure:
        child.wait()
        record.unlink(missing_ok=True)
        raise ProcessError(f"{identity} cannot be started: {failure}.")
    return dataclasses.replace(process, child=child)


def _carries(pid: int, state: str) -> bool:
    """Whether the process inherited the mark of the sandbox whose state folder is `state`."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{launch.MARKER}={state}".encode() in environment.split(b"\0")


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _stray(pid: int, kind: str, state: Path) -> Optional[Process]:
    """A process of the sandbox whose state folder is `state` that nobody recorded; None once it has ended."""
    known = processes.record_of(pid)
    if known["start_time"] is None:
        return None
    identity = f"{kind}-{pid}"
    nowhere = state / "processes" / f"{identity}.json"
    return Process(identity, **known, role="orphan", record=nowhere)


def marked(state: Path) -> list[Process]:
    """Every process that carries the mark of the sandbox whose state folder this is, recorded or not."""
    found = (_stray(pid, "marked", state) for pid in _pids() if _carries(pid, str(state)))
    return [process for process in found if process is not None]


def orphans(recorded: Iterable[Process]) -> list[Process]:
    """What these processes started in their sessions and still runs, even if they have ended themselves."""
    sessions = {process.pid: process.record.parent.parent for process in recorded}
    found = []
    for pid in set(_pids()) - sessions.keys():
        stat = processes.stat(pid)
        state = sessions.get(stat.session) if stat is not None else None
        if state is not None and _carries(pid, str(state)):
            found.append(_stray(pid, "orphan", state))
    return [process for process in found if process is not None]


def _wait(several: Sequence[Process], seconds: float, clock: Clock, sleep: Sleep) -> list[Process]:
    """Wait until all have ended or the time is over; return those that still run."""
    deadline = clock() + seconds
    running = [process for process in several if alive(process)]
    while running and clock() < deadline:
        sleep(POLL_SECONDS)
        running = [process for process in running if alive(process)]
    return running


def end_all(
    several: Sequence[Process],
    grace_seconds: float,
    *,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> list[Process]:
    """End these processes together and everything they started: SIGTERM, `grace_seconds`, then SIGKILL.

    Removes their records once they are gone. Returns those that were still running when it began.
    Raises ProcessError if one survives even SIGKILL.
    """
    were_running = [process for process in several if send(process, signal.SIGTERM)]
    for process in _wait(were_running, grace_seconds, clock, sleep):
        send(process, signal.SIGKILL)
    left = _wait(were_running, KILL_SECONDS, clock, sleep)
    children = orphans(several)
    while children and not left:
        for child in children:
            send(child, signal.SIGKILL)
        left = _wait(children, KILL_SECONDS, clock, sleep)
        were_running += children
        children = orphans(several)
    if left:
        named = ", ".join(f"{process.id} ({process.pid})" for process in left)
        raise ProcessError(f"These processes did not end even when killed: {named}.")
    for process in several:
        process.record.unlink(missing_ok=True)
    return were_running
