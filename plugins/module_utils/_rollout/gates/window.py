# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of one step: what was answered while the split was the wanted one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..roles import BASELINE, CANARY

Times = Mapping[int, int]
# Answers of the canary's and of the baseline's that no longer count.
Skipped = tuple[int, int]
UNNAMED = "unnamed"
OTHER = "other"


@dataclass(frozen=True)
class Answers:
    """Requests that ended, and those of them that failed. `times` counts the response times of all: the
    upper bound of a bucket in microseconds → how many."""

    requests: int = 0
    failed: int = 0
    times: Times = field(default_factory=dict)

    def __add__(self, other: Answers) -> Answers:
        if not self.requests:
            return other
        times = dict(self.times)
        for bound, count in other.times.items():
            times[bound] = times.get(bound, 0) + count
        return Answers(self.requests + other.requests, self.failed + other.failed, times)

    def __sub__(self, earlier: Answers) -> Answers:
        """What came since `earlier`."""
        times = {bound: count - earlier.times.get(bound, 0) for bound, count in self.times.items()}
        return Answers(
            self.requests - earlier.requests,
            self.failed - earlier.failed,
            {bound: count for bound, count in times.items() if count > 0},
        )

    def to_json(self) -> dict[str, Any]:
        """As the state keeps it."""
        return {"requests": self.requests, "failed": self.failed, "times": sorted(self.times.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answers:
        """The reverse of `to_json`."""
        times = {int(bound): int(count) for bound, count in data["times"]}
        return cls(int(data["requests"]), int(data["failed"]), times)


@dataclass(frozen=True)
class Counted:
    """What a load had counted at `at` (seconds since the epoch), by the names in the answers; the empty name
    is that of requests whose answer named nobody, or that got none. `load` tells one load from the next: when
    it began. `running` is whether it still sends."""

    at: float
    load: float
    names: Mapping[str, Answers]
    running: bool = True

    def to_json(self) -> dict[str, Any]:
        """As the state keeps the beginning of a step."""
        return {
            "at": self.at,
            "load": self.load,
            "running": self.running,
            "names": {name: one.to_json() for name, one in self.names.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counted:
        """The reverse of `to_json`."""
        names = {str(name): Answers.from_json(row) for name, row in data["names"].items()}
        return cls(float(data["at"]), float(data["load"]), names, bool(data["running"]))


@dataclass(frozen=True)
class Window:
    """What came within `seconds`, by who answered. `percent` is the canary's wanted share meanwhile.

    Both sides were counted in the very same seconds, so whatever made everybody slow or fail is on both.
    `later` is the later part of it, for claims that let that speak for itself.
    """

    percent: int
    seconds: float = 0.0
    canary: Answers = Answers()
    baseline: Answers = Answers()
    unnamed: Answers = Answers()
    other: Answers = Answers()
    later: Window | None = None

    @property
    def named(self) -> int:
        """Requests whose answer told that it came from one of the two."""
        return self.canary.requests + self.baseline.requests

    def without(self, skipped: Skipped) -> Window:
        """What came after the first so many answers of each, as counts alone, without their times."""
        canary, baseline = skipped
        return replace(
            self,
            canary=Answers(self.canary.requests - canary),
            baseline=Answers(self.baseline.requests - baseline),
        )


def window(percent: int, since: Counted, now: Counted, role: Callable[[str], str]) -> Window | None:
    """What came between two counts of the same load; None where it is not the same one.

    `role` gives for a name in an answer who that is: baseline, canary, other, or unnamed.
    """
    if since.load != now.load:
        return None
    sums = {BASELINE: Answers(), CANARY: Answers(), UNNAMED: Answers(), OTHER: Answers()}
    for name, answers in now.names.items():
        came = answers - since.names.get(name, Answers())
        sums[role(name)] = sums[role(name)] + came
    return Window(
        percent,
        max(0.0, now.at - since.at),
        sums[CANARY],
        sums[BASELINE],
        sums[UNNAMED],
        sums[OTHER],
    )
