# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import progressive
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_quickstarts_twelve_iterations() -> None:
    """The first finds no data yet; then every objective is met."""
    weights, seen = (100, 0), []
    for iteration in range(12):
        weights = progressive.next_weights(weights, objectives_met=iteration > 0)
        seen.append(weights[1])
    assert seen == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 95, 95]


@pytest.mark.parametrize(
    ("old", "met", "max_weight", "increment", "expected"),
    [
        ((100, 0), True, 100, 10, (90, 10)),
        ((55, 45), False, 100, 10, (95, 5)),
        ((5, 95), True, 100, 10, (5, 95)),
        ((60, 40), True, 45, 10, (55, 45)),
        ((60, 40), True, 40, 10, (60, 40)),
        ((60, 40), True, 20, 10, (80, 20)),
        ((100, 0), False, 100, 2, (98, 2)),
        ((100, 0), True, 100, 100, (5, 95)),
    ],
)
def test_next_weights(
    old: tuple[int, int], met: bool, max_weight: int, increment: int, expected: tuple[int, int]
) -> None:
    assert progressive.next_weights(old, met, max_weight, increment) == expected


@settings(deadline=None)
@given(
    canary=st.integers(0, 100),
    met=st.booleans(),
    max_weight=st.integers(0, 100),
    increment=st.integers(0, 100),
)
def test_weights_sum_to_100_and_respect_both_limits(
    canary: int, met: bool, max_weight: int, increment: int
) -> None:
    new = progressive.next_weights((100 - canary, canary), met, max_weight, increment)
    assert sum(new) == 100
    assert 0 <= new[1] <= min(95, max_weight, canary + increment)


@pytest.mark.parametrize("old", [(50, 40), (110, -10), (-1, 101)])
def test_weights_that_are_not_a_split_are_refused(old: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"sum to 100, not {old[0]} and {old[1]}"):
        progressive.next_weights(old, True)


@pytest.mark.parametrize(
    ("value", "upper", "lower", "expected"),
    [
        (5.0, None, None, True),
        (5.0, 5.0, None, True),
        (5.1, 5.0, None, False),
        (5.0, None, 5.0, True),
        (4.9, None, 5.0, False),
        (5.0, 6.0, 4.0, True),
        (7.0, 6.0, 4.0, False),
        (None, None, None, False),
        (math.nan, 5.0, None, False),
        (0.0, 0.0, None, True),
    ],
)
def test_objective_met(value: float | None, upper: float | None, lower: float | None, expected: bool) -> None:
    assert progressive.objective_met(value, upper, lower) is expected


@pytest.mark.parametrize(
    ("baseline", "canary", "expected"),
    [
        ([True, True], [True, True], "v2"),
        ([True, True], [True, False], "v1"),
        ([False, True], [True, True], "v2"),
        ([False, True], [True, False], None),
        ([], [], "v2"),
    ],
)
def test_winner(baseline: list[bool], canary: list[bool], expected: str | None) -> None:
    assert progressive.winner({"v1": baseline, "v2": canary}, "v1", "v2") == expected


def test_a_version_that_was_not_assessed_does_not_win() -> None:
    assert progressive.winner({}, "v1", "v2") is None
    assert progressive.winner({"v1": [True]}, "v1", "v2") == "v1"
