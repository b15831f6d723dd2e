# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on the nodes for one more pod."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.room import (
    lacks_room,
    requests_of,
    requests_of_model,
)


def node(name: str, cpu: str, ready: str = "True", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    status = {"allocatable": {"cpu": cpu, "memory": "4Gi"}, "conditions": conditions}
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def container(**requests: str) -> dict[str, Any]:
    return {"resources": {"requests": requests}}


def pod(where: str, cpu: str, phase: str = "Running") -> dict[str, Any]:
    return {"spec": {"nodeName": where, "containers": [container(cpu=cpu)]}, "status": {"phase": phase}}


def test_what_a_pod_requests() -> None:
    spec = {
        "containers": [
            container(cpu="100m", memory="1Gi"),
            {"resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "2"}}},
        ],
        "initContainers": [container(cpu="50m", memory="2Gi")],
    }
    assert requests_of(spec) == {"cpu": pytest.approx(1.1), "memory": 2 * 1024.0**3, "nvidia.com/gpu": 2.0}
    assert requests_of({}) == {}


@pytest.mark.parametrize("server", ["model", "sklearn", "tensorflow"])
def test_what_a_model_requests_whatever_its_server_is_called(server: str) -> None:
    predictor = {"minReplicas": 1, server: {"storageUri": "gs://m", **container(cpu="1")}}
    predictor["containers"] = [container(cpu="500m")]
    assert requests_of_model({"spec": {"predictor": predictor}}) == {"cpu": 1.5}


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        {"spec": "text"},
        {"spec": {"predictor": ["a"]}},
        {"spec": {"predictor": {"model": "sklearn", "containers": ["c", {"resources": "much"}]}}},
        {"spec": {"predictor": {"model": {"resources": {"limits": "much"}}}}},
    ],
)
def test_a_manifest_that_makes_no_sense_requests_nothing(manifest: Any) -> None:
    assert requests_of_model(manifest) == {}


@pytest.mark.parametrize(
    ("nodes", "pods", "words"),
    [
        ([node("a", "2")], [], ""),
        ([node("a", "2")], [pod("a", "1")], ""),
        ([node("a", "2")], [pod("a", "1500m")], "requests cpu 1 (at most 0.5 free)"),
        ([node("a", "2")], [pod("a", "1500m", "Succeeded")], ""),
        ([node("a", "2"), node("b", "2")], [pod("a", "1500m")], ""),
        ([node("a", "500m"), node("b", "900m")], [], "at most 0.9 free"),
        ([node("a", "2", ready="False")], [], "No node is ready to take pods"),
        ([node("a", "2", unschedulable=True)], [], "No node is ready to take pods"),
    ],
)
def test_room(nodes: list[dict[str, Any]], pods: list[dict[str, Any]], words: str) -> None:
    found = lacks_room(nodes, pods, {"cpu": 1.0})
    assert words in found
    assert bool(found) == bool(words)


def test_a_resource_that_no_node_has_is_lacking() -> None:
    assert "nvidia.com/gpu 1 (at most 0 free)" in lacks_room([node("a", "8")], [], {"nvidia.com/gpu": 1.0})
