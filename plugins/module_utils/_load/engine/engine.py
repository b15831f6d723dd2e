# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: sends what is due when it is due, ends what has had its time, and reports once a second.

Its contract. Each turn reads the clock (`now`) and does what is due: first the checks (time-outs, the end of
a second with the sink, the end of the run), then the sending. It says by when it has to go on (`wake`), polls
until an event or that time, reads the clock anew, and serves the events. All that runs between two polls is
the engine's own work, the sink included. It may not block, since nothing is sent or received meanwhile.

A *stall* is time in which the engine had to go on and did not, wherever that comes from. There are two kinds,
which do not overlap and are measured alike whether a connection is free or none is: from `wake` to the clock
right after the poll (the process was stopped, or had no processor), and from one poll to the next (its own
work took so long, in the sink too). Requests in flight are given that time on top of their time-out.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Callable

from ..duration import SECOND
from ..http.target import Target, is_literal, reachable_first, resolve
from ..options import Options
from ..stats.ledger import FailedRequest
from ..stats.tally import Tally
from ..stats.timeline import Row
from .exchange import Exchange
from .part import Part
from .poller import IN, make_alarm, make_poller, processors
from .pool import ConnectionPool
from .resolver import Lookup, Resolver
from .schedule import NEVER, Flood, Schedule, make_schedule
from .streams import StreamExchange

STALL_AFTER = 100_000_000  # ns by which the loop is back too late from which it is a stall
CHECK_EVERY = 50_000_000  # ns between checks while requests are in flight, so that a stall is seen
EXPIRY_EVERY = 250_000_000  # ns between looks for idle connections that are about to be closed
QUICK_POLLS = 20  # polls at full speed before the loop sleeps: being woken takes longer than they do
SPIN_FOR = 50_000  # ns before a request is due from which the loop polls instead of sleeping

# Called once a second with the row of the timeline, the new failures, and the totals.
Sink = Callable[[Row, list[FailedRequest], Tally], None]


class Engine:
    """One run, in one thread, as the contract above says. `stop` may be called from a signal handler.

    `_check_at` is when the next checks are due, `_tick_at` the end of the present second (both on the clock).

    `lookup` finds the addresses of the target; it is asked again for new connections unless the target is an
    address already. Raises OSError if it finds none now, LoadError for certificates that cannot be used.
    """

    def __init__(
        self,
        options: Options,
        target: Target,
        run_id: str,
        sink: Sink,
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._options = options
        self._clock = clock
        self._wall: Callable[[], int] = lambda: wall() - options.clock_ahead
        self._sink = sink
        find = lookup or (lambda: resolve(target))
        addresses = reachable_first(find(), min(1.0, options.timeout / SECOND))
        self._poller = make_poller()
        self._alarm = make_alarm(self._poller) if options.paced else None
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._poller.register(self._wake_out, IN)
        self.tally = self._new_tally()
        pool = ConnectionPool(options, target, self._poller, self.tally, clock)
        self._resolver: Resolver | None = None
        if lookup or not is_literal(target):
            self._resolver = Resolver(find, addresses, clock())
            self._poller.register(self._resolver.fd, IN)
        pool.use(addresses, self._resolver)
        self._pool = pool
        exchange = StreamExchange if options.grpc else Exchange  # all that the protocol decides
        self._exchange: Exchange | StreamExchange = exchange(
            options, target, run_id, poller=self._poller, pool=pool, clock=clock
        )
        self._limit = options.pool
        # On one processor the quick_polls would take the server's time.
        self._quick_polls = QUICK_POLLS if not options.paced and processors() > 1 else 0
        self._schedule: Schedule = Flood(0, 0, 0)
        self._stopping = False
        self._check_at = 0
        self._tick_at = NEVER

    def _new_tally(self, begin: int | None = None) -> Tally:
        """A tally of a run that begins at this time of the clock, or now."""
        now, options = self._clock(), self._options
        return Tally(
            now if begin is None else begin,
            self._wall() - now,
            options.ledger_limit,
            options.paced,
            options.connection_modes == "both",
            note_gaps=options.parts > 1,
        )

    def stop(self) -> None:
        """Send nothing more; `run` returns once the requests in flight have ended."""
        self._stopping = True
        self._exchange.refill = None
        with contextlib.suppress(OSError):
            os.write(self._wake_in, b"x")

    def run(self) -> Tally:
        """Send what the schedule says until it ends or `stop` is called, then wait for what is in flight."""
        try:
            failed = self._warm_up() if self._options.warmup else 0
            begin = self._wait_to_start()
            self.tally = self._new_tally(begin)
            self.tally.warmup_failed = failed
            self._schedule = self._plan(self.tally)
            self._exchange.begin(self._schedule, self.tally)
            self._check_at, self._tick_at = 0, self._second_after(self._clock())
            if self._stopping:
                self._exchange.refill = None
            self._loop()
            self._tick(self._clock())
        finally:
            self._close()
        return self.tally

    def _plan(self, tally: Tally) -> Schedule:
        options, start = self._options, tally.started
        lasts = options.duration or (0 if options.stop_at else options.max_duration)
        ends = [start + lasts] if lasts else []
        if options.stop_at:
            ends.append(max(start, int(options.stop_at * SECOND) - tally.anchor))
        schedule = make_schedule(options, start, min(ends) if ends else None)
        divided = options.parts > 1 and options.open_loop
        return Part(schedule, options.part, options.parts) if divided else schedule

    def _warm_up(self) -> int:
        """Send requests that are not counted, one after the other; returns how many of them failed."""
        self._exchange.begin(Flood(0, 0, 0), self.tally)
        for _request in range(self._options.warmup):
            if self._stopping:
                break
            self._exchange.start(self._clock(), 0)
            while self._exchange.flying:
                self._serve(self._poller.poll(CHECK_EVERY / SECOND))
                self._exchange.expire(self._clock())
        return self.tally.counts.failed

    def _wait_to_start(self) -> int | None:
        """Wait for the time that was agreed on, if one was; returns when that is on the clock."""
        if not self._options.start_at:
            return None
        begin = int(self._options.start_at * SECOND) - (self._wall() - self._clock())
        while not self._stopping:
            left = begin - self._clock()
            if left <= 0:
                return begin
            self._serve(self._poller.poll(min(left, CHECK_EVERY) / SECOND))
        return None

    def _loop(self) -> None:
        """Turn after turn, until the run is over."""
        clock, exchange, limit = self._clock, self._exchange, self._limit
        polled = clock()
        while True:
            now = clock()
            if now >= self._check_at:
                self._check(now)
                if self._over(now):
                    return
            if exchange.flying < limit and not self.tally.ended:
                self._dispatch(now)
            now = clock()
            if now - polled > STALL_AFTER:
                self._note_stall(polled, now)
            if exchange.flying < limit:
                wake, poll_seconds = self._next_wake(now)
            else:  # no connection is free: nothing can be sent before an answer or a time-out
                wake = max(now, self._check_at)
                poll_seconds = (wake - now) / SECOND
            events = self._poll(poll_seconds)
            polled = clock()
            if polled - wake > STALL_AFTER:
                self._note_stall(wake, polled)
            if events:
                self._serve(events)
                if exchange.flying < limit and self._ending():
                    self._check_at = 0

    def _poll(self, seconds: float) -> list[tuple[int, int]]:
        poll = self._poller.poll
        for _quick_poll in range(self._quick_polls):
            events = poll(0)
            if events:
                return events
        return poll(seconds)

    def _ending(self) -> bool:
        return (
            self._stopping or self.tally.ended != 0 or self._schedule.used_up() or self._too_many_failures()
        )

    def _serve(self, events: list[tuple[int, int]]) -> None:
        resolver = self._resolver
        if resolver is not None and any(fd == resolver.fd for fd, _event in events):
            self._exchange.resolved()
        self._exchange.serve(events)

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
        self._serve(self._poller.poll(0))
        earliest = self._exchange.expire(now)
        self._pool.close_expired(now)
        if now >= self._tick_at:
            self._tick(now)
        if self._too_many_failures() and not self._stopping:
            self.tally.aborted = True
            self.stop()
        self._check_at = min(earliest + self._options.timeout, self._tick_at)
        if self._exchange.flying:
            self._check_at = min(self._check_at, now + CHECK_EVERY)
        elif self._pool.may_expire:
            self._check_at = min(self._check_at, now + EXPIRY_EVERY)
        if not self.tally.ended:
            self._check_at = min(self._check_at, max(now, self._schedule.end))

    def _too_many_failures(self) -> bool:
        limit = self._options.abort_failures
        return bool(limit) and self.tally.counts.failed >= limit

    def _tick(self, now: int) -> None:
        self.tally.sent = self._exchange.sent
        self.tally.pauses = self._schedule.pauses
        self._exchange.settle()
        self.tally.health.note_wall(self._wall() - self._clock())
        self._pool.trim()
        row = self.tally.tick((self._tick_at + self.tally.anchor) // SECOND - 1)
        self._tick_at = self._second_after(now)
        self._sink(row, self.tally.ledger.take(), self.tally)

    def _over(self, now: int) -> bool:
        tally, schedule = self.tally, self._schedule
        if not tally.ended:
            if not (self._stopping or now >= schedule.end or schedule.used_up()):
                return False
            tally.ended = now
            tally.unsent = schedule.overdue(now)
        if not tally.paced or schedule.used_up():
            tally.ended = now
        return not self._exchange.flying

    def _next_wake(self, now: int) -> tuple[int, float]:
        """When the loop has to go on, and for how many seconds to poll until then."""
        check = self._check_at
        due = NEVER if self.tally.ended else self._schedule.next_due()
        if due >= check:
            return max(now, check), max(0, check - now) / SECOND
        if due - SPIN_FOR <= now:
            return max(now, due), 0
        if self._alarm is None:
            return due, (due - SPIN_FOR - now) / SECOND
        self._alarm.set(due - SPIN_FOR)
        return due, max(0, check - now) / SECOND

    def _note_stall(self, wake: int, now: int) -> None:
        """`wake` is when the loop had to go on; what lies between that and now it did not run."""
        self.tally.health.stall(wake, now)
        self._exchange.stalled(now, now - wake)

    # Sending

    def _dispatch(self, now: int) -> None:
        """Send what is due, as far as the connections reach; what is left waits for the next turn."""
        schedule, exchange, late = self._schedule, self._exchange, self.tally.late.fresh
        for _turn in range(self._limit):
            if exchange.flying >= self._limit or not schedule.next_due() <= now < schedule.end:
                break
            intended, token = schedule.take()
            if self.tally.paced:
                late[(now - intended) // 1000] += 1
            exchange.start(intended or now, token)
            now = self._clock()
        self._check_at = min(self._check_at, schedule.end)

    def _close(self) -> None:
        self._pool.close()
        if self._alarm is not None:
            self._alarm.close()
        self._poller.close()
        if self._resolver is not None:
            self._resolver.close()
        # A signal may come later yet, when a file that the result goes to may have the same number.
        wake_in, self._wake_in = self._wake_in, -1
        os.close(wake_in)
        os.close(self._wake_out)
