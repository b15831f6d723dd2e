# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: sends what is due when it is due, ends what has had its time, and reports once a second."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Callable, List, Tuple

from .exchange import Exchange
from .ledger import Failure
from .options import Options
from .poller import IN, make_alarm, make_poller
from .schedule import NEVER, Open, Schedule, make_schedule
from .tally import Row, Tally
from .target import Address, Target

SECOND = 1_000_000_000
STALL = 100_000_000  # ns for which the engine did not run although it had to
LOOK = 50_000_000  # ns after which the loop looks around while requests are in flight, so that it sees a stall
SPIN = 50_000  # ns before a request is due from which the loop polls instead of sleeping

# Called once a second with the row of the timeline, the new failures, and the totals.
Sink = Callable[[Row, List[Failure], Tally], None]


class Engine:
    """One run, in one thread. `stop` may be called from a signal handler."""

    def __init__(
        self,
        options: Options,
        target: Target,
        addresses: List[Address],
        run_id: str,
        sink: Sink,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._options = options
        self._clock = clock
        self._sink = sink
        self._poller = make_poller()
        self._alarm = make_alarm(self._poller) if options.rate else None
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._poller.register(self._wake_out, IN)
        now = clock()
        self.tally = Tally(now, wall() - now, options.ledger_limit, bool(options.rate))
        self._schedule = self._plan(now)
        self._exchange = Exchange(
            options, target, addresses, run_id, self._poller, self._schedule, self.tally, clock
        )  # fmt: skip
        self._pool = options.pool
        self._paced = bool(options.rate)
        self._starved = False
        self._stopping = False
        self._next_check = now
        self._next_tick = self._second_after(now)

    def _plan(self, start: int) -> Schedule:
        options = self._options
        ends = [start + options.duration] if options.duration else []
        if options.stop_at:
            ends.append(max(start, int(options.stop_at * SECOND) - self.tally.anchor))
        return make_schedule(
            start, options.exact_rate, closed=options.pacing == "closed", threads=options.connections,
            planned=options.planned, end=min(ends) if ends else None, catch_up=options.catch_up,
        )  # fmt: skip

    def stop(self) -> None:
        """Send nothing more; `run` returns once the requests in flight have ended."""
        self._stopping = True
        self._exchange.refill = None
        with contextlib.suppress(OSError):
            os.write(self._wake_in, b"x")

    def run(self) -> Tally:
        """Send what the schedule says until it ends or `stop` is called, then wait for what is in flight."""
        clock, poller, exchange = self._clock, self._poller, self._exchange
        try:
            while True:
                now = clock()
                if now >= self._next_check:
                    self._check(now)
                    if self._over(now):
                        break
                if not self.tally.ended:
                    self._dispatch(now)
                wake, timeout = self._patience()
                events = poller.poll(timeout)
                self._note_stall(wake)
                if events:
                    exchange.serve(events)
                    if self._stopping or self._schedule.used_up() or self.tally.ended:
                        self._next_check = 0
            self._tick(clock())
        finally:
            self._close()
        return self.tally

    # What is due when

    def _second_after(self, now: int) -> int:
        """The next full second of the epoch, on the clock."""
        anchor = self.tally.anchor
        return ((now + anchor) // SECOND + 1) * SECOND - anchor

    def _check(self, now: int) -> None:
        """Time-outs, the end of a second, a run to be aborted: what is not asked at every turn."""
        if self._stopping:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_out, 64)
        # After a stall there may be answers that came in time: they go before the time-outs.
        self._exchange.serve(self._poller.poll(0))
        earliest = self._exchange.expire(now)
        if now >= self._next_tick:
            self._tick(now)
        limit = self._options.abort_failures
        if limit and self.tally.failed >= limit and not self._stopping:
            self.tally.aborted = True
            self.stop()
        self._next_check = min(earliest + self._options.timeout, self._next_tick)
        if self._exchange.flying:
            self._next_check = min(self._next_check, now + LOOK)
        if self._schedule.end > now:
            self._next_check = min(self._next_check, self._schedule.end)

    def _tick(self, now: int) -> None:
        row = self.tally.tick((self._next_tick + self.tally.anchor) // SECOND - 1)
        self._next_tick = self._second_after(now)
        self._sink(row, self.tally.ledger.take(), self.tally)

    def _over(self, now: int) -> bool:
        tally, schedule = self.tally, self._schedule
        if not tally.ended:
            if not (self._stopping or now >= schedule.end or schedule.used_up()):
                return False
            tally.ended = now
            tally.unsent = schedule.overdue(now) if isinstance(schedule, Open) else 0
        if not self._paced or schedule.used_up():
            tally.ended = now
        return not self._exchange.flying

    def _patience(self) -> Tuple[int, float]:
        """When the loop must go on, and how many seconds to wait for sockets until then."""
        now, check = self._clock(), self._next_check
        due = NEVER if self._starved or self.tally.ended else self._schedule.next_due()
        if due >= check:
            return max(now, check), max(0, check - now) / SECOND
        if due - SPIN <= now:
            return max(now, due), 0
        if self._alarm is None:
            return due, (due - SPIN - now) / SECOND
        self._alarm.set(due - SPIN)
        return due, max(0, check - now) / SECOND

    def _note_stall(self, wake: int) -> None:
        """`wake` is when the loop had to go on; what lies between that and now it did not run."""
        now = self._clock()
        if now - wake > STALL:
            self.tally.stall(wake, now)

    # Sending

    def _dispatch(self, now: int) -> None:
        """Send what is due, as far as the connections reach; what is left waits for the next turn."""
        schedule, exchange, late = self._schedule, self._exchange, self.tally.late
        for _turn in range(self._pool):
            if exchange.flying >= self._pool or not schedule.next_due() <= now < schedule.end:
                break
            intended, token = schedule.take()
            if self._paced:
                late[(now - intended) // 1000] += 1
            exchange.start(intended or now, token)
            now = self._clock()
        self._starved = exchange.flying >= self._pool

    def _close(self) -> None:
        self._exchange.close()
        if self._alarm is not None:
            self._alarm.close()
        self._poller.close()
        os.close(self._wake_in)
        os.close(self._wake_out)
