# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects cut down to what decides about a rollout: small enough to keep each version, and without secrets.

What is kept is named, kind by kind; everything else goes. Environment variables, annotations (but three),
arguments, volumes and the bookkeeping of the API server are named nowhere, so what is put into them is never
recorded. Of pod templates the images are kept, which tell whether a Deployment follows its InferenceService.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .family import LABELS
from .snapshot import MODE_ANNOTATION
from .standard import REVISION, SOURCE_URI
from .tree import entries, mapping

MAX_MESSAGE = 500
"""Longer messages are cut: characters."""

_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip
_ANNOTATIONS = (REVISION, MODE_ANNOTATION, SOURCE_URI)
_LABELS = (
    "app", "pod-template-hash", "serving.knative.dev/configuration", "serving.knative.dev/revision",
    "serving.knative.dev/service", *LABELS, "component", "iter8.kfserving/run-id", "job-name",
)  # fmt: skip
_URIS = ("storageUri", SOURCE_URI)
_CONDITION = (
    "type", "status", "reason", "message", "lastTransitionTime", "severity", "observedGeneration",
)  # fmt: skip
_EVENT = (
    "type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime",
    "reportingComponent",
)  # fmt: skip

# A field's name, or its name with what is kept of each entry below it.
Shape = Mapping[str, Any]
_KEEP = None
_TRAFFIC: Shape = {
    name: _KEEP for name in ("revisionName", "configurationName", "latestRevision", "percent", "tag")
}
_CONTAINER: Shape = {"name": _KEEP, "image": _KEEP}
_ENDED: Shape = {
    name: _KEEP for name in ("exitCode", "signal", "reason", "message", "startedAt", "finishedAt")
}
_STATE: Shape = {
    "waiting": {"reason": _KEEP, "message": _KEEP},
    "running": {"startedAt": _KEEP},
    "terminated": _ENDED,
}
_CONTAINER_STATUS: Shape = {
    "name": _KEEP, "ready": _KEEP, "started": _KEEP, "restartCount": _KEEP, "state": _STATE,
    "lastState": _STATE,
}  # fmt: skip
_REPLICAS: Shape = {
    name: _KEEP
    for name in (
        "replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "unavailableReplicas",
        "observedGeneration", "conditions",
    )
}  # fmt: skip
_BACKENDS: Shape = {"name": _KEEP, "kind": _KEEP, "port": _KEEP, "weight": _KEEP}
_MODEL: Shape = {"modelFormat": {"name": _KEEP}, "storageUri": _KEEP, "runtime": _KEEP}
_COMPONENT: Shape = {
    "canaryTrafficPercent": _KEEP, "minReplicas": _KEEP, "maxReplicas": _KEEP, "name": _KEEP,
    "containers": _CONTAINER, "model": _MODEL,
    **{name: _MODEL for name in (
        "tensorflow", "sklearn", "xgboost", "pytorch", "onnx", "triton", "lightgbm", "pmml", "huggingface",
        "paddle", "mlserver", "tritonserver",
    )},
}  # fmt: skip

# By kind: what is kept of the spec and of the status; None is all of it.
_KINDS: Mapping[str, tuple[Shape | None, Shape | None]] = {
    "InferenceService": (
        {
            "predictor": _COMPONENT, "transformer": _COMPONENT, "explainer": _COMPONENT,
            "canary": {"trafficPercent": _KEEP, "predictor": _COMPONENT},
        },
        None,
    ),
    "Experiment": (None, None),
    # Knative's and the core's.
    "Service": (
        {"traffic": _TRAFFIC, "clusterIP": _KEEP},
        {
            "traffic": _TRAFFIC, "conditions": _KEEP, "latestCreatedRevisionName": _KEEP,
            "latestReadyRevisionName": _KEEP, "observedGeneration": _KEEP, "url": _KEEP,
        },
    ),
    "Route": (
        {"traffic": _TRAFFIC},
        {"traffic": _TRAFFIC, "conditions": _KEEP, "observedGeneration": _KEEP, "url": _KEEP},
    ),
    "Configuration": (
        {},
        {
            "conditions": _KEEP, "latestCreatedRevisionName": _KEEP, "latestReadyRevisionName": _KEEP,
            "observedGeneration": _KEEP,
        },
    ),
    "Revision": (
        {"containers": _CONTAINER},
        {"conditions": _KEEP, "actualReplicas": _KEEP, "desiredReplicas": _KEEP, "observedGeneration": _KEEP},
    ),
    "Deployment": (
        {"replicas": _KEEP, "paused": _KEEP, "template": {"spec": {"containers": _CONTAINER}}}, _REPLICAS,
    ),
    "ReplicaSet": ({"replicas": _KEEP}, _REPLICAS),
    "HTTPRoute": (
        {"hostnames": _KEEP, "parentRefs": _KEEP, "rules": {"backendRefs": _BACKENDS}},
        {"parents": {"parentRef": _KEEP, "controllerName": _KEEP, "conditions": _KEEP}},
    ),
    "Pod": (
        {"nodeName": _KEEP, "containers": _CONTAINER, "terminationGracePeriodSeconds": _KEEP},
        {
            "phase": _KEEP, "reason": _KEEP, "message": _KEEP, "conditions": _KEEP, "startTime": _KEEP,
            "podIP": _KEEP, "containerStatuses": _CONTAINER_STATUS,
            "initContainerStatuses": _CONTAINER_STATUS,
        },
    ),
    "Job": (
        {"backoffLimit": _KEEP},
        {
            name: _KEEP
            for name in ("active", "succeeded", "failed", "conditions", "startTime", "completionTime")
        },
    ),
}  # fmt: skip


def trim(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object with what decides. Of a kind that is not known: its metadata and its conditions."""
    kind = str(obj.get("kind") or "")
    made: dict[str, Any] = {"apiVersion": obj.get("apiVersion"), "kind": kind, "metadata": _metadata(obj)}
    if kind == "Event":
        about = mapping(obj, "involvedObject") or mapping(obj, "regarding")
        made.update(_kept(obj, dict.fromkeys(_EVENT)))
        made["involvedObject"] = {name: about[name] for name in ("kind", "name", "uid") if name in about}
        return {key: _plain(each, key) for key, each in made.items()}
    spec, status = _KINDS.get(kind, ({}, {"conditions": _KEEP}))
    for name, shape in (("spec", spec), ("status", status)):
        if isinstance(obj.get(name), Mapping):
            made[name] = _kept(obj[name], shape)
    return {key: _plain(each, key) for key, each in made.items()}


def _metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    whole = mapping(obj, "metadata")
    made = {name: whole[name] for name in _METADATA if name in whole}
    for part, names in (("labels", _LABELS), ("annotations", _ANNOTATIONS)):
        found = {name: value for name, value in mapping(whole, part).items() if name in names}
        if found:
            made[part] = found
    owners = [
        {name: owner[name] for name in ("kind", "name", "uid", "controller") if name in owner}
        for owner in entries(whole, "ownerReferences")
    ]
    if owners:
        made["ownerReferences"] = owners
    if whole.get("finalizers"):
        made["finalizers"] = whole["finalizers"]
    return made


def _kept(value: Any, shape: Shape | None) -> Any:
    """What the shape names of a mapping, or of each mapping in a list."""
    if shape is _KEEP:
        return value
    if isinstance(value, Mapping):
        return {name: _kept(value[name], below) for name, below in shape.items() if name in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_kept(each, shape) for each in value]
    return value


def _plain(value: Any, name: str = "") -> Any:
    """The value with conditions cut to their fields, messages to their length and URIs to their place."""
    if isinstance(value, Mapping):
        return {key: _plain(each, str(key)) for key, each in value.items()}
    if isinstance(value, str):
        if name in _URIS:
            return without_credentials(value)
        return value[:MAX_MESSAGE]
    if isinstance(value, Sequence):
        if name == "conditions":
            return [
                {key: _plain(each.get(key)) for key in _CONDITION if key in each} for each in _mappings(value)
            ]
        return [_plain(each) for each in value]
    return value


def _mappings(values: Sequence[Any]) -> list[Mapping[str, Any]]:
    return [each for each in values if isinstance(each, Mapping)]


def without_credentials(uri: str) -> str:
    """A URI without user, password, query and fragment, any of which may let its reader in."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "(a URI that cannot be read)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
