# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    loss_rate_upper_bound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import load
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import (
    GAP,
    STALL,
    Bend,
    both,
    damaged,
    emptied,
    experiment,
    losing,
    on_mode,
    own,
    service,
)
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import (
    FAIL,
    UNSURE,
    Case,
    check,
    check_cover,
    claim,
    verdict,
)
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run

CASES = [
    Case(
        "one request lost",
        "nothing_lost",
        losing({"after": 26.5}),
        FAIL,
        {
            "requests": 9000,
            "lost": 1,
            "max_lost": 0,
            "first": START + 26.5,
            "last": START + 26.5,
            "classes": {"status 500": 1},
            "revisions": {CANARY: 1},
            "phases": {"canary at 15 %": 1},
        },
        text=(
            "1 of 9000 requests was lost at 08:00:26.500 UTC: 1 × status 500; 1 by the canary "
            f"{CANARY}; 1 with the canary at 15 %"
        ),
    ),
    Case(
        "several requests lost",
        "nothing_lost",
        losing(
            {"after": 8.2, "revision": BASELINE, "kind": "reset"},
            {"after": 76.0, "revision": "", "kind": "timeout"},
            {"after": 76.5, "status": 503},
            {"after": 80.0},
            {"after": 2.0, "revision": BASELINE},
        ),
        FAIL,
        {
            "requests": 9000,
            "lost": 5,
            "max_lost": 0,
            "first": START + 2.0,
            "last": START + 80.0,
            "classes": {"reset": 1, "timeout": 1, "status 503": 1, "status 500": 2},
            "revisions": {BASELINE: 2, "": 1, CANARY: 2},
            "phases": {"before the canary": 1, "canary at 0 %": 1, "promotion": 2, "after": 1},
        },
    ),
    Case(
        "a long gap",
        "gap_short",
        own(longest_success_gap=GAP),
        FAIL,
        {
            "seconds": 5.0,
            "start": START + 29.5,
            "end": START + 34.5,
            "max_gap": 2.0,
            "generator_stood_still": 0,
        },
        text="no request succeeded for 5.00 s from 08:00:29.500 UTC, longer than 2.00 s",
    ),
    Case(
        "a long gap in which the generator stood still",
        "gap_short",
        own(longest_success_gap=GAP, stalls=[STALL]),
        UNSURE,
        {
            "seconds": 5.0,
            "start": START + 29.5,
            "end": START + 34.5,
            "max_gap": 2.0,
            "generator_stood_still": 4.0,
        },
        also={"generator_ran": UNSURE},
    ),
    Case(
        "a gap too long even without the stall",
        "gap_short",
        own(longest_success_gap={**GAP, "seconds": 7.0, "end": START + 36.5}, stalls=[STALL]),
        FAIL,
        {
            "seconds": 7.0,
            "start": START + 29.5,
            "end": START + 36.5,
            "max_gap": 2.0,
            "generator_stood_still": 4.0,
        },
        also={"generator_ran": UNSURE},
    ),
    Case(
        "an Experiment that was gone",
        "evidence_complete",
        experiment({}),
        UNSURE,
        {"evidence": "experiment"},
        text="there is no Experiment",
    ),
    Case(
        "a timeline without a line",
        "evidence_complete",
        emptied,
        UNSURE,
        {"evidence": "timeline"},
        also={"load_spans_rollout": UNSURE},
    ),
    Case("no Experiment", "evidence_complete", experiment(None), UNSURE, {"evidence": "experiment"}),
    Case("no InferenceService", "evidence_complete", service(None), UNSURE, {"evidence": "inferenceservice"}),
    Case(
        "a damaged timeline",
        "evidence_complete",
        damaged("timeline", "it is torn"),
        UNSURE,
        {"evidence": "timeline"},
        also={"load_spans_rollout": UNSURE},
    ),
    Case("no load", "evidence_complete", damaged("load", "it is gone"), UNSURE, {"evidence": "load"}),
    Case(
        "a log that cannot be read",
        "evidence_complete",
        lambda run: run.problems.update(access_log="the gateway's log x cannot be read: No such file"),
        UNSURE,
        {"evidence": "access_log"},
    ),
    Case(
        "an event without a time",
        "evidence_complete",
        lambda run: run.event("playbook", "canary_applied").pop("time"),
        UNSURE,
        {"evidence": "timeline"},
        also={"load_spans_rollout": UNSURE},
    ),
    Case(
        "a load result of another tool",
        "evidence_complete",
        lambda run: setattr(run, "load", {"RunType": "HTTP"}),
        UNSURE,
        {"evidence": "load"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_goes_wrong_is_said(case: Case) -> None:
    check(case)


def test_every_rule_is_refuted_by_some_case() -> None:
    check_cover(CASES, load.LOST, frozenset({"latency_kept", "first_token_kept", "token_gaps_kept"}))


def test_losses_that_are_allowed_pass_and_still_count() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30)
    rollouts.lose(run, 31)
    found = verdict(run, Thresholds(max_lost=2))
    assert found["verdict"] == "pass"
    assert found["claims"][0]["findings"][0]["text"] == "2 of 9000 requests were lost; 2 may be"
    assert found["failed"] == 2
    assert verdict(run, Thresholds(max_lost=1))["verdict"] == "fail"


def test_the_generators_own_failures_are_not_losses() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30, kind="client")
    assert claim(verdict(run), "nothing_lost") == "pass"
    rollouts.lose(run, 31)
    found = verdict(run)
    assert found["summary"].startswith(
        f"9000 requests, 1 lost by the canary {CANARY} (loss rate below 0.06 %"
    )
    assert rollouts.figures(found, "nothing_lost")["lost"] == 1
    assert rollouts.figures(found, "nothing_lost")["classes"] == {"status 500": 1}
    assert found["loss_rate_upper_bound_95"] == loss_rate_upper_bound(1, 8999)


@pytest.mark.parametrize(
    ("latency", "found"),
    [
        ({99.0: 0.05}, ["pass"]),
        ({99.0: 0.02}, ["pass"]),
        ({99.0: 0.015}, ["fail"]),
        ({50.0: 0.016, 99.9: 0.001}, ["pass", "fail"]),
    ],
)
def test_latency_objectives(latency: dict[float, float], found: list[str]) -> None:
    claims = verdict(rollouts.good(), Thresholds(latency=latency))["claims"]
    claim = next(c for c in claims if c["rule"] == "latency_kept")
    assert [f["verdict"] for f in claim["findings"]] == found


def test_latency_words() -> None:
    found = verdict(rollouts.good(), Thresholds(latency={99.0: 0.015}))
    assert found["reasons"][0]["text"] == "99 % of the requests took up to 19.9 ms, longer than 15 ms"


def test_a_latency_objective_without_data_is_inconclusive() -> None:
    run = rollouts.good()
    run.own["response_time"] = rollouts.histogram(0)
    found = verdict(run, Thresholds(latency={99.9: 1.0}))
    assert found["reasons"][0]["text"] == "there is no response time at percentile 99.9"
    assert found["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("limit", "rate", "length", "grade"),
    [
        (None, 100, 2.0, "pass"),
        (None, 100, 2.01, "fail"),
        (None, 4, 2.0, "pass"),
        (None, 1, 3.0, "pass"),
        (None, 1, 3.01, "fail"),
        (None, 0, 2.01, "fail"),
        (0.1, 100, 0.11, "fail"),
        (5.0, 100, 4.9, "pass"),
    ],
)
def test_the_gap_limit_follows_the_rate_unless_given(
    limit: float | None, rate: int, length: float, grade: str
) -> None:
    run = rollouts.good()
    run.own.update(
        asked_rate=rate, longest_success_gap={"seconds": length, "start": START, "end": START + length}
    )
    claims = verdict(run, Thresholds(max_gap=limit))["claims"]
    assert next(c["verdict"] for c in claims if c["rule"] == "gap_short") == grade


def gap_findings(run: Run, thresholds: Thresholds | None = None) -> list[tuple[str, str]]:
    """What the rule about gaps found: the verdict and the words of each finding."""
    claims = verdict(run, thresholds)["claims"]
    found = next(c["findings"] for c in claims if c["rule"] == "gap_short")
    return [(f["verdict"], f["text"]) for f in found]


NO_NEW = "no request on new connections succeeded for 5.00 s from 08:00:29.500 UTC, longer than 2.00 s"


@pytest.mark.parametrize(
    ("bend", "found"),
    [
        (own(), [("fail", NO_NEW)]),
        (
            own(stalls=[STALL]),
            [("inconclusive", f"{NO_NEW}; the generator itself stood still for 4.00 s of it")],
        ),
        (
            # All requests at once: the modes tell it.
            both(own(longest_success_gap=GAP), on_mode("keep-alive", longest_success_gap=GAP)),
            [("fail", NO_NEW.replace("new", "keep-alive")), ("fail", NO_NEW)],
        ),
    ],
)
def test_a_gap_on_one_kind_of_connection_is_not_hidden_by_the_other(
    bend: Bend, found: list[tuple[str, str]]
) -> None:
    run = rollouts.good()
    on_mode("new", longest_success_gap=GAP)(run)
    bend(run)
    assert [row for row in gap_findings(run) if row[0] != "pass"] == found
    found_now = verdict(run)
    assert rollouts.figures(found_now, "gap_short")["connection_mode"] in {"new", "keep-alive"}
    assert "longest gap between successes" in found_now["summary"]
    assert "5.00 s on new connections" in found_now["summary"]


@pytest.mark.parametrize(
    ("limit", "rate", "requests", "length", "grade"),
    [
        (None, 100, 4500, 2.0, "pass"),
        (None, 100, 4500, 2.01, "fail"),
        (None, 1, 4500, 6.0, "pass"),  # every other request, so one in two seconds
        (None, 1, 4500, 6.01, "fail"),
        (None, 1, 1500, 12.0, "pass"),  # every fourth
        (None, 1, 1500, 12.01, "fail"),
        (None, 0, 4500, 2.01, "fail"),
        (5.0, 100, 4500, 5.01, "fail"),
        (0.05, 100, 4500, 0.06, "pass"),  # three intervals, whatever all requests together must keep
        (0.05, 100, 4500, 0.061, "fail"),
    ],
)
def test_the_gap_limit_of_a_mode_follows_its_own_rate(
    limit: float | None, rate: int, requests: int, length: float, grade: str
) -> None:
    run = rollouts.good()
    short = rollouts.gap(0.01)
    run.own.update(asked_rate=rate, longest_success_gap=short)
    on_mode("keep-alive", longest_success_gap=short)(run)
    on_mode("new", requests=requests, longest_success_gap=rollouts.gap(length))(run)
    assert {row[0] for row in gap_findings(run, Thresholds(max_gap=limit))} == {"pass", grade}


def test_a_gap_of_all_requests_that_each_mode_is_allowed_is_reported_all_the_same() -> None:
    run = rollouts.good()
    run.own.update(asked_rate=1, longest_success_gap=rollouts.gap(3.5))
    for mode in ("keep-alive", "new"):
        on_mode(mode, longest_success_gap=rollouts.gap(4.5))(run)
    grades = [row[0] for row in gap_findings(run)]
    assert grades == ["pass", "pass", "fail"]
    assert gap_findings(run)[2][1].startswith("no request succeeded for 3.50 s")


def test_where_one_kind_of_connection_is_used_there_is_one_gap() -> None:
    run = rollouts.good()
    on_mode("new", requests=0, longest_success_gap=None)(run)
    assert gap_findings(run) == [("pass", "the longest gap between successes is 0.21 s")]
    assert "longest gap between successes 0.21 s;" in verdict(run)["summary"]


@pytest.mark.parametrize(
    ("stalls", "grade"),
    [
        ([(30.0, 3.0)], "inconclusive"),
        ([(30.0, 2.99)], "fail"),
        ([(28.0, 4.5)], "inconclusive"),
        ([(33.0, 9.0)], "fail"),
        ([(20.0, 5.0), (40.0, 5.0)], "fail"),
        ([(30.0, 1.5), (32.0, 1.5), (60.0, 1.0)], "inconclusive"),
    ],
)
def test_only_stalls_within_the_gap_excuse_it(stalls: list[tuple[float, float]], grade: str) -> None:
    """The gap is of 5 s from 29.5 s, 2 s are allowed."""
    run = rollouts.good()
    rows = [{"start": START + start, "seconds": seconds} for start, seconds in stalls]
    run.own.update(longest_success_gap=GAP, stalls=rows)
    assert claim(verdict(run), "gap_short") == grade


@pytest.mark.parametrize(
    ("late", "slowest", "failed", "grade"),
    [
        (3.0, 0.01, 0, "inconclusive"),
        (2.99, 0.01, 0, "fail"),
        (9.0, 2.99, 0, "inconclusive"),
        (9.0, 3.0, 0, "fail"),
        (9.0, 0.01, 1, "fail"),
    ],
)
def test_a_gap_in_which_nothing_was_asked_is_not_the_services(
    late: float, slowest: float, failed: int, grade: str
) -> None:
    """The gap is of 5 s from 29.5 s, 2 s are allowed. A stall that nobody noted shows in how late requests
    were sent; one that was on its way for as long, or failed, might have been the service's."""
    run = rollouts.good()
    run.own.update(longest_success_gap=GAP)
    run.own["lateness"]["max"] = late
    for row in run.own["timeline"]:
        if row["second"] == int(START) + 33:
            row.update(max=slowest, failed=failed)
    assert claim(verdict(run), "gap_short") == grade


def test_a_response_time_at_its_limit_keeps_it() -> None:
    run = rollouts.good()
    run.own["response_time"]["Max"] = 0.02
    assert claim(verdict(run, Thresholds(latency={100.0: 0.02})), "latency_kept") == "pass"
