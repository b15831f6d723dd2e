# SPDX-License-Identifier: GPL-3.0-or-later
"""What iter8-analytics 1.1.0-alpha works out for an Experiment: metric queries, assessments, winner, weights.

Pure: the measured values come in as numbers, the analysis goes out as the Experiment's status shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from string import Template
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common import quantity
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import progressive

from ..iter8 import spec as specs

Json = dict[str, Any]
# (metric name, version name) -> the value, or None where there is no data
Values = Mapping[tuple[str, str], Optional[float]]


class InvalidRequest(ValueError):
    """The Experiment lacks something that the analysis needs; the text says what."""


def interval_seconds(start_time: float, now: float) -> int:
    """`$interval` in whole seconds: metrics are cumulative, from the start of the Experiment."""
    return max(0, int(now - start_time))


def query(template: str, version: Mapping[str, Any], interval: int) -> str:
    """The PromQL for one version: `$name`, each of its tags and `$interval` filled in.

    Raises InvalidRequest if the template names something else.
    """
    values = {"name": version["name"], **(version.get("tags") or {}), "interval": f"{interval}s"}
    try:
        return Template(template).substitute(values)
    except KeyError as missing:
        raise InvalidRequest(f"version {version['name']} has no tag {missing}, which a metric's query names.")
    except ValueError as error:
        raise InvalidRequest(f"a metric's query cannot be filled in: {error}.")


def single_value(answer: Any) -> Optional[float]:
    """The one number in a Prometheus query's answer.

    None for everything else: an error, no series, several, NaN (0/0) or an infinity.
    """
    try:
        data = answer["data"]
        if answer["status"] != "success" or data["resultType"] != "vector" or len(data["result"]) != 1:
            return None
        _when, written = data["result"][0]["value"]
        number = float(written)
    except (KeyError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def measure(spec: Mapping[str, Any], interval: int, ask: Callable[[str], Optional[float]]) -> Values:
    """Ask for every metric of every version. Raises InvalidRequest."""
    found: dict[tuple[str, str], Optional[float]] = {}
    for entry in spec.get("metrics") or []:
        metric = entry["metricObj"]["spec"]
        if metric["provider"] != "prometheus":
            raise InvalidRequest(f"metric {entry['name']} has provider {metric['provider']}, not prometheus.")
        template = (metric.get("params") or {}).get("query")
        if template is None:
            raise InvalidRequest(f"metric {entry['name']} has no params.query.")
        for version in specs.versions(spec):
            found[entry["name"], version["name"]] = ask(query(template, version, interval))
    return found


def analysis(spec: Mapping[str, Any], status: Mapping[str, Any], values: Values) -> Json:
    """The four parts of `status.analysis`, without provenance and time."""
    assessments = _assess(spec, values)
    names = [version["name"] for version in specs.versions(spec)]
    has_candidate = spec["strategy"]["type"] != "Performance"
    if has_candidate and len(names) != 2:
        raise InvalidRequest(f"one baseline and one candidate are needed, not {len(names)} versions.")
    return {
        "aggregatedMetrics": _aggregate(values),
        "versionAssessments": {"data": assessments, "message": _no_data(spec, names, values)},
        "winnerAssessment": _winner(assessments, names) if has_candidate else _no_winner(),
        "weights": _weights(spec, status, assessments, names) if has_candidate else _no_weights(),
    }


def _aggregate(values: Values) -> Json:
    data: Json = {}
    for (metric, version), value in values.items():
        measured = data.setdefault(metric, {"data": {}})["data"]
        measured[version] = {} if value is None else {"value": str(value)}
    missing = [f"{metric} of {version}" for (metric, version), value in values.items() if value is None]
    return {"data": data, "message": f"Error: no value for {', '.join(missing)}" if missing else "all ok"}


def _assess(spec: Mapping[str, Any], values: Values) -> dict[str, list[bool]]:
    return {
        version["name"]: [
            progressive.objective_met(
                values.get((objective["metric"], version["name"])),
                _limit(objective, "upperLimit"),
                _limit(objective, "lowerLimit"),
            )
            for objective in specs.objectives(spec)
        ]
        for version in specs.versions(spec)
    }


def _limit(objective: Mapping[str, Any], key: str) -> Optional[float]:
    """A limit as a number; it is written as an integer or as a quantity such as "0.01" or "10m"."""
    if objective.get(key) is None:
        return None
    limit = quantity.parse(objective[key])
    if limit is None:
        metric = objective["metric"]
        raise InvalidRequest(f"{key} of objective {metric} is not a quantity: {objective[key]!r}.")
    return limit


def _no_data(spec: Mapping[str, Any], names: list[str], values: Values) -> str:
    missing = [
        f"{objective['metric']} of {name}"
        for objective in specs.objectives(spec)
        for name in names
        if values.get((objective["metric"], name)) is None
    ]
    return f"Warning: not met, for there is no value: {', '.join(missing)}" if missing else "all ok"


def _winner(assessments: Mapping[str, list[bool]], names: list[str]) -> Json:
    baseline, canary = names
    winner = progressive.winner(assessments, baseline, canary)
    if winner is None:
        return {"data": {"winnerFound": False}, "message": "no version satisfies all objectives"}
    reason = (
        "candidate satisfies all objectives"
        if winner == canary
        else "baseline satisfies all objectives; candidate does not"
    )
    return {"data": {"winnerFound": True, "winner": winner}, "message": reason}


def _no_winner() -> Json:
    return {"data": {"winnerFound": False}, "message": "performance tests cannot have winner assessments"}


def _weights(
    spec: Mapping[str, Any],
    status: Mapping[str, Any],
    assessments: Mapping[str, list[bool]],
    names: list[str],
) -> Json:
    baseline, canary = names
    now = {w["name"]: w["value"] for w in status.get("currentWeightDistribution") or []}
    limits = spec["strategy"].get("weights") or {}
    new = progressive.next_weights(
        (now.get(baseline, 100), now.get(canary, 0)),
        all(assessments[canary]),
        limits.get("maxCandidateWeight", 100),
        limits.get("maxCandidateWeightIncrement", 10),
    )
    return {
        "data": [{"name": name, "value": value} for name, value in zip(names, new)],
        "message": "all ok",
    }


def _no_weights() -> Json:
    return {"data": [], "message": "weight computation is not applicable to a performance experiment"}
