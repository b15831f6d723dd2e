# SPDX-License-Identifier: GPL-3.0-or-later
"""From when to when an object was observed, so that silence and what is not observed differ.

A watch that tells nothing says nothing about itself: its connection may be gone without a word, or the API
server may be far behind. So the object's version is asked for several times a second beside the watch. While
the answer is the version that the watch told last, everything up to the moment of asking was seen, however
silent it was. What lies between two such proofs that are further apart than they should be was not observed,
for whatever reason: a lost connection, an API server that answers late, a process that stood still.
"""

from __future__ import annotations

from dataclasses import dataclass

POLL_SECONDS = 0.15
"""How often the version is asked for."""

APART_SECONDS = 0.45
"""Proofs further apart than this leave an unobserved interval between them: three polls, for jitter."""

QUIET_SECONDS = 1.0
"""The same where the object is what it was at the last proof, so that nothing was missed: only a gap
that long is worth a line, for what it says of the observer. A machine with much to do makes shorter ones."""

SHORT_SECONDS = 0.05
"""A watch that ended and was opened again sooner than this has missed nothing worth a line."""


ABSENT = "absent"
"""In place of the version of an object that is not there."""


@dataclass(frozen=True)
class UnobservedInterval:
    """From `start` to `end` (epoch seconds) nothing vouched for what was seen, and why.

    `unchanged` is whether the object was found at the same version after it as before: versions are never
    used twice, so it was that all the time.
    """

    start: float
    end: float
    why: str
    unchanged: bool = False


class Coverage:
    """Proofs in, unobserved intervals out. Times are this host's, in epoch seconds."""

    def __init__(self, began: float) -> None:
        self._until = began
        self._lost: str = ""

    @property
    def until(self) -> float:
        """Up to when everything was seen."""
        return self._until

    def proved(self, at: float, *, changed: bool = True) -> UnobservedInterval | None:
        """Everything up to `at` has been seen; returns what had not, since the last proof.

        `changed` says whether the object has changed since then.
        """
        if at <= self._until:
            return None
        missed = at - self._until
        limit = SHORT_SECONDS if self._lost else APART_SECONDS if changed else QUIET_SECONDS
        why = self._lost or "no proof that the watch is up to date"
        found = UnobservedInterval(self._until, at, why, unchanged=not (changed or self._lost))
        self._until, self._lost = at, ""
        return found if missed > limit else None

    def lost(self, at: float, why: str) -> None:
        """The watch is known to have ended at `at`, with everything before it told.

        That holds where proofs had come until then. An end that is found after a silence without any, as by a
        time-out, tells nothing of the silence.
        """
        if not self._lost:
            if at - self._until <= APART_SECONDS:
                self._until = max(self._until, at)
            self._lost = why

    def open(self, now: float) -> UnobservedInterval | None:
        """What is unobserved as of now, if anything: for a checkpoint, and for the end."""
        limit = SHORT_SECONDS if self._lost else QUIET_SECONDS
        if now - self._until <= limit:
            return None
        return UnobservedInterval(self._until, now, self._lost or "no proof that the watch is up to date")


class Poll:
    """Matches the versions that were asked for with those that the watch told.

    An answer is a proof as of the moment it was asked for, once the watch has told that version or a later
    one. Versions are compared by being the same, as the API promises no more: a version that was told before
    the one asked for is an older one, since a watch tells all of them in order. That it is absent is no
    version: it may be so again, and then proves nothing until the watch has told it again.
    """

    def __init__(self) -> None:
        self._reported: str | None = None
        self._passed: set[str] = set()
        self._asked: list[tuple[float, str]] = []

    def reported(self, version: str) -> float | None:
        """The watch told this version. Returns the latest moment that this proves, if any was open."""
        if self._reported is not None and self._reported != ABSENT:
            self._passed.add(self._reported)
            if len(self._passed) > 1000:
                self._passed = {self._reported}
        self._reported = version
        proved = [at for at, asked in self._asked if self._is_seen(asked)]
        self._asked = [each for each in self._asked if not self._is_seen(each[1])]
        return max(proved, default=None)

    def answered(self, at: float, version: str) -> float | None:
        """A poll that was sent at `at` found this version. Returns `at` if that proves it, else None."""
        if self._is_seen(version):
            return at
        self._asked = [*self._asked[-99:], (at, version)]
        return None

    def _is_seen(self, version: str) -> bool:
        return version == self._reported or version in self._passed
