# SPDX-License-Identifier: GPL-3.0-or-later
"""What KServe makes in Standard mode, for tests: an InferenceService `m` and what it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

STABLE, CANARY = "m-predictor-aaa", "m-v2-predictor-bbb"
"""The ReplicaSets that are the revisions."""


def service(*canaries: tuple[str, int], ready: str = "True", **spec: Any) -> Object:
    """The InferenceService; `canaries` are a predictor's name and the percent that it asks for."""
    canary = [
        {"trafficPercent": percent, "predictor": {"name": name, "model": {"storageUri": f"s3://{name}"}}}
        for name, percent in canaries
    ]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "m", "namespace": "default", "uid": "u-m", "generation": 1},
        "spec": {
            "predictor": {"minReplicas": 1, "model": {"storageUri": "s3://v1"}, **spec},
            **({"canary": canary} if canary else {}),
        },
        "status": {
            "deploymentMode": "Standard",
            "url": "http://m-default.example.com",
            "conditions": [{"type": "Ready", "status": ready, "reason": "", "message": ""}],
        },
    }


def deployment(name: str, pods: int = 1, **status: Any) -> Object:
    """A Deployment that is as asked; `status` replaces fields."""
    whole = {
        "observedGeneration": 1,
        "replicas": pods,
        "updatedReplicas": pods,
        "readyReplicas": pods,
        "availableReplicas": pods,
    }
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "generation": 1, "uid": f"u-{name}", **_owned("InferenceService", "m")},
        "spec": {"replicas": pods},
        "status": {**whole, **status},
    }


def replicaset(name: str, pods: int = 1, revision: int = 1) -> Object:
    """A ReplicaSet of the Deployment that its name begins with."""
    owner = name.rpartition("-")[0]
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "uid": f"u-{name}",
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            **_owned("Deployment", owner),
        },
        "spec": {"replicas": pods},
        "status": {"replicas": pods, "readyReplicas": pods, "availableReplicas": pods},
    }


def route(weights: Mapping[str, int | None], name: str = "m", seen: int = 1, **condition: Any) -> Object:
    """An HTTPRoute with these weights, accepted as it was in generation `seen` of 1."""
    backends = [
        {"name": each, **({} if weight is None else {"weight": weight})} for each, weight in weights.items()
    ]
    accepted = {"type": "Accepted", "status": "True", "observedGeneration": seen, **condition}
    return {
        "kind": "HTTPRoute",
        "metadata": {"name": name, "uid": f"u-{name}", "generation": 1, **_owned("InferenceService", "m")},
        "spec": {"rules": [{"backendRefs": backends}]},
        "status": {"parents": [{"conditions": [accepted]}]},
    }


def pod(replicaset_name: str, ready: bool = True, **status: Any) -> Object:
    """A pod of the ReplicaSet, labelled as of the InferenceService that its name begins with."""
    owned = _owned("ReplicaSet", replicaset_name)
    owned["labels"] = {"serving.kserve.io/inferenceservice": replicaset_name.partition("-")[0]}
    return {
        "kind": "Pod",
        "metadata": {"name": f"{replicaset_name}-x", **owned},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {"name": "kserve-container", "ready": ready, "restartCount": 0, "state": {"running": {}}}
            ],
            **status,
        },
    }


def cannot_start(replicaset_name: str) -> Object:
    """A pod whose image cannot be pulled."""
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    status = {"name": "kserve-container", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    return pod(replicaset_name, ready=False, containerStatuses=[status])


def children(*objects: Object) -> dict[str, dict[str, Object]]:
    """Them by kind and name."""
    found: dict[str, dict[str, Object]] = {}
    for each in objects:
        found.setdefault(each["kind"], {})[each["metadata"]["name"]] = each
    return found


def canary_at(percent: int) -> dict[str, dict[str, Object]]:
    """All that there is while the canary v2 has this percent."""
    return children(
        deployment("m-predictor"),
        replicaset(STABLE),
        deployment("m-v2-predictor"),
        replicaset(CANARY),
        route({"m-predictor": 100 - percent, "m-v2-predictor": percent}),
    )


def _owned(kind: str, name: str) -> Object:
    """Who made it; KServe labels all that it makes but HTTPRoutes."""
    labels = {} if kind == "InferenceService" else {"serving.kserve.io/inferenceservice": "m"}
    return {"labels": labels, "ownerReferences": [{"kind": kind, "name": name, "uid": f"u-{name}"}]}
