# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests carried which of several payloads, and how many of these failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class PayloadCounts:
    """By the names that payloads are counted by; without several there are none, and nothing is counted.

    The engine's inner loop counts into `sent` itself; `flying`, what has not ended, is as of the last tick.
    """

    __slots__ = ("failed", "flying", "sent")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.sent = dict.fromkeys(names, 0)
        self.failed = dict.fromkeys(self.sent, 0)
        self.flying: Counter[str] = Counter()

    def carry(self, name: str) -> None:
        """A request with this payload was sent, or failed before that."""
        if name in self.sent:
            self.sent[name] += 1

    def fail(self, name: str) -> None:
        """A request with this payload failed."""
        if name in self.failed:
            self.failed[name] += 1

    def to_json(self) -> dict[str, dict[str, int]]:
        """Name to the requests that ended and those of them that failed."""
        return {
            name: {"requests": sent - self.flying[name], "failed": self.failed[name]}
            for name, sent in self.sent.items()
        }
