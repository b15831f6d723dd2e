# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of a status as Knative's library makes and sums them up: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

Condition = dict[str, Any]


def condition(value: str, reason: str = "", message: str = "") -> Condition:
    """A condition without its type and time; what is empty is left out."""
    optional = {"reason": reason, "message": message}
    return {"status": value, **{key: text for key, text in optional.items() if text}}


def worst(*conditions: Condition) -> Condition:
    """False before Unknown before True; the first such condition gives reason and message."""
    for value in ("False", "Unknown"):
        for each in conditions:
            if each["status"] == value:
                return condition(value, each.get("reason", ""), each.get("message", ""))
    return condition("True")


def of_type(status: Optional[Mapping[str, Any]], kind: str) -> Condition:
    """The condition of this type in a status; Unknown where there is none."""
    for each in (status or {}).get("conditions") or ():
        if each["type"] == kind:
            return condition(each["status"], each.get("reason", ""), each.get("message", ""))
    return condition("Unknown")


def undated(each: Mapping[str, Any]) -> Condition:
    """The condition without its time."""
    return {key: value for key, value in each.items() if key != "lastTransitionTime"}


def with_times(new: Sequence[Condition], old: Sequence[Mapping[str, Any]], now: str) -> list[Condition]:
    """Date the conditions: one keeps its time while nothing in it changes.

    :param now: the time of those that have changed, RFC 3339.
    """
    times: dict[str, tuple[Condition, Optional[str]]] = {}
    for each in old:
        times[each["type"]] = (undated(each), each.get("lastTransitionTime"))
    stamped = []
    for each in new:
        bare, time = times.get(each["type"], ({}, None))
        stamped.append({"lastTransitionTime": time if bare == each and time else now, **each})
    return stamped
