# SPDX-License-Identifier: GPL-3.0-or-later
"""Was all of the shift seen, do timeline and objects tell the same, and by which clocks?"""

from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import watched
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import Bend, adding, answered, at, both, own
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
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run, event


def observed(
    run: Run, begin: float = 0.0, end: float | None = 91.0, gaps: tuple[tuple[float, float], ...] = ()
) -> None:
    """An observer ran, and told all of the cluster's events; `end` of None: nobody wrote its end."""
    assert run.timeline is not None
    for line in run.timeline:
        if line["source"] != "playbook":
            line["resource_version"] = "7"
    run.timeline.append(event(begin, "observer", "started"))
    for left, right in gaps:
        data = {"feed": "inferenceservice", "from": START + left, "to": START + right, "why": "lost"}
        run.timeline.append(event(right, "observer", "unobserved", **data))
    if end is not None:
        run.timeline.append(event(end, "observer", "stopped"))
    run.timeline.sort(key=lambda line: float(line["time"]))


CASES = [
    Case(
        "the API server was away",
        "watched_throughout",
        both(
            adding(event(51.0, "experiment", "connection", lost=True)),
            adding(event(54.5, "experiment", "connection", lost=False)),
            lambda run: run.timeline.sort(key=lambda line: line["time"]),  # type: ignore[union-attr]
        ),
        UNSURE,
        {"seconds": 3.5, "intervals": 1, "max_unobserved": 1.0},
        text=(
            "within the shift nothing watched the traffic for 3.50 s, more than 1.00 s; the longest from "
            "08:00:51.000 UTC to 08:00:54.500 UTC"
        ),
    ),
    Case(
        "the timeline has the Experiment fail",
        "views_agree",
        lambda run: run.event("experiment", "completed")["data"].update(failed=True, message="it broke"),
        UNSURE,
        {"timeline": "it broke"},
        text="the timeline says that the Experiment failed (it broke), and the Experiment that it succeeded",
    ),
    Case(
        "the timeline has another winner",
        "views_agree",
        lambda run: run.event("experiment", "completed")["data"].update(winner="default"),
        UNSURE,
        {"timeline": "baseline", "experiment": "canary"},
    ),
    Case(
        "the timeline has more iterations",
        "views_agree",
        lambda run: run.event("experiment", "iteration")["data"].update(iteration=13),
        UNSURE,
        {"timeline": 13, "experiment": 12},
    ),
    Case(
        "the timeline has the traffic end elsewhere",
        "views_agree",
        adding(event(89.5, "inferenceservice", "traffic", traffic={BASELINE: 100})),
        UNSURE,
        {"timeline": {BASELINE: 100}, "inferenceservice": {CANARY: 100}},
        also={"shares_as_set": UNSURE},
    ),
    Case(
        "the load's clock is ahead",
        "clocks_known",
        own(started=START + 7.5, ended=START + 97.5),
        UNSURE,
        {"low": 7.5, "high": 17.5, "max_clock_uncertainty": 0.5},
        also={"counts_agree": UNSURE},
        text=(
            "the load's clock is at least 7.50 s ahead of the timeline's: by that the load began or ended "
            "after the playbook said so"
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_goes_wrong_is_said(case: Case) -> None:
    check(case)


def test_every_rule_is_refuted_by_some_case() -> None:
    check_cover(CASES, watched.RULES)


def shifted(by: float) -> Bend:
    def bend(run: Run) -> None:
        run.own["started"] += by
        run.own["ended"] += by
        for row in run.own["timeline"]:
            row["second"] += round(by)

    return bend


@pytest.mark.parametrize("by", [-9.0, -4.0, -1.0, 1.0, 4.0, 30.0, 3600.0])
def test_a_load_whose_clock_is_off_makes_no_failure(by: float) -> None:
    run = rollouts.good()
    shifted(by)(run)
    assert verdict(run)["verdict"] == ("pass" if by < 0 else "inconclusive")


@pytest.mark.parametrize(("drift", "grade"), [(0.0, "inconclusive"), (-0.4, "pass")])
def test_a_clock_that_was_corrected_a_little_contradicts_nothing(drift: float, grade: str) -> None:
    run = rollouts.good()
    own(ended=START + 90.3, wall_clock_drift=drift)(run)
    assert claim(verdict(run), "clocks_known") == grade


def test_what_an_observer_saw_needs_no_watch_of_a_wait() -> None:
    run = rollouts.good()
    next(e for e in run.timeline or [] if e["time"] == START + 45)["data"]["first"] = True
    assert verdict(run)["verdict"] == "inconclusive"
    observed(run)
    assert verdict(run)["verdict"] == "pass"


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"gaps": ((30.0, 30.6), (50.0, 50.3))}, None),
        ({"gaps": ((30.0, 30.6), (50.0, 50.5))}, 1.1),
        ({"gaps": ((28.0, 33.0),)}, 5.0),
        ({"gaps": ((2.0, 4.9), (78.0, 88.0))}, None),
        ({"begin": 8.0}, 3.0),
        ({"begin": 5.9}, None),
        ({"end": 66.5}, 10.5),
        ({"end": 78.0}, None),
        ({"end": None}, None),
    ],
)
def test_what_an_observer_did_not_see(changes: dict[str, Any], seconds: float | None) -> None:
    """The shift is from 5 s, when the canary was applied, to 77 s."""
    run = rollouts.good()
    observed(run, **changes)
    found = verdict(run)
    assert {r["rule"] for r in found["reasons"]} <= {"watched_throughout", "shares_as_set"}
    assert found["verdict"] == ("pass" if seconds is None else "inconclusive")
    if seconds is not None:
        assert rollouts.figures(found, "watched_throughout")["seconds"] == pytest.approx(seconds)


def test_an_observer_that_was_killed_saw_nothing_after_its_last_line() -> None:
    run = rollouts.good()
    observed(run, end=None)
    run.timeline = [e for e in run.timeline or [] if e["source"] == "playbook" or e["time"] <= START + 40]
    found = verdict(run)
    assert found["verdict"] == "inconclusive"
    assert rollouts.figures(found, "watched_throughout")["seconds"] == pytest.approx(50.0)
    answered(60, 61, baseline=100)(run)
    assert verdict(run)["verdict"] == "inconclusive", "what nobody saw is held against nobody"


@pytest.mark.parametrize(
    ("ready", "version", "grade"),
    [
        ([False], "7", "inconclusive"),
        ([True, False], "7", "inconclusive"),
        ([False, True], "7", "pass"),
        # What the waits told last may have changed after them.
        ([False], "", "pass"),
    ],
)
def test_what_an_observer_saw_last_of_being_ready(ready: list[bool], version: str, grade: str) -> None:
    run = rollouts.good()
    if version:
        observed(run)
    for number, each in enumerate(ready):
        line = event(80.5 + number, "inferenceservice", "ready", ready=each)
        adding({**line, "resource_version": version})(run)
    run.timeline = sorted(run.timeline or [], key=lambda line: float(line["time"]))
    found = verdict(run)
    assert (claim(found, "views_agree"), found["verdict"]) == (grade, grade)


def test_another_observer_goes_on() -> None:
    run = rollouts.good()
    observed(run, end=40.0)
    adding(event(40.5, "observer", "started"), event(91.0, "observer", "stopped"))(run)
    run.timeline = sorted(run.timeline or [], key=lambda line: float(line["time"]))
    assert verdict(run)["verdict"] == "pass"
    assert verdict(run, Thresholds(max_unobserved=0.4))["verdict"] == "inconclusive"


def test_in_time_that_nobody_watched_the_split_may_have_been_anything() -> None:
    run = rollouts.good()
    observed(run, gaps=((48.0, 53.0),))
    answered(50, 52, baseline=100)(run)
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"watched_throughout"}


@pytest.mark.parametrize(("unchanged", "said"), [(True, "pass"), (False, "inconclusive")])
def test_a_gap_after_which_the_object_was_the_same_hides_nothing(unchanged: bool, said: str) -> None:
    run = rollouts.good()
    observed(run, gaps=((48.0, 51.0),))
    assert run.timeline is not None
    for line in run.timeline:
        if line["event"] == "unobserved" and unchanged:
            line["data"]["unchanged"] = True
    assert verdict(run)["verdict"] == said


@pytest.mark.parametrize(
    ("bend", "rules"),
    [
        (adding(event(95.0, "inferenceservice", "traffic", traffic={CANARY: 100})), []),
        (
            both(
                adding(event(80.0, "inferenceservice", "traffic", traffic={BASELINE: 100})),
                adding(event(95.0, "inferenceservice", "traffic", traffic={CANARY: 100})),
                answered(80, 90, baseline=100),
            ),
            ["load_spans_rollout"],
        ),
        (at("experiment", "completed", 2.0), ["load_spans_rollout", "clock_steady"]),
    ],
)
def test_the_shift_ends_when_the_expected_revision_gets_all_for_good(bend: Bend, rules: list[str]) -> None:
    run = rollouts.good()
    bend(run)
    found = verdict(run)
    assert sorted(r["rule"] for r in found["reasons"]) == sorted(rules)
    assert found["verdict"] == ("inconclusive" if rules else "pass")


@pytest.mark.parametrize(
    ("created", "offset", "grade"),
    [
        ("2027-01-15T07:59:59Z", None, "inconclusive"),
        ("2027-01-15T08:00:15Z", None, "pass"),
        ("2027-01-15T07:59:40Z", (-20.5, -20.3), "pass"),
        ("2027-01-15T08:00:15Z", (29.8, 30.1), "inconclusive"),
        ("2027-01-15T08:00:15Z", (-2.0, 30.0), "inconclusive"),
    ],
)
def test_an_experiment_that_is_older_than_the_run_is_no_evidence(
    created: str, offset: tuple[float, float] | None, grade: str
) -> None:
    """The load began at 08:00:00.1 by the timeline."""
    run = rollouts.good()
    assert run.experiment is not None
    run.experiment["metadata"]["creationTimestamp"] = created
    if offset is not None:
        data = {"whose": "api_server", "low": offset[0], "high": offset[1]}
        adding(event(1.0, "observer", "clock", whose="api_server", low=-500.0, high=500.0))(run)
        adding(event(90.0, "observer", "clock", **data))(run)
    found = verdict(run)
    assert found["verdict"] == grade
    assert [r["rule"] for r in found["reasons"]] == (["evidence_complete"] if grade != "pass" else [])
    if grade != "pass":
        assert " older than this run" in found["reasons"][0]["text"]


def test_a_run_that_changed_nothing_says_first_what_stopped_it_and_judges_nothing() -> None:
    run = rollouts.good()
    rollouts.lose(run, 2.5, revision=BASELINE)
    stop = {"time": START + 4.0, "source": "playbook", "event": "stopped", "data": {"task": "Look"}}
    run.timeline = [
        *(line for line in run.timeline or [] if line["time"] < START + 4.0),
        {**stop, "text": "Stopped at 'Look': no names"},
    ]
    run.experiment, run.inferenceservice = None, builders.stale()
    found = verdict(run)
    assert found["verdict"] == "inconclusive"
    assert [c["rule"] for c in found["claims"]] == ["run_not_stopped"]
    assert found["reasons"][0]["figures"] == {"task": "Look"}
    text = "the run was stopped before the canary was applied: Stopped at 'Look': no names"
    assert (found["reasons"][0]["text"], found["summary"]) == (text, text)
    run.timeline.append(event(4.5, "playbook", "canary_applied", baseline=BASELINE))
    assert [c["rule"] for c in verdict(run)["claims"]] == ["run_not_stopped"]
    run.timeline[-1]["time"] = START + 3.5
    assert verdict(run)["verdict"] == FAIL.value


def test_what_is_not_told_is_neither_wrong_nor_right() -> None:
    run = rollouts.good()
    assert run.inferenceservice is not None
    predictor = run.inferenceservice["status"]["components"]["predictor"]
    predictor.pop("traffic")
    assert [(r["rule"], r["verdict"]) for r in verdict(run)["reasons"]] == [("traffic_moved", "inconclusive")]
    predictor["traffic"] = [{"percent": 100, "latestRevision": False}]
    assert [(r["rule"], r["verdict"]) for r in verdict(run)["reasons"]] == [("traffic_moved", "inconclusive")]
    predictor["traffic"] = []
    assert verdict(run)["verdict"] == "fail"
    run = rollouts.good()
    assert run.inferenceservice is not None
    run.inferenceservice["status"]["conditions"] = []
    assert [(r["rule"], r["verdict"]) for r in verdict(run)["reasons"]] == [("ready_at_end", "inconclusive")]
    run = rollouts.good()
    assert run.experiment is not None
    run.experiment["status"]["analysis"].pop("winnerAssessment")
    assert [(r["rule"], r["verdict"]) for r in verdict(run)["reasons"]] == [
        ("expected_winner", "inconclusive")
    ]
    run = rollouts.good()
    assert run.experiment is not None
    run.experiment["spec"]["duration"].pop("maxIterations")
    assert (verdict(run)["verdict"], claim(verdict(run), "iterations_done")) == ("pass", None)
    assert verdict(run, Thresholds(expect_iterations=11))["verdict"] == "fail"


@pytest.mark.parametrize(
    ("changes", "doubtful"),
    [
        ({"assessments": {"default": [True, True], "canary": [True, False]}}, ["error-rate"]),
        ({"metrics": {"mean-latency": {"canary": "1000.5"}}}, ["mean-latency"]),
        ({"metrics": {"mean-latency": {"canary": "1000"}}}, None),
        ({"assessments": {"default": [False, False], "canary": [True, True]}}, None),
        ({"assessments": {"default": [True, True], "canary": [True]}}, ["error-rate"]),
        *(
            ({"metrics": {"error-rate": {"canary": told}, "mean-latency": {"canary": "311"}}}, ["error-rate"])
            for told in (math.nan, -math.inf, "NaN", "+Inf", "-1e999", 10**400, "low", "", True, [], None)
        ),
        ({"metrics": {"error-rate": {"default": "0.002"}}}, ["error-rate"]),
        ({"metrics": {"error-rate": {"default": "NaN", "canary": "4m"}}}, None),
    ],
)
def test_a_winner_whose_own_assessments_fail_proves_nothing(
    changes: dict[str, Any], doubtful: list[str] | None
) -> None:
    run = rollouts.good()
    run.experiment = builders.finished(**changes)
    found = verdict(run)
    assert found["verdict"] == ("pass" if doubtful is None else "inconclusive")
    if doubtful is not None:
        assert [r["rule"] for r in found["reasons"]] == ["expected_winner"]
        assert rollouts.figures(found, "expected_winner")["doubtful"] == doubtful


@pytest.mark.parametrize(
    ("gateway", "verdict_is", "rule"),
    [((0.0, 90.0), "pass", None), ((5.0, 95.0), "pass", None), ((0.4, 89.6), "inconclusive", "clocks_known")],
)
def test_names_of_a_log_are_read_by_its_clock(
    gateway: tuple[float, float], verdict_is: str, rule: str | None
) -> None:
    """The log has the load's first request at its first time, and the end of the last at its last."""
    run = rollouts.good()
    by = round(gateway[0]) if rule is None else 0
    log = rollouts.log_of(run, first=START + gateway[0], last=START + gateway[1])
    seconds = {second + by: dict(names) for second, names in log.seconds.items()}
    rollouts.unnamed(run)
    run.access_log = rollouts.replace(log, seconds=seconds)
    found = verdict(run)
    assert found["verdict"] == verdict_is, found["reasons"]
    assert [r["rule"] for r in found["reasons"]] == ([rule] if rule else [])
