# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe's controller in Knative mode: an InferenceService and its Knative Service, as pure functions.

The rules are those of KServe's ksvc_reconciler.go and inference_service_status.go (0.20, unchanged on the
master of 2026-08): the split is written from ``latestRolledoutRevision``, and that revision follows the
traffic which the Knative Service reports. Their traps come with them: an earlier canary that was rejected is
``latestRevision`` until the next one is ready, and a roll-back after a promotion goes by way of a split of
the bad revision with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ...kube.conditions import is_true
from ...kube.resources import KNATIVE_SERVICES, KSERVE_INFERENCE_SERVICES
from ..conditions import Condition, condition, of_type, with_times, worst
from ..resources import DOMAIN, HASH_ANNOTATION
from ..status import predictor_status
from . import predictor
from .objects import Change, Json, MergePatch, Object, new, status_if_new

PERCENT = "canaryTrafficPercent"

_WAITS = "{} not ready"
CONFLICT = (
    "fails to reconcile predictor: fails to reconcile knative service: Operation cannot be fulfilled on "
    'services.serving.knative.dev "{}": the object has been modified; please apply your changes to the '
    "latest version and try again"
)
"""What KServe says where the Knative Service, whose name goes in, has changed since it was read."""


def name(service: Object) -> str:
    """The Knative Service's name, the stem of its revisions' names."""
    return f"{service['metadata']['name']}-predictor"


def host(service: Object) -> str:
    """The host name at which the gateway knows the predictor, and so the InferenceService."""
    return f"{name(service)}.{service['metadata']['namespace']}.{DOMAIN}"


def traffic(service: Object) -> list[Json]:
    """The split that KServe writes into the Knative Service."""
    percent = service["spec"]["predictor"].get(PERCENT)
    rolled_out = predictor_status(service).get("latestRolledoutRevision")
    if percent is None or not rolled_out:
        return [{"latestRevision": True, "percent": 100}]
    split: list[Json] = [{"latestRevision": True, "percent": percent}]
    if percent < 100:
        split.append(
            {"latestRevision": False, "percent": 100 - percent, "revisionName": rolled_out, "tag": "prev"}
        )
    return split


def template(service: Object, ksvc: Optional[Object], faults: Mapping[str, str]) -> Json:
    """What makes a revision. It stays as it is, faults included, while nothing but the percent changes."""
    asked = service["spec"]["predictor"]
    wanted = predictor.digest(asked, (PERCENT,))
    if ksvc:
        current: Json = ksvc["spec"]["template"]
        if current["metadata"]["annotations"][HASH_ANNOTATION] == wanted:
            return current
    annotations = {
        HASH_ANNOTATION: wanted,
        "autoscaling.knative.dev/min-scale": str(max(1, int(asked.get("minReplicas") or 1))),
        **predictor.source(asked),
    }
    container = predictor.user_container(service, asked, faults)
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}


def makes_canary(service: Object) -> bool:
    """Whether a revision that is made now is made beside one that was rolled out."""
    return bool(predictor_status(service).get("latestRolledoutRevision"))


def reconcile(service: Object, ksvc: Optional[Object], faults: Mapping[str, str], now: str) -> list[Change]:
    """One reconciliation: the Knative Service as wanted, and the status from what it said before."""
    wanted = {"template": template(service, ksvc, faults), "traffic": traffic(service)}
    if ksvc is None:
        made = new(KNATIVE_SERVICES, KSERVE_INFERENCE_SERVICES, service, name(service), wanted)
        first = {"conditions": [], "components": {"predictor": {}}}
        return [made, *_status(service, first, _conditions(service, {}), now)]
    changes: list[Change] = []
    if ksvc["spec"] != wanted:
        changes.append(MergePatch(KNATIVE_SERVICES, ksvc, {"spec": wanted}))
    child = ksvc.get("status") or {}
    if not child.get("conditions"):
        return changes
    status = {"components": {"predictor": _propagated(service, child)}, "url": f"http://{host(service)}"}
    if not is_true(child, "RoutesReady"):
        status = {"components": status["components"], **_kept(service)}
    if child.get("observedGeneration"):
        status["observedGeneration"] = child["observedGeneration"]
    return [*changes, *_status(service, status, _conditions(service, child), now)]


def needs_new_revision(service: Object, ksvc: Optional[Object]) -> bool:
    """Whether the next reconciliation changes the Knative Service's template."""
    return ksvc is not None and template(service, ksvc, {}) != ksvc["spec"]["template"]


def _kept(service: Object) -> Json:
    status = service.get("status") or {}
    return {key: status[key] for key in ("url", "address") if key in status}


def _propagated(service: Object, child: Mapping[str, Any]) -> Json:
    """`components.predictor` from the Knative Service's status."""
    old = predictor_status(service)
    ready = child.get("latestReadyRevisionName", "")
    rolled_out, previous = rolled(
        child, old.get("latestRolledoutRevision", ""), old.get("previousRolledoutRevision", "")
    )
    new_values = {
        "latestCreatedRevision": child.get("latestCreatedRevisionName", ""),
        "latestReadyRevision": ready,
        "latestRolledoutRevision": rolled_out,
        "previousRolledoutRevision": previous,
        "traffic": [dict(entry) for entry in child.get("traffic") or ()],
        "url": child.get("url", old.get("url", "")),
    }
    return {key: value for key, value in new_values.items() if value}


def rolled(child: Mapping[str, Any], rolled_out: str, previous: str) -> tuple[str, str]:
    """Rotate the rolled-out revisions by the traffic that the Knative Service reports.

    The newest ready revision at 100 % is rolled out. One that is rolled out, newest of all, and split with
    itself gives way to the one before it.
    """
    ready = child.get("latestReadyRevisionName", "")
    entries = child.get("traffic") or ()
    shares: dict[str, int] = {}
    for entry in entries:
        shares[entry["revisionName"]] = shares.get(entry["revisionName"], 0) + entry["percent"]
    for entry in entries:
        if not entry.get("latestRevision") or entry["revisionName"] != ready:
            continue
        if rolled_out != ready:
            if entry["percent"] == 100:
                rolled_out, previous = ready, rolled_out
        elif (
            ready == child.get("latestCreatedRevisionName")
            and entry["percent"] < 100
            and shares[ready] == 100
            and previous
        ):
            rolled_out = previous
    return rolled_out, previous


def _conditions(service: Object, child: Mapping[str, Any]) -> list[Condition]:
    """All conditions, sorted by type as Knative's library sorts them."""
    ready = of_type(child, "Ready")
    configurations = of_type(child, "ConfigurationsReady")
    routes = of_type(child, "RoutesReady")
    # Once there is an ingress it stays ready, whatever the predictor says.
    was = of_type(service.get("status"), "IngressReady")
    ingress = condition("True" if "True" in (ready["status"], was["status"]) else "Unknown")
    made: dict[str, Condition] = {
        "IngressReady": ingress,
        "LatestDeploymentReady": _info(_follows(configurations, "PredictorConfigurationReady")),
        "PredictorReady": ready,
        "Ready": worst(ready, ingress),
        "RoutesReady": _info(_follows(routes, "PredictorRouteReady")),
        "Stopped": _info(condition("False")),
    }
    if child:
        made["PredictorConfigurationReady"] = _info(configurations)
        made["PredictorRouteReady"] = _info(routes)
    return [{"type": kind, **made[kind]} for kind in sorted(made)]


def _follows(source: Condition, kind: str) -> Condition:
    return (
        condition("True") if source["status"] == "True" else condition(source["status"], _WAITS.format(kind))
    )


def _info(each: Condition) -> Condition:
    return {**each, "severity": "Info"}


def _status(service: Object, status: Json, conditions: list[Condition], now: str) -> list[Change]:
    old = service.get("status") or {}
    loaded = "Loaded" if (old.get("modelStatus") or {}).get("states", {}).get("activeModelState") else ""
    ready = next(each["status"] for each in conditions if each["type"] == "Ready") == "True"
    states = {
        "activeModelState": "Loaded" if ready else loaded,
        "targetModelState": "Loaded" if ready else "Pending",
    }
    made = {
        **status,
        "conditions": with_times(conditions, old.get("conditions") or [], now),
        "deploymentMode": "Knative",
        "modelStatus": {
            "copies": {"failedCopies": 0, **({"totalCopies": 1} if ready else {})},
            "states": states,
            "transitionStatus": "UpToDate" if ready else "InProgress",
        },
    }
    return status_if_new(KSERVE_INFERENCE_SERVICES, service, made)
