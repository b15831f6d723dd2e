# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of half-open intervals of time: from `begin` on, up to but without `end`, in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Interval(NamedTuple):
    """The moments from `begin` on, up to but without `end`."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin


class Intervals:
    """Intervals in order, of which no two overlap.

    Those that are given may come in any order and overlap; what overlaps becomes one, and what is empty is
    left out. Two that only touch stay two: where one ends and the next begins, something was seen.
    """

    def __init__(self, parts: Iterable[tuple[float, float]] = ()) -> None:
        whole: list[Interval] = []
        for begin, end in sorted(part for part in parts if part[0] < part[1]):
            if whole and begin < whole[-1].end:
                whole[-1] = Interval(whole[-1].begin, max(whole[-1].end, end))
            else:
                whole.append(Interval(begin, end))
        self._parts = tuple(whole)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    def __repr__(self) -> str:
        return f"Intervals({[tuple(part) for part in self._parts]})"

    def total(self) -> float:
        """The seconds of all together."""
        return sum(part.seconds for part in self._parts)

    def union(self, other: Iterable[tuple[float, float]]) -> Intervals:
        """The moments in either."""
        return Intervals([*self._parts, *other])

    def intersection(self, other: Iterable[tuple[float, float]]) -> Intervals:
        """The moments in both."""
        return Intervals(
            (max(mine.begin, begin), min(mine.end, end))
            for begin, end in Intervals(other)
            for mine in self._parts
        )

    def clip(self, begin: float, end: float) -> Intervals:
        """What lies from `begin` on, up to but without `end`."""
        return self.intersection([(begin, end)])

    def gaps(self) -> Intervals:
        """What lies between one and the next."""
        return Intervals((one.end, other.begin) for one, other in zip(self._parts, self._parts[1:]))
