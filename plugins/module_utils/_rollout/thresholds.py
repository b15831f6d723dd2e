# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout must keep to pass. The defaults are strict: nothing lost, and enough requests to say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .fields import finite
from .roles import BASELINE, CANARY

_AT_LEAST_ZERO = (
    "max_lost",
    "max_gap",
    "min_requests",
    "min_requests_per_revision",
    "propagation_seconds",
    "max_stall_seconds",
    "max_lateness_p99",
    "max_unobserved",
    "max_clock_uncertainty",
    "expect_iterations",
)

PERCENTILES = ("latency", "max_first_token", "max_token_gap")  # by percentile, the longest time allowed


@dataclass(frozen=True)
class Thresholds:
    """Seconds are seconds, shares are from 0 to 1.

    `max_gap` is the longest allowed time between two successes; None means 2 s, or three times the interval
    between requests where that is longer. `latency` maps a percentile (0 to 100) to the longest allowed
    response time; `max_first_token` and `max_token_gap` do the same for streamed answers, with the time until
    the first token and that between two. `min_requests` of 300 is what it takes to prove, with none lost, a
    loss rate below 1 %.
    `propagation_seconds` is how long before or after the moment in the timeline a change of traffic may
    really have happened: routes take time to reach the gateway, and statuses take time to tell.
    `share_tolerance` is how far a revision's share of the requests may be from its weight even if there are
    enough requests to notice, in absolute points, and `share_tolerance_relative` the same as a part of the
    weight: both hold, so at a weight of 5 % a share from 2.5 to 7.5 % will do.
    `max_stall_seconds` is how long the load generator may stand still, `max_lateness_p99` how late 99 % of
    the requests may be sent. `max_unobserved` is for how long, in all, nothing may have watched the traffic
    within the shift, `max_clock_uncertainty` how far two clocks may be apart for all that is known.
    `expect_iterations` of None means as many as the Experiment planned.
    """

    max_lost: int = 0
    max_gap: float | None = None
    min_requests: int = 300
    min_requests_per_revision: int = 50
    latency: Mapping[float, float] = field(default_factory=dict)
    max_first_token: Mapping[float, float] = field(default_factory=dict)
    max_token_gap: Mapping[float, float] = field(default_factory=dict)
    propagation_seconds: float = 2.0
    share_tolerance: float = 0.05
    share_tolerance_relative: float = 0.5
    max_stall_seconds: float = 1.0
    max_lateness_p99: float = 0.5
    max_unobserved: float = 1.0
    max_clock_uncertainty: float = 0.5
    expect_winner: str = CANARY
    expect_iterations: int | None = None

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ZERO:
            if getattr(self, name) is not None:
                _at_least_zero(name, getattr(self, name))
        for name in ("share_tolerance", "share_tolerance_relative"):
            share = finite(getattr(self, name))
            if share is None or not 0 <= share <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)!r}.")
        if self.expect_winner not in (BASELINE, CANARY):
            raise ValueError(f"expect_winner must be {CANARY} or {BASELINE}, not {self.expect_winner!r}.")
        for name in PERCENTILES:
            limits = getattr(self, name)
            if not isinstance(limits, Mapping):
                raise ValueError(f"{name} must map percentiles to seconds, not be {limits!r}.")
            for percentile, seconds in limits.items():
                known = finite(percentile)
                if known is None or not 0 < known <= 100:
                    wrong = f"{percentile!r:.40}" if known is None else f"{known:g}"
                    raise ValueError(f"{name}: {wrong} is not a percentile above 0 and up to 100.")
                _at_least_zero(f"{name} at percentile {known:g}", seconds)

    def share_limit(self, weight: float) -> float:
        """How far a share may be from this weight (0 to 1), which is as far as the other's is from its own.

        At a weight of 0 or 1 there is nothing to be a part of, and another rule looks at each answer.
        """
        of = min(weight, 1 - weight)
        part = self.share_tolerance_relative * of
        return min(self.share_tolerance, part) if of > 0 else self.share_tolerance

    def gap_limit(self, asked_rate: float) -> float:
        """The longest allowed gap in seconds at this rate (requests a second; 0 is as fast as possible)."""
        if self.max_gap is not None:
            return self.max_gap
        return max(2.0, 3 / asked_rate) if asked_rate > 0 else 2.0

    def mode_gap_limit(self, rate: float) -> float:
        """The same between two successes on one kind of connection, at the rate of requests on that kind.

        It is never below three times the interval between these, since `max_gap` is about all requests.
        """
        return max(self.gap_limit(rate), 3 / rate) if rate > 0 else self.gap_limit(rate)

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it: percentiles become text."""
        plain = asdict(self)
        for name in PERCENTILES:
            plain[name] = {f"{percentile:g}": seconds for percentile, seconds in getattr(self, name).items()}
        return plain


def _at_least_zero(name: str, value: Any) -> None:
    """A truth is no number either: `max_lost: true` would allow one."""
    known = finite(value)
    if known is None:
        raise ValueError(f"{name} must be a finite number, not {value!r:.40}.")
    if known < 0:
        raise ValueError(f"{name} must not be below 0, it is {known:g}.")
