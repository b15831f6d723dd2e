# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the counts of the load test: every view of them must tell the same, and of right answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ..evidence.facts import Facts
from ..evidence.load import COMPLETE_STATES, OTHERS, Load, Streamed
from ..messages import count, elapsed
from ..thresholds import Thresholds
from .rule import Finding, Rule, passed, unproven
from .views import STATUS, Wrong, impossible, unless

# Fortio's code for failures of any other class than by the status, which alone have a code of their own.
_CLIENT, _NO_CODE = "client", "-1"
# Statuses whose answers have no body (RFC 9110, sections 15.3.5 and 15.3.6).
_BODILESS = (204, 205)
# By how much an outage may be longer than a gap for how both are measured.
_OUTAGE_SECONDS = 1.0


def counts_agree(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load = facts.answered_load
    if load is None:
        return []
    wrong: dict[str, int | float] = dict(_totals(load)) or dict(_parts(load))
    if not wrong:
        return passed(f"every count of the load test agrees on {load.requests}", requests=load.requests)
    listed = ", ".join(f"{name} {total}" for name, total in wrong.items())
    message = (
        f"the counts of the load test disagree: {count(load.requests, 'request')}, {load.failed} failed, but"
    )
    return unproven(f"{message} {listed}", requests=load.requests, failed=load.failed, **{"sums": wrong})


def _totals(load: Load) -> Iterator[tuple[str, int | float]]:
    """Each view of all requests, or of all failures, that has another sum."""
    modes = load.connection_modes.values()
    requests = {
        "RetCodes": sum(load.codes.values()),
        "DurationHistogram": load.counted,
        "ok and failed": load.ok + load.failed,
        "revisions": sum(n for n, _unused in load.revisions.values()),
        "connection modes": sum(mode.requests for mode in modes),
        "timeline": sum(second.requests for second in load.seconds),
    }
    if load.state in COMPLETE_STATES:  # until then some were sent that have not ended
        requests["sent by second"] = sum(second.sent for second in load.seconds)
    if load.payloads:
        requests["payloads"] = sum(n for n, _unused in load.payloads.values())
    failures = {
        "records of failures": len(load.ledger) + load.ledger_dropped,
        "failures by class": sum(load.classes.values()),
        "failures by revision": sum(k for _unused, k in load.revisions.values()),
        "failures by connection mode": sum(mode.failed for mode in modes),
        "failures by second": sum(second.failed for second in load.seconds),
    }
    if load.payloads:
        failures["failures by payload"] = sum(k for _unused, k in load.payloads.values())
    yield from ((name, total) for name, total in requests.items() if total != load.requests)
    yield from ((name, total) for name, total in failures.items() if total != load.failed)
    if load.client_faults != load.classes.get(_CLIENT, 0):
        yield "faults of the generator", load.client_faults


def _parts(load: Load) -> Iterator[tuple[str, float]]:
    """Where the sums are right: each part that cannot be, with what it should be in its name."""
    by_status = load.classes.get(STATUS, 0)
    right = sum(n for code, n in load.codes.items() if _is_right(code, load))
    yield from _but(unless("answers with a right status in RetCodes, with ok", right, load.ok))
    without = load.codes.get(_NO_CODE, 0)
    yield from _but(unless("failures without a status", without, load.failed - by_status))
    named: Counter[str] = Counter()
    for second in load.seconds:
        named.update(second.revisions)
    for name in sorted({*named, *load.revisions}):
        total = load.revisions.get(name, (0, 0))[0]
        yield from _but(unless(f"by seconds for {name or 'no revision'}", named[name], total))
    rows = (*((f"for {name or 'no revision'}", row) for name, row in load.revisions.items()),)
    modes = ((f"on {name} connections", mode[:2]) for name, mode in load.connection_modes.items())
    payloads = ((f"with {name}", row) for name, row in load.payloads.items())
    for what, (n, k) in (*rows, *modes, *payloads):
        if not 0 <= k <= n:
            yield f"failures {what} of {n}", k
    yield from _but(impossible(load))
    yield from _of_the_ledger(load)
    yield from _of_the_outages(load)
    if load.streamed is not None:
        yield from _of_the_streams(load, load.streamed)


def _but(wrong: Iterator[Wrong]) -> Iterator[Wrong]:
    return ((f"{what}, but", figure) for what, figure in wrong)


def _is_right(code: str, load: Load) -> bool:
    if not code.isdecimal():
        return False
    return int(code) in load.expected if load.expected else 200 <= int(code) < 300


def _of_the_ledger(load: Load) -> Iterator[tuple[str, int]]:
    """What is recorded of each kind; where records were dropped, only more than there can be."""
    modes = {name: mode.failed for name, mode in load.connection_modes.items()}
    revisions = _failed(load.revisions)
    views: tuple[tuple[str, Counter[str], Mapping[str, int]], ...] = (
        ("class", Counter(row.kind for row in load.ledger), load.classes),
        ("connections", Counter(row.connection_mode for row in load.ledger), modes),
        ("revision", Counter(row.revision for row in load.ledger), revisions),
        ("payload", Counter(filter(None, map(load.counted_as, load.ledger))), _failed(load.payloads)),
    )
    for what, recorded, counted in views:
        for name in sorted({*recorded, *counted}):
            have, wanted = recorded[name], counted.get(name, 0)
            if have > wanted or (have < wanted and not load.ledger_dropped):
                yield f"records of {what} {name or 'none'} {wanted}, but", have


def _failed(rows: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    return {name: k for name, (_unused, k) in rows.items()}


def _of_the_streams(load: Load, streamed: Streamed) -> Iterator[Wrong]:
    """Each token is either its stream's first or has a gap before it."""
    yield from _but(unless("streams in the counts of tokens, of", streamed.streams, load.requests))
    yield from _but(unless("tokens in the counts of each stream, of", streamed.counted, streamed.tokens))
    totals = {name: total for name, total, _unused in streamed.parts}
    yield from _but(unless("first tokens and gaps between tokens, of", sum(totals.values()), streamed.tokens))
    for name, total, by_revision in streamed.parts:
        yield from _but(unless(f"{name} by revision, of", by_revision, total))
    if totals["first_token"] > load.requests:
        yield f"first tokens of {load.requests} streams", totals["first_token"]
    for name, begun in sorted(streamed.begun.items()):
        streams = load.revisions.get(name, (0, 0))[0]
        # A stream may name its revision after its first token.
        if begun > streams and name not in ("", OTHERS):
            yield f"first tokens of {streams} streams of {name}", begun


def _of_the_outages(load: Load) -> Iterator[tuple[str, int | float]]:
    lost: Counter[str] = Counter()
    slowest = load.slowest
    for outage in load.outages:
        mode = str(outage.get("connection_mode"))
        lost[mode] += outage["failed"]
        begin, end = outage.get("first_failed_send"), outage.get("recovered")
        gap = load.gap_of_one(mode).seconds
        if begin is None or end is None:
            continue
        # A stream whose first token came shows that there is no gap, and may be lost all the same.
        if end - begin > gap + slowest + _OUTAGE_SECONDS and load.streamed is None:
            yield f"seconds of an outage where the longest gap is {elapsed(gap)}", round(end - begin, 3)
    for mode, failed in lost.items():
        known = load.connection_modes.get(mode)
        if failed > (known.failed if known else 0):
            yield f"failures in outages on {mode} connections of {known.failed if known else 0}", failed


def answers_whole(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    empty = {
        status: load.codes[str(status)]
        for status in _BODILESS
        if load.codes.get(str(status)) and status not in load.expected
    }
    if empty:
        each = " and ".join(f"{count(n, 'answer')} with status {status}" for status, n in empty.items())
        message = f"{each} had no body, which is no prediction, and nobody says that it was expected"
        return unproven(message, statuses={str(status): n for status, n in empty.items()})
    silent = _without_a_token(facts.answered_load or load)
    if silent:
        rows = ((count(n, "stream"), f" of {name}" if name else "") for name, n in silent.items())
        each = " and ".join(f"{streams}{of}" for streams, of in rows)
        message = f"not one of {each} had a token, and yet they count as answered"
        return unproven(message, without_a_token=silent)
    return passed("no answer was one without a body by its status")


def _without_a_token(load: Load) -> dict[str, int]:
    """The successes of each revision whose streams never began; those of all under the empty name.

    A model may have nothing to say to some, and such a stream is whole. One that never says a thing has not
    answered. Whose the first tokens were is only known where each of them named a revision.
    """
    streamed = load.streamed
    if streamed is None:
        return {}
    begun = {name for name, n in streamed.begun.items() if n}
    if not begun:
        return {"": load.ok} if load.ok else {}
    if begun & {"", OTHERS}:
        return {}
    right = {name: n - k for name, (n, k) in load.revisions.items()}
    return {name: n for name, n in sorted(right.items()) if n > 0 and name and name not in begun}


RULES = (
    Rule("counts_agree", "The counts of the load test agree", counts_agree),
    Rule("answers_whole", "Every answer was one that can have a body", answers_whole),
)
