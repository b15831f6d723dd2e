# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the gateway answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait import ingress
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.ingress import (
    GatewayAddress,
    gateway_address,
)
from ansible_collections.iter8.kfserving.tests.support.cluster import Cluster, obj

PORTS = (
    {"name": "status-port", "port": 15020, "nodePort": 30001},
    {"name": "http2", "port": 80, "nodePort": 30080},
    {"name": "https", "port": 443, "nodePort": 30443},
)


def service(kind: str = "LoadBalancer", *points: dict[str, str], ports: Any = PORTS) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "istio-system", "name": "istio-ingressgateway"},
        "spec": {"type": kind, "ports": list(ports)},
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
    assert gateway_address(service, nodes, ["http2"]) == expected


@pytest.mark.parametrize(("name", "port"), [("http2", 80), ("80", 80), ("https", 443), ("443", 443)])
def test_the_port_by_name_or_number(name: str, port: int) -> None:
    assert gateway_address(service("LoadBalancer", {"ip": "192.0.2.10"}), [], ["other", name]).port == port


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
        gateway_address(service, nodes, [port])


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
    module: Any = SimpleNamespace()
    module.params = {
        "name": "my-model", "namespace": "default", "api_version": "serving.kubeflow.org/v1beta1",
        "gateway_namespace": "istio-system", "gateway_service": "istio-ingressgateway",
        "gateway_port_name": None, "gateway_host": None, "gateway_port": None, "gateway_scheme": None,
        **params,
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
        "server_name": "",
        "found_by": "given",
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


FOUND: dict[str, Any] = {"gateway_namespace": None, "gateway_service": None}
KOURIER = {
    "publicLoadBalancer": {"ingress": [{"domainInternal": "kourier.kourier-system.svc.cluster.local"}]}
}


def with_service(cluster: Cluster, namespace: str, name: str, labels: dict[str, str], *ports: Any) -> None:
    made = obj("Service", name, namespace)
    made["metadata"]["labels"] = labels
    cluster.put({**made, "spec": {"type": "NodePort", "ports": list(ports)}, "status": {}})


def test_in_knative_mode_the_ingress_of_the_route_names_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with()
    cluster.put({**obj("Ingress", "my-model-predictor", "default"), "status": KOURIER})
    with_service(cluster, "kourier-system", "kourier", {}, {"name": "http2", "port": 80, "nodePort": 31080})
    found = info(cluster, monkeypatch, **FOUND)
    assert (found["port"], found["via"], found["found_by"]) == (31080, "node_port", "knative")


def standard(cluster: Cluster, *listeners: dict[str, Any], addresses: tuple[str, ...] = ()) -> None:
    """An HTTPRoute of the model, and its Gateway in another namespace."""
    parents = [{"name": "ingress", "namespace": "kserve"}]
    cluster.put({**obj("HTTPRoute", "my-model", "default"), "spec": {"parentRefs": parents}})
    status = {"addresses": [{"value": each} for each in addresses]}
    cluster.put(
        {**obj("Gateway", "ingress", "kserve"), "spec": {"listeners": list(listeners)}, "status": status}
    )


HTTP = {"name": "http", "port": 8080, "protocol": "HTTP"}
HTTPS = {"name": "https", "port": 8443, "protocol": "HTTPS"}


@pytest.mark.parametrize(
    ("namespace", "labels"),
    [
        ("kserve", {"gateway.networking.k8s.io/gateway-name": "ingress"}),
        (
            "envoy-gateway-system",
            {
                "gateway.envoyproxy.io/owning-gateway-name": "ingress",
                "gateway.envoyproxy.io/owning-gateway-namespace": "kserve",
            },
        ),
    ],
)
def test_the_service_of_the_parent_gateway_is_found_by_its_labels(
    namespace: str, labels: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = cluster_with()
    standard(cluster, HTTP, addresses=("10.96.0.9",))
    with_service(cluster, namespace, "envoy-ingress", labels, {"port": 8080, "nodePort": 31081})
    with_service(
        cluster, "elsewhere", "b", {"gateway.networking.k8s.io/gateway-name": "ingress"}, {"port": 8080}
    )
    found = info(cluster, monkeypatch, **FOUND)
    assert (found["port"], found["via"], found["found_by"]) == (31081, "node_port", "gateway")


def test_a_gateway_without_a_service_has_an_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with()
    standard(cluster, HTTPS, HTTP, addresses=("203.0.113.7",))
    found = info(cluster, monkeypatch, **FOUND)
    assert (found["gateway_url"], found["via"]) == ("http://203.0.113.7:8080", "gateway")


def test_a_service_that_nothing_reaches_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with()
    standard(cluster, HTTP, addresses=("203.0.113.7",))
    with_service(
        cluster, "kserve", "e", {"gateway.networking.k8s.io/gateway-name": "ingress"}, {"port": 8080}
    )
    assert info(cluster, monkeypatch, **FOUND)["via"] == "gateway"


def test_the_scheme_and_the_path_of_its_url_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with(url="https://models.example.com/serving/default/my-model")
    standard(cluster, HTTP, HTTPS, addresses=("203.0.113.7",))
    found = info(cluster, monkeypatch, **FOUND)
    assert found["url"] == "https://203.0.113.7:8443/serving/default/my-model/v1/models/my-model:predict"
    assert (found["host_header"], found["server_name"]) == ("models.example.com", "models.example.com")
    plain = info(cluster, monkeypatch, **FOUND, gateway_scheme="http")
    assert plain["gateway_url"] == "http://203.0.113.7:8080"


def test_without_any_sign_it_is_istio(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_with(gateway=service("LoadBalancer", {"ip": "192.0.2.10"}))
    found = info(cluster, monkeypatch, **FOUND)
    assert (found["host"], found["found_by"]) == ("192.0.2.10", "default")
