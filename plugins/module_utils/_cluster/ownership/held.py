# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an object that was asked to go is still there."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import is_true

from ..client.api import Api, Json
from ..client.errors import ClusterError
from .record import ClaimedObject

WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"})
_DISCOVERY = "NamespaceDeletionDiscoveryFailure"
_NAMESPACE_CONDITIONS = (
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
    "NamespaceDeletionContentFailure",
    _DISCOVERY,
)


def held_by(obj: Json) -> str:
    """What the object itself says of it, as a clause."""
    if "unknown" in obj:
        return str(obj["unknown"])
    if obj.get("kind") == "Namespace":
        conditions = (obj.get("status") or {}).get("conditions") or []
        reasons = [
            f"{condition['type']}: {condition.get('message') or condition.get('reason')}"
            for condition in conditions
            if condition.get("type") in _NAMESPACE_CONDITIONS and condition.get("status") == "True"
        ]
        if reasons:
            return " ".join(reasons).rstrip(".")
    finalizers = obj["metadata"].get("finalizers") or []
    return f"held by finalizers {', '.join(finalizers)}" if finalizers else "being deleted"


def unavailable(api: Api, obj: Json) -> str:
    """Which API services do not answer, where a namespace waits for them: until all of its content can be
    listed, none of it counts as gone."""
    if not is_true(obj, _DISCOVERY):
        return ""
    try:
        path = api.resource("apiregistration.k8s.io/v1", "APIService").path()
        services = api.get(path).get("items") or []
    except ClusterError:
        return ""
    silent = [str(each["metadata"]["name"]) for each in services if not is_true(each, "Available")]
    return f" (not available: APIService {', '.join(silent)})" if silent else ""


def ending_pods(api: Api, entry: ClaimedObject) -> str:
    """The pods that a workload or a namespace waits for, and until when at the latest they end: Kubernetes
    gives each the whole of its terminationGracePeriodSeconds, ten minutes for one that drains long requests
    as Knative's activator does. Empty where there is none, or none can be listed."""
    if entry.kind != "Namespace" and entry.kind not in WORKLOADS:
        return ""
    named = [
        (str(each["metadata"]["name"]), str(each["metadata"]["deletionTimestamp"]))
        for each in pods_of(api, entry)
        if each["metadata"].get("deletionTimestamp")
    ]
    if not named:
        return ""
    pods = ", ".join(f"{pod} until {until}" for pod, until in sorted(named))
    return f" (its pods have time to end: {pods})"


def pods_of(api: Api, entry: ClaimedObject) -> list[Json]:
    """The pods in a namespace, or those of a workload, which begin with its name; none where they cannot be
    listed."""
    whole = entry.kind == "Namespace"
    try:
        path = api.resource("v1", "Pod").path(entry.name if whole else entry.namespace)
        listed: list[Json] = api.get(path).get("items") or []
    except ClusterError:
        return []
    return [each for each in listed if whole or f"{each['metadata']['name']}-".startswith(f"{entry.name}-")]
