# SPDX-License-Identifier: GPL-3.0-or-later
"""The totals of a run as plain JSON: what a checkpoint stores and a result is made of."""

from __future__ import annotations

from typing import Any

from .histogram import Histogram
from .tally import Tally

SCHEMA = 1


def snapshot(tally: Tally) -> dict[str, Any]:
    """As of the last tick. Times are seconds since the epoch; histograms count µs, those of sizes bytes."""
    counts = tally.counts
    return {
        "schema": SCHEMA,
        "started": tally.epoch(tally.started),
        "ended": tally.epoch(tally.ended or None),
        "requests": counts.requests,
        "unsent": tally.unsent,
        "warmup_failed": tally.warmup_failed,
        "failed": counts.failed,
        "sent": tally.sent,
        "request_ids": _request_ids(tally),
        "codes": dict(counts.codes),
        "classes": dict(counts.classes),
        "client_faults": counts.client_faults,
        "ledger_dropped": tally.ledger.dropped,
        "timeline_dropped": 0,
        "revisions": {n: {"requests": row[0], "failed": row[1]} for n, row in counts.revisions.items()},
        "connection_modes": {n: mode.to_json(tally.epoch) for n, mode in tally.connection_modes.items()},
        "longest_success_gap": tally.outages.gap_json(tally.epoch),
        **_outages(tally),
        "outages_of_all": tally.outages.to_json(tally.epoch, "all")[0],
        **tally.health.to_json(tally.epoch),
        "sockets": tally.sockets,
        "address_failovers": tally.address_failovers,
        "reconnects": dict(tally.reconnects),
        "resent": dict(tally.resent),
        "peers": dict(tally.peers),
        "payloads": tally.payloads.to_json(),
        **_pauses(tally),
        "streamed": tally.streamed.to_json(),
        **_histograms(tally),
    }


def _request_ids(tally: Tally) -> list[dict[str, Any]]:
    """The ids that were sent, so that the requests can be found in the gateway's log."""
    if tally.ids is None or not tally.sent:
        return []
    prefix, first = tally.ids
    return [{"prefix": prefix, "first": first, "last": first + tally.sent - 1}]


def _pauses(tally: Tally) -> dict[str, float]:
    """The longest time in which nothing was due: of all, and of one mode where both are used."""
    both = all(mode.requests for mode in tally.connection_modes.values())
    return {"longest_pause": tally.pauses[0] / 1e9, "longest_mode_pause": tally.pauses[both] / 1e9}


def _outages(tally: Tally) -> dict[str, Any]:
    """The modes' outages by when they began, and how many more there were."""
    used = [mode for mode in tally.connection_modes.values() if mode.requests]
    found = [mode.outages.to_json(tally.epoch, mode.name) for mode in used]
    windows = [window for rows, _dropped in found for window in rows]
    windows.sort(key=lambda window: float(window["first_failed_send"]))
    return {"outages": windows, "outages_dropped": sum(dropped for _rows, dropped in found)}


def _histograms(tally: Tally) -> dict[str, Any]:
    by_revision = {name: one.total for name, one in tally.response.items()}
    response = Histogram()
    for one in by_revision.values():
        response.merge(one)
    histograms = {
        "service": tally.service.total,
        "errors": tally.errors,
        "response": response,
        "lateness": tally.late.total,
        "sleep": tally.slept.total,
        "connect": tally.connects,
        "sizes": tally.sizes,
        "head_sizes": tally.head_sizes,
    }
    return {
        "histograms": {name: one.to_json() for name, one in histograms.items()},
        "response_histograms": {name: one.to_json() for name, one in by_revision.items()},
    }
