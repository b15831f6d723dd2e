# SPDX-License-Identifier: GPL-3.0-or-later
"""When several loads had no success together: gaps and outages of all, from what each tells of its own.

A load is in the way of a common gap or outage only while it sends.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_ENDLESS = float("inf")
NOTED_SECONDS = 0.1
"""Gaps that are longer are all told by each of several generators (`stats.outage.NOTED`)."""


class Span(NamedTuple):
    """A time without its ends, in seconds since the epoch."""

    begin: float
    end: float


class Common:
    """The times that all of the sets of spans that were added have in common; at first all times."""

    def __init__(self) -> None:
        self.spans = [Span(-_ENDLESS, _ENDLESS)]

    def add(self, spans: Iterable[tuple[float, float]]) -> None:
        """Keep only what lies within these, which may come in any order and overlap."""
        others, mine, found = _joined(spans), self.spans, []
        i = k = 0
        while i < len(mine) and k < len(others):
            begin, end = max(mine[i].begin, others[k].begin), min(mine[i].end, others[k].end)
            if begin < end:
                found.append(Span(begin, end))
            if mine[i].end <= others[k].end:
                i += 1
            else:
                k += 1
        self.spans = found

    def longest(self, begin: float, end: float) -> Span | None:
        """The longest of them between these two times."""
        cut = (Span(max(span.begin, begin), min(span.end, end)) for span in self.spans)
        return max((span for span in cut if span.begin < span.end), key=_length, default=None)


def _length(span: Span) -> float:
    return span.end - span.begin


def _joined(spans: Iterable[tuple[float, float]]) -> list[Span]:
    """Those that overlap as one. Two that only touch stay two: between them was a success."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1].end:
            joined[-1] = Span(joined[-1].begin, max(end, joined[-1].end))
        else:
            joined.append(Span(begin, end))
    return joined


def _idle(part: Mapping[str, Any], last: float | None = None) -> list[tuple[float, float]]:
    """When a load (its `LoadTest`) did not send, nor had answers to come; `last` is its last success."""
    over = float(part["ended"]) if last is None else max(part["ended"], last)
    return [(-_ENDLESS, float(part["started"])), (over, _ENDLESS)]


class CommonOutages:
    """The times in which no load had a success, though one of them had a failure.

    The failures of each come from its ledger; where that lacks some, an outage may have had more than are
    told.
    """

    def __init__(self) -> None:
        self._common = Common()
        self._sent = array("d")
        self._waited = array("d")

    def add(self, part: Mapping[str, Any]) -> None:
        """Another load's `LoadTest`."""
        spans = _idle(part)
        for row in part["outages_of_all"]:
            begin = -_ENDLESS if row["last_success"] is None else row["last_success"]
            end = _ENDLESS if row["recovered"] is None else row["recovered"]
            spans.append((float(begin), float(end)))
        self._common.add(spans)
        for record in part["ledger"]:
            self._sent.append(record["intended"] if record["sent"] is None else record["sent"])
            self._waited.append(record["waited"])

    def rows(self) -> list[dict[str, Any]]:
        """As `outages_of_all` of a result."""
        order = sorted(range(len(self._sent)), key=self._sent.__getitem__)
        sent = array("d", (self._sent[k] for k in order))
        found = []
        for begin, end in self._common.spans:
            first, last = bisect_right(sent, begin), bisect_left(sent, end)
            if first < last:
                found.append(
                    {
                        "connection_mode": "all",
                        "last_success": None if begin == -_ENDLESS else begin,
                        "first_failed_send": sent[first],
                        "recovered": None if end == _ENDLESS else end,
                        "failed": last - first,
                        "longest_wait": max(self._waited[k] for k in order[first:last]),
                    }
                )
        return found


class CommonGap:
    """The longest time in which none of several generators of one load had a success.

    `mode` is a kind of connection, or `all`. Each must be a part of the load (`part`), which notes its gaps.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._common = Common()
        self._begin, self._end = _ENDLESS, -_ENDLESS
        self._own: list[Mapping[str, Any]] = []

    def add(self, part: Mapping[str, Any]) -> None:
        """Another generator's `LoadTest`."""
        counts = part if self._mode == "all" else part["connection_modes"][self._mode]
        if not counts["requests"]:
            return
        last = _goes_on(part, self._mode)
        spans = _idle(part, last)
        noted = [gap for row in part["timeline"] for gap in _noted(row, self._mode)]
        noted += [] if last is None else [(last, _ENDLESS)]
        if part["timeline_dropped"]:
            # What was not kept may have been one whole gap, over the seconds' borders.
            kept = {row["second"] for row in part["timeline"]}
            seconds = range(int(part["started"]), int(part["ended"]) + 1)
            noted += [(at - 0.5, at + 1.5) for at in seconds if at not in kept]
        self._common.add(spans + noted)
        self._begin = min(self._begin, part["started"])
        self._end = max(self._end, counts["longest_success_gap"]["end"], _last_end(part, self._mode, last))
        self._own.append(counts["longest_success_gap"])

    def row(self) -> dict[str, Any] | None:
        """As `longest_success_gap` of a result; None where there was no request.

        Up to 0.1 s nobody can tell it, and then it is bounded by that and by the longest of a generator's.
        """
        if not self._own:
            return None
        longest = self._common.longest(self._begin, self._end)
        if longest is not None and _length(longest) > NOTED_SECONDS:
            return _row(longest.begin, longest.end)
        bound = max(self._own, key=_seconds)
        return _row(bound["start"], min(bound["end"], bound["start"] + NOTED_SECONDS))


def _last_end(part: Mapping[str, Any], mode: str, last_success: float | None) -> float:
    """When the last of its requests ended, as far as that is known; what comes after is no gap."""
    ended = float(part["ended"])
    failures = [row["end"] for row in part["ledger"] if mode in ("all", row["connection_mode"])]
    if last_success is None or part["ledger_dropped"]:
        failures.append(ended)
    return float(max([*failures, *([] if last_success is None else [last_success])]))


def _goes_on(part: Mapping[str, Any], mode: str) -> float | None:
    """The last success, where it is told."""
    rows = part["timeline"]
    gaps = rows[-1].get("gaps", {}) if rows else {}
    for begin, end in gaps.get(mode, gaps.get("all", ())):
        if end is None:
            return float(begin)
    return None


def _seconds(gap: Mapping[str, Any]) -> float:
    return float(gap["seconds"])


def _noted(row: Mapping[str, Any], mode: str) -> list[tuple[float, float]]:
    gaps = row.get("gaps", {})
    pairs = gaps.get(mode, gaps.get("all", ()))
    return [(float(begin), float(end)) for begin, end in pairs if end is not None]


def _row(begin: float, end: float) -> dict[str, Any]:
    return {"seconds": round(end - begin, 6), "start": begin, "end": end}
