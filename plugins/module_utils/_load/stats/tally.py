# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is counted while a run goes on: small whole numbers, flat in memory however long it runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from ..errors import STATUS
from ..http.parser import Head
from .counts import MAX_REVISIONS, OTHER_REVISIONS, Counts
from .health import Health
from .histogram import Accumulator, Histogram
from .ledger import FailedRequest, Ledger
from .modes import KnownAnswer, ModeTally
from .outage import Outages
from .payloads import PayloadCounts
from .streamed import StreamedCounts
from .timeline import Row, Timeline


class Tally:
    """What is counted of a run. `started` is its first nanosecond, `anchor` what turns the clock into the
    epoch.

    `outages` are those of all requests. Where only one mode is used they are that mode's as well, so that
    they are kept but once; with both (`both_modes`) each mode has its own beside them.

    `service` (from sending), `response` (from when it was due; by revision), `late` and `slept` count
    microseconds. The engine's inner loop counts into `KnownAnswer.count` and `times` and, where the run is
    paced, into `service`, which otherwise is the sum of these times; `tick` folds all once a second.
    """

    def __init__(
        self,
        started: int,
        anchor: int,
        ledger_limit: int,
        paced: bool,
        both_modes: bool = False,
        *,
        note_gaps: bool = False,
    ) -> None:
        self.started = started
        self.anchor = anchor
        self.paced = paced  # without a rate a request has no time but that of its sending
        self.ended = 0  # when the last request was sent or due; 0 while the run goes on
        self.unsent = 0  # requests that were due and that no connection was free for until the end
        self.aborted = False
        self.warmup_failed = 0
        self.ids: tuple[str, int] | None = None  # prefix and first number of its requests' ids, if any
        self.sent = 0
        self.pauses = (0, 0)  # of the schedule, see there
        self.payloads = PayloadCounts()
        self.streamed = StreamedCounts()
        self.counts = Counts()
        self.outages = Outages(started, note_gaps)
        self.connection_modes = {
            name: ModeTally(name, Outages(started, note_gaps) if both_modes else self.outages)
            for name in ("keep-alive", "new")
        }
        self.ledger = Ledger(ledger_limit)
        self.health = Health(anchor)
        self.service = Accumulator()
        self.response: dict[str, Accumulator] = {}
        self.late = Accumulator()
        self.slept = Accumulator()
        self.errors = Histogram()  # service times of the failed ones
        self.connects = Histogram()
        self.sizes = Histogram()
        self.head_sizes = Histogram()
        self.sockets = 0
        self.address_failovers = 0  # addresses that took no connection, after which another was tried
        self.reconnects: dict[str, int] = {}
        self.resent: dict[str, int] = {}  # calls that the server said it had not processed, by how it said so
        self.peers: dict[str, int] = {}
        self._timeline = Timeline()

    def epoch(self, at: int | None) -> float | None:
        """A time of the clock as seconds since the epoch, to the microsecond."""
        return None if at is None else round((at + self.anchor) / 1e9, 6)

    def success(
        self,
        mode: ModeTally,
        head: Head,
        *,
        total: int,
        revision: str,
        seq: int,
        intended: int,
        sent: int,
        end: int,
    ) -> None:
        """Count request `seq`, answered as asked; `total` bytes, times in the clock's nanoseconds."""
        self._duration(revision, intended, sent, end)
        self._count_successes(mode, head, total, revision, 1)
        mode.outages.success(seq, sent, end)
        if self.outages is not mode.outages:
            self.outages.success(seq, sent, end)

    def failure(self, mode: ModeTally, failed: FailedRequest, total: int, head_size: int) -> None:
        """Count a failed request. Its code is its status if that is what was wrong, else Fortio's -1."""
        sent = failed.intended if failed.sent is None else failed.sent
        self.errors.add(self._duration(failed.revision, failed.intended, sent, failed.end))
        code = str(failed.status) if failed.kind == STATUS else "-1"
        self.counts.add(code, failed.revision, failed_as=failed.kind)
        mode.requests += 1
        mode.failed += 1
        self.sizes.add(total)
        self.head_sizes.add(head_size)
        self.ledger.add(failed)
        mode.outages.failure(failed.seq, sent, failed.end)
        if self.outages is not mode.outages:
            self.outages.failure(failed.seq, sent, failed.end)

    def settle(self, in_flight: Mapping[str, Collection[int]]) -> None:
        """Bring the outages up to date; `in_flight` has the numbers of those requests by mode."""
        self.outages.settle([seq for numbers in in_flight.values() for seq in numbers])
        for name, mode in self.connection_modes.items():
            if mode.outages is not self.outages:
                mode.outages.settle(in_flight[name])

    def _duration(self, revision: str, intended: int, sent: int, end: int) -> int:
        """Count how long a request took; returns its service time in microseconds, rounded up."""
        taken = -((sent - end) // 1000)
        if self.paced:
            self.service.fresh[taken] += 1
            self._response_times(revision)[-((intended - end) // 1000)] += 1
        else:
            self._response_times(revision)[taken] += 1
        return taken

    def _response_times(self, revision: str) -> defaultdict[int, int]:
        if revision not in self.response and len(self.response) >= MAX_REVISIONS:
            revision = OTHER_REVISIONS
        return self.response.setdefault(revision, Accumulator()).fresh

    def _count_successes(self, mode: ModeTally, head: Head, total: int, revision: str, times: int) -> None:
        self.counts.add(str(head.status), revision, times)
        mode.requests += times
        self.sizes.add(total, times)
        self.head_sizes.add(head.size, times)

    def learn(self, mode: ModeTally, raw_head: bytes, total: int, head: Head, revision: str) -> None:
        """From now on a response with this head and length is known by sight, and counted as this one was."""
        if mode.knows(raw_head):
            return
        if mode.full:
            self._fold_known(mode)
            mode.forget()
        mode.learn(KnownAnswer(raw_head, total, head, revision, self._response_times(revision)))

    def _fold_known(self, mode: ModeTally) -> None:
        for known in mode.counted():
            assert known.parsed is not None
            self._count_successes(mode, known.parsed, known.total, known.revision, known.count)
            known.count = 0

    def tick(self, second: int) -> Row:
        """End the second that began at `second` (epoch): fold what came in it and return its row."""
        for mode in self.connection_modes.values():
            self._fold_known(mode)
        if not self.paced:
            for one in self.response.values():
                for taken, times in one.fresh.items():
                    self.service.fresh[taken] += times
        row = self._timeline.row(second, self.counts, self.sent, self.service.fresh)
        row.update(self._gaps())
        for accumulator in (self.service, self.late, self.slept, *self.response.values()):
            accumulator.fold()
        self.streamed.fold()
        return row

    def _gaps(self) -> Row:
        """The gaps that the last second added, of all requests and, where both are used, of each mode."""
        own = {name: mode.outages for name, mode in self.connection_modes.items()}
        apart = {name: outages for name, outages in own.items() if outages is not self.outages}
        taken = {
            name: outages.take_gaps(self.epoch) for name, outages in {"all": self.outages, **apart}.items()
        }
        return {} if taken["all"] is None else {"gaps": taken}

    def sent_again(self, told_by: str) -> None:
        """A call that the server had not processed was sent again."""
        self.resent[told_by] = self.resent.get(told_by, 0) + 1

    def reconnect(self, reason: str) -> None:
        """A connection was given up for this reason."""
        self.reconnects[reason] = self.reconnects.get(reason, 0) + 1
