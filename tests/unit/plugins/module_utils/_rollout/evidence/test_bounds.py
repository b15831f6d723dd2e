# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from fractions import Fraction

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    loss_rate_upper_bound,
    tail_above,
    tail_below,
)
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("requests", "bound"),
    [(1, 0.95), (10, 0.2589), (400, 0.00746), (1000, 0.002991), (3000, 0.000998), (29956, 0.0001)],
)
def test_none_lost(requests: int, bound: float) -> None:
    assert loss_rate_upper_bound(0, requests) == pytest.approx(bound, rel=1e-3)


# From tables of the exact one-sided Clopper-Pearson limit (the quantile of a beta distribution).
@pytest.mark.parametrize(
    ("lost", "requests", "bound"),
    [(1, 10, 0.39416), (5, 10, 0.77756), (9, 10, 0.99488), (1, 100, 0.046557), (10, 1000, 0.016903)],
)
def test_some_lost(lost: int, requests: int, bound: float) -> None:
    assert loss_rate_upper_bound(lost, requests) == pytest.approx(bound, rel=1e-4)


def test_the_edges() -> None:
    assert loss_rate_upper_bound(0, 0) == 1.0
    assert loss_rate_upper_bound(7, 7) == 1.0
    assert loss_rate_upper_bound(0, 100, confidence=0.5) == pytest.approx(1 - 0.5 ** (1 / 100))


@pytest.mark.parametrize(("lost", "requests"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(lost: int, requests: int) -> None:
    with pytest.raises(ValueError, match=f"not {lost} of {requests}"):
        loss_rate_upper_bound(lost, requests)


def test_a_million_requests_take_no_time_and_stay_exact() -> None:
    bound = loss_rate_upper_bound(1000, 1_000_000)
    assert tail_below(1000, 1_000_000, bound) == pytest.approx(0.05, rel=1e-6)


@settings(deadline=None)
@given(requests=st.integers(1, 3000), lost=st.integers(0, 3000))
def test_the_bound_is_where_the_chance_of_so_few_losses_is_five_percent(requests: int, lost: int) -> None:
    lost = min(lost, requests - 1)
    bound = loss_rate_upper_bound(lost, requests)
    assert lost / requests < bound <= 1
    assert tail_below(lost, requests, bound) == pytest.approx(0.05, rel=1e-6)


@settings(deadline=None)
@given(requests=st.integers(1, 2000), lost=st.integers(0, 2000))
def test_more_losses_raise_the_bound_and_more_requests_lower_it(requests: int, lost: int) -> None:
    lost = min(lost, requests)
    bound = loss_rate_upper_bound(lost, requests)
    assert loss_rate_upper_bound(lost, requests + 1) < bound or bound == 1.0
    if lost < requests:
        assert loss_rate_upper_bound(lost + 1, requests) > bound


def exact(k: int, n: int, p: Fraction) -> Fraction:
    """P(X <= k), by adding every term."""
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(min(k, n) + 1)), Fraction(0))


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 60), k=st.integers(-1, 61), per_mille=st.integers(0, 1000))
def test_tails_are_the_sums_of_their_terms(n: int, k: int, per_mille: int) -> None:
    p = Fraction(per_mille, 1000)
    below = exact(k, n, p) if k >= 0 else Fraction(0)
    assert tail_below(k, n, float(p)) == pytest.approx(float(min(Fraction(1), below)), rel=1e-9, abs=1e-12)
    above = 1 - exact(k - 1, n, p) if k > 0 else Fraction(1)
    assert tail_above(k, n, float(p)) == pytest.approx(float(max(Fraction(0), above)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 13))
def test_every_small_tail(n: int) -> None:
    for k in range(-2, n + 3):
        for tenths in (0, 1, 3, 5, 9, 10):
            p = Fraction(tenths, 10)
            below = exact(k, n, p) if k >= 0 else Fraction(0)
            above = 1 - exact(k - 1, n, p) if k > 0 else Fraction(1)
            assert tail_below(k, n, float(p)) == pytest.approx(float(below), rel=1e-12, abs=1e-15), (k, p)
            assert tail_above(k, n, float(p)) == pytest.approx(float(above), rel=1e-12, abs=1e-15), (k, p)


@pytest.mark.parametrize(("tail", "k"), [(tail_below, 60), (tail_above, 440)])
def test_tails_far_out_keep_their_relative_precision(tail: object, k: int) -> None:
    """A difference from 1 would be 0 here."""
    assert callable(tail)
    found = tail(k, 500, 0.3 if tail is tail_below else 0.7)
    assert 0 < found < 1e-15
    by_hand = float(exact(60, 500, Fraction(3, 10)))
    assert found == pytest.approx(by_hand, rel=1e-6)
