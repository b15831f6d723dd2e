# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates that rest on the load's own requests: what each claims, and what would prove or disprove it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ..evidence.bounds import rate_upper_limit, tail_above, tail_below
from ..messages import elapsed, rate_below
from .quantiles import estimate, least_samples, lower_limit, upper_limit
from .window import Window

Interval = tuple[float, float]


class GateClaim(Protocol):
    """Something about the canary that is true or not, and that requests can show.

    `shows(window, doubt)` is false where the claim would be refuted or confirmed wrongly with a probability
    of more than `doubt`.
    """

    @property
    def name(self) -> str:
        """What the gate is called."""

    def applies(self, percent: int) -> bool:
        """Whether it can be asked at such a share of the canary's."""

    def samples(self, window: Window) -> int:
        """How many requests it rests on."""

    def least(self, percent: int, doubt: float) -> int:
        """How many it takes at least to be confirmed, all of them being good."""

    def share(self, percent: int) -> float:
        """Which part of all requests are samples, at such a share of the canary's."""

    def confirmed(self, window: Window, doubt: float) -> bool:
        """Whether it is shown to be true."""

    def refuted(self, window: Window, doubt: float) -> bool:
        """Whether it is shown to be false."""

    def estimate(self, window: Window, doubt: float) -> tuple[str, float | None, float | None, float | None]:
        """A clause, the value and the interval in which the truth lies."""


def _rate_interval(hits: int, n: int, doubt: float) -> Interval:
    """Clopper-Pearson (The use of confidence or fiducial limits, Biometrika 26, 1934): each limit holds with
    the probability 1 - doubt."""
    if n <= 0:
        return 0.0, 1.0
    return 1 - rate_upper_limit(n - hits, n, doubt), rate_upper_limit(hits, n, doubt)


@dataclass(frozen=True)
class Losses:
    """The canary loses at most `max_rate` of its requests.

    Failures that name nobody, as those without any answer, are held against the canary: they came while it
    was tried. `unnamed` false leaves them out, for a service that loses some at all times.
    """

    name: str
    max_rate: float
    unnamed: bool = True

    def applies(self, percent: int) -> bool:
        return percent > 0

    def _counts(self, window: Window) -> tuple[int, int]:
        stray = window.unnamed.failed if self.unnamed else 0
        return window.canary.failed + stray, window.canary.requests + stray

    def samples(self, window: Window) -> int:
        return self._counts(window)[1]

    def least(self, percent: int, doubt: float) -> int:
        return math.ceil(math.log(doubt) / math.log1p(-self.max_rate))

    def share(self, percent: int) -> float:
        return percent / 100

    def confirmed(self, window: Window, doubt: float) -> bool:
        lost, n = self._counts(window)
        return n > 0 and tail_below(lost, n, self.max_rate) <= doubt

    def refuted(self, window: Window, doubt: float) -> bool:
        lost, n = self._counts(window)
        return n > 0 and tail_above(lost, n, self.max_rate) <= doubt

    def estimate(self, window: Window, doubt: float) -> tuple[str, float | None, float | None, float | None]:
        lost, n = self._counts(window)
        low, high = _rate_interval(lost, n, doubt)
        clause = (
            f"{lost} of {n} lost, the rate is below {rate_below(high)}; allowed {rate_below(self.max_rate)}"
        )
        return clause, lost / n if n else None, low, high


@dataclass(frozen=True)
class Latency:
    """The canary's quantile of response times is at most `max_ratio` times the baseline's in the same
    seconds, and at most `max_seconds`, whichever is given.

    All samples of the step may confirm it, and the later half of them by itself: each has half of the doubt,
    so by the union bound both together are wrong with no more than all of it. All of them alone refute it:
    a host that is slow for some seconds gives the halves of one version more of that than the other's.
    """

    name: str
    quantile: float
    max_ratio: float | None = None
    max_seconds: float | None = None

    def applies(self, percent: int) -> bool:
        return percent > 0 and (self.max_seconds is not None or percent < 100)

    def _sides(self, percent: int) -> int:
        """How many limits are taken, which share the doubt."""
        return 2 if self.max_ratio is not None and percent < 100 else 1

    def samples(self, window: Window) -> int:
        if self._sides(window.percent) == 1:
            return window.canary.requests
        return min(window.canary.requests, window.baseline.requests)

    def least(self, percent: int, doubt: float) -> int:
        return least_samples(self.quantile, doubt / 2 / self._sides(percent))

    def share(self, percent: int) -> float:
        share = percent / 100
        return share if self._sides(percent) == 1 else min(share, 1 - share)

    def _limits(self, window: Window, doubt: float) -> tuple[Interval, Interval]:
        q, part = self.quantile, doubt / self._sides(window.percent)
        ours, theirs = window.canary.times, window.baseline.times
        return (
            (lower_limit(ours, q, part), upper_limit(ours, q, part)),
            (lower_limit(theirs, q, part), upper_limit(theirs, q, part)),
        )

    def _confirming(self, window: Window, doubt: float) -> Window | None:
        """All of it, or its later half: whichever shows that it is true, in this order."""
        return next(
            (each for each in (window, window.later) if each is not None and self._holds(each, doubt / 2)),
            None,
        )

    def _holds(self, window: Window, doubt: float) -> bool:
        (_low, high), (base_low, _high) = self._limits(window, doubt)
        if self.max_seconds is not None and high > self.max_seconds:
            return False
        return self._sides(window.percent) == 1 or high <= (self.max_ratio or 1) * base_low

    def confirmed(self, window: Window, doubt: float) -> bool:
        return self._confirming(window, doubt) is not None

    def refuted(self, window: Window, doubt: float) -> bool:
        (low, _high), (_low, base_high) = self._limits(window, doubt)
        if self.max_seconds is not None and low >= self.max_seconds:
            return True
        return self._sides(window.percent) == 2 and low > (self.max_ratio or 1) * base_high

    def estimate(self, window: Window, doubt: float) -> tuple[str, float | None, float | None, float | None]:
        told, part = window, doubt
        if not self.refuted(window, doubt):
            told, part = self._confirming(window, doubt) or window, doubt / 2
        (low, high), (base_low, base_high) = self._limits(told, part)
        value, base = (
            estimate(told.canary.times, self.quantile),
            estimate(told.baseline.times, self.quantile),
        )
        if value is None:
            return "the canary has not answered yet", None, None, None
        clause = f"p{self.quantile * 100:g} {elapsed(value)} ({_span(low, high)})"
        if self._sides(window.percent) == 2 and base is not None:
            clause += (
                f" against {elapsed(base)} ({_span(base_low, base_high)}); "
                f"allowed {self.max_ratio:g} times as much"
            )
        if self.max_seconds is not None:
            clause += f"; allowed {elapsed(self.max_seconds)}"
        if told is not window:
            clause += f"; of the last {self.samples(told)} samples"
        return clause, value, low, None if math.isinf(high) else high


def _span(low: float, high: float) -> str:
    return f"{elapsed(low)} to {'any' if math.isinf(high) else elapsed(high)}"


@dataclass(frozen=True)
class SplitClaim:
    """The canary answers the wanted share of what the two answer, give or take the tolerance.

    The tolerance is `tolerance` in absolute points (0 to 1) or `relative` of the wanted share, or of what is
    left to the whole where that is less; whichever is smaller. A canary that the status says has a fifth and
    that the gateway gives nothing shows here alone; but a gateway takes its time to follow, for which the
    canary is not to blame.
    """

    name: str
    tolerance: float = 0.05
    relative: float = 0.5

    def applies(self, percent: int) -> bool:
        return 0 < percent < 100

    def _bounds(self, percent: int) -> Interval:
        wanted = percent / 100
        room = min(self.tolerance, self.relative * min(wanted, 1 - wanted))
        return wanted - room, wanted + room

    def samples(self, window: Window) -> int:
        return window.named

    def likely(self, window: Window) -> bool:
        """Whether the share of the samples is within the tolerance, whatever that proves."""
        low, high = self._bounds(window.percent)
        return window.named > 0 and low <= window.canary.requests / window.named <= high

    def least(self, percent: int, doubt: float) -> int:
        """With exactly the wanted share."""
        low, high = 1, 1
        while not self._within(round(high * percent / 100), high, percent, doubt):
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            if self._within(round(middle * percent / 100), middle, percent, doubt):
                high = middle
            else:
                low = middle + 1
        return high

    def share(self, percent: int) -> float:
        return 1.0

    def _within(self, hits: int, n: int, percent: int, doubt: float) -> bool:
        low, high = self._bounds(percent)
        # Only one of the two can be the wrong one, so neither takes less than the whole doubt.
        return tail_above(hits, n, low) <= doubt and tail_below(hits, n, high) <= doubt

    def confirmed(self, window: Window, doubt: float) -> bool:
        return window.named > 0 and self._within(window.canary.requests, window.named, window.percent, doubt)

    def refuted(self, window: Window, doubt: float) -> bool:
        low, high = self._bounds(window.percent)
        hits, n = window.canary.requests, window.named
        if not n:
            return False
        return tail_below(hits, n, low) <= doubt / 2 or tail_above(hits, n, high) <= doubt / 2

    def estimate(self, window: Window, doubt: float) -> tuple[str, float | None, float | None, float | None]:
        n = window.named
        low, high = _rate_interval(window.canary.requests, n, doubt / 2)
        if not n:
            return "no answer named one of the two", None, None, None
        share = window.canary.requests / n
        clause = f"{share:.1%} of {n} answers ({low:.1%} to {high:.1%}); wanted {window.percent} %"
        return clause, share, low, high
