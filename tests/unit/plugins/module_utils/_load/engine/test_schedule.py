# SPDX-License-Identifier: GPL-3.0-or-later
"""When requests are due, without a clock."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.schedule import (
    NEVER,
    Closed,
    Flood,
    Open,
    make_schedule,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options

SECOND = 1_000_000_000


@pytest.mark.parametrize("rate", ["0.1", "3", "7000", "1e-3", "12345.678"])
def test_open_never_drifts(rate: str) -> None:
    schedule = Open(5, Fraction(rate), 0, NEVER)
    for k in range(1000):
        assert schedule.take() == (5 + int(k * SECOND / Fraction(rate)), 0)
    schedule._next = 10**9
    schedule._due = schedule._time(10**9)
    assert schedule.next_due() == 5 + int(10**9 * SECOND / Fraction(rate))


def test_open_ends_one_step_after_its_last_request() -> None:
    schedule = Open(0, Fraction(10), 3, NEVER)
    dues = [schedule.take()[0] for _unused in range(3)]
    assert dues == [0, SECOND // 10, 2 * SECOND // 10]
    assert schedule.next_due() == NEVER
    assert schedule.end == 3 * SECOND // 10
    assert not schedule.used_up()


def test_open_counts_what_fell_due_and_was_not_taken() -> None:
    schedule = Open(0, Fraction(10), 20, 2 * SECOND)
    for _unused in range(4):
        schedule.take()
    assert schedule.overdue(SECOND // 2) == 2  # 0.4 and 0.5
    assert schedule.overdue(9 * SECOND) == 16
    assert Open(0, Fraction(10), 0, NEVER).overdue(SECOND) == 11


def play(schedule: Closed, service: int, until: int) -> list[int]:
    """Answer each call after `service`; returns the times at which calls were sent."""
    now, sent, flying = 0, [], []
    while now <= until:
        for entry in [entry for entry in flying if entry[0] <= now]:
            flying.remove(entry)
            schedule.answered(entry[1], now)
        while schedule.next_due() <= now < schedule.end:
            _due, token = schedule.take()
            sent.append(now)
            flying.append((now + service, token))
        if schedule.used_up():
            break
        now += SECOND // 1000
    return sent


def test_closed_aims_as_fortio_does() -> None:
    """Four calls of one loop at 4 a second in a second: at (i + i/3)/4."""
    schedule = Closed(0, Fraction(4), threads=1, planned=4, end=SECOND, catch_up=True)
    sent = play(schedule, SECOND // 1000, 2 * SECOND)
    assert [round(at / SECOND, 2) for at in sent] == [0.0, 0.33, 0.67, 1.0]


def test_closed_shares_calls_and_waits_for_answers() -> None:
    schedule = Closed(0, Fraction(10), threads=3, planned=10, end=SECOND, catch_up=True)
    assert [schedule.take()[1] for _unused in range(3)] == [0, 1, 2]
    assert schedule.next_due() == NEVER
    assert not schedule.used_up()
    schedule.answered(1, 5)
    assert schedule.next_due() > 5
    sent = play(Closed(0, Fraction(10), threads=3, planned=10, end=SECOND, catch_up=True), 10**6, 2 * SECOND)
    assert len(sent) == 10


def test_closed_catches_up_unless_told_not_to() -> None:
    def late(catch_up: bool) -> int:
        schedule = Closed(0, Fraction(10), threads=1, planned=0, end=NEVER, catch_up=catch_up)
        schedule.take()
        schedule.answered(0, SECOND)  # an answer that took a second: ten calls' time
        sent = 0
        while schedule.next_due() <= SECOND:
            _due, token = schedule.take()
            sent += 1
            schedule.answered(token, SECOND)
        return sent

    assert late(True) == 10
    assert late(False) == 1


@pytest.mark.parametrize("catch_up", [True, False])
def test_what_a_slow_closed_loop_did_not_send_is_overdue(catch_up: bool) -> None:
    schedule = Closed(0, Fraction(10), threads=2, planned=0, end=NEVER, catch_up=catch_up)
    for _unused in range(2):
        schedule.take()
    assert schedule.overdue(SECOND) == 8
    assert (
        Closed(0, Fraction(10), threads=2, planned=4, end=SECOND, catch_up=catch_up).overdue(9 * SECOND) == 4
    )


def test_a_closed_loop_that_keeps_its_rate_is_never_overdue() -> None:
    schedule = Closed(0, Fraction(70), threads=3, planned=70, end=SECOND, catch_up=True)
    for now in range(0, SECOND, SECOND // 1000):
        while schedule.next_due() <= now:
            schedule.answered(schedule.take()[1], now)
        assert schedule.overdue(now) == 0


def test_flood_is_always_due_until_its_calls_are_used_up() -> None:
    schedule = Flood(7, NEVER, 2)
    assert schedule.next_due() == 7
    schedule.take()
    schedule.take()
    assert schedule.next_due() == NEVER
    assert schedule.used_up()
    assert schedule.overdue(SECOND) == 0


@pytest.mark.parametrize(
    ("rate", "closed", "kind"), [(0, False, Flood), (0, True, Flood), (5, False, Open), (5, True, Closed)]
)
def test_make(rate: int, closed: bool, kind: Any) -> None:
    options = Options(url="http://h/", rate=rate, pacing="closed" if closed else "open", connections=2)
    made = make_schedule(options, 0, None)
    assert isinstance(made, kind)
    assert made.end == NEVER
