# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    loss_rate_upper_bound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import gateway
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules.rule import Grade, worst
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import (
    Bend,
    answered,
    damaged,
    experiment,
    losing,
    own,
    service,
)
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import claim, verdict
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run
from hypothesis import given, settings
from hypothesis import strategies as st


def test_a_good_run_passes_on_every_count() -> None:
    found = verdict(rollouts.good())
    texts = {c["rule"]: [f["text"] for f in c["findings"]] for c in found["claims"]}
    assert texts["experiment_succeeded"] == ["Experiment completed successfully"]
    assert texts["load_spans_rollout"] == [
        "the load began 5.00 s before the canary was applied and ended 13 s after the rollout"
    ]
    assert texts["gap_short"] == [
        "the longest gap between successes on keep-alive connections is 0.22 s",
        "the longest gap between successes on new connections is 0.23 s",
    ]
    assert texts["generator_ran"] == ["the load generator never stood still"]
    assert (found["verdict"], found["reasons"]) == ("pass", [])
    asked = {
        "latency_kept",
        "first_token_kept",
        "token_gaps_kept",
        "driver_decided",
        "generators_whole",
        *(rule.name for rule in gateway.RULES),
    }
    assert [c["rule"] for c in found["claims"]] == [r.name for r in RULES if r.name not in asked]
    assert {c["verdict"] for c in found["claims"]} == {"pass"}
    assert all(f["text"] and f["verdict"] == "pass" for c in found["claims"] for f in c["findings"])
    assert found["summary"] == (
        "9000 requests, none lost (loss rate below 0.04 % with 95 % confidence); "
        "longest gap between successes 0.21 s (0.22 s on keep-alive, 0.23 s on new connections); "
        "canary promoted after 12 iterations"
    )
    assert (found["requests"], found["failed"]) == (9000, 0)
    assert found["loss_rate_upper_bound_95"] == loss_rate_upper_bound(0, 9000)
    assert found["longest_success_gap_seconds"] == 0.21
    assert found["revisions"] == {
        BASELINE: {"requests": 4525, "failed": 0, "role": "baseline"},
        CANARY: {"requests": 4475, "failed": 0, "role": "canary"},
    }
    bound = loss_rate_upper_bound(0, 4500)
    assert found["connection_modes"]["new"] == {
        "requests": 4500,
        "failed": 0,
        "loss_rate_upper_bound_95": bound,
        "longest_success_gap_seconds": 0.23,
    }
    assert (found["failures"], found["gateway"], found["named_by"]) == ([], None, "answers")
    assert found["generator"] == {
        "state": "stopped",
        "asked_rate": 100.0,
        "actual_rate": 100.0,
        "rate_kept": True,
        "lateness_p99": 0.002,
        "stalls": 0,
        "longest_stall_seconds": 0.0,
        "client_faults": 0,
        "generators": [],
    }
    assert found["thresholds"]["min_requests"] == 300
    assert found["schema"] == 1


def test_phases_cover_the_load_and_count_every_request() -> None:
    run = rollouts.good()
    rollouts.lose(run, 24.999)
    rollouts.lose(run, 25.0)
    phases = verdict(run)["phases"]
    weights = [1, 5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    names = [
        "before the canary",
        "canary at 0 %",
        *(f"canary at {n} %" for n in weights),
        "promotion",
        "after",
    ]
    assert [p["name"] for p in phases] == names
    assert (phases[0]["start"], phases[-1]["end"]) == (START, START + 90)
    assert all(a["end"] == b["start"] for a, b in zip(phases, phases[1:]))
    assert sum(p["requests"] for p in phases) == 9000
    assert [p["failed"] for p in phases if p["failed"]] == [1, 1]
    assert phases[3] == {
        "name": "canary at 5 %",
        "start": START + 20.0,
        "end": START + 25.0,
        "requests": 500,
        "failed": 1,
        "weights": {"baseline": 95, "canary": 5},
    }
    assert phases[0]["weights"] == {"baseline": 100}
    assert phases[-1]["weights"] == {"canary": 100}


def test_a_rollback_is_a_failure_that_names_the_objective() -> None:
    found = verdict(rollouts.rolled_back())
    assert found["verdict"] == "fail"
    assert [r["rule"] for r in found["reasons"]] == ["expected_winner", "traffic_moved"]
    missed = "mean-latency of the canary is 1243 and misses its objective, at most 1000"
    assert (
        found["reasons"][0]["text"] == f"the winner is the baseline, where the canary was expected; {missed}"
    )
    assert found["summary"].endswith(f"; canary rolled back after 12 iterations: {missed}")
    assert [p["name"] for p in found["phases"]][-2:] == ["rollback", "after"]
    assert rollouts.figures(found, "expected_winner")["missed"] == [
        {"metric": "mean-latency", "value": 1243.4, "upper_limit": 1000.0, "lower_limit": None}
    ]
    assert {(o["metric"], o["role"], o["met"]) for o in found["objectives"]} == {
        ("mean-latency", "baseline", True),
        ("mean-latency", "canary", False),
        ("error-rate", "baseline", True),
        ("error-rate", "canary", True),
    }


def test_a_rollback_that_was_expected_passes() -> None:
    found = verdict(rollouts.rolled_back(), Thresholds(expect_winner="baseline"))
    assert (found["verdict"], found["reasons"]) == ("pass", [])


def test_a_promotion_that_was_not_expected_fails() -> None:
    found = verdict(rollouts.good(), Thresholds(expect_winner="baseline"))
    assert [r["rule"] for r in found["reasons"]] == ["expected_winner", "traffic_moved"]


def test_the_experiment_that_iter8_rolled_back_says_so() -> None:
    run = rollouts.rolled_back()
    run.experiment = builders.finished("Experiment rolled back", winner="default", iterations=4)
    found = verdict(run)
    assert "Experiment rolled back after 4 iterations" in found["summary"]
    assert (
        found["reasons"][0]["text"]
        == "the Experiment did not succeed (ExperimentCompleted: Experiment rolled back)"
    )


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (
            losing({"after": 26.5}, {"after": 27.5}, {"after": 4, "revision": BASELINE}),
            f"9000 requests, 3 lost, 2 of them by the canary {CANARY} (loss rate below 0.09 % with",
        ),
        (
            losing({"after": 26.5, "revision": "", "kind": "reset"}),
            "9000 requests, 1 lost (loss rate below 0.06 %",
        ),
        (
            own(state="aborted"),
            "after 12 iterations; but the load test did not end properly: it is aborted\n",
        ),
        (
            own(state="aborted", rate_kept=False),
            "; but the load test did not end properly: it is aborted (and 1 more)",
        ),
        (experiment(builders.running(5, 45)), "; the Experiment did not end after 5 iterations"),
        (
            service(builders.isvc(traffic={CANARY: 95, BASELINE: 5})),
            "; canary not promoted after 12 iterations",
        ),
        (damaged("load", "it is gone"), "no load test; canary promoted after 12 iterations; but it is gone"),
    ],
)
def test_the_summary_says_what_matters(bend: Bend, words: str) -> None:
    run = rollouts.good()
    bend(run)
    assert words in verdict(run)["summary"] + "\n"


def test_no_evidence_at_all_is_inconclusive() -> None:
    found = verdict(Run(None, None, None, None))
    assert found["verdict"] == "inconclusive"
    assert [r["text"] for r in found["reasons"][:4]] == [
        "there is no result of a load test",
        "there is no timeline",
        "there is no Experiment",
        "there is no InferenceService",
    ]
    assert found["summary"] == "no load test; but there is no result of a load test (and 4 more)"
    assert found["loss_rate_upper_bound_95"] == 1.0
    assert found["longest_success_gap_seconds"] is None
    assert (found["requests"], found["failed"]) == (0, 0)
    assert claim(found, "clock_steady") is None
    assert found["not_covered"] == ["Without a load test nothing is known about lost requests."]
    assert worst([]) is Grade.INCONCLUSIVE


def test_losses_outside_every_phase_belong_to_the_nearest() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30.0)
    rollouts.lose(run, 31.0)
    early, late = run.own["ledger"]
    early.update(sent=START - 3.0)
    late.update(sent=START + 95.0)
    found = verdict(run)
    phases = {p["name"]: p["failed"] for p in found["phases"] if p["failed"]}
    assert phases == {"before the canary": 1, "after": 1}
    assert rollouts.figures(found, "nothing_lost")["phases"] == phases


def test_a_loss_at_a_change_belongs_to_the_phase_that_begins() -> None:
    run = rollouts.good()
    rollouts.lose(run, 25.0)
    assert rollouts.figures(verdict(run), "nothing_lost")["phases"] == {"canary at 15 %": 1}


def test_what_is_not_covered_is_said() -> None:
    run = rollouts.good()
    run.own["connection_modes"]["new"].update(requests=0, longest_success_gap=None)
    run.own.update(ledger_dropped=3)
    run.drop_events("inferenceservice", "traffic")
    said = "\n".join(verdict(run)["not_covered"])
    assert "Loss rates below 0.04 % are not excluded" in said
    assert "An outage shorter than the 10 ms between two requests may have passed unseen.\n" in said
    assert "No request was sent on a new connection." in said
    assert "3 failures were counted without a record" in said
    assert "tells no traffic split" in said
    good = "\n".join(verdict(rollouts.good())["not_covered"])
    assert "unseen; on new or on keep-alive connections alone, one shorter than 20 ms." in good
    assert "No request was sent" not in good
    assert "record" not in good
    assert "split" not in good


def test_reasons_begin_with_the_worst() -> None:
    run = rollouts.good()
    run.own.update(state="aborted")
    run.inferenceservice = builders.isvc(traffic={CANARY: 100}, ready_status="False")
    run.experiment = None
    grades = [r["verdict"] for r in verdict(run)["reasons"]]
    assert grades == ["fail", "inconclusive", "inconclusive"]


LOSS_TIMES = st.lists(st.floats(0, 89.9, allow_nan=False), max_size=8)


@settings(max_examples=40, deadline=None)
@given(times=LOSS_TIMES, more=st.floats(0, 89.9), allowed=st.integers(0, 9))
def test_one_more_loss_never_makes_it_better(times: list[float], more: float, allowed: int) -> None:
    run = rollouts.good(rate=20)
    for time in times:
        rollouts.lose(run, time, revision=CANARY if time > 10 else BASELINE)
    before = verdict(run, Thresholds(max_lost=allowed))
    assert (before["verdict"] == "pass") == (len(times) <= allowed)
    rollouts.lose(run, more, revision=CANARY if more > 10 else BASELINE)
    after = verdict(run, Thresholds(max_lost=allowed))
    order = [grade.value for grade in (Grade.PASS, Grade.INCONCLUSIVE, Grade.FAIL)]
    assert order.index(after["verdict"]) >= order.index(before["verdict"])
    assert after["loss_rate_upper_bound_95"] > before["loss_rate_upper_bound_95"]
    assert sum(p["failed"] for p in after["phases"]) == after["failed"] == len(times) + 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_rubbish_gives_a_verdict(data: st.DataObject) -> None:
    """Evidence with one field replaced by nonsense of another type is survived."""
    run = rollouts.good(rate=5)
    name = data.draw(st.sampled_from(sorted(run.own)))
    rubbish = data.draw(st.sampled_from([None, "x", -1.5, [], {}, [3], {"a": 3}, True]))
    run.own[name] = rubbish
    assert verdict(run)["verdict"] in {"pass", "inconclusive", "fail"}


def test_the_mark_of_the_canary_tells_the_baseline() -> None:
    run = rollouts.good()
    run.experiment = None
    assert verdict(run)["revisions"][BASELINE]["role"] == "baseline"


def test_a_revision_that_never_answered_is_listed_with_zero() -> None:
    run = rollouts.good()
    answered(0, 90, baseline=100)(run)
    del run.own["revisions"][CANARY]
    found = verdict(run)
    assert found["revisions"][CANARY] == {"requests": 0, "failed": 0, "role": "canary"}
    assert claim(found, "canary_got_traffic") == "inconclusive"


def test_modes_that_are_not_reported_were_not_tried() -> None:
    run = rollouts.good()
    run.own["connection_modes"] = {}
    said = verdict(run)["not_covered"]
    assert "No request was sent on a new connection." in said
    assert "No request was sent on a keep-alive connection." in said


def test_the_summary_names_the_canarys_first_missed_objective() -> None:
    run = rollouts.rolled_back()
    assert run.experiment is not None
    assessments = run.experiment["status"]["analysis"]["versionAssessments"]["data"]
    assessments |= {"default": [False, False], "canary": [False, False]}
    missed = "mean-latency of the canary is 1243 and misses its objective, at most 1000"
    assert verdict(run)["summary"].endswith(f"after 12 iterations: {missed}")


def test_malformed_assessments_of_objectives_are_not_assessed() -> None:
    run = rollouts.rolled_back()
    assert run.experiment is not None
    assessments = run.experiment["status"]["analysis"]["versionAssessments"]["data"]
    assessments |= {"default": "yes", "canary": [True]}
    met = {(o["metric"], o["role"]): o["met"] for o in verdict(run)["objectives"]}
    assert met == {
        ("mean-latency", "baseline"): None,
        ("mean-latency", "canary"): True,
        ("error-rate", "baseline"): None,
        ("error-rate", "canary"): None,
    }
