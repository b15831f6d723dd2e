# SPDX-License-Identifier: GPL-3.0-or-later
"""From when to when an object was observed, so that silence and what is not observed differ.

A watch that tells nothing says nothing about itself: its connection may be gone without a word, or the API
server may be far behind. So the object's version is asked for several times a second beside the watch. While
the answer is the version that the watch told last, everything up to the moment of asking was seen, however
silent it was. What lies between two such proofs that are further apart than they should be was not observed,
for whatever reason: a lost connection, an API server that answers late, a process that stood still. But where
the watch has told in between what the later proof finds, it was that from then on: versions are never used
twice.
"""

from __future__ import annotations

import math
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


UNPROVED = "no proof that the watch is up to date"
ABSENT = "absent"
"""In place of the version of an object that is not there."""


@dataclass(frozen=True)
class UnobservedInterval:
    """From `start` to `end` (epoch seconds) nothing vouched for what was seen, and why.

    `unchanged` is whether the object was found to have the same version before it and after: versions are
    never used twice, so it had that all the time.
    """

    start: float
    end: float
    why: str
    unchanged: bool = False


@dataclass(frozen=True)
class Proof:
    """Up to the moment `at` everything has been seen, and since `since`, when the watch or an answer was the
    first to tell of it, the object had the version that is proved; infinity where that is not known.

    `lasting` is false for an object that is absent, which it may have been before, and not in between.
    """

    at: float
    since: float
    lasting: bool = True


class Coverage:
    """Proofs in, unobserved intervals out. Times are this host's, in epoch seconds."""

    def __init__(self, began: float) -> None:
        self._until = began
        self._lost: str = ""

    @property
    def until(self) -> float:
        """Up to when everything was seen."""
        return self._until

    def proved(self, proof: Proof) -> list[UnobservedInterval]:
        """Everything up to the proof's moment has been seen; returns what had not, since the last one."""
        if proof.at <= self._until:
            return []
        start, lost = self._until, self._lost
        self._until, self._lost = proof.at, ""
        if lost:
            return [UnobservedInterval(start, proof.at, lost)] if proof.at - start > SHORT_SECONDS else []
        known = min(max(start, proof.since), proof.at)
        if known > start and not proof.lasting:
            known = proof.at
        changed = UnobservedInterval(start, known, UNPROVED)
        quiet = UnobservedInterval(known, proof.at, UNPROVED, unchanged=True)
        return [*_longer(changed, APART_SECONDS), *_longer(quiet, QUIET_SECONDS)]

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
        return UnobservedInterval(self._until, now, self._lost or UNPROVED)


def _longer(interval: UnobservedInterval, limit: float) -> list[UnobservedInterval]:
    return [interval] if interval.end - interval.start > limit else []


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
        self._since: dict[str, float] = {}

    def reported(self, version: str, at: float) -> Proof | None:
        """The watch told this version at this moment. Returns what this proves, if any answer was open."""
        if self._reported is not None and self._reported != ABSENT:
            self._passed.add(self._reported)
            if len(self._passed) > 1000:
                self._passed = {self._reported}
        self._reported = version
        self._found(version, at)
        proved = [(asked, found) for asked, found in self._asked if self._is_seen(found)]
        self._asked = [each for each in self._asked if not self._is_seen(each[1])]
        return self._proof(*max(proved)) if proved else None

    def answered(self, sent: float, at: float, version: str) -> Proof | None:
        """A poll that was sent at `sent` found this version, and came at `at`. Returns what that proves."""
        if version != ABSENT:
            self._found(version, at)
        if self._is_seen(version):
            return self._proof(sent, version)
        self._asked = [*self._asked[-99:], (sent, version)]
        return None

    def _found(self, version: str, at: float) -> None:
        if version == ABSENT:
            self._since[ABSENT] = at
        self._since.setdefault(version, at)
        if len(self._since) > 1000:
            self._since = {version: self._since[version]}

    def _proof(self, at: float, version: str) -> Proof:
        return Proof(at, self._since.get(version, math.inf), version != ABSENT)

    def _is_seen(self, version: str) -> bool:
        return version == self._reported or version in self._passed
