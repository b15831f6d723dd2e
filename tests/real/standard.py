# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of Standard mode share: runtimes, models, and when Deployments have rolled."""

from __future__ import annotations

from typing import cast

from kubernetes import client

from .rollout import Json, Rollout, condition
from .stage import Real

PLAIN, DRAINING, ERRING, SLOW = "plain", "draining", "erring", "slow"
# How long a draining server goes on serving after SIGTERM, in seconds.
DRAIN = 8
# As many pods as two cores start quickly, and more than one, so that one may end.
PODS = 2
_MODE = {"serving.kserve.io/deploymentMode": "Standard"}


def create_runtimes(real: Real) -> None:
    """A runtime for plain servers, which finish what is in flight and end, and some for draining ones: good,
    erring (5 %) and slow (300 ms)."""
    api = client.CustomObjectsApi(real.api)
    drain = {"DRAIN_SECONDS": str(DRAIN)}
    kinds = {
        PLAIN: {},
        DRAINING: drain,
        ERRING: {**drain, "ERROR_SHARE": "0.05"},
        SLOW: {**drain, "DELAY_MS": "300"},
    }
    for name, knobs in kinds.items():
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
        try:
            api.create_namespaced_custom_object(
                "serving.kserve.io", "v1alpha1", real.namespace, "servingruntimes", runtime
            )
        except client.ApiException as error:
            if error.status != 409:  # another file's tests have made them
                raise


def model(version: str, kind: str) -> Json:
    """The model of a version, which is the end of its address, served by a kind of server."""
    # By itself KServe would keep the runtime that it chose for the first one.
    return {"modelFormat": {"name": kind}, "runtime": kind, "storageUri": f"s3://models/{version}"}


def create(rollout: Rollout, kind: str) -> None:
    """The service with its first model, served."""
    rollout.create({"predictor": {"minReplicas": PODS, "maxReplicas": 8, "model": model("v1", kind)}}, _MODE)
    rollout.wait("the route is there", lambda found: condition(found, "IngressReady") == "True")
    rollout.wait("the pods are there", lambda _found: rolled(rollout))
    rollout.hold(3)


def start(rollout: Rollout, kind: str) -> None:
    """The service with its first model, under load."""
    create(rollout, kind)
    rollout.start_load()
    rollout.hold(2)


def deployments(rollout: Rollout) -> list[Json]:
    """Those of the service."""
    listed = rollout.api.list_namespaced_custom_object(
        *("apps", "v1", rollout.namespace, "deployments"),
        label_selector=f"serving.kserve.io/inferenceservice={rollout.name}",
    )
    return cast(dict[str, list[Json]], listed)["items"]


def rolled(rollout: Rollout) -> bool:
    """Whether each Deployment has all its pods of its newest template, ready, and no other."""
    for each in deployments(rollout):
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
