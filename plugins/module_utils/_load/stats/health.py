# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the generator itself ran: what it measures is worth no more than that."""

from __future__ import annotations

from typing import Any

from .outage import Epoch

MAX_STALLS = 1000


class Health:
    """Stalls of the engine, and the wall clock against the clock that a run is timed by; nanoseconds.

    `anchor` is what turned the clock into the wall clock's time at the start. `drift` is the largest
    difference from it since, either way: other than 0 where somebody set the wall clock. `stalls` holds the
    longest thousand as [start, end], by when they began, `stalled` counts all.
    """

    def __init__(self, anchor: int) -> None:
        self._anchor = anchor
        self.drift = 0
        self.stalled = 0
        self.stalls: list[list[int]] = []

    def stall(self, start: int, end: int) -> None:
        """The engine itself did not run from `start` to `end`."""
        self.stalled += 1
        self.stalls.append([start, end])
        if len(self.stalls) > MAX_STALLS:
            # Which were the longest is what a verdict asks for.
            self.stalls.remove(min(self.stalls, key=lambda stall: (stall[1] - stall[0], -stall[0])))

    def note_wall(self, anchor: int) -> None:
        """What turns the clock into the wall clock's time now."""
        self.drift = max(self.drift, anchor - self._anchor, key=abs)

    def to_json(self, epoch: Epoch) -> dict[str, Any]:
        """As the snapshot has it, in seconds."""
        return {
            "stalls": [{"start": epoch(start), "seconds": (end - start) / 1e9} for start, end in self.stalls],
            "stall_count": self.stalled,
            "wall_clock_drift": self.drift / 1e9,
        }
