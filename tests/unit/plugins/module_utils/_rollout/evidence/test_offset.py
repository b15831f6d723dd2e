# SPDX-License-Identifier: GPL-3.0-or-later
"""Two clocks compared: the interval always holds the truth, and gets narrow."""

from __future__ import annotations

import math
import random

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import (
    STRETCH_SECONDS,
    Estimate,
    Offset,
    from_stamp,
    hull,
)
from hypothesis import given
from hypothesis import strategies as st


def compared(at: float, ahead: float, there: float, back: float, estimate: Estimate) -> None:
    """A request sent `at`, stamped after `there` seconds by a clock that is `ahead`, back after `back`."""
    stamp = math.floor(at + there + ahead)
    estimate.add(from_stamp(stamp, 1.0, at, at + there + back), at)


@given(st.floats(-1e5, 1e5), st.integers(0, 2**32), st.integers(1, 60))
def test_the_true_offset_is_always_within(ahead, seed, number):
    dice, estimate, at = random.Random(seed), Estimate(), 1e9
    for _unused in range(number):
        at += dice.random()
        compared(at, ahead, dice.random() * 0.2, dice.random() * 0.2, estimate)
    found = estimate.offset
    assert found is not None
    assert found.low - 1e-5 <= ahead <= found.high + 1e-5


def test_some_seconds_of_comparisons_say_it_to_a_twentieth_of_a_second():
    dice, estimate, at = random.Random(7), Estimate(), 1e9 + 2
    for _unused in range(60):
        at += 0.13 + dice.random() * 0.05
        compared(at, -3.217, 0.001, 0.002, estimate)
    assert estimate.offset is not None
    assert estimate.offset.width < 0.05
    assert estimate.offset.low <= -3.217 <= estimate.offset.high


def test_one_comparison_is_as_fine_as_the_stamp_and_the_way():
    assert from_stamp(100.0, 1.0, 99.5, 100.5) == Offset(-0.5, 1.5)
    assert from_stamp(100.0, 0.0, 100.0, 100.0) == Offset(0.0, 0.0)


def test_what_took_less_than_no_time_bounds_nothing():
    assert from_stamp(100.0, 1.0, 100.0, 99.99) is None
    assert from_stamp(100.0, 1.0, 100.0, 78.0) is None


def test_a_clock_that_was_set_leaves_both_offsets_possible():
    estimate, at = Estimate(), STRETCH_SECONDS * 1000
    for number in range(40):
        compared(at + number * 0.25, 0.0 if number < 20 else 5.0, 0.0, 0.0, estimate)
    assert estimate.offset is not None
    assert estimate.offset.low <= 0.0
    assert estimate.offset.high >= 5.0


def test_a_clock_that_drifts_is_held_by_the_hull_of_its_stretches():
    estimate, at = Estimate(), STRETCH_SECONDS * 1000
    for number in range(4 * 600):
        compared(at + number * 0.25, number * 0.25 * 1e-4, 0.001, 0.001, estimate)
    assert estimate.offset is not None
    assert estimate.offset.low <= 0.0
    assert estimate.offset.high >= 0.06
    assert estimate.offset.width < 0.35


def test_an_interval_that_ends_before_it_begins_is_none():
    with pytest.raises(ValueError, match="is none"):
        Offset(1.0, 0.0)
    with pytest.raises(ValueError, match="is none"):
        Offset(math.nan, 0.0)


def test_what_holds_all_of_none_is_none():
    assert hull([]) is None
    assert Estimate().offset is None
    assert hull([Offset(-1, 0), Offset(2, 3)]) == Offset(-1, 3)
