# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import experiment
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import State
from ansible_collections.iter8.kfserving.tests.support import builders

LATER = ("Completed", "Failed")


def failed(reason: str, message: str = "", completed: bool = True, **more: Any) -> dict[str, Any]:
    end = ("True", "ExperimentCompleted", "Experiment failed")
    return builders.experiment(
        completed=end if completed else ("False", "IterationUpdate", ""),
        failed=("True", reason, message),
        **more,
    )


@pytest.mark.parametrize(
    ("obj", "state", "reason", "message"),
    [
        ({}, State.PENDING, "NotStarted", "iter8 has not taken up the Experiment yet"),
        (builders.experiment(), State.PENDING, "ExperimentInitialized", ""),
        (builders.running(3, 25), State.PENDING, "IterationUpdate", "Completed Iteration 3"),
        (
            builders.experiment(completed=("False", "TerminalHandlerLaunched", "")),
            State.PENDING,
            "TerminalHandlerLaunched",
            "",
        ),
        (builders.finished(), State.SUCCEEDED, "ExperimentCompleted", "Experiment completed successfully"),
        (
            builders.finished(winner=None),
            State.SUCCEEDED,
            "ExperimentCompleted",
            "Experiment completed successfully",
        ),
        (
            builders.finished("Experiment rolled back", winner="default"),
            State.FAILED,
            "ExperimentCompleted",
            "Experiment rolled back",
        ),
        (builders.finished("Experiment failed"), State.FAILED, "ExperimentCompleted", "Experiment failed"),
        (
            failed("HandlerFailed", "start handler failed"),
            State.FAILED,
            "HandlerFailed",
            "start handler failed",
        ),
        # ExperimentFailed is written first, completed follows.
        (failed("MetricUnavailable", completed=False), State.FAILED, "MetricUnavailable", ""),
        # The names of later versions, and what 0.1.38 writes after a terminal handler.
        (
            builders.finished(names=LATER),
            State.SUCCEEDED,
            "ExperimentCompleted",
            "Experiment completed successfully",
        ),
        (
            builders.finished("Experiment Completed", names=LATER),
            State.SUCCEEDED,
            "ExperimentCompleted",
            "Experiment Completed",
        ),
        (failed("AnalyticsServiceError", "x", names=LATER), State.FAILED, "AnalyticsServiceError", "x"),
        (
            builders.finished("failure executing failure handler", names=LATER),
            State.FAILED,
            "ExperimentCompleted",
            "failure executing failure handler",
        ),
    ],
)
def test_state_reason_and_message(obj: dict[str, Any], state: State, reason: str, message: str) -> None:
    outcome = experiment.assess(obj)
    assert (outcome.state, outcome.reason, outcome.message) == (state, reason, message)


def test_the_message_of_the_status_stands_in_for_a_missing_one() -> None:
    obj = failed("HandlerFailed")
    obj["status"]["message"] = "Start handler failed: no such InferenceService"
    assert experiment.assess(obj).message == "Start handler failed: no such InferenceService"


def test_names_become_roles() -> None:
    outcome = experiment.assess(builders.finished())
    assert outcome.winner == "canary"
    assert outcome.recommended_baseline == "canary"
    assert outcome.weights == {"baseline": 5, "canary": 95}
    assert (outcome.iterations, outcome.iterations_planned) == (12, 12)
    assert [c.type for c in outcome.conditions] == ["ExperimentCompleted", "ExperimentFailed"]


def test_the_baseline_as_winner_is_known_by_its_role() -> None:
    outcome = experiment.assess(builders.finished(winner="default"))
    assert (outcome.winner, outcome.recommended_baseline) == ("baseline", "baseline")


def test_no_winner_is_none_even_if_a_name_is_left_over() -> None:
    obj = builders.finished(winner=None)
    assert experiment.assess(obj).winner is None
    obj["status"]["analysis"]["winnerAssessment"]["data"]["winner"] = "canary"
    assert experiment.assess(obj).winner is None
    assert experiment.assess(builders.experiment()).recommended_baseline is None


def test_a_further_candidate_keeps_its_name() -> None:
    obj = builders.finished()
    obj["spec"]["versionInfo"]["candidates"].append({"name": "third"})
    assert experiment.roles(obj) == {"default": "baseline", "canary": "canary", "third": "third"}
    assert experiment.roles({}) == {}


def test_a_further_candidate_by_the_name_of_a_role_does_not_take_it() -> None:
    obj = builders.finished()
    obj["spec"]["versionInfo"] = {
        "baseline": {"name": "v1", "tags": {"revision": "m-1"}},
        "candidates": [
            {"name": "v2", "tags": {"revision": "m-2"}},
            {"name": "canary", "tags": {"revision": "m-3"}},
            {"name": "baseline", "tags": {"revision": "m-4"}},
            {"name": "v1"},
        ],
    }
    obj["status"]["currentWeightDistribution"] = [
        {"name": name, "value": value}
        for name, value in (("v1", 40), ("v2", 30), ("canary", 20), ("baseline", 10))
    ]
    obj["status"]["analysis"]["winnerAssessment"]["data"]["winner"] = "canary"
    outcome = experiment.assess(obj)
    shown = {"baseline": 40, "canary": 30, "candidate canary": 20, "candidate baseline": 10}
    assert outcome.weights == shown
    assert outcome.winner == "candidate canary"
    assert experiment.revisions(obj) == dict(zip(shown, ("m-1", "m-2", "m-3", "m-4")))


@pytest.mark.parametrize("candidates", [{}, {"candidates": None}, {"candidates": []}])
def test_an_experiment_without_candidates_has_a_baseline_and_no_canary(candidates: dict[str, Any]) -> None:
    obj = builders.finished(winner="default")
    obj["spec"]["versionInfo"] = {"baseline": {"name": "default", "tags": {"revision": "m-1"}}, **candidates}
    obj["status"]["currentWeightDistribution"] = [{"name": "default", "value": 100}]
    outcome = experiment.assess(obj)
    assert (outcome.winner, outcome.weights) == ("baseline", {"baseline": 100})
    assert experiment.revisions(obj) == {"baseline": "m-1"}


def test_v2alpha2_recommends_in_its_own_field_and_counts_loops() -> None:
    obj = builders.finished(names=LATER)
    del obj["status"]["recommendedBaseline"]
    obj["status"] |= {"versionRecommendedForPromotion": "default"}
    obj["spec"]["duration"] = {"intervalSeconds": 15, "iterationsPerLoop": 4, "maxLoops": 3}
    outcome = experiment.assess(obj)
    assert (outcome.recommended_baseline, outcome.iterations_planned) == ("baseline", 12)
    del obj["spec"]["duration"]["maxLoops"]
    assert experiment.planned_iterations(obj) == 4
    assert experiment.planned_iterations({}) == 0


def test_revisions_come_from_tags_or_variables() -> None:
    obj = builders.finished()
    assert experiment.revisions(obj) == {"baseline": builders.BASELINE, "canary": builders.CANARY}
    info = obj["spec"]["versionInfo"]
    info["candidates"] = [{"name": "canary", "variables": [{"name": "revision", "value": "rev-9"}]}]
    assert experiment.revisions(obj)["canary"] == "rev-9"
    assert experiment.revisions(builders.experiment(versions=False)) == {}
    del info["baseline"]["tags"]
    assert experiment.revisions(obj) == {"canary": "rev-9"}
    info["baseline"] = {"tags": {"revision": "unnamed"}}
    assert experiment.revisions(obj) == {"canary": "rev-9"}


@pytest.mark.parametrize(
    "broken",
    [
        {"status": None},
        {"status": {"conditions": None, "completedIterations": None}},
        {"status": {"conditions": ["x", {"type": "Completed"}]}, "spec": {"versionInfo": "x"}},
        {"spec": {"versionInfo": {"baseline": {"name": 3}, "candidates": [None, {"name": ""}]}}},
    ],
)
def test_a_half_written_object_is_pending(broken: dict[str, Any]) -> None:
    outcome = experiment.assess(broken)
    assert outcome.state is State.PENDING
    assert outcome.iterations == 0
    assert experiment.roles(broken) == {}


def told(previous: Any, current: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(event.event, event.data) for event in experiment.transitions(previous, current)]


def test_the_whole_run_as_events() -> None:
    steps = [
        {},
        builders.experiment(versions=False),
        builders.experiment(completed=("False", "StartHandlerLaunched", "Start handler 'start' launched")),
        builders.running(1, 5, winner=None),
        builders.running(2, 15),
        builders.finished(),
    ]
    events = [e for a, b in zip([None, *steps], steps) for e in experiment.transitions(a, b)]
    assert [e.text for e in events] == [
        "ExperimentCompleted=False ExperimentInitialized",
        "ExperimentFailed=False ExperimentInitialized",
        "ExperimentCompleted=False StartHandlerLaunched: Start handler 'start' launched",
        "iteration 1 of 12, canary weight 5 %, no winner so far",
        "iteration 2 of 12, canary weight 15 %, winner so far: canary",
        "ExperimentCompleted=True ExperimentCompleted: Experiment completed successfully",
        "iteration 12 of 12, canary weight 95 %, winner so far: canary",
        "Experiment completed successfully after 12 iterations, winner: canary",
    ]
    assert {e.source for e in events} == {"experiment"}
    assert events[-1].event == "completed"
    assert events[-1].data == {
        "winner": "canary",
        "message": "Experiment completed successfully",
        "failed": False,
    }
    assert events[3].data == {"iteration": 1, "weights": {"baseline": 95, "canary": 5}, "winner": None}


def test_nothing_new_tells_nothing() -> None:
    for obj in ({}, builders.experiment(), builders.running(4, 35), builders.finished()):
        assert experiment.transitions(obj, obj) == []
    assert experiment.transitions(None, None) == []


def test_an_iteration_is_told_once_not_as_a_condition_too() -> None:
    assert [name for name, _unused in told(builders.running(1, 5), builders.running(2, 15))] == ["iteration"]


def test_a_failure_is_told_with_its_reason() -> None:
    events = told(builders.running(1, 5), failed("AnalyticsServiceError", "Unable to contact", iterations=1))
    assert events[1] == (
        "condition",
        {
            "type": "ExperimentFailed",
            "status": "True",
            "reason": "AnalyticsServiceError",
            "message": "Unable to contact",
        },
    )
    assert events[-1] == ("completed", {"winner": None, "message": "Unable to contact", "failed": True})


def test_deletion_is_told() -> None:
    assert told(builders.running(1, 5), None) == [("deleted", {})]


def test_an_iteration_without_a_plan_or_weights_is_told_plainly() -> None:
    obj = builders.experiment(iterations=2)
    obj["spec"].pop("duration")
    events = experiment.transitions(builders.experiment(), obj)
    assert [e.text for e in events] == ["iteration 2, no winner so far"]
    end = experiment.transitions(obj, builders.finished(winner=None, iterations=2))[-1]
    assert end.text == "Experiment completed successfully after 2 iterations, no winner"
