# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted of streamed answers: first tokens, the gaps between tokens, tokens of each."""

from __future__ import annotations

from typing import Any

from .counts import MAX_REVISIONS, OTHER_REVISIONS
from .histogram import Accumulator, Histogram


class StreamedCounts:
    """Microseconds by revision, as known when a token came; `tokens` counts those of each stream that ended.

    A first token's time is from when its request was due. Each token is either its stream's first or has a
    gap before it.
    """

    __slots__ = ("first_token", "gaps", "tokens")

    def __init__(self) -> None:
        self.first_token: dict[str, Accumulator] = {}
        self.gaps: dict[str, Accumulator] = {}
        self.tokens = Histogram()

    def first(self, revision: str, nanoseconds: int) -> None:
        """A stream's first token came, so long after its request was due."""
        _of(self.first_token, revision).fresh[-(-nanoseconds // 1000)] += 1

    def gap(self, revision: str, nanoseconds: int) -> None:
        """Another one came, so long after the one before it."""
        _of(self.gaps, revision).fresh[-(-nanoseconds // 1000)] += 1

    def fold(self) -> None:
        """Add what is fresh to the totals."""
        for one in (*self.first_token.values(), *self.gaps.values()):
            one.fold()

    def to_json(self) -> dict[str, Any]:
        """All of it, as it can be added up."""
        return {
            "tokens": self.tokens.to_json(),
            "first_token": {name: one.total.to_json() for name, one in self.first_token.items()},
            "token_gap": {name: one.total.to_json() for name, one in self.gaps.items()},
        }


def _of(counts: dict[str, Accumulator], revision: str) -> Accumulator:
    found = counts.get(revision)
    if found is None:
        if len(counts) >= MAX_REVISIONS:
            revision = OTHER_REVISIONS
        found = counts.setdefault(revision, Accumulator())
    return found
