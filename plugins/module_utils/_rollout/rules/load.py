# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the load test: was anything lost, and can its result be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..evidence.bounds import loss_rate_upper_bound
from ..evidence.facts import Facts
from ..evidence.intervals import Intervals
from ..evidence.load import COMPLETE_STATES, Gap, Load, Lost, percentile_of
from ..flags import meaning
from ..messages import count, elapsed, in_phases, rate_below, tally, utc
from ..thresholds import Thresholds
from . import counts, generators
from .clock_steps import steps
from .rule import Finding, Rule, failed, passed, unproven, worst

# The class of failures that are the generator's own: they say nothing about the service.
CLIENT = "client"
_MOST_FLAGS = 3
_MOST_PAYLOADS = 3
# From then on a request counts as late for the load, which says whether it kept the rate.
_LATE_SECONDS = 0.1


def evidence_complete(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    if not facts.problems:
        pieces = "the load's result, the timeline, the Experiment and the InferenceService"
        if not facts.by_experiment:
            pieces = "the load's result, the timeline and the InferenceService"
        return passed(f"{pieces} are all there")
    return [
        finding for name, problem in facts.problems.items() for finding in unproven(problem, evidence=name)
    ]


def nothing_lost(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    lost = load.failed - load.client_faults
    figures: dict[str, Any] = {"requests": load.requests, "lost": lost, "max_lost": thresholds.max_lost}
    if lost <= 0:
        message = f"none lost: the loss rate is below {rate_below(bound_of(load))} with 95 % confidence"
        return passed(f"{count(load.requests, 'request')}, {message}", **figures)
    message = f"{lost} of {count(load.requests, 'request')} {'was' if lost == 1 else 'were'} lost"
    if lost <= thresholds.max_lost:
        return passed(f"{message}; {thresholds.max_lost} may be", **figures)
    rows = [row for row in load.ledger if row.kind != CLIENT]
    by_class = Counter(row.label for row in rows)
    by_revision = Counter(facts.name_of(row.revision) for row in rows)
    by_phase = Counter(facts.phase_of(row.at) for row in sorted(rows, key=lambda row: row.at))
    by_payload = Counter(row.payload for row in rows if row.payload)
    if rows:
        first, last = min(row.at for row in rows), max(row.at for row in rows)
        when = f"at {utc(first)}" if len(rows) == 1 else f"from {utc(first)} to {utc(last)}"
        each = ", ".join(f"{n} by {name}" for name, n in by_revision.items())
        message += f" {when}: {tally(by_class)}; {each}; {in_phases(by_phase)}"
        message += _by_payload(by_payload) + _by_the_log(rows)
        figures |= {"first": first, "last": last}
    figures |= {
        "classes": dict(by_class),
        "revisions": dict(Counter(row.revision for row in rows)),
        "phases": dict(by_phase),
        **({"payloads": dict(by_payload)} if by_payload else {}),
    }
    return failed(message, **figures)


def _by_payload(counts: Counter[str]) -> str:
    """Which payloads the lost requests carried, where there are several."""
    most = counts.most_common(_MOST_PAYLOADS)
    others = sum(counts.values()) - sum(n for _unused, n in most)
    clauses = [f"{n} with {name}" for name, n in most] + ([f"{others} with others"] if others else [])
    return f"; {', '.join(clauses)}" if clauses else ""


def _by_the_log(rows: list[Lost]) -> str:
    """What the gateway says of the failures, where its log was given."""
    flags = Counter(row.flags for row in rows if row.flags)
    clauses = [f"{n} × {meaning(name)}" for name, n in flags.most_common(_MOST_FLAGS)]
    unknown = sum(row.logged is False for row in rows)
    clauses += [f"{unknown} never reached it"] if unknown else []
    return f"; by the gateway's log: {'; '.join(clauses)}" if clauses else ""


def gap_short(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    # Where requests do not come evenly, nothing may have been due for a while.
    limit = thresholds.gap_limit(load.asked_rate)
    overall = _gap(load, load.gap, limit + load.longest_pause) + _without_pause(load, limit)
    if len(load.gaps) < 2:
        return overall
    # What fails on new connections only, the successes on keep-alive ones would hide.
    apart: list[Finding] = []
    for mode, gap in load.gaps.items():
        limit = thresholds.mode_gap_limit(load.rate_of(mode)) + load.longest_mode_pause
        apart += _gap(load, gap, limit, mode)
    # A gap of all requests is one of each mode, and need not be reported again; but a mode is allowed more.
    grade, grade_of_all = (worst([finding.grade for finding in found]) for found in (apart, apart + overall))
    return apart if grade is grade_of_all else apart + overall


def _without_pause(load: Load, limit: float) -> list[Finding]:
    """A finding where a pause is to be why the gap is that long, and requests were sent all the time."""
    gap, pause = load.gap, load.longest_pause
    if not limit < gap.seconds <= limit + pause:
        return []
    within = [s for s in load.seconds if s.sent and gap.start <= s.start and s.start + 1 <= gap.end]
    # Of a pause the second in which it began and the one in which it ended may have had some.
    if gap.seconds <= limit + min(pause, gap.seconds - len(within) + 2):
        return []
    message = f"nothing was due for up to {elapsed(pause)}, by which a gap of {elapsed(gap.seconds)} is none"
    sent = sum(second.sent for second in within)
    return unproven(f"{message}, and yet {count(sent, 'request')} were sent in it", sent=sent, pause=pause)


def _gap(load: Load, gap: Gap, limit: float, mode: str = "") -> list[Finding]:
    length, start, end = gap
    on = f" on {mode} connections" if mode else ""
    figures: dict[str, Any] = {"seconds": length, "start": start, "end": end, "max_gap": limit}
    figures |= {"connection_mode": mode} if mode else {}
    if length <= limit:
        return passed(f"the longest gap between successes{on} is {elapsed(length)}", **figures)
    # While the generator stood still, nothing was asked: that part of a gap is not the service's.
    own = Intervals((s.start, s.start + s.seconds) for s in load.stalls).clip(start, end).total()
    figures["generator_stood_still"] = own
    message = (
        f"no request{on} succeeded for {elapsed(length)} from {utc(start)}, longer than {elapsed(limit)}"
    )
    if length - own <= limit:
        return unproven(f"{message}; the generator itself stood still for {elapsed(own)} of it", **figures)
    if _nothing_asked(load, gap, limit):
        late = f"requests were sent up to {elapsed(load.lateness_max)} late, and none took that long"
        return unproven(f"{message}; {late}: the generator itself stood still", **figures)
    return failed(message, **figures)


def _nothing_asked(load: Load, gap: Gap, limit: float) -> bool:
    """Whether the generator was late by what makes the gap too long, and no request was on its way then: what
    ended around the gap had taken less, and nothing failed."""
    too_long = gap.seconds - limit
    around = [second for second in load.seconds if gap.start - 1 < second.start <= gap.end]
    slowest = max((second.slowest for second in around), default=math.inf)
    failures = any(second.failed for second in around)
    return load.lateness_max >= too_long and slowest < too_long and not failures


def latency_kept(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    if facts.load is None:
        return []
    return _within(facts.load.response_time, thresholds.latency, "response time", "requests took")


def first_token_kept(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    if facts.load is None:
        return []
    streamed = facts.load.streamed
    if streamed is None:
        return _within({}, thresholds.max_first_token, "first token", "first tokens took")
    found = _within(streamed.first_token, thresholds.max_first_token, "first token", "first tokens took")
    begun, streams = sum(streamed.begun.values()), facts.load.ok
    # One that never came was not in time.
    short = [wanted for wanted in sorted(thresholds.max_first_token) if begun < streams * wanted / 100]
    if begun and short:
        message = f"only {begun} of {count(streams, 'stream')} had a first token"
        found += unproven(f"{message}, where {short[0]:g} % should in time", begun=begun, streams=streams)
    return found


def token_gaps_kept(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    if facts.load is None:
        return []
    streamed = facts.load.streamed
    times = streamed.token_gap if streamed else {}
    return _within(times, thresholds.max_token_gap, "gap between tokens", "gaps between tokens took")


def _within(times: Mapping[str, Any], limits: Mapping[float, float], what: str, took: str) -> list[Finding]:
    """Each objective beside the histogram that it is about."""
    found = []
    for wanted, limit in sorted(limits.items()):
        value = percentile_of(times, wanted)
        figures = {"percentile": wanted, "seconds": value, "limit": limit}
        if value is None:
            found += unproven(f"there is no {what} at percentile {wanted:g}", **figures)
        elif value <= limit:
            found += passed(f"{wanted:g} % of the {took} at most {elapsed(value)}", **figures)
        else:
            message = f"{wanted:g} % of the {took} up to {elapsed(value)}, longer than {elapsed(limit)}"
            found += failed(message, **figures)
    return found


def load_complete(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    if load.state in COMPLETE_STATES:
        return passed(f"the load test is {load.state}", state=load.state)
    return unproven(
        f"the load test did not end properly: it is {load.state or 'in no known state'}", state=load.state
    )


def rate_kept(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None or load.asked_rate <= 0:
        return []
    figures = {"asked": load.asked_rate, "actual": load.actual_rate}
    message = f"{load.actual_rate:.4g} of the {load.asked_rate:g} requests a second asked for were sent"
    if load.rate_kept:
        return passed(message, **figures)
    late = f"1 % of them were sent {elapsed(load.lateness_p99)} late or more"
    if load.actual_rate >= load.asked_rate:
        # As many as asked for, in bursts: the generator was held up and caught up.
        return unproven(f"{message}, but not evenly: {late}", **figures)
    why = f"; {late}" if load.lateness_p99 > _LATE_SECONDS else ""
    return unproven(f"only {message}{why}", **figures)


def generator_ran(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    limit = thresholds.max_stall_seconds
    longest = max(load.stalls, key=lambda stall: stall.seconds, default=None)
    if longest is None or longest.seconds <= limit:
        still = f"stood still for at most {elapsed(longest.seconds)}" if longest else "never stood still"
        return passed(f"the load generator {still}", stalls=len(load.stalls), max_stall_seconds=limit)
    long = [stall for stall in load.stalls if stall.seconds > limit]
    message = f"the load generator stood still for {elapsed(longest.seconds)} at {utc(longest.start)}"
    more = f", and {len(long) - 1} times more for over {elapsed(limit)}" if len(long) > 1 else ""
    figures = {
        "stalls": len(long),
        "longest": longest.seconds,
        "start": longest.start,
        "max_stall_seconds": limit,
    }
    return unproven(message + more + ": an outage then would not have been seen", **figures)


def generator_on_time(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None or load.asked_rate <= 0:
        return []
    figures = {"p99": load.lateness_p99, "max_lateness_p99": thresholds.max_lateness_p99}
    message = f"99 % of the requests were sent at most {elapsed(load.lateness_p99)} late"
    if load.lateness_p99 <= thresholds.max_lateness_p99:
        return passed(message, **figures)
    return unproven(f"{message}, more than the {elapsed(thresholds.max_lateness_p99)} allowed", **figures)


def generator_healthy(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    faults = load.client_faults
    if not faults:
        return passed("the load generator had no fault of its own", client_faults=0)
    message = f"{count(faults, 'request')} failed by a fault or a limit of the load generator itself"
    return unproven(message, client_faults=faults)


def clock_steady(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    found = steps(facts)
    if found:
        return unproven(f"the clock was changed during the run: {found[0]}", steps=len(found))
    return passed("the clock ran steadily") if facts.load or facts.moments else []


def enough_requests(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    figures = {"requests": load.requests, "min_requests": thresholds.min_requests}
    message = f"{count(load.requests, 'request')} were sent"
    if load.requests >= thresholds.min_requests:
        return passed(message, **figures)
    return unproven(f"only {message}, fewer than the {thresholds.min_requests} asked for", **figures)


def bound_of(load: Load) -> float:
    """The 95 % upper bound on the loss rate, from the requests that the generator itself did not spoil."""
    asked = max(0, load.requests - load.client_faults)
    return loss_rate_upper_bound(min(max(0, load.failed - load.client_faults), asked), asked)


LOST = (
    Rule("nothing_lost", "No request was lost", nothing_lost),
    Rule("evidence_complete", "All the evidence is there", evidence_complete),
    Rule("gap_short", "Requests succeeded without a gap", gap_short),
    Rule("latency_kept", "Response times kept their objectives", latency_kept),
    Rule("first_token_kept", "First tokens kept their objectives", first_token_kept),
    Rule("token_gaps_kept", "The gaps between tokens kept their objectives", token_gaps_kept),
)
TRUST = (
    Rule("load_complete", "The load test ended properly", load_complete),
    Rule("enough_requests", "There were enough requests", enough_requests),
    *generators.RULES,
    *counts.RULES,
    Rule("rate_kept", "The asked rate was kept", rate_kept),
    Rule("generator_ran", "The load generator ran without a stall", generator_ran),
    Rule("generator_on_time", "The load generator sent on time", generator_on_time),
    Rule("generator_healthy", "The load generator had no fault of its own", generator_healthy),
    Rule("clock_steady", "The clock ran steadily", clock_steady),
)
