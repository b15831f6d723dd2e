# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run: Fortio's keys, and beside them `LoadTest` with what Fortio does not tell."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ..duration import SECOND
from ..http.target import shown_url
from ..options import Options, share
from ..payloads import names
from ..stats.histogram import Histogram, merged
from ..stats.snapshot import SCHEMA
from . import fortio

LATE = 100_000  # µs after its time from which a request counts as late
KEPT_SHARE = 0.99  # of the requests that were due, sent, and not late: then the asked rate was kept

_PUBLIC = (
    "name", "url", "rate", "pacing", "catch_up", "duration", "calls", "connections", "timeout",
    "connection_modes", "warmup", "verify", "ca_file", "client_cert", "unix_socket", "address", "labels",
    "expect_status", "stream", "longest_request",
)  # fmt: skip
_COPIED = (
    "requests", "failed", "unsent", "warmup_failed", "classes", "client_faults", "ledger_dropped",
    "timeline_dropped", "revisions", "connection_modes", "longest_success_gap", "outages", "outages_of_all",
    "outages_dropped", "stalls", "stall_count", "reconnects", "address_failovers",
    "resent", "request_ids", "wall_clock_drift", "longest_pause", "longest_mode_pause",
)  # fmt: skip


def public_options(options: Options) -> dict[str, Any]:
    """What may be told of a run's options: neither headers' values nor payloads nor what a query holds."""
    public = {name: getattr(options, name) for name in _PUBLIC}
    return {
        **public,
        "url": shown_url(options.url),
        "method": options.verb,
        "rate": options.mean_rate / options.parts,
        "calls": share(options.calls, options.part, options.parts),
        "arrivals": [_arrival(options)],
        "payloads": _payload_weights(options),
        "part": _part(options),
    }


def _arrival(options: Options) -> dict[str, Any]:
    """When requests were to be sent: how they are spread, drawn with which seed, and at which rates."""
    profile, times = options.profile, options.send_times
    return {
        "arrival": "trace" if times else options.arrival,
        "seed": options.seed,
        "profile": [
            {"from": step.begin, "to": step.end, "seconds": step.length / SECOND} for step in profile
        ],
        "send_times": len(times),
        "repeat": options.repeat,
    }


def _payload_weights(options: Options) -> dict[str, float]:
    """Each payload's weight, where there are several; those that go out in turn are all alike."""
    count = len(options.payloads)
    if count < 2:
        return {}
    weights: dict[str, float] = {}
    for name, weight in zip(names(count, options.payload_names), options.payload_weights or [1.0] * count):
        weights[name] = weights.get(name, 0) + weight
    return weights


def _part(options: Options) -> dict[str, Any] | None:
    """Which part of a load that several generators send this one has; None where it sends all of it."""
    if options.parts == 1:
        return None
    rate = options.mean_rate
    return {
        "index": options.part,
        "of": options.parts,
        "rate": rate,
        "phase": options.part / rate if rate else 0.0,
        "clock_ahead": options.clock_ahead / 1e9,
    }


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
    """load.json. `options` is what `public_options` told, `snapshot` that of the tally."""
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
        "asked_rate": _asked_rate(options, snapshot, made["ActualDuration"]),
        "arrivals": options["arrivals"],
        "payloads": {
            name: {"weight": options["payloads"].get(name), **row}
            for name, row in snapshot["payloads"].items()
        },
        "actual_rate": made["ActualQPS"],
        "rate_kept": rate_kept(options, snapshot, late),
        "warmup": options["warmup"],
        "expect_status": options["expect_status"],
        "part": options["part"],
        "generators": [],
        **{name: snapshot[name] for name in _COPIED},
        "ledger": ledger,
        "lateness": {
            "p50": late.quantile(0.5) / 1e6, "p99": late.quantile(0.99) / 1e6, "max": late.max / 1e6,
        },
        "response_time": _seconds_of(snapshot["histograms"]["response"]),
        "response_time_by_revision": {
            name: _seconds_of(counts) for name, counts in snapshot["response_histograms"].items()
        },
        "streamed": _streamed(options["stream"], snapshot["streamed"]),
        "timeline": timeline,
        "histograms": snapshot["histograms"],
        "response_histograms": snapshot["response_histograms"],
    }  # fmt: skip
    return made


def _streamed(stream: str, counted: Mapping[str, Any]) -> dict[str, Any] | None:
    """First tokens and the gaps between tokens in seconds, and the counts behind; None without streams."""
    if not stream:
        return None
    return {
        "tokens": counted["tokens"]["sum"],
        "first_token": _seconds_of(merged(counted["first_token"].values()).to_json()),
        "first_token_by_revision": {name: _seconds_of(one) for name, one in counted["first_token"].items()},
        "token_gap": _seconds_of(merged(counted["token_gap"].values()).to_json()),
        "token_gap_by_revision": {name: _seconds_of(one) for name, one in counted["token_gap"].items()},
        "histograms": dict(counted),
    }


def _asked_rate(options: Mapping[str, Any], snapshot: Mapping[str, Any], elapsed: int) -> float:
    """Requests a second; where the rate changes, what the part of it comes to that was gone through."""
    changing = any(one["profile"] or one["send_times"] for one in options["arrivals"])
    if not changing or not elapsed:
        return float(options["rate"])
    return float((snapshot["sent"] + snapshot["unsent"]) * SECOND / elapsed)


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
