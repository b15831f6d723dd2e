# SPDX-License-Identifier: GPL-3.0-or-later
"""Several generators' parts of a schedule: together they are the schedule, and nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.arrivals import Stretch
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.part import Part
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.schedule import (
    NEVER,
    Open,
    Schedule,
    make_schedule,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options, share
from ansible_collections.iter8.kfserving.plugins.module_utils._load.payloads import Mix
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000_000
RATES = st.fractions(Fraction(1, 50), 1000, max_denominator=1000)


def taken(schedule: Schedule) -> Iterator[int]:
    """When each of its requests is due."""
    while schedule.next_due() < schedule.end:
        yield schedule.take()[0]


@given(rate=RATES, parts=st.integers(1, 9), planned=st.integers(0, 60), seconds=st.integers(0, 5))
def test_the_parts_are_the_whole(rate: Fraction, parts: int, planned: int, seconds: int) -> None:
    end = NEVER if planned else 7 + seconds * SECOND
    whole = Open(7, rate, planned, end)
    divided = [Part(Open(7, rate, planned, end), part, parts) for part in range(parts)]
    own = [list(taken(one)) for one in divided]
    everything = list(taken(whole))
    assert list(heapq.merge(*own)) == everything
    assert [len(dues) for dues in own] == [share(len(everything), part, parts) for part in range(parts)]
    assert {one.end for one in divided} == {whole.end}


@given(rate=RATES, parts=st.integers(1, 9), at=st.integers(0, 3 * SECOND), took=st.integers(0, 5))
def test_what_was_not_sent_is_counted_once(rate: Fraction, parts: int, at: int, took: int) -> None:
    """However far each has come, the parts' overdue requests are those that fell due and were not taken."""
    whole = Open(0, rate, 0, NEVER)
    fallen = whole.overdue(at)
    total = 0
    for number in range(parts):
        part = Part(Open(0, rate, 0, NEVER), number, parts)
        sent = 0
        while sent < took and part.next_due() <= at:
            part.take()
            sent += 1
        total += part.overdue(at) + sent
    assert total == fallen


@given(total=st.integers(0, 1000), parts=st.integers(1, 30))
def test_shares_add_up(total: int, parts: int) -> None:
    shares = [share(total, part, parts) for part in range(parts)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_a_generator_has_its_own_connections_and_the_whole_rate() -> None:
    whole = Options("http://h/", rate=10, connections=7, max_connections=2, warmup=4)
    own = [whole.part_of(part, 3) for part in range(3)]
    assert [one.connections for one in own] == [3, 2, 2]
    assert [one.max_connections for one in own] == [1, 1, 1]  # 0 would be no bound
    assert [one.warmup for one in own] == [2, 1, 1]
    assert {one.exact_rate for one in own} == {Fraction(10)}
    with pytest.raises(LoadError, match="7 connections are too few for 8 generators"):
        whole.part_of(0, 8)
    with pytest.raises(LoadError, match="2 requests are too few for 3 generators"):
        Options("http://h/", rate=1, duration=2 * SECOND, connections=3).part_of(0, 3).check()
    with pytest.raises(LoadError, match="The part 3 must be from 0 to 2"):
        Options("http://h/", part=3, parts=3).check()


@pytest.mark.parametrize(
    "uneven",
    [
        {"rate": 50, "arrival": "poisson", "seed": 7},
        {"profile": [Stretch(1, 100, SECOND), Stretch(100, 5, SECOND)]},
        {"profile": [Stretch(40, 40, SECOND)], "arrival": "poisson", "repeat": True},
        {"send_times": [0, 5, 5, 5, 900_000_000, SECOND], "repeat": True},
    ],
)
def test_the_parts_of_an_uneven_load_are_the_whole(uneven: dict[str, Any]) -> None:
    options = Options("http://h/", connections=3, **uneven)
    whole = make_schedule(options, 3, 5 * SECOND)
    divided = [Part(make_schedule(options, 3, 5 * SECOND), part, 3) for part in range(3)]
    everything = list(taken(whole))
    assert list(heapq.merge(*[list(taken(one)) for one in divided])) == everything
    assert len(everything) > 10
    assert {one.pauses for one in divided} == {whole.pauses}


@pytest.mark.parametrize("weights", [[], [3.0, 1.0]])
def test_the_parts_carry_the_payloads_of_the_whole(weights: list[float]) -> None:
    given: dict[str, Any] = {"weights": weights, "seed": 5, "modes": 2}
    whole = Mix(2, ["a", "b"], **given)
    parts = [Mix(2, ["a", "b"], part=(part, 3, 2), **given) for part in range(3)]
    for number in range(60):
        assert parts[number % 3].index(2 + number // 3 + 1) == whole.index(number + 1)
