# SPDX-License-Identifier: GPL-3.0-or-later
"""The helpers that other tests rely on."""

from __future__ import annotations

import asyncio
import re

import pytest

from ..support.clock import FakeClock
from ..support.waiting import NotInTime, until, until_async


def test_until_gives_what_the_condition_gave() -> None:
    values = iter(["", "", "there"])
    assert until(lambda: next(values), 5, "the word", poll=0) == "there"


def test_until_says_what_it_waited_for_and_what_it_saw_last() -> None:
    values = iter([[], {}])
    words = re.escape("waited in vain for: a full one within 0.001 s; last seen: {}")
    with pytest.raises(NotInTime, match=words):
        until(lambda: next(values), 0.001, "a full one", poll=0.01)


def test_until_asks_once_more_when_the_time_is_over() -> None:
    values = iter([False, True])
    assert until(lambda: next(values), 0.001, "the second answer", poll=0.01)


def test_an_ignored_exception_is_not_yet() -> None:
    def refuse() -> None:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(NotInTime, match="an answer .* last seen: ConnectionRefusedError") as raised:
        until(refuse, 0.01, "an answer", ignoring=(OSError,))
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    with pytest.raises(ConnectionRefusedError):
        until(refuse, 5, "an answer")


def test_until_async_lets_the_loop_go_on() -> None:
    async def both() -> bool:
        came = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, came.set)
        return await until_async(came.is_set, 5, "the event")

    assert asyncio.run(both())
    with pytest.raises(NotInTime, match="rain within 0 s; last seen: False"):
        asyncio.run(until_async(lambda: False, 0, "rain"))


def test_a_sleep_moves_the_clock_and_calls_the_hooks() -> None:
    clock = FakeClock(100.0)
    times: list[float] = []
    clock.on_sleep.append(times.append)
    clock.sleep(1.5)
    asyncio.run(clock.sleep_async(2))
    assert clock() == clock.now == 103.5
    assert clock.slept == [1.5, 2]
    assert times == [101.5, 103.5]
    with pytest.raises(ValueError, match="-1"):
        clock.sleep(-1)
