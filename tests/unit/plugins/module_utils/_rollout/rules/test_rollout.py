# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import rollout
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import (
    adding,
    both,
    compared,
    conditioned,
    experiment,
    service,
    unplanned,
    unready,
    without,
)
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import (
    FAIL,
    UNSURE,
    Case,
    check,
    check_cover,
    verdict,
)
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def unfound(run: Run) -> None:
    """No winner was found, and there is one."""
    assert run.experiment is not None
    run.experiment["status"]["analysis"]["winnerAssessment"]["data"]["winnerFound"] = False


CASES = [
    Case(
        "nothing changed",
        "change_happened",
        both(service(builders.stale()), experiment(None), without("inferenceservice", "revision_created")),
        FAIL,
        {"baseline": BASELINE, "canary": "", "compared": {}},
        also={"evidence_complete": UNSURE},
        text=f"nothing was rolled out: {BASELINE} is the baseline and the canary",
    ),
    Case(
        "the Experiment compared the baseline with itself",
        "change_happened",
        both(compared("canary", BASELINE), without("inferenceservice", "revision_created")),
        FAIL,
        {"baseline": BASELINE, "canary": BASELINE, "compared": {"baseline": BASELINE, "canary": BASELINE}},
        also={
            "traffic_moved": FAIL,
            "known_revisions_only": FAIL,
            "none_at_weight_zero": FAIL,
            "shares_as_set": FAIL,
        },
    ),
    Case(
        "the Experiment compared another canary",
        "change_happened",
        compared("canary", "other"),
        FAIL,
        {"baseline": BASELINE, "canary": CANARY, "compared": {"baseline": BASELINE, "canary": "other"}},
    ),
    Case(
        "the Experiment compared with another baseline",
        "change_happened",
        compared("baseline", "other"),
        FAIL,
        {"baseline": BASELINE, "canary": CANARY, "compared": {"baseline": "other", "canary": CANARY}},
    ),
    Case(
        "nobody knows the canary",
        "change_happened",
        both(experiment(None), without("inferenceservice", "revision_created")),
        UNSURE,
        {"baseline": BASELINE, "canary": "", "compared": {}},
        also={"evidence_complete": UNSURE},
    ),
    Case(
        "nobody knows the baseline",
        "change_happened",
        both(experiment(None), lambda run: run.event("playbook", "canary_applied")["data"].clear()),
        UNSURE,
        {"baseline": "", "canary": CANARY, "compared": {}},
        also={"evidence_complete": UNSURE},
    ),
    Case(
        "the Experiment failed",
        "experiment_succeeded",
        experiment(
            builders.experiment(
                iterations=3,
                completed=("True", "ExperimentCompleted", "Experiment failed"),
                failed=("True", "AnalyticsServiceError", "Unable to contact analytics engine"),
            )
        ),
        FAIL,
        {"reason": "AnalyticsServiceError", "message": "Unable to contact analytics engine", "iterations": 3},
        also={"expected_winner": FAIL},
        text=("the Experiment did not succeed (AnalyticsServiceError: Unable to contact analytics engine)"),
    ),
    Case(
        "the Experiment did not end",
        "experiment_succeeded",
        experiment(builders.running(5, 45)),
        FAIL,
        {"reason": "IterationUpdate", "message": "Completed Iteration 5", "iterations": 5},
    ),
    Case(
        "the Experiment does not tell whether it ended",
        "experiment_succeeded",
        lambda run: run.experiment["status"].pop("conditions"),
        UNSURE,
        {
            "reason": "NotStarted",
            "message": "iter8 has not taken up the Experiment yet",
            "iterations": 12,
        },
    ),
    Case(
        "the Experiment has lost its status",
        "experiment_succeeded",
        lambda run: run.experiment.pop("status"),
        UNSURE,
        {"reason": "NotStarted", "message": "iter8 has not taken up the Experiment yet", "iterations": 0},
    ),
    Case(
        "no winner, no data",
        "expected_winner",
        experiment(
            builders.finished(winner=None, assessments={"default": [False] * 2, "canary": [False] * 2})
        ),
        FAIL,
        {
            "winner": None,
            "expected": "canary",
            "missed": [
                {"metric": "mean-latency", "value": None, "upper_limit": 1000.0, "lower_limit": None},
                {"metric": "error-rate", "value": None, "upper_limit": 0.01, "lower_limit": None},
            ],
        },
        text=(
            "there is no winner, where the canary was expected; no data for mean-latency of the "
            "canary (objective: at most 1000); no data for error-rate of the canary (objective: "
            "at most 0.01)"
        ),
    ),
    Case(
        "iterations are missing",
        "iterations_done",
        unplanned,
        FAIL,
        {"iterations": 7, "expected": 12},
        text="7 iterations were done, where 12 were expected",
    ),
    Case(
        "more iterations than were planned",
        "iterations_done",
        lambda run: run.experiment["status"].update(completedIterations=14),  # type: ignore[index]
        UNSURE,
        {"iterations": 14, "expected": 12},
    ),
    Case(
        "iterations by no number",
        "iterations_done",
        lambda run: run.experiment["status"].update(completedIterations="12"),  # type: ignore[index]
        UNSURE,
        {"expected": 12},
    ),
    Case(
        "a winner that was not found",
        "expected_winner",
        unfound,
        UNSURE,
        {"winner": None, "expected": "canary", "missed": []},
    ),
    Case(
        "a handler that failed, and succeeded",
        "handlers_succeeded",
        lambda run: run.event("experiment", "handler")["data"].update(failed=True),
        UNSURE,
        {"name": "finish", "job": "finish-handler-x", "status": "succeeded", "failed": True},
    ),
    Case(
        "the traffic was not moved",
        "traffic_moved",
        service(builders.isvc(traffic={BASELINE: 5, CANARY: 95})),
        FAIL,
        {"traffic": {BASELINE: 5, CANARY: 95}, "expected": CANARY},
        text=(
            f"the traffic ended with 5 % on the baseline {BASELINE}, 95 % on the canary {CANARY}, "
            f"where 100 % on the canary {CANARY} was expected"
        ),
    ),
    Case(
        "the wrong revision was promoted",
        "traffic_moved",
        service(builders.isvc(traffic={"stranger": 100})),
        FAIL,
        {"traffic": {"stranger": 100}, "expected": CANARY},
    ),
    Case(
        "more traffic than there is",
        "traffic_moved",
        service(builders.isvc(traffic={BASELINE: 100, CANARY: 100})),
        UNSURE,
        {"traffic": {BASELINE: 100, CANARY: 100}, "expected": CANARY, "percent": 200},
    ),
    Case(
        "the transformer is still between two",
        "traffic_moved",
        lambda run: run.inferenceservice["status"]["components"].update(
            transformer={
                "traffic": [{"revisionName": "t-1", "percent": 90}, {"revisionName": "t-2", "percent": 10}]
            }
        ),
        UNSURE,
        {"traffic": {CANARY: 100}, "expected": CANARY},
    ),
    Case(
        "no traffic at the end",
        "traffic_moved",
        service(builders.isvc(traffic={})),
        FAIL,
        {"traffic": {}, "expected": CANARY},
    ),
    Case(
        "not ready at the end",
        "ready_at_end",
        service(builders.isvc(traffic={CANARY: 100}, ready_status="False")),
        FAIL,
        {"status": "False", "reason": "", "message": ""},
        text="the InferenceService was not ready at the end: Ready is False",
    ),
    Case(
        "not ready at the end, with a message",
        "ready_at_end",
        service(
            builders.isvc(traffic={CANARY: 100}, conditions=unready(message="Configuration is not ready"))
        ),
        FAIL,
        {"status": "False", "reason": "", "message": "Configuration is not ready"},
    ),
    Case(
        "not ready at the end, with a reason",
        "ready_at_end",
        service(builders.isvc(traffic={CANARY: 100}, conditions=unready(reason="RevisionMissing"))),
        FAIL,
        {"status": "False", "reason": "RevisionMissing", "message": ""},
    ),
    *(
        Case(
            f"ready at the end, and {name} is {status}",
            "ready_at_end",
            conditioned({"Ready": "True", "PredictorReady": "True", "IngressReady": "True", name: status}),
            UNSURE,
            {"status": "True", "against": [f"{name} is {status}"]},
        )
        for name in ("PredictorReady", "IngressReady", "TransformerReady")
        for status in ("False", "Unknown")
    ),
    Case(
        "not ready at the end, and nothing of it is",
        "ready_at_end",
        conditioned({"Ready": "False", "PredictorReady": "True", "IngressReady": "True"}),
        UNSURE,
        {
            "status": "False",
            "against": ["all of which it is made, PredictorReady and IngressReady, are True"],
        },
    ),
    Case(
        "ready at the end, and the latest revision is not",
        "ready_at_end",
        both(
            without("inferenceservice", "revision_ready"),
            service(builders.isvc(ready=BASELINE, rolledout=CANARY, traffic={CANARY: 100}, percent=100)),
        ),
        UNSURE,
        {
            "status": "True",
            "against": [f"the latest revision is {CANARY}, and the latest ready one {BASELINE}"],
        },
    ),
    Case(
        "ready at the end, and stopped",
        "ready_at_end",
        conditioned({"Ready": "True", "PredictorReady": "True", "Stopped": "True"}),
        UNSURE,
        {"status": "True", "against": ["Stopped is True"]},
    ),
    Case(
        "ready at the end by no word that there is for it",
        "ready_at_end",
        conditioned({"Ready": "yes"}),
        UNSURE,
        {},
    ),
    Case(
        "the finish handler failed",
        "handlers_succeeded",
        lambda run: run.event("experiment", "handler")["data"].update(status="Failed"),
        FAIL,
        {"name": "finish", "job": "finish-handler-x", "status": "Failed", "failed": False},
        text="the Experiment's finish handler failed at 08:01:16.500 UTC",
    ),
    Case(
        "the Experiment was deleted",
        "nothing_deleted",
        adding(rollouts.event(76.0, "experiment", "deleted")),
        FAIL,
        {"time": START + 76.0},
        text="the Experiment was deleted during the rollout, at 08:01:16.000 UTC",
    ),
    Case(
        "the InferenceService was deleted",
        "nothing_deleted",
        adding(rollouts.event(78.0, "inferenceservice", "deleted")),
        FAIL,
        {"time": START + 78.0},
    ),
    Case(
        "the run was cut short",
        "run_not_stopped",
        adding(
            {"time": START + 50, "source": "playbook", "event": "stopped"}
            | {"data": {"task": "Wait", "outcome": "timeout"}}
            | {"text": "Stopped at 'Wait': the canary is not ready"}
        ),
        FAIL,
        {"task": "Wait", "outcome": "timeout"},
        also={"clock_steady": UNSURE},
        text="the run was cut short: Stopped at 'Wait': the canary is not ready",
    ),
    Case(
        "the observer was killed, and the run cut short",
        "run_not_stopped",
        adding(
            {"time": START + 50, "source": "playbook", "event": "stopped"}
            | {"data": {"task": "Wait", "outcome": ""}, "text": "Stopped at 'Wait': it was killed"}
        ),
        UNSURE,
        {"task": "Wait", "outcome": ""},
        also={"clock_steady": UNSURE},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_goes_wrong_is_said(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    "told",
    [
        {"Ready": "True"},
        {"Ready": "True", "PredictorReady": "True", "IngressReady": "True", "Stopped": "False"},
        {"Ready": "True", "PredictorReady": "True", "CanaryPredictorReady": "False"},
        {"Ready": "True", "Stopped": "Unknown"},
        {"Ready": "True", "PredictorRouteReady": "Unknown", "LatestDeploymentReady": "False"},
    ],
)
def test_what_ready_is_not_made_of_does_not_contradict_it(told: dict[str, str]) -> None:
    run = rollouts.good()
    conditioned(told)(run)
    assert verdict(run)["verdict"] == "pass"


def test_every_rule_is_refuted_by_some_case() -> None:
    check_cover(CASES, rollout.RULES)
