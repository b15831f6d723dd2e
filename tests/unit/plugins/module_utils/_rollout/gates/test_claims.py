# SPDX-License-Identifier: GPL-3.0-or-later
"""Each claim against exact sums and against simulated truths: is it wrong as rarely as it says?"""

from __future__ import annotations

import math
import random

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import tail_below
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.claims import (
    Latency,
    Losses,
    SplitClaim,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.quantiles import (
    least_samples,
    lower_limit,
    lower_rank,
    upper_limit,
    upper_rank,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.window import (
    Answers,
    Counted,
    Window,
    window,
)
from ansible_collections.iter8.kfserving.tests.support.driven import Truth, _bucket

LOSSES = Losses("losses", 0.01)


NONE = Answers()


def _window(percent: int = 50, canary: Answers = NONE, **more: Answers) -> Window:
    return Window(percent, 10.0, canary, **more)


def test_no_loss_confirms_as_soon_as_the_bound_allows_and_not_before() -> None:
    least = LOSSES.least(10, 0.025)
    assert least == 368
    assert LOSSES.confirmed(_window(canary=Answers(least)), 0.025)
    assert not LOSSES.confirmed(_window(canary=Answers(least - 1)), 0.025)


def test_what_was_lost_without_a_name_is_held_against_the_canary() -> None:
    seen = _window(canary=Answers(1000, 0), unnamed=Answers(60, 60))
    assert LOSSES.refuted(seen, 0.001)
    assert not Losses("losses", 0.01, unnamed=False).refuted(seen, 0.001)
    assert "60 of 1060 lost" in LOSSES.estimate(seen, 0.05)[0]


def test_the_baselines_losses_are_not_the_canarys() -> None:
    seen = _window(canary=Answers(1000), baseline=Answers(1000, 500))
    assert LOSSES.confirmed(seen, 0.025)


@pytest.mark.parametrize(
    ("lost", "confirmed", "refuted"), [(0, True, False), (10, False, False), (40, False, True)]
)
def test_losses_are_confirmed_refuted_or_neither(lost: int, confirmed: bool, refuted: bool) -> None:
    seen = _window(canary=Answers(1000, lost))
    assert (LOSSES.confirmed(seen, 0.01), LOSSES.refuted(seen, 0.01)) == (confirmed, refuted)


@pytest.mark.parametrize("n", [5, 60, 299, 1000])
@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("doubt", [0.05, 0.001])
def test_ranks_are_the_nearest_whose_probability_is_within_the_doubt(n: int, q: float, doubt: float) -> None:
    up, low = upper_rank(n, q, doubt), lower_rank(n, q, doubt)
    above = [1 - tail_below(u - 1, n, q) for u in range(n + 2)]
    assert up == next(u for u in range(n + 2) if above[u] <= doubt + 1e-12)
    assert low == max((k for k in range(1, n + 1) if tail_below(k - 1, n, q) <= doubt), default=0)


def test_so_many_values_and_no_fewer_give_an_upper_limit() -> None:
    least = least_samples(0.99, 0.05)
    assert least == 299
    assert math.isfinite(upper_limit({1000: least}, 0.99, 0.05))
    assert math.isinf(upper_limit({1000: least - 1}, 0.99, 0.05))


def test_limits_are_those_of_the_bucket() -> None:
    times = {1010: 500}
    assert upper_limit(times, 0.5, 0.05) == pytest.approx(0.00101)
    assert lower_limit(times, 0.5, 0.05) == pytest.approx(0.001)
    assert lower_limit({12: 500}, 0.5, 0.05) == pytest.approx(0.000011)


def _times(rng: random.Random, n: int, truth: Truth) -> dict[int, int]:
    found: dict[int, int] = {}
    for _unused in range(n):
        bound = _bucket(round(truth.median * math.exp(truth.spread * rng.gauss(0, 1)) * 1e6))
        found[bound] = found.get(bound, 0) + 1
    return found


def test_the_interval_of_a_quantile_holds_it_as_often_as_it_says() -> None:
    """Samples of a known distribution; each limit may be wrong in 10 % of the cases."""
    rng, truth = random.Random(7), Truth(median=0.02, spread=0.5)
    # The 95th percentile of the normal distribution is 1.6449.
    true = 0.02 * math.exp(0.5 * 1.6448536)
    wrong_up = wrong_low = 0
    for _unused in range(400):
        times = _times(rng, 200, truth)
        wrong_up += upper_limit(times, 0.95, 0.1) < true
        wrong_low += lower_limit(times, 0.95, 0.1) > true
    # Of 400 with at most 10 %: more than 60 have a probability of 0.002.
    assert wrong_up <= 60
    assert wrong_low <= 60


def test_a_slow_canary_is_refuted_and_an_equal_one_confirmed() -> None:
    rng = random.Random(3)
    claim = Latency("latency", 0.95, max_ratio=1.3)
    base, same, slow = (_times(rng, 3000, Truth(median=median)) for median in (0.02, 0.02, 0.04))
    equal = _window(canary=Answers(3000, 0, same), baseline=Answers(3000, 0, base))
    worse = _window(canary=Answers(3000, 0, slow), baseline=Answers(3000, 0, base))
    assert (claim.confirmed(equal, 0.01), claim.refuted(equal, 0.01)) == (True, False)
    assert (claim.confirmed(worse, 0.01), claim.refuted(worse, 0.01)) == (False, True)


def test_what_slows_both_down_is_no_fault_of_the_canary() -> None:
    rng = random.Random(4)
    claim = Latency("latency", 0.95, max_ratio=1.3)
    both = [_times(rng, 3000, Truth(median=0.2)) for _unused in range(2)]
    seen = _window(canary=Answers(3000, 0, both[0]), baseline=Answers(3000, 0, both[1]))
    assert claim.confirmed(seen, 0.01)


def test_an_absolute_limit_needs_no_baseline_and_a_ratio_does() -> None:
    absolute, ratio = Latency("a", 0.9, max_seconds=0.05), Latency("r", 0.9, max_ratio=1.2)
    assert absolute.applies(100)
    assert not ratio.applies(100)
    fast = _window(100, canary=Answers(500, 0, {20000: 500}))
    slow = _window(100, canary=Answers(500, 0, {80000: 500}))
    assert absolute.confirmed(fast, 0.01)
    assert absolute.refuted(slow, 0.01)


@pytest.mark.parametrize("percent", [1, 5, 10, 50, 95])
def test_the_split_that_is_wanted_needs_as_many_as_foretold(percent: int) -> None:
    claim = SplitClaim("split")
    n = claim.least(percent, 0.025)
    # So many that the share can be met to the request.
    n = math.ceil(n / 100) * 100
    hits = round(n * percent / 100)
    assert claim.confirmed(_window(percent, canary=Answers(hits), baseline=Answers(n - hits)), 0.025)


def test_a_canary_that_gets_nothing_is_refuted() -> None:
    seen = _window(25, canary=Answers(0), baseline=Answers(200))
    assert SplitClaim("split").refuted(seen, 0.001)
    assert not SplitClaim("split").applies(100)


def test_a_window_is_of_one_load_and_by_role() -> None:
    before = Counted(10.0, 1.0, {"a": Answers(5, 1, {100: 5})})
    after = Counted(20.0, 1.0, {"a": Answers(9, 1, {100: 8, 120: 1}), "": Answers(2, 2)})
    found = window(20, before, after, lambda name: "canary" if name else "unnamed")
    assert found is not None
    assert (found.canary, found.unnamed.failed, found.seconds) == (Answers(4, 0, {100: 3, 120: 1}), 2, 10.0)
    assert window(20, Counted(10.0, 2.0, {}), after, str) is None
    assert Counted.from_json(after.to_json()) == after


def test_the_smallest_doubt_has_an_interval() -> None:
    _clause, value, low, high = LOSSES.estimate(Window(10, canary=Answers(1000, 5)), 1e-20)
    assert value is not None
    assert low is not None
    assert high is not None
    assert 0 < low < value < high < 1
