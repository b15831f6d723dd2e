# SPDX-License-Identifier: GPL-3.0-or-later
"""The longest gap between successes, and the outages: runs of requests, in the order of sending, that failed.

Answers come out of order, and one that is slow to fail says nothing of the requests sent after it. So what
ended is kept until all that was sent before it has ended as well, and only then taken in order.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional

MAX_WINDOWS = 1000
MAX_PENDING = 10_000  # losses that wait for an earlier request to end
FOLD_EVERY = 4096  # successes from which `settle` is worth its while between two ticks
NOTED = 100_000_000  # ns; a second has at most ten gaps that are longer
_NEVER = 1 << 62

Epoch = Callable[[Optional[int]], Optional[float]]
Sent = tuple[int, int]  # number and time of sending


class _Loss(NamedTuple):
    seq: int
    sent: int
    waited: int


class OutageWindow:
    """An outage: consecutive sends that all failed. Times are those of sending.

    `last_success` is the success sent last before, `recovered` the first sent after it, `longest_wait` the
    longest that one of its `failed` requests took to fail, in nanoseconds.
    """

    __slots__ = ("after", "failed", "first_failed_send", "last", "last_success", "longest_wait", "recovered")

    def __init__(self, before: Sent | None, loss: _Loss) -> None:
        self.after = -1 if before is None else before[0]
        self.last_success = None if before is None else before[1]
        self.first_failed_send = loss.sent
        self.recovered: int | None = None
        self.last = loss.seq
        self.failed = 1
        self.longest_wait = loss.waited

    def add(self, loss: _Loss) -> None:
        """One more failure of the same run."""
        self.failed += 1
        self.longest_wait = max(self.longest_wait, loss.waited)
        self.first_failed_send = min(self.first_failed_send, loss.sent)
        self.last = max(self.last, loss.seq)


class Outages:
    """Fed with the end of each request, in the order of ends; all times are the clock's nanoseconds.

    Gap and windows differ in their order. A *gap* is by answers: from the end of one success to the end of
    the next; the start of the load counts as one, and so does the end of a failure. A *window* is by sends.

    The engine's inner loop keeps `last_success` (the end of the one that ended last) and `answered` (number
    and time of sending of each success since the last `settle`) itself. It calls `widen` for what is longer
    than `floor`.

    Of a load that several generators send together no gap can be told from the longest ones of each alone.
    So each notes all that are longer than `NOTED` (`note_gaps`): where those of all overlap, nobody got an
    answer.
    """

    __slots__ = (
        "_before", "_losses", "_noted", "_open", "_settled", "answered", "dropped", "floor", "gap", "gap_end",
        "last_success", "windows",
    )  # fmt: skip

    def __init__(self, started: int, note_gaps: bool = False) -> None:
        self.last_success = started
        self.gap = 0
        self.gap_end = started
        self.floor = 0
        self._noted: list[tuple[int, int]] | None = [] if note_gaps else None
        self.answered: list[Sent] = []
        self.windows: list[OutageWindow] = []
        self.dropped = 0
        self._losses: list[_Loss] = []
        self._open: OutageWindow | None = None
        self._before: Sent | None = None  # the success sent last of all that are settled
        self._settled = 0  # all requests with lower numbers are in the windows

    def success(self, seq: int, sent: int, end: int) -> None:
        """A request with this number, sent and ended at these times, succeeded."""
        self.widen(end)
        self.last_success = end
        self.answered.append((seq, sent))

    def failure(self, seq: int, sent: int, end: int) -> None:
        """A request with this number, sent and ended at these times, failed."""
        self.widen(end)
        self._losses.append(_Loss(seq, sent, end - sent))

    def alive(self, now: int) -> None:
        """An answer has begun that takes long to end: there is no gap while such begin."""
        self.widen(now)
        self.last_success = now

    def widen(self, end: int) -> None:
        """There was no success from the last one until `end`."""
        length = end - self.last_success
        if length > self.gap:
            self.gap = self.floor = length
            self.gap_end = end
        if self._noted is not None and length > NOTED:
            self.floor = NOTED
            if self._noted and self._noted[-1][0] == self.last_success:
                self._noted.pop()  # it goes on
            self._noted.append((self.last_success, end))

    def take_gaps(self, epoch: Epoch) -> list[list[float | None]] | None:
        """The beginnings and ends of the gaps since the last call, and last the one that goes on, however
        long it is, without its end; None where they are not noted."""
        if self._noted is None:
            return None
        gaps, self._noted = self._noted, []
        return [*([epoch(start), epoch(end)] for start, end in gaps), [epoch(self.last_success), None]]

    # By sends

    def settle(self, in_flight: Iterable[int]) -> None:
        """Take what ended in the order of sending, up to the first of the requests still in flight.

        What is kept for later is no more than a few entries for each request in flight and each loss.
        """
        flying = sorted(in_flight)
        self._losses.sort()
        self.answered.sort()
        until = flying[0] if flying else _NEVER
        if len(self._losses) > MAX_PENDING:
            until = self._losses[-1].seq + 1  # one that takes so long to end is fitted in when it does
        ready = bisect_left(self._losses, (until,))
        for loss in self._losses[:ready]:
            self._take(loss)
        self._losses = self._losses[ready:]
        self._recover(until)
        done = bisect_left(self.answered, (until,))
        if done:
            self._before = self.answered[done - 1]
        self._settled = max(self._settled, until if until != _NEVER else 0)
        self.answered = self._thinned(done, sorted([*flying, *(loss.seq for loss in self._losses)]))

    def _take(self, loss: _Loss) -> None:
        if loss.seq < self._settled:
            self._take_late(loss)
            return
        self._recover(loss.seq)
        if self._open is not None:
            self._open.add(loss)
            return
        at = bisect_left(self.answered, (loss.seq,))
        self._open = OutageWindow(self.answered[at - 1] if at else self._before, loss)
        if len(self.windows) < MAX_WINDOWS:
            self.windows.append(self._open)
        else:
            self.dropped += 1

    def _recover(self, until: int) -> None:
        """Close the open window by the first success sent after it, if that has a lower number than this."""
        if self._open is None:
            return
        at = bisect_left(self.answered, (self._open.last,))
        if at < len(self.answered) and self.answered[at][0] < until:
            self._open.recovered = self.answered[at][1]
            self._open = None

    def _take_late(self, loss: _Loss) -> None:
        """More was settled than had ended: this one belongs to the window around it, if there is one."""
        for window in reversed(self.windows):
            if window.after < loss.seq and (window.recovered is None or loss.sent <= window.recovered):
                window.add(loss)
                return
        self.dropped += 1

    def _thinned(self, begin: int, marks: list[int]) -> list[Sent]:
        """The successes from `begin` on, of those between two marks the first and the last."""
        answered, kept = self.answered, []
        for mark in [*marks, _NEVER]:
            end = bisect_left(answered, (mark,), begin)
            kept += answered[begin:end] if end - begin < 3 else [answered[begin], answered[end - 1]]
            begin = end
        return kept

    # As it is told

    def gap_json(self, epoch: Epoch) -> dict[str, Any]:
        """The longest gap between successes."""
        return {
            "seconds": self.gap / 1e9, "start": epoch(self.gap_end - self.gap), "end": epoch(self.gap_end),
        }  # fmt: skip

    def _as_if_all_had_ended(self) -> Outages:
        """What there would be if what is in flight did not count."""
        if not self._losses:
            return self
        other = copy.copy(self)
        other.windows = [copy.copy(window) for window in self.windows]
        other.answered, other._losses = list(self.answered), list(self._losses)
        if self._open is not None:
            other._open = (
                other.windows[-1]
                if self.windows and self.windows[-1] is self._open
                else copy.copy(self._open)
            )
        other.settle(())
        return other

    def to_json(self, epoch: Epoch, mode: str) -> tuple[list[dict[str, Any]], int]:
        """The windows, oldest first, and how many more there were, with what is in flight left out.

        `recovered` is None while there was no success after, `last_success` if there was none before.
        """
        seen = self._as_if_all_had_ended()
        rows = [
            {
                "connection_mode": mode,
                "last_success": epoch(window.last_success),
                "first_failed_send": epoch(window.first_failed_send),
                "recovered": epoch(window.recovered),
                "failed": window.failed,
                "longest_wait": window.longest_wait / 1e9,
            }
            for window in seen.windows
        ]
        return rows, seen.dropped
