# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write them, and as Go prints them."""

from __future__ import annotations

import re

from .errors import LoadError

SECOND = 1_000_000_000
LONGEST = 100 * 365 * 86400 * SECOND  # further on the clock's numbers end
_UNITS = {
    "h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1000, "µs": 1000, "ns": 1,
}  # fmt: skip
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|µs|ns|m|s)")
_WHOLE = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|us|µs|ns|m|s))+")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse(text: str | int | float, what: str = "duration") -> int:
    """Nanoseconds of `5m`, `1h30m`, `2.5s`, `300ms`, or a plain number of seconds. Raises LoadError."""
    written = str(text).strip()
    if _PLAIN.fullmatch(written):
        parts = [(written, "s")]
    elif _WHOLE.fullmatch(written):
        parts = _PART.findall(written)
    else:
        raise LoadError(
            f"The {what} {written!r} cannot be read: write it as 90s, 5m or 1h30m, or as a number of seconds."
        )
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if total > LONGEST:
        raise LoadError(f"The {what} {written[:40]!r} is longer than a hundred years.")
    return round(total)


def go_text(nanoseconds: int) -> str:
    """As Go's time.Duration prints it: `5m0s`, `1.5s`, `250ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < SECOND:
        for size, unit in ((1_000_000, "ms"), (1000, "µs")):
            if nanoseconds >= size:
                return _decimal(nanoseconds, size) + unit
        return f"{nanoseconds}ns"
    minutes, rest = divmod(nanoseconds, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, SECOND) + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
