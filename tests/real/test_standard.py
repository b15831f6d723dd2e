# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard mode: Deployments behind a Gateway API gateway. The version tells who answered."""

from __future__ import annotations

from typing import cast

import pytest
from kubernetes import client

from .conftest import Real, Report
from .rollout import Json, Rollout, condition, ready

_MODE = {"serving.kserve.io/deploymentMode": "Standard"}
_RUNTIME = "iter8-real-test"
_FOLLOW = 2.0
# As many pods as two cores start quickly, and more than one, so that one may end.
_PODS = 2


@pytest.fixture(scope="module", autouse=True)
def _runtimes(real: Real) -> None:
    """A runtime for our model server; drained, it goes on serving for 8 s after SIGTERM."""
    api = client.CustomObjectsApi(real.api)
    for name, knobs in (("plain", {}), ("draining", {"DRAIN_SECONDS": "8"})):
        container = {
            "name": "kserve-container",
            "image": real.image,
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": key, "value": value} for key, value in knobs.items()],
            "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": 8080}, "periodSeconds": 1},
        }
        runtime = {
            "apiVersion": "serving.kserve.io/v1alpha1",
            "kind": "ServingRuntime",
            "metadata": {"name": name, "namespace": real.namespace},
            "spec": {
                "supportedModelFormats": [{"name": name, "autoSelect": True}],
                "containers": [container],
            },
        }
        api.create_namespaced_custom_object(
            "serving.kserve.io", "v1alpha1", real.namespace, "servingruntimes", runtime
        )


def _model(version: str, kind: str) -> Json:
    return {"modelFormat": {"name": kind}, "storageUri": f"s3://models/{version}"}


def _start(rollout: Rollout, kind: str) -> None:
    rollout.create(
        {"predictor": {"minReplicas": _PODS, "maxReplicas": 8, "model": _model("v1", kind)}}, _MODE
    )
    rollout.wait("the pods are there", lambda found: condition(found, "IngressReady") == "True")
    rollout.hold(3)
    rollout.start_load()
    rollout.hold(2)


def _deployments(rollout: Rollout) -> list[Json]:
    listed = rollout.api.list_namespaced_custom_object(
        *("apps", "v1", rollout.namespace, "deployments"),
        label_selector=f"serving.kserve.io/inferenceservice={rollout.name}",
    )
    return cast(dict[str, list[Json]], listed)["items"]


def _rolled(rollout: Rollout) -> bool:
    """Whether each Deployment has all its pods of its newest template, ready, and no other."""
    for each in _deployments(rollout):
        status, wanted = each["status"], each["spec"]["replicas"]
        if status.get("observedGeneration") != each["metadata"]["generation"]:
            return False
        if (
            not status.get("updatedReplicas")
            == status.get("replicas")
            == status.get("readyReplicas")
            == wanted
        ):
            return False
    return True


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kind", "before"),
    [("draining", "0 of 4,999 (Envoy Gateway)"), ("plain", "6 of 4,993 (Envoy Gateway)")],
)
def test_rolling_update(rollout: Rollout, real: Real, report: Report, kind: str, before: str) -> None:
    _start(rollout, kind)
    began = rollout.patch("v2 at once", {"predictor": {"model": _model("v2", kind)}})
    rollout.hold(1)
    rolled = rollout.wait("rolled", lambda found: ready(found) and _rolled(rollout), 120)
    rollout.hold(15)
    seen = rollout.end_load()
    report.add(seen, before)
    assert seen.of("v2", 0, began) == 0
    assert seen.of("v1", rolled + 10) == 0
    if kind == "draining":
        assert seen.failed == 0, seen.ledger[:3]
    # Plain servers may lose what the gateway still sends to pods that end: at that time, and no other.
    assert all(began <= loss["sent"] <= rolled + 10 for loss in seen.ledger)
