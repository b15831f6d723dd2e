# SPDX-License-Identifier: GPL-3.0-or-later
"""How far one clock is ahead of another, as an interval that surely holds it.

One comparison bounds the offset by what it took and by how finely the other clock was told; each further one
cuts the interval. Clocks drift and are set, so what was learnt long ago does not bound what holds now: each
stretch of time has an interval of its own, and the whole is what holds all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STRETCH_SECONDS = 60.0
"""Within this, a clock that is not set drifts by less than a comparison tells (50 ppm are 3 ms)."""


@dataclass(frozen=True)
class Offset:
    """The other clock is at least `low` and at most `high` seconds ahead of ours; negative is behind."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"An offset from {self.low:g} to {self.high:g} s is none.")

    @property
    def width(self) -> float:
        """How uncertain it is, in seconds."""
        return self.high - self.low

    def common(self, other: Offset) -> Offset | None:
        """What both allow; None where they contradict each other."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Offset(low, high) if low <= high else None

    def hull(self, other: Offset) -> Offset:
        """The smallest that holds both."""
        return Offset(min(self.low, other.low), max(self.high, other.high))


SAME = Offset(0.0, 0.0)
"""Two readers of one clock."""


def from_stamp(stamp: float, fineness: float, sent: float, received: float) -> Offset | None:
    """From a time that the other told, cut to `fineness` seconds, in an answer to what we sent at `sent`.

    None where our own clock was set back meanwhile: what took less than no time bounds nothing.

    An HTTP Date has a fineness of 1 s (RFC 9110, section 5.6.7). The other looked at its clock, which showed
    from `stamp` to `stamp + fineness`, at some moment between our sending and our receiving.
    """
    return Offset(stamp - received, stamp + fineness - sent) if received >= sent else None


class Estimate:
    """Comparisons in, an interval out. Times of our own clock, in seconds, in any order within a stretch."""

    def __init__(self) -> None:
        self._stretches: dict[int, Offset] = {}
        self._set: set[int] = set()

    def add(self, found: Offset, at: float) -> None:
        """A comparison made at `at`. One that contradicts the others of its stretch widens it for good: a
        clock was set, and which of both offsets holds for a moment is not known."""
        stretch = int(at // STRETCH_SECONDS)
        known = self._stretches.get(stretch, found)
        common = None if stretch in self._set else known.common(found)
        if common is None:
            self._set.add(stretch)
        self._stretches[stretch] = common or known.hull(found)

    @property
    def offset(self) -> Offset | None:
        """What holds all of them; None without any."""
        return hull(self._stretches.values())


def hull(offsets: Iterable[Offset]) -> Offset | None:
    """The smallest that holds all; None for none."""
    whole: Offset | None = None
    for each in offsets:
        whole = each if whole is None else whole.hull(each)
    return whole
