# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases for people, the same in the verdict and in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone


def utc(time: float) -> str:
    """The time of day in UTC, to the millisecond."""
    whole = round(time * 1000)
    moment = datetime.fromtimestamp(whole // 1000, tz=timezone.utc)
    return f"{moment:%H:%M:%S}.{whole % 1000:03d} UTC"


def utc_date(time: float) -> str:
    """The day in UTC."""
    return f"{datetime.fromtimestamp(time, tz=timezone.utc):%Y-%m-%d}"


def elapsed(value: float) -> str:
    """A duration, with as many digits as tell something."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 0.1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def rate_below(rate: float) -> str:
    """An upper bound on a rate, in percent, rounded up: to one digit below 1 %, to one decimal above."""
    percent = rate * 100
    if percent >= 1:
        return f"{math.ceil(round(percent * 10, 6)) / 10:g} %"
    if percent <= 0:
        return "0 %"
    digits = -math.floor(math.log10(percent))
    return f"{math.ceil(round(percent * 10**digits, 6)) / 10**digits:.9f}".rstrip("0").rstrip(".") + " %"


def count(number: int, noun: str) -> str:
    """A number and its noun, which takes an s for the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tally(counts: Mapping[str, int]) -> str:
    """`3 of this, 1 of that`, most first."""
    return ", ".join(
        f"{n} × {name}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def in_phases(counts: Mapping[str, int], most: int = 4) -> str:
    """`6 with the canary at 15 %, 2 during promotion`, in the order given, and how many phases more."""
    shown = [f"{n} {_in_phase(name)}" for name, n in list(counts.items())[:most]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and more in {count(more, 'other phase')}" if more else "")


def _in_phase(name: str) -> str:
    if name.startswith("canary at"):
        return f"with the {name}"
    special = {"before the canary": name, "after": "after the rollout", "rollback": "during the rollback"}
    return special.get(name, f"during {name}")
