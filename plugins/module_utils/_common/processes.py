# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling one process from a later one with the same number: by pid, start time and boot.

A record is a JSON object with `pid` (a number), `start_time` and `boot_id` (texts, see the functions of these
names). It may hold more.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any, Mapping, NamedTuple


class Stat(NamedTuple):
    """What /proc/<pid>/stat says of a process; `start_time` in clock ticks since boot."""

    session: int
    start_time: str
    ended: bool


def stat(pid: int) -> Stat | None:
    """None if there is no such process, or no /proc. See proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The second field, the name, is in brackets and may itself hold blanks and brackets.
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie lacks nothing but that its parent asks; yet while other threads of it are ending, it holds its
    # files and ports.
    ended = fields[0] in "ZX" and int(fields[17]) <= 1
    return Stat(session=int(fields[3]), start_time=fields[19], ended=ended)


def boot_id() -> str:
    """What changes when the machine boots; empty where the system does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """When a living process started, in the system's terms; None if it lives no more (a zombie does not)."""
    found = stat(pid)
    if found is not None or os.path.isdir("/proc/self"):
        return None if found is None or found.ended else found.start_time
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def record_of(pid: int) -> dict[str, Any]:
    """What identifies a process; `start_time` is None if it lives no more."""
    return {"pid": pid, "start_time": start_time(pid), "boot_id": boot_id()}


def own_record() -> dict[str, Any]:
    """What identifies the calling process."""
    return record_of(os.getpid())


def alive(record: Mapping[str, Any] | None) -> bool:
    """Whether the recorded process, and not another with its number, is running; False for no record."""
    if not record or record.get("boot_id") != boot_id():
        return False
    started = start_time(int(record["pid"]))
    return started is not None and started == record.get("start_time")


def send(record: Mapping[str, Any], number: int) -> bool:
    """Send a signal to the recorded process and to no other; False if it is gone.

    The process is held by a descriptor while it is looked at, where the system has those (Linux 5.3), so that
    the signal cannot reach another one that got its number in between. Raises PermissionError for a process
    of somebody else.
    """
    pid = int(record["pid"])
    handle = None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # not on this system, or a container forbids it
        pass
    try:
        if not alive(record):
            return False
        if handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True
