# SPDX-License-Identifier: GPL-3.0-or-later
"""Time that passes only when somebody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class FakeClock:
    """Call it for the time (seconds); ``sleep`` moves it on and keeps how long each sleep was.

    ``on_sleep`` are called after each sleep with the time that it is then: what happens meanwhile.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.slept: list[float] = []
        self.on_sleep: list[Callable[[float], None]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """As ``time.sleep``: a negative time is an error."""
        if seconds < 0:
            raise ValueError(f"a sleep of {seconds} s")
        self.slept.append(seconds)
        self.now += seconds
        for hook in self.on_sleep:
            hook(self.now)

    async def sleep_async(self, seconds: float) -> None:
        """``sleep``, and a moment of the real time, which real processes and threads need all the same."""
        self.sleep(seconds)
        await asyncio.sleep(0.001)
