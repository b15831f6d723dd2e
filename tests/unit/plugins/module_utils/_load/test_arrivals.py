# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrivals other than even ones: exact along any profile, of the right distribution, the same for a seed."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load import arrivals
from ansible_collections.iter8.kfserving.plugins.module_utils._load.arrivals import Stretch
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.schedule import (
    NEVER,
    Uneven,
    make_schedule,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000
RATES = st.floats(0, 1000, allow_subnormal=False).map(lambda rate: round(rate, 3))
STEPS = st.builds(Stretch, RATES, RATES, st.integers(1_000_000, 100 * SECOND))


def area(steps: list[Stretch], until: int) -> float:
    """Requests a second, summed up until a time: what a profile's schedule has to follow."""
    total = 0.0
    for step in steps:
        length = min(until, step.length)
        end = step.begin + (step.end - step.begin) * length / step.length
        total += (step.begin + end) / 2 * length / SECOND
        until -= length
    return total


@given(st.lists(STEPS, min_size=1, max_size=5))
def test_request_k_of_a_profile_is_due_where_the_area_under_its_rates_is_k(steps: list[Stretch]) -> None:
    times = list(itertools.islice(arrivals.along(arrivals.even(), steps, repeat=False), 500))
    assert times == sorted(times)
    for k, time in enumerate(times):
        # The slope of the area is a rate of at most 1000, and times are whole nanoseconds.
        assert area(steps, time) == pytest.approx(k, abs=1e-5)
    if len(times) < 500:
        assert len(times) == math.ceil(arrivals.requests(steps) - 1e-9)
        assert all(time < arrivals.span(steps) for time in times)


def test_a_ramp_and_a_pause() -> None:
    steps = [Stretch(0, 10, 2 * SECOND), Stretch(0, 0, 5 * SECOND), Stretch(10, 10, SECOND)]
    times = list(arrivals.along(arrivals.even(), steps, repeat=False))
    assert len(times) == 20
    # 5·t²/2 = k on the ramp from 0 to 10 in 2 s.
    assert times[:10] == [pytest.approx(math.sqrt(k / 2.5) * SECOND, abs=2) for k in range(10)]
    assert times[10:] == [7 * SECOND + k * SECOND // 10 for k in range(10)]


def test_a_profile_that_repeats_goes_on_without_a_break() -> None:
    steps = [Stretch(4, 4, SECOND), Stretch(1, 1, SECOND // 2)]
    times = list(itertools.islice(arrivals.along(arrivals.even(), steps, repeat=True), 45))
    # Nine requests in two rounds of 1.5 s, and so on.
    assert [time + 6 * SECOND for time in times[:27]] == times[18:45]
    assert not any(1.0 < time / SECOND < 1.4 for time in times)


def test_poisson_is_poisson() -> None:
    """Gaps of a Poisson process are exponential: Kolmogorov and Smirnov's distance, 5 % at 1.36/√n."""
    n = 20_000
    times = list(itertools.islice(arrivals.poisson(1), n))
    gaps = sorted(b - a for a, b in zip([0.0, *times], times))
    distance = max(abs((k + 1) / n - (1 - math.exp(-gap))) for k, gap in enumerate(gaps))
    assert distance < 1.36 / math.sqrt(n)
    counts = [sum(1 for time in times if k <= time < k + 1) for k in range(1000)]
    mean = sum(counts) / 1000
    assert mean == pytest.approx(1, abs=0.1)
    assert sum((count - mean) ** 2 for count in counts) / 1000 == pytest.approx(1, abs=0.15)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    def first(seed: int) -> list[float]:
        return list(itertools.islice(arrivals.poisson(seed), 3))

    assert first(7) == first(7) != first(8)
    # Held fast, so that no version of Python draws others.
    assert first(7) == pytest.approx([0.177225383, 2.834558901, 3.554751845])


def test_a_trace() -> None:
    times = [0, 100, 100, 400]
    assert arrivals.period(times) == 533
    assert list(arrivals.along_trace(times, repeat=False)) == times
    again = list(itertools.islice(arrivals.along_trace(times, repeat=True), 8))
    assert again == [*times, *(533 + time for time in times)]
    assert arrivals.period([0]) == arrivals.period([0, 0]) == SECOND
    assert arrivals.most_within(times, 99) == 2
    assert arrivals.most_within(times, 300) == 3
    assert arrivals.most_within(times, 400) == 4


def test_an_uneven_schedule_counts_what_is_left_and_knows_its_pauses() -> None:
    schedule = Uneven(1000, iter([0, 10, 50, 60, 90]), 0, 1200)
    assert [schedule.take()[0] for _unused in range(3)] == [1000, 1010, 1050]
    assert schedule.pauses == (40, 50)
    assert schedule.overdue(1061) == 1
    schedule = Uneven(0, iter([5, 10, 50]), 2, 1200)
    assert (schedule.take(), schedule.take()) == ((5, 0), (10, 0))
    assert schedule.next_due() == NEVER
    assert schedule.end == 50  # when one more would be due
    assert not schedule.used_up()
    assert Uneven(0, iter([5, 10, 50]), 2, 1200).overdue(100) == 2
    assert Uneven(0, iter([5, 10, 50]), 0, 1200).overdue(10) == 1


@pytest.mark.parametrize(
    ("more", "end", "first"),
    [
        ({"profile": [Stretch(2, 2, SECOND)]}, SECOND, [0, SECOND // 2, NEVER]),
        ({"profile": [Stretch(2, 2, SECOND)], "repeat": True}, NEVER, [0, SECOND // 2, SECOND]),
        ({"send_times": [0, 3, 9]}, 13, [0, 3, 9]),
        ({"send_times": [0, 3, 9], "calls": 1}, 3, [0, NEVER, NEVER]),
    ],
)
def test_which_schedule_an_option_makes(more: dict[str, Any], end: int, first: list[int]) -> None:
    options = Options(url="http://h/", **more)
    options.check()
    schedule = make_schedule(options, 0, None)
    dues = []
    for _unused in range(3):
        dues.append(schedule.next_due())
        if dues[-1] != NEVER:
            schedule.take()
    assert (dues, schedule.end) == (first, end)


def test_poisson_at_a_rate_lasts_as_long_as_is_asked_for() -> None:
    options = Options(url="http://h/", rate=1000, duration=SECOND, arrival="poisson", seed=3)
    options.check()
    schedule = make_schedule(options, 5, 5 + SECOND)
    assert schedule.end == 5 + SECOND
    assert 900 < schedule.overdue(5 + SECOND) < 1100
    assert options.planned == 0


def test_what_a_profile_comes_to() -> None:
    options = Options(url="http://h/", profile=[Stretch(0, 10, 2 * SECOND), Stretch(30, 30, SECOND)])
    assert (options.paced, options.exact_rate, options.planned_span) == (True, Fraction(0), 3 * SECOND)
    assert options.mean_rate == pytest.approx(40 / 3)
    assert options.pool == 4 + 30 * 3  # as many as fall due within the time-out of 3 s at the peak
    assert Options(url="http://h/", send_times=[0] * 50, repeat=True).mean_rate == 50
    assert Options(url="http://h/", send_times=[0] * 50, repeat=True).pool == 4 + 200
    assert Options(url="http://h/", rate=10, arrival="poisson").pool == 4 + 30 + 28


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"arrival": "bursts", "rate": 1}, "arrival must be one of uniform, poisson, not 'bursts'"),
        ({"arrival": "poisson"}, "arrival=poisson needs a rate above 0"),
        ({"arrival": "poisson", "rate": 1, "pacing": "closed"}, "arrival=poisson needs pacing=open"),
        ({"rate": 1, "profile": [Stretch(1, 1, SECOND)]}, "Only one of rate and profile can say"),
        ({"send_times": [0], "profile": [Stretch(1, 1, SECOND)]}, "Only one of profile and send_times"),
        ({"profile": [Stretch(1, 1, SECOND)], "pacing": "closed"}, "profile needs pacing=open"),
        (
            {"profile": [Stretch(1, 1, SECOND), Stretch(-1, 1, 1)]},
            "Step 2 of the profile must have rates from 0",
        ),
        ({"profile": [Stretch(float("nan"), 1, 1)]}, "Step 1 of the profile must have rates from 0"),
        ({"profile": [Stretch(1, 1, 0)]}, "Step 1 of the profile must have a duration above 0"),
        ({"profile": [Stretch(0, 0, SECOND)]}, "The profile is too short, or its rates too low"),
        ({"profile": [Stretch(1, 1, SECOND)] * 10_001}, "has 10001 steps, and may have 10000"),
        ({"send_times": [5, 6]}, "must begin with 0 and never go back"),
        ({"send_times": [0, 6, 5]}, "must begin with 0 and never go back"),
        ({"repeat": True, "rate": 1}, "repeat needs a profile or send_times"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_arrivals_that_make_no_sense(more: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        Options(url="http://h/", **more).check()
