# SPDX-License-Identifier: GPL-3.0-or-later
"""A user with exactly the rights of the list can do it all; one right less, and preflight names it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import NotFound
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.access import Right
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.rights import (
    KSERVE,
    OBSERVE,
    PROGRESSIVE,
    QUICKSTART,
    TEARDOWN,
    rights,
)

from ...support import waiting
from ...support.cluster_playbook import Tasks
from ...support.sandbox import Running
from ...support.upstream import api_of, crd

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

MODELS, RECORDS, USER = "rights-models", "rights-records", "rights-user"
RBAC = "rbac.authorization.k8s.io/v1"
VERSION = f"{KSERVE}/v1beta1"
MODEL = {
    "apiVersion": VERSION,
    "kind": "InferenceService",
    "metadata": {"name": "m", "namespace": MODELS},
    "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}},
}
STATUS = {
    "deploymentMode": "Knative",
    "url": "http://m.example.com",
    "conditions": [{"type": "Ready", "status": "True"}],
    "components": {
        "predictor": {
            "latestCreatedRevision": "m-00001",
            "latestReadyRevision": "m-00001",
            "latestRolledoutRevision": "m-00001",
            "traffic": [{"latestRevision": True, "percent": 100, "revisionName": "m-00001"}],
        }
    },
}


class Admin:
    """Makes what the test needs, and takes it away."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._made: list[str] = []

    def make(self, api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> None:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        folder = self.api.resource(api_version, kind).path(namespace or None)
        self.api.create(folder, {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more})
        self._made.append(f"{folder}/{name}")

    def grant(self, granted: list[Right]) -> None:
        """Exactly these rights, by roles of their namespaces."""
        subject = [{"kind": "ServiceAccount", "name": USER, "namespace": RECORDS}]
        for namespace in sorted({right.namespace for right in granted}):
            rules = [
                {"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]}
                for right in granted
                if right.namespace == namespace
            ]
            kind = "Role" if namespace else "ClusterRole"
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": USER}
            self.make(RBAC, kind, USER, namespace, rules=rules)
            self.make(RBAC, f"{kind}Binding", USER, namespace, roleRef=reference, subjects=subject)

    def clear(self) -> None:
        """Delete it all, and wait until it is gone: the next test makes it anew under the same names."""
        for path in reversed(self._made):
            with contextlib.suppress(NotFound):
                self.api.delete(path, {"propagationPolicy": "Background"})
        waiting.until(lambda: not any(self._there(path) for path in self._made), 60, "all to be gone")

    def _there(self, path: str) -> bool:
        try:
            self.api.get(path)
        except NotFound:
            return False
        return True


TASKS = [OBSERVE, PROGRESSIVE, QUICKSTART, TEARDOWN]


@pytest.fixture
def admin(sandbox: Running) -> Iterator[Admin]:
    found = Admin(api_of(sandbox))
    for namespace in (MODELS, RECORDS):
        found.make("v1", "Namespace", namespace)
    definition = crd("InferenceService", "inferenceservices", KSERVE, "v1beta1")
    definition["spec"]["versions"][0]["subresources"] = {"status": {}}
    found.make(
        definition["apiVersion"], definition["kind"], definition["metadata"]["name"], spec=definition["spec"]
    )
    found.make("v1", "ServiceAccount", USER, RECORDS)
    yield found
    found.clear()


def kubeconfig(sandbox: Running, admin: Admin, folder: Path) -> Path:
    """That of the service account, under the sandbox's own context."""
    path = f"/api/v1/namespaces/{RECORDS}/serviceaccounts/{USER}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    token = admin.api.create(path, request)["status"]["token"]
    content = yaml.safe_load(sandbox.kubeconfig.read_text())
    for each in content["users"]:
        each["user"] = {"token": token}
    made = folder / "kubeconfig"
    made.write_text(yaml.safe_dump(content))
    made.chmod(0o600)
    return made


def preflight(user: Path, sandbox: Running) -> dict[str, Any]:
    named = {"kubeconfig": str(user), "context": sandbox.context, "name": "m", "namespace": MODELS}
    return {
        "iter8.kfserving.rollout_preflight": {**named, "record_namespace": RECORDS, "driver": PROGRESSIVE}
    }


def test_the_list_suffices(sandbox: Running, admin: Admin, tmp_path: Path) -> None:
    served = [KSERVE, "apps", "batch", "coordination.k8s.io"]
    admin.grant(rights(TASKS, MODELS, RECORDS, served))
    user = kubeconfig(sandbox, admin, tmp_path)
    cluster = {"kubeconfig": str(user), "context": sandbox.context}
    model = {**cluster, "name": "m", "namespace": MODELS}
    own = {
        **cluster, "run_id": "rights-1", "record": str(tmp_path / "record.json"), "record_namespace": RECORDS,
    }  # fmt: skip
    made = Tasks(sandbox, tmp_path).run(
        {"iter8.kfserving.ownership": {**own, "state": "present", "definitions": [MODEL]}}
    )
    assert (made["failed"], made["changed"]) == (False, True), made.get("msg")
    assert "warnings" not in made or not any("record" in each for each in made["warnings"])
    kind = admin.api.resource(VERSION, "InferenceService")
    admin.api.merge(f"{kind.path(MODELS, 'm')}/status", {"status": STATUS})
    asked = Tasks(sandbox, tmp_path).run(preflight(user, sandbox))
    assert asked["failed"] is False, asked.get("msg")
    observer = {"name": "rights", "state_dir": str(tmp_path / "state")}
    waited = Tasks(sandbox, tmp_path).run(
        {
            "iter8.kfserving.rollout_observer": {
                **cluster,
                **observer,
                "inferenceservice": "m",
                "namespace": MODELS,
            }
        },
        {"iter8.kfserving.inferenceservice_wait": {**model, "state": "serving", "timeout": 60}},
    )
    assert waited["failed"] is False, waited.get("msg")
    stopped = Tasks(sandbox, tmp_path).run(
        {"iter8.kfserving.rollout_observer": {**cluster, **observer, "state": "absent"}}
    )
    assert stopped["failed"] is False, stopped.get("msg")
    gone = Tasks(sandbox, tmp_path).run({"iter8.kfserving.ownership": {**own, "state": "absent"}})
    assert (gone["failed"], len(gone["deleted"])) == (False, 1), gone.get("msg")


def test_one_right_less_is_named(sandbox: Running, admin: Admin, tmp_path: Path) -> None:
    served = [KSERVE, "apps", "batch", "coordination.k8s.io"]
    granted = rights(TASKS, MODELS, RECORDS, served)
    granted = [each for each in granted if (each.resource, each.verb) != ("inferenceservices", "patch")]
    admin.grant(granted)
    asked = Tasks(sandbox, tmp_path).run(preflight(kubeconfig(sandbox, admin, tmp_path), sandbox))
    assert asked["failed"] is True
    assert f"The user may not patch inferenceservices.{KSERVE} in namespace {MODELS}" in asked["msg"]
