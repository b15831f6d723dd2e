# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, find again and end the processes of a sandbox.

A process is known by its id and its start time, both from /proc, as its record (see `launch`) says. A process
number alone is never trusted: the kernel gives it to somebody else one day.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Mapping, Optional, Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import launch

Clock = Callable[[], float]
Sleep = Callable[[float], None]

# How often the death of a process is looked for, in seconds.
POLL_SECONDS = 0.02
# How long the kernel may need to remove a process that was sent SIGKILL (it may be writing to a slow disk).
KILL_SECONDS = 10.0


class ProcessError(Exception):
    """A process could not be started or ended; the text says which and why."""


@dataclass(frozen=True)
class Process:
    """One process, running or not.

    start_time: clock ticks since boot. boot_id: the boot it was started in.
    child: only where this very program started it; its `poll()` and `wait()` give the exit status.
    """

    id: str
    pid: int
    start_time: int
    role: str
    argv0: str
    record: Path
    boot_id: str = ""
    child: Optional[subprocess.Popen[bytes]] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class _Stat:
    state: str
    session: int
    threads: int
    start_time: int

    @property
    def ended(self) -> bool:
        """Whether it is a zombie: all that is missing is that its parent asks.

        While other threads of it are still ending it holds its files and ports, zombie or not.
        """
        return self.state in "ZX" and self.threads <= 1


def _stat(pid: int) -> Optional[_Stat]:
    """What /proc/<pid>/stat says; None if there is no such process."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = content.rpartition(")")[2].split()
    return _Stat(state=fields[0], session=int(fields[3]), threads=int(fields[17]), start_time=int(fields[19]))


def alive(process: Process) -> bool:
    """Whether this very process still runs. A zombie has ended."""
    if process.child is not None and process.child.poll() is not None:
        return False
    found = _stat(process.pid)
    return (
        found is not None
        and found.start_time == process.start_time
        and not found.ended
        and (not process.boot_id or process.boot_id == launch.boot_id())
    )


def read(record: Path) -> Optional[Process]:
    """The process a record describes; None if there is no record there, or none that makes sense."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return Process(
            id=str(content["id"]),
            pid=int(content["pid"]),
            start_time=int(content["start_time"]),
            role=str(content["role"]),
            argv0=str(content["argv0"]),
            boot_id=str(content.get("boot_id", "")),
            record=record,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_all(records_dir: Path) -> list[Process]:
    """All recorded processes, running or not, in the order of their ids."""
    found = (read(record) for record in sorted(records_dir.glob("*.json")))
    return [process for process in found if process is not None]


@functools.cache
def _launcher() -> str:
    """The launcher's source. It is no file where Ansible runs a module: it lies in an archive then."""
    return inspect.getsource(launch)


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
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        try:
            with open(log, "ab") as output:
                child = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _launcher(), str(record), identity, role, str(writing)]
                    + ["--", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    pass_fds=(writing,),
                )
        except OSError as error:
            raise ProcessError(
                f"{identity} cannot be started: {error.strerror}: {error.filename}."
            ) from error
        finally:
            os.close(writing)
        failure = pipe.read().decode(errors="replace")
    started = read(record)
    if failure or started is None or started.pid != child.pid:
        status = child.wait()
        record.unlink(missing_ok=True)
        raise ProcessError(f"{identity} cannot be started: {failure or f'its launcher ended with {status}'}.")
    return Process(**{**started.__dict__, "child": child})


def send(process: Process, number: int) -> bool:
    """Send a signal to this very process; False if it has ended.

    The process is held by a descriptor while its start time is compared, where the kernel has those
    (Linux 5.3), so that the signal cannot reach another one that got its number in between.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (OSError, AttributeError):  # an older kernel, or a Python built for one
        descriptor = -1
    try:
        if not alive(process):
            return False
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True


def _carries(pid: int, state: str) -> bool:
    """Whether the process inherited the mark of the sandbox whose state folder is `state`."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{launch.MARKER}={state}".encode() in environment.split(b"\0")


def _sessions(processes: Iterable[Process]) -> dict[int, str]:
    """The sessions these processes lead, each with its sandbox's state folder (the record's grandparent)."""
    return {process.pid: str(process.record.parent.parent) for process in processes}


def marked(state: Path) -> list[Process]:
    """Every process that carries the mark of the sandbox whose state folder this is, recorded or not."""
    boot = launch.boot_id()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or not _carries(int(entry), str(state)):
            continue
        stat = _stat(int(entry))
        if stat is not None and not stat.ended:
            record = state / "processes" / f"marked-{entry}.json"
            found.append(Process(f"marked-{entry}", int(entry), stat.start_time, "orphan", "", record, boot))
    return found


def orphans(processes: Iterable[Process]) -> list[Process]:
    """What these processes started in their sessions and still runs, even if they have ended themselves."""
    sessions = _sessions(processes)
    boot = launch.boot_id()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in sessions:
            continue
        stat = _stat(int(entry))
        if stat is None or stat.session not in sessions or stat.ended:
            continue
        state = sessions[stat.session]
        if _carries(int(entry), state):
            nowhere = Path(state) / "processes" / f"orphan-{entry}.json"
            found.append(Process(f"orphan-{entry}", int(entry), stat.start_time, "orphan", "", nowhere, boot))
    return found


def _wait(processes: Sequence[Process], seconds: float, clock: Clock, sleep: Sleep) -> list[Process]:
    """Wait until all have ended or the time is over; return those that still run."""
    deadline = clock() + seconds
    running = [process for process in processes if alive(process)]
    while running and clock() < deadline:
        sleep(POLL_SECONDS)
        running = [process for process in running if alive(process)]
    return running


def end_all(
    processes: Sequence[Process],
    grace_seconds: float,
    *,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> list[Process]:
    """End these processes together and everything they started: SIGTERM, `grace_seconds`, then SIGKILL.

    Removes their records once they are gone. Returns those that were still running when it began.
    Raises ProcessError if one survives even SIGKILL.
    """
    were_running = [process for process in processes if send(process, signal.SIGTERM)]
    for process in _wait(were_running, grace_seconds, clock, sleep):
        send(process, signal.SIGKILL)
    left = _wait(were_running, KILL_SECONDS, clock, sleep)
    children = orphans(processes)
    while children and not left:
        for child in children:
            send(child, signal.SIGKILL)
        left = _wait(children, KILL_SECONDS, clock, sleep)
        were_running += children
        children = orphans(processes)
    if left:
        named = ", ".join(f"{process.id} ({process.pid})" for process in left)
        raise ProcessError(f"These processes did not end even when killed: {named}.")
    for process in processes:
        process.record.unlink(missing_ok=True)
    return were_running


def end(
    process: Process,
    grace_seconds: float,
    *,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> bool:
    """`end_all` for one; whether it was running."""
    return bool(end_all([process], grace_seconds, clock=clock, sleep=sleep))
