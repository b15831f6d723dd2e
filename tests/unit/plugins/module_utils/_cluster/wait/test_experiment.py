# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for an Experiment: fed with snapshots as a cluster gives them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.experiment import (
    ExperimentWaiter,
    traffic_problem,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.waiting import End

UID = "2eb8d97e-45f5-4ad7-a1d0-d733104920d2"
JOB = "finish-handler-experiment-1-d733104920d2"


def experiment(
    reason: str = "IterationUpdate",
    message: str = "",
    *,
    completed: bool = False,
    failed: str = "",
    iterations: int = 0,
    winner: str = "",
    canary_revision: str = "b",
) -> dict[str, Any]:
    conditions = [
        {"type": "ExperimentCompleted", "status": str(completed), "reason": reason, "message": message},
        {
            "type": "ExperimentFailed",
            "status": str(bool(failed)),
            "reason": failed,
            "message": failed and message,
        },
    ]
    status: dict[str, Any] = {"conditions": conditions, "completedIterations": iterations}
    if iterations:
        weight = min(95, 10 * iterations - 5)
        status["currentWeightDistribution"] = [
            {"name": "default", "value": 100 - weight},
            {"name": "canary", "value": weight},
        ]
        status["recommendedBaseline"] = winner or "default"
        status["analysis"] = {"winnerAssessment": {"data": {"winnerFound": bool(winner), "winner": winner}}}
    return {
        "apiVersion": "iter8.tools/v2alpha1",
        "metadata": {"name": "experiment-1", "uid": UID},
        "spec": {
            "strategy": {"type": "Canary"},
            "duration": {"maxIterations": 12},
            "versionInfo": {
                "baseline": {"name": "default", "tags": {"revision": "a"}},
                "candidates": [{"name": "canary", "tags": {"revision": canary_revision}}],
            },
        },
        "status": status,
    }


def model(traffic: dict[str, int], ready: str = "True", rolled_out: str = "a") -> dict[str, Any]:
    return {
        "metadata": {"name": "my-model", "uid": "m"},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "components": {
                "predictor": {
                    "latestCreatedRevision": "b",
                    "latestReadyRevision": "b",
                    "latestRolledoutRevision": rolled_out,
                    "traffic": [{"revisionName": name, "percent": share} for name, share in traffic.items()],
                }
            },
        },
    }


def job(condition: str = "") -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True", "message": "out of tries"}] if condition else []
    return {"metadata": {"name": JOB}, "status": {"conditions": conditions}}


PROMOTED = model({"b": 100}, rolled_out="b")
BACK = model({"a": 100, "b": 0})
SHIFTING = model({"a": 5, "b": 95})
WON = experiment(
    "ExperimentCompleted", "Experiment completed successfully", completed=True, iterations=12, winner="canary"
)
LOST = experiment("ExperimentCompleted", "Experiment completed successfully", completed=True, iterations=12)
ROLLED_BACK = experiment("ExperimentCompleted", "Experiment rolled back", completed=True, iterations=4)


class Wait:
    """A waiter with feeds that are already in sync, and a clock."""

    def __init__(self, counts: tuple[int, int] | None = None, **options: Any) -> None:
        arguments: dict[str, Any] = {
            "inferenceservice": "my-model",
            "wait_handler": True,
            "stable_seconds": 2.0,
            **options,
        }
        self.waiter = ExperimentWaiter("experiment-1", counts=lambda: counts, **arguments)
        self.now = 0.0
        self.texts: list[str] = []

    def see(self, feed: str, obj: dict[str, Any] | None = None, kind: str = "present") -> Wait:
        name = (obj or {"metadata": {"name": ""}})["metadata"]["name"]
        events = self.waiter.feed(Notice(feed, kind, self.now, name, obj, "the server is away."))
        self.texts += [event.text for event in events]
        return self

    def end(self, seconds: float = 0.0) -> End | None:
        """Decides every half second, as the loop does."""
        until = self.now + seconds
        while True:
            end = self.waiter.decide(self.now)
            if end is not None or self.now >= until:
                return end
            self.now += 0.5


def over(
    experiment: dict[str, Any], model: dict[str, Any], condition: str = "Complete", **options: Any
) -> Wait:
    wait = Wait(**options).see("experiment", experiment).see("inferenceservice", model)
    return wait.see("jobs", job(condition)) if condition else wait


@pytest.mark.parametrize(
    ("experiment", "model", "outcome"),
    [(WON, PROMOTED, "succeeded"), (LOST, BACK, "rolled_back"), (ROLLED_BACK, BACK, "rolled_back")],
)
def test_it_is_over_when_the_traffic_has_stayed_where_it_should(
    experiment: dict[str, Any], model: dict[str, Any], outcome: str
) -> None:
    wait = over(experiment, model)
    assert wait.end(1.5) is None
    end = wait.end(1.0)
    assert end is not None
    assert end.outcome == outcome
    assert wait.now == 2.0


@pytest.mark.parametrize(
    ("experiment", "model", "condition", "missing"),
    [
        (WON, PROMOTED, "", "the Job of its finish handler has not been seen"),
        (WON, PROMOTED, "Suspended", "the Job of its finish handler has not finished"),
        (WON, SHIFTING, "Complete", "the traffic is a 5 %, b 95 %"),
        (WON, BACK, "Complete", "the traffic is a 100 %, not yet b 100 %"),
        (WON, model({"b": 100}, ready="False"), "Complete", "Ready is False"),
        (LOST, PROMOTED, "Complete", "the traffic is b 100 %, not yet a 100 %"),
        (LOST, model({}), "Complete", "the traffic is nowhere"),
        (
            experiment(iterations=7, message="Completed Iteration 7"),
            SHIFTING,
            "Complete",
            "it has completed 7 of 12 iterations (IterationUpdate: Completed Iteration 7)",
        ),
        ({"metadata": {"name": "experiment-1", "uid": UID}}, BACK, "", "iter8 has not taken up"),
    ],
)
def test_completed_alone_is_not_the_end_and_what_is_missing_is_said(
    experiment: dict[str, Any], model: dict[str, Any], condition: str, missing: str
) -> None:
    wait = over(experiment, model, condition)
    assert wait.end(30) is None
    assert missing in wait.waiter.pending()


def test_traffic_that_wavers_starts_the_count_again() -> None:
    wait = over(WON, PROMOTED)
    assert wait.end(1.5) is None
    wait.see("inferenceservice", SHIFTING)
    assert wait.end(1.0) is None
    wait.see("inferenceservice", PROMOTED)
    assert wait.end(1.5) is None
    assert wait.end(1.0) is not None


def test_a_rollback_does_not_ask_for_a_healthy_canary() -> None:
    assert over(LOST, model({"a": 100}, ready="False")).end(5) is not None


@pytest.mark.parametrize(
    ("wait", "outcome", "reason", "message"),
    [
        (
            over(experiment("IterationUpdate", "no metric", failed="MetricUnavailable"), SHIFTING),
            "failed",
            "MetricUnavailable",
            "no metric",
        ),
        (
            over(
                experiment(
                    "ExperimentCompleted", "Experiment failed", completed=True, failed="HandlerFailed"
                ),
                BACK,
            ),
            "failed",
            "HandlerFailed",
            "Experiment failed",
        ),
        (over(WON, SHIFTING, "Failed"), "failed", "HandlerFailed", "finish handler failed: out of tries"),
        (over(experiment(iterations=1, canary_revision="a"), BACK), "failed", "SameRevision", "with itself"),
        (
            over(experiment(iterations=3), SHIFTING).see("experiment", experiment(), "deleted"),
            "deleted",
            "ExperimentDeleted",
            "was deleted",
        ),
        (
            over(experiment(iterations=3), SHIFTING).see("inferenceservice", SHIFTING, "deleted"),
            "deleted",
            "InferenceServiceDeleted",
            "was deleted",
        ),
        (Wait().see("experiment", kind="synced"), "failed", "ExperimentNotFound", "does not exist"),
        (
            Wait().see("experiment", WON).see("inferenceservice", kind="synced"),
            "failed",
            "InferenceServiceNotFound",
            "does not exist",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_terminal_failure_ends_it_at_once(wait: Wait, outcome: str, reason: str, message: str) -> None:
    end = wait.end()
    assert end is not None
    assert (end.outcome, end.reason) == (outcome, reason)
    assert message in end.message


def test_without_an_inferenceservice_the_job_is_the_last_thing() -> None:
    wait = Wait(inferenceservice=None).see("experiment", WON)
    assert wait.end(10) is None
    end = wait.see("jobs", job("Complete")).end()
    assert end is not None
    assert end.outcome == "succeeded"


def test_without_a_handler_namespace_the_job_is_not_waited_for() -> None:
    assert over(WON, PROMOTED, "", wait_handler=False).end(3) is not None


def test_a_job_seen_before_its_experiment_is_not_lost() -> None:
    wait = Wait().see("jobs", job("Complete")).see("experiment", WON).see("inferenceservice", PROMOTED)
    assert wait.end(3) is not None
    assert "experiment-1  finish handler succeeded" in wait.texts


def test_the_line_of_an_iteration() -> None:
    wait = Wait(counts=(87, 0)).see("experiment", experiment(iterations=3, winner="canary"))
    wait.see("experiment", experiment(iterations=4, winner="canary"))
    assert wait.texts[-1] == "experiment-1  iteration 4/12  canary 35 %  87 requests, 0 not 200"


def test_the_line_of_an_iteration_without_a_load() -> None:
    wait = Wait().see("experiment", experiment(iterations=4, winner="canary"))
    assert wait.texts[-1] == "experiment-1  iteration 4/12  canary 35 %"


def test_an_outage_is_reported_once_though_three_watches_see_it() -> None:
    wait = Wait()
    for feed in ("experiment", "inferenceservice", "jobs"):
        wait.see(feed, kind="lost")
    assert wait.texts == ["experiment-1  the server is away. Trying again."]


def test_an_expired_watch_is_reported() -> None:
    wait = Wait().see("experiment", kind="expired")
    assert wait.texts == ["experiment-1  the server is away.; everything is listed anew"]


@pytest.mark.parametrize(
    ("revision", "promoted", "traffic", "settled"),
    [
        (None, True, {"b": 100}, True),
        (None, True, {"a": 100}, False),
        (None, False, {"a": 100}, True),
        (None, False, {"a": 50, "b": 50}, False),
    ],
)
def test_an_experiment_that_names_no_revisions(
    revision: str | None, promoted: bool, traffic: dict[str, int], settled: bool
) -> None:
    failure, problem = traffic_problem(model(traffic), revision, promoted)
    assert failure is None
    assert (problem is None) is settled


def test_a_model_that_is_blocked_after_promotion_is_a_failure() -> None:
    blocked = model({"a": 100})
    blocked["status"]["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad"}
    end = over(WON, blocked).end()
    assert end is not None
    assert (end.outcome, end.reason) == ("failed", "BlockedByFailedLoad")
