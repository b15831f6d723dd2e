# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.intervals import (
    Interval,
    Intervals,
)
from hypothesis import given
from hypothesis import strategies as st

Parts = list[tuple[float, float]]

# Small whole numbers meet, overlap and repeat often; halves lie within them.
PARTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6)
POINTS = [half / 2 for half in range(-2, 28)]


def inside(parts: Parts, point: float) -> bool:
    return any(begin <= point < end for begin, end in parts)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], []),
        ([(3, 3)], []),
        ([(3, 1)], []),
        ([(5, 6), (1, 2)], [(1, 2), (5, 6)]),
        ([(1, 4), (2, 3)], [(1, 4)]),
        ([(1, 3), (2, 4), (3.5, 9)], [(1, 9)]),
        ([(1, 2), (1, 2)], [(1, 2)]),
        ([(1, 2), (2, 3)], [(1, 2), (2, 3)]),
    ],
)
def test_what_is_kept(given: Parts, kept: Parts) -> None:
    found = Intervals(given)
    assert [tuple(part) for part in found] == kept
    assert len(found) == len(kept)
    assert bool(found) is bool(kept)
    assert found == Intervals(kept)
    assert hash(found) == hash(Intervals(kept))


def test_an_interval_and_its_length() -> None:
    (one,) = Intervals([(1.5, 4.0)])
    assert (one, one.begin, one.end, one.seconds) == (Interval(1.5, 4.0), 1.5, 4.0, 2.5)
    assert repr(Intervals([(1, 2)])) == "Intervals([(1, 2)])"
    assert Intervals([(1, 2)]) != [(1, 2)]


@given(parts=PARTS)
def test_in_order_and_apart_and_the_same_moments(parts: Parts) -> None:
    found = list(Intervals(parts))
    assert all(one.begin < one.end for one in found)
    assert all(one.end <= other.begin for one, other in zip(found, found[1:]))
    assert [inside(list(found), point) for point in POINTS] == [inside(parts, point) for point in POINTS]


@given(parts=PARTS)
def test_the_total_counts_every_moment_once(parts: Parts) -> None:
    assert Intervals(parts).total() == sum(inside(parts, point + 0.5) for point in range(12))


@given(parts=PARTS, others=PARTS)
def test_moments_of_either_and_of_both(parts: Parts, others: Parts) -> None:
    either, both = Intervals(parts).union(others), Intervals(parts).intersection(others)
    for point in POINTS:
        assert inside(list(either), point) is (inside(parts, point) or inside(others, point))
        assert inside(list(both), point) is (inside(parts, point) and inside(others, point))
    assert either.total() + both.total() == Intervals(parts).total() + Intervals(others).total()


@given(parts=PARTS, begin=st.integers(0, 12), end=st.integers(0, 12))
def test_clipped_to_a_time(parts: Parts, begin: int, end: int) -> None:
    clipped = list(Intervals(parts).clip(begin, end))
    for point in POINTS:
        assert inside(clipped, point) is (inside(parts, point) and begin <= point < end)


@given(parts=PARTS)
def test_the_gaps_are_all_else_from_the_first_to_the_last(parts: Parts) -> None:
    found = Intervals(parts)
    gaps = list(found.gaps())
    first, last = (min(p.begin for p in found), max(p.end for p in found)) if found else (0, 0)
    for point in POINTS:
        assert inside(gaps, point) is (first <= point < last and not inside(parts, point))
