# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verdict and the report need of a load test's result; `result_reader` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.iter8.kfserving.plugins.module_utils._common.percentile import percentile

from .offset import Offset, hull

STOPPED = "stopped"
COMPLETE_STATES = ("finished", STOPPED)
OTHERS = "(others)"  # payloads, or revisions, beyond those that are counted each by itself
MISSING = "missing"  # of a generator that left no result


@dataclass(frozen=True)
class Lost:
    """One failed request of the ledger. Times are seconds since the epoch; `at` is when it was sent, or was
    to be.

    `flags` are Envoy's, from the gateway's access log; `logged` is whether it stands there at all, None where
    there is no log. `payload` is the name of what it carried, where there are several payloads.
    """

    at: float
    kind: str
    revision: str
    connection_mode: str
    status: int | None
    raw: Mapping[str, Any]
    flags: str = ""
    logged: bool | None = None
    payload: str = ""

    @property
    def label(self) -> str:
        """The class, with the status where that is what was wrong, and Envoy's flags: `status 503 UH`,
        `grpc_status 14`, `reset`."""
        value = {"status": self.status, "grpc_status": self.raw.get("grpc_status")}.get(self.kind)
        status = str(value) if value else ""
        return " ".join(filter(None, (self.kind, status, self.flags)))


@dataclass(frozen=True)
class Second:
    """What ended within the second that began at `start` (whole seconds since the epoch), and how many
    requests were `sent` in it.

    `revisions` is how many answers named which. `slowest`, `p50` and `p99` are service times in seconds,
    from when a request was sent to its end. `slowest` is the longest of all that ended in this second, so
    what is counted here was routed up to that much earlier. The percentiles are None where several loads
    were merged.
    """

    start: int
    requests: int
    failed: int
    sent: int
    revisions: Mapping[str, int]
    slowest: float
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class Stall:
    """The generator itself did not run for `seconds` from `start`."""

    start: float
    seconds: float


class Gap(NamedTuple):
    """The longest time between two successes, from the end of one to the end of the next."""

    seconds: float
    start: float
    end: float


class Streamed(NamedTuple):
    """Answers that were streamed: tokens in all, and those by histograms of Fortio's shape, in seconds.

    `first_token` is from when a request was due to its first token, `token_gap` from one token to the next.
    `streams` is how many the counts of tokens have, `counted` how many tokens these come to; `parts` are, for
    each of the two histograms, its name, its count, and the sum of those by revision. `begun` is how many had
    a first token by the name that was known by then; the empty name is that of those that had named none.
    """

    tokens: int
    first_token: Mapping[str, Any]
    token_gap: Mapping[str, Any]
    streams: int
    counted: int
    parts: tuple[tuple[str, int, int], ...]
    begun: Mapping[str, int]


class ModeCounts(NamedTuple):
    """Requests on keep-alive connections, or on new ones. `gap` is None where there were none."""

    requests: int
    failed: int
    gap: Gap | None


@dataclass(frozen=True)
class Generator:
    """One of several generators that sent the load together, by the name of its host or pod: part `index`,
    from 0, `of` so many.

    `clock` is by how much its times are ahead of the control host's clock, None where nothing compared them.
    `state` is as of a load, `missing` where it left no result, and `problem` says why. Without a result its
    times are None and all figures 0.
    """

    name: str
    index: int
    of: int
    state: str
    problem: str
    clock: Offset | None
    asked_rate: float
    started: float | None
    ended: float | None
    requests: int
    failed: int
    client_faults: int
    rate_kept: bool
    lateness_p99: float
    longest_stall: float
    connection_modes: Mapping[str, ModeCounts]


@dataclass(frozen=True)
class Load:
    """A load test's result. Times are seconds since the epoch, durations seconds, rates requests a second.

    - `requests` came to an end, `ok` or `failed`; `client_faults` failed by the fault of the generator.
    - `codes`, `classes`: how many by status code (all of them) and by class of failure.
    - `counted`: how many the histogram of service times has.
    - `buckets`: how many each histogram says that it has, and how many are in its buckets, by its name.
    - `revisions`: requests and failures by name; the empty name is that of answers that named none.
    - `ledger`: a record for each failure, but for the `ledger_dropped` that were only counted.
    - `gap`: the longest time between two successes; `outages` and `outages_of_all` as load.json has them.
    - `payloads`: requests and failures by payload; empty where there is but one.
    - `longest_pause`: the longest time in which nothing was due, where requests do not come evenly; else 0.
      `longest_mode_pause` is the same on one kind of connection.
    - `streamed`: None where no answer was to be streamed.
    - `lateness_p50`, `lateness_p99`, `lateness_max`: half of the requests, 99 %, or all, were sent at most
      this late.
    - `stalls` has the longest thousand, `stall_count` counts all.
    - `expected`: the statuses that were asked for; empty where that is not told, so any of 2xx.
    - `wall_clock_drift`: by how much the wall clock was set while the load ran; forward is positive.
    - `response_time`, `service_time`: histograms of Fortio's shape, in seconds from when each request was
      due, and from when it was sent.
    - `identified`: how many ids they were sent with; 0 where they had none.
    - `generators`: those that sent it together; empty where there was but one.
    """

    state: str
    started: float
    ended: float
    requests: int
    ok: int
    failed: int
    client_faults: int
    asked_rate: float
    actual_rate: float
    rate_kept: bool
    codes: Mapping[str, int]
    counted: int
    buckets: Mapping[str, tuple[int, int]]
    duration: float
    classes: Mapping[str, int]
    revisions: Mapping[str, tuple[int, int]]
    connection_modes: Mapping[str, ModeCounts]
    ledger: tuple[Lost, ...]
    ledger_dropped: int
    gap: Gap
    outages: tuple[Mapping[str, Any], ...]
    outages_of_all: tuple[Mapping[str, Any], ...]
    payloads: Mapping[str, tuple[int, int]]
    longest_pause: float
    longest_mode_pause: float
    streamed: Streamed | None
    lateness_p50: float
    lateness_p99: float
    lateness_max: float
    expected: frozenset[int]
    stalls: tuple[Stall, ...]
    stall_count: int
    wall_clock_drift: float
    response_time: Mapping[str, Any]
    service_time: Mapping[str, Any]
    seconds: tuple[Second, ...]
    identified: int = 0
    generators: tuple[Generator, ...] = ()

    @property
    def slowest(self) -> float:
        """The longest response time of all seconds, in seconds."""
        return max((second.slowest for second in self.seconds), default=0.0)

    @property
    def clock(self) -> Offset | None:
        """How far its times are ahead of the control host's clock for all that is known of its generators';
        None where nothing compared them."""
        return hull(one.clock for one in self.generators if one.clock is not None)

    @property
    def last_wait(self) -> float:
        """How long after the last request was sent or due the last answer may have come, in seconds."""
        after = (row for row in self.seconds if row.requests and row.start + 1 > self.ended)
        return max((row.slowest for row in after), default=0.0)

    def gap_of_one(self, mode: str) -> Gap:
        """The longest gap on this kind of connection that one generator had by itself."""
        counts = [one.connection_modes.get(mode) for one in self.generators or (self,)]
        return max((known.gap for known in counts if known and known.gap), default=self.gap)

    @property
    def lasting_outages(self) -> list[Mapping[str, Any]]:
        """The outages of several sends in a row. A loss that stands alone is none that a client would call
        so, nor is one in which a success was sent after its first failure."""
        return [row for row in self.outages if _lasts(row)]

    @property
    def waits(self) -> list[float]:
        """How long clients waited for their requests to fail, in seconds, the shortest first."""
        ends = ((row.at, row.raw.get("end")) for row in self.ledger)
        return sorted(end - at for at, end in ends if isinstance(end, (int, float)) and end >= at)

    @property
    def gaps(self) -> dict[str, Gap]:
        """The longest gap on each kind of connection that was used."""
        return {
            name: mode.gap
            for name, mode in self.connection_modes.items()
            if mode.gap is not None and mode.requests > 0
        }

    def counted_as(self, lost: Lost) -> str:
        """The name that a failed request's payload is counted by in `payloads`."""
        return lost.payload if lost.payload in self.payloads or not self.payloads else OTHERS

    def rate_of(self, mode: str) -> float:
        """The requests a second that were asked for on a kind of connection that was used: its share."""
        total = sum(self.connection_modes[name].requests for name in self.gaps)
        return self.asked_rate * self.connection_modes[mode].requests / total


def _lasts(outage: Mapping[str, Any]) -> bool:
    before, first, failed = (outage.get(key) for key in ("last_success", "first_failed_send", "failed"))
    if not isinstance(first, (int, float)) or not isinstance(failed, int) or failed < 2:
        return False
    return not isinstance(before, (int, float)) or before <= first


def percentile_of(histogram: Mapping[str, Any], wanted: float) -> float | None:
    """The value at a percentile of a histogram of Fortio's shape; None where it is empty or of another
    shape."""
    try:
        return percentile(histogram, wanted)
    except (KeyError, TypeError):
        return None
