# SPDX-License-Identifier: GPL-3.0-or-later
"""timeline.jsonl, read: what was observed, or done, at which moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..fields import is_moment


class TimelineFormatError(ValueError):
    """A line of the timeline is not an event; the message says which."""


@dataclass(frozen=True)
class Moment:
    """One event with its time, in seconds since the epoch.

    `resource_version` is that of the object that an observer saw, empty for what others tell.
    """

    time: float
    source: str
    event: str
    text: str
    data: Mapping[str, Any]
    resource_version: str = ""


def read_timeline(lines: Iterable[Any]) -> tuple[Moment, ...]:
    """The events in the order of their lines.

    :raises TimelineFormatError: naming the first line that is not an event.
    """
    moments = []
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, Mapping) or not is_moment(line.get("time")) or "event" not in line:
            raise TimelineFormatError(f"line {number} is not an event with a time")
        data = line.get("data")
        moment = Moment(
            float(line["time"]),
            str(line.get("source", "")),
            str(line["event"]),
            str(line.get("text", "")),
            data if isinstance(data, Mapping) else {},
            str(line.get("resource_version") or ""),
        )
        problem = _problem(moment)
        if problem:
            raise TimelineFormatError(f"line {number} {problem}")
        moments.append(moment)
    return tuple(moments)


def _problem(moment: Moment) -> str:
    """What is wrong with an event that decides, as a clause. What it says must not read as nothing."""
    kind = moment.source, moment.event
    if kind == ("inferenceservice", "traffic") and not _is_split(moment.data.get("traffic")):
        return "tells of a split of the traffic that is none"
    if kind == ("observer", "unobserved") and not _is_interval(moment.data):
        return "tells of an unobserved interval that is none"
    return ""


def _is_split(value: Any) -> bool:
    """Whether it is percent by name. Whether these make up a whole is not asked: what is seen may be amid a
    change."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and type(percent) is int and percent >= 0 for name, percent in value.items()
    )


def _is_interval(data: Mapping[str, Any]) -> bool:
    begin, end = data.get("from"), data.get("to")
    if not is_moment(begin) or not is_moment(end) or not isinstance(data.get("feed"), str):
        return False
    return bool(begin <= end)  # type: ignore[operator]  # both are numbers
