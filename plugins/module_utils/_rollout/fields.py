# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of load.json, read with types: each names itself where it is missing or of another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


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


def number(obj: Mapping[str, Any], key: str) -> float:
    """The finite number that stands at this key."""
    value = obj.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LoadFormatError(f"{key} is not a number")
    return float(value)


def whole(obj: Mapping[str, Any], key: str) -> int:
    """The whole number that stands at this key."""
    value = obj.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise LoadFormatError(f"{key} is not a whole number")
    return value


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
