# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine's clock that stands still while anything happens, so that a busy machine changes no run."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import poller
from ansible_collections.iter8.kfserving.tests.support.busy import others_run

SECOND = 1_000_000_000
# What an empty poll costs at least, or a loop that spins until a request is due would do so for ever.
_EMPTY_POLL = 50_000
# How long the sockets are waited for really before time passes: what a server needs that has been asked.
_REAL_SECONDS = 0.02
# How often that is done again at most while a thread of this process, as each test's server is, computes or
# waits for a processor. There is always one on a machine that is busy enough, so it has an end.
_AGAIN = 10


class PolledClock:
    """Passes only while the engine polls and nothing comes. Call it for nanoseconds, as time.monotonic_ns."""

    def __init__(self) -> None:
        self.started = self.now = 1000 * SECOND
        self._planned: list[tuple[int, Callable[[], None]]] = []

    def __call__(self) -> int:
        return self.now

    def wall(self) -> int:
        """The wall clock that goes with it, as time.time_ns."""
        return self.now + 1_700_000_000 * SECOND

    @property
    def seconds(self) -> float:
        """Seconds that have passed since it was made."""
        return (self.now - self.started) / SECOND

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something once so much time has passed."""
        self._planned.append((self.started + round(seconds * SECOND), action))

    def go_on(self, nanoseconds: int) -> None:
        """Pass, and do what was planned for then."""
        self.now += nanoseconds
        due = [action for moment, action in self._planned if moment <= self.now]
        self._planned = [(moment, action) for moment, action in self._planned if moment > self.now]
        for action in due:
            action()

    def make_poller(self) -> poller.Poller:
        """A poller through which it passes."""
        return _PassingPoller(self)


class _PassingPoller:
    def __init__(self, clock: PolledClock) -> None:
        self._clock = clock
        self._real = poller.make_poller()
        self.register = self._real.register
        self.modify = self._real.modify
        self.unregister = self._real.unregister
        self.close = self._real.close

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        events = self._real.poll(_REAL_SECONDS if timeout else 0)
        for _turn in range(_AGAIN if timeout else 0):
            if events or not others_run():
                break
            events = self._real.poll(_REAL_SECONDS)
        if not events:
            self._clock.go_on(max(_EMPTY_POLL, round(timeout * SECOND)))
        return events
