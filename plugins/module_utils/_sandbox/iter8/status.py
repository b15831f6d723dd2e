# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of an iter8 Experiment (iter8.tools/v2alpha1), as etc3 v0.1.1-alpha writes it.

Pure: each function returns a new status; times are passed in as seconds since the epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.quantity import canonical

from ..kube.times import seconds, timestamp

Json = dict[str, Any]

COMPLETED = "ExperimentCompleted"
FAILED = "ExperimentFailed"

_SECTIONS = ("aggregatedMetrics", "versionAssessments", "winnerAssessment", "weights")


def initialised(now: float) -> Json:
    """The status of an Experiment that is seen for the first time."""
    moment = timestamp(now)
    status: Json = {
        "initTime": moment,
        "lastUpdateTime": moment,
        "completedIterations": 0,
        "conditions": [
            {"type": kind, "status": "False", "lastTransitionTime": moment} for kind in (COMPLETED, FAILED)
        ],
    }
    reason, message = "ExperimentInitialized", "Experiment status initialized"
    return marked(status, COMPLETED, "False", reason=reason, message=message, now=now)


def marked(
    status: Mapping[str, Any], kind: str, value: str, *, reason: str, message: str, now: float
) -> Json:
    """The status with one condition set. `status.message` always shows the latest one."""
    result: Json = copy.deepcopy(dict(status))
    condition = next((c for c in result["conditions"] if c["type"] == kind), None)
    if condition is None:
        condition = {"type": kind}
        result["conditions"].append(condition)
    condition.update(status=value, reason=reason, message=message, lastTransitionTime=timestamp(now))
    result["message"] = f"{reason}: {message}"
    return result


def progress_reason(status: Mapping[str, Any]) -> Optional[str]:
    """The reason that stands on ExperimentCompleted."""
    return next((c.get("reason") for c in status.get("conditions") or [] if c["type"] == COMPLETED), None)


def started(status: Mapping[str, Any], baseline: str, now: float) -> Json:
    """The status once the start handler is done: metrics count from now; the baseline is recommended."""
    return {**status, "startTime": timestamp(now), "recommendedBaseline": baseline}


def analysed(status: Mapping[str, Any], analysis: Mapping[str, Any], baseline: str) -> Json:
    """The status with the latest analysis; its winner, else the baseline, is recommended."""
    data = analysis["winnerAssessment"]["data"]
    winner = data.get("winner") if data["winnerFound"] else None
    return {**status, "analysis": dict(analysis), "recommendedBaseline": winner or baseline}


def iterated(status: Mapping[str, Any], now: float) -> Json:
    """The status once an iteration is complete and its weights are in force."""
    return {
        **status,
        "currentWeightDistribution": copy.deepcopy(status["analysis"]["weights"]["data"]),
        "completedIterations": status["completedIterations"] + 1,
        "lastUpdateTime": timestamp(now),
    }


def seconds_until_due(status: Mapping[str, Any], interval_seconds: int, now: float) -> float:
    """How long until the next iteration: the first at once, then one every interval. At least 0.

    Worked out from the object alone, so a controller that restarts goes on where it was.
    """
    if status["completedIterations"] == 0:
        return 0.0
    # A wait cannot exceed the interval, even if the clock was set back.
    return min(max(0.0, seconds(status["lastUpdateTime"]) + interval_seconds - now), float(interval_seconds))


def accepted_analysis(answer: Mapping[str, Any], endpoint: str, now: float) -> Json:
    """The analytics service's answer in the form that goes into the status.

    Like etc3: where it came from and when; numbers as Kubernetes' quantities in canonical form (0.0125 is
    `12500u`). Raises ValueError if a part is missing.
    """
    analysis: Json = {}
    for name in _SECTIONS:
        section = answer.get(name)
        if not isinstance(section, Mapping) or "data" not in section:
            raise ValueError(f"the answer has no {name}")
        analysis[name] = {**copy.deepcopy(dict(section)), "provenance": endpoint, "timestamp": timestamp(now)}
    for metric in analysis["aggregatedMetrics"]["data"].values():
        for measured in metric["data"].values():
            if measured.get("value") is not None:
                measured["value"] = canonical(str(measured["value"]))
    return analysis
