# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the gateway's access log, where one is given: does it have every request, and does it agree?"""

from __future__ import annotations

from typing import Any

from ..evidence.access_log import AccessLog
from ..evidence.facts import ANSWERS, Facts
from ..evidence.load import Load
from ..messages import count, utc
from ..thresholds import Thresholds
from .rule import Finding, Rule, passed, unproven

# Fortio's code for a request without a right answer: of those the log may say anything.
_NO_CODE = "-1"
# The gateway's clock may differ from the load's by this much.
_APART_SECONDS = 10.0


def log_whole(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load, log = facts.answered_load, facts.log
    if load is None or log is None:
        return []
    figures: dict[str, Any] = {"lines": log.lines, "torn": log.unread, "requests": log.requests}
    figures |= {"statuses": dict(log.statuses), "first": log.first, "last": log.last}
    if not log.requests:
        message = f"the gateway's log ({count(log.lines, 'line')}) has no request of this load"
        return unproven(f"{message}; is it this gateway's, and does that keep X-Request-Id?", **figures)
    found = _short(load, log) + _more(load, log) + _apart(load, log)
    if found:
        return [finding for message in found for finding in unproven(message, **figures)]
    return passed(f"the gateway's log has all {count(log.requests, 'request')} that were answered", **figures)


def _short(load: Load, log: AccessLog) -> list[str]:
    """Answers that the load counted and the log does not have."""
    short = {code: log.statuses.get(code, 0) for code, n in load.codes.items() if code != _NO_CODE}
    torn = f" ({count(log.unread, 'torn line')})" if log.unread else ""
    return [
        f"the gateway's log has {count(have, 'answer')} with status {code}{torn}, where the load test "
        f"counted {load.codes[code]}: it was cut or rotated, or it is not the only gateway's"
        for code, have in short.items()
        if have < load.codes[code]
    ]


def _more(load: Load, log: AccessLog) -> list[str]:
    """Requests by the load's ids that the load knows nothing of."""
    if log.requests <= load.requests:
        return []
    return [
        f"the gateway's log has {count(log.requests, 'request')} by the ids of the load, which counted "
        f"{load.requests}"
    ]


def _apart(load: Load, log: AccessLog) -> list[str]:
    """Times that cannot be those of the load."""
    if log.first is None or log.last is None:
        return ["no line of the gateway's log tells a time that can be read"]
    timed = sum(sum(names.values()) for names in log.seconds.values())
    if timed < log.requests:
        untimed = count(log.requests - timed, "request")
        return [f"of {untimed} the gateway's log tells no time that can be read"]
    if log.first < load.started - _APART_SECONDS or log.last > load.ended + load.slowest + _APART_SECONDS:
        return [
            f"by the gateway's log the load ran from {utc(log.first)} to {utc(log.last)}, by its own "
            f"from {utc(load.started)} to {utc(load.ended)}: the clocks differ"
        ]
    return []


def sent_once(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    log = facts.log
    if log is None or not log.requests:
        return []
    if log.repeated:
        message = f"{count(log.repeated, 'request')} stand in the gateway's log more than once"
        why = "something repeats requests, which hides losses, or it is the log of two gateways in a row"
        return unproven(f"{message}: {why}", repeated=log.repeated)
    return passed("no request came to the gateway more than once", repeated=0)


def log_agrees(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load, log = facts.answered_load, facts.log
    if load is None or log is None or facts.named_by != ANSWERS or not any(log.revisions):
        return []
    if _short(load, log):
        return []
    names = sorted({name for name in (*load.revisions, *log.revisions) if name})
    answered = {name: load.revisions.get(name, (0, 0))[0] for name in names}
    logged = {name: log.revisions.get(name, 0) for name in names}
    # Requests without an answer name nobody, and the log may know to whom they went.
    unnamed = load.revisions.get("", (0, 0))[0]
    wrong = [name for name in names if not answered[name] <= logged[name] <= answered[name] + unnamed]
    if not wrong:
        return passed("the answers and the gateway's log name the same revisions", requests=logged)
    each = ", ".join(f"{name} {answered[name]} and {logged[name]}" for name in wrong)
    return unproven(
        f"the answers and the gateway's log disagree on who answered: {each}",
        answered=answered,
        logged=logged,
    )


RULES = (
    Rule("log_whole", "The gateway's log has every request", log_whole),
    Rule("sent_once", "No request was sent twice", sent_once),
    Rule("log_agrees", "The gateway's log names the same revisions", log_agrees),
)
