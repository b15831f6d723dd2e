# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether something has held for a time: a state that was seen once may be gone the next moment."""

from __future__ import annotations


class Held:
    """Has one and the same thing held, at every look, for at least `seconds`, and at `looks` of them or more?

    Times are in seconds, of any clock that does not go back.
    """

    def __init__(self, seconds: float, looks: int = 2) -> None:
        self._seconds = seconds
        self._looks = looks
        self._since: float | None = None
        self._seen = 0
        self._shown: object = None

    def feed(self, now: float, holds: bool, shown: object = None) -> bool:
        """Add a look; true once it has held for long enough.

        `shown` is what was seen: where it differs from what the look before showed, the time begins anew.
        """
        if not holds:
            self._since = None
            return False
        if self._since is None or shown != self._shown:
            self._since, self._seen, self._shown = now, 0, shown
        self._seen += 1
        return self._seen >= self._looks and self.held_for(now) >= self._seconds

    def held_for(self, now: float) -> float:
        """For how long it has held; 0 while it does not."""
        return 0.0 if self._since is None else now - self._since
