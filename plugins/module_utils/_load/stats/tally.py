# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is counted while a run goes on: small whole numbers, flat in memory however long it runs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..errors import CLIENT, STATUS
from ..http.parser import Head
from .histogram import Histogram, quantile
from .ledger import Failure, Ledger
from .outage import Epoch, Outages

LATE = 100_000  # µs after its time from which a request counts as late
MAX_SHAPES = 256
RECEIVE = 65536  # bytes received at once at most
MAX_STALLS = 1000
MAX_REVISIONS = 100
OTHER_REVISIONS = "(others)"  # all beyond that number, as where the header named differs in each response
SCHEMA = 1

Row = dict[str, Any]  # one second of the timeline


class Shape:
    """A response seen before, byte for byte in its head, and how often it came since the last tick.

    `head` is the whole head as received, `total` the length of the whole response. `times` holds the response
    times of its revision.
    """

    __slots__ = ("count", "head", "parsed", "revision", "times", "total")

    def __init__(
        self, head: bytes, total: int, parsed: Head | None, revision: str, times: defaultdict[int, int]
    ) -> None:
        self.head = head
        self.total = total
        self.parsed = parsed
        self.revision = revision
        self.times = times
        self.count = 0


# Matches no response: what a mode holds before it has seen one.
NO_SHAPE = Shape(b"", -1, None, "", defaultdict(int))


class ConnectionMode:
    """Counts of one way of using connections. `shape` is the response that came last.

    `outages` are the mode's own: the successes of the other mode would hide them. `reach` is how much to
    receive at once: one byte more than the longest response known, so that a longer one shows, and no more,
    since that much memory is taken for each.
    """

    __slots__ = ("failed", "name", "outages", "reach", "requests", "shape", "shapes")

    def __init__(self, name: str, outages: Outages) -> None:
        self.name = name
        self.outages = outages
        self.requests = 0
        self.failed = 0
        self.shapes: dict[bytes, Shape] = {}
        self.shape = NO_SHAPE
        self.reach = RECEIVE

    def to_json(self, epoch: Epoch) -> dict[str, Any]:
        """Its counts, and its longest gap between successes: None where no request was sent on it."""
        gap = self.outages.gap_json(epoch) if self.requests else None
        return {"requests": self.requests, "failed": self.failed, "longest_success_gap": gap}


class Tally:
    """The counts of a run. `started` is its first nanosecond, `anchor` what turns the clock into the epoch.

    `outages` are those of all requests. Where only one mode is used they are that mode's as well, so that
    they are kept but once; with both (`both_modes`) each mode has its own beside them.

    The inner loop of the engine counts into `Shape.count`, `Shape.times` and, where the run is paced,
    `service`, which otherwise is the sum of these times; `tick` folds all into the totals once a second.
    """

    def __init__(
        self, started: int, anchor: int, ledger_limit: int, paced: bool, both_modes: bool = False
    ) -> None:
        self.started = started
        self.anchor = anchor
        self.paced = paced  # without a rate a request has no time but that of its sending
        self.ended = 0  # when the last request was sent or due; 0 while the run goes on
        self.unsent = 0  # requests that were due and that no connection was free for until the end
        self.aborted = False
        self.warmup_failed = 0
        self.ids: tuple[str, int] | None = None  # prefix and first number of its requests' ids, if any
        self.service: defaultdict[int, int] = defaultdict(int)
        self.late: defaultdict[int, int] = defaultdict(int)
        self.slept: defaultdict[int, int] = defaultdict(int)
        self.connects = Histogram()
        self.sent = 0
        self.outages = Outages(started)
        self.connection_modes = {
            name: ConnectionMode(name, Outages(started) if both_modes else self.outages)
            for name in ("keep-alive", "new")
        }
        self.ledger = Ledger(ledger_limit)
        self.stalls: list[list[int]] = []
        self.stalled = 0
        self.drift = 0  # ns by which the wall clock was at most off the anchor, either way
        self.sockets = 0
        self.reconnects: dict[str, int] = {}
        self.peers: dict[str, int] = {}
        self.requests = 0
        self.failed = 0
        self._codes: dict[str, int] = {}
        self._revisions: dict[str, list[int]] = {}
        self._service = Histogram()
        self._errors = Histogram()
        self._times: dict[str, defaultdict[int, int]] = {}
        self._response: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._late = Histogram()
        self._slept = Histogram()
        self._sizes = Histogram()
        self._head_sizes = Histogram()
        self._second_revisions: defaultdict[str, int] = defaultdict(int)
        self._second_requests = 0
        self._second_failed = 0
        self._second_sent = 0

    def epoch(self, at: int | None) -> float | None:
        """A time of the clock as seconds since the epoch, to the microsecond."""
        return None if at is None else round((at + self.anchor) / 1e9, 6)

    def recall(self, mode: ConnectionMode, data: bytes) -> Shape | None:
        """The shape of a response that came whole and was seen before, or None."""
        shape = mode.shapes.get(data[: data.find(b"\r\n\r\n") + 4])
        if shape is None or shape.total != len(data):
            return None
        mode.shape = shape
        return shape

    def remember(self, mode: ConnectionMode, raw_head: bytes, total: int, head: Head, revision: str) -> None:
        """From now on a response with this head and length is known by sight."""
        if raw_head in mode.shapes:
            return
        if len(mode.shapes) >= MAX_SHAPES:
            self._fold_shapes(mode)
            mode.shapes.clear()
        reach = mode.reach if mode.shapes else 0
        mode.reach = min(RECEIVE, max(reach, total + 1))
        mode.shape = mode.shapes[raw_head] = Shape(raw_head, total, head, revision, self._times_of(revision))

    def _times_of(self, revision: str) -> defaultdict[int, int]:
        if revision not in self._times and len(self._times) >= MAX_REVISIONS:
            revision = OTHER_REVISIONS
        return self._times.setdefault(revision, defaultdict(int))

    def _duration(self, revision: str, intended: int, sent: int, end: int) -> int:
        taken = -((sent - end) // 1000)
        if self.paced:
            self.service[taken] += 1
            self._times_of(revision)[-((intended - end) // 1000)] += 1
        else:
            self._times_of(revision)[taken] += 1
        return taken

    def success(
        self,
        mode: ConnectionMode,
        head: Head,
        *,
        total: int,
        revision: str,
        intended: int,
        sent: int,
        end: int,
    ) -> None:
        """Count a request that was answered as asked."""
        self._duration(revision, intended, sent, end)
        self._count(mode, str(head.status), revision, False, 1)
        self._sizes.add(total)
        self._head_sizes.add(head.size)
        mode.outages.success(sent, end)
        if self.outages is not mode.outages:
            self.outages.success(sent, end)

    def failure(self, mode: ConnectionMode, failure: Failure, total: int, head_size: int) -> None:
        """Count a failed request. Its code is its status if that is what was wrong, else Fortio's -1."""
        sent = failure.intended if failure.sent is None else failure.sent
        self._errors.add(self._duration(failure.revision, failure.intended, sent, failure.end))
        code = str(failure.status) if failure.kind == STATUS else "-1"
        self._count(mode, code, failure.revision, True, 1)
        self._sizes.add(total)
        self._head_sizes.add(head_size)
        self.ledger.add(failure)
        mode.outages.failure(sent, failure.end)
        if self.outages is not mode.outages:
            self.outages.failure(sent, failure.end)

    def _count(self, mode: ConnectionMode, code: str, revision: str, failed: bool, times: int) -> None:
        self._codes[code] = self._codes.get(code, 0) + times
        if revision not in self._revisions and len(self._revisions) >= MAX_REVISIONS:
            revision = OTHER_REVISIONS
        row = self._revisions.setdefault(revision, [0, 0])
        row[0] += times
        mode.requests += times
        self.requests += times
        self._second_requests += times
        self._second_revisions[revision] += times
        if failed:
            row[1] += times
            mode.failed += times
            self.failed += times
            self._second_failed += times

    def _fold_shapes(self, mode: ConnectionMode) -> None:
        for shape in mode.shapes.values():
            if shape.count and shape.parsed is not None:
                self._count(mode, str(shape.parsed.status), shape.revision, False, shape.count)
                self._sizes.add(shape.total, shape.count)
                self._head_sizes.add(shape.parsed.size, shape.count)
                shape.count = 0

    def fold(self) -> None:
        """Bring the totals up to date without ending the second."""
        for mode in self.connection_modes.values():
            self._fold_shapes(mode)

    def tick(self, second: int) -> Row:
        """End a second: fold what the inner loop counted and return the second's row of the timeline."""
        self.fold()
        if not self.paced:
            for times in self._times.values():
                for taken, n in times.items():
                    self.service[taken] += n
        count = sum(self.service.values())
        highest = max(self.service, default=0)
        row = {
            "second": second,
            "sent": self.sent - self._second_sent,
            "ok": self._second_requests - self._second_failed,
            "failed": self._second_failed,
            "revisions": dict(self._second_revisions),
            "p50": quantile(self.service, count, 0.5, highest) / 1e6,
            "p99": quantile(self.service, count, 0.99, highest) / 1e6,
            "max": highest / 1e6,
        }
        for fresh, total in (
            (self.service, self._service), (self.late, self._late), (self.slept, self._slept),
            *((times, self._response[revision]) for revision, times in self._times.items()),
        ):  # fmt: skip
            total.add_all(fresh)
            fresh.clear()
        self._second_revisions.clear()
        self._second_requests = self._second_failed = 0
        self._second_sent = self.sent
        return row

    def stall(self, start: int, end: int) -> None:
        """The engine itself did not run from `start` to `end`."""
        self.stalled += 1
        if len(self.stalls) < MAX_STALLS:
            self.stalls.append([start, end])

    def note_wall(self, anchor: int) -> None:
        """What the wall clock is ahead of the clock now: other than at the start where somebody set it."""
        drift = anchor - self.anchor
        if abs(drift) > abs(self.drift):
            self.drift = drift

    def reconnect(self, reason: str) -> None:
        """A connection was given up for this reason."""
        self.reconnects[reason] = self.reconnects.get(reason, 0) + 1

    def _request_ids(self) -> list[dict[str, Any]]:
        """The ids that were sent, so that the requests can be found in the gateway's log."""
        if self.ids is None or not self.sent:
            return []
        prefix, first = self.ids
        return [{"prefix": prefix, "first": first, "last": first + self.sent - 1}]

    def _windows(self) -> tuple[list[dict[str, Any]], int]:
        """The modes' outages by when they began, and how many more there were."""
        used = [mode for mode in self.connection_modes.values() if mode.requests]
        windows = [window for mode in used for window in mode.outages.windows_json(self.epoch, mode.name)]
        windows.sort(key=lambda window: float(window["first_failed_send"]))
        return windows, sum(mode.outages.dropped for mode in used)

    def snapshot(self) -> dict[str, Any]:
        """The totals as of the last tick, as plain JSON: what a checkpoint stores and a result is made of."""
        response = Histogram()
        for histogram in self._response.values():
            response.merge(histogram)
        windows, windows_dropped = self._windows()
        return {
            "schema": SCHEMA,
            "started": self.epoch(self.started),
            "ended": self.epoch(self.ended or None),
            "requests": self.requests,
            "unsent": self.unsent,
            "warmup_failed": self.warmup_failed,
            "failed": self.failed,
            "sent": self.sent,
            "request_ids": self._request_ids(),
            "codes": dict(self._codes),
            "classes": dict(self.ledger.classes),
            "client_faults": self.ledger.classes.get(CLIENT, 0),
            "ledger_dropped": self.ledger.dropped,
            "revisions": {n: {"requests": row[0], "failed": row[1]} for n, row in self._revisions.items()},
            "connection_modes": {n: mode.to_json(self.epoch) for n, mode in self.connection_modes.items()},
            "longest_success_gap": self.outages.gap_json(self.epoch),
            "outages": windows,
            "outages_dropped": windows_dropped,
            "stalls": [
                {"start": self.epoch(start), "seconds": (end - start) / 1e9} for start, end in self.stalls
            ],
            "stall_count": self.stalled,
            "wall_clock_drift": self.drift / 1e9,
            "sockets": self.sockets,
            "reconnects": dict(self.reconnects),
            "peers": dict(self.peers),
            "histograms": {
                "service": self._service.to_json(),
                "errors": self._errors.to_json(),
                "response": response.to_json(),
                "lateness": self._late.to_json(),
                "sleep": self._slept.to_json(),
                "connect": self.connects.to_json(),
                "sizes": self._sizes.to_json(),
                "head_sizes": self._head_sizes.to_json(),
            },
            "response_histograms": {name: one.to_json() for name, one in self._response.items()},
        }  # fmt: skip
