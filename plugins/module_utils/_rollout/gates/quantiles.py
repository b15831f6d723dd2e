# SPDX-License-Identifier: GPL-3.0-or-later
"""A quantile with an interval from order statistics: no assumption about how the times are distributed.

The true q-quantile lies below the u-th smallest of n values unless at least u of them are below it, whose
number is binomial with n and (at most) q: P(Bin(n, q) >= u). It lies above the l-th smallest unless fewer
than l are at or below it: P(Bin(n, q) <= l - 1). See David and Nagaraja, Order Statistics, 3rd edition,
section 7.1; Conover, Practical Nonparametric Statistics, section 3.2.

The values are counted in buckets of which the upper bound is known and which are at most 1 % wide, so the
upper limit is the bucket's upper bound, and the lower one its lower bound.
"""

from __future__ import annotations

import math

from ..evidence.bounds import tail_above, tail_below
from .window import Times


def upper_rank(n: int, q: float, doubt: float) -> int:
    """The smallest u with P(Bin(n, q) >= u) <= doubt; n + 1 where there is none."""
    low, high = math.floor(n * q), n + 1
    while low < high:
        middle = (low + high) // 2
        if tail_above(middle, n, q) <= doubt:
            high = middle
        else:
            low = middle + 1
    return low


def lower_rank(n: int, q: float, doubt: float) -> int:
    """The largest l with P(Bin(n, q) <= l - 1) <= doubt; 0 where there is none."""
    low, high = 0, math.ceil(n * q)
    while low < high:
        middle = (low + high + 1) // 2
        if tail_below(middle - 1, n, q) <= doubt:
            low = middle
        else:
            high = middle - 1
    return low


def upper_limit(times: Times, q: float, doubt: float) -> float:
    """Seconds below which the true quantile lies with the probability 1 - doubt; infinity if too few."""
    n = sum(times.values())
    rank = upper_rank(n, q, doubt)
    return math.inf if rank > n else _at_rank(times, rank) / 1e6


def lower_limit(times: Times, q: float, doubt: float) -> float:
    """Seconds above which the true quantile lies with the probability 1 - doubt; 0 if too few."""
    rank = lower_rank(sum(times.values()), q, doubt)
    return 0.0 if rank == 0 else _bucket_start(_at_rank(times, rank)) / 1e6


def estimate(times: Times, q: float) -> float | None:
    """The sample's own quantile in seconds, None without a sample."""
    n = sum(times.values())
    return _at_rank(times, max(1, math.ceil(q * n))) / 1e6 if n else None


def least_samples(q: float, doubt: float) -> int:
    """How many values it takes for an upper limit: all below the quantile has the probability q^n."""
    return math.ceil(math.log(doubt) / math.log(q))


def _at_rank(times: Times, rank: int) -> int:
    seen = 0
    for bound in sorted(times):
        seen += times[bound]
        if seen >= rank:
            return bound
    raise ValueError(f"There is no {rank}th of {seen} values.")


def _bucket_start(bound: int) -> int:
    """What every value of a bucket exceeds: a bucket holds one number of three significant digits."""
    return bound - 1 if bound <= 1000 else bound - 10 ** (len(str(bound - 1)) - 3)
