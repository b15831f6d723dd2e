# SPDX-License-Identifier: GPL-3.0-or-later
"""Ownership against a real API server, with kubernetes.core applying what was claimed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic

from ...support.cluster_playbook import Tasks
from ...support.sandbox import Running
from ...support.stage import crd, patiently

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

GROUP = "owned.example.com"
THERE, MINE = "owned-there", "owned-mine"


def widget_crd() -> dict[str, Any]:
    definition = crd("Widget", "widgets", "v1")
    definition["metadata"] = {"name": f"widgets.{GROUP}"}
    definition["spec"]["group"] = GROUP
    return definition


def core(kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def widget(name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name, "namespace": namespace}}


def config_map(number: int) -> dict[str, Any]:
    return {**core("ConfigMap", f"c{number}", THERE), "data": {"a": "b"}}


def definitions(config_maps: int) -> list[dict[str, Any]]:
    """A namespace that is there, one that is not, a kind with an object, a workload, and many small
    things.
    """
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    selector = {"matchLabels": {"a": "b"}}
    return [
        core("Namespace", THERE),
        core("Namespace", MINE),
        widget_crd(),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": MINE},
            "rules": [],
        },
        *(config_map(number) for number in range(config_maps)),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": MINE},
            "spec": {"replicas": 0, "selector": selector, "template": pod},
        },
        widget("w", MINE),
    ]


class Run:
    """A run as the roles make one: claim, apply the CRDs and then the rest, record, delete."""

    def __init__(self, sandbox: Running, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.record = folder / "record.json"
        self.api = config.new_client_from_config(str(sandbox.kubeconfig), sandbox.context)
        self.core = client.CoreV1Api(self.api)

    def _task(self, state: str, **more: Any) -> dict[str, Any]:
        return {
            "iter8.kfserving.ownership": {"state": state, "run_id": "r1", "record": str(self.record), **more}
        }

    def up(self, objects: list[dict[str, Any]], record: bool = True) -> dict[str, Any]:
        claim = {**self._task("claimed", definitions=objects), "register": "claim"}
        chosen = "{{ claim.definitions | %sattr('kind', 'equalto', 'CustomResourceDefinition') }}"
        crds = {"definition": chosen % "select", "wait": True, "wait_condition": {"type": "Established"}}
        others = {"definition": chosen % "reject"}
        some = chosen.strip("{ }") % "select" + " | length > 0"
        tasks = [claim, {"kubernetes.core.k8s": crds, "when": some}, {"kubernetes.core.k8s": others}]
        return Tasks(self.sandbox, self.folder).run(*tasks, *([self._task("recorded")] if record else []))

    def down(self, check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = ("--check",) if check else ()
        return Tasks(self.sandbox, self.folder).run(self._task("absent", **more), arguments=arguments)

    def widgets(self) -> Any:
        return dynamic.DynamicClient(self.api).resources.get(api_version=f"{GROUP}/v1", kind="Widget")

    def left(self) -> list[str]:
        """What is there of all that the run could have made."""
        namespaces = [each.metadata.name for each in self.core.list_namespace().items]
        roles = [
            each.metadata.name for each in client.RbacAuthorizationV1Api(self.api).list_cluster_role().items
        ]
        crds = client.ApiextensionsV1Api(self.api).list_custom_resource_definition().items
        found = [name for name in (THERE, MINE) if name in namespaces]
        found += [each.metadata.name for each in self.core.list_namespaced_config_map(THERE).items]
        found += ["role"] if MINE in roles else []
        found += ["crd"] if any(each.metadata.name == f"widgets.{GROUP}" for each in crds) else []
        return sorted(found)


@pytest.fixture(scope="module")
def there(sandbox: Running) -> Iterator[None]:
    """A namespace that no run has made."""
    core_api = client.CoreV1Api(config.new_client_from_config(str(sandbox.kubeconfig), sandbox.context))
    core_api.create_namespace(core("Namespace", THERE))
    # Every namespace gets this one by itself.
    patiently(lambda: core_api.read_namespaced_config_map("kube-root-ca.crt", THERE))
    yield
    core_api.delete_namespace(THERE)


@pytest.fixture
def run(sandbox: Running, there: None, tmp_path: Path) -> Iterator[Run]:
    found = Run(sandbox, tmp_path)
    yield found
    if found.left() != BEFORE:
        assert found.down(force_contents=True, timeout=30)["failed"] is False


BEFORE = ["kube-root-ca.crt", THERE]


def test_eighty_objects_come_and_go_and_what_was_there_stays(run: Run) -> None:
    objects = definitions(75)
    recorded = run.up(objects)
    assert recorded["failed"] is False, recorded
    assert (len(recorded["created"]), recorded["missing"]) == (len(objects) - 1, [])
    planned = run.down(check=True)
    gone = run.down()
    assert gone["failed"] is False, gone
    assert run.left() == BEFORE
    assert [(each["kind"], each["name"]) for each in gone["kept"]] == [("Namespace", THERE)]
    assert sorted(map(str, planned["deleted"])) == sorted(map(str, gone["deleted"]))
    assert gone["deleted"][0]["kind"] == "Widget"
    assert gone["deleted"][-1] == {"api_version": "v1", "kind": "Namespace", "name": MINE}
    assert run.down()["changed"] is False


def test_a_run_that_died_before_recording_is_removed_too(run: Run) -> None:
    run.up([config_map(0), config_map(1)], record=False)
    assert all(entry["uid"] == "" for entry in json.loads(run.record.read_text())["objects"])
    assert len(run.down()["deleted"]) == 2
    assert run.left() == BEFORE


def test_other_peoples_objects_are_named_and_nothing_goes(run: Run) -> None:
    run.up(definitions(1))
    widgets = run.widgets()
    widgets.create(widget("theirs", THERE))
    limits = {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}
    run.core.create_namespaced_limit_range(MINE, {"metadata": {"name": "theirs"}, "spec": limits})
    before = run.left()
    refused = run.down()
    assert refused["failed"] is True
    assert f"LimitRange {MINE}/theirs, Widget {THERE}/theirs" in refused["msg"]
    assert run.left() == before


def test_a_stuck_object_is_named_with_what_holds_it(run: Run) -> None:
    run.up([widget_crd(), widget("w", THERE)])
    widgets = run.widgets()
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    merge = "application/merge-patch+json"
    widgets.patch(held, name="w", namespace=THERE, content_type=merge)
    failed = run.down(timeout=3)
    assert failed["failed"] is True
    assert f"Widget {THERE}/w: held by finalizers example.com/hold" in failed["msg"]
    assert "crd" in run.left()
    widgets.patch({"metadata": {"finalizers": None}}, name="w", namespace=THERE, content_type=merge)
    assert run.down()["failed"] is False
    assert run.left() == BEFORE


def test_a_stuck_namespace_says_what_remains(run: Run) -> None:
    run.up([core("Namespace", MINE)])
    stuck = {**core("ConfigMap", "stuck", MINE)}
    stuck["metadata"] = {**stuck["metadata"], "finalizers": ["example.com/hold"]}
    run.core.create_namespaced_config_map(MINE, stuck)
    failed = run.down(timeout=8, force_contents=True)
    assert "NamespaceFinalizersRemaining" in failed["msg"]
    assert "example.com/hold" in failed["msg"]
    run.core.patch_namespaced_config_map("stuck", MINE, {"metadata": {"finalizers": None}})
    assert run.down()["failed"] is False


def test_an_object_of_the_same_name_made_anew_is_kept(run: Run) -> None:
    run.up([config_map(0)])
    labels = {"iter8.kfserving/run-id": "r1"}
    run.core.delete_namespaced_config_map("c0", THERE)
    run.core.create_namespaced_config_map(THERE, {"metadata": {"name": "c0", "labels": labels}})
    gone = run.down()
    assert gone["deleted"] == []
    assert "its UID differs" in gone["kept"][0]["reason"]
    assert run.left() == ["c0", *BEFORE]
    run.core.delete_namespaced_config_map("c0", THERE)


def test_a_kind_that_nobody_serves_is_one_clear_error_before_anything_is_applied(run: Run) -> None:
    task = run._task("claimed", definitions=[core("Namespace", MINE), widget("w", THERE)])
    refused = Tasks(run.sandbox, run.folder).run(task)
    assert refused["failed"] is True
    assert f"does not serve Widget ({GROUP}/v1)" in refused["msg"]
    assert not run.record.exists()


def test_a_field_of_another_manager_is_named_with_its_owner_at_once(run: Run) -> None:
    core_api = run.core
    theirs = {"metadata": {"name": "contested"}, "data": {"a": "theirs", "b": "theirs"}}
    core_api.create_namespaced_config_map(THERE, theirs, field_manager="argo-cd")
    mine = {**core("ConfigMap", "contested", THERE), "data": {"a": "mine"}}
    refused = Tasks(run.sandbox, run.folder).run(run._task("present", definitions=[mine]))
    assert refused["failed"] is True
    assert f"ConfigMap {THERE}/contested was not applied" in refused["msg"]
    assert ".data.a (argo-cd)" in refused["msg"]
    assert core_api.read_namespaced_config_map("contested", THERE).data == theirs["data"]
    core_api.delete_namespaced_config_map("contested", THERE)
