# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole lives of InferenceServices against an API server and a gateway that are kept in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.admin import GatewayState
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.config import GatewayFiles
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import ApiError
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving import plan, resources
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.controller import Controller
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.kfserving import (
    KfservingStack,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.routes import (
    DRAIN_SECONDS,
    GatewayWriter,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.stack import (
    RESYNC_SECONDS,
    SOON_SECONDS,
)

HOST = "m.ns.example.com"


class World:
    """API server, kubelet and Envoy in one. Deployments have the pods they ask for, ready on demand."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.objects: dict[str, dict[str, Any]] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.ready: set[str] = set()
        self.waiting: dict[str, str] = {}
        self.gateways = ["127.9.0.2"]
        self.shown: list[str] = []
        self.faults: dict[str, str] = {}
        self.refuse: Optional[int] = None
        self.status_writes = 0
        self.files = GatewayFiles(folder)
        self.files.create_if_missing()
        self.restart()

    def restart(self) -> None:
        """A new controller process."""
        writer = GatewayWriter(self.files, lambda: self.now, self._sleep)
        api: Any = self
        stack = KfservingStack(api, lambda: f"t{self.now:g}")
        self.controller = Controller(api, stack, writer, self._admin)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _admin(self, ip: str) -> Any:
        return self

    def state(self) -> GatewayState:
        cds, rds = self.files.read(config.CDS_FILE), self.files.read(config.RDS_FILE)
        return GatewayState(cds["version_info"], rds["version_info"], 0, {}, 0, 0, 0)

    # The controller's API.

    def services(self) -> list[Any]:
        return copy.deepcopy(list(self.objects.values()))

    def deployments(self) -> list[Any]:
        return copy.deepcopy(list(self.made.values()))

    def pods(self) -> list[Any]:
        return [self._pod(d, n) for d in self.made.values() for n in range(d["spec"]["replicas"])]

    def _pod(self, deployment: dict[str, Any], number: int) -> dict[str, Any]:
        meta = deployment["metadata"]
        revision = meta["labels"][resources.REVISION_LABEL]
        address = f"127.9.{meta['labels'][resources.GENERATION_LABEL]}.{number + 1}"
        status: dict[str, Any] = {"podIP": address, "conditions": []}
        if revision in self.ready:
            status["conditions"] = [{"type": "Ready", "status": "True"}]
        elif revision in self.waiting:
            state = {"waiting": {"reason": self.waiting[revision], "message": "as it is"}}
            status["containerStatuses"] = [{"state": state}]
        return {
            "metadata": {"namespace": meta["namespace"], "labels": dict(meta["labels"])},
            "status": status,
        }

    def active_faults(self) -> Any:
        return faults.parse(self.faults)

    def create_deployment(self, deployment: Any) -> Any:
        if self.refuse:
            raise ApiError(self.refuse, "Refused", "")
        return self.made.setdefault(deployment["metadata"]["name"], deployment)

    def scale(self, revision: resources.Revision, replicas: int) -> None:
        self.made[revision.deployment]["spec"]["replicas"] = replicas

    def delete_deployment(self, revision: resources.Revision) -> None:
        self.made.pop(revision.deployment, None)

    def put_status(self, service: Any, status: Any) -> None:
        self.status_writes += 1
        self.objects[service["metadata"]["name"]]["status"] = status

    def set_finalizers(self, service: Any, finalizers: list[str]) -> Any:
        name = service["metadata"]["name"]
        self.objects[name]["metadata"]["finalizers"] = finalizers
        if self.objects[name]["metadata"].get("deletionTimestamp") and not finalizers:
            return self.objects.pop(name)
        return copy.deepcopy(self.objects[name])

    def gateway_ips(self) -> list[str]:
        return self.gateways

    def set_load_balancer(self, ips: list[str]) -> None:
        self.shown = ips

    # What a user does and sees.

    def apply(self, name: str = "m", **predictor: Any) -> None:
        meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
        one = self.objects.setdefault(name, {"metadata": meta, "spec": {"predictor": {}}})
        one["spec"]["predictor"].update(predictor)

    def model(self, uri: str, **predictor: Any) -> None:
        self.apply(tensorflow={"storageUri": uri}, **predictor)
        self.settle()

    def settle(self, passes: int = 3) -> float:
        return [self.controller.run_once() for _unused in range(passes)][-1]

    def later(self) -> None:
        self.now += DRAIN_SECONDS
        self.settle()

    def predictor(self) -> dict[str, Any]:
        found: dict[str, Any] = self.objects["m"]["status"]["components"]["predictor"]
        return found

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        found: dict[str, Any] = next(
            c for c in self.objects["m"]["status"]["conditions"] if c["type"] == kind
        )
        return found

    def traffic(self) -> dict[str, int]:
        return {entry["revisionName"]: entry["percent"] for entry in self.predictor().get("traffic", [])}

    def routes(self, host: str = HOST) -> dict[str, int]:
        hosts = config.hosts_of(self.files.read(config.RDS_FILE))
        return {config.revision_of(name): weight for name, weight in hosts.get(host, {}).items()}

    def replicas(self) -> dict[str, int]:
        return {
            d["metadata"]["labels"][resources.REVISION_LABEL]: d["spec"]["replicas"]
            for d in self.made.values()
        }

    def serve(self, uri: str, **predictor: Any) -> str:
        """Apply a model and let its revision become ready."""
        self.model(uri, **predictor)
        name: str = self.predictor()["latestCreatedRevision"]
        self.ready.add(name)
        self.settle()
        return name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_first_model_gets_routes_when_its_pod_is_ready(world: World) -> None:
    world.model("gs://one")
    assert world.condition()["status"] == "Unknown"
    assert world.routes() == {}
    name = world.predictor()["latestCreatedRevision"]
    world.ready.add(name)
    assert world.settle() == RESYNC_SECONDS
    assert world.condition()["status"] == "True"
    assert world.routes() == {name: 100}
    assert world.routes("m-predictor-default.ns.example.com") == {name: 100}
    assert world.routes("latest-m-predictor-default.ns.example.com") == {name: 100}
    assert world.objects["m"]["metadata"]["finalizers"] == ["inferenceservice.finalizers"]
    assert world.shown == ["127.9.0.2"]


def test_canary_to_promotion(world: World) -> None:
    one = world.serve("gs://one")
    world.model("gs://two", canaryTrafficPercent=1)
    assert world.traffic() == {one: 100}
    assert world.routes() == {one: 100}
    two = world.serve("gs://two")
    assert world.traffic() == {two: 1, one: 99}
    assert world.routes() == {two: 1, one: 99}
    assert world.routes("prev-m-predictor-default.ns.example.com") == {one: 100}
    world.apply(canaryTrafficPercent=100)
    assert world.settle() == SOON_SECONDS
    assert world.traffic() == {two: 100}
    assert world.replicas() == {one: 1, two: 1}, "the old revision drains first"
    world.later()
    assert world.replicas() == {one: 0, two: 1}
    assert world.predictor()["previousRolledoutRevision"] == one
    assert world.settle() == RESYNC_SECONDS


def test_rollback_keeps_the_canary_at_zero_and_running(world: World) -> None:
    one = world.serve("gs://one")
    two = world.serve("gs://two", canaryTrafficPercent=40)
    world.apply(canaryTrafficPercent=0)
    world.settle()
    world.later()
    assert world.traffic() == {two: 0, one: 100}
    assert world.routes() == {one: 100}
    assert world.replicas() == {one: 1, two: 1}
    assert world.condition()["status"] == "True"


def test_second_canary_replaces_the_first(world: World) -> None:
    one = world.serve("gs://one")
    two = world.serve("gs://two", canaryTrafficPercent=10)
    world.model("gs://three")
    assert world.traffic() == {two: 10, one: 90}
    three = world.serve("gs://three")
    assert world.traffic() == {three: 10, one: 90}
    world.later()
    assert world.replicas() == {one: 1, two: 0, three: 1}


def test_percentage_after_promotion_starts_the_retired_revision_again_before_it_is_routed(
    world: World,
) -> None:
    one = world.serve("gs://one")
    two = world.serve("gs://two", canaryTrafficPercent=100)
    world.later()
    world.ready.discard(one)
    assert world.replicas() == {one: 0, two: 1}
    world.apply(canaryTrafficPercent=20)
    world.settle()
    assert world.replicas() == {one: 1, two: 1}
    assert world.routes() == {two: 100}
    assert world.condition()["status"] == "Unknown"
    world.ready.add(one)
    world.settle()
    assert world.routes() == {two: 20, one: 80}
    assert world.condition()["status"] == "True"


def test_new_model_without_percentage_takes_over_when_it_is_ready(world: World) -> None:
    one = world.serve("gs://one")
    world.model("gs://two")
    assert world.routes() == {one: 100}
    two = world.serve("gs://two")
    assert world.routes() == {two: 100}
    assert world.predictor()["latestRolledoutRevision"] == two


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff"])
def test_canary_that_fails_is_reported_and_gets_nothing(world: World, reason: str) -> None:
    one = world.serve("gs://one")
    world.model("gs://two", canaryTrafficPercent=50)
    world.waiting[world.predictor()["latestCreatedRevision"]] = reason
    world.settle()
    assert world.condition()["status"] == "False"
    assert f"{reason}: as it is" in world.condition("PredictorReady")["message"]
    assert world.routes() == {one: 100}


def test_revision_in_use_that_loses_its_pods_keeps_its_routes(world: World) -> None:
    one = world.serve("gs://one")
    two = world.serve("gs://two", canaryTrafficPercent=50)
    world.ready.discard(two)
    world.settle()
    assert world.routes() == {two: 50, one: 50}
    assert config.endpoints_of(world.files.read(config.CDS_FILE))[f"ns/{two}"] == []
    assert world.condition()["status"] == "Unknown"


def test_restarted_controller_goes_on_from_what_it_finds(world: World) -> None:
    one = world.serve("gs://one")
    two = world.serve("gs://two", canaryTrafficPercent=100)
    before = copy.deepcopy((world.objects, world.routes()))
    world.restart()
    world.settle()
    assert (world.objects, world.routes()) == before
    assert world.replicas() == {one: 1, two: 1}
    world.later()
    assert world.replicas() == {one: 0, two: 1}


def test_pass_with_nothing_to_do_writes_nothing(world: World) -> None:
    world.serve("gs://one")
    writes = world.status_writes
    world.now += 100
    world.settle(5)
    assert world.status_writes == writes


def test_without_a_gateway_it_is_not_ready(world: World) -> None:
    world.gateways = []
    world.serve("gs://one")
    assert world.condition()["status"] == "Unknown"
    assert world.condition("PredictorConfigurationReady")["message"] == "No gateway is ready."
    assert world.shown == []
    world.gateways = ["127.9.0.5"]
    world.settle()
    assert world.condition()["status"] == "True"


def test_gateway_that_goes_takes_back_no_ready_but_holds_changes_up(world: World) -> None:
    one = world.serve("gs://one")
    world.gateways = []
    world.settle()
    assert world.condition()["status"] == "True"
    two = world.serve("gs://two", canaryTrafficPercent=10)
    assert world.condition()["status"] == "Unknown"
    assert world.traffic() == {one: 100}
    world.gateways = ["127.9.0.6"]
    world.settle()
    assert world.condition()["status"] == "True"
    assert world.traffic() == {two: 10, one: 90}
    assert world.shown == ["127.9.0.6"]


def test_deletion_removes_routes_then_pods_then_the_object(world: World) -> None:
    world.serve("gs://one")
    world.objects["m"]["metadata"]["deletionTimestamp"] = "now"
    world.settle()
    assert world.routes() == {}
    assert len(world.made) == 1, "its pod finishes what it has"
    world.later()
    assert world.made == {}
    assert world.objects == {}


def test_services_do_not_disturb_each_other(world: World) -> None:
    one = world.serve("gs://one")
    world.apply("other", tensorflow={"storageUri": "gs://other"})
    world.settle()
    assert world.routes() == {one: 100}
    world.ready.update(world.replicas())
    world.settle()
    assert len(world.routes("other.ns.example.com")) == 1
    assert world.routes() == {one: 100}


def test_faults_reach_a_canary_and_not_the_first_revision(world: World) -> None:
    world.faults = {"canary-5xx": "{}"}
    one = world.serve("gs://one")
    two = world.serve("gs://two", canaryTrafficPercent=10)

    def variables(revision: str) -> set[str]:
        spec = world.made[f"{revision}-deployment"]["spec"]["template"]["spec"]
        return {entry["name"] for entry in spec["containers"][0]["env"]}

    assert faults.ENVIRONMENT not in variables(one)
    assert faults.ENVIRONMENT in variables(two)


def test_unknown_fault_stops_the_rollout_with_its_reason(world: World) -> None:
    one = world.serve("gs://one")
    world.faults = {"nonsense": "{}"}
    world.model("gs://two", canaryTrafficPercent=10)
    assert world.condition()["status"] == "False"
    assert "Unknown fault nonsense" in world.condition("PredictorReady")["message"]
    assert world.routes() == {one: 100}
    world.faults = {}
    world.settle()
    assert world.condition()["status"] == "Unknown"


def test_refused_deployment_is_reported(world: World) -> None:
    world.refuse = 422
    world.model("gs://one")
    assert "its Deployment was refused (422 Refused)" in world.condition("PredictorReady")["message"]


def test_error_of_the_server_ends_the_pass(world: World) -> None:
    world.refuse = 500
    with pytest.raises(ApiError):
        world.model("gs://one")


def test_terminating_pods_get_no_requests(world: World) -> None:
    name = world.serve("gs://one")
    (pod,) = world.pods()
    assert plan.endpoints([pod]) == {f"ns/{name}": [("127.9.1.1", 8080)]}
    pod["metadata"]["deletionTimestamp"] = "now"
    assert plan.endpoints([pod]) == {}
