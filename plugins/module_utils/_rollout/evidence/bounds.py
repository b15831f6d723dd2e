# SPDX-License-Identifier: GPL-3.0-or-later
"""What a number of requests proves: exact binomial tails and the upper bound on a loss rate."""

from __future__ import annotations

import math

_NEGLIGIBLE = 1e-18
_HALVINGS = 100


def _log_pmf(k: int, n: int, p: float) -> float:
    """ln P(X = k) for X ~ Bin(n, p), 0 < p < 1."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)


def tail_below(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Bin(n, p). Exact but for rounding."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    # The terms shrink away from the mean, so sum away from it and stop when they no longer count.
    if k > n * p:
        return 1.0 - tail_above(k + 1, n, p)
    term = total = 1.0
    for i in range(k, 0, -1):
        term *= i * (1 - p) / ((n - i + 1) * p)
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return min(1.0, math.exp(_log_pmf(k, n, p)) * total)


def tail_above(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Bin(n, p). Exact but for rounding."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    if k <= n * p:
        return 1.0 - tail_below(k - 1, n, p)
    term = total = 1.0
    for i in range(k, n):
        term *= (n - i) * p / ((i + 1) * (1 - p))
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return min(1.0, math.exp(_log_pmf(k, n, p)) * total)


def _doubt(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence must lie between 0 and 1, not at {confidence:g}.")
    return 1 - confidence


def loss_rate_upper_bound(lost: int, requests: int, confidence: float = 0.95) -> float:
    """The rate that the true loss rate is below with this confidence (Clopper-Pearson, one-sided).

    With none lost it is 1 - (1 - confidence)^(1 / requests), about 3 / requests at 95 %. No requests prove
    nothing: 1. It assumes that requests are lost independently; outages are not like that, so give the
    longest gap beside it.
    """
    doubt = _doubt(confidence)
    if not 0 <= lost <= requests:
        raise ValueError(f"Lost requests must be from 0 to the number of requests, not {lost} of {requests}.")
    return rate_upper_limit(lost, requests, doubt)


def rate_upper_limit(hits: int, n: int, doubt: float) -> float:
    """The rate that the true one of `hits` in `n` draws is above with a probability of at most `doubt`."""
    if hits == n:
        return 1.0
    if hits == 0:
        return float(-math.expm1(math.log(doubt) / n))
    low, high = hits / n, 1.0
    for _unused in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if tail_below(hits, n, middle) > doubt:
            low = middle
        else:
            high = middle
    return high


def requests_needed(bound: float, lost: int = 0, confidence: float = 0.95) -> int:
    """The fewest requests with which no more than `lost` lost ones prove a loss rate of at most `bound`.

    The inverse of `loss_rate_upper_bound`, and as exact: with none lost about 3 / bound at 95 %.
    """
    doubt = _doubt(confidence)
    if not 0 < bound < 1:
        raise ValueError(f"The bound must lie between 0 and 1, not at {bound:g}.")
    if lost < 0:
        raise ValueError(f"Lost requests must not be below 0, they are {lost}.")
    high = lost + 1
    while tail_below(lost, high, bound) > doubt:
        high *= 2
    low = high // 2 if high > lost + 1 else lost
    while high - low > 1:
        middle = (low + high) // 2
        if tail_below(lost, middle, bound) > doubt:
            low = middle
        else:
            high = middle
    return high
