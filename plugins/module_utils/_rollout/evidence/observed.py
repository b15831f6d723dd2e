# SPDX-License-Identifier: GPL-3.0-or-later
"""When nothing watched the traffic, from the timeline of an observer or, where none ran, of the waits.

The traffic may have changed at any moment of such an interval, and back again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .intervals import Intervals
from .timeline import Moment

OBSERVER = "observer"
SERVICE = "inferenceservice"


class Unobserved(NamedTuple):
    """The intervals that have an end, and from when on nothing was observed any more (None: never)."""

    intervals: Intervals
    since: float | None


NEVER = Unobserved(Intervals(), None)


def unobserved(ordered: Sequence[Moment], applied: float | None) -> Unobserved:
    """From when the canary was applied on; `ordered` is by time."""
    if applied is None:
        return NEVER
    spans = list(_observers(ordered))
    if spans:
        return _around(spans, _reported(ordered), applied)
    # What an observer says that it did not see counts, even where nothing tells that it began.
    waits = _of_waits(ordered, applied)
    return Unobserved(
        waits.intervals.union(Intervals(_reported(ordered)).clip(applied, math.inf)), waits.since
    )


def last_observed(ordered: Iterable[Moment], applied: float | None) -> float | None:
    """The last observation of the InferenceService, or when the canary was applied if none came after."""
    if applied is None:
        return None
    return max([applied, *(m.time for m in ordered if m.source == SERVICE and m.event != "connection")])


def _observers(ordered: Iterable[Moment]) -> Iterator[tuple[float, float]]:
    """From when to when each observer observed.

    One that was killed, and whose end nobody wrote, observed until the last line that it wrote.
    """
    began: float | None = None
    last = 0.0
    for moment in ordered:
        if moment.source != OBSERVER and not moment.resource_version:
            continue
        if began is not None and moment.event == "started" and moment.source == OBSERVER:
            yield began, last
            began = moment.time
        elif began is None and moment.event == "started" and moment.source == OBSERVER:
            began = moment.time
        elif began is not None and moment.event == "stopped" and moment.source == OBSERVER:
            yield began, moment.time
            began = None
        last = moment.time
    if began is not None:
        yield began, last


def _reported(ordered: Iterable[Moment]) -> Iterator[tuple[float, float]]:
    """The intervals of which an observer says itself that it saw nothing of the InferenceService.

    Not those after which it found the same version as before: the traffic did not change in them.
    """
    for moment in ordered:
        if moment.data.get("unchanged") is True:
            continue
        if (moment.source, moment.event, moment.data.get("feed")) == (OBSERVER, "unobserved", SERVICE):
            begin, end = moment.data.get("from"), moment.data.get("to")
            if isinstance(begin, (int, float)) and isinstance(end, (int, float)):
                yield float(begin), float(end)


def _around(
    spans: Sequence[tuple[float, float]], reported: Iterable[tuple[float, float]], applied: float
) -> Unobserved:
    """What lies outside all spans, from when the canary was applied on, and what was told."""
    end = max(end for _unused, end in spans)
    outside, at = [], applied
    for begin, until in sorted(spans):
        outside.append((at, begin))
        at = max(at, until)
    return Unobserved(Intervals([*outside, *reported]).clip(applied, max(applied, end)), max(applied, end))


def _of_waits(ordered: Sequence[Moment], applied: float) -> Unobserved:
    away = list(_away(ordered, applied))
    parts = [(begin, end) for begin, end in away if end is not None]
    lost = next((begin for begin, end in away if end is None), None)
    since = [time for time in (lost, _no_split_since(ordered, applied)) if time is not None]
    return Unobserved(Intervals([*_between_watches(ordered, applied), *parts]), min(since) if since else None)


def _between_watches(ordered: Iterable[Moment], applied: float) -> Iterator[tuple[float, float]]:
    """From the last observation of each watch, or from when the canary was applied, to the first of the
    next."""
    # One watch observes several things at one time, so the time before it is the last earlier one.
    before = last = applied
    for moment in ordered:
        if moment.source == SERVICE and moment.time > last:
            before, last = last, moment.time
        if moment.data.get("first") is True and before < moment.time == last:
            yield before, last


def _away(ordered: Iterable[Moment], applied: float) -> Iterator[tuple[float, float | None]]:
    """While the API server did not answer, and what a watch could not go on with: from the last observation
    to when everything was listed anew. None where the timeline ends before that."""
    gone: float | None = None
    seen = applied
    for moment in ordered:
        if moment.event != "connection":
            seen = max(seen, moment.time) if moment.source == SERVICE else seen
            if gone is not None and moment.source == SERVICE:
                # It is seen again, whether or not that was written.
                yield max(applied, gone), moment.time
                gone = None
        elif moment.data.get("lost") is True:
            gone = moment.time if gone is None else gone
        elif moment.data.get("lost") is False and gone is not None:
            yield max(applied, gone), moment.time
            gone = None
        elif moment.data.get("expired") is True and moment.source == SERVICE:
            yield seen, moment.time
    if gone is not None:
        yield max(applied, gone), None


def _no_split_since(ordered: Sequence[Moment], applied: float) -> float | None:
    """The last observation before the last wait, where that wait ended before it observed any split.

    One wait begins with the canary, the next with the Experiment, and each reports first what it finds.
    """
    begun = [
        m.time
        for m in ordered
        if (m.source, m.event) == ("playbook", "experiment_created") and m.time >= applied
    ]
    last_wait = max([applied, *begun])
    if any((m.source, m.event) == (SERVICE, "traffic") and m.time >= last_wait for m in ordered):
        return None
    return last_observed([m for m in ordered if m.time < last_wait], applied)
