# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the generators of a load that several sent together: did each of them do its part?

What is wrong with one of many hardly shows in the sums, so each is held to what a single one is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..evidence.facts import Facts
from ..evidence.load import COMPLETE_STATES, MISSING, Generator
from ..messages import elapsed, utc
from ..thresholds import Thresholds
from .rule import Finding, Rule, passed, unproven

_WORDS = {
    "interrupted": "was killed",
    "aborted": "ended itself, since too much failed",
    "running": "was not ended",
}


def generators_whole(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    load = facts.load
    if load is None or not load.generators:
        return []
    found = [
        finding
        for one in load.generators
        for message, figures in _wrong(one, facts, thresholds)
        for finding in unproven(f"the generator {one.name} {message}", generator=one.name, **figures)
    ]
    names = [one.name for one in load.generators]
    return found or passed(f"all {len(names)} generators sent their parts to the end", generators=names)


def _wrong(one: Generator, facts: Facts, thresholds: Thresholds) -> Iterator[tuple[str, dict[str, Any]]]:
    """What keeps its part from counting, each with its figures."""
    if one.state == MISSING or one.started is None or one.ended is None:
        yield f"left no result{f': {one.problem}' if one.problem else ''}", {"state": one.state}
        return
    if one.state not in COMPLETE_STATES:
        yield f"{_WORDS.get(one.state, f'is {one.state}')} at {utc(one.ended)}", {"state": one.state}
    elif one.problem:
        yield f"is not to be relied on: {one.problem}", {"state": one.state}
    yield from _beside_the_rollout(one.started, one.ended, facts, thresholds)
    if one.longest_stall > thresholds.max_stall_seconds:
        yield f"stood still for {elapsed(one.longest_stall)}", {"longest_stall": one.longest_stall}
    if one.asked_rate > 0 and one.lateness_p99 > thresholds.max_lateness_p99:
        yield f"sent 1 % of its requests {elapsed(one.lateness_p99)} late or more", {"p99": one.lateness_p99}
    elif one.asked_rate > 0 and not one.rate_kept:
        yield f"did not keep its {one.asked_rate:.4g} requests a second", {"asked": one.asked_rate}
    if one.clock is None:
        yield "has a clock that nothing was compared with", {}


def _beside_the_rollout(
    started: float, ended: float, facts: Facts, thresholds: Thresholds
) -> Iterator[tuple[str, dict[str, Any]]]:
    marks = facts.marks
    applied, done = marks.canary_applied, marks.completion
    if applied is not None and started >= applied:
        yield f"began {elapsed(started - applied)} after the canary was applied", {"started": started}
    if done is None:
        return
    end = marks.full_share(facts.expected(thresholds)) or marks.shift_ended or done.time
    if ended <= end:
        yield f"ended {elapsed(end - ended)} before the rollout did", {"ended": ended}


RULES = (Rule("generators_whole", "Each of several load generators did its part", generators_whole),)
