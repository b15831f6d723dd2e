# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway's access log adds to a load test's result: flags and revisions of failures, and, where the
answers themselves name none, who answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from .access_log import AccessLog
from .load import Load, Lost


def named_by_answers(load: Load, log: AccessLog) -> Load:
    """The load, each of its failures with what the log says of it. Those that nobody named, the log may."""
    ledger = tuple(_with_entry(lost, log, lost.revision) for lost in load.ledger)
    found = Counter(new.revision for old, new in zip(load.ledger, ledger) if new.revision != old.revision)
    if not found:
        return replace(load, ledger=ledger)
    moved = sum(found.values())
    requests, failed = load.revisions.get("", (0, 0))
    revisions = {**load.revisions, "": (requests - moved, failed - moved)}
    for name, n in found.items():
        before = revisions.get(name, (0, 0))
        revisions[name] = (before[0] + n, before[1] + n)
    return replace(load, ledger=ledger, revisions={name: row for name, row in revisions.items() if any(row)})


def _with_entry(lost: Lost, log: AccessLog, named: str) -> Lost:
    entry = log.entries.get(str(lost.raw.get("request_id")))
    if entry is None:
        return replace(lost, logged=False, revision=named)
    return replace(lost, logged=True, flags=entry.flags, revision=named or entry.revision)


def named_by_log(load: Load, log: AccessLog, ahead: int = 0) -> Load:
    """The load, with its requests named by the log instead of by their answers. What the log does not have
    stays without a name. The log's clock is so many seconds ahead."""
    ledger = tuple(_with_entry(lost, log, "") for lost in load.ledger)
    failed = Counter(lost.revision for lost in ledger)
    revisions = {name: (n, failed.get(name, 0)) for name, n in log.revisions.items() if name}
    unnamed = load.requests - sum(n for n, _unused in revisions.values())
    if unnamed > 0:
        revisions[""] = (unnamed, max(0, load.failed - sum(k for _unused, k in revisions.values())))
    seconds = tuple(
        replace(second, revisions=log.seconds.get(second.start + ahead, {})) for second in load.seconds
    )
    return replace(load, ledger=ledger, revisions=revisions, seconds=seconds)
