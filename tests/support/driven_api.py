# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server in memory for a driver: KServe's objects as `driven` makes them, Leases, ConfigMaps, pods."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    Conflict,
    NotFound,
    UnknownKind,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.merge import merged

KINDS = {
    "Lease": ("leases", True),
    "ConfigMap": ("configmaps", True),
    "InferenceService": ("inferenceservices", True),
    "Pod": ("pods", True),
    "Event": ("events", True),
    "Revision": ("revisions", True),
    "Deployment": ("deployments", True),
    "HTTPRoute": ("httproutes", True),
}


class DrivenApi:
    """What `Api` offers, over a cluster of `driven`. `before` is called before each request with its method
    and path, `after` once a write took effect: either may raise what the network or a kill would."""

    def __init__(self, cluster: Any, revisions: bool = True) -> None:
        self.cluster = cluster
        self.objects: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.writes: list[tuple[str, str, dict[str, Any]]] = []
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.after: Callable[[str, str], None] = lambda _method, _path: None
        self._revisions = revisions
        self._version = 10
        self._lock = threading.RLock()

    def resource(self, api_version: str, kind: str) -> Resource:
        if kind == "Revision" and not self._revisions:
            raise UnknownKind("Revision is not served")
        plural, namespaced = KINDS[kind]
        return Resource(api_version, kind, plural, namespaced)

    def get(self, path: str, query: Any = None, **_unused: Any) -> dict[str, Any]:
        self.before("GET", path)
        with self._lock:
            if path.endswith("/inferenceservices/iris"):
                return dict(self.cluster.object())
            listed = {"pods": self.pods, "events": self.events}.get(path.rpartition("/")[2])
            if listed is not None:
                return {"items": copy.deepcopy(listed)}
            if "/revisions/" in path:
                name = path.rpartition("/")[2]
                known = {each[0] for each in self.cluster.revisions} - self.cluster.deleted_revisions
                if name not in known:
                    raise NotFound(path)
                return {"metadata": {"name": name}}
            if path.endswith("/deployments"):
                return {"items": self._deployments()}
            if "/httproutes/" in path:
                route = self.cluster.seen(None).route
                return {**route, "spec": {**route["spec"], "hostnames": ["iris.example.com"]}}
            if path not in self.objects:
                raise NotFound(path)
            return copy.deepcopy(self.objects[path])

    def _deployments(self) -> list[dict[str, Any]]:
        owner = {"kind": "InferenceService", "name": "iris"}
        return [
            {
                **row,
                "metadata": {**row["metadata"], "name": name, "ownerReferences": [owner]},
                "spec": {"selector": {"matchLabels": {"app": f"isvc.{name}"}}},
            }
            for name, row in self.cluster.seen(None).deployments.items()
        ]

    def create(self, path: str, definition: dict[str, Any]) -> dict[str, Any]:
        where = f"{path}/{definition['metadata']['name']}"

        def write() -> dict[str, Any]:
            if where in self.objects:
                raise Conflict(where)
            return self._put(where, definition)

        return self._write("POST", where, definition, write)

    def replace(self, path: str, definition: dict[str, Any]) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            if path not in self.objects:
                raise NotFound(path)
            self._check(definition, self.objects[path])
            return self._put(path, definition)

        return self._write("PUT", path, definition, write)

    def merge(self, path: str, patch: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        if dry_run:
            return {**self.cluster.object(), "spec": copy.deepcopy(self.cluster.patched(patch))}

        def write() -> dict[str, Any]:
            if path.endswith("/inferenceservices/iris"):
                self._check(patch, self.cluster.object())
                without = {key: value for key, value in patch.items() if key != "metadata"}
                return dict(self.cluster.patch(without))
            if path not in self.objects:
                raise NotFound(path)
            self._check(patch, self.objects[path])
            return self._put(path, merged(self.objects[path], patch))

        return self._write("PATCH", path, patch, write)

    def _write(
        self, method: str, path: str, body: dict[str, Any], write: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        self.before(method, path)
        with self._lock:
            after = write()
            self.writes.append((method, path, copy.deepcopy(body)))
        self.after(method, path)
        return after

    def _put(self, path: str, definition: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        metadata = {**definition["metadata"], "resourceVersion": str(self._version)}
        self.objects[path] = copy.deepcopy({**definition, "metadata": metadata})
        return copy.deepcopy(self.objects[path])

    @staticmethod
    def _check(body: dict[str, Any], there: dict[str, Any]) -> None:
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != there["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")

    @property
    def patches(self) -> list[dict[str, Any]]:
        """Of the InferenceService, in order."""
        return [body for method, path, body in self.writes if "inferenceservices" in path]
