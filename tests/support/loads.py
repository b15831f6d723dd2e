# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of loads without a socket: what becomes of each request is given, and counted as by the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import NO_BODY, Head
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options, share
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


def many(requests: int, part: int, parts: int, seconds: int, revisions: Sequence[str]) -> dict[str, Any]:
    """The result of a generator that sent its part of very many requests over so many seconds, evenly.

    They are counted a second at a time, of each 10,000 one as lost. They took from 1 ms to half a second.
    """
    own = share(requests, part, parts)
    options = Options("http://127.0.0.1/", rate=requests / seconds, connections=parts).part_of(part, parts)
    tally = Tally(0, EPOCH * SECOND, options.ledger_limit, True, note_gaps=True)
    mode = tally.connection_modes["keep-alive"]
    timeline, ledger = [], []
    for second in range(seconds):
        fresh = own * (second + 1) // seconds - own * second // seconds
        lost = own * (second + 1) // (seconds * 10_000) - own * second // (seconds * 10_000)
        now, revision = (second + 1) * SECOND - 1, revisions[second * len(revisions) // seconds]
        for number in range(lost):
            at = second * SECOND + number * 1000
            what = Request(0, 5_000_000, "reset", revision, "keep-alive")
            _count(tally, _Sent(at + what.took, 10_000_000 * second + number, at, at, what))
        for took, times in _spread(fresh - lost):
            tally.service.fresh[took] += times
            tally._response_times(revision)[took] += times
        tally._count_successes(mode, _HEAD, 200, revision, fresh - lost)
        tally.late.fresh[30] += fresh
        mode.outages.success(10_000_000 * second + lost, now - 1000, now)
        tally.sent = own * (second + 1) // seconds
        tally.settle({"new": [], "keep-alive": []})
        timeline.append(tally.tick(EPOCH + second))
        ledger.extend(failed.to_json(tally.epoch) for failed in tally.ledger.take())
    tally.ended = seconds * SECOND
    return build(public_options(options), "stopped", snapshot(tally), timeline, ledger)


def _spread(count: int) -> list[tuple[int, int]]:
    """Service times in microseconds, and how many requests had which."""
    times = [1000, 1500, 2200, 4700, 9100, 52_000, 510_000]
    each = count // len(times)
    return [*((took, each) for took in times[1:]), (times[0], count - each * (len(times) - 1))]
