# SPDX-License-Identifier: GPL-3.0-or-later
"""load.json, read with types: a result in which a count is below 0 or a time is none is not read at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .evidence.intervals import Intervals
from .evidence.load import MISSING, Gap, Generator, Load, Lost, ModeCounts, Second, Stall, Streamed
from .evidence.offset import Offset
from .fields import (
    LoadFormatError,
    amount,
    buckets,
    counts_of,
    listed,
    mapping,
    moment,
    number,
    pairs_of,
    rows_of,
    whole,
)

SCHEMA = 1
"""Of load.json: another may mean another thing by the same name."""
_SLOWEST_RATE = 1 / (366 * 86400)  # requests a second
_TIMES_OF_A_RECORD = ("sent", "intended", "end", "first_byte")


def read_load(result: Any) -> Load:
    """The result of a load test (Fortio's keys plus `LoadTest`).

    :raises LoadFormatError: naming the first field that is missing or of the wrong type.
    """
    top = mapping(result, "the result")
    own = mapping(top.get("LoadTest"), "LoadTest")
    if whole(own, "schema") != SCHEMA:
        raise LoadFormatError(f"LoadTest.schema is {own['schema']}, and only {SCHEMA} is known")
    requests, failed = whole(own, "requests"), whole(own, "failed")
    lateness = mapping(own.get("lateness"), "LoadTest.lateness")
    rows = [mapping(row, "LoadTest.timeline") for row in listed(own, "timeline")]
    # A run that is still going on, or was killed, has no end: it lasted as long as it has counted.
    started, duration = moment(own, "started"), amount(top, "ActualDuration") / 1e9
    service, response = (
        mapping(top.get("DurationHistogram"), "DurationHistogram"),
        mapping(own.get("response_time"), "LoadTest.response_time"),
    )
    streamed = _streamed(own.get("streamed"))
    stalls = tuple(
        Stall(moment(row, "start"), amount(row, "seconds"))
        for row in (mapping(row, "LoadTest.stalls") for row in listed(own, "stalls"))
    )
    return Load(
        state=str(own.get("state", "")),
        started=started,
        ended=started + duration if own.get("ended") is None else moment(own, "ended"),
        requests=requests,
        ok=whole(own, "ok"),
        failed=failed,
        client_faults=whole(own, "client_faults"),
        asked_rate=_rate(own),
        actual_rate=amount(own, "actual_rate"),
        rate_kept=own.get("rate_kept") is True,
        codes=counts_of(top, "RetCodes"),
        counted=whole(service, "Count"),
        buckets=_buckets({"DurationHistogram": service, "response_time": response}, streamed),
        duration=duration,
        classes=counts_of(own, "classes"),
        revisions=pairs_of(own, "revisions"),
        connection_modes={name: _mode_counts(row) for name, row in rows_of(own, "connection_modes").items()},
        ledger=tuple(_lost(mapping(row, "LoadTest.ledger")) for row in listed(own, "ledger")),
        ledger_dropped=whole(own, "ledger_dropped"),
        gap=_gap(own.get("longest_success_gap")),
        outages=_outages(own, "outages"),
        outages_of_all=_outages(own, "outages_of_all"),
        payloads=pairs_of(own, "payloads"),
        longest_pause=amount(own, "longest_pause"),
        longest_mode_pause=amount(own, "longest_mode_pause"),
        streamed=streamed,
        lateness_p50=amount(lateness, "p50"),
        lateness_p99=amount(lateness, "p99"),
        lateness_max=amount(lateness, "max"),
        expected=_statuses(own.get("expect_status")),
        stalls=stalls,
        stall_count=whole(own, "stall_count") if "stall_count" in own else len(stalls),
        wall_clock_drift=number(own, "wall_clock_drift"),
        response_time=response,
        service_time=service,
        seconds=tuple(_second(row) for row in rows),
        identified=_identified(own.get("request_ids")),
        generators=tuple(map(_generator, listed(own, "generators") if own.get("generators") else ())),
    )


def _rate(own: Mapping[str, Any]) -> float:
    """Requests a second; 0 is as fast as possible."""
    rate = amount(own, "asked_rate")
    if 0 < rate < _SLOWEST_RATE:
        raise LoadFormatError("asked_rate is less than one request in a year")
    return rate


def _identified(value: Any) -> int:
    """How many different ids requests were sent with; 0 where they had none."""
    ranges: dict[str, list[tuple[float, float]]] = {}
    for each in value if isinstance(value, list) else ():
        row = mapping(each, "LoadTest.request_ids")
        ids = ranges.setdefault(str(row.get("prefix")), [])
        ids.append((whole(row, "first"), whole(row, "last") + 1))
    return int(sum(Intervals(ids).total() for ids in ranges.values()))


def _statuses(value: Any) -> frozenset[int]:
    """The expected ones; a result that does not tell of any was made without saying so."""
    if value is None:
        return frozenset()
    if not isinstance(value, list) or any(type(status) is not int for status in value):
        raise LoadFormatError("expect_status is not a list of statuses")
    return frozenset(value)


def _buckets(
    histograms: Mapping[str, Mapping[str, Any]], streamed: Streamed | None
) -> dict[str, tuple[int, int]]:
    times = {} if streamed is None else {"first_token": streamed.first_token, "token_gap": streamed.token_gap}
    return {name: (whole(one, "Count"), buckets(one, name)) for name, one in {**histograms, **times}.items()}


def _outages(own: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    rows = tuple(mapping(row, f"LoadTest.{key}") for row in listed(own, key))
    for row in rows:
        whole(row, "failed")
        for name in ("first_failed_send", "last_success", "recovered"):
            if row.get(name) is not None:
                moment(row, name)
    return rows


def _streamed(value: Any) -> Streamed | None:
    if value is None:
        return None
    row = mapping(value, "LoadTest.streamed")
    histograms = mapping(row.get("histograms"), "LoadTest.streamed.histograms")
    tokens = mapping(histograms.get("tokens"), "LoadTest.streamed.histograms.tokens")
    times = {
        name: mapping(row.get(name), f"LoadTest.streamed.{name}") for name in ("first_token", "token_gap")
    }
    parts, counts = [], {}
    for name, histogram in times.items():
        rows = rows_of(row, f"{name}_by_revision").items()
        counts[name] = {revision: whole(one, "Count") for revision, one in rows}
        parts.append((name, whole(histogram, "Count"), sum(counts[name].values())))
    return Streamed(
        tokens=whole(row, "tokens"),
        first_token=times["first_token"],
        token_gap=times["token_gap"],
        streams=whole(tokens, "count"),
        counted=whole(tokens, "sum"),
        parts=tuple(parts),
        begun=counts["first_token"],
    )


def _gap(value: Any) -> Gap:
    row = mapping(value, "LoadTest.longest_success_gap")
    return Gap(amount(row, "seconds"), moment(row, "start"), moment(row, "end"))


def _mode_counts(row: Mapping[str, Any]) -> ModeCounts:
    gap = row.get("longest_success_gap")
    return ModeCounts(whole(row, "requests"), whole(row, "failed"), None if gap is None else _gap(gap))


def _lost(row: Mapping[str, Any]) -> Lost:
    times = {key: moment(row, key) for key in _TIMES_OF_A_RECORD if row.get(key) is not None}
    status = row.get("status")
    return Lost(
        at=next((times[key] for key in ("sent", "intended", "end") if key in times), 0.0),
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
        index=whole(row, "index"),
        of=whole(row, "of"),
        state=state,
        problem=str(row.get("problem", "")),
        clock=None if clock is None else _offset(number(clock, "low"), number(clock, "high")),
        asked_rate=amount(row, "asked_rate"),
        started=moment(row, "started") if left else None,
        ended=moment(row, "ended") if left else None,
        requests=whole(row, "requests") if left else 0,
        failed=whole(row, "failed") if left else 0,
        client_faults=whole(row, "client_faults") if left else 0,
        rate_kept=row.get("rate_kept") is True,
        lateness_p99=amount(mapping(row.get("lateness"), "lateness"), "p99") if left else 0.0,
        longest_stall=amount(row, "longest_stall") if left else 0.0,
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
        start=_whole_second(row),
        requests=whole(row, "ok") + failed,
        failed=failed,
        sent=whole(row, "sent"),
        revisions=counts_of(row, "revisions"),
        slowest=amount(row, "max"),
        p50=None if row.get("p50") is None else amount(row, "p50"),
        p99=None if row.get("p99") is None else amount(row, "p99"),
    )


def _whole_second(row: Mapping[str, Any]) -> int:
    moment(row, "second")
    return whole(row, "second")
