# SPDX-License-Identifier: GPL-3.0-or-later
"""What a busy machine adds to the time that something takes, so that a bound on that can be strict.

Where the kernel does not tell it, it is 0, and the bound that it is added to is strict on a busy machine too.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path


def stalled() -> float:
    """For how many seconds since it booted something on this machine has waited for a processor."""
    with suppress(OSError):
        some = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    return 0.0


def waits() -> dict[str, int]:
    """For how many nanoseconds each thread of this process has waited for a processor."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended, or is of a kernel that does not count
            found[thread.name] = int((thread / "schedstat").read_text(encoding="ascii").split()[1])
    return found


def waited_since(before: dict[str, int]) -> float:
    """For how many seconds those that still run have waited since, all together."""
    return sum(now - before.get(name, 0) for name, now in waits().items()) / 1e9


def others_run() -> bool:
    """Whether another thread of this process computes, or would if it had a processor."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
            if state == "R" and thread.name != str(threading.get_native_id()):
                return True
    return False
