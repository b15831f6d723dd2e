# SPDX-License-Identifier: GPL-3.0-or-later
"""timeline.jsonl, read: what was observed, or done, at which moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


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
        time = line.get("time") if isinstance(line, Mapping) else None
        if isinstance(time, bool) or not isinstance(time, (int, float)):
            time = math.nan
        if not math.isfinite(time) or "event" not in line:
            raise TimelineFormatError(f"line {number} is not an event with a time")
        data = line.get("data")
        moments.append(
            Moment(
                float(time),
                str(line.get("source", "")),
                str(line["event"]),
                str(line.get("text", "")),
                data if isinstance(data, Mapping) else {},
                str(line.get("resource_version") or ""),
            )
        )
    return tuple(moments)
