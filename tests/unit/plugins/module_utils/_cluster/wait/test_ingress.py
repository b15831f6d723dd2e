# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the gateway answers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait import ingress
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.ingress import (
    GatewayAddress,
    gateway_address,
)
from ansible_collections.iter8.kfserving.tests.support.cluster import Cluster, obj

PORTS = [
    {"name": "status-port", "port": 15020, "nodePort": 30001},
    {"name": "http2", "port": 80, "nodePort": 30080},
    {"name": "https", "port": 443, "nodePort": 30443},
]


def service(kind: str = "LoadBalancer", *points: dict[str, str], ports: Any = PORTS) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "istio-system", "name": "istio-ingressgateway"},
        "spec": {"type": kind, "ports": ports},
        "status": {"loadBalancer": {"ingress": list(points)} if points else {}},
    }


def node(ready: str = "True", **addresses: str) -> dict[str, Any]:
    return {
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
        }
    }


INTERNAL = node(Hostname="n1", InternalIP="10.0.0.1")
EXTERNAL = node(InternalIP="10.0.0.2", ExternalIP="203.0.113.2")
BARE = [{"name": "http2", "port": 80}]


@pytest.mark.parametrize(
    ("service", "nodes", "expected"),
    [
        (
            service("LoadBalancer", {"ip": "192.0.2.10"}),
            [],
            GatewayAddress("192.0.2.10", 80, "load_balancer"),
        ),
        (
            service("LoadBalancer", {"hostname": "lb.example.com"}),
            [],
            GatewayAddress("lb.example.com", 80, "load_balancer"),
        ),
        (
            service("LoadBalancer", {}, {"ip": "192.0.2.11"}),
            [],
            GatewayAddress("192.0.2.11", 80, "load_balancer"),
        ),
        (service("LoadBalancer"), [INTERNAL], GatewayAddress("10.0.0.1", 30080, "node_port")),
        (service("NodePort"), [INTERNAL, EXTERNAL], GatewayAddress("203.0.113.2", 30080, "node_port")),
        (
            service("NodePort"),
            [node("False", ExternalIP="203.0.113.9"), INTERNAL],
            GatewayAddress("10.0.0.1", 30080, "node_port"),
        ),
    ],
)
def test_the_address(service: dict[str, Any], nodes: list[dict[str, Any]], expected: GatewayAddress) -> None:
    assert gateway_address(service, nodes, "http2") == expected


@pytest.mark.parametrize(("name", "port"), [("http2", 80), ("80", 80), ("https", 443), ("443", 443)])
def test_the_port_by_name_or_number(name: str, port: int) -> None:
    assert gateway_address(service("LoadBalancer", {"ip": "192.0.2.10"}), [], name).port == port


@pytest.mark.parametrize(
    ("service", "nodes", "port", "message"),
    [
        (service("LoadBalancer", {"ip": "x"}), [], "http", "no port http; it has status-port, http2, https"),
        (service("LoadBalancer", {"ip": "x"}, ports=[]), [], "http2", "it has none"),
        (service("NodePort"), [], "http2", "no ready node"),
        (service("NodePort"), [node(Hostname="n1")], "http2", "no ready node"),
        (service("LoadBalancer", ports=BARE), [], "http2", "no load balancer address yet"),
        (service("ClusterIP", ports=BARE), [], "http2", "type ClusterIP.*gateway_host and gateway_port"),
    ],
)
def test_no_address(service: dict[str, Any], nodes: list[dict[str, Any]], port: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        gateway_address(service, nodes, port)


def cluster_with(
    url: str = "http://my-model.default.example.com", gateway: dict[str, Any] | None = None
) -> Cluster:
    cluster = Cluster()
    cluster.put({**obj("InferenceService", "my-model", "default"), "status": {"url": url}})
    cluster.put({**obj("Node", "n1"), **INTERNAL})
    if gateway:
        made = obj("Service", "istio-ingressgateway", "istio-system")
        cluster.put({**made, **gateway, "metadata": made["metadata"]})
    return cluster


def info(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, **params: Any) -> dict[str, Any]:
    class Module:
        pass

    module: Any = Module()
    module.params = {
        "name": "my-model", "namespace": "default", "api_version": "serving.kubeflow.org/v1beta1",
        "gateway_namespace": "istio-system", "gateway_service": "istio-ingressgateway",
        "gateway_port_name": "http2", "gateway_host": None, "gateway_port": None, **params,
    }  # fmt: skip
    monkeypatch.setattr(ingress, "connect", lambda _module, **_options: cluster)
    return ingress.ingress_info(module)


def test_all_that_a_client_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with(gateway=service("LoadBalancer", {"ip": "192.0.2.10"}))
    assert info(cluster, monkeypatch) == {
        "changed": False,
        "host": "192.0.2.10",
        "port": 80,
        "via": "load_balancer",
        "gateway_url": "http://192.0.2.10:80",
        "url": "http://192.0.2.10:80/v1/models/my-model:predict",
        "host_header": "my-model.default.example.com",
    }
    assert "/api/v1/nodes" not in cluster.asked


def test_nodes_are_asked_for_only_where_they_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with(gateway=service("NodePort"))
    assert info(cluster, monkeypatch)["url"] == "http://10.0.0.1:30080/v1/models/my-model:predict"


def test_a_given_address_needs_no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    found = info(cluster_with(), monkeypatch, gateway_host="::1", gateway_port=8080)
    assert (found["host"], found["via"]) == ("::1", "given")
    assert found["url"] == "http://[::1]:8080/v1/models/my-model:predict"


@pytest.mark.parametrize(
    ("cluster", "params", "message"),
    [
        (cluster_with(), {}, "Service istio-system/istio-ingressgateway does not exist on https://cluster"),
        (cluster_with(), {"name": "other"}, "InferenceService default/other does not exist"),
        (cluster_with(url=""), {}, "my-model has no URL yet. Wait for it"),
    ],
)
def test_what_is_missing_is_named(
    cluster: Cluster, params: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=message):
        info(cluster, monkeypatch, **params)
