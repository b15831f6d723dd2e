# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the nodes have room for the pods of another version of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.quantity import parse
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import (
    entries,
    is_true,
    mapping,
)

from ..client.api import Api, Json
from ..client.errors import Forbidden, NotFound

# What is looked at; a model's GPU, and whatever else is requested by name, counts as well.
_FINISHED = frozenset({"Succeeded", "Failed"})


def requests_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """What a pod's containers request in all, by resource. Init containers run before, so that each
    resource is the greater of the two sums' (of containers, and of the largest init container)."""
    total: dict[str, float] = {}
    for container in entries(spec, "containers"):
        for name, amount in _requests(container).items():
            total[name] = total.get(name, 0.0) + amount
    for container in entries(spec, "initContainers"):
        for name, amount in _requests(container).items():
            total[name] = max(total.get(name, 0.0), amount)
    return total


def _requests(container: Mapping[str, Any]) -> dict[str, float]:
    # A limit without a request is the request, too.
    named = {**mapping(container, "resources", "limits"), **mapping(container, "resources", "requests")}
    return {str(name): parse(amount) or 0.0 for name, amount in named.items()}


def requests_of_model(inferenceservice: Mapping[str, Any] | None) -> dict[str, float]:
    """What the containers of a model's predictor request: those that it lists, and its server, under
    ``model`` or under the name of a framework (``sklearn``), as KFServing has it."""
    predictor = mapping(inferenceservice, "spec", "predictor")
    servers = [each for each in predictor.values() if mapping(each, "resources")]
    return requests_of({"containers": [*servers, *entries(predictor, "containers")]})


def lacks_room(nodes: Iterable[Json], pods: Iterable[Json], wanted: Mapping[str, float]) -> str:
    """What no ready node has enough of for one more pod, as a sentence; empty where one has.

    ``nodes`` and ``pods`` are all of the cluster. Taints, affinities and autoscalers of nodes are not
    looked at.
    """
    used: dict[str, dict[str, float]] = {}
    for pod in pods:
        where = str((pod.get("spec") or {}).get("nodeName") or "")
        if where and (pod.get("status") or {}).get("phase") not in _FINISHED:
            for name, amount in requests_of(pod["spec"]).items():
                used.setdefault(where, {})[name] = used.get(where, {}).get(name, 0.0) + amount
    best: dict[str, float] = {}
    ready = [each for each in nodes if _takes_pods(each)]
    for node in ready:
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        taken = used.get(str(node["metadata"]["name"]), {})
        free = {name: (parse(allocatable.get(name)) or 0.0) - taken.get(name, 0.0) for name in wanted}
        if all(free[name] >= amount for name, amount in wanted.items()):
            return ""
        best = {name: max(best.get(name, free[name]), free[name]) for name in wanted}
    if not ready:
        return "No node is ready to take pods."
    requests = ", ".join(
        f"{name} {amount:g} (at most {best[name]:g} free)" for name, amount in wanted.items()
    )
    return (
        f"No node has room for one more pod of the model, which requests {requests}: free some, add a node, "
        "or lower the requests."
    )


def _takes_pods(node: Json) -> bool:
    return is_true(node, "Ready") and not (node.get("spec") or {}).get("unschedulable")


def room(api: Api, wanted: Mapping[str, float]) -> tuple[str, str]:
    """(what is wrong, what could not be looked at), as sentences, either empty."""
    if not any(wanted.values()):
        return "", ""
    try:
        nodes = api.get(api.resource("v1", "Node").path()).get("items") or []
        pods = api.get(api.resource("v1", "Pod").path()).get("items") or []
    except (Forbidden, NotFound):
        return (
            "",
            "Whether the nodes have room for the canary was not looked at: that takes the right to list "
            "nodes and all pods.",
        )
    # The sandbox's nodes tell nothing, and take whatever comes.
    if not any((node.get("status") or {}).get("allocatable") for node in nodes):
        return "", ""
    return lacks_room(nodes, pods, wanted), ""
