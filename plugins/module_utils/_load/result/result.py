# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run: Fortio's keys, and beside them `LoadTest` with what Fortio does not tell."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from ..http.target import shown_url
from ..options import Options
from ..stats.histogram import Histogram
from ..stats.tally import LATE, SCHEMA
from . import fortio

MAX_LEDGER = 10000
KEPT_SHARE = 0.99  # of the requests that were due, sent, and not late: then the asked rate was kept

_ABOUT = (
    "name", "url", "rate", "pacing", "catch_up", "duration", "calls", "connections", "timeout",
    "connection_modes", "warmup", "verify", "ca_file", "client_cert", "unix_socket", "address", "labels",
)  # fmt: skip
_COPIED = (
    "requests", "failed", "unsent", "warmup_failed", "classes", "client_faults", "ledger_dropped",
    "revisions", "connection_modes", "longest_success_gap", "outages", "outages_dropped",
    "stalls", "stall_count", "reconnects", "request_ids", "wall_clock_drift",
)  # fmt: skip


def about(options: Options) -> dict[str, Any]:
    """What may be told of a run's options: neither headers' values nor payloads nor what a query holds."""
    told = {name: getattr(options, name) for name in _ABOUT}
    return {**told, "url": shown_url(options.url), "method": options.verb}


def utc_text(seconds: float) -> str:
    """Seconds since the epoch in RFC 3339."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def build(
    options: Mapping[str, Any],
    state: str,
    snapshot: Mapping[str, Any],
    timeline: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
) -> dict[str, Any]:
    """load.json. `options` is what `about` told, `snapshot` what the tally did."""
    snapshot = {**snapshot, "ended": snapshot["ended"] or _last_moment(snapshot, timeline)}
    made = fortio.keys(options, snapshot, utc_text(snapshot["started"]))
    late = Histogram.from_json(snapshot["histograms"]["lateness"])
    made["LoadTest"] = {
        "schema": SCHEMA,
        "name": options["name"],
        "state": state,
        "started": snapshot["started"],
        "ended": snapshot["ended"],
        "ok": snapshot["requests"] - snapshot["failed"],
        "asked_rate": options["rate"],
        "actual_rate": made["ActualQPS"],
        "rate_kept": rate_kept(options, snapshot, late),
        "warmup": options["warmup"],
        **{name: snapshot[name] for name in _COPIED},
        "ledger": ledger,
        "lateness": {
            "p50": late.quantile(0.5) / 1e6, "p99": late.quantile(0.99) / 1e6, "max": late.max / 1e6,
        },
        "response_time": _seconds_of(snapshot["histograms"]["response"]),
        "response_time_by_revision": {
            name: _seconds_of(counts) for name, counts in snapshot["response_histograms"].items()
        },
        "timeline": timeline,
        "histograms": snapshot["histograms"],
        "response_histograms": snapshot["response_histograms"],
    }  # fmt: skip
    return made


def _seconds_of(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Microseconds counted, as Fortio's histogram of seconds."""
    return fortio.histogram(Histogram.from_json(counts), fortio.MICROSECONDS, 1000)


def rate_kept(options: Mapping[str, Any], snapshot: Mapping[str, Any], late: Histogram) -> bool:
    """Whether 99 % of the requests that were due were sent within 0.1 s of their time."""
    if not options["rate"]:
        return True
    due: int = snapshot["sent"] + snapshot["unsent"]
    return due > 0 and int(snapshot["sent"]) - late.above(LATE) >= KEPT_SHARE * due


def _last_moment(snapshot: Mapping[str, Any], timeline: list[dict[str, Any]]) -> float:
    """For a run that was killed: the end of the last second that it reported."""
    last = timeline[-1]["second"] + 1 if timeline else snapshot["started"]
    return max(float(last), float(snapshot["started"]))


def _sum_counts(mappings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for mapping in mappings:
        for name, count in mapping.items():
            total[name] = total.get(name, 0) + count
    return total


def _sum_rows(mappings: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for mapping in mappings:
        for name, row in mapping.items():
            total[name] = _sum_counts([total.get(name, {}), row])
    return total


def merge(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one, exact in every count. Gaps and outages stay those of single runs."""
    own = [result["LoadTest"] for result in results]
    first = results[0]
    snapshot: dict[str, Any] = {
        "started": min(part["started"] for part in own),
        "ended": max(part["ended"] for part in own),
        "codes": _sum_counts(result["RetCodes"] for result in results),
        "peers": _sum_counts(result["IPCountMap"] for result in results),
        "sockets": sum(result["SocketCount"] for result in results),
        "sent": sum(part["histograms"]["service"]["count"] for part in own),
        "longest_success_gap": _longest(part["longest_success_gap"] for part in own),
        "outages": sorted((window for part in own for window in part["outages"]), key=_window_start),
        "stalls": sorted((stall for part in own for stall in part["stalls"]), key=_start),
        "request_ids": [ids for part in own for ids in part["request_ids"]],
        "wall_clock_drift": max((part["wall_clock_drift"] for part in own), key=abs),
        "histograms": {
            name: _merged(part["histograms"][name] for part in own).to_json() for name in own[0]["histograms"]
        },
        "response_histograms": _merged_by_name(part["response_histograms"] for part in own),
    }  # fmt: skip
    for name in (
        "requests",
        "failed",
        "unsent",
        "warmup_failed",
        "client_faults",
        "ledger_dropped",
        "outages_dropped",
        "stall_count",
    ):
        snapshot[name] = sum(part[name] for part in own)
    for name in ("classes", "reconnects"):
        snapshot[name] = _sum_counts(part[name] for part in own)
    snapshot["revisions"] = _sum_rows(part["revisions"] for part in own)
    snapshot["connection_modes"] = {
        name: _merged_mode([part["connection_modes"][name] for part in own])
        for name in own[0]["connection_modes"]
    }
    ledger = sorted((record for part in own for record in part["ledger"]), key=lambda record: record["end"])
    snapshot["ledger_dropped"] += max(0, len(ledger) - MAX_LEDGER)
    merged = build(
        _merged_about(results), _merged_state(own), snapshot, _merged_timeline(own), ledger[:MAX_LEDGER]
    )
    merged["LoadTest"]["rate_kept"] = all(part["rate_kept"] for part in own)
    merged["Labels"] = first["Labels"]
    return merged


def _merged_mode(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "requests": sum(row["requests"] for row in rows),
        "failed": sum(row["failed"] for row in rows),
        "longest_success_gap": _longest(row["longest_success_gap"] for row in rows),
    }


def _longest(gaps: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """The longest of the gaps that there are."""
    return max((gap for gap in gaps if gap is not None), key=_seconds, default=None)


def _seconds(item: Mapping[str, Any]) -> float:
    return float(item["seconds"])


def _start(item: Mapping[str, Any]) -> float:
    return float(item["start"])


def _window_start(window: Mapping[str, Any]) -> float:
    return float(window["first_failed_send"])


def _merged(parts: Iterable[Mapping[str, Any]]) -> Histogram:
    total = Histogram()
    for part in parts:
        total.merge(Histogram.from_json(part))
    return total


def _merged_by_name(parts: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        for name, counts in part.items():
            found.setdefault(name, []).append(counts)
    return {name: _merged(counts).to_json() for name, counts in found.items()}


def _merged_state(own: list[dict[str, Any]]) -> str:
    states = {part["state"] for part in own}
    for state in ("running", "interrupted", "aborted", "stopped"):
        if state in states:
            return state
    return "finished"


def _merged_about(results: list[dict[str, Any]]) -> dict[str, Any]:
    first, own = results[0], [result["LoadTest"] for result in results]
    return {
        "name": "+".join(dict.fromkeys(part["name"] for part in own)),
        "url": first["URL"],
        "rate": sum(part["asked_rate"] for part in own),
        "pacing": "open" if first["Uniform"] else "closed",
        "catch_up": not first["NoCatchUp"],
        "duration": 0,
        "calls": sum(result["Exactly"] for result in results),
        "connections": sum(result["NumConnections"] for result in results),
        "timeout": first["HTTPReqTimeOut"],
        "connection_modes": "new" if all(result["DisableKeepAlive"] for result in results) else "keep-alive",
        "warmup": sum(part["warmup"] for part in own),
        "verify": not first["Insecure"],
        "ca_file": first["CACert"],
        "client_cert": first["Cert"],
        "unix_socket": first["UnixDomainSocket"],
        "address": first["Resolve"],
        "labels": first["Labels"],
        "method": first["MethodOverride"],
    }


def _merged_timeline(own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds added up; of the percentiles only the maximum can be merged, so the others become None."""
    seconds: dict[int, dict[str, Any]] = {}
    for part in own:
        for row in part["timeline"]:
            have = seconds.get(row["second"])
            if have is None:
                seconds[row["second"]] = dict(row)
                continue
            have["revisions"] = _sum_counts([have["revisions"], row["revisions"]])
            for name in ("sent", "ok", "failed"):
                have[name] += row[name]
            have["max"] = max(have["max"], row["max"])
            have["p50"] = have["p99"] = None
    return [seconds[second] for second in sorted(seconds)]
