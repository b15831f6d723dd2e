# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects as the controllers write them, for tests: the quickstart's InferenceService and Experiment, step
by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASELINE = "my-model-predictor-default-wl2cv"
CANARY = "my-model-predictor-default-zwjbq"


def isvc(
    *,
    created: str = CANARY,
    ready: str | None = None,
    rolledout: str = BASELINE,
    previous: str = "",
    traffic: Mapping[str, int] | None = None,
    ready_status: str = "True",
    uid: str = "uid-1",
    percent: int = 1,
    **status: Any,
) -> dict[str, Any]:
    """An InferenceService as KFServing 0.5 writes it; `status` adds or replaces fields of its status.

    `percent` is what its spec asks for.
    """
    ready = created if ready is None else ready
    shares = {created: 1, rolledout: 99} if traffic is None else traffic
    predictor = {
        "latestCreatedRevision": created,
        "latestReadyRevision": ready,
        "latestRolledoutRevision": rolledout,
        "previousRolledoutRevision": previous,
        "traffic": [
            {"latestRevision": name == created, "percent": percent, "revisionName": name, "tag": "latest"}
            for name, percent in shares.items()
        ],
    }
    return {
        "apiVersion": "serving.kubeflow.org/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "my-model", "namespace": "default", "uid": uid, "generation": 2},
        "spec": {
            "predictor": {"canaryTrafficPercent": percent, "tensorflow": {"storageUri": "gs://flowers-2"}}
        },
        "status": {
            "url": "http://my-model.default.example.com",
            "components": {"predictor": predictor},
            "conditions": [
                {"type": "IngressReady", "status": ready_status},
                {"type": "PredictorReady", "status": ready_status},
                {"type": "Ready", "status": ready_status},
            ],
            **status,
        },
    }


def stale() -> dict[str, Any]:
    """The object right after the canary was applied: KFServing has not looked at it, and says Ready."""
    return isvc(created=BASELINE, rolledout=BASELINE, traffic={BASELINE: 100})


def promoted() -> dict[str, Any]:
    return isvc(rolledout=CANARY, previous=BASELINE, traffic={CANARY: 100}, percent=100)


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def experiment(
    iterations: int = 0,
    *,
    completed: tuple[str, str, str] = ("False", "ExperimentInitialized", ""),
    failed: tuple[str, str, str] = ("False", "ExperimentInitialized", ""),
    weights: tuple[int, int] | None = None,
    winner: str | None = None,
    recommended: str | None = None,
    assessments: Mapping[str, list[bool]] | None = None,
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
    versions: bool = True,
    max_iterations: int = 12,
    names: tuple[str, str] = ("ExperimentCompleted", "ExperimentFailed"),
) -> dict[str, Any]:
    """The quickstart's Experiment, v2alpha1, after the start handler has written the versions."""
    status: dict[str, Any] = {
        "conditions": [_condition(names[0], *completed), _condition(names[1], *failed)],
        "completedIterations": iterations,
        "initTime": "2026-11-22T20:00:00Z",
    }
    spec: dict[str, Any] = {
        "target": "default/my-model",
        "strategy": {"type": "Canary"},
        "criteria": {
            "objectives": [
                {"metric": "mean-latency", "upperLimit": 1000},
                {"metric": "error-rate", "upperLimit": "0.01"},
            ]
        },
        "duration": {"intervalSeconds": 15, "maxIterations": max_iterations},
    }
    if versions:
        spec["versionInfo"] = {
            "baseline": {"name": "default", "tags": {"revision": BASELINE}},
            "candidates": [{"name": "canary", "tags": {"revision": CANARY}}],
        }
    if weights:
        status["currentWeightDistribution"] = [
            {"name": "default", "value": weights[0]},
            {"name": "canary", "value": weights[1]},
        ]
    if recommended:
        status["recommendedBaseline"] = recommended
    if iterations:
        found = {"winnerFound": winner is not None, **({"winner": winner} if winner else {})}
        status["analysis"] = {
            "winnerAssessment": {"data": found},
            "versionAssessments": {
                "data": dict(assessments or {"default": [True, True], "canary": [True, True]})
            },
            "aggregatedMetrics": {
                "data": {
                    name: {"data": {version: {"value": value} for version, value in values.items()}}
                    for name, values in (metrics or {}).items()
                }
            },
        }
    return {
        "apiVersion": "iter8.tools/v2alpha1",
        "kind": "Experiment",
        "metadata": {
            "name": "experiment-1",
            "namespace": "default",
            "uid": "uid-e",
            "creationTimestamp": "2027-01-15T08:00:15Z",  # when `rollouts.timeline` has it
        },
        "spec": spec,
        "status": status,
    }


def running(iteration: int, canary: int, winner: str | None = "canary") -> dict[str, Any]:
    return experiment(
        iteration,
        completed=("False", "IterationUpdate", f"Completed Iteration {iteration}"),
        weights=(100 - canary, canary),
        winner=winner,
        recommended=winner or "default",
    )


def finished(
    message: str = "Experiment completed successfully", winner: str | None = "canary", **more: Any
) -> dict[str, Any]:
    more.setdefault("weights", (5, 95))
    more.setdefault("iterations", 12)
    return experiment(
        completed=("True", "ExperimentCompleted", message),
        winner=winner,
        recommended=winner or "default",
        **more,
    )
