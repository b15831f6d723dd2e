# SPDX-License-Identifier: GPL-3.0-or-later
"""Several results as one: of a load that several processes or hosts sent together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..stats.histogram import Histogram
from .result import build
from .together import CommonGap, CommonOutages

MAX_LEDGER = 10000
_SUMMED = (
    "requests", "failed", "unsent", "warmup_failed", "client_faults", "ledger_dropped",
    "timeline_dropped", "outages_dropped", "stall_count", "address_failovers",
)  # fmt: skip
_COUNTED = ("classes", "reconnects", "resent")
_HISTOGRAMS = ("histograms", "response_histograms", "tokens", "first_token", "token_gap")
_LISTED = ("outages", "stalls", "request_ids")
_LONGEST = ("longest_pause", "longest_mode_pause")
# The worse, the earlier: the state of all is the worst of any.
_STATES = ("running", "interrupted", "aborted", "stopped", "finished")


def merge(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one, exact in every count. `outages` stay those of single runs.

    So do gaps, unless the runs are the parts of one load that several generators sent. The results are taken
    one by one: in memory is one of them, beside what they add up to.
    """
    merger = Merger()
    for result in results:
        merger.add(result)
    return merger.result()


class Merger:
    """Adds up results. None that was added is changed, nor kept."""

    def __init__(self) -> None:
        self._total: dict[str, Any] = {}
        self._timeline: dict[int, dict[str, Any]] = {}
        self._ledger: list[dict[str, Any]] = []
        self._outages = CommonOutages()
        self._gaps = {name: CommonGap(name) for name in ("all", "keep-alive", "new")}
        self._are_parts = True
        self._about: dict[str, Any] = {}

    def add(self, result: Mapping[str, Any]) -> None:
        """Another run."""
        own = result["LoadTest"]
        found = {
            "started": own["started"],
            "ended": own["ended"],
            "codes": result["RetCodes"],
            "peers": result["IPCountMap"],
            "sockets": result["SocketCount"],
            "sent": own["histograms"]["service"]["count"],
            "longest_success_gap": own["longest_success_gap"],
            "wall_clock_drift": own["wall_clock_drift"],
            "revisions": own["revisions"],
            "connection_modes": own["connection_modes"],
            "payloads": _counts_alone(own["payloads"]),
            "histograms": _read(own["histograms"]),
            "response_histograms": _read(own["response_histograms"]),
            **_of_streams(own["streamed"]),
            "rate_kept": own["rate_kept"],
            "state": own["state"],
            **{name: own[name] for name in (*_SUMMED, *_COUNTED, *_LISTED, *_LONGEST)},
        }
        self._total = _together(self._total, found) if self._total else found
        self._about = _about(self._about, result)
        self._keep_failures(own["ledger"])
        _add_seconds(self._timeline, own["timeline"])
        self._outages.add(own)
        self._are_parts = self._are_parts and own["part"] is not None
        if self._are_parts:
            for gap in self._gaps.values():
                gap.add(own)

    def _keep_failures(self, records: list[dict[str, Any]]) -> None:
        """The first of all by their end; the others are counted."""
        ledger = sorted([*self._ledger, *records], key=lambda record: float(record["end"]))
        self._total["ledger_dropped"] += max(0, len(ledger) - MAX_LEDGER)
        self._ledger = ledger[:MAX_LEDGER]

    def result(self) -> dict[str, Any]:
        """load.json of all that was added."""
        total = dict(self._total)
        total["outages"] = sorted(total["outages"], key=lambda window: float(window["first_failed_send"]))
        total["stalls"] = sorted(total["stalls"], key=lambda stall: float(stall["start"]))
        total["outages_of_all"] = self._outages.rows()
        for name in _HISTOGRAMS:
            total[name] = {key: one.to_json() for key, one in total[name].items()}
        total["streamed"] = {
            "tokens": total["tokens"].get("all", Histogram().to_json()),
            "first_token": total["first_token"],
            "token_gap": total["token_gap"],
        }
        if self._are_parts:
            total["longest_success_gap"] = self._gaps["all"].row() or total["longest_success_gap"]
            total["connection_modes"] = {
                name: {**mode, "longest_success_gap": self._gaps[name].row()}
                for name, mode in total["connection_modes"].items()
            }
        timeline = [self._timeline[second] for second in sorted(self._timeline)]
        merged = build(_options(self._about), total["state"], total, timeline, self._ledger)
        merged["LoadTest"]["rate_kept"] = total["rate_kept"]
        merged["Labels"] = self._about["labels"]
        return merged


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two runs counted, as one."""
    gaps = [run["longest_success_gap"] for run in (one, other)]
    drifts = [run["wall_clock_drift"] for run in (one, other)]
    return {
        "started": min(one["started"], other["started"]),
        "ended": max(one["ended"], other["ended"]),
        "sockets": one["sockets"] + other["sockets"],
        "sent": one["sent"] + other["sent"],
        "longest_success_gap": _longest(gaps),
        "wall_clock_drift": max(drifts, key=abs),
        "revisions": _sum_rows(one["revisions"], other["revisions"]),
        "payloads": _sum_rows(one["payloads"], other["payloads"]),
        "connection_modes": {
            name: _mode(mode, other["connection_modes"][name])
            for name, mode in one["connection_modes"].items()
        },
        "rate_kept": one["rate_kept"] and other["rate_kept"],
        "state": min(one["state"], other["state"], key=_STATES.index),
        **{name: _merged(one[name], other[name]) for name in _HISTOGRAMS},
        **{name: _sum_counts(one[name], other[name]) for name in ("codes", "peers", *_COUNTED)},
        **{name: one[name] + other[name] for name in (*_SUMMED, *_LISTED)},
        **{name: max(one[name], other[name]) for name in _LONGEST},
    }


def _sum_counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _sum_rows(
    one: Mapping[str, Mapping[str, int]], other: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    return {name: _sum_counts(one.get(name, {}), other.get(name, {})) for name in {**one, **other}}


def _counts_alone(payloads: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    return {name: {"requests": row["requests"], "failed": row["failed"]} for name, row in payloads.items()}


def _weights(
    before: Mapping[str, float | None], payloads: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None]:
    """Each payload's weight; None where the loads gave it different ones."""
    found = dict(before)
    for name, row in payloads.items():
        found[name] = row["weight"] if found.get(name, row["weight"]) == row["weight"] else None
    return found


def _mode(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "requests": one["requests"] + other["requests"],
        "failed": one["failed"] + other["failed"],
        "longest_success_gap": _longest([row["longest_success_gap"] for row in (one, other)]),
    }


def _longest(gaps: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """The longest of the gaps that there are."""
    return max((gap for gap in gaps if gap is not None), key=lambda gap: float(gap["seconds"]), default=None)


def _read(histograms: Mapping[str, Mapping[str, Any]]) -> dict[str, Histogram]:
    return {name: Histogram.from_json(counts) for name, counts in histograms.items()}


def _of_streams(streamed: Mapping[str, Any] | None) -> dict[str, dict[str, Histogram]]:
    """What a load counted of streamed answers, if it had any."""
    if streamed is None:
        return {"tokens": {}, "first_token": {}, "token_gap": {}}
    counted = streamed["histograms"]
    return {
        "tokens": _read({"all": counted["tokens"]}),
        "first_token": _read(counted["first_token"]),
        "token_gap": _read(counted["token_gap"]),
    }


def _merged(one: dict[str, Histogram], other: dict[str, Histogram]) -> dict[str, Histogram]:
    """The counts of both; those of `one` are added to."""
    for name, counts in other.items():
        one.setdefault(name, Histogram()).merge(counts)
    return one


def _about(before: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of all of them; where they differ, mostly what was asked of the first."""
    own = result["LoadTest"]
    names = dict.fromkeys([*before.get("names", ()), own["name"]])
    statuses = {*before.get("expect_status", ()), *own["expect_status"]}
    first = before or {
        "url": result["URL"],
        "pacing": "open" if result["Uniform"] else "closed",
        "catch_up": not result["NoCatchUp"],
        "duration": 0,
        "timeout": result["HTTPReqTimeOut"],
        "verify": not result["Insecure"],
        "ca_file": result["CACert"],
        "client_cert": result["Cert"],
        "unix_socket": result["UnixDomainSocket"],
        "address": result["Resolve"],
        "labels": result["Labels"],
        "method": result["MethodOverride"],
        "part": None,
    }
    whole = None if own["part"] is None else own["part"]["rate"]
    # Parts have the times of one load.
    arrivals = own["arrivals"] if whole is not None else [*before.get("arrivals", ()), *own["arrivals"]]
    return {
        **first,
        "names": list(names),
        "expect_status": sorted(statuses),
        "arrivals": arrivals,
        "payloads": _weights(before.get("payloads", {}), own["payloads"]),
        "stream": "sse" if own["streamed"] else before.get("stream", ""),
        # The sum of the parts of a rate that does not divide evenly is not it.
        "whole_rates": {*before.get("whole_rates", ()), whole},
        "rate": before.get("rate", 0) + own["asked_rate"],
        "calls": before.get("calls", 0) + result["Exactly"],
        "connections": before.get("connections", 0) + result["NumConnections"],
        "warmup": before.get("warmup", 0) + own["warmup"],
        "all_new": before.get("all_new", True) and result["DisableKeepAlive"],
    }


def _options(about: Mapping[str, Any]) -> dict[str, Any]:
    """As `build` takes options."""
    rates = about["whole_rates"]
    return {
        **about,
        "name": "+".join(about["names"]),
        "rate": next(iter(rates)) if len(rates) == 1 and None not in rates else about["rate"],
        "connection_modes": "new" if about["all_new"] else "keep-alive",
    }


def _add_seconds(seconds: dict[int, dict[str, Any]], rows: Iterable[Mapping[str, Any]]) -> None:
    """Seconds added up; of the percentiles only the maximum can be merged, so the others become None."""
    for row in rows:
        have = seconds.get(row["second"])
        if have is None:
            seconds[row["second"]] = {name: value for name, value in row.items() if name != "gaps"}
            continue
        have["revisions"] = _sum_counts(have["revisions"], row["revisions"])
        for name in ("sent", "ok", "failed"):
            have[name] += row[name]
        have["max"] = max(have["max"], row["max"])
        have["p50"] = have["p99"] = None
