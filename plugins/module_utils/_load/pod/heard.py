# SPDX-License-Identifier: GPL-3.0-or-later
"""A generator's result, from what was heard of it."""

from __future__ import annotations

from typing import Any, Optional

from ..result.result import build
from .lines import Log

INTERRUPTED = "interrupted"


def result(log: Log) -> Optional[dict[str, Any]]:
    """Its load.json, as it said it; None where it did not come whole."""
    wholes = log.wholes("result")
    found: Optional[dict[str, Any]] = wholes[max(wholes)] if wholes else None
    return found


def remains(log: Log) -> Optional[dict[str, Any]]:
    """load.json of a generator that died, as far as it had told of itself; None where nothing is left.

    All counts are those of its last report. Rows of seconds and of failed requests whose lines are lost are
    counted as dropped.
    """
    options, reports = log.wholes("options").get(0), log.wholes("checkpoint")
    if options is None or not reports:
        return None
    last = reports[max(reports)]
    rows = {name: [row for each in reports.values() for row in each[name]] for name in ("timeline", "ledger")}
    snapshot = dict(last["snapshot"])
    for name, kept in rows.items():
        snapshot[f"{name}_dropped"] += last[f"{name}_before"] + len(last[name]) - len(kept)
    return build(options, INTERRUPTED, snapshot, rows["timeline"], rows["ledger"])
