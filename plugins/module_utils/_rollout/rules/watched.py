# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the evidence as a whole: was the shift seen, do its parts tell the same, by which clocks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evidence.clocks import BESIDE_SECONDS
from ..evidence.facts import ACCESS_LOG, Facts
from ..fields import is_moment
from ..messages import count, elapsed, utc
from ..objects.events import State
from ..objects.tree import entries, mapping
from ..plan.state import ABORT, PAUSED, PROMOTED
from ..roles import BASELINE, CANARY, ITER8, OBSERVE
from ..thresholds import Thresholds
from .rule import Finding, Rule, passed, unproven

# What a gate says that lets nobody on, in words.
_REFUSALS = {"fail": "failed", "inconclusive": "decided nothing"}


def watched_throughout(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load, marks = facts.load, facts.marks
    # A run that was cut short has its reason already.
    if load is None or marks.canary_applied is None or not marks.traffic or marks.stopped is not None:
        return []
    ended = marks.full_share(facts.expected(thresholds)) or marks.shift_ended
    end = max(ended or load.ended, marks.canary_applied)
    parts = marks.unobserved_until(end).clip(marks.canary_applied, end)
    limit = thresholds.max_unobserved
    figures = {"seconds": parts.total(), "intervals": len(parts), "max_unobserved": limit}
    longest = max(parts, key=lambda part: part.seconds, default=None)
    if longest is None:
        return passed("the traffic was watched throughout the shift", **figures)
    message = f"within the shift nothing watched the traffic for {elapsed(parts.total())}"
    if parts.total() <= limit:
        return passed(message, **figures)
    when = f"the longest from {utc(longest.begin)} to {utc(longest.end)}"
    return unproven(f"{message}, more than {elapsed(limit)}; {when}", **figures)


def views_agree(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    """Only what would pass by itself is held against the timeline: else there is a reason already."""
    found = _completion(facts, thresholds) + _iterations(facts) + _split(facts, thresholds) + _driven(facts)
    found += _objects(facts, thresholds) + _ready(facts) + _of_no_one_rollout(facts)
    if found or not facts.moments or (facts.experiment is None and facts.service is None):
        return found
    return passed("the timeline and the objects tell the same")


def _completion(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    outcome, done = facts.experiment, facts.marks.completion
    if outcome is None or done is None or outcome.state is not State.SUCCEEDED:
        return []
    found = []
    if done.failed:
        message = f"the timeline says that the Experiment failed ({done.message})"
        found += unproven(f"{message}, and the Experiment that it succeeded", timeline=done.message)
    if done.winner != outcome.winner == thresholds.expect_winner:
        seen = f"the {done.winner}" if done.winner else "nobody"
        message = f"the timeline has {seen} for the winner, and the Experiment the {outcome.winner}"
        found += unproven(message, timeline=done.winner, experiment=outcome.winner)
    return found


def _iterations(facts: Facts) -> list[Finding]:
    outcome, seen = facts.experiment, facts.marks.iterations
    if outcome is None or outcome.state is not State.SUCCEEDED:
        return []
    found = []
    if outcome.iterations_reported and seen > outcome.iterations:
        message = f"the timeline tells of {count(seen, 'iteration')}"
        message += f", and the Experiment of {outcome.iterations}"
        found += unproven(message, timeline=seen, experiment=outcome.iterations)
    strangers = sorted(_weighed(facts) - outcome.weights.keys()) if outcome.weights else []
    if strangers:
        versions = " and ".join(sorted(outcome.weights))
        message = f"by the timeline {' and '.join(strangers)} had a weight, and the Experiment has {versions}"
        found += unproven(message, timeline=strangers, experiment=sorted(outcome.weights))
    return found


def _weighed(facts: Facts) -> set[str]:
    """The versions that an iteration since the canary was applied gave a weight."""
    applied = facts.marks.canary_applied
    return {
        str(name)
        for m in facts.moments
        if (m.source, m.event) == ("experiment", "iteration") and (applied is None or m.time >= applied)
        for name, weight in mapping(m.data, "weights").items()
        if weight
    }


def _split(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    wanted, marks, service = facts.expected(thresholds), facts.marks, facts.service
    if service is None or not wanted or not marks.traffic or marks.stopped is not None:
        return []
    if service.traffic != {wanted: 100}:
        return []
    last = dict(marks.traffic[-1][1])
    if last == service.traffic:
        return []
    ended = ", ".join(f"{percent} % on {facts.name_of(name)}" for name, percent in sorted(last.items()))
    message = f"the traffic ended with {ended or 'no revision'} by the timeline"
    return unproven(
        f"{message}, and with 100 % on {facts.name_of(wanted)} by the InferenceService",
        timeline=last,
        inferenceservice=dict(service.traffic),
    )


def _ready(facts: Facts) -> list[Finding]:
    """An observer tells of each change; what the waits told last may have changed after them."""
    kind = ("inferenceservice", "ready")
    seen = [m for m in facts.moments if (m.source, m.event) == kind and m.resource_version]
    last = max(seen, key=lambda m: m.time, default=None)
    if (
        facts.service is None
        or not facts.service.ready
        or last is None
        or last.data.get("ready") is not False
    ):
        return []
    message = f"by the timeline the InferenceService was last seen not ready, at {utc(last.time)}"
    return unproven(f"{message}, and by itself it is ready", time=last.time)


def _objects(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    found = []
    for clause in facts.contradictions.get(facts.expected(thresholds), ()):
        found += unproven(clause)
    return found


def _of_no_one_rollout(facts: Facts) -> list[Finding]:
    """What the timeline says that no one rollout can have been."""
    found = []
    if len(facts.marks.ends) > 1 and facts.experiment and facts.experiment.state is State.SUCCEEDED:
        ends = " and ".join(facts.marks.ends)
        found += unproven(f"the timeline tells of several ends of the Experiment: {ends}")
    drivers = {
        str(m.data["driver"]): None
        for m in facts.moments
        if (m.source, m.event) == ("playbook", "change_awaited") and m.data.get("driver")
    }
    if len(drivers) > 1:
        found += unproven(f"the timeline tells of several drivers: {' and '.join(drivers)}")
    if len(facts.marks.baselines) > 1:
        names = " and ".join(facts.marks.baselines)
        found += unproven(f"the timeline tells of several rollouts, over {names}")
    if facts.marks.uneven:
        time, total = facts.marks.uneven[0]
        message = f"the timeline tells of a split of the traffic of {total} % in all, at {utc(time)}"
        found += unproven(message, percent=total, splits=len(facts.marks.uneven))
    return found


def _driven(facts: Facts) -> list[Finding]:
    """Whether the driver tells of this rollout: it names revisions, or in Standard mode their Deployments."""
    found, driver = [], facts.driver
    if driver and facts.marks.driver in (ITER8, OBSERVE):
        message = (
            f"by the timeline {facts.marks.driver} moved the traffic, and yet there is a driver's account"
        )
        found += unproven(message, driver=facts.marks.driver)
    for role, name in ((BASELINE, facts.baseline), (CANARY, facts.canary)):
        reported = driver.get(role)
        if driver and name and reported not in (name, name.rpartition("-")[0]):
            message = f"the driver has {reported or 'nobody'} for the {role}, and the timeline {name}"
            found += unproven(message, driver=reported, timeline=name)
    shares = {split.get(facts.canary, 0) for _time, split in facts.marks.traffic}
    steps = [row for row in driver.get("steps") or () if row.get("passed") is True]
    unseen = [row["percent"] for row in steps if row["percent"] not in shares]
    if unseen:
        each = ", ".join(f"{percent} %" for percent in unseen)
        found += unproven(f"the driver passed steps that nobody saw: {each}", unseen=unseen)
    if driver and facts.service is not None and driver["mode"] != facts.service.mode.lower():
        message = f"the driver moved the traffic in the mode {driver['mode']}"
        message += f", and the InferenceService is in the mode {facts.service.mode.lower()}"
        found += unproven(message, driver=driver["mode"], inferenceservice=facts.service.mode.lower())
    return found + _gates_apart(facts) + _against_itself(facts) + _another_time(facts)


def _gates_apart(facts: Facts) -> list[Finding]:
    """Each step has the last word of each gate, as the gates tell it one after the other."""
    driver = facts.driver
    if not driver:
        return []
    last = _last_words(driver)
    found = []
    for row in driver["steps"]:
        for name, said in row["gates"].items():
            told = last.get((row["percent"], name), said)
            if told != said:
                message = f"by the driver's step at {row['percent']} % the gate {name} ended with {said}"
                found += unproven(f"{message}, and by its gates with {told}", step=said, gate=told)
    return found


def _last_words(driver: Mapping[str, Any]) -> dict[tuple[int, str], str]:
    """What each gate said last at each percent."""
    return {(row["percent"], row["gate"]): row["verdict"] for row in driver["gates"]}


def _against_itself(facts: Facts) -> list[Finding]:
    """What cannot be of a canary that was promoted, but where people may have asked to go on all the same."""
    driver = facts.driver
    if driver.get("outcome") != PROMOTED:
        return []
    asked = [row.get("asked") for row in entries(driver, "requests_of_people")]
    found: list[Finding] = []
    if ABORT in asked and asked[-1] == ABORT:
        found += unproven("the driver promoted the canary, and was asked last to roll it back", asked=asked)
    if any(word not in (PAUSED, ABORT) for word in asked):
        return found
    for row in driver["steps"]:
        refused = [
            f"its gate {name} {_REFUSALS[said]}" for name, said in row["gates"].items() if said in _REFUSALS
        ]
        why = refused[0] if refused else "it was not passed"
        if refused or not row["passed"]:
            message = f"the driver promoted the canary beyond the step at {row['percent']} %, though {why}"
            found += unproven(message, percent=row["percent"], gates=row["gates"])
    steps = {row["percent"] for row in driver["steps"]}
    for (percent, name), said in _last_words(driver).items():
        if said == "fail" and percent not in steps:
            message = f"the driver promoted the canary, though its gate {name} failed at {percent} %"
            found += unproven(message, percent=percent, gates={name: said})
    if driver["rollback_seconds"] is not None:
        found += unproven("the driver promoted the canary, and tells how long it took to roll it back")
    return found


def _another_time(facts: Facts) -> list[Finding]:
    """Whether the driver acted within its own time, and while the load ran."""
    driver = facts.driver
    if not driver:
        return []
    began, ended = driver["started"], driver["ended"]
    steps = (row.get(key) for row in driver["steps"] for key in ("began", "ended"))
    acts = [row["at"] for row in (*driver["patches"], *driver["gates"])]
    times = [began, *acts, *(float(at) for at in steps if is_moment(at)), ended]
    spans = [(began, ended, "the driver was at work")]
    if facts.load is not None:
        spans.append((facts.load.started, facts.load.ended, "the load ran"))
    for begin, end, what in spans:
        # Whichever of two clocks is ahead.
        outside = [at for at in times if not begin - BESIDE_SECONDS <= at <= end + BESIDE_SECONDS]
        if outside:
            message = f"{what} from {utc(begin)} to {utc(end)}, and the driver acted at {utc(outside[0])}"
            return unproven(message, time=outside[0])
    return []


def clocks_known(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    if facts.load is None or not facts.moments:
        return []
    limit = thresholds.max_clock_uncertainty
    found = [
        finding
        for message, low, high in uncertain(facts, thresholds)
        for finding in unproven(message, low=low, high=high, max_clock_uncertainty=limit)
    ]
    return found or passed("the clocks of the evidence are known by each other", max_clock_uncertainty=limit)


def uncertain(facts: Facts, thresholds: Thresholds) -> list[tuple[str, float, float]]:
    """The clocks that are not known well enough to compare their times, each with what is known."""
    clocks, limit = facts.clocks, thresholds.max_clock_uncertainty
    found = []
    if clocks.contradicted:
        ahead = f"the load's clock is at least {elapsed(clocks.load.low)} ahead of the timeline's"
        message = f"{ahead}: by that the load began or ended after the playbook said so"
        found.append((message, clocks.load.low, clocks.load.high))
    for one in facts.load.generators if facts.load else ():
        if one.clock is not None and one.clock.width > limit:
            known = f"between {one.clock.low:+.2f} and {one.clock.high:+.2f} s"
            message = f"the clock of the generator {one.name} is {known} ahead, which is too uncertain"
            found.append((message, one.clock.low, one.clock.high))
    gateway = clocks.gateway
    if facts.named_by == ACCESS_LOG and gateway is not None and gateway.width > limit:
        known = f"between {gateway.low:+.2f} and {gateway.high:+.2f} s"
        message = f"the gateway's clock is {known} ahead of the load's, which is too uncertain"
        found.append((message, gateway.low, gateway.high))
    return found


RULES = (
    Rule("watched_throughout", "The traffic was watched throughout the shift", watched_throughout),
    Rule("views_agree", "The timeline and the objects tell the same", views_agree),
    Rule("clocks_known", "The clocks are known by each other", clocks_known),
)
