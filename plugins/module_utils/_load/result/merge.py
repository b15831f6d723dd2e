# SPDX-License-Identifier: GPL-3.0-or-later
"""Several results as one: of a load that several processes or hosts sent together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..stats.histogram import Histogram
from .result import build
from .together import outages_of_all

MAX_LEDGER = 10000
_SUMMED = (
    "requests", "failed", "unsent", "warmup_failed", "client_faults", "ledger_dropped",
    "timeline_dropped", "outages_dropped", "stall_count", "address_failovers",
)  # fmt: skip


def merge(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one, exact in every count. Gaps and `outages` stay those of single runs."""
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
        "outages_of_all": outages_of_all(own),
        "payloads": _sum_rows(_counts_alone(part["payloads"]) for part in own),
        "longest_pause": max(part["longest_pause"] for part in own),
        "longest_mode_pause": max(part["longest_mode_pause"] for part in own),
        "stalls": sorted((stall for part in own for stall in part["stalls"]), key=_start),
        "request_ids": [ids for part in own for ids in part["request_ids"]],
        "wall_clock_drift": max((part["wall_clock_drift"] for part in own), key=abs),
        "histograms": {
            name: _merged(part["histograms"][name] for part in own).to_json() for name in own[0]["histograms"]
        },
        "response_histograms": _merged_by_name(part["response_histograms"] for part in own),
    }  # fmt: skip
    for name in _SUMMED:
        snapshot[name] = sum(part[name] for part in own)
    for name in ("classes", "reconnects", "resent"):
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


def _counts_alone(payloads: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    return {name: {"requests": row["requests"], "failed": row["failed"]} for name, row in payloads.items()}


def _weights(own: list[dict[str, Any]]) -> dict[str, float | None]:
    """Each payload's weight; None where the loads gave it different ones."""
    found: dict[str, set[float | None]] = {}
    for part in own:
        for name, row in part["payloads"].items():
            found.setdefault(name, set()).add(row["weight"])
    return {name: weights.pop() if len(weights) == 1 else None for name, weights in found.items()}


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
        "expect_status": sorted({status for part in own for status in part["expect_status"]}),
        "verify": not first["Insecure"],
        "ca_file": first["CACert"],
        "client_cert": first["Cert"],
        "unix_socket": first["UnixDomainSocket"],
        "address": first["Resolve"],
        "labels": first["Labels"],
        "method": first["MethodOverride"],
        "arrivals": [one for part in own for one in part["arrivals"]],
        "payloads": _weights(own),
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
