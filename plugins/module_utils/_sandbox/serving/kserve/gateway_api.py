# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller of a Gateway API gateway: HTTPRoutes as routes, and their parents' status. Pure functions.

As with Envoy Gateway, a share whose Service does not exist is answered with 500, and one whose Service has no
pod that is ready with 503.
"""

from __future__ import annotations

from ...gateway import config
from ...kube.resources import HTTP_ROUTES, SERVICES
from ..conditions import condition, with_times
from .objects import Change, Object, SeenObjects, status_if_new

CONTROLLER = "sandbox.iter8.kfserving/gateway-controller"


def wanted_hosts(route: Object, seen: SeenObjects) -> dict[str, dict[str, int]]:
    """An HTTPRoute as the gateway's routes; nothing where all its weights are 0."""
    namespace = route["metadata"]["namespace"]
    shares: dict[str, int] = {}
    for backend in route["spec"]["rules"][0]["backendRefs"]:
        there = seen.one(SERVICES, namespace, backend["name"]) is not None
        cluster = config.cluster_name(namespace, backend["name"]) if there else config.NO_BACKEND
        if backend.get("weight", 1):
            shares[cluster] = shares.get(cluster, 0) + backend.get("weight", 1)
    return {name: dict(shares) for name in route["spec"]["hostnames"] if shares}


def accepted(route: Object, seen: SeenObjects, now: str) -> list[Change]:
    """The status of the route's parents. Envoy Gateway writes it without waiting for its Envoys."""
    meta = route["metadata"]
    resolved = condition("True", "ResolvedRefs", "Resolved all the Object references for the Route")
    for number, backend in enumerate(route["spec"]["rules"][0]["backendRefs"]):
        if seen.one(SERVICES, meta["namespace"], backend["name"]) is None:
            where = f"service {meta['namespace']}/{backend['name']} not found."
            text = f"Failed to process route rule 0 backendRef {number}: {where}"
            resolved = condition("False", "BackendNotFound", text)
            break
    made = {"Accepted": condition("True", "Accepted", "Route is accepted"), "ResolvedRefs": resolved}
    old = ((route.get("status") or {}).get("parents") or [{}])[0].get("conditions") or []
    named = [{"type": kind, "observedGeneration": meta["generation"], **made[kind]} for kind in sorted(made)]
    parents = [
        {
            "conditions": with_times(named, old, now),
            "controllerName": CONTROLLER,
            "parentRef": parent,
        }
        for parent in route["spec"]["parentRefs"]
    ]
    return status_if_new(HTTP_ROUTES, route, {"parents": parents})
