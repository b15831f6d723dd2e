# SPDX-License-Identifier: GPL-3.0-or-later
"""load.json, read with types: what the verdict and the report need of a load test's result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.iter8.kfserving.plugins.module_utils._common.percentile import percentile

from ..fields import LoadFormatError, counts_of, listed, mapping, number, pairs_of, rows_of, whole
from .offset import Offset, hull

STOPPED = "stopped"
COMPLETE_STATES = ("finished", STOPPED)
OTHERS = "(others)"  # payloads beyond those that are counted each by itself
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
        told = {"status": self.status, "grpc_status": self.raw.get("grpc_status")}.get(self.kind)
        status = str(told) if told else ""
        return " ".join(filter(None, (self.kind, status, self.flags)))


@dataclass(frozen=True)
class Second:
    """What ended within the second that began at `start` (whole seconds since the epoch).

    `revisions` is how many answers named which. `slowest`, `p50` and `p99` are service times in seconds,
    from when a request was sent to its end. `slowest` is the longest of all that ended in this second, so
    what is counted here was routed up to that much earlier. The percentiles are None where several loads
    were merged.
    """

    start: int
    requests: int
    failed: int
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
    each of the two histograms, its name, its count, and the sum of those by revision.
    """

    tokens: int
    first_token: Mapping[str, Any]
    token_gap: Mapping[str, Any]
    streams: int
    counted: int
    parts: tuple[tuple[str, int, int], ...]


class ModeCounts(NamedTuple):
    """Requests on keep-alive connections, or on new ones. `gap` is None where there were none."""

    requests: int
    failed: int
    gap: Gap | None


@dataclass(frozen=True)
class Generator:
    """One of several generators that sent the load together, by the name of its host or pod.

    `clock` is by how much its times are ahead of the control host's clock, None where nothing compared them.
    `state` is as of a load, `missing` where it left no result, and `problem` says why. Without a result its
    times are None and all figures 0.
    """

    name: str
    state: str
    problem: str
    clock: Offset | None
    asked_rate: float
    started: float | None
    ended: float | None
    requests: int
    rate_kept: bool
    lateness_p99: float
    longest_stall: float
    connection_modes: Mapping[str, ModeCounts]


@dataclass(frozen=True)
class Load:
    """A load test's result. Times are seconds since the epoch, durations seconds, rates requests a second.

    - `requests` came to an end, `ok` or `failed`; `client_faults` failed by the fault of the generator.
    - `codes`, `classes`: how many by status code (all of them) and by class of failure.
    - `counted`: how many the histogram of response times has.
    - `revisions`: requests and failures by name; the empty name is that of answers that named none.
    - `ledger`: a record for each failure, but for the `ledger_dropped` that were only counted.
    - `gap`: the longest time between two successes; `outages` as load.json has them.
    - `payloads`: requests and failures by payload; empty where there is but one.
    - `longest_pause`: the longest time in which nothing was due, where requests do not come evenly; else 0.
      `longest_mode_pause` is the same on one kind of connection.
    - `streamed`: None where no answer was to be streamed.
    - `lateness_p99`, `lateness_max`: 99 % of the requests, or all, were sent at most this late.
    - `expected`: the statuses that were asked for; empty where that is not told, so any of 2xx.
    - `wall_clock_drift`: by how much the wall clock was set while the load ran; forward is positive.
    - `response_time`: a histogram of Fortio's shape, in seconds.
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
    duration: float
    classes: Mapping[str, int]
    revisions: Mapping[str, tuple[int, int]]
    connection_modes: Mapping[str, ModeCounts]
    ledger: tuple[Lost, ...]
    ledger_dropped: int
    gap: Gap
    outages: tuple[Mapping[str, Any], ...]
    payloads: Mapping[str, tuple[int, int]]
    longest_pause: float
    longest_mode_pause: float
    streamed: Streamed | None
    lateness_p99: float
    lateness_max: float
    expected: frozenset[int]
    stalls: tuple[Stall, ...]
    wall_clock_drift: float
    response_time: Mapping[str, Any]
    seconds: tuple[Second, ...]
    generators: tuple[Generator, ...] = ()

    @property
    def clock(self) -> Offset | None:
        """How far its times are ahead of the control host's clock for all that is known of its generators';
        None where nothing compared them."""
        return hull(one.clock for one in self.generators if one.clock is not None)

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


def read_load(result: Any) -> Load:
    """The result of a load test (Fortio's keys plus `LoadTest`).

    :raises LoadFormatError: naming the first field that is missing or of the wrong type.
    """
    top = mapping(result, "the result")
    own = mapping(top.get("LoadTest"), "LoadTest")
    requests, failed = whole(own, "requests"), whole(own, "failed")
    lateness = mapping(own.get("lateness"), "LoadTest.lateness")
    rows = [mapping(row, "LoadTest.timeline") for row in listed(own, "timeline")]
    # A run that is still going on, or was killed, has no end: it lasted as long as it has counted.
    started, duration = number(own, "started"), number(top, "ActualDuration") / 1e9
    return Load(
        state=str(own.get("state", "")),
        started=started,
        ended=started + duration if own.get("ended") is None else number(own, "ended"),
        requests=requests,
        ok=whole(own, "ok"),
        failed=failed,
        client_faults=whole(own, "client_faults"),
        asked_rate=number(own, "asked_rate"),
        actual_rate=number(own, "actual_rate"),
        rate_kept=own.get("rate_kept") is True,
        codes=counts_of(top, "RetCodes"),
        counted=whole(mapping(top.get("DurationHistogram"), "DurationHistogram"), "Count"),
        duration=duration,
        classes=counts_of(own, "classes"),
        revisions=pairs_of(own, "revisions"),
        connection_modes={name: _mode_counts(row) for name, row in rows_of(own, "connection_modes").items()},
        ledger=tuple(_lost(mapping(row, "LoadTest.ledger")) for row in listed(own, "ledger")),
        ledger_dropped=whole(own, "ledger_dropped"),
        gap=_gap(own.get("longest_success_gap")),
        outages=tuple(mapping(row, "LoadTest.outages") for row in listed(own, "outages")),
        payloads=pairs_of(own, "payloads"),
        longest_pause=number(own, "longest_pause"),
        longest_mode_pause=number(own, "longest_mode_pause"),
        streamed=_streamed(own.get("streamed")),
        lateness_p99=number(lateness, "p99"),
        lateness_max=number(lateness, "max"),
        expected=_statuses(own.get("expect_status")),
        stalls=tuple(
            Stall(number(row, "start"), number(row, "seconds"))
            for row in (mapping(row, "LoadTest.stalls") for row in listed(own, "stalls"))
        ),
        wall_clock_drift=number(own, "wall_clock_drift"),
        response_time=mapping(own.get("response_time"), "LoadTest.response_time"),
        seconds=tuple(_second(row) for row in rows),
        generators=tuple(_generator(row) for row in own.get("generators") or ()),
    )


def _lasts(outage: Mapping[str, Any]) -> bool:
    before, first, failed = (outage.get(key) for key in ("last_success", "first_failed_send", "failed"))
    if not isinstance(first, (int, float)) or not isinstance(failed, int) or failed < 2:
        return False
    return not isinstance(before, (int, float)) or before <= first


def _statuses(value: Any) -> frozenset[int]:
    return (
        frozenset(status for status in value if type(status) is int)
        if isinstance(value, list)
        else frozenset()
    )


def percentile_of(histogram: Mapping[str, Any], wanted: float) -> float | None:
    """The value at a percentile of a histogram of Fortio's shape; None where it is empty or of another
    shape."""
    try:
        return percentile(histogram, wanted)
    except (KeyError, TypeError):
        return None


def _streamed(value: Any) -> Streamed | None:
    if value is None:
        return None
    row = mapping(value, "LoadTest.streamed")
    histograms = mapping(row.get("histograms"), "LoadTest.streamed.histograms")
    tokens = mapping(histograms.get("tokens"), "LoadTest.streamed.histograms.tokens")
    times = {
        name: mapping(row.get(name), f"LoadTest.streamed.{name}") for name in ("first_token", "token_gap")
    }
    parts = []
    for name, histogram in times.items():
        by_revision = rows_of(row, f"{name}_by_revision").values()
        parts.append((name, whole(histogram, "Count"), sum(whole(one, "Count") for one in by_revision)))
    return Streamed(
        tokens=whole(row, "tokens"),
        first_token=times["first_token"],
        token_gap=times["token_gap"],
        streams=whole(tokens, "count"),
        counted=whole(tokens, "sum"),
        parts=tuple(parts),
    )


def _gap(value: Any) -> Gap:
    row = mapping(value, "LoadTest.longest_success_gap")
    return Gap(number(row, "seconds"), number(row, "start"), number(row, "end"))


def _mode_counts(row: Mapping[str, Any]) -> ModeCounts:
    gap = row.get("longest_success_gap")
    return ModeCounts(whole(row, "requests"), whole(row, "failed"), None if gap is None else _gap(gap))


def _lost(row: Mapping[str, Any]) -> Lost:
    times = [row.get(key) for key in ("sent", "intended", "end")]
    at = next((float(time) for time in times if isinstance(time, (int, float)) and math.isfinite(time)), 0.0)
    status = row.get("status")
    return Lost(
        at=at,
        kind=str(row.get("class", "unknown")),
        revision=str(row.get("revision") or ""),
        connection_mode=str(row.get("connection_mode", "")),
        status=status if isinstance(status, int) else None,
        raw=row,
        payload=str(row.get("payload") or ""),
    )


def _generator(value: Any) -> Generator:
    row = mapping(value, "LoadTest.generators")
    state, offset = str(row.get("state", "")), row.get("clock_offset")
    clock = mapping(offset, "clock_offset") if offset is not None else None
    left = state != MISSING
    return Generator(
        name=str(row.get("name", "")),
        state=state,
        problem=str(row.get("problem", "")),
        clock=None if clock is None else _offset(number(clock, "low"), number(clock, "high")),
        asked_rate=number(row, "asked_rate"),
        started=number(row, "started") if left else None,
        ended=number(row, "ended") if left else None,
        requests=whole(row, "requests") if left else 0,
        rate_kept=row.get("rate_kept") is True,
        lateness_p99=number(mapping(row.get("lateness"), "lateness"), "p99") if left else 0.0,
        longest_stall=number(row, "longest_stall") if left else 0.0,
        connection_modes={name: _mode_counts(mode) for name, mode in rows_of(row, "connection_modes").items()}
        if left
        else {},
    )


def _offset(low: float, high: float) -> Offset:
    if low > high:
        raise LoadFormatError("clock_offset is no interval")
    return Offset(low, high)


def _second(row: Mapping[str, Any]) -> Second:
    failed = whole(row, "failed")
    return Second(
        start=whole(row, "second"),
        requests=whole(row, "ok") + failed,
        failed=failed,
        revisions=counts_of(row, "revisions"),
        slowest=number(row, "max"),
        p50=None if row.get("p50") is None else number(row, "p50"),
        p99=None if row.get("p99") is None else number(row, "p99"),
    )
