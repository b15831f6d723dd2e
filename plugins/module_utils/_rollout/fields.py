# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of load.json, read with types: each names itself where it is missing or of another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_TOO_MANY = 10**15  # floats tell each whole number up to there, and a load counts none beyond
_PERCENT_OFF = 0.01  # for rounding
_ROUNDED = 0.001  # of a time
_YEAR_10000 = 253402300800  # seconds since the epoch


class LoadFormatError(ValueError):
    """load.json is not a load test's result; the message says where."""


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """An object; `where` names it in the error."""
    if not isinstance(value, Mapping):
        raise LoadFormatError(f"{where} is not an object")
    return value


def listed(obj: Mapping[str, Any], key: str) -> list[Any]:
    """The list that stands at this key."""
    value = obj.get(key)
    if not isinstance(value, list):
        raise LoadFormatError(f"LoadTest.{key} is not a list")
    return value


def finite(value: Any) -> float | None:
    """The value as a number; None where it is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def is_moment(value: Any) -> bool:
    """Whether it is a time in seconds since the epoch that a calendar has."""
    found = finite(value)
    return found is not None and 0 <= found < _YEAR_10000


def number(obj: Mapping[str, Any], key: str) -> float:
    """The finite number that stands at this key."""
    found = finite(obj.get(key))
    if found is None:
        raise LoadFormatError(f"{key} is not a number")
    return found


def amount(obj: Mapping[str, Any], key: str) -> float:
    """The number that stands at this key, of what there is no less than none of."""
    found = number(obj, key)
    if found < 0:
        raise LoadFormatError(f"{key} is below 0")
    return found


def moment(obj: Mapping[str, Any], key: str) -> float:
    """The time in seconds since the epoch that stands at this key."""
    if not is_moment(obj.get(key)):
        raise LoadFormatError(f"{key} is not a time")
    return number(obj, key)


def whole(obj: Mapping[str, Any], key: str) -> int:
    """The whole number that stands at this key; all are counts, so none is below 0."""
    value = obj.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise LoadFormatError(f"{key} is not a whole number")
    if not 0 <= value < _TOO_MANY:
        raise LoadFormatError(
            f"{key} is below 0" if value < 0 else f"{key} is beyond all that can be counted"
        )
    return value


def buckets(histogram: Mapping[str, Any], where: str) -> int:
    """How many values the buckets of a histogram of Fortio's shape hold, which are in order."""
    data, before, total = histogram.get("Data"), 0.0, 0
    percents: list[tuple[float, int]] = []
    if not isinstance(data, list):
        raise LoadFormatError(f"{where}.Data is not a list")
    if amount(histogram, "Min") > amount(histogram, "Max"):
        raise LoadFormatError(f"{where}.Min is above Max")
    for row in data:
        bucket = mapping(row, f"{where}.Data")
        start, end = amount(bucket, "Start"), amount(bucket, "End")
        if not before <= start <= end:
            raise LoadFormatError(f"{where}.Data is not in order")
        before, total = end, total + whole(bucket, "Count")
        percents.append((amount(bucket, "Percent"), total))
    if data and abs(before - amount(histogram, "Max")) > _ROUNDED * before:
        raise LoadFormatError(f"{where}.Data does not end at its Max")
    # Percentiles are read from these.
    if any(abs(percent - 100 * held / total) > _PERCENT_OFF for percent, held in percents if total):
        raise LoadFormatError(f"{where}.Data has a Percent that is not that of its counts")
    return total


def counts_of(obj: Mapping[str, Any], key: str) -> dict[str, int]:
    """Name to a whole number."""
    counts = mapping(obj.get(key), key)
    return {str(name): whole(counts, name) for name in counts}


def rows_of(own: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    """Name to an object."""
    rows = mapping(own.get(key), key)
    return {str(name): mapping(row, f"LoadTest.{key}") for name, row in rows.items()}


def pairs_of(own: Mapping[str, Any], key: str) -> dict[str, tuple[int, int]]:
    """Name to requests and failures."""
    return {name: (whole(row, "requests"), whole(row, "failed")) for name, row in rows_of(own, key).items()}
