# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for sockets and for a moment: epoll and a timerfd where there are such, poll(2) elsewhere."""

from __future__ import annotations

import ctypes
import math
import os
import select
import sys
from typing import Protocol

# The values are the same for epoll and poll.
IN = 1
OUT = 4

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_EDGE_TRIGGERED = 1 << 31


class Poller(Protocol):
    """What the engine needs of epoll."""

    def register(self, fd: int, eventmask: int) -> None:
        """Watch a descriptor."""

    def modify(self, fd: int, eventmask: int) -> None:
        """Watch it for something else."""

    def unregister(self, fd: int) -> None:
        """Watch it no more."""

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        """Wait at most so many seconds (-1: for ever)."""

    def close(self) -> None:
        """Free what it holds."""


class _Poll:
    """poll(2) in epoll's clothes: whole milliseconds, rounded down so that it never wakes late."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return self._poll.poll(math.floor(timeout * 1000) if timeout > 0 else timeout)

    def close(self) -> None:
        """Nothing is held."""


def make_poller() -> Poller:
    """The best of this machine."""
    if hasattr(select, "epoll"):
        return select.epoll()
    return _Poll()


def processors() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Itimerspec(ctypes.Structure):
    _fields_ = [
        ("interval_sec", ctypes.c_long), ("interval_nsec", ctypes.c_long),
        ("value_sec", ctypes.c_long), ("value_nsec", ctypes.c_long),
    ]  # fmt: skip


class Alarm:
    """A one-shot timerfd on the monotonic clock, watched edge-triggered so that it need not be read.

    epoll's own time-out counts milliseconds; this wakes within some tens of microseconds.
    """

    def __init__(self, fd: int, libc: ctypes.CDLL) -> None:
        self.fd = fd
        self._spec = _Itimerspec()
        self._pointer = ctypes.byref(self._spec)
        self._settime = libc.timerfd_settime
        self._set = -1

    def set(self, at: int) -> None:
        """Ring at this time of time.monotonic_ns, at once if it has passed."""
        if at == self._set:
            return
        self._set = at
        self._spec.value_sec, self._spec.value_nsec = divmod(max(at, 1), 1_000_000_000)
        self._settime(self.fd, _TFD_TIMER_ABSTIME, self._pointer, None)

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self.fd)


def make_alarm(poller: Poller) -> Alarm | None:
    """An alarm that the poller watches, or None on systems without timerfd."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    create = getattr(libc, "timerfd_create", None)
    fd = create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC) if create else -1
    if fd < 0:
        return None
    poller.register(fd, IN | _EDGE_TRIGGERED)
    return Alarm(fd, libc)
