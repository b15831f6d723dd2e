# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the load's clock may be ahead: by the marks of its start and end, however late they are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.clocks import (
    STAMP_SECONDS,
    Clocks,
    compare,
    start_bounds,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import Load
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.marks import Marks, marks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import Offset
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.result_reader import read_load
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.moments import APPLIED, moment
from hypothesis import given
from hypothesis import strategies as st

LOAD = read_load(rollouts.load())
ENDED = float(rollouts.ENDED)


def load(ahead: float) -> Load:
    """One that began at 0 and ended at ENDED, by its own clock."""
    return replace(LOAD, started=ahead, ended=ENDED + ahead)


def told(before: float | None, started: float, stopped: float) -> Marks:
    begun = [] if before is None else [moment(before, "observer", "started")]
    return marks(
        [*begun, moment(started, "playbook", "load_started"), moment(stopped, "playbook", "load_stopped")]
    )


def found(ahead: float, before: float | None, late: float, late_stop: float) -> Clocks:
    return compare(load(ahead), told(before, late, ENDED + late_stop), None)


TIME = st.floats(0.0, 30.0)


@given(ahead=st.floats(-50.0, 50.0), before=TIME, late=TIME, late_stop=TIME)
def test_what_is_known_of_the_clock_holds_the_truth_where_marks_are_late(
    ahead: float, before: float, late: float, late_stop: float
) -> None:
    clocks = found(ahead, -before, late, late_stop)
    tells = start_bounds(load(ahead), told(-before, late, ENDED + late_stop)) is not None
    late_by_it = max(late, late_stop) - ahead > STAMP_SECONDS
    if clocks.contradicted or (tells and late_by_it):
        assert clocks.load.low - 1e-6 <= ahead <= max(clocks.load.high, 0.0) + 1e-6


@given(before=TIME, late=TIME, late_stop=TIME)
def test_one_clock_is_never_contradicted(before: float, late: float, late_stop: float) -> None:
    clocks = found(0.0, -before, late, late_stop)
    assert not clocks.contradicted
    assert clocks.load.low <= 0.0 <= clocks.load.high
    assert start_bounds(load(0.0), told(-before, late, ENDED + late_stop)) == Offset(-late, before)


@pytest.mark.parametrize(
    ("before", "late", "late_stop", "known"),
    [
        # Marks that are written soon: one clock, or one that is behind by as much as they seem late.
        (-2.0, 0.5, 0.25, Offset(-0.25, 0.0)),
        (None, 0.5, 0.25, Offset(-0.25, 0.0)),
        # A busy host's: they could hide a clock that is ahead as well, by what the other side leaves.
        (-2.0, 15.0, 12.0, Offset(-12.0, 2.0)),
        (-2.0, 15.0, 0.25, Offset(-0.25, 2.0)),
        (-2.0, 0.5, 12.0, Offset(-0.5, 2.0)),
        # Nothing from before the load's start that tells.
        (None, 15.0, 12.0, Offset(-12.0, 0.0)),
        (-45.1, 15.0, 12.0, Offset(-12.0, 0.0)),
        (-45.0, 15.0, 12.0, Offset(-12.0, 45.0)),
        (0.1, 15.0, 12.0, Offset(-12.0, 0.0)),
    ],
)
def test_what_late_marks_leave_open(
    before: float | None, late: float, late_stop: float, known: Offset
) -> None:
    clocks = found(0.0, before, late, late_stop)
    assert clocks == Clocks(known)


def test_a_clock_that_is_ahead_is_so_by_no_more_than_marks_may_be_late() -> None:
    assert found(20.0, None, 1.0, 1.0) == Clocks(Offset(19.0, 19.0 + STAMP_SECONDS), contradicted=True)
    assert found(20.0, -2.0, 15.0, 15.0) == Clocks(Offset(5.0, 22.0), contradicted=True)


def test_what_comes_before_the_load_is_what_its_playbook_and_an_observer_tell_last() -> None:
    begun, stopped = moment(4, "playbook", "load_started"), moment(40, "playbook", "load_stopped")
    events = [
        moment(1, "observer", "started"),
        moment(2, "playbook", "noted"),
        moment(3, "observer", "clock"),
        moment(3.5, "inferenceservice", "traffic", traffic={"a": 100}),
        begun,
        moment(5, "observer", "started"),
        APPLIED,
        stopped,
        moment(41, "playbook", "stopped"),
    ]
    assert (marks(events).before_load, marks(events).before_stop) == (2, 10)
    assert (marks([begun]).before_load, marks([stopped]).before_stop) == (None, None)
    assert marks([APPLIED]).before_load is None
