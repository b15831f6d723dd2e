# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative's Route, and the ingress controller behind it, as pure functions.

The gateway serves a split from the moment when it has taken it over; the Ingress, the Route, the Knative
Service and the InferenceService say so one after the other.
"""

from __future__ import annotations

from typing import Optional

from ...gateway import config
from ...kube.resources import CONFIGURATIONS, KNATIVE_INGRESSES, ROUTES
from ..conditions import Condition, condition, of_type
from ..resources import DOMAIN
from . import knative
from .objects import Change, Json, MergePatch, Object, SeenObjects, new, observed, reported

_NOT_CONFIGURED = condition("Unknown", "IngressNotConfigured", "Ingress has not yet been reconciled.")
_NOT_PROBED = condition("Unknown", "Uninitialized", "Waiting for load balancer to be ready")


def host(route: Object, tag: str = "") -> str:
    """The host name of a Route, or of one of its tags."""
    meta = route["metadata"]
    prefix = f"{tag}-" if tag else ""
    return f"{prefix}{meta['name']}.{meta['namespace']}.{DOMAIN}"


def targets(route: Object, seen: SeenObjects) -> Optional[list[Json]]:
    """The traffic with the revisions' names in place of "the latest"; ``None`` while none is ready."""
    meta = route["metadata"]
    configuration = seen.one(CONFIGURATIONS, meta["namespace"], meta["name"])
    latest = ((configuration or {}).get("status") or {}).get("latestReadyRevisionName")
    if not latest:
        return None
    found = []
    for entry in route["spec"]["traffic"]:
        made = {
            key: entry[key] for key in ("latestRevision", "percent", "revisionName", "tag") if key in entry
        }
        made.setdefault("revisionName", latest)
        if made.get("tag"):
            made["url"] = f"http://{host(route, made['tag'])}"
        found.append(made)
    return found


def reconcile(route: Object, seen: SeenObjects, now: str) -> list[Change]:
    """The Route: an Ingress as wanted, and the status. Its traffic is what is wanted, in force or not."""
    meta = route["metadata"]
    ingress = seen.one(KNATIVE_INGRESSES, meta["namespace"], meta["name"])
    traffic = targets(route, seen)
    status: Json = {"url": f"http://{host(route)}"}
    if traffic is None:
        text = f'Configuration "{meta["name"]}" is waiting for a Revision to become ready.'
        missing = condition("Unknown", "RevisionMissing", text)
        return reported(ROUTES, route, status, _conditions(missing, _NOT_CONFIGURED, missing), now)
    spec = {"rules": _rules(route, traffic)}
    changes: list[Change] = []
    if ingress is None:
        changes.append(new(KNATIVE_INGRESSES, ROUTES, route, meta["name"], spec))
    elif ingress["spec"] != spec:
        changes.append(MergePatch(KNATIVE_INGRESSES, ingress, {"spec": spec}))
    if ingress is None or changes or not observed(ingress):
        ready = _NOT_CONFIGURED
    else:
        ready = of_type(ingress.get("status"), "Ready")
    status["traffic"] = traffic
    return [*changes, *reported(ROUTES, route, status, _conditions(condition("True"), ready, ready), now)]


def _rules(route: Object, traffic: list[Json]) -> list[Json]:
    """A rule for the Route's host and one for each tag's. Shares of a revision are added up; 0 % is none."""
    shares: dict[str, int] = {}
    for entry in traffic:
        if entry["percent"]:
            shares[entry["revisionName"]] = shares.get(entry["revisionName"], 0) + entry["percent"]
    rules = [_rule(host(route), shares)]
    for entry in traffic:
        if entry.get("tag"):
            rules.append(_rule(host(route, entry["tag"]), {entry["revisionName"]: 100}))
    return rules


def _rule(name: str, shares: dict[str, int]) -> Json:
    splits = [{"percent": percent, "serviceName": revision} for revision, percent in shares.items()]
    return {"hosts": [name], "http": {"paths": [{"splits": splits}]}, "visibility": "ExternalIP"}


def _conditions(assigned: Condition, ingress: Condition, ready: Condition) -> dict[str, Condition]:
    return {"AllTrafficAssigned": assigned, "IngressReady": ingress, "Ready": ready}


def wanted_hosts(ingress: Object) -> dict[str, dict[str, int]]:
    """An Ingress as the gateway's routes."""
    namespace = ingress["metadata"]["namespace"]
    return {
        name: {
            config.cluster_name(namespace, split["serviceName"]): split["percent"]
            for path in rule["http"]["paths"]
            for split in path["splits"]
        }
        for rule in ingress["spec"]["rules"]
        for name in rule["hosts"]
    }


def may_be_routed(ingress: Object, seen: SeenObjects) -> bool:
    """Whether every revision of it has a pod that answers."""
    namespace = ingress["metadata"]["namespace"]
    names = {
        split["serviceName"]
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
        for split in path["splits"]
    }
    return all(knative.ready_pods(namespace, revision, seen) for revision in names)


def programmed(ingress: Object, in_force: bool, now: str) -> list[Change]:
    """The Ingress' status.

    :param in_force: the gateway serves what it asks for now. One pass later the ingress controller's probes
        have seen it, too.
    """
    before = of_type(ingress.get("status"), "LoadBalancerReady")
    if observed(ingress) and (before["status"] == "True" or in_force):
        ready = condition("True")
    else:
        ready = _NOT_PROBED
    made = {"LoadBalancerReady": ready, "NetworkConfigured": condition("True"), "Ready": ready}
    return reported(KNATIVE_INGRESSES, ingress, {}, made, now)
