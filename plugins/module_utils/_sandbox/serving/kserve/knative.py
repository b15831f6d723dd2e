# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative Serving's controllers of Services, Configurations and Revisions, as pure functions.

Revisions get no activator and no queue-proxy: one without a pod is not routed until it has one, where
Knative's activator would hold its requests meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ...kube import discovery
from ...kube.conditions import is_true
from ...kube.resources import CONFIGURATIONS, DEPLOYMENTS, KNATIVE_SERVICES, REVISIONS, ROUTES
from ..conditions import Condition, condition, of_type, worst
from ..resources import GENERATION_LABEL, REVISION_LABEL, SCRAPED
from ..status import RevisionState, latest_ready
from . import predictor
from .objects import SERVICE_LABEL, Change, Json, MergePatch, Object, SeenObjects, new, observed, reported

_OUT_OF_DATE = "The {} is still working to reflect the latest desired specification."


def wanted_route(ksvc: Object) -> list[Json]:
    """The Route's traffic: as the Service's, what is latest being that of the Configuration."""
    name = ksvc["metadata"]["name"]
    return [
        {**({"configurationName": name} if entry.get("latestRevision") else {}), **entry}
        for entry in ksvc["spec"]["traffic"]
    ]


def service(ksvc: Object, seen: SeenObjects, now: str) -> list[Change]:
    """The Service: its Configuration and Route as wanted, and a status from theirs."""
    meta = ksvc["metadata"]
    configuration = seen.one(CONFIGURATIONS, meta["namespace"], meta["name"])
    route = seen.one(ROUTES, meta["namespace"], meta["name"])
    changes: list[Change] = []
    for kind, child, spec in (
        (CONFIGURATIONS, configuration, {"template": ksvc["spec"]["template"]}),
        (ROUTES, route, {"traffic": wanted_route(ksvc)}),
    ):
        if child is None:
            changes.append(new(kind, KNATIVE_SERVICES, ksvc, meta["name"], spec))
        elif child["spec"] != spec:
            changes.append(MergePatch(kind, child, {"spec": spec}))
    changed = {change.kind for change in changes}
    configurations = _child_ready(None if CONFIGURATIONS in changed else configuration, "Configuration")
    routes = _child_ready(None if ROUTES in changed else route, "Route")
    if routes["status"] == "True" and configuration and route and not _migrated(configuration, route):
        text = "Traffic is not yet migrated to the latest revision."
        routes = condition("Unknown", "TrafficNotMigrated", text)
    conditions = {
        "ConfigurationsReady": configurations,
        "Ready": worst(routes, configurations),
        "RoutesReady": routes,
    }
    from_configuration = (configuration or {}).get("status") or {}
    from_route = (route or {}).get("status") or {}
    status = {
        **{
            key: from_configuration[key]
            for key in ("latestCreatedRevisionName", "latestReadyRevisionName")
            if key in from_configuration
        },
        **{key: from_route[key] for key in ("traffic", "url", "address") if key in from_route},
    }
    return [*changes, *reported(KNATIVE_SERVICES, ksvc, status, conditions, now)]


def configuration(obj: Object, seen: SeenObjects, now: str) -> list[Change]:
    """The Configuration: a revision for each generation, and which is the newest that was ready."""
    meta = obj["metadata"]
    newest = f"{meta['name']}-{meta['generation']:05d}"
    made = revisions(obj, seen)
    changes: list[Change] = []
    if not any(each["metadata"]["name"] == newest for each in made):
        template = obj["spec"]["template"]
        labels = {GENERATION_LABEL: str(meta["generation"])}
        for key in ("configuration", "service"):
            labels[f"serving.knative.dev/{key}"] = meta["name"]
        annotations = dict(template["metadata"]["annotations"])
        changes.append(
            new(
                REVISIONS,
                CONFIGURATIONS,
                obj,
                newest,
                dict(template["spec"]),
                labels=labels,
                annotations=annotations,
            )
        )
    states = [RevisionState(each["metadata"]["name"], is_true(each.get("status"), "Ready")) for each in made]
    ready = latest_ready(states, (obj.get("status") or {}).get("latestReadyRevisionName", ""))
    status = {"latestCreatedRevisionName": newest, **({"latestReadyRevisionName": ready} if ready else {})}
    conditions = {"Ready": condition("True" if ready == newest else "Unknown")}
    return [*changes, *reported(CONFIGURATIONS, obj, status, conditions, now)]


def revisions(obj: Object, seen: SeenObjects) -> list[Object]:
    """A Configuration's revisions, oldest first."""
    uid = obj["metadata"]["uid"]
    own = [
        each
        for each in seen.objects.get(REVISIONS, ())
        if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", []))
    ]
    return sorted(own, key=lambda each: int(each["metadata"]["labels"][GENERATION_LABEL]))


def ready_pods(namespace: str, revision: str, seen: SeenObjects) -> int:
    """How many pods of a revision answer."""
    return sum(discovery.pod_is_ready(pod) for pod in seen.pods(namespace, {REVISION_LABEL: revision}))


def revision(obj: Object, seen: SeenObjects, idle: bool, routable: bool, now: str) -> list[Change]:
    """The Revision: its Deployment, and whether its pods have become ready.

    Neither an image that cannot be pulled nor a container that keeps dying shows here: Knative leaves the
    conditions Unknown until the progress deadline of ten minutes.

    :param idle: nobody has routed to it for so long that the autoscaler lets its pods go.
    :param routable: the gateway may still send it requests, so that they must not.
    """
    meta = obj["metadata"]
    deployment = seen.one(DEPLOYMENTS, meta["namespace"], f"{meta['name']}-deployment")
    wanted = int(meta["annotations"]["autoscaling.knative.dev/min-scale"])
    changes: list[Change] = []
    if deployment is None:
        changes.append(_deployment(obj, wanted))
    else:
        replicas = int(deployment["spec"].get("replicas", 1))
        asked = wanted if not idle else replicas if routable else 0
        if asked != replicas:
            changes.append(MergePatch(DEPLOYMENTS, deployment, {"spec": {"replicas": asked}}))
    was = is_true(obj.get("status"), "Ready")
    number = ready_pods(meta["namespace"], meta["name"], seen)
    ready = condition("True") if was or number else condition("Unknown", "Deploying")
    active = condition("False", "NoTraffic") if idle else condition("True" if number else "Unknown")
    conditions = {"Active": active, "ContainerHealthy": ready, "Ready": ready, "ResourcesAvailable": ready}
    status = {"actualReplicas": number, "desiredReplicas": 0 if idle else wanted}
    return [*changes, *reported(REVISIONS, obj, status, conditions, now)]


def _deployment(obj: Object, replicas: int) -> Change:
    meta = obj["metadata"]
    name = meta["name"]
    labels = {
        "app": name,
        REVISION_LABEL: name,
        "serving.knative.dev/revisionUID": meta["uid"],
        **{key: value for key, value in meta["labels"].items() if key.startswith("serving.knative.dev/")},
    }
    configured = meta["labels"]["serving.knative.dev/configuration"]
    more = {"K_REVISION": name, "K_CONFIGURATION": configured, "K_SERVICE": configured}
    pod_labels = {SERVICE_LABEL: meta["labels"][SERVICE_LABEL], **labels}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"serving.knative.dev/revisionUID": meta["uid"]}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "template": {
            "metadata": {"labels": pod_labels, "annotations": SCRAPED},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 300,
                "containers": [predictor.pod_container(each, more) for each in obj["spec"]["containers"]],
            },
        },
    }
    return new(DEPLOYMENTS, REVISIONS, obj, f"{name}-deployment", spec, labels=labels)


def _child_ready(child: Optional[Object], kind: str) -> Condition:
    if child is None or not observed(child):
        return condition("Unknown", "OutOfDate", _OUT_OF_DATE.format(kind))
    return of_type(child.get("status"), "Ready")


def _migrated(configuration: Object, route: Object) -> bool:
    """Whether the Route's traffic for the latest revision goes to the newest that is ready."""
    newest = configuration["status"].get("latestReadyRevisionName")
    entries: Sequence[Mapping[str, Any]] = route["status"].get("traffic") or ()
    return all(entry["revisionName"] == newest for entry in entries if entry.get("latestRevision"))
