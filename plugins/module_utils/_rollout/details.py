# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures behind a verdict that no single rule tells whole, as verdict.json has them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .evidence.bounds import loss_rate_upper_bound
from .evidence.facts import Facts
from .evidence.load import Lost, percentile_of
from .flags import meaning


def failures(facts: Facts) -> list[dict[str, Any]]:
    """The failures on record by class, status, revision, phase and mode, most first."""
    rows = facts.load.ledger if facts.load else ()
    counts = Counter(
        (row.kind, row.status, row.flags, row.revision, facts.phase_of(row.at), row.connection_mode)
        for row in rows
    )
    names = ("class", "status", "flags", "revision", "phase", "connection_mode")
    return [dict(zip(names, key)) | {"failed": n} for key, n in counts.most_common()]


def payloads(facts: Facts) -> dict[str, dict[str, int]]:
    """Requests and losses by payload, where there are several."""
    rows = facts.load.payloads if facts.load else {}
    return {name: {"requests": requests, "failed": failed} for name, (requests, failed) in rows.items()}


def streamed(facts: Facts) -> dict[str, Any] | None:
    """Tokens of streamed answers and how long they took, in seconds; None where none were asked for."""
    rows = facts.load.streamed if facts.load else None
    if rows is None:
        return None
    times = {"first_token": rows.first_token, "token_gap": rows.token_gap}
    return {"tokens": rows.tokens} | {
        f"{name}_p{wanted}": percentile_of(histogram, wanted)
        for name, histogram in times.items()
        for wanted in (50, 99)
    }


def connection_modes(facts: Facts) -> dict[str, dict[str, Any]]:
    """Requests on new and on keep-alive connections, each with its own bound on the loss and longest gap."""
    rows = facts.load.connection_modes if facts.load else {}
    return {
        name: {
            "requests": requests,
            "failed": failed,
            "loss_rate_upper_bound_95": loss_rate_upper_bound(min(max(0, failed), requests), requests)
            if requests > 0
            else 1.0,
            "longest_success_gap_seconds": gap.seconds if gap else None,
        }
        for name, (requests, failed, gap) in rows.items()
    }


def outages(facts: Facts) -> list[dict[str, Any]]:
    """Each outage with the phase in which it began and the classes of what failed in it, on its mode."""
    load = facts.load
    if load is None:
        return []
    found = []
    for outage in load.outages:
        begin, end = outage.get("first_failed_send"), outage.get("recovered")
        if not isinstance(begin, (int, float)):
            found.append({**outage, "phase": None, "classes": {}})
            continue
        mine = [
            row
            for row in load.ledger
            if row.connection_mode == outage.get("connection_mode") and _within(row, begin, end)
        ]
        classes = dict(Counter(row.label for row in mine))
        found.append({**outage, "phase": facts.phase_of(begin), "classes": classes})
    return found


def _within(row: Lost, begin: float, end: Any) -> bool:
    return begin <= row.at and (not isinstance(end, (int, float)) or row.at <= end)


def generator(facts: Facts) -> dict[str, Any] | None:
    """How well the load generator itself did: rates in requests a second, times in seconds."""
    load = facts.load
    if load is None:
        return None
    longest = max((stall.seconds for stall in load.stalls), default=0.0)
    return {
        "state": load.state,
        "asked_rate": load.asked_rate,
        "actual_rate": load.actual_rate,
        "rate_kept": load.rate_kept,
        "lateness_p99": load.lateness_p99,
        "stalls": len(load.stalls),
        "longest_stall_seconds": longest,
        "client_faults": load.client_faults,
        "generators": [
            {
                "name": one.name,
                "state": one.state,
                "problem": one.problem,
                "requests": one.requests,
                "asked_rate": one.asked_rate,
                "lateness_p99": one.lateness_p99,
                "longest_stall_seconds": one.longest_stall,
                "clock_offset": None if one.clock is None else {"low": one.clock.low, "high": one.clock.high},
            }
            for one in load.generators
        ],
    }


def gateway(facts: Facts) -> dict[str, Any] | None:
    """What the gateway's access log has of this load; None where there is no log."""
    log, load = facts.log, facts.load
    if log is None:
        return None
    rows = load.ledger if load else ()
    flags = Counter(row.flags for row in rows if row.flags)
    return {
        "lines": log.lines,
        "torn_lines": log.unread,
        "requests": log.requests,
        "repeated": log.repeated,
        "statuses": dict(log.statuses),
        "revisions": dict(log.revisions),
        "failures": [
            {"flags": name, "meaning": meaning(name), "failed": n} for name, n in flags.most_common()
        ],
        "not_in_log": sum(row.logged is False for row in rows),
    }
