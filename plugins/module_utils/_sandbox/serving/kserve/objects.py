# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of one pass, and what is to be changed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from ...kube.resources import (
    CONFIGURATIONS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    KNATIVE_INGRESSES,
    KNATIVE_SERVICES,
    PODS,
    REVISIONS,
    ROUTES,
    SERVICES,
    Kind,
)
from ..conditions import Condition, with_times

SERVICE_LABEL = "serving.kserve.io/inferenceservice"

MADE_IN = {
    "Knative": (
        KNATIVE_SERVICES,
        CONFIGURATIONS,
        REVISIONS,
        ROUTES,
        KNATIVE_INGRESSES,
        DEPLOYMENTS,
    ),
    "Standard": (HTTP_ROUTES, SERVICES, DEPLOYMENTS),
}
"""What is made for an InferenceService, by its mode: each carries its label, and goes with it."""

CHILDREN = tuple(dict.fromkeys(kind for kinds in MADE_IN.values() for kind in kinds))
"""What is made in either mode."""

Object = Mapping[str, Any]
Json = dict[str, Any]


@dataclass(frozen=True)
class SeenObjects:
    """All objects that carry the label of an InferenceService, as they were when the pass began."""

    objects: Mapping[Kind, Sequence[Object]]

    def children(self, kind: Kind, service: Object) -> list[Object]:
        """Those that were made for one InferenceService, by its label."""
        meta = service["metadata"]
        return [
            each
            for each in self.objects.get(kind, ())
            if each["metadata"]["namespace"] == meta["namespace"]
            and each["metadata"].get("labels", {}).get(SERVICE_LABEL) == meta["name"]
        ]

    def one(self, kind: Kind, namespace: str, name: str) -> Optional[Object]:
        """The object of that name, or ``None``."""
        for each in self.objects.get(kind, ()):
            if each["metadata"]["namespace"] == namespace and each["metadata"]["name"] == name:
                return each
        return None

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """The pods that a selector finds."""
        return [
            pod
            for pod in self.objects.get(PODS, ())
            if pod["metadata"]["namespace"] == namespace
            and labels.items() <= pod["metadata"].get("labels", {}).items()
        ]


@dataclass(frozen=True)
class Create:
    """Make an object; one that is there already is left as it is."""

    kind: Kind
    body: Json


@dataclass(frozen=True)
class MergePatch:
    """Change fields of an object, as a merge patch."""

    kind: Kind
    object: Object
    body: Json


@dataclass(frozen=True)
class Status:
    """Replace an object's status, if nobody has changed the object since the pass began."""

    kind: Kind
    object: Object
    status: Json


@dataclass(frozen=True)
class Delete:
    """Delete an object and, in the background, what it owns."""

    kind: Kind
    object: Object


Change = Union[Create, MergePatch, Status, Delete]


def new(kind: Kind, owner_kind: Kind, owner: Object, name: str, spec: Json, **metadata: Any) -> Create:
    """An object that ``owner`` makes; it has the label of the InferenceService.

    :param metadata: labels and annotations beside it.
    """
    meta = owner["metadata"]
    own_name = meta["name"] if owner_kind.name == "InferenceService" else meta["labels"][SERVICE_LABEL]
    labels = {SERVICE_LABEL: own_name, **metadata.pop("labels", {})}
    reference = {
        "apiVersion": owner_kind.api_version,
        "kind": owner_kind.name,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [reference],
            **metadata,
        },
        "spec": spec,
    }
    return Create(kind, body)


def status_if_new(kind: Kind, obj: Object, status: Json) -> list[Change]:
    """The change of a status, if it is one."""
    return [] if status == obj.get("status") else [Status(kind, obj, status)]


def reported(
    kind: Kind, obj: Object, status: Json, conditions: Mapping[str, Condition], now: str
) -> list[Change]:
    """The change of a status of Knative's, if it is one: with its conditions, by type, and what was observed.

    :param now: the time of those conditions that have changed, RFC 3339.
    """
    named = [{"type": each, **conditions[each]} for each in sorted(conditions)]
    whole = {
        **status,
        "conditions": with_times(named, (obj.get("status") or {}).get("conditions") or [], now),
        "observedGeneration": obj["metadata"]["generation"],
    }
    return status_if_new(kind, obj, whole)


def observed(obj: Object) -> bool:
    """Whether its controller has seen the object as it is now."""
    return bool((obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"])
