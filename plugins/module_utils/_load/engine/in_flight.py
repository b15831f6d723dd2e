# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in flight of a run, whatever protocol it is sent by: its numbers, where it is counted, and for how
long the engine itself stood still meanwhile."""

from __future__ import annotations

from typing import Callable

from ..options import Options
from ..payloads import Mix
from ..stats.payloads import PayloadCounts
from ..stats.tally import Tally
from .pool import ConnectionPool
from .schedule import Schedule


class InFlight:
    """The part that all exchanges share. `flying` counts the requests in flight."""

    def __init__(self, options: Options, mix: Mix, pool: ConnectionPool, clock: Callable[[], int]) -> None:
        self._options = options
        self._mix = mix
        self._pool = pool
        self._clock = clock
        self._tally = pool.tally
        self._schedule: Schedule
        self._seq = 0
        self._first = 0  # the number before that of the first request that counts
        self._stalls: list[tuple[int, int]] = []
        self.flying = 0

    def count_in(self, schedule: Schedule, tally: Tally, id_prefix: str) -> None:
        """From now on requests belong to this schedule and are counted here. None may be in flight. Their ids
        begin so; empty where they have none."""
        self._schedule = schedule
        self._tally = tally
        self._first = self._seq
        tally.ids = (id_prefix, self._first + 1) if id_prefix else None
        if self._mix.count > 1:
            tally.payloads = PayloadCounts(self._mix.counted_as)
        self._pool.count_in(tally)

    @property
    def sent(self) -> int:
        """How many requests have been sent, or have failed before that."""
        return self._seq - self._first

    def stalled(self, end: int, duration: int) -> None:
        """The engine did not run: what is in flight gets that much more time."""
        longest = 2 * self._options.longest_request
        self._stalls = [stall for stall in self._stalls if end - stall[0] < longest]
        self._stalls.append((end, duration))

    def stood_still(self, since: int) -> int:
        """For how long the engine did not run since then."""
        return sum(duration for end, duration in self._stalls if end > since)
