# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes quantities (`1000`, `10m`, `1e3`, `2Ki`), as iter8 writes limits and metric values."""

from __future__ import annotations

import math
import re
from decimal import ROUND_UP, Decimal
from typing import Any

_SHAPE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_MULTIPLIERS = {
    "": 1.0,
    "k": 1e3,
    **{letter: 10.0 ** (6 + 3 * i) for i, letter in enumerate("MGTPE")},
    **{f"{letter}i": 1024.0 ** (1 + i) for i, letter in enumerate("KMGTPE")},
}
# Divided by, since 0.001 is no binary number: `9m` is 0.009 then, to the last digit.
_DIVISORS = {"n": 1e9, "u": 1e6, "m": 1e3}
# What a quantity is written with, the largest first, in units of 10^-9: none is finer than that.
_SUFFIXES = tuple(zip(("E", "P", "T", "G", "M", "k", "", "m", "u", "n"), range(27, -1, -3)))


def parse(value: Any) -> float | None:
    """The quantity as a number; None for what is none, NaN and more than any float included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return _finite(value)
    found = _SHAPE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        return None
    number, suffix = float(found.group(1)), found.group(2) or ""
    return _finite(number / _DIVISORS[suffix] if suffix in _DIVISORS else number * _MULTIPLIERS[suffix])


def _finite(number: float) -> float | None:
    try:
        found = float(number)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def canonical(number: str) -> str:
    """A decimal number in Kubernetes' canonical form: whole, with the largest suffix. What is finer than
    10^-9 is rounded away from zero."""
    nano = int((Decimal(number) * 10**9).to_integral_value(rounding=ROUND_UP))
    if nano == 0:
        return "0"
    suffix, power = next((s, p) for s, p in _SUFFIXES if nano % 10**p == 0)
    return f"{nano // 10**power}{suffix}"
