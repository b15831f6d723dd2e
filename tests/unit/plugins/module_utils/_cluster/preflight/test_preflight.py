# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rollout_preflight against a cluster in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    Forbidden,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight import (
    preflight as module_side,
)
from ansible_collections.iter8.kfserving.tests.support.cluster import BUILT_IN, CUSTOM, VERBS, Cluster, obj

STATEFUL = Resource("apps/v1", "StatefulSet", "statefulsets", True, VERBS)
KSERVE = Resource("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices", True, VERBS)
CONTROLLER = "/apis/apps/v1/namespaces/kserve/deployments/kserve-controller-manager"


def workload(
    kind: str, name: str, namespace: str, ready: int = 1, image: str = "c:v0.21.0"
) -> dict[str, Any]:
    counts = {"updatedReplicas": ready, "availableReplicas": ready, "readyReplicas": ready, "replicas": ready}
    spec = {"replicas": 1, "template": {"spec": {"containers": [{"image": image}]}}}
    return {**obj(kind, name, namespace), "spec": spec, "status": counts}


def kserve_model() -> dict[str, Any]:
    traffic = [{"latestRevision": True, "percent": 100, "revisionName": "m-00001"}]
    names = ("latestCreatedRevision", "latestReadyRevision", "latestRolledoutRevision")
    predictor = {**dict.fromkeys(names, "m-00001"), "traffic": traffic}
    return {
        "apiVersion": KSERVE.api_version,
        "kind": "InferenceService",
        "metadata": {"name": "m", "namespace": "models"},
        "spec": {"predictor": {"model": {}}},
        "status": {"deploymentMode": "Knative", "components": {"predictor": predictor}},
    }


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """KServe, its controller, and a model."""
    found = Cluster([*BUILT_IN, STATEFUL, KSERVE])
    found.put(workload("Deployment", "kserve-controller-manager", "kserve"), kserve_model())
    found.objects["/version"] = {"gitVersion": "v1.34.4", "metadata": {"name": ""}, "kind": ""}
    monkeypatch.setattr(module_side, "connect", lambda _module: found)
    return found


def run(cluster: Cluster, **params: Any) -> dict[str, Any]:
    module: Any = SimpleNamespace()
    module.params = {
        "name": "m", "namespace": "models", "api_version": None, "driver": "progressive", "canary": None,
        "record_namespace": "", "load_namespace": "", **params,
    }  # fmt: skip
    return module_side.preflight(module)


def problems(cluster: Cluster, **params: Any) -> list[str]:
    with pytest.raises(Failed) as caught:
        run(cluster, **params)
    assert "nothing was changed" in str(caught.value)
    return list(caught.value.result["problems"])


def test_a_cluster_that_is_ready(cluster: Cluster) -> None:
    assert run(cluster) == {"changed": False, "problems": [], "notes": [], "version": "v1.34.4"}
    assert cluster.applied == []


def test_a_cluster_with_neither_kfserving_nor_iter8_is_told_so(cluster: Cluster) -> None:
    cluster.kinds = [each for each in cluster.kinds if each is not KSERVE]
    told = problems(cluster, driver="iter8")
    assert "serves InferenceService in no version that is known" in told[0]
    assert "iter8 is not installed" in told[1]


def test_iter8_that_does_not_run_is_told_by_its_workloads(cluster: Cluster) -> None:
    cluster.kinds += CUSTOM
    cluster.put(workload("Deployment", "iter8-controller-manager", "iter8-system", ready=0))
    told = problems(cluster, driver="iter8")
    assert "is KServe's: use rollout_driver=progressive" in told[0]
    assert "iter8-system/iter8-controller-manager does not run: 0 of 1 pods are ready" in told[1]
    assert "iter8-system/iter8-analytics does not run: it is not there" in told[2]


def test_a_controller_that_does_not_run(cluster: Cluster) -> None:
    cluster.objects[CONTROLLER]["status"]["availableReplicas"] = 0
    assert "kserve/kserve-controller-manager, does not run: 0 of 1 pods" in problems(cluster)[0]
    del cluster.objects[CONTROLLER]
    assert "was not found under its usual names" in run(cluster)["notes"][0]


@pytest.mark.parametrize("everything", ["", "apiGroups", "apiVersions", "resources", "operations"])
def test_a_webhook_that_cannot_answer(cluster: Cluster, everything: str) -> None:
    rule = {
        "apiGroups": ["serving.kserve.io"], "apiVersions": ["v1beta1"], "resources": ["inferenceservices"],
        "operations": ["UPDATE"],
    } | ({everything: ["*"]} if everything else {})  # fmt: skip
    cluster.put(guard(rule))
    assert (
        "The webhook v guards InferenceServices and cannot answer: it has no CA yet" in problems(cluster)[0]
    )


EVERY = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}


def guard(rule: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A webhook of this rule that cannot answer."""
    config = {"service": {"name": "w", "namespace": "kserve"}, "caBundle": ""}
    hook = {"name": "v", "clientConfig": config, "rules": [rule], **more}
    return {**obj("ValidatingWebhookConfiguration", "g"), "webhooks": [hook]}


@pytest.mark.parametrize(
    ("guards", "more"),
    [
        (True, {}),
        (True, {"scope": "Namespaced"}),
        (False, {"scope": "Cluster"}),
        (True, {"namespaceSelector": {"matchLabels": {"team": "ml"}}}),
        (False, {"namespaceSelector": {"matchLabels": {"team": "other"}}}),
        (False, {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}),
        (True, {"namespaceSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}),
        (False, {"objectSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}),
        (False, {"objectSelector": {"matchExpressions": [{"key": "x", "operator": "In", "values": ["y"]}]}}),
        (
            True,
            {"objectSelector": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}},
        ),
        # The canary brings the label.
        (True, {"objectSelector": {"matchLabels": {"version": "2"}}}),
    ],
)
def test_a_webhook_counts_where_its_rules_and_selectors_take_the_model(
    cluster: Cluster, guards: bool, more: dict[str, Any]
) -> None:
    cluster.put(obj("Namespace", "models", labels={"team": "ml"}))
    scope = {name: value for name, value in more.items() if name == "scope"}
    selectors = {name: value for name, value in more.items() if name != "scope"}
    cluster.put(guard({**EVERY, **scope}, **selectors))
    canary = {**kserve_model(), "metadata": {"name": "m", "labels": {"version": "2"}}}
    if guards:
        assert "The webhook v guards" in problems(cluster, canary=canary)[0]
    else:
        assert run(cluster, canary=canary)["problems"] == []


def test_a_webhook_counts_where_the_labels_of_the_namespace_may_not_be_seen(cluster: Cluster) -> None:
    cluster.put(guard(EVERY, namespaceSelector={"matchLabels": {"team": "other"}}))
    cluster.get_faults = {"/api/v1/namespaces/models": [Forbidden("no")]}
    assert "The webhook v guards" in problems(cluster)[0]


def test_rights_that_are_missing(cluster: Cluster) -> None:
    cluster.denied = {("patch", "inferenceservices"), ("list", "pods")}
    assert problems(cluster) == [
        "The user may not list pods in namespace models: see docs/rights.md.",
        "The user may not patch inferenceservices.serving.kserve.io in namespace models: see docs/rights.md.",
    ]


def test_what_may_not_be_looked_at_is_told(cluster: Cluster) -> None:
    hooks = "/apis/admissionregistration.k8s.io/v1/mwc"
    cluster.get_faults = {hooks: [Forbidden("no")], "/api/v1/nodes": [Forbidden("no")]}
    model = cluster.objects["/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices/m"]
    model["spec"]["predictor"]["model"] = {"resources": {"requests": {"cpu": "1"}}}
    notes = run(cluster)["notes"]
    assert "Whether webhooks answer was not looked at" in notes[0]
    assert "Whether the nodes have room" in notes[1]


def test_gateway_settings_and_the_version_come_from_kserve_itself(cluster: Cluster) -> None:
    cluster.objects[CONTROLLER]["spec"]["template"]["spec"]["containers"] = [
        {"image": "kserve/kserve-controller:v0.20.0"}
    ]
    cluster.put(
        {
            **obj("ConfigMap", "inferenceservice-config", "kserve"),
            "data": {"ingress": '{"enableGatewayApi": false}'},
        }
    )
    model = cluster.objects["/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices/m"]
    model["status"] = {"deploymentMode": "Standard"}
    told = problems(cluster)
    assert "models/m: KServe kserve-controller:v0.20.0 takes spec.canary" in told[0]
    assert "plain Ingress" in told[1]


def test_an_error_of_one_look_is_told_beside_what_the_others_found(cluster: Cluster) -> None:
    cluster.get_faults = {"/version": [Unreachable("the server is away")]}
    cluster.denied = {("list", "pods")}
    assert problems(cluster) == [
        "the server is away",
        "The user may not list pods in namespace models: see docs/rights.md.",
    ]
