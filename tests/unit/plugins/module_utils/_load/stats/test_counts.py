# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts, the rows of seconds, the generator's health, and what a tally makes of them."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import parse_head
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.counts import (
    MAX_REVISIONS,
    OTHER_REVISIONS,
    Counts,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.health import MAX_STALLS, Health
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.ledger import FailedRequest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.modes import (
    MAX_KNOWN,
    RECEIVE,
    KnownAnswer,
    ModeTally,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.outage import Outages
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.snapshot import snapshot
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.tally import Tally
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.timeline import Timeline

MILLISECOND = 1_000_000


def head_of(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


def answer_of(length: int) -> KnownAnswer:
    raw = head_of(length)
    return KnownAnswer(raw, len(raw) + length, parse_head(raw), "", Tally(0, 0, 1, True).service.fresh)


def failed_request(kind: str, revision: str = "", status: int | None = None) -> FailedRequest:
    return FailedRequest(
        seq=1, kind=kind, detail="", intended=0, sent=0, first_byte=None, end=MILLISECOND, connection=1,
        reuse=0, peer="p", status=status, errno=None, request_id=None, revision=revision,
        connection_mode="keep-alive",
    )  # fmt: skip


def test_counts_by_code_class_and_revision() -> None:
    counts = Counts()
    counts.add("200", "a", 3)
    counts.add("-1", "a", failed_as="reset")
    counts.add("503", "b", failed_as="status")
    counts.add("-1", "", failed_as="client")
    assert (counts.requests, counts.failed, counts.client_faults) == (6, 3, 1)
    assert counts.codes == {"200": 3, "-1": 2, "503": 1}
    assert counts.classes == {"reset": 1, "status": 1, "client": 1}
    assert counts.revisions == {"a": [4, 1], "b": [1, 1], "": [1, 1]}


def test_a_new_name_in_each_answer_does_not_grow_the_counts() -> None:
    counts = Counts()
    for number in range(MAX_REVISIONS + 5):
        counts.add("200", str(number))
    counts.add("200", "7")
    assert len(counts.revisions) == MAX_REVISIONS + 1
    assert counts.revisions[OTHER_REVISIONS] == [5, 0]
    assert counts.revisions["7"] == [2, 0]


def test_a_row_holds_what_its_second_added() -> None:
    counts, timeline = Counts(), Timeline()
    counts.add("200", "a", 3)
    counts.add("-1", "a", failed_as="reset")
    assert timeline.row(100, counts, 5, {1000: 3, 9000: 1}) == {
        "second": 100, "sent": 5, "ok": 3, "failed": 1, "revisions": {"a": 4},
        "p50": 0.001, "p99": 0.009, "max": 0.009,
    }  # fmt: skip
    counts.add("200", "b", 2)
    assert timeline.row(101, counts, 6, {500: 2}) == {
        "second": 101, "sent": 1, "ok": 2, "failed": 0, "revisions": {"b": 2},
        "p50": 0.0005, "p99": 0.0005, "max": 0.0005,
    }  # fmt: skip
    assert timeline.row(102, counts, 6, {}) == {
        "second": 102, "sent": 0, "ok": 0, "failed": 0, "revisions": {}, "p50": 0, "p99": 0, "max": 0,
    }  # fmt: skip


def test_the_largest_drift_either_way_is_kept() -> None:
    health = Health(1_000)
    for anchor in (1_000, 1_300, 600, 900):
        health.note_wall(anchor)
    assert health.drift == -400


def test_stalls_beyond_a_thousand_are_counted_only() -> None:
    health = Health(0)
    for number in range(MAX_STALLS + 2):
        health.stall(number * 10**9, number * 10**9 + 250 * MILLISECOND)
    told = health.to_json(lambda at: None if at is None else at / 1e9)
    assert (told["stall_count"], len(told["stalls"])) == (MAX_STALLS + 2, MAX_STALLS)
    assert told["stalls"][1] == {"start": 1.0, "seconds": 0.25}


def test_a_long_stall_is_told_however_many_there_were_before() -> None:
    health = Health(0)
    for number in range(MAX_STALLS + 2):
        health.stall(number * 10**9, number * 10**9 + 110 * MILLISECOND)
    health.stall(5000 * 10**9, 5030 * 10**9)
    told = health.to_json(lambda at: None if at is None else at / 1e9)
    assert (told["stall_count"], len(told["stalls"])) == (MAX_STALLS + 3, MAX_STALLS)
    assert told["stalls"][-1] == {"start": 5000.0, "seconds": 30.0}


def test_a_known_answer_is_recalled_only_whole_and_alone() -> None:
    mode = ModeTally("keep-alive", Outages(0))
    assert (mode.recall(head_of(2) + b"ok"), mode.reach) == (None, RECEIVE)
    short, long = answer_of(2), answer_of(10)
    mode.learn(short)
    assert mode.reach == short.total + 1
    mode.learn(long)
    assert (mode.latest, mode.reach) == (long, long.total + 1)
    assert mode.recall(head_of(2) + b"ok") is short is mode.latest
    for other in (head_of(2) + b"o", head_of(2) + b"ok!", head_of(3) + b"ok!", b"", b"nonsense"):
        assert mode.recall(other) is None
    assert mode.latest is short


def test_answers_known_by_sight_count_as_those_that_were_read() -> None:
    tally = Tally(0, 0, 10, paced=True)
    mode = tally.connection_modes["keep-alive"]
    raw = head_of(2)
    for _time in range(2):
        tally.success(
            mode, parse_head(raw), total=40, revision="a", seq=_time, intended=0, sent=0, end=MILLISECOND
        )
        tally.learn(mode, raw, 40, parse_head(raw), "a")
    mode.latest.count += 3
    mode.latest.times[1000] += 3
    tally.service.fresh[1000] += 3
    tally.sent = 5
    assert tally.tick(7)["ok"] == 5
    made = snapshot(tally)
    assert (made["requests"], made["codes"], made["revisions"]) == (
        5, {"200": 5}, {"a": {"requests": 5, "failed": 0}},
    )  # fmt: skip
    assert made["connection_modes"]["keep-alive"]["requests"] == 5
    assert {name: made["histograms"][name]["count"] for name in ("service", "response", "sizes")} == {
        "service": 5, "response": 5, "sizes": 5,
    }  # fmt: skip


def test_what_was_known_is_counted_before_it_is_forgotten() -> None:
    tally = Tally(0, 0, 10, paced=True)
    mode = tally.connection_modes["keep-alive"]
    for length in range(MAX_KNOWN + 1):
        raw = head_of(length)
        tally.learn(mode, raw, len(raw) + length, parse_head(raw), "")
        mode.latest.count += 1
    assert tally.counts.requests == MAX_KNOWN
    tally.tick(7)
    assert tally.counts.requests == MAX_KNOWN + 1


@pytest.mark.parametrize(("kind", "status", "code"), [("status", 503, "503"), ("truncated", 200, "-1")])
def test_the_code_of_a_failure_is_its_status_if_that_was_wrong(kind: str, status: int, code: str) -> None:
    tally = Tally(0, 0, 0, paced=False)
    tally.failure(tally.connection_modes["keep-alive"], failed_request(kind, "a", status), 10, 5)
    made = snapshot(tally)
    assert (made["codes"], made["classes"], made["ledger_dropped"]) == ({code: 1}, {kind: 1}, 1)
    assert made["outages"][0]["failed"] == 1
