# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying as a run's own (state=present): order, record, patience, and the wait for workloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Conflict,
    UnknownKind,
    from_status,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.application import (
    differs,
    shortfall,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import LABEL
from ansible_collections.iter8.kfserving.tests.support import cluster as memory
from ansible_collections.iter8.kfserving.tests.support.cluster import AWAY, BUILT_IN, CUSTOM, crd, obj
from ansible_collections.iter8.kfserving.tests.support.ownership import RUN, Run, refs


@pytest.fixture
def cluster() -> memory.Cluster:
    return memory.Cluster()


@pytest.fixture
def run(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(cluster, tmp_path / "state" / "record.json", monkeypatch)


def recorded(run: Run) -> dict[str, str]:
    """UIDs on record by kind and name; "existed" for what was there."""
    objects = json.loads(run.record.read_text())["objects"]
    return {f"{e['kind']} {e['name']}": "existed" if e["existed"] else e["uid"] for e in objects}


def workload(ready: int, kind: str = "Deployment", replicas: int = 1) -> dict[str, Any]:
    found = {**obj("Deployment", "d", "ns", generation=2), "kind": kind}
    counts = {"replicas": replicas, "updatedReplicas": replicas}
    name = "availableReplicas" if kind == "Deployment" else "readyReplicas"
    return {
        **found,
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, **counts, **({name: ready} if ready else {})},
    }


WORKLOAD = {"kind": "Deployment", "namespace": "ns", "name": "d"}


def test_what_is_applied_is_labelled_and_on_record_with_its_uid(run: Run) -> None:
    there = obj("Namespace", "monitoring")
    run.cluster.put(there)
    result = run("present", definitions=[there, obj("Namespace", "mine"), obj("ConfigMap", "c", "mine")])
    assert result["changed"] is True
    assert refs(result["existed"]) == ["Namespace monitoring"]
    assert refs(result["created"]) == ["Namespace mine", "ConfigMap c"]
    owned = [each for each in run.cluster.objects.values() if LABEL in each["metadata"].get("labels", {})]
    assert {each["metadata"]["name"] for each in owned} == {"mine", "c"}
    uids = {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["uid"] for each in owned}
    assert recorded(run) == {"Namespace monitoring": "existed", **uids}
    assert {manager for _name, manager in run.cluster.applied} == {"iter8-kfserving"}


def test_a_second_time_nothing_changes(run: Run) -> None:
    definitions = [obj("Namespace", "mine"), obj("ConfigMap", "c", "mine")]
    run("present", definitions=definitions)
    before = recorded(run)
    assert run("present", definitions=definitions)["changed"] is False
    assert recorded(run) == before


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_being_deleted_is_not_applied_to(run: Run, check_mode: bool) -> None:
    namespace = obj("Namespace", "mine")
    run("present", definitions=[namespace])
    run.cluster.held.add(run.cluster.path(namespace))
    with pytest.raises(Failed, match="held by finalizers"):
        run("absent", timeout=1)
    run.cluster.applied.clear()
    with pytest.raises(ClusterError, match="Namespace mine is being deleted, so that nothing can be applied"):
        run("present", check_mode, definitions=[namespace, obj("ConfigMap", "c", "mine")])
    assert run.cluster.applied == []


def test_a_kind_is_applied_before_its_objects_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(memory.Cluster(BUILT_IN), tmp_path / "record.json", monkeypatch)
    run("present", definitions=[obj("Namespace", "ns"), obj("Experiment", "e", "ns"), crd(CUSTOM[0])])
    assert [name for name, _manager in run.cluster.applied] == [
        "CustomResourceDefinition experiments.iter8.tools",
        "Namespace ns",
        "Experiment e",
    ]
    assert "" not in recorded(run).values()


def test_a_kind_that_is_never_served_is_an_error_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = memory.Cluster(BUILT_IN)
    monkeypatch.setattr(cluster, "forget_kinds", lambda: None)
    run = Run(cluster, tmp_path / "record.json", monkeypatch)
    with pytest.raises(Failed) as failed:
        run("present", definitions=[crd(CUSTOM[0]), obj("Experiment", "e", "ns")], timeout=10)
    assert isinstance(failed.value.__cause__, UnknownKind)
    assert run.clock.now >= 10


def test_a_webhook_that_is_not_up_yet_is_waited_for(run: Run) -> None:
    namespace = obj("Namespace", "mine")
    run.cluster.faults[run.cluster.path(namespace)] = [AWAY, AWAY]
    run("present", definitions=[namespace])
    assert run.cluster.names() == ["Namespace mine"]
    assert run.clock.now == 2.0


def test_a_refusal_ends_it_with_the_record_of_what_was_created(run: Run) -> None:
    second = obj("Namespace", "second")
    run.cluster.faults[run.cluster.path(second)] = [Conflict("another manager has it")]
    with pytest.raises(Failed, match="another manager has it") as failed:
        run("present", definitions=[obj("Namespace", "first"), second, obj("Namespace", "third")])
    assert run.clock.now == 0.0
    assert failed.value.result["changed"] is True
    assert recorded(run) == {"Namespace first": "uid-1", "Namespace second": "", "Namespace third": ""}
    run("absent")
    assert run.cluster.names() == []


def conflict(*causes: dict[str, Any]) -> ClusterError:
    """As an API server of 1.29 answers a server-side apply."""
    message = f"Apply failed with {len(causes)} conflicts: ..."
    status = {"kind": "Status", "message": message, "reason": "Conflict", "details": {"causes": list(causes)}}
    return from_status(409, status, "PATCH https://127.0.0.1:1/api/v1/namespaces/mine/configmaps/c")


def owned(manager: str, field: str, version: str = "v1") -> dict[str, str]:
    words = f'conflict with "{manager}" using {version}'
    return {"reason": "FieldManagerConflict", "message": words, "field": field}


@pytest.mark.parametrize("check_mode", [False, True])
def test_fields_of_other_managers_are_named_with_their_owners_and_tried_once(
    run: Run, check_mode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = obj("ConfigMap", "c", "mine")
    run.cluster.put(there)
    asked: list[str] = []

    def refused(path: str, *_arguments: Any, **_options: Any) -> Any:
        asked.append(path)
        raise conflict(
            owned("kubectl-client-side-apply", ".data.a"), owned('argo "cd"', ".data.b", "apps/v1")
        )

    monkeypatch.setattr(run.cluster, "apply", refused)
    with pytest.raises(ClusterError) as caught:
        run("present", check_mode=check_mode, definitions=[{**there, "data": {"a": "1", "b": "2"}}])
    assert str(caught.value) == (
        "ConfigMap mine/c was not applied, for others own fields that its definition sets otherwise: "
        '.data.a (kubectl-client-side-apply), .data.b (argo "cd"). Take these out of the definition, or have '
        "their owners give them up; none is taken away."
    )
    assert len(asked) == 1
    assert run.clock.now == 0.0


@pytest.mark.parametrize(
    "cause",
    [
        {"reason": "FieldValueInvalid", "message": "no", "field": ".a"},
        "text",
        {"reason": "FieldManagerConflict"},
    ],
)
def test_another_conflict_is_told_as_the_server_has_it(cause: Any) -> None:
    error = conflict(cause)
    assert isinstance(error, Conflict)
    expected = (("a field", "another manager"),) if cause == {"reason": "FieldManagerConflict"} else ()
    assert error.fields == expected
    assert "Apply failed with 1 conflicts" in str(error)


def no_dry_run() -> ClusterError:
    """As an API server of 1.21 answers a dry run of what KFServing's webhooks guard (no sideEffects)."""
    message = 'admission webhook "inferenceservice.kfserving-webhook-server.v1beta1.defaulter" '
    status = {"kind": "Status", "message": f"{message}does not support dry run", "reason": "BadRequest"}
    return from_status(400, status, "PATCH https://127.0.0.1:1/apis/serving.kubeflow.org/v1beta1/iris")


def test_an_object_whose_webhook_allows_no_dry_run_is_applied_again_all_the_same(run: Run) -> None:
    model = obj("InferenceService", "iris", "mine")
    run("present", definitions=[model])
    run.cluster.faults[run.cluster.path(model)] = [no_dry_run()]
    assert run("present", definitions=[model])["changed"] is False
    run.cluster.faults[run.cluster.path(model)] = [no_dry_run()]
    assert run("present", definitions=[{**model, "spec": {"a": 1}}])["changed"] is True
    assert [name for name, _manager in run.cluster.applied] == ["InferenceService iris"] * 3


def test_in_check_mode_a_webhook_that_allows_no_dry_run_is_told(run: Run) -> None:
    model = obj("InferenceService", "iris", "mine")
    run("present", definitions=[model])
    run.cluster.faults[run.cluster.path(model)] = [no_dry_run()]
    with pytest.raises(ClusterError, match="v1beta1.defaulter.* does not support dry run"):
        run("present", check_mode=True, definitions=[model])


def test_it_is_on_record_before_anything_is_applied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_arguments: Any, **_options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run.cluster, "apply", killed)
    with pytest.raises(KeyboardInterrupt):
        run("present", definitions=[obj("Namespace", "mine")])
    assert recorded(run) == {"Namespace mine": ""}


def test_check_mode_says_whether_anything_would_change(run: Run) -> None:
    there = {**obj("ConfigMap", "c", "mine"), "data": {"a": "b"}}
    run.cluster.put(there)
    assert run("present", check_mode=True, definitions=[there])["changed"] is False
    altered = {**there, "data": {"a": "c"}}
    assert run("present", check_mode=True, definitions=[altered])["changed"] is True
    assert run("present", check_mode=True, definitions=[there, obj("Namespace", "n")])["changed"] is True
    assert not run.record.exists()
    assert run.cluster.applied == []


def test_a_workload_is_waited_for_and_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([0, 0, 1])
    monkeypatch.setattr(
        run.cluster,
        "get",
        lambda path: workload(next(counts)) if "deployments" in path else {"metadata": {"uid": "k"}},
    )
    result = run("present", workloads=[WORKLOAD])
    assert [entry["text"] for entry in result["transitions"]] == ["Deployment ns/d is ready"]
    assert run.clock.now == pytest.approx(0.6)


def test_a_workload_that_does_not_come_up_is_named_with_what_it_lacks(run: Run) -> None:
    run.cluster.put(workload(1, replicas=3))
    words = "Deployment ns/d: 1 of 3 pods are ready; StatefulSet ns/s: it is not there"
    run.cluster.kinds.append(memory.Resource("apps/v1", "StatefulSet", "statefulsets", True))
    missing = {"kind": "StatefulSet", "namespace": "ns", "name": "s"}
    with pytest.raises(Failed, match=words):
        run("present", workloads=[WORKLOAD, missing], timeout=5)
    assert run.clock.now >= 5


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_workload_with_all_its_pods_is_ready(kind: str) -> None:
    assert shortfall(workload(1, kind)) == ""
    assert shortfall(workload(0, kind, replicas=0)) == ""
    assert shortfall(workload(0, kind)) == "0 of 1 pods are ready"
    unseen = workload(1, kind)
    unseen["status"]["observedGeneration"] = 1
    assert shortfall(unseen) == "its controller has not seen it yet"
    outdated = workload(1, kind)
    outdated["status"]["updatedReplicas"] = 0
    assert shortfall(outdated) == "0 of 1 pods are ready"


def test_a_daemon_set_is_ready_on_every_node() -> None:
    found = workload(0, "DaemonSet")
    found["status"] = {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2}
    assert shortfall(found) == "0 of 2 pods are ready"
    found["status"]["numberAvailable"] = 2
    assert shortfall(found) == ""


def test_a_deployment_whose_old_pods_are_still_there_is_not_ready() -> None:
    found = workload(1)
    found["status"]["replicas"] = 2
    assert shortfall(found) == "1 of its pods are to go"


def test_what_the_api_server_and_controllers_write_is_no_change() -> None:
    before = obj("ConfigMap", "c", "ns", uid="u", resourceVersion="1", generation=1, managedFields=[1])
    after = obj("ConfigMap", "c", "ns", uid="u", resourceVersion="2", generation=2, managedFields=[2])
    assert differs(before, {**after, "status": {"ready": True}}) is False
    assert differs(before, {**after, "data": {"a": "b"}}) is True
    assert differs(before, obj("ConfigMap", "c", "ns", uid="u", labels={LABEL: RUN})) is True
    assert differs(None, after) is True
