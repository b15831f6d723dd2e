# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of whole numbers (microseconds or bytes) in decimal buckets, merged exactly."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


def bucket(value: int) -> int:
    """The value rounded up to three significant digits: an upper bound at most 1 % above it.

    Fortio's bounds (1, 2 … 12, 14 … 100000 times a power of ten) have at most two digits, so no bucket
    straddles one of them.
    """
    if value < 1000:
        return value
    scale = 1
    while value >= 1000 * scale:
        scale *= 10
    return -(-value // scale) * scale


class Histogram:
    """Count, sum, sum of squares, extremes, and counts by `bucket`; all whole numbers."""

    __slots__ = ("count", "counts", "max", "min", "squares", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0
        self.squares = 0
        self.min = 0
        self.max = 0
        self.counts: dict[int, int] = {}

    def add(self, value: int, times: int = 1) -> None:
        """Count a value."""
        self.add_all({value: times})

    def add_all(self, values: Mapping[int, int]) -> None:
        """Count many: value → how often."""
        if not values:
            return
        low, high = min(values), max(values)
        self.min = low if not self.count else min(self.min, low)
        self.max = max(self.max, high)
        counts = self.counts
        for value, times in values.items():
            self.count += times
            self.sum += value * times
            self.squares += value * value * times
            key = bucket(value)
            counts[key] = counts.get(key, 0) + times

    def merge(self, other: Histogram) -> None:
        """Add another's counts: the same as having counted all in one."""
        if not other.count:
            return
        self.min = other.min if not self.count else min(self.min, other.min)
        self.max = max(self.max, other.max)
        self.count += other.count
        self.sum += other.sum
        self.squares += other.squares
        for key, times in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + times

    @property
    def mean(self) -> float:
        """The exact mean, 0 when empty."""
        return self.sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The population's standard deviation."""
        if not self.count:
            return 0.0
        return math.sqrt(max(0, self.squares * self.count - self.sum * self.sum)) / self.count

    def quantile(self, share: float) -> int:
        """The bucket bound that `share` (0 to 1) of the values do not exceed; 0 when empty."""
        return quantile(self.counts, self.count, share, self.max)

    def above(self, bound: int) -> int:
        """How many values exceed a bound of at most three significant digits."""
        return sum(times for key, times in self.counts.items() if key > bound)

    def to_json(self) -> dict[str, Any]:
        """All of it; `counts` is a list of [upper bound, count]."""
        return {
            "count": self.count, "sum": self.sum, "squares": self.squares, "min": self.min, "max": self.max,
            "counts": sorted(self.counts.items()),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Histogram:
        """The reverse of `to_json`."""
        made = cls()
        made.count, made.sum, made.squares = int(data["count"]), int(data["sum"]), int(data["squares"])
        made.min, made.max = int(data["min"]), int(data["max"])
        pairs: list[tuple[int, int]] = [(int(key), int(times)) for key, times in data["counts"]]
        made.counts = dict(pairs)
        return made


def merged(parts: Iterable[Mapping[str, Any]]) -> Histogram:
    """The sum of histograms as `to_json` tells them."""
    total = Histogram()
    for part in parts:
        total.merge(Histogram.from_json(part))
    return total


class Accumulator:
    """Values counted one by one into `fresh` (value → how often), which is quick, and now and then folded."""

    __slots__ = ("fresh", "total")

    def __init__(self) -> None:
        self.fresh: defaultdict[int, int] = defaultdict(int)
        self.total = Histogram()

    def fold(self) -> None:
        """Add what is fresh to the total."""
        self.total.add_all(self.fresh)
        self.fresh.clear()


def quantile(counts: Mapping[int, int], total: int, share: float, highest: int) -> int:
    """As Histogram.quantile, over any value → count mapping."""
    wanted = math.ceil(share * total)
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return min(value, highest)
    return 0
