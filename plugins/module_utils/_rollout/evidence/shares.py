# SPDX-License-Identifier: GPL-3.0-or-later
"""Which share of the requests of each second a revision may have had, given when the weights were changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .bounds import tail_above, tail_below
from .facts import Facts
from .load import Second


@dataclass(frozen=True)
class Share:
    """One second, and the least and greatest weight (0 to 1) that a role had around it."""

    second: Second
    phase: str
    low: float
    high: float


def shares(facts: Facts, role: str, margin: float, longest: float = math.inf) -> Iterator[Share]:
    """Each second of the load with the weights that may have routed it.

    A request counts in the second in which it ended, so it was routed up to `slowest` earlier. A change of
    weight may really have happened up to `margin` seconds before or after the moment that the timeline
    gives it, or at any time since the spec asked for it, or of the unobserved interval in which it lies. In
    one that is longer than `longest` it may have been anything. All by the timeline's clock, as far as the
    others are known by it.
    """
    phases = facts.stretches
    ahead = facts.names_ahead
    for second in facts.load.seconds if facts.load else ():
        earliest = second.start - second.slowest - margin - ahead.high
        latest = second.start + 1 + margin - ahead.low
        for begin, end in facts.marks.moving:
            if begin <= latest and end >= earliest:
                earliest, latest = min(earliest, begin), max(latest, end)
        unobserved = False
        for begin, end in facts.marks.unobserved:
            if begin <= latest and end >= earliest:
                unobserved = unobserved or end - begin > longest
                earliest, latest = min(earliest, begin), max(latest, end)
        touched = [phase for phase in phases if phase.start <= latest and phase.end > earliest]
        # A second outside the load, which a sound result does not have, may have had any weight.
        around = touched or phases
        weights = [phase.weights.get(role, 0) / 100 for phase in around]
        known = not unobserved and all(phase.weights for phase in around)
        low, high = (min(weights), max(weights)) if known else (0.0, 1.0)
        yield Share(second, facts.phase_of(second.start + 0.5), low, high)


@dataclass(frozen=True)
class Split:
    """How many of `requests` a revision answered, and between which shares it should have."""

    requests: int
    answered: int
    low: float
    high: float

    @property
    def chance(self) -> float:
        """The probability of an answer count at least as far out, were the weights as set.

        The sum of draws with different probabilities strays less than a binomial with their mean (Hoeffding
        1956), so this is an upper bound, for any mix of weights between the limits.
        """
        too_many = tail_above(self.answered, self.requests, self.high)
        too_few = tail_below(self.answered, self.requests, self.low)
        return min(too_many, too_few)

    @property
    def distance(self) -> float:
        """How far the share is outside its limits."""
        if not self.requests:
            return 0.0
        share = self.answered / self.requests
        return max(0.0, share - self.high, self.low - share)

    @property
    def nearest(self) -> float:
        """The limit that the share is outside of."""
        return self.high if self.requests and self.answered / self.requests > self.high else self.low


def split(rows: Sequence[Share], revision: str, others: Sequence[str]) -> Split:
    """The rows' requests together. Only those that named one of the revisions count."""
    requests = answered = 0
    low = high = 0.0
    for row in rows:
        n = sum(row.second.revisions.get(name, 0) for name in (revision, *others))
        requests += n
        answered += row.second.revisions.get(revision, 0)
        low += n * row.low
        high += n * row.high
    if not requests:
        return Split(0, 0, 0.0, 1.0)
    return Split(requests, answered, low / requests, high / requests)
