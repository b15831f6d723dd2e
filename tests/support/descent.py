# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that a process started, for tests that end or halt all of them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that this one started and that run."""
    try:
        listed = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(number) for text in listed for number in text.split()]


def below(pid: int) -> list[int]:
    """All processes below this one, nearest first."""
    found = children(pid)
    for each in found:
        found += children(each)
    return found


def halt(pid: int) -> list[int]:
    """Stop this process and all below it, and return them.

    One that is stopped starts no other, so nobody is missed.
    """
    halted = [pid]
    for each in halted:
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGSTOP)
            halted += children(each)
    return halted


def kill(pid: int) -> None:
    """SIGKILL this process and all below it, in sessions of their own too, at one moment."""
    for each in halt(pid):
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)
