# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling one process from a later one with the same number: by pid, start time and boot."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any, Dict, Mapping, Optional


def boot_id() -> str:
    """What changes when the machine boots; empty where the system does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> Optional[str]:
    """When a living process started, in the system's terms; None if it lives no more (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if os.path.isdir("/proc/self"):
            return None
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def own_record() -> Dict[str, Any]:
    """What identifies the calling process."""
    pid = os.getpid()
    return {"pid": pid, "start_time": start_time(pid), "boot_id": boot_id()}


def alive(record: Optional[Mapping[str, Any]]) -> bool:
    """Whether the recorded process, and not another with its number, is running."""
    if not record or record.get("boot_id") != boot_id():
        return False
    started = start_time(int(record["pid"]))
    return started is not None and started == record.get("start_time")


def _kill(record: Mapping[str, Any], pid: int, number: int) -> bool:
    if not alive(record):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def send(record: Mapping[str, Any], number: int) -> bool:
    """Signal the recorded process and no other; False if it is gone."""
    pid = int(record["pid"])
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # not on this system, or a container forbids it
        return _kill(record, pid, number)
    try:
        if not alive(record):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
