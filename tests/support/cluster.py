# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server in memory: as much of one as the modules that do not watch need."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    Conflict,
    NotFound,
    UnknownKind,
    Unreachable,
)

VERBS = ("get", "list", "delete")
BUILT_IN = [
    Resource("v1", "Namespace", "namespaces", False, VERBS),
    Resource("v1", "ConfigMap", "configmaps", True, VERBS),
    Resource("v1", "Secret", "secrets", True, VERBS),
    Resource("v1", "ServiceAccount", "serviceaccounts", True, VERBS),
    Resource("v1", "Pod", "pods", True, VERBS),
    Resource("v1", "Node", "nodes", False, VERBS),
    Resource("v1", "Service", "services", True, VERBS),
    Resource("v1", "Event", "events", True, VERBS),
    Resource("v1", "Binding", "bindings", True, ("create",)),
    Resource("apps/v1", "Deployment", "deployments", True, VERBS),
    Resource("batch/v1", "Job", "jobs", True, VERBS),
    Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False, VERBS),
    Resource("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "vwc", False, VERBS),
    Resource("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mwc", False, VERBS),
    Resource("v1", "Endpoints", "endpoints", True, VERBS),
    Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "crds", False, VERBS),
]
CUSTOM = [
    Resource("iter8.tools/v2alpha1", "Experiment", "experiments", True, VERBS),
    Resource("serving.kubeflow.org/v1beta1", "InferenceService", "inferenceservices", True, VERBS),
    Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", True, VERBS),
    Resource("gateway.networking.k8s.io/v1", "Gateway", "gateways", True, VERBS),
    Resource("networking.internal.knative.dev/v1alpha1", "Ingress", "ingresses", True, VERBS),
]


def obj(kind: str, name: str, namespace: str = "", **metadata: Any) -> dict[str, Any]:
    """An object as a manifest has it."""
    version = next(r.api_version for r in BUILT_IN + CUSTOM if r.kind == kind)
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": meta}


def crd(resource: Resource) -> dict[str, Any]:
    group = resource.api_version.partition("/")[0]
    definition = obj("CustomResourceDefinition", f"{resource.plural}.{group}")
    definition["spec"] = {
        "group": group,
        "scope": "Namespaced",
        "names": {"kind": resource.kind, "plural": resource.plural},
        "versions": [{"name": resource.api_version.partition("/")[2], "served": True, "storage": True}],
    }
    return definition


class Cluster:
    """Objects by path. ``held`` are paths that stay after their deletion, with a finalizer; ``lingers`` are
    those that take that many seconds of ``now`` to go.
    """

    host = "https://cluster"

    def __init__(self, kinds: list[Resource] | None = None) -> None:
        self.kinds = list(BUILT_IN + CUSTOM if kinds is None else kinds)
        self.objects: dict[str, dict[str, Any]] = {}
        self.deletions: list[str] = []
        self.applied: list[tuple[str, str]] = []
        self.announced: list[str] = []
        self.held: set[str] = set()
        self.lingers: dict[str, float] = {}
        self.now: Callable[[], float] = float
        self._going: dict[str, float] = {}
        # Errors of the next requests: of deletions by path, of all others by path or by apiVersion.
        self.faults: dict[str, list[Exception]] = {}
        self.get_faults: dict[str, list[Exception]] = {}
        self.asked: list[str] = []
        # What the user may not do: (verb, plural).
        self.denied: set[tuple[str, str]] = set()
        # Called with each object that is applied, before it is stored.
        self.on_apply: Callable[[dict[str, Any]], None] = lambda _definition: None
        self._uids = itertools.count(1)
        self._lock = threading.Lock()

    def put(self, *definitions: dict[str, Any]) -> None:
        """What kubectl would do: create, or keep the UID."""
        for definition in definitions:
            path = self.path(definition)
            known = self.objects.get(path)
            uid = known["metadata"]["uid"] if known else f"uid-{next(self._uids)}"
            self.objects[path] = {**definition, "metadata": {**definition["metadata"], "uid": uid}}

    def path(self, definition: Mapping[str, Any]) -> str:
        resource = self.resource(definition["apiVersion"], definition["kind"])
        metadata = definition["metadata"]
        return resource.path(metadata.get("namespace"), metadata["name"])

    def remove(self, definition: Mapping[str, Any]) -> None:
        self.objects.pop(self.path(definition), None)

    def names(self) -> list[str]:
        return sorted(f"{each['kind']} {each['metadata']['name']}" for each in self.objects.values())

    # What module_utils/_cluster/api.py offers.

    def _fail(self, what: str) -> None:
        if self.get_faults.get(what):
            raise self.get_faults[what].pop(0)

    def resource(self, api_version: str, kind: str) -> Resource:
        self._fail(api_version)
        for resource in self.kinds:
            if (resource.api_version, resource.kind) == (api_version, kind):
                return resource
        raise UnknownKind(f"{kind} is not served")

    def resources(self, api_version: str) -> list[Resource]:
        return [resource for resource in self.kinds if resource.api_version == api_version]

    def kinds_at(self, api_version: str) -> list[Resource]:
        self._fail(api_version)
        if not self.resources(api_version):
            raise NotFound(api_version)
        return self.resources(api_version)

    def served_versions(self) -> list[str]:
        return sorted({resource.api_version for resource in self.kinds})

    def forget_kinds(self) -> None:
        """A kind is served as soon as it is looked up anew."""
        self.kinds += [each for each in CUSTOM if each.kind in self.announced]
        self.announced.clear()

    def get(self, path: str, query: Any = None, *, metadata_only: bool = False) -> dict[str, Any]:
        self.asked.append(path)
        self._fail(path)
        plural = path.rpartition("/")[2]
        if plural in {resource.plural for resource in self.kinds}:
            prefix = path.rpartition("/")[0] + "/"
            found = [
                {"metadata": each["metadata"]} if metadata_only else each
                for where, each in self.objects.items()
                if where.startswith(prefix) and where.split("/")[-2] == plural
                if _has_labels(each, str((query or {}).get("labelSelector") or ""))
            ]
            return {"items": found}
        with self._lock:
            if self._going.get(path, inf) <= self.now():
                del self._going[path]
                self._drop(path)
            if path not in self.objects:
                raise NotFound(path)
            return self.objects[path]

    def create(self, path: str, definition: dict[str, Any]) -> dict[str, Any]:
        """The answer to a SelfSubjectAccessReview; nothing else is created."""
        asked = definition["spec"]["resourceAttributes"]
        everything = asked["verb"] == "*"
        denied = bool(self.denied) if everything else (asked["verb"], asked["resource"]) in self.denied
        return {"status": {"allowed": not denied}}

    def apply(
        self, path: str, definition: dict[str, Any], field_manager: str, *, dry_run: bool = False
    ) -> dict[str, Any]:
        if self.faults.get(path):
            raise self.faults[path].pop(0)
        known = self.objects.get(path, {"metadata": {"uid": f"uid-{next(self._uids)}"}})
        after = {**known, **definition, "metadata": {**known["metadata"], **definition["metadata"]}}
        if not dry_run:
            self.on_apply(after)
            self.applied.append((f"{definition['kind']} {definition['metadata']['name']}", field_manager))
            self.objects[path] = after
            if definition["kind"] == "CustomResourceDefinition":
                self.announced.append(definition["spec"]["names"]["kind"])
        return after

    def delete(self, path: str, options: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self.faults.get(path):
                raise self.faults[path].pop(0)
            if path not in self.objects:
                raise NotFound(path)
            target = self.objects[path]
            uid = target["metadata"]["uid"]
            if options.get("preconditions", {"uid": uid})["uid"] != uid:
                raise Conflict("the UID in the precondition does not match")
            self.deletions.append(f"{target['kind']} {target['metadata']['name']}")
            if path in self.lingers:
                target["metadata"] = {**target["metadata"], "deletionTimestamp": "now"}
                self._going[path] = self.now() + self.lingers[path]
            elif path in self.held:
                target["metadata"] = {
                    **target["metadata"],
                    "deletionTimestamp": "now",
                    "finalizers": ["a.b/c"],
                }
            else:
                self._drop(path)
        return {}

    def _drop(self, path: str) -> None:
        target = self.objects.pop(path, None)
        # None: it went with its namespace.
        if target and target["kind"] == "Namespace":
            inside = f"/namespaces/{target['metadata']['name']}/"
            self.objects = {where: each for where, each in self.objects.items() if inside not in where}


AWAY = Unreachable("the server is away")


def _has_labels(definition: Mapping[str, Any], selector: str) -> bool:
    """Whether it carries every label of a selector of the form a=b,c=d; those without a value are not told
    apart."""
    labels = definition["metadata"].get("labels") or {}
    wanted = [each.split("=", 1) for each in selector.split(",") if "=" in each]
    return all(labels.get(name) == value for name, value in wanted)


def no_such_path() -> NotFound:
    """A 404 that names no object."""
    error = NotFound("404 page not found")
    error.certain = False
    return error
