# SPDX-License-Identifier: GPL-3.0-or-later
"""The result: all of Fortio's keys, exact merging, and neither credentials nor payloads."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result import fortio
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.merge import merge
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.result import build, public_options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.ledger import FailedRequest, Ledger
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.snapshot import snapshot
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.tally import Tally
from ansible_collections.iter8.kfserving.tests.support import artefacts

FORTIO_KEYS = [
    "RunType", "Labels", "StartTime", "RequestedQPS", "RequestedDuration", "ActualQPS",
    "ActualDuration", "NumThreads", "Version", "DurationHistogram", "ErrorsDurationHistogram",
    "Exactly", "Jitter", "Uniform", "NoCatchUp", "RunID", "AccessLoggerInfo", "ID", "RetCodes",
    "IPCountMap", "Insecure", "MTLS", "CACert", "Cert", "Key", "UnixDomainSocket", "URL",
    "NumConnections", "Compression", "DisableFastClient", "HTTP10", "H2", "DisableKeepAlive",
    "AllowHalfClose", "FollowRedirects", "Resolve", "HTTPReqTimeOut", "UserCredentials",
    "ContentType", "Payload", "MethodOverride", "LogErrors", "SequentialWarmup", "ConnReuseRange",
    "NoResolveEachConn", "Offset", "Resolution", "Sizes", "HeaderSizes", "Sockets", "SocketCount",
    "ConnectionStats", "AbortOn",
]  # fmt: skip


def failing_every_third(visit: Any) -> None:
    if visit.number % 3 == 2:
        visit.send(b"HTTP/1.1 500 No\r\nX-Revision: canary\r\nContent-Length: 0\r\n\r\n")
    else:
        visit.ok(headers=b"X-Revision: default\r\n")


@pytest.fixture
def results(serve: Any, load: Any) -> list[dict[str, Any]]:
    server = serve(failing_every_third)
    more = {
        "revision_header": "X-Revision",
        "headers": [("Authorization", "Bearer s3cret")],
        "payloads": [b"p4yload"],
    }
    return [
        load(server.url, calls=9, rate=rate, max_connections=1, name=f"run{rate}", **more)
        for rate in (200, 300)
    ]


def test_keys_of_fortio_come_first_and_in_its_order(results: list[dict[str, Any]]) -> None:
    assert list(results[0]) == [*FORTIO_KEYS, "LoadTest"]
    assert results[0]["RequestedQPS"] == "200"
    assert results[0]["RequestedDuration"] == "exactly 9 calls"
    assert results[0]["StartTime"].endswith("Z")
    assert results[0]["RetCodes"] == {"200": 6, "500": 3}
    assert results[0]["HTTPReqTimeOut"] == 5_000_000_000
    assert results[0]["Labels"] == "run200"  # without one, Fortio's page shows neither URL nor date
    assert set(results[0]["DurationHistogram"]) == {
        "Count", "Min", "Max", "Sum", "Avg", "StdDev", "Data", "Percentiles",
    }  # fmt: skip


def test_no_credentials_and_no_payload(results: list[dict[str, Any]]) -> None:
    for text in (json.dumps(results[0]), fortio.text(results[0])):
        assert "s3cret" not in text
        assert "p4yload" not in text


def test_merging_is_exact(results: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(results)
    merged = merge(results)
    assert results == before
    own = merged["LoadTest"]
    assert merged["RetCodes"] == {"200": 12, "500": 6}
    assert (own["requests"], own["failed"], own["ok"]) == (18, 6, 12)
    assert own["revisions"] == {
        "default": {"requests": 12, "failed": 0},
        "canary": {"requests": 6, "failed": 6},
    }
    gaps = [result["LoadTest"]["longest_success_gap"] for result in results]
    longest = max(gaps, key=lambda gap: float(gap["seconds"]))
    assert own["connection_modes"] == {
        "keep-alive": {"requests": 18, "failed": 6, "longest_success_gap": longest},
        "new": {"requests": 0, "failed": 0, "longest_success_gap": None},
    }
    assert [window["connection_mode"] for window in own["outages"]] == ["keep-alive"] * 6
    assert {name: one["Count"] for name, one in own["response_time_by_revision"].items()} == {
        "default": 12,
        "canary": 6,
    }
    assert len(own["ledger"]) == 6
    assert sum(row["sent"] for row in own["timeline"]) == 18
    for name in ("DurationHistogram", "Sizes", "HeaderSizes", "ErrorsDurationHistogram"):
        assert merged[name]["Count"] == sum(result[name]["Count"] for result in results)
        assert merged[name]["Sum"] == pytest.approx(sum(result[name]["Sum"] for result in results))
        assert merged[name]["Max"] == max(result[name]["Max"] for result in results)
    assert list(merged) == [*FORTIO_KEYS, "LoadTest"]
    assert merge([merged, results[0]])["LoadTest"]["requests"] == 27
    assert merge([results[0]])["DurationHistogram"] == results[0]["DurationHistogram"]
    for result, drift in zip(results, (0.5, -2.0)):
        result["LoadTest"]["wall_clock_drift"] = drift
    assert merge(results)["LoadTest"]["wall_clock_drift"] == -2.0


def test_merging_keeps_the_modes_of_each_load(serve: Any, load: Any) -> None:
    def cut(visit: Any) -> None:
        if b"\r\nConnection: close" in visit.head and 4 <= visit.count < 8:
            visit.reset()
        visit.ok()

    server = serve(cut)
    results = [
        load(server.url, calls=12, rate=400, pacing="closed", connection_modes=mode)
        for mode in ("new", "keep-alive")
    ]
    merged = merge(results)["LoadTest"]
    assert merged["connection_modes"] == {
        name: result["LoadTest"]["connection_modes"][name]
        for name, result in zip(("new", "keep-alive"), results)
    }
    assert [(window["connection_mode"], window["failed"]) for window in merged["outages"]] == [("new", 4)]
    assert list(artefacts.CHECKS["load.json"](json.dumps(merge(results)))) == []


@pytest.mark.parametrize(
    ("more", "ended", "told"),
    [
        ({"duration": 300 * 10**9}, 600, "5m0s"),
        ({}, 600, "until stop"),
        ({"calls": 600}, 600, "exactly 600 calls"),
        ({"calls": 600, "duration": 300 * 10**9}, 600, "exactly 600 calls"),
        ({"calls": 600, "duration": 300 * 10**9}, 20, "exactly 600 calls, interrupted after 20"),
    ],
)
def test_what_was_asked_for_is_told_as_fortio_does(more: dict[str, Any], ended: int, told: str) -> None:
    counted = {**snapshot(Tally(0, 10**18, 10, True)), "requests": ended}
    made = build(public_options(Options(url="http://h/", rate=2, **more)), "finished", counted, [], [])
    assert made["RequestedDuration"] == told


def test_text_has_the_lines_of_fortio_in_its_order(results: list[dict[str, Any]]) -> None:
    lines = fortio.text(results[0]).splitlines()
    beginnings = [
        "Ended after ", "Sleep times : count ", "Aggregated Function Time : count 9 avg ",
        "# range, mid point, percentile, count", ">= ", "# target 50% ", "# target 75% ", "# target 90% ",
        "# target 99% ", "# target 99.9% ", "Error cases : count 3 avg ",
        "# range, mid point, percentile, count", ">= ", "# target 99.9% ", "Connection time (s) : count ",
        "Sockets used: ", "Uniform: true, Jitter: false, Catchup allowed: true", "IP addresses distribution:",
        "127.0.0.1:",
        "Code 200 : 6 (66.7 %)", "Code 500 : 3 (33.3 %)", "Response Header Sizes : count 9 avg ",
        "Response Body/Total Sizes : count 9 avg ", "All done 9 calls (plus 0 warmup) ",
    ]  # fmt: skip
    at = 0
    for beginning in beginnings:
        while not lines[at].startswith(beginning):
            at += 1
            assert at < len(lines), f"no line begins with {beginning!r}"


def test_a_run_without_a_single_answer(load: Any, serve: Any) -> None:
    server = serve(lambda visit: visit.close())
    result = load(server.url, calls=2)
    assert (result["Sizes"]["Count"], result["Sizes"]["Sum"]) == (2, 0)
    assert "Code  -1 : 2 (100.0 %)" in fortio.text(result)


def test_a_result_of_a_run_that_sent_nothing() -> None:
    options = Options(url="http://h/", rate=2)
    made = build(public_options(options), "interrupted", snapshot(Tally(0, 10**18, 10, True)), [], [])
    assert made["ActualQPS"] == 0
    assert made["LoadTest"]["rate_kept"] is False
    assert fortio.text(made).startswith("Ended after 0s : 0 calls.")


def test_ledger_hands_on_what_is_fresh() -> None:
    ledger = Ledger(2)
    failures = [
        FailedRequest(k, "reset", "", 0, 0, None, 0, 1, 0, "p", None, None, None, "", "keep-alive")
        for k in range(3)
    ]  # fmt: skip
    ledger.add(failures[0])
    assert ledger.take() == failures[:1]
    ledger.add(failures[1])
    ledger.add(failures[2])
    assert ledger.take() == failures[1:2]
    assert (ledger.count, ledger.dropped) == (3, 1)


def ids_of(heads: list[bytes]) -> list[str]:
    found = (re.search(rb"X-Request-Id: (\S+)", head) for head in heads)
    return sorted(one.group(1).decode() for one in found if one)


@pytest.mark.parametrize(("warmup", "connection_modes"), [(0, "keep-alive"), (3, "both")])
def test_the_ids_that_the_result_tells_are_those_that_came(
    serve: Callable[..., Any], load: Callable[..., dict[str, Any]], warmup: int, connection_modes: str
) -> None:
    server = serve(lambda visit: visit.ok())
    own = load(server.url, calls=20, rate=500, warmup=warmup, connection_modes=connection_modes)["LoadTest"]
    (ids,) = own["request_ids"]
    assert (ids["first"], ids["last"]) == (warmup + 1, warmup + 20)
    told = [f"{ids['prefix']}{number:010d}" for number in range(ids["first"], ids["last"] + 1)]
    assert ids_of(server.heads)[warmup:] == told


def test_a_load_whose_requests_have_ids_of_the_users_tells_none(
    serve: Callable[..., Any], load: Callable[..., dict[str, Any]]
) -> None:
    server = serve(lambda visit: visit.ok())
    assert load(server.url, calls=2, headers=[("X-Request-Id", "mine")])["LoadTest"]["request_ids"] == []
