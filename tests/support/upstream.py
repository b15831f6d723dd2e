# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests of others as steps of a platform, applied by the role and looked at on the API server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.auth import open_api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import NotFound
from kubernetes import config

from .cluster_playbook import Tasks
from .sandbox import Running

Ref = dict[str, str]
RUN = "upstream-1"


def api_of(sandbox: Running) -> Api:
    """The sandbox's API server, by its administrator."""
    client = config.new_client_from_config(str(sandbox.kubeconfig), sandbox.context)
    return open_api(client.configuration, {}, time.monotonic() + 600)


def crd(kind: str, plural: str, group: str, *versions: str) -> dict[str, Any]:
    """The kind of another project, of which only the name matters here; the first version is stored."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = [
        {"name": each, "served": True, "storage": each == versions[0], "schema": schema} for each in versions
    ]
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": served},
    }


# What KFServing's and KServe's manifests need of others.
NEEDED = {
    "name": "kinds of cert-manager and Istio",
    "definitions": [
        crd("Certificate", "certificates", "cert-manager.io", "v1", "v1alpha2"),
        crd("Issuer", "issuers", "cert-manager.io", "v1", "v1alpha2"),
        crd("VirtualService", "virtualservices", "networking.istio.io", "v1beta1", "v1alpha3"),
    ],
}


def foreign_objects(namespace: str = "theirs") -> list[dict[str, Any]]:
    """Of others, beside what is installed, and in this namespace within it."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs", "labels": {"a": "b"}}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "theirs", "namespace": namespace},
            "data": {"a": "b"},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "theirs"},
            "rules": [],
        },
    ]


class Platform:
    """The modules platform_steps and ownership in a playbook, with one record, against a sandbox."""

    def __init__(self, sandbox: Running, folder: Path, run_id: str = RUN, user: Path | None = None) -> None:
        """`user` is the kubeconfig of another user than the administrator."""
        self.api = api_of(sandbox)
        self.record = folder / f"{run_id}.json"
        self._sandbox = sandbox
        self._folder = folder
        self._run_id = run_id
        self._cluster = {"kubeconfig": str(user)} if user else {}

    def tasks(self) -> Tasks:
        return Tasks(self._sandbox, self._folder)

    def install_task(self, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"iter8.kfserving.platform_steps": {**self._own(), "steps": [*steps], "timeout": 600, **more}}

    def remove_task(self, **more: Any) -> dict[str, Any]:
        return {"iter8.kfserving.ownership": {**self._own(), "state": "absent", "timeout": 240, **more}}

    def install(self, *steps: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = ("--check", "--diff") if check else ()
        return self.tasks().start(self.install_task(*steps, **more), arguments=arguments).finish(900)

    def remove(self, check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = ("--check", "--diff") if check else ()
        return self.tasks().start(self.remove_task(**more), arguments=arguments).finish(900)

    def _own(self) -> dict[str, Any]:
        return {"run_id": self._run_id, "record": str(self.record), **self._cluster}

    def get(self, ref: Ref) -> dict[str, Any] | None:
        """The object that a result names; None where it is not there."""
        try:
            kind = self.api.resource(ref["api_version"], ref["kind"])
            return self.api.get(kind.path(ref.get("namespace"), ref["name"]))
        except NotFound:
            self.api.forget_kinds()
            return None

    def versions(self, refs: list[Ref]) -> dict[str, tuple[str, str]]:
        """UID and resourceVersion of each object that is there."""
        found = {}
        for ref in refs:
            obj = self.get(ref)
            if obj is not None:
                found[str(ref)] = (obj["metadata"]["uid"], obj["metadata"]["resourceVersion"])
        return found


def ref(obj: dict[str, Any]) -> Ref:
    """An object's name as results have it."""
    metadata = obj["metadata"]
    named = {"api_version": obj["apiVersion"], "kind": obj["kind"], "name": metadata["name"]}
    return {**named, **({"namespace": metadata["namespace"]} if "namespace" in metadata else {})}
