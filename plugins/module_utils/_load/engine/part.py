# SPDX-License-Identifier: GPL-3.0-or-later
"""One generator's part of a schedule that several generators send together.

Each has the whole schedule and takes every so-many-th request of it, so that all of them together send the
same requests at the same times as one generator would, to the nanosecond, whatever the schedule is.
"""

from __future__ import annotations

from .schedule import Schedule


class Part:
    """Of the requests of an open schedule, numbered from 0, those that leave the remainder `part` when
    divided by `parts`."""

    def __init__(self, whole: Schedule, part: int, parts: int) -> None:
        self._whole = whole
        self._parts = parts
        self._skip(part)

    def _skip(self, others: int) -> None:
        for _request in range(others):
            if self._whole.next_due() >= self._whole.end:
                return
            self._whole.take()

    @property
    def end(self) -> int:
        """As of the whole schedule."""
        return self._whole.end

    @property
    def pauses(self) -> tuple[int, int]:
        """As of the whole schedule: how long all generators together may have nothing to send."""
        return self._whole.pauses

    def next_due(self) -> int:
        """When the next of this part is due; NEVER if none will be."""
        return self._whole.next_due()

    def take(self) -> tuple[int, int]:
        """Take it, and pass over those of the others until the next."""
        taken = self._whole.take()
        self._skip(self._parts - 1)
        return taken

    def answered(self, token: int, now: int) -> None:
        """Nothing of an open schedule depends on answers."""

    def used_up(self) -> bool:
        """As of the whole schedule."""
        return self._whole.used_up()

    def overdue(self, now: int) -> int:
        """How many requests of this part fell due before `now` and were not taken."""
        return -(-self._whole.overdue(now) // self._parts)
