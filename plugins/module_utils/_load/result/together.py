# SPDX-License-Identifier: GPL-3.0-or-later
"""When several loads failed together: the outages of all, from what each of them tells of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_Span = tuple[float, float]  # without its ends
_ALWAYS = (float("-inf"), float("inf"))


def outages_of_all(own: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The times in which no load had a success, though one of them had a failure.

    `own` are the loads' `LoadTest`s. A load is in the way of an outage only while it sends. The failures of
    each come from its ledger; where that lacks some, an outage may have had more than are told.
    """
    common = [_ALWAYS]
    for part in own:
        common = list(_both(common, _without_success(part)))
    lost = sorted(_losses(own))
    found = []
    for begin, end in common:
        inside = [(sent, waited) for sent, waited in lost if begin < sent < end]
        if inside:
            found.append(
                {
                    "connection_mode": "all",
                    "last_success": None if begin == _ALWAYS[0] else begin,
                    "first_failed_send": inside[0][0],
                    "recovered": None if end == _ALWAYS[1] else end,
                    "failed": len(inside),
                    "longest_wait": max(waited for _sent, waited in inside),
                }
            )
    return found


def _losses(own: list[Mapping[str, Any]]) -> Iterator[tuple[float, float]]:
    for part in own:
        for record in part["ledger"]:
            sent = record["intended"] if record["sent"] is None else record["sent"]
            yield float(sent), float(record["waited"])


def _without_success(part: Mapping[str, Any]) -> list[_Span]:
    """When the load sent no request that succeeded, in order: before it began, its outages, after it."""
    spans: list[_Span] = [(_ALWAYS[0], float(part["started"]))]
    for row in part["outages_of_all"]:
        begin = part["started"] if row["last_success"] is None else row["last_success"]
        spans.append((float(begin), _ALWAYS[1] if row["recovered"] is None else float(row["recovered"])))
    spans.append((float(part["ended"]), _ALWAYS[1]))
    joined = spans[:1]
    for begin, end in spans[1:]:
        if begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _both(some: list[_Span], others: list[_Span]) -> Iterator[_Span]:
    for one in some:
        for other in others:
            begin, end = max(one[0], other[0]), min(one[1], other[1])
            if begin < end:
                yield begin, end
