# SPDX-License-Identifier: GPL-3.0-or-later
"""Was the wall clock changed during the run? Then the load's seconds and the timeline's moments do not match.

What the weights were when a request was answered is not known then.
"""

from __future__ import annotations

import math

from ..evidence.clocks import STAMP_SECONDS, start_bounds
from ..evidence.facts import Facts
from ..evidence.load import STOPPED
from ..messages import elapsed, utc

# How far the times of one writer may go back or the clock may move while the load runs before it is suspected
# that the clock was set.
_CLOCK_STEP_SECONDS = 1.0


def steps(facts: Facts) -> list[str]:
    """The changes of the clock that the evidence shows, each as a clause."""
    return [*_steps_back(facts), *_apart(facts), *_drift(facts)]


def _drift(facts: Facts) -> list[str]:
    """The load test compares the wall clock with one that cannot be set, once a second."""
    drift = facts.load.wall_clock_drift if facts.load else 0.0
    if abs(drift) <= _CLOCK_STEP_SECONDS:
        return []
    return [f"while the load ran it was set {'forward' if drift > 0 else 'back'} by {elapsed(abs(drift))}"]


def _apart(facts: Facts) -> list[str]:
    """The load test counts its time by a clock that cannot be set, so its times and the timeline's may
    part.

    Where the timeline bounds the load's start from both sides, a mark that comes late tells of a busy host.

    Several generators are started and stopped one after the other, and the marks come after all of them.
    Their clocks were compared with the timeline's before the load and after it, where a step shows as well.
    """
    load, marks = facts.load, facts.marks
    if load is None or load.generators:
        return []
    begun, ended = STAMP_SECONDS, STAMP_SECONDS + load.last_wait
    if start_bounds(load, marks) is not None:
        begun = math.inf
        # Between its start and its end the load compares the clock itself.
        before = marks.before_stop
        if before is not None and before <= load.ended + _CLOCK_STEP_SECONDS:
            ended = math.inf
    pairs = [("began", load.started, begun, marks.load_started)]
    if load.state == STOPPED:
        pairs.append(("ended", load.ended, ended, marks.load_stopped))
    return [
        f"the load test {what} at {utc(own)}, and {utc(written)} by the timeline"
        + (", unless the host was too busy to write it down in time" if written > own else "")
        for what, own, latest, written in pairs
        if written is not None and not -STAMP_SECONDS <= written - own <= latest
    ]


def _steps_back(facts: Facts) -> list[str]:
    """Each watcher writes its events in order, so a time before the one above it is a clock that was set
    back."""
    latest: dict[str, float] = {}
    steps = []
    for moment in facts.moments:
        back = latest.get(moment.source, moment.time) - moment.time
        if back > _CLOCK_STEP_SECONDS:
            steps.append(f"the timeline goes back by {elapsed(back)} at {utc(moment.time)}")
        latest[moment.source] = moment.time
    return steps
