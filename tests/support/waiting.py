# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for something that must come: the one way in which tests do it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Optional, TypeVar

Value = TypeVar("Value")

_POLL_SECONDS = 0.02


class NotInTime(AssertionError):
    """A condition did not become true."""


def until(
    condition: Callable[[], Value],
    seconds: float,
    what: str,
    *,
    ignoring: tuple[type[Exception], ...] = (),
    poll: float = _POLL_SECONDS,
) -> Value:
    """Ask every ``poll`` seconds until ``condition`` gives something true, and return that.

    An exception of a class in ``ignoring`` counts as not yet. After ``seconds`` it raises ``NotInTime``,
    which says what was waited for and what the condition gave last. It is asked once more when they are over:
    a machine that was busy elsewhere all the while makes no wait fail unasked.
    """
    wait = _Wait(condition, seconds, what, ignoring)
    while not wait.over():
        time.sleep(poll)
    return wait.value


async def until_async(
    condition: Callable[[], Value], seconds: float, what: str, *, poll: float = _POLL_SECONDS
) -> Value:
    """``until`` in a running event loop, which goes on meanwhile."""
    wait = _Wait(condition, seconds, what, ())
    while not wait.over():
        await asyncio.sleep(poll)
    return wait.value


class _Wait(Generic[Value]):
    """One condition and its deadline. ``value`` is what it gave last."""

    value: Value

    def __init__(
        self,
        condition: Callable[[], Value],
        seconds: float,
        what: str,
        ignoring: tuple[type[Exception], ...],
    ) -> None:
        self._condition = condition
        self._what = f"{what} within {seconds:g} s"
        self._ignoring = ignoring
        self._deadline = time.monotonic() + seconds

    def over(self) -> bool:
        """Ask once more: whether it is true now."""
        last_chance = time.monotonic() >= self._deadline
        error: Optional[Exception] = None
        try:
            self.value = self._condition()
            if self.value:
                return True
            seen = repr(self.value)
        except self._ignoring as raised:
            error, seen = raised, repr(raised)
        if last_chance:
            raise NotInTime(f"waited in vain for: {self._what}; last seen: {seen[:2000]}") from error
        return False
