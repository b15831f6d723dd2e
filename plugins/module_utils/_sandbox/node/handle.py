# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that this node, or a node before it, has started: its end is noticed at once in either case."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Optional, Sequence

from ..processes import records
from .context import Context

_POLL_SECONDS = 0.1


class Handle:
    """Watches one process.

    `exited` becomes its exit code once it and everything it left running in its session has ended: 128 + n
    for signal n, None for one that another node started (only a parent is told).
    """

    def __init__(self, context: Context, process: records.Process) -> None:
        self.process = process
        self._context = context
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[Optional[int]] = self._loop.create_future()
        self._task: Optional[asyncio.Task[None]] = None
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self._task = self._loop.create_task(self._finish())
        except OSError:
            # A kernel or container without pidfd (before Linux 5.3).
            self._task = self._loop.create_task(self._poll())
        else:
            if process.child is None and not records.alive(process):
                # It ended, and its number may be another's by now.
                os.close(self._descriptor)
                self._task = self._loop.create_task(self._finish())
            else:
                self._loop.add_reader(self._descriptor, self._readable)

    def signal(self, number: int) -> None:
        """Send a signal to the process group, if the process still runs."""
        if self.exited.done() or not records.alive(self.process):
            return
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            records.send(self.process, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end for at most `seconds`."""
        done, _pending = await asyncio.wait({self.exited}, timeout=max(0.0, seconds))
        return bool(done)

    def _readable(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._task = self._loop.create_task(self._finish())

    async def _poll(self) -> None:
        while records.alive(self.process):
            await self._context.sleep(_POLL_SECONDS)
        await self._finish()

    async def _finish(self) -> None:
        code = None if self.process.child is None else self.process.child.wait()
        await self._context.blocking(_sweep, self.process)
        self.exited.set_result(128 - code if code is not None and code < 0 else code)


def end_recorded(records_dir: Path, roles: Sequence[str], part: str = "", grace: float = 0.0) -> None:
    """End what was recorded with one of these roles and has `part` in its id. Blocks."""
    found = [one for one in records.read_all(records_dir) if one.role in roles and part in one.id]
    if found:
        records.end_all(found, grace)


def _sweep(process: records.Process) -> None:
    """End what the process left behind in its session, and remove its record."""
    while left := records.orphans([process]):
        for one in left:
            records.send(one, signal.SIGKILL)
    process.record.unlink(missing_ok=True)
