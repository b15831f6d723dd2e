# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of loads without a socket: what becomes of each request is given, and counted as by the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import NO_BODY, Head
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.result import build, public_options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.ledger import FailedRequest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.snapshot import snapshot
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.tally import Tally

SECOND = 1_000_000_000
EPOCH = 1_800_000_000  # when each load starts; its clock is at 0 then
_HEAD = Head(200, {}, keep_alive=True, framing=NO_BODY, length=0, size=20)


class Request(NamedTuple):
    """Sent `late` ns after it was due, and `took` ns to its end; `failed_as` a class, empty for a success."""

    late: int
    took: int
    failed_as: str = ""
    revision: str = "baseline"
    mode: str = "new"


class _Sent(NamedTuple):
    end: int
    number: int
    due: int
    sent: int
    what: Request


def result(requests: Sequence[Request], rate: int, part: int = 0, parts: int = 1) -> dict[str, Any]:
    """What the generator of this part of the requests, one due each 1/rate s, would have told."""
    options = Options("http://127.0.0.1/", rate=rate, connections=parts, connection_modes="both")
    if parts > 1:
        options = options.part_of(part, parts)
    tally = Tally(0, EPOCH * SECOND, options.ledger_limit, True, True, note_gaps=parts > 1)
    mine = []
    for number in range(part, len(requests), parts):
        due, what = number * SECOND // rate, requests[number]
        mine.append(_Sent(due + what.late + what.took, number, due, due + what.late, what))
    timeline: list[dict[str, Any]] = []
    ledger: list[dict[str, Any]] = []

    def tick(now: int) -> None:
        tally.sent = sum(one.sent < now for one in mine)
        flying: dict[str, list[int]] = {"new": [], "keep-alive": []}
        for one in mine:
            if one.sent < now < one.end:
                flying[one.what.mode].append(one.number)
        tally.settle(flying)
        timeline.append(tally.tick(EPOCH + len(timeline)))
        ledger.extend(lost.to_json(tally.epoch) for lost in tally.ledger.take())

    for one in sorted(mine):
        while one.end >= (len(timeline) + 1) * SECOND:
            tick((len(timeline) + 1) * SECOND)
        _count(tally, one)
    tally.ended = len(requests) * SECOND // rate
    tick(max(tally.ended, max((one.end for one in mine), default=0)))
    return build(public_options(options), "stopped", snapshot(tally), timeline, ledger)


def _count(tally: Tally, one: _Sent) -> None:
    mode, what = tally.connection_modes[one.what.mode], one.what
    tally.late.fresh[what.late // 1000] += 1
    if what.failed_as:
        failed = FailedRequest(
            seq=one.number,
            kind=what.failed_as,
            detail="",
            intended=one.due,
            sent=one.sent,
            first_byte=None,
            end=one.end,
            connection=1,
            reuse=0,
            peer="",
            status=None,
            errno=None,
            request_id=None,
            revision=what.revision,
            connection_mode=what.mode,
        )
        tally.failure(mode, failed, 0, 0)
        return
    tally.success(
        mode,
        _HEAD,
        total=200,
        revision=what.revision,
        seq=one.number,
        intended=one.due,
        sent=one.sent,
        end=one.end,
    )
