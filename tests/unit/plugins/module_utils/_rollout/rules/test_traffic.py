# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence, study
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import traffic
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import (
    Bend,
    adding,
    answered,
    at,
    both,
    own,
    without,
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
from ansible_collections.iter8.kfserving.tests.support.rollouts import START

CASES = [
    Case(
        "the load began too late",
        "load_spans_rollout",
        at("playbook", "canary_applied", -1.0),
        UNSURE,
        {"seconds_before_canary": -1.0, "seconds_after_rollout": 13.0},
        also={"clock_steady": UNSURE, "answers_named": UNSURE},
        text="the load began 1.00 s after the canary was applied at 07:59:59.000 UTC",
    ),
    Case(
        "the load ended too early",
        "load_spans_rollout",
        own(ended=START + 76.0),
        UNSURE,
        {"seconds_before_canary": 5.0, "seconds_after_rollout": -1.0},
        also={"clock_steady": UNSURE, "counts_agree": UNSURE},
    ),
    Case("no mark of the canary", "load_spans_rollout", without("playbook", "canary_applied"), UNSURE, {}),
    Case("no mark of the end", "load_spans_rollout", without("experiment", "completed"), UNSURE, {}),
    Case(
        "a phase without requests",
        "requests_in_every_phase",
        lambda run: [row.update(ok=0, revisions={}) for row in run.own["timeline"][30:35]] and None,
        UNSURE,
        {"phases": ["canary at 25 %"]},
        also={"counts_agree": UNSURE},
        text="no request ended during: canary at 25 %",
    ),
    Case(
        "two loads in a row, with nothing between them",
        "requests_in_every_phase",
        lambda run: [row.update(ok=0, revisions={}) for row in run.own["timeline"][31:34]] and None,
        UNSURE,
        {"start": START + 31, "end": START + 34},
        also={"counts_agree": UNSURE},
    ),
    Case(
        "a timeline without a traffic split",
        "shares_as_set",
        without("inferenceservice", "traffic"),
        UNSURE,
        {},
        text="the timeline tells no traffic split, so who should have answered is not known",
    ),
    Case(
        "a traffic split that nobody watched",
        "shares_as_set",
        lambda run: setattr(
            run,
            "timeline",
            [e for e in run.timeline or [] if e["source"] != "inferenceservice" or e["time"] <= START + 10],
        ),
        UNSURE,
        {"since": START + 10.0},
        also={"watched_throughout": UNSURE, "views_agree": UNSURE},
    ),
    Case(
        "answers without a name",
        "answers_named",
        answered(30, 31, baseline=75, unnamed=25),
        UNSURE,
        {"unnamed": 25},
        text="25 answers did not name the revision that gave them",
    ),
    Case(
        "a stranger answers",
        "known_revisions_only",
        answered(30, 31, baseline=75, canary=24, stranger=1),
        FAIL,
        {"revisions": {"stranger": 1}},
        text="revisions that are neither baseline nor canary answered: 1 × stranger",
    ),
    Case(
        "the canary never got traffic",
        "canary_got_traffic",
        answered(0, 90, baseline=100),
        UNSURE,
        {"requests": 0},
        also={"none_at_weight_zero": FAIL, "shares_as_set": FAIL},
        text=f"the canary {CANARY} never answered a request",
    ),
    Case(
        "the canary got too little",
        "enough_per_revision",
        lambda run: setattr(run, "load", rollouts.load(rate=1)),
        UNSURE,
        {"revision": BASELINE, "requests": 45, "min_requests_per_revision": 50},
        also={"enough_requests": UNSURE},
        text=f"the baseline {BASELINE} answered only 45 requests, fewer than the 50 asked for",
    ),
    Case(
        "the baseline got next to nothing",
        "enough_per_revision",
        both(answered(1, 90, canary=100), answered(0, 1, baseline=49, canary=51)),
        UNSURE,
        {"revision": BASELINE, "requests": 49, "min_requests_per_revision": 50},
        also={"none_at_weight_zero": FAIL, "shares_as_set": FAIL},
    ),
    Case(
        "only the canary's name before the canary",
        "answers_named",
        answered(0, 90, canary=100),
        UNSURE,
        {"names": [CANARY]},
    ),
    Case(
        "nobody is named before the canary",
        "answers_named",
        lambda run: run.own.update(timeline=run.own["timeline"][5:]),
        UNSURE,
        {"names": []},
        also={"counts_agree": UNSURE, "requests_in_every_phase": UNSURE},
    ),
    Case(
        "a phase without named answers",
        "shares_as_set",
        answered(30, 35, unnamed=100),
        UNSURE,
        {"phase": "canary at 25 %"},
        also={"answers_named": UNSURE},
    ),
    Case(
        "nobody answers for the canary at 5 %",
        "shares_as_set",
        both(lambda run: setattr(run, "load", rollouts.load(400)), answered(20, 25, baseline=400)),
        FAIL,
        {
            "phase": "canary at 5 %",
            "requests": 2000,
            "canary": 0,
            "share": 0.0,
            "low": 0.026,
            "high": 0.11,
            "chance": pytest.approx(0, abs=1e-15),
        },
    ),
    Case(
        "the canary answers before it has weight",
        "none_at_weight_zero",
        answered(3, 4, baseline=99, canary=1),
        FAIL,
        {"first": START + 3, "revision": CANARY, "answered": 1, "seconds": 7},
        text=(f"the canary {CANARY} answered 1 request while its weight was 0, first at 08:00:03.000 UTC"),
    ),
    Case(
        "the baseline answers after promotion",
        "none_at_weight_zero",
        answered(80, 82, baseline=2, canary=98),
        FAIL,
        {"first": START + 80, "revision": BASELINE, "answered": 4, "seconds": 10},
    ),
    Case(
        "the canary answers too much at one weight",
        "shares_as_set",
        answered(10, 20, baseline=70, canary=30),
        FAIL,
        {
            "phase": "canary at 1 %",
            "requests": 1000,
            "canary": 300,
            "share": 0.3,
            "low": 0.007,
            "high": 0.022,
            "chance": pytest.approx(0, abs=1e-200),
        },
    ),
    Case(
        "the canary answers too little throughout",
        "shares_as_set",
        answered(25, 77, baseline=85, canary=15),
        FAIL,
        {
            "phase": "the whole load",
            "requests": 9000,
            "canary": 2115,
            "share": 0.235,
            "low": pytest.approx(4175 / 9000),
            "high": pytest.approx(4775 / 9000),
            "chance": pytest.approx(0, abs=1e-200),
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_goes_wrong_is_said(case: Case) -> None:
    check(case)


def test_every_rule_is_refuted_by_some_case() -> None:
    check_cover(CASES, traffic.RULES)


@pytest.mark.parametrize(("length", "gap", "found"), [(2, 0.2, False), (3, 0.2, True), (3, 3.0, False)])
def test_a_hole_in_the_load_is_one_that_no_gap_explains(length: int, gap: float, found: bool) -> None:
    run = rollouts.good()
    run.own["longest_success_gap"] = {"seconds": gap, "start": START + 81.0, "end": START + 81.0 + gap}
    for row in run.own["timeline"][81 : 81 + length]:
        row.update(ok=0, revisions={})
    assert (claim(verdict(run), "requests_in_every_phase") == "inconclusive") is found


def test_small_numbers_may_stray_from_the_weights() -> None:
    """Six of ten where one is expected is too few requests to call it wrong."""
    run = rollouts.good(rate=5)
    answered(60, 62, baseline=3, canary=2)(run)
    assert verdict(run)["verdict"] == "pass"


def test_a_slow_request_counts_for_the_weight_that_routed_it() -> None:
    """It ended in a second in which its revision had no weight any more."""
    run = rollouts.good()
    answered(80, 81, baseline=1, canary=99)(run)
    assert verdict(run)["verdict"] == "fail"
    rollouts.slow(run, 80, 1.5)
    assert verdict(run)["verdict"] == "pass"


WHO = {
    "known_revisions_only",
    "canary_got_traffic",
    "enough_per_revision",
    "none_at_weight_zero",
    "shares_as_set",
}


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (
            answered(0, 90, podA=60, podB=40),
            f"before the canary, answers named podA, podB, never the baseline {BASELINE}: "
            "they do not tell revisions",
        ),
        (answered(0, 90, unnamed=100), "9000 answers did not name the revision that gave them"),
    ],
)
def test_names_that_do_not_tell_revisions_are_not_relied_on(bend: Bend, words: str) -> None:
    run = rollouts.good()
    bend(run)
    run.own["revisions"] = {name: row for name, row in run.own["revisions"].items() if row["requests"]}
    found = verdict(run)
    assert [(r["verdict"], r["text"]) for r in found["reasons"]] == [("inconclusive", words)]
    assert not WHO & {c["rule"] for c in found["claims"]}


def test_a_baseline_that_answered_before_the_canary_proves_the_names() -> None:
    run = rollouts.good()
    answered(1, 2, baseline=1, stranger=99)(run)
    assert verdict(run)["reasons"][0]["rule"] == "known_revisions_only"


@pytest.mark.parametrize(
    ("bend", "grade"),
    [
        (own(started=START + 5.0), "inconclusive"),
        (both(own(started=START + 4.5), at("playbook", "load_started", 4.6)), "pass"),
        (own(ended=START + 77.0), "inconclusive"),
        (own(ended=START + 77.5), "pass"),
    ],
)
def test_the_load_must_reach_beyond_both_ends(bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert claim(verdict(run), "load_spans_rollout") == grade


@pytest.mark.parametrize(("length", "grade"), [(1.9, "pass"), (2.0, "inconclusive"), (2.5, "inconclusive")])
def test_a_phase_too_short_to_hold_a_whole_second_may_be_empty(length: float, grade: str) -> None:
    run = rollouts.good()
    run.drop_events("inferenceservice", "traffic")
    adding(
        rollouts.event(50.0, "inferenceservice", "traffic", traffic={CANARY: 40, BASELINE: 60}),
        rollouts.event(50.0 + length, "inferenceservice", "traffic", traffic={CANARY: 60, BASELINE: 40}),
    )(run)
    for row in run.own["timeline"][50:53]:
        row.update(ok=0, revisions={})
    assert claim(verdict(run, Thresholds(max_gap=3.0)), "requests_in_every_phase") == grade


def test_failures_without_a_name_are_not_answers_without_one() -> None:
    run = rollouts.good()
    answered(30, 31, baseline=70, unnamed=30)(run)
    rollouts.lose(run, 30.5, revision="", kind="reset")
    found = verdict(run)
    assert rollouts.figures(found, "answers_named") == {"unnamed": 29}
    text = next(r["text"] for r in found["reasons"] if r["rule"] == "answers_named")
    assert text == "29 answers did not name the revision that gave them"


def test_one_lost_request_without_a_name_is_no_unnamed_answer() -> None:
    run = rollouts.good()
    run.own["revisions"][""] = {"requests": 1, "failed": 1}
    assert claim(verdict(run), "answers_named") == "pass"


def test_who_answered_is_not_judged_before_both_revisions_are_known() -> None:
    run = rollouts.good()
    run.experiment = None
    run.drop_events("inferenceservice", "revision_created")
    answered(40, 41, stranger=100)(run)
    found = verdict(run)
    for rule in ("known_revisions_only", "canary_got_traffic", "none_at_weight_zero", "shares_as_set"):
        assert claim(found, rule) is None, rule


def test_a_pod_that_nobody_saw_is_no_stranger() -> None:
    """By a header some answers name the revision, and by their body others their pod."""
    run = rollouts.good()
    pods = {f"{BASELINE}-deployment-6f-abcde": 60, f"{CANARY}-deployment-7d-vwxyz": 40}
    answered(30, 50, baseline=0, **pods)(run)
    found = verdict(run)
    assert found["verdict"] == "inconclusive"
    assert rollouts.figures(found, "known_revisions_only") == {
        "names": {name: 20 * n for name, n in pods.items()}
    }
    run.observations = [
        {"time": START, "type": "present", "feed": "pod", "object": a_pod(name, revision)}
        for name, revision in zip(pods, (BASELINE, CANARY))
    ]
    assert claim(verdict(run), "known_revisions_only") == "pass"


def test_a_revision_whose_name_begins_as_the_others_is_no_pod_of_it() -> None:
    """Then what it answered while its weight was 0 would not be held against it."""
    evidence = asdict(rollouts.good().evidence())
    renamed = json.loads(json.dumps(evidence).replace(CANARY, f"{BASELINE}-2"))
    facts = study(Evidence(**renamed))
    assert facts.canary == f"{BASELINE}-2"
    assert [finding.grade.value for finding in traffic.shares_as_set(facts, Thresholds())] == ["pass"]


def a_pod(name: str, revision: str) -> dict[str, Any]:
    labels = {"serving.knative.dev/revision": revision}
    return {"kind": "Pod", "metadata": {"name": name, "labels": labels}}


def test_figures_are_those_of_the_text() -> None:
    run = rollouts.good()
    answered(3, 5, baseline=98, canary=2)(run)
    found = verdict(run)
    stray = rollouts.figures(found, "none_at_weight_zero")
    assert (stray["revision"], stray["answered"], stray["first"]) == (CANARY, 4, START + 3)
    never = rollouts.good()
    answered(0, 90, baseline=100)(never)
    assert rollouts.figures(verdict(never), "canary_got_traffic") == {"requests": 0}
    good = {c["rule"]: c["findings"][0]["figures"] for c in verdict(rollouts.good())["claims"]}
    assert good["answers_named"] == {"unnamed": 0}
    assert good["canary_got_traffic"] == {"requests": 4475}
    assert good["load_spans_rollout"] == {"seconds_before_canary": 5.0, "seconds_after_rollout": 13.0}
    assert good["shares_as_set"]["canary"] == 4475
    assert good["shares_as_set"]["low"] < 4475 / 9000 < good["shares_as_set"]["high"]


def test_the_weights_are_reported_as_they_were() -> None:
    run = rollouts.good()
    answered(12, 17, baseline=50, canary=50)(run)
    texts = [r["text"] for r in verdict(run)["reasons"]]
    share = "during canary at 1 % the canary answered 25.5% of 1000 requests"
    assert texts == [f"{share}, where its weight was between 0.7% and 2.2%"]
    run = rollouts.good()
    run.own["timeline"] = [run.own["timeline"][0], *run.own["timeline"][13:17]]
    answered(1, 5, baseline=50, canary=50)(run)
    texts = [r["text"] for r in verdict(run)["reasons"] if r["rule"] == "shares_as_set"]
    assert texts[-1].endswith("the canary answered 50.0% of 400 requests, where its weight was 1.0%")


def test_a_share_must_be_far_out_and_beyond_chance() -> None:
    """12 of 40 where 5 % is set has a chance of 3e-7, and 11 of 40 one of 2e-6; there are 15 splits to look
    at."""
    for requests, rules in ((12, []), (16, ["shares_as_set"])):
        run = rollouts.good()
        answered(22, 23, baseline=40 - requests, canary=requests)(run)
        for row in (20, 21, 23, 24):
            answered(row, row + 1)(run)
        thresholds = Thresholds(propagation_seconds=0.0)
        found = verdict(run, thresholds)
        said = [r["figures"].get("phase") for r in found["reasons"] if r["rule"] == "shares_as_set"]
        assert said == ["canary at 5 %" for _unused in rules]


@pytest.mark.parametrize(
    ("baseline_seconds", "unproven"),
    [((0, 1), False), ((4, 5), False), ((5, 6), True), ((20, 30), True)],
)
def test_only_whole_seconds_before_the_canary_prove_the_names(
    baseline_seconds: tuple[int, int], unproven: bool
) -> None:
    """The canary is applied at 5 s."""
    run = rollouts.good()
    answered(0, 90, podA=100)(run)
    answered(*baseline_seconds, baseline=100)(run)
    found = verdict(run)
    assert (claim(found, "answers_named") == "inconclusive") is unproven
    assert (claim(found, "known_revisions_only") is None) is unproven


@pytest.mark.parametrize(
    ("asks", "at", "grade"),
    [
        (1, 5.5, "pass"),
        # Within the time that a gateway may be ahead or behind in any case.
        (1, 8.9, "pass"),
        (1, 9.1, "fail"),
        # Created without traffic, as it was before.
        (0, 5.5, "fail"),
        (None, 5.5, "fail"),
    ],
)
def test_a_gateway_may_follow_the_spec_long_before_the_status_does(
    asks: int | None, at: float, grade: str
) -> None:
    """The status tells the canary's first percent at 10 s; it answers from 6 s on."""
    run = rollouts.observed(rollouts.good())
    answered(6, 7, baseline=99, canary=1)(run)
    asked = {} if asks is None else {"asks": asks}
    assert run.timeline is not None
    run.timeline.append(rollouts.event(at, "inferenceservice", "changed", generation=3, **asked))
    run.timeline.sort(key=lambda each: each["time"])
    assert claim(verdict(run), "none_at_weight_zero") == grade


def test_what_the_spec_asked_for_in_vain_excuses_nothing() -> None:
    """No other split was told after it: the rejected canary stays without traffic."""
    run = rollouts.observed(rollouts.rolled_back())
    run.timeline = [
        *(run.timeline or []), rollouts.event(85, "inferenceservice", "changed", generation=9, asks=50)
    ]  # fmt: skip
    answered(87, 88, baseline=99, canary=1)(run)
    assert claim(verdict(run), "none_at_weight_zero") == "fail"
