# SPDX-License-Identifier: GPL-3.0-or-later
"""The KServe stack beyond what the recordings show: modes, faults, pods that come and go, deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.resources import (
    DEPLOYMENTS,
    HTTP_ROUTES,
    KNATIVE_SERVICES,
    KSERVE_INFERENCE_SERVICES,
    PODS,
    REVISIONS,
    SERVICES,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.kserve.stack import (
    IDLE_SECONDS,
)
from ansible_collections.iter8.kfserving.tests.support.kserve_memory import Memory
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from jsonschema import Draft202012Validator

STANDARD = {"serving.kserve.io/deploymentMode": "Standard"}
HOST = "m-predictor.ns.example.com"
FIRST, SECOND = "ns/m-predictor-00001", "ns/m-predictor-00002"


def model(uri: str, **more: Any) -> dict[str, Any]:
    return {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": f"gs://models/{uri}"}, **more}


@pytest.fixture
def memory() -> Memory:
    return Memory()


def serve(memory: Memory, *predictors: dict[str, Any]) -> None:
    for predictor in predictors:
        memory.apply("m", {"predictor": predictor})
        memory.run(5)


def status(memory: Memory) -> dict[str, Any]:
    found: dict[str, Any] = memory.get(KSERVE_INFERENCE_SERVICES, "m")["status"]
    return found


def ready(memory: Memory) -> str:
    return next(str(each["status"]) for each in status(memory)["conditions"] if each["type"] == "Ready")


def env(memory: Memory, deployment: str) -> dict[str, str]:
    (container,) = memory.get(DEPLOYMENTS, deployment)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


def test_the_model_server_stands_in_and_knows_its_revision(memory: Memory) -> None:
    serve(memory, model("v1"))
    found = env(memory, "m-predictor-00001-deployment")
    assert found["STORAGE_URI"] == "gs://models/v1"
    assert found["MODEL_NAME"] == "m"
    assert found["K_REVISION"] == "m-predictor-00001"
    assert status(memory)["url"] == f"http://{HOST}"
    assert memory.hosts[HOST] == {FIRST: 100}


def test_gateway_serves_the_new_split_before_the_service_says_so(memory: Memory) -> None:
    serve(memory, model("v1"), model("v2", canaryTrafficPercent=20))
    memory.apply("m", {"predictor": model("v2", canaryTrafficPercent=50)})
    began = memory.now
    while memory.hosts[HOST] != {SECOND: 50, FIRST: 50}:
        memory.step()
    routed = memory.now
    while ready(memory) != "True" or status(memory)["components"]["predictor"]["traffic"][0]["percent"] != 50:
        memory.step()
    assert began < routed < memory.now < routed + 0.6


def test_observed_generation_runs_behind_and_ahead(memory: Memory) -> None:
    serve(memory, model("v1"), model("v2", canaryTrafficPercent=20))
    memory.apply("m", {"predictor": model("v2", canaryTrafficPercent=50)})
    memory.step()
    assert (
        memory.get(KSERVE_INFERENCE_SERVICES, "m")["metadata"]["generation"],
        status(memory)["observedGeneration"],
    ) == (3, 2)
    memory.run(5)
    serve(memory, model("v2"), model("v2", canaryTrafficPercent=0))
    assert (
        memory.get(KSERVE_INFERENCE_SERVICES, "m")["metadata"]["generation"],
        status(memory)["observedGeneration"],
    ) == (5, 6)


def test_pods_of_a_revision_that_nobody_routes_to_go_and_come_back(memory: Memory) -> None:
    serve(memory, model("v1"), model("v2", canaryTrafficPercent=20), model("v2"))
    memory.run(IDLE_SECONDS - 10)
    assert memory.get(DEPLOYMENTS, "m-predictor-00001-deployment")["spec"]["replicas"] == 1
    memory.run(15)
    assert memory.get(DEPLOYMENTS, "m-predictor-00001-deployment")["spec"]["replicas"] == 0
    serve(memory, model("v2", canaryTrafficPercent=0))
    assert memory.get(DEPLOYMENTS, "m-predictor-00001-deployment")["spec"]["replicas"] == 1
    assert memory.hosts[HOST] == {FIRST: 100}


def test_canary_at_zero_keeps_its_pod(memory: Memory) -> None:
    serve(memory, model("v1"), model("v2", canaryTrafficPercent=0))
    memory.run(2 * IDLE_SECONDS)
    assert memory.get(DEPLOYMENTS, "m-predictor-00002-deployment")["spec"]["replicas"] == 1


def test_pass_with_nothing_to_do_writes_nothing(memory: Memory) -> None:
    serve(memory, model("v1"), model("v2", canaryTrafficPercent=20))
    before = memory.writes
    memory.run(30)
    assert memory.writes == before


@pytest.mark.parametrize(
    ("default", "annotations", "mode"),
    [
        ("", {}, "Knative"),
        ("Serverless", {}, "Knative"),
        ("RawDeployment", {}, "Standard"),
        ("Standard", {"serving.kserve.io/deploymentMode": "Serverless"}, "Knative"),
        ("Knative", STANDARD, "Standard"),
    ],
)
def test_mode_of_a_new_service(memory: Memory, default: str, annotations: dict[str, str], mode: str) -> None:
    memory.config["deploy"] = json.dumps({"defaultDeploymentMode": default})
    memory.apply("m", {"predictor": model("v1")}, annotations)
    memory.run(5)
    assert status(memory)["deploymentMode"] == mode
    assert ready(memory) == "True"
    memory.config["deploy"] = json.dumps(
        {"defaultDeploymentMode": "Knative" if mode == "Standard" else "Standard"}
    )
    serve(memory, model("v2"))
    assert status(memory)["deploymentMode"] == mode


def test_share_of_a_service_that_is_gone_has_no_backend(memory: Memory) -> None:
    memory.apply("m", {"predictor": model("v1", minReplicas=2)}, STANDARD)
    memory.run(5)
    canary = [{"trafficPercent": 25, "predictor": model("v2", name="v2", minReplicas=1)}]
    memory.apply("m", {"predictor": model("v1", minReplicas=2), "canary": canary})
    memory.run(5)
    host = "m-ns.example.com"
    assert memory.hosts[host] == {"ns/m-predictor": 75, "ns/m-v2-predictor": 25}
    memory.apply("m", {"predictor": model("v2", name="v2", minReplicas=2)})
    seen = []
    for _unused in range(20):
        memory.step()
        if memory.hosts[host] not in seen:
            seen.append(memory.hosts[host])
    assert seen == [
        {"ns/m-predictor": 75, "ns/m-v2-predictor": 25},
        {config.NO_BACKEND: 75, "ns/m-v2-predictor": 25},
        {"ns/m-v2-predictor": 1},
    ]


def test_canary_without_a_number_of_pods_gets_its_share_of_them(memory: Memory) -> None:
    memory.apply("m", {"predictor": model("v1", minReplicas=3)}, STANDARD)
    canary = [{"trafficPercent": 0, "predictor": model("v2", name="v2")}]
    memory.apply("m", {"predictor": model("v1", minReplicas=3), "canary": canary})
    memory.run(5)
    assert memory.get(DEPLOYMENTS, "m-v2-predictor")["spec"]["replicas"] == 0
    canary[0]["trafficPercent"] = 40
    memory.apply("m", {"predictor": model("v1", minReplicas=3), "canary": canary})
    memory.run(5)
    assert memory.get(DEPLOYMENTS, "m-v2-predictor")["spec"]["replicas"] == 2
    assert memory.get(DEPLOYMENTS, "m-predictor")["spec"]["replicas"] == 1


@pytest.mark.parametrize("annotations", [{}, STANDARD], ids=["knative", "standard"])
def test_faults_reach_a_canary_and_stay_with_it(memory: Memory, annotations: dict[str, str]) -> None:
    memory.faults["canary-slow"] = ""
    memory.apply("m", {"predictor": model("v1")}, annotations)
    memory.run(5)
    first = "m-predictor" if annotations else "m-predictor-00001-deployment"
    assert faults.ENVIRONMENT not in env(memory, first)
    if annotations:
        canary = [{"trafficPercent": 10, "predictor": model("v2", name="v2")}]
        memory.apply("m", {"predictor": model("v1"), "canary": canary})
        memory.run(5)
        second, promoted = "m-v2-predictor", {"predictor": model("v2", name="v2")}
    else:
        serve(memory, model("v2", canaryTrafficPercent=10))
        second, promoted = "m-predictor-00002-deployment", {"predictor": model("v2")}
    assert faults.ENVIRONMENT in env(memory, second)
    pods = {each["metadata"]["uid"] for each in memory.labelled(PODS)}
    memory.apply("m", promoted)
    memory.run(5)
    assert faults.ENVIRONMENT in env(memory, second)
    assert {each["metadata"]["uid"] for each in memory.labelled(PODS)} <= pods


def test_conflict_makes_it_not_ready_for_a_moment(memory: Memory) -> None:
    serve(memory, model("v1"))
    memory.faults["kserve-conflict"] = ""
    memory.apply("m", {"predictor": model("v2", canaryTrafficPercent=10)})
    said = []
    for _unused in range(60):
        memory.step()
        if not said or said[-1] != ready(memory):
            said.append(ready(memory))
    assert said == ["True", "False", "Unknown", "True"]


def test_unknown_fault_is_told(memory: Memory) -> None:
    memory.faults["nonsense"] = ""
    memory.apply("m", {"predictor": model("v1")})
    memory.run(5)
    (condition,) = [each for each in status(memory)["conditions"] if each["type"] == "Ready"]
    assert condition["status"] == "False"
    assert "nonsense" in condition["message"]
    memory.faults.clear()
    memory.run(5)
    assert ready(memory) == "True"


def test_image_that_the_sandbox_does_not_have_is_passed_on(memory: Memory) -> None:
    container = {"name": "own", "image": "registry.example.com/model:2", "command": ["serve"]}
    serve(memory, {"containers": [container]})
    (made,) = memory.get(DEPLOYMENTS, "m-predictor-00001-deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    assert (made["image"], made["command"]) == (container["image"], ["serve"])
    assert ready(memory) == "Unknown"


@pytest.mark.parametrize("annotations", [{}, STANDARD], ids=["knative", "standard"])
def test_what_is_refused_holds_up_no_other_service(memory: Memory, annotations: dict[str, str]) -> None:
    memory.refuses = {DEPLOYMENTS: "m"}
    for name in ("m", "n"):
        memory.apply(name, {"predictor": model("v1")}, annotations)
    memory.run(10)
    assert ready_of(memory, "n") == "True"
    assert ready_of(memory, "m") == ("False" if annotations else "Unknown")
    before = memory.get(KSERVE_INFERENCE_SERVICES, "m")["metadata"]["resourceVersion"]
    memory.run(10)
    assert memory.get(KSERVE_INFERENCE_SERVICES, "m")["metadata"]["resourceVersion"] == before
    memory.refuses = {}
    memory.run(40)
    assert ready_of(memory, "m") == "True"


def test_refused_change_of_a_deployment_is_told_and_not_ready(memory: Memory) -> None:
    memory.apply("m", {"predictor": model("v1")}, STANDARD)
    memory.run(5)
    memory.refuses = {DEPLOYMENTS: "m"}
    serve(memory, model("v2"))
    (condition,) = [each for each in status(memory)["conditions"] if each["type"] == "Ready"]
    assert condition["status"] == "False"
    assert condition["message"] == "its Deployment was refused (422 Invalid)"


def test_canary_needs_a_name_of_its_own() -> None:
    """Without one the Deployments of stable and canary would have the same name, and no pass would end."""
    manifest = (ROOT / "roles/sandbox/files/kserve.yaml").read_text()
    definition = next(
        each
        for each in yaml.safe_load_all(manifest)
        if each["metadata"]["name"] == "inferenceservices.serving.kserve.io"
    )
    validator = Draft202012Validator(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    for name, valid in ({}, False), ({"name": "v2"}, True):
        canary = {"trafficPercent": 10, "predictor": model("v2", **name)}
        assert validator.is_valid({"spec": {"predictor": model("v1"), "canary": [canary]}}) is valid


@pytest.mark.parametrize("annotations", [{}, STANDARD], ids=["knative", "standard"])
def test_deletion_leaves_nothing(memory: Memory, annotations: dict[str, str]) -> None:
    memory.apply("m", {"predictor": model("v1")}, annotations)
    memory.apply("n", {"predictor": model("v1")}, annotations)
    memory.run(5)
    memory.delete("m")
    memory.run(5)
    names = [name for kind in memory.objects for name in memory.objects[kind]]
    assert [name for name in names if name.startswith("m")] == []
    assert ready_of(memory, "n") == "True"
    assert all(host.startswith("n") for host in memory.hosts)
    kinds = (
        (HTTP_ROUTES, SERVICES, DEPLOYMENTS) if annotations else (KNATIVE_SERVICES, REVISIONS, DEPLOYMENTS)
    )
    assert all(memory.objects[kind] for kind in kinds)


def ready_of(memory: Memory, name: str) -> str:
    conditions = memory.get(KSERVE_INFERENCE_SERVICES, name)["status"]["conditions"]
    return next(str(each["status"]) for each in conditions if each["type"] == "Ready")
