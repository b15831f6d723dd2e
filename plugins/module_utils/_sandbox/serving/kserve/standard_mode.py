# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe's controller in Standard mode: Deployments, Services and HTTPRoutes, as pure functions.

The rules are those of KServe's predictor.go and httproute_reconciler.go (master of 2026-08, as 0.21), with
what they cost: the stable Deployment is shrunk in the moment in which a canary has one pod, and whatever is
no longer named is deleted before anything else is scaled or routed. 0.20.0 is the same without weights: the
canary is reported, and the stable shrunk, but no request reaches it.

Not reproduced: Envoy Gateway's wait of up to 15 s for the endpoints of a cluster whose name has changed
(``initial_fetch_timeout``). The sandbox's Envoy reads clusters and their endpoints from one file, so it never
waits for these alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ...kube.resources import DEPLOYMENTS, HTTP_ROUTES, KSERVE_INFERENCE_SERVICES, SERVICES
from ..conditions import Condition, condition, of_type, with_times, worst
from ..resources import DOMAIN, HASH_ANNOTATION, MODEL_PORT, SCRAPED
from . import predictor
from .objects import SERVICE_LABEL, Change, Delete, Json, MergePatch, Object, SeenObjects, new, status_if_new

GATEWAY = {
    "group": "gateway.networking.k8s.io",
    "kind": "Gateway",
    "name": "kserve-ingress-gateway",
    "namespace": "kserve",
}
APP_LABEL = "app"
SERVICE_PORT = 80
# What changes no pod's template.
_UNRELATED = ("name", "minReplicas", "maxReplicas", "canaryTrafficPercent")
_NO_ROUTE = condition("False", "Predictor Deployment NotReady", "Predictor HTTPRoute not created")


@dataclass(frozen=True)
class PredictorPart:
    """The stable predictor (without a share) or one canary, and its Deployment as it was seen."""

    name: str
    predictor: Mapping[str, Any]
    replicas: int
    canary: str = ""
    percent: int = 0
    deployment: Optional[Object] = None

    @property
    def available(self) -> int:
        """Pods that answer, by the Deployment's status."""
        return int(((self.deployment or {}).get("status") or {}).get("availableReplicas") or 0)

    @property
    def ready(self) -> bool:
        """What KServe takes for it: one pod."""
        return self.available > 0


def parts(service: Object, seen: SeenObjects, weighted: bool) -> list[PredictorPart]:
    """The stable predictor, then the canaries, with the pods that each is to have.

    :param weighted: as KServe does since 0.21; 0.20.0 shrinks the stable for canaries that are not ready.
    """
    meta, spec = service["metadata"], service["spec"]
    asked = max(1, int(spec["predictor"].get("minReplicas") or 1))
    canaries = []
    for entry in spec.get("canary") or ():
        name = f"{meta['name']}-{entry['predictor']['name']}-predictor"
        percent = int(entry.get("trafficPercent") or 0)
        replicas = entry["predictor"].get("minReplicas")
        canaries.append(
            PredictorPart(
                name,
                entry["predictor"],
                int(replicas) if replicas is not None else math.ceil(asked * percent / 100),
                entry["predictor"]["name"],
                percent,
                seen.one(DEPLOYMENTS, meta["namespace"], name),
            )
        )
    relieved = sum(each.replicas for each in canaries if each.ready or not weighted)
    own = spec["predictor"].get("name")
    name = f"{meta['name']}-{own}-predictor" if own else f"{meta['name']}-predictor"
    deployment = seen.one(DEPLOYMENTS, meta["namespace"], name)
    return [
        PredictorPart(name, spec["predictor"], max(asked - relieved, 1), deployment=deployment),
        *canaries,
    ]


def host(service: Object, component: str = "") -> str:
    """KServe's default domainTemplate, ``{{name}}-{{namespace}}.{{domain}}``."""
    meta = service["metadata"]
    return f"{meta['name']}{component}-{meta['namespace']}.{DOMAIN}"


def reconcile(
    service: Object, seen: SeenObjects, faults: Mapping[str, str], weighted: bool, now: str
) -> list[Change]:
    """One reconciliation.

    What is no longer named goes first, in a pass of its own: the gateway sees that before KServe has written
    the routes anew.

    :param faults: variables of the sandbox's model server, for what is new beside what serves.
    """
    wanted = parts(service, seen, weighted)
    names = {each.name for each in wanted}
    orphans: list[Change] = [
        Delete(kind, each)
        for kind in (DEPLOYMENTS, SERVICES)
        for each in seen.children(kind, service)
        if each["metadata"]["name"] not in names and not each["metadata"].get("deletionTimestamp")
    ]
    if orphans:
        return orphans
    changes: list[Change] = []
    for part in wanted:
        changes += _workload(service, part, seen, faults)
    changes += _routes(service, wanted, seen, weighted)
    return [*changes, *_status(service, wanted, seen, now)]


def _workload(
    service: Object, part: PredictorPart, seen: SeenObjects, faults: Mapping[str, str]
) -> list[Change]:
    app = f"isvc.{part.name}"
    wanted = predictor.digest(part.predictor, _UNRELATED)
    current = part.deployment
    changes: list[Change] = []
    if seen.one(SERVICES, service["metadata"]["namespace"], part.name) is None:
        ports = [{"name": part.name[:15].rstrip("-"), "port": SERVICE_PORT, "targetPort": MODEL_PORT}]
        spec: Json = {"type": "ClusterIP", "selector": {APP_LABEL: app}, "ports": ports}
        changes.append(new(SERVICES, KSERVE_INFERENCE_SERVICES, service, part.name, spec))
    if current is None:
        spec = {
            "replicas": part.replicas,
            "selector": {"matchLabels": {APP_LABEL: app}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "template": _template(service, part, app, faults if seen.children(DEPLOYMENTS, service) else {}),
        }
        annotations = {HASH_ANNOTATION: wanted, "serving.kserve.io/deploymentMode": "Standard"}
        labels = {APP_LABEL: app, "component": "predictor"}
        made = new(
            DEPLOYMENTS,
            KSERVE_INFERENCE_SERVICES,
            service,
            part.name,
            spec,
            labels=labels,
            annotations=annotations,
        )
        return [made, *changes]
    patch: Json = {}
    if current["metadata"]["annotations"].get(HASH_ANNOTATION) != wanted:
        patch["metadata"] = {"annotations": {HASH_ANNOTATION: wanted}}
        patch["spec"] = {"template": _template(service, part, app, faults)}
    if int(current["spec"].get("replicas", 1)) != part.replicas:
        patch.setdefault("spec", {})["replicas"] = part.replicas
    if patch:
        changes.insert(0, MergePatch(DEPLOYMENTS, current, patch))
    return changes


def _template(service: Object, part: PredictorPart, app: str, faults: Mapping[str, str]) -> Json:
    meta = service["metadata"]
    labels = {APP_LABEL: app, SERVICE_LABEL: meta["name"], "component": "predictor"}
    container = predictor.user_container(service, part.predictor, faults)
    return {
        "metadata": {
            "labels": labels,
            "annotations": {**SCRAPED, **predictor.source(part.predictor)},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "containers": [predictor.pod_container(container)],
        },
    }


def _routes(service: Object, wanted: list[PredictorPart], seen: SeenObjects, weighted: bool) -> list[Change]:
    """The predictor's HTTPRoute, then the InferenceService's. Made once the stable is available."""
    stable, *canaries = wanted
    if canaries and weighted:
        ready = [each for each in canaries if each.ready]
        backends = [_backend(stable, 100 - sum(each.percent for each in ready))]
        backends += [_backend(each, each.percent) for each in ready]
    else:
        backends = [_backend(stable, 1)]
    meta = service["metadata"]
    changes: list[Change] = []
    for suffix in ("-predictor", ""):
        spec = {
            "hostnames": [host(service, suffix)],
            "parentRefs": [dict(GATEWAY)],
            "rules": [{"backendRefs": backends}],
        }
        route = seen.one(HTTP_ROUTES, meta["namespace"], meta["name"] + suffix)
        if route is None:
            if _predictor_ready(stable)["status"] == "True":
                name = meta["name"] + suffix
                changes.append(new(HTTP_ROUTES, KSERVE_INFERENCE_SERVICES, service, name, spec))
        elif route["spec"] != spec:
            changes.append(MergePatch(HTTP_ROUTES, route, {"spec": spec}))
    return changes


def _backend(part: PredictorPart, weight: int) -> Json:
    return {"kind": "Service", "name": part.name, "port": SERVICE_PORT, "weight": weight}


def _predictor_ready(stable: PredictorPart) -> Condition:
    """As the Deployment's conditions say, of whatever generation: they are stale right after a change."""
    status = (stable.deployment or {}).get("status") or {}
    if not any(each["type"] == "Available" for each in status.get("conditions") or ()):
        return condition("False")
    available = of_type(status, "Available")
    if available["status"] != "True":
        return condition("False", available.get("reason", ""), available.get("message", ""))
    progressing = of_type(status, "Progressing")
    done = progressing if progressing.get("reason") == "NewReplicaSetAvailable" else available
    return condition("True", done.get("reason", ""), done.get("message", ""))


def _ingress_ready(service: Object, seen: SeenObjects) -> Condition:
    """From the conditions of the HTTPRoutes' parents, of whatever generation."""
    meta = service["metadata"]
    for suffix, what in (("-predictor", "Predictor"), ("", "InferenceService")):
        route = seen.one(HTTP_ROUTES, meta["namespace"], meta["name"] + suffix)
        if route is None:
            return _NO_ROUTE
        parents = (route.get("status") or {}).get("parents") or ()
        if not parents:
            return condition("False", "ParentStatusNotAvailable", f"{what} HttpRouteNotReady")
        for each in parents[0]["conditions"]:
            if each["status"] != "True":
                return condition("False", each["reason"], f"{what} {each['message']}")
    return condition("True")


def _status(service: Object, wanted: list[PredictorPart], seen: SeenObjects, now: str) -> list[Change]:
    stable, *canaries = wanted
    old = service.get("status") or {}
    ready, ingress = _predictor_ready(stable), _ingress_ready(service, seen)
    made: dict[str, Condition] = {
        "IngressReady": ingress,
        "PredictorReady": ready,
        "Ready": worst(ingress, ready),
        "Stopped": {**condition("False"), "severity": "Info"},
    }
    status: Json = {"deploymentMode": "Standard"}
    if canaries:
        all_ready = all(each.ready for each in canaries)
        said = ("True", "AllCanariesReady") if all_ready else ("False", "CanariesNotReady")
        made["CanaryPredictorReady"] = {**condition(*said), "severity": "Info"}
        status["canaryStatuses"] = [
            {
                "modelStatus": {"transitionStatus": ""},
                "name": each.canary,
                "ready": each.ready,
                "trafficPercent": each.percent,
            }
            for each in canaries
        ]
    named = [{"type": kind, **made[kind]} for kind in sorted(made)]
    status["conditions"] = with_times(named, old.get("conditions") or [], now)
    meta = service["metadata"]
    if ingress["status"] == "True" or "url" in old:
        status["url"] = f"http://{host(service)}"
        status["address"] = {"url": f"http://{stable.name}.{meta['namespace']}.svc.cluster.local"}
        status["components"] = {
            "predictor": {"url": f"http://{host(service, stable.name[len(meta['name']) :])}"}
        }
    observed = ((stable.deployment or {}).get("status") or {}).get("observedGeneration")
    if observed:
        status["observedGeneration"] = observed
    status["modelStatus"] = _model_status(old, made["Ready"]["status"] == "True", stable.available)
    return status_if_new(KSERVE_INFERENCE_SERVICES, service, status)


def _model_status(old: Mapping[str, Any], ready: bool, copies: int) -> Json:
    states = (old.get("modelStatus") or {}).get("states") or {}
    active = "Loaded" if ready else states.get("activeModelState", "")
    return {
        "copies": {"failedCopies": 0, "totalCopies": copies},
        "states": {"activeModelState": active, "targetModelState": "Loaded" if ready else "Pending"},
        "transitionStatus": "UpToDate" if ready else "InProgress",
    }
