# SPDX-License-Identifier: GPL-3.0-or-later
"""When requests are due: absolute times in whole nanoseconds, with no drift and no clock of its own."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

from .. import arrivals
from ..duration import SECOND
from ..options import Options, share

NEVER = 1 << 62


class Schedule(Protocol):
    """Hands out requests; the engine takes none from `end` on.

    `pauses` are the longest times from one request being due to the next one, and to the next but one, so
    far; 0 where they are all alike or nothing is due by itself.
    """

    @property
    def end(self) -> int:
        """From when on none is sent."""

    @property
    def pauses(self) -> tuple[int, int]:
        """See above."""

    def next_due(self) -> int:
        """When the next request is due; NEVER if none will be before another is answered."""

    def take(self) -> tuple[int, int]:
        """Take the next request: the time it was due, and a token for `answered`."""

    def answered(self, token: int, now: int) -> None:
        """The request taken with this token has ended."""

    def used_up(self) -> bool:
        """No request will be due any more."""

    def overdue(self, now: int) -> int:
        """How many requests fell due before `now` and were not taken."""


class Flood:
    """As fast as the connections allow: always due. The engine bounds how many are in flight."""

    pauses = (0, 0)

    def __init__(self, start: int, end: int, calls: int) -> None:
        self.end = end
        self._start = start
        self.left = calls or NEVER

    def next_due(self) -> int:
        """Always due, until the calls are used up; then the run is over."""
        return self._start if self.left else NEVER

    def take(self) -> tuple[int, int]:
        """The next request; it has no time of its own, so the engine's present stands for it."""
        self.left -= 1
        return 0, 0

    def answered(self, token: int, now: int) -> None:
        """Nothing depends on answers but the connections."""

    def used_up(self) -> bool:
        """All calls were taken."""
        return not self.left

    def overdue(self, now: int) -> int:
        """None: there is no rate to keep."""
        return 0


class _OpenLoop:
    """Each request has its own time, whatever became of the others, and the run lasts until `end`."""

    _due: int

    def next_due(self) -> int:
        """When the next one is due; NEVER once all are taken."""
        return self._due

    def answered(self, token: int, now: int) -> None:
        """Nothing depends on answers."""

    def used_up(self) -> bool:
        """Never: the run lasts until `end`."""
        return False


class Open(_OpenLoop):
    """Request k is due at start + k / rate, whatever became of the others."""

    pauses = (0, 0)

    def __init__(self, start: int, rate: Fraction, planned: int, end: int) -> None:
        self._start = start
        self._step = Fraction(SECOND) / rate
        self._next = 0
        self._planned = planned or NEVER
        self._due = start
        self.end = end

    def _time(self, k: int) -> int:
        return self._start + k * self._step.numerator // self._step.denominator

    def take(self) -> tuple[int, int]:
        """Take it. The last sets the end: one step later, or the rate would be off."""
        due = self._due
        self._next += 1
        self._due = self._time(self._next)
        if self._next == self._planned:
            self.end = min(self.end, self._due)
            self._due = NEVER
        return due, 0

    def overdue(self, now: int) -> int:
        """How many requests fell due before `now` and were not taken."""
        fallen = (min(now, self.end) - self._start) * self._step.denominator // self._step.numerator + 1
        return max(0, min(fallen, self._planned) - self._next)


class Uneven(_OpenLoop):
    """Requests at times that are known beforehand, whatever became of the others.

    `times` yields them in nanoseconds from `start`, in order; `planned` of 0 is as many as it yields.
    """

    def __init__(self, start: int, times: Iterator[int], planned: int, end: int) -> None:
        self.end = end
        self.pauses = (0, 0)
        self._start = start
        self._times = times
        self._left = planned or NEVER
        self._before = (start, start)  # when the last but one and the last were due
        self._due = self._next()

    def _next(self) -> int:
        time = next(self._times, None)
        return NEVER if time is None else self._start + time

    def take(self) -> tuple[int, int]:
        """Take it. The last that is planned sets the end, to when one more would be due."""
        due, (last_but_one, last) = self._due, self._before
        self.pauses = (max(self.pauses[0], due - last), max(self.pauses[1], due - last_but_one))
        self._before = (last, due)
        self._due = self._next()
        self._left -= 1
        if not self._left:
            self.end = min(self.end, self._due)
            self._due = NEVER
        return due, 0

    def overdue(self, now: int) -> int:
        """How many requests fell due before `now` and were not taken. To be asked once, at the end."""
        count, until = 0, min(now, self.end)
        while self._due < until and self._left:
            count += 1
            self._left -= 1
            self._due = self._next()
        return count


class Closed:
    """Fortio's pacing: `threads` loops, each of which aims its call i at (i + i/(n-1))·threads/rate.

    A loop sends its next call when that is due and its last one was answered; a late loop catches up by
    sending back to back, unless `catch_up` is off: then its plan shifts by the delay.
    """

    pauses = (0, 0)

    def __init__(
        self, start: int, rate: Fraction, *, threads: int, planned: int, end: int, catch_up: bool
    ) -> None:
        self._start = start
        self._step = Fraction(SECOND) * threads / rate
        self._planned = planned
        self._until = end
        # The last call of each loop is due at the very end, and is still sent.
        self.end = end if end == NEVER else end + int(self._step)
        self._calls = [
            planned // threads + (1 if i < planned % threads else 0) if planned else 0 for i in range(threads)
        ]
        self._sent = [0] * threads
        self._shift = [0] * threads
        self._catch_up = catch_up
        self._due: list[tuple[int, int]] = [
            (start, i) for i in range(threads) if self._calls[i] or not planned
        ]
        self._flying = 0

    def next_due(self) -> int:
        """When the next loop that is not waiting for an answer is due."""
        return self._due[0][0] if self._due else NEVER

    def take(self) -> tuple[int, int]:
        """Take that loop's call."""
        due, thread = heapq.heappop(self._due)
        self._sent[thread] += 1
        self._flying += 1
        return due, thread

    def answered(self, token: int, now: int) -> None:
        """The loop may plan its next call."""
        self._flying -= 1
        i, calls = self._sent[token], self._calls[token]
        if calls and i >= calls:
            return
        stretched = i + (Fraction(i, calls - 1) if calls > 1 else 0)
        due = self._start + int(stretched * self._step) + self._shift[token]
        if due < now and not self._catch_up:
            self._shift[token] += now - due
            due = now
        heapq.heappush(self._due, (due, token))

    def used_up(self) -> bool:
        """All calls of all loops were taken."""
        return not self._due and not self._flying

    def overdue(self, now: int) -> int:
        """How many fewer requests were taken until `now` than the rate asks for."""
        asked = len(self._sent) * int((min(now, self._until) - self._start) / self._step)
        return max(0, (min(asked, self._planned) if self._planned else asked) - sum(self._sent))


def make_schedule(options: Options, start: int, end: int | None) -> Schedule:
    """The schedule of a run that begins at `start`; `end` None for one that only a stop or its calls end.

    An open one is that of the whole load, of which a generator takes its part.
    """
    until = NEVER if end is None else end
    rate, planned = options.exact_rate, options.planned
    if not options.open_loop:  # what depends on answers is divided by its connections
        rate, planned = rate / options.parts, share(planned, options.part, options.parts)
    if not options.paced:
        return Flood(start, until, planned)
    times = _uneven(options)
    if times is not None:
        lasts = options.planned_span
        return Uneven(start, times, planned, min(until, start + lasts) if lasts else until)
    if options.pacing == "closed":
        threads, catch_up = options.pool, options.catch_up
        return Closed(start, rate, threads=threads, planned=planned, end=until, catch_up=catch_up)
    return Open(start, rate, planned, until)


def _uneven(options: Options) -> Iterator[int] | None:
    """When requests are due that are not sent evenly at one rate, from the start; None where they are."""
    if options.send_times:
        return arrivals.along_trace(options.send_times, options.repeat)
    random = options.arrival == "poisson"
    counts = arrivals.poisson(options.seed) if random else arrivals.even()
    if options.profile:
        return arrivals.along(counts, options.profile, options.repeat)
    return arrivals.along_rate(counts, options.rate) if random else None
