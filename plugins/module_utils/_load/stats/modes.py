# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted of each connection mode, and the answers that are known by sight on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..http.parser import Head
from .outage import Epoch, Outages

MAX_KNOWN = 256
RECEIVE = 65536  # bytes received at once at most


class KnownAnswer:
    """A successful response seen before, byte for byte in its head, and how often since the last tick.

    `head` is the whole head as received, `total` the bytes of the whole response. `times` counts the response
    times (µs) of its revision, of all its answers together.
    """

    __slots__ = ("count", "head", "idle_limit", "parsed", "revision", "times", "total")

    def __init__(
        self, head: bytes, total: int, parsed: Head | None, revision: str, times: defaultdict[int, int]
    ) -> None:
        self.head = head
        self.total = total
        self.parsed = parsed
        self.revision = revision
        self.times = times
        self.idle_limit = None if parsed is None else parsed.idle_limit
        self.count = 0


# Equals no response: what a mode holds before it has seen one.
NO_ANSWER = KnownAnswer(b"", -1, None, "", defaultdict(int))


class ModeTally:
    """Counts of one connection mode. `latest` is the known answer that came last.

    `outages` are the mode's own: the successes of the other mode would hide them. `reach` is how many bytes
    to receive at once: one more than the longest answer known, so that a longer one shows, and no more,
    since that much memory is taken for each.
    """

    __slots__ = ("_known", "failed", "latest", "name", "outages", "reach", "requests")

    def __init__(self, name: str, outages: Outages) -> None:
        self.name = name
        self.outages = outages
        self.requests = 0
        self.failed = 0
        self.latest = NO_ANSWER
        self.reach = RECEIVE
        self._known: dict[bytes, KnownAnswer] = {}

    @property
    def full(self) -> bool:
        """Whether the known answers must be counted and forgotten before another can be learnt."""
        return len(self._known) >= MAX_KNOWN

    def knows(self, head: bytes) -> bool:
        """Whether an answer with this head, byte for byte, is known."""
        return head in self._known

    def recall(self, data: bytes) -> KnownAnswer | None:
        """The known answer that these bytes are, whole and with nothing behind it, or None."""
        known = self._known.get(data[: data.find(b"\r\n\r\n") + 4])
        if known is None or known.total != len(data):
            return None
        self.latest = known
        return known

    def learn(self, answer: KnownAnswer) -> None:
        """From now on a response with this head and length is known by sight."""
        self.reach = min(RECEIVE, max(self.reach if self._known else 0, answer.total + 1))
        self.latest = self._known[answer.head] = answer

    def forget(self) -> None:
        """Make room. Whoever does so has counted what the known answers hold."""
        self._known.clear()

    def counted(self) -> Iterable[KnownAnswer]:
        """The known answers that came since they were last counted."""
        return [known for known in self._known.values() if known.count]

    def to_json(self, epoch: Epoch) -> dict[str, Any]:
        """Its counts, and its longest gap between successes: None where no request was sent on it."""
        gap = self.outages.gap_json(epoch) if self.requests else None
        return {"requests": self.requests, "failed": self.failed, "longest_success_gap": gap}
