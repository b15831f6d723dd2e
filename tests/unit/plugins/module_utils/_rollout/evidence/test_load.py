# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import (
    Stall,
    percentile_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.fields import LoadFormatError
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.result_reader import read_load
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.rollouts import START


@pytest.mark.parametrize(
    "histogram",
    [
        {},
        {"Count": 0, "Data": []},
        {"Count": 3, "Data": []},
        {"Count": "x", "Data": [1]},
        {"Count": 5, "Data": [{}]},
    ],
)
def test_no_percentile_of_nothing(histogram: dict[str, Any]) -> None:
    assert percentile_of(histogram, 50) is None


def test_a_percentile_is_that_of_the_histogram() -> None:
    assert percentile_of(rollouts.histogram(100, 0.02), 50) == pytest.approx(0.01 + 0.01 * 49 / 99)


def test_a_result_is_read_whole() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30.5)
    run.own["stalls"] = [{"start": START + 1.0, "seconds": 0.5}]
    load = read_load(run.load)
    assert (load.requests, load.ok, load.failed, load.counted) == (9000, 8999, 1, 9000)
    assert (load.started, load.ended, load.duration) == (START, START + 90, 90.0)
    assert load.codes == {"200": 8999, "500": 1}
    assert load.connection_modes["keep-alive"] == (4500, 1, (0.22, START + 30.0, START + 30.22))
    assert load.gaps == {name: mode.gap for name, mode in load.connection_modes.items()}
    assert load.rate_of("new") == 50.0
    assert load.stalls == (Stall(START + 1.0, 0.5),)
    assert load.gap == (0.21, START + 30.0, START + 30.21)
    assert load.seconds[30].requests == 100
    assert load.seconds[30].failed == 1
    assert (load.seconds[30].p50, load.seconds[30].p99, load.seconds[30].slowest) == (0.01, 0.02, 0.02)
    assert (load.ledger[0].at, load.ledger[0].label, load.ledger[0].connection_mode) == (
        START + 30.5,
        "status 500",
        "keep-alive",
    )


def test_a_kind_of_connection_that_was_not_used_has_no_gap() -> None:
    run = rollouts.good()
    run.own["connection_modes"]["new"] = {"requests": 0, "failed": 0, "longest_success_gap": None}
    load = read_load(run.load)
    assert list(load.gaps) == ["keep-alive"]
    assert load.rate_of("keep-alive") == 100.0


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({"sent": 5.0, "intended": 4.0, "end": 6.0}, 5.0),
        ({"sent": None, "intended": 4.0, "end": 6.0}, 4.0),
        ({"end": 6}, 6.0),
        ({}, 0.0),
    ],
)
def test_a_failure_is_dated_by_when_it_was_sent_or_was_to_be(times: dict[str, Any], at: float) -> None:
    run = rollouts.good()
    run.own["ledger"] = [times]
    lost = read_load(run.load).ledger[0]
    assert (lost.at, lost.label, lost.revision) == (at, "unknown", "")


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"class": "status", "status": 503}, "status 503"),
        ({"class": "status", "status": None}, "status"),
        ({"class": "truncated", "status": 200}, "truncated"),
        ({"class": "grpc_status", "status": 200, "grpc_status": 14}, "grpc_status 14"),
    ],
)
def test_a_failure_is_labelled_by_class_and_status(row: dict[str, Any], label: str) -> None:
    run = rollouts.good()
    run.own["ledger"] = [row]
    assert read_load(run.load).ledger[0].label == label


def test_a_run_that_was_killed_has_lasted_as_long_as_it_has_counted() -> None:
    run = rollouts.good()
    run.own["ended"] = None
    assert read_load(run.load).ended == START + 90.0


def test_merged_loads_have_no_percentiles_by_the_second() -> None:
    run = rollouts.good()
    run.own["timeline"][7].update(p50=None, p99=None)
    assert (read_load(run.load).seconds[7].p50, read_load(run.load).seconds[7].p99) == (None, None)


def test_only_a_true_word_says_that_the_rate_was_kept() -> None:
    run = rollouts.good()
    run.own["rate_kept"] = "yes"
    assert read_load(run.load).rate_kept is False


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("LoadTest",), None, "LoadTest is not an object"),
        (("RetCodes",), None, "RetCodes is not an object"),
        (("RetCodes",), {"200": "x"}, "200 is not a whole number"),
        (("DurationHistogram", "Count"), 1.5, "Count is not a whole number"),
        (("ActualDuration",), "x", "ActualDuration is not a number"),
        (("LoadTest", "requests"), True, "requests is not a whole number"),
        (("LoadTest", "started"), None, "started is not a time"),
        (("LoadTest", "started"), False, "started is not a time"),
        (("LoadTest", "ledger"), {}, "LoadTest.ledger is not a list"),
        (("LoadTest", "ledger"), [3], "LoadTest.ledger is not an object"),
        (("LoadTest", "timeline"), [3], "LoadTest.timeline is not an object"),
        (("LoadTest", "timeline"), [{"second": 1, "ok": 1}], "failed is not a whole number"),
        (("LoadTest", "stalls"), [{"start": 1}], "seconds is not a number"),
        (("LoadTest", "outages"), [3], "LoadTest.outages is not an object"),
        (("LoadTest", "revisions"), {"a": 3}, "LoadTest.revisions is not an object"),
        (("LoadTest", "longest_success_gap"), 3, "LoadTest.longest_success_gap is not an object"),
        (("LoadTest", "connection_modes"), {"new": 3}, "LoadTest.connection_modes is not an object"),
        (
            ("LoadTest", "connection_modes", "new", "longest_success_gap"),
            3,
            "longest_success_gap is not an object",
        ),
        (
            ("LoadTest", "connection_modes", "new", "longest_success_gap"),
            {"seconds": 1},
            "start is not a time",
        ),
        (("LoadTest", "lateness"), {}, "p50 is not a number"),
        (("LoadTest", "lateness"), {"p50": 0, "p99": float("nan")}, "p99 is not a number"),
        (("ActualDuration",), float("inf"), "ActualDuration is not a number"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named(path: tuple[str, ...], value: Any, words: str) -> None:
    load = copy.deepcopy(rollouts.good().load)
    at: Any = load
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(LoadFormatError, match=words):
        read_load(load)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(LoadFormatError, match="the result is not an object"):
        read_load([])
