# SPDX-License-Identifier: GPL-3.0-or-later
"""The spec of an iter8 Experiment (iter8.tools/v2alpha1): defaults, metrics, validity, handlers.

Pure: objects in, objects out. The behaviour is etc3 v0.1.1-alpha's, with iter8-kfserving's domain settings.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Optional

Json = dict[str, Any]

ITER8_NAMESPACE = "iter8-system"
REQUEST_COUNT_METRIC = "request-count"
NO_HANDLER = "none"

# iter8-kfserving's `experimentTypes`: the handlers that an Experiment gets if it names none.
_ALL_HANDLERS = {"start": "start", "finish": "finish", "rollback": "finish", "failure": "finish"}
_HANDLERS_BY_TYPE: Mapping[str, Mapping[str, str]] = {
    "Canary": _ALL_HANDLERS,
    "A/B": _ALL_HANDLERS,
    "BlueGreen": _ALL_HANDLERS,
    "Performance": {"start": "start"},
}
_CANDIDATES_BY_TYPE = {"Canary": 1, "BlueGreen": 1, "Performance": 0}


def with_defaults(spec: Mapping[str, Any]) -> Json:
    """The spec with etc3's defaults written into it. What the user set stays."""
    result: Json = copy.deepcopy(dict(spec))
    strategy = result["strategy"]
    handlers = strategy.setdefault("handlers", {})
    for moment, handler in _HANDLERS_BY_TYPE.get(strategy["type"], {}).items():
        handlers.setdefault(moment, handler)
    weights = strategy.setdefault("weights", {})
    weights.setdefault("maxCandidateWeight", 100)
    weights.setdefault("maxCandidateWeightIncrement", 10)
    weights.setdefault("algorithm", "FixedSplit" if strategy["type"] == "BlueGreen" else "Progressive")
    duration = result.setdefault("duration", {})
    duration.setdefault("intervalSeconds", 20)
    duration.setdefault("maxIterations", 15)
    if result.get("criteria") is not None:
        result["criteria"].setdefault("requestCount", REQUEST_COUNT_METRIC)
    return result


def unresolved_metrics(spec: Mapping[str, Any]) -> list[str]:
    """The metrics that the criteria name and that are not in the spec yet, each once, in order of mention.

    Like etc3, metrics that are there already are taken as they are.
    """
    criteria = spec.get("criteria")
    if criteria is None or spec.get("metrics"):
        return []
    named = [criteria.get("requestCount", REQUEST_COUNT_METRIC)]
    if criteria.get("reward"):
        named.append(criteria["reward"]["metric"])
    named.extend(criteria.get("indicators") or [])
    named.extend(objective["metric"] for objective in objectives(spec))
    return list(dict.fromkeys(named))


def metric_places(name: str, experiment_namespace: str) -> list[tuple[str, str]]:
    """Where to look for a metric, as (namespace, name), first match wins.

    `namespace/name` is looked for there only; a bare name in the Experiment's namespace, then in iter8's.
    """
    if name.count("/") == 1:
        namespace, _unused, bare = name.partition("/")
        return [(namespace, bare)]
    return list(dict.fromkeys([(experiment_namespace, name), (ITER8_NAMESPACE, name)]))


def metric_entry(name: str, metric: Mapping[str, Any]) -> Json:
    """One entry of `spec.metrics`: the name as the criteria spell it, and the Metric object."""
    embedded: Json = copy.deepcopy(dict(metric))
    metadata = embedded["metadata"]
    metadata.pop("managedFields", None)
    metadata.get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {"name": name, "metricObj": embedded}


def objectives(spec: Mapping[str, Any]) -> list[Json]:
    """The objectives in order; `versionAssessments` has one truth value for each."""
    return list((spec.get("criteria") or {}).get("objectives") or [])


def versions(spec: Mapping[str, Any]) -> list[Json]:
    """The baseline and the candidates, in that order."""
    info = spec["versionInfo"]
    return [info["baseline"], *(info.get("candidates") or [])]


def spec_problem(spec: Mapping[str, Any]) -> Optional[str]:
    """Why the sandbox's iter8 cannot run this Experiment, or None. Asked before the start handler runs."""
    kind = spec["strategy"]["type"]
    if kind not in _CANDIDATES_BY_TYPE:
        return (
            f"The sandbox's iter8 runs Canary, BlueGreen and Performance experiments, not {kind}, "
            "whose winner is decided by a reward."
        )
    if kind != "Performance" and spec["strategy"]["weights"]["algorithm"] != "Progressive":
        return (
            "The sandbox's iter8 moves traffic by spec.strategy.weights.algorithm Progressive only; set it "
            f"(a {kind} experiment here has FixedSplit)."
        )
    return None


def versions_problem(spec: Mapping[str, Any]) -> Optional[str]:
    """Why `spec.versionInfo` cannot be used, or None. Asked once the start handler has run."""
    if not spec.get("versionInfo"):
        return "No versionInfo in experiment"
    kind = spec["strategy"]["type"]
    if len(versions(spec)) - 1 != _CANDIDATES_BY_TYPE[kind]:
        return f"Invalid number of candidates for {kind} experiment"
    return None


def must_roll_back(spec: Mapping[str, Any], analysis: Mapping[str, Any]) -> bool:
    """Whether some version, the baseline too, misses an objective that is to end the experiment at once.

    An objective without data counts as missed, so such an experiment survives only if there is data from its
    first iteration on.
    """
    default = spec["strategy"]["type"] == "BlueGreen"
    assessments = (analysis.get("versionAssessments") or {}).get("data") or {}
    return any(
        objective.get("rollback_on_failure", default) and any(not met[index] for met in assessments.values())
        for index, objective in enumerate(objectives(spec))
    )


def handler_name(spec: Mapping[str, Any], moment: str) -> Optional[str]:
    """The handler of a moment (start, finish, rollback, failure), or None if there is none.

    Also for a spec whose defaults are not written yet: an Experiment may fail before that.
    """
    strategy = spec["strategy"]
    default = _HANDLERS_BY_TYPE.get(strategy["type"], {}).get(moment)
    name = (strategy.get("handlers") or {}).get(moment, default)
    return None if name in (None, "", NO_HANDLER) else str(name)


def job_name(handler: str, experiment: Mapping[str, Any]) -> str:
    """`<handler>-handler-<experiment>-<last segment of the UID>`. Handlers of one name share their Job."""
    metadata = experiment["metadata"]
    return f"{handler}-handler-{metadata['name']}-{metadata['uid'].rpartition('-')[2]}"


def handler_job(template: Mapping[str, Any], handler: str, experiment: Mapping[str, Any]) -> Json:
    """The Job that runs a handler for an Experiment, from the handler's template.

    It has no owner: it lives in iter8's namespace and stays when the Experiment is deleted.
    """
    job: Json = copy.deepcopy(dict(template))
    metadata = experiment["metadata"]
    job["metadata"] = {
        **(job.get("metadata") or {}),
        "name": job_name(handler, experiment),
        "namespace": ITER8_NAMESPACE,
    }
    pod = job["spec"]["template"]
    labels = pod.setdefault("metadata", {}).setdefault("labels", {})
    labels["iter8/experimentName"] = metadata["name"]
    labels["iter8/experimentNamespace"] = metadata["namespace"]
    pod["spec"]["serviceAccountName"] = "iter8-handlers"
    container = pod["spec"]["containers"][0]
    own = {"EXPERIMENT_NAME": metadata["name"], "EXPERIMENT_NAMESPACE": metadata["namespace"]}
    container["env"] = [e for e in container.get("env") or [] if e["name"] not in own]
    container["env"] += [{"name": name, "value": value} for name, value in own.items()]
    return job
