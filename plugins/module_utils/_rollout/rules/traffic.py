# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about who answered: did the load cover the rollout, and did the traffic go where it was set to go."""

from __future__ import annotations

from ..evidence.facts import ACCESS_LOG, Facts
from ..evidence.intervals import Interval, Intervals
from ..evidence.load import Load
from ..evidence.offset import SAME
from ..evidence.shares import Share, shares, split
from ..messages import count, elapsed, tally, utc
from ..roles import BASELINE, CANARY
from ..thresholds import Thresholds
from .clock_steps import steps
from .rule import Finding, Rule, failed, passed, unproven
from .watched import uncertain

# The chance of calling a split wrong that is right, over all the splits of one run together.
_FALSE_ALARM = 1e-6


def load_spans_rollout(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load, marks = facts.load, facts.marks
    if load is None:
        return []
    if marks.canary_applied is None:
        return unproven(
            "the timeline does not tell when the canary was applied, so the load may not cover it"
        )
    if marks.completion is None:
        what = "the Experiment" if facts.by_experiment else "the rollout"
        return unproven(f"the timeline does not tell when {what} ended, so the load may not cover it")
    # At the worst, where the clocks are two.
    two = facts.clocks.contradicted or load.clock is not None
    ahead = facts.clocks.load if two else SAME
    begun = marks.canary_applied - load.started + ahead.low
    end = marks.full_share(facts.expected(thresholds)) or marks.shift_ended or marks.completion.time
    beyond = load.ended - ahead.high - end
    figures = {"seconds_before_canary": begun, "seconds_after_rollout": beyond}
    if begun <= 0:
        message = (
            f"the load began {elapsed(-begun)} after the canary was applied at {utc(marks.canary_applied)}"
        )
        return unproven(message, **figures)
    if beyond <= 0:
        return unproven(f"the load ended {elapsed(-beyond)} before the rollout did at {utc(end)}", **figures)
    message = (
        f"the load began {elapsed(begun)} before the canary was applied and ended {elapsed(beyond)} after"
    )
    return passed(f"{message} the rollout", **figures)


def requests_in_every_phase(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    empty = [c.phase.name for c in facts.phases if c.phase.end - c.phase.start >= 2 and not c.requests]
    if empty:
        return unproven(f"no request ended during: {', '.join(empty)}", phases=empty)
    hole = _hole(facts.load, thresholds) if facts.load else None
    if hole is not None:
        message = f"no request ended from {utc(hole.begin)} to {utc(hole.end)}"
        why = "and no gap of the load tells why: are these several loads in a row?"
        return unproven(f"{message}, {why}", start=hole.begin, end=hole.end)
    return passed("requests ended in every phase") if facts.phases else []


def _hole(load: Load, thresholds: Thresholds) -> Interval | None:
    """The longest time between two seconds with requests, if it is too long and not a gap of the load itself.

    The gap of a merged load is that of one of its parts, and does not know the time between them.
    """
    busy = Intervals((second.start, second.start + 1) for second in load.seconds if second.requests)
    longest = max(busy.gaps(), key=lambda gap: gap.seconds, default=None)
    known = max(thresholds.gap_limit(load.asked_rate), load.gap.seconds)
    return longest if longest is not None and longest.seconds > known else None


def answers_named(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None:
        return []
    if facts.naming.problem and facts.named_by != ACCESS_LOG:
        return unproven(facts.naming.problem)
    if not facts.names_proven and any(load.revisions):
        named = ", ".join(facts.names_before) or "nobody"
        message = f"before the canary, {_namer(facts)} named {named}, never the baseline"
        return unproven(
            f"{message} {facts.baseline}: they do not tell revisions", names=list(facts.names_before)
        )
    requests, lost = load.revisions.get("", (0, 0))
    if requests > lost:
        neither = ", nor does the gateway's log" if facts.named_by == ACCESS_LOG else ""
        message = f"{count(requests - lost, 'answer')} did not name the revision that gave them{neither}"
        return unproven(message, unnamed=requests - lost)
    return passed(_who_names(facts), unnamed=0)


def _who_names(facts: Facts) -> str:
    if facts.named_by == ACCESS_LOG:
        return "the gateway's log names the revision of every answer"
    if facts.naming.proof:
        return "every answer told its revision by what was learned of both"
    return "every answer named its revision"


def _namer(facts: Facts) -> str:
    return "the gateway's log" if facts.named_by == ACCESS_LOG else "answers"


def known_revisions_only(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    if facts.load is None or not facts.names_tell or not (facts.baseline and facts.canary):
        return []
    known = {"", facts.baseline, facts.canary}
    others = {name: n for name, (n, _unused) in facts.load.revisions.items() if n and name not in known}
    if others and not facts.by_experiment and others.keys() <= facts.given_traffic:
        message = (
            f"besides the baseline and the canary, others were given traffic and answered: {tally(others)}"
        )
        return unproven(f"{message}; several canaries cannot be judged as one", revisions=others)
    if others and others.keys() <= _perhaps_pods(facts):
        message = f"answers named what may be pods of the baseline or the canary: {tally(others)}"
        return unproven(f"{message}; nobody saw these, so who answered is not known", names=others)
    if others:
        return failed(
            f"revisions that are neither baseline nor canary answered: {tally(others)}", revisions=others
        )
    # Where names were learned, what a third answers is taken for one of theirs, as the proof of it says.
    silent = sorted(facts.given_traffic - known) if not facts.naming.proof else []
    if silent:
        message = "besides the baseline and the canary, others were given traffic and never answered"
        return unproven(f"{message}: {', '.join(silent)}", silent=silent)
    return passed("only the baseline and the canary answered")


def _perhaps_pods(facts: Facts) -> set[str]:
    """The names that begin as a revision's does, as those of its pods do, where nobody saw these: some
    answers may name the revision, and some the pod."""
    known = [name for name in (facts.baseline, facts.canary) if name]
    begin = tuple(f"{name}-" for name in known)
    rows = facts.load.revisions if facts.load else {}
    # One of the two may begin as the other does.
    return {name for name, (n, _unused) in rows.items() if n and name.startswith(begin) and name not in known}


def canary_got_traffic(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    if not facts.names_tell or not facts.canary:
        return []
    answered = facts.requests_of(facts.canary)
    if not answered:
        return unproven(f"the canary {facts.canary} never answered a request", requests=0)
    return passed(f"the canary answered {count(answered, 'request')}", requests=answered)


def enough_per_revision(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    if not facts.names_tell:
        return []
    least = thresholds.min_requests_per_revision
    found = []
    for name in filter(None, (facts.baseline, facts.canary)):
        answered = facts.requests_of(name)
        figures = {"revision": name, "requests": answered, "min_requests_per_revision": least}
        if answered >= least:
            found += passed(f"{facts.name_of(name)} answered {count(answered, 'request')}", **figures)
        elif answered or name == facts.baseline:
            message = f"{facts.name_of(name)} answered only {count(answered, 'request')}"
            found += unproven(f"{message}, fewer than the {least} asked for", **figures)
    return found


def none_at_weight_zero(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    found = []
    for role, name in ((BASELINE, facts.baseline), (CANARY, facts.canary)):
        rows = [row for row in _rows(facts, role, thresholds) if row.high == 0]
        strays = [row for row in rows if row.second.revisions.get(name, 0)]
        answered = sum(row.second.revisions[name] for row in strays)
        figures = {"revision": name, "answered": answered, "seconds": len(rows)}
        if strays:
            first = strays[0].second.start
            message = f"{facts.name_of(name)} answered {count(answered, 'request')} while its weight was 0"
            found += failed(f"{message}, first at {utc(first)}", first=first, **figures)
        elif rows:
            found += passed(f"{facts.name_of(name)} answered nothing while its weight was 0", **figures)
    return found


def shares_as_set(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    unknown = _unknown_split(facts, thresholds)
    rows = _rows(facts, CANARY, thresholds)
    if unknown or not rows:
        return unknown
    groups: dict[str, list[Share]] = {"the whole load": rows}
    for row in rows:
        groups.setdefault(row.phase, []).append(row)
    found = []
    for phase, members in groups.items():
        seen = split(members, facts.canary, [facts.baseline])
        chance = seen.chance
        limit = thresholds.share_limit(seen.nearest)
        if not seen.requests and any(row.second.requests for row in members):
            found += unproven(f"during {phase} no answer named the baseline or the canary", phase=phase)
        if chance * len(groups) >= _FALSE_ALARM or seen.distance <= limit:
            continue
        share = seen.answered / seen.requests
        figures = {"phase": phase, "requests": seen.requests, "canary": seen.answered, "share": share}
        figures |= {"low": seen.low, "high": seen.high, "chance": chance}
        message = f"during {phase} the canary answered {share:.1%} of {count(seen.requests, 'request')}"
        found += failed(f"{message}, where its weight was {_range(seen.low, seen.high)}", **figures)
    whole = split(rows, facts.canary, [facts.baseline])
    message = (
        f"the canary answered {whole.answered} of {count(whole.requests, 'request')}, as its weights have it"
    )
    figures = {"requests": whole.requests, "canary": whole.answered, "low": whole.low, "high": whole.high}
    return found or passed(message, **figures)


def _unknown_split(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    """A finding where nobody reported how the traffic was split. A run that was cut short has its reason
    already, and so has one whose traffic did not end where it should."""
    load, marks = facts.load, facts.marks
    ready = facts.names_tell and facts.baseline and facts.canary and marks.canary_applied is not None
    if load is None or not ready or marks.stopped is not None:
        return []
    if not marks.traffic:
        return unproven("the timeline tells no traffic split, so who should have answered is not known")
    wanted = facts.expected(thresholds)
    ended_well = facts.service is None or facts.service.traffic == {wanted: 100}
    end = marks.full_share(wanted)
    since = marks.unobserved_since
    if since is None or since >= (load.ended if end is None else end) or not ended_well:
        return []
    message = f"nothing watched the traffic split from {utc(since)} on"
    return unproven(f"{message}, so who should have answered is not known", since=since)


def _range(low: float, high: float) -> str:
    return f"{low:.1%}" if high - low < 0.0005 else f"between {low:.1%} and {high:.1%}"


def _rows(facts: Facts, role: str, thresholds: Thresholds) -> list[Share]:
    """Each second with the role's weights; none where the timeline does not tell the weights, who is who, or
    the time, or where some answers may have named pods."""
    if steps(facts) or uncertain(facts, thresholds):
        return []
    known = facts.marks.traffic and facts.marks.canary_applied is not None
    if not facts.names_tell or not known or not (facts.baseline and facts.canary) or not facts.phases:
        return []
    if _perhaps_pods(facts):
        return []
    return list(shares(facts, role, thresholds.propagation_seconds, thresholds.max_unobserved))


RULES = (
    Rule("load_spans_rollout", "The load covered the whole rollout", load_spans_rollout),
    Rule("requests_in_every_phase", "Requests were sent in every phase", requests_in_every_phase),
    Rule("answers_named", "Every answer named its revision", answers_named),
    Rule("known_revisions_only", "Only the expected revisions answered", known_revisions_only),
    Rule("canary_got_traffic", "The canary got traffic", canary_got_traffic),
    Rule("enough_per_revision", "Each revision answered enough requests", enough_per_revision),
    Rule("none_at_weight_zero", "No revision answered at weight 0", none_at_weight_zero),
    Rule("shares_as_set", "The traffic was shared as it was set", shares_as_set),
)
