# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a client outside the cluster reaches an InferenceService: the module ingress_info, but for its
documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from ..client.api import Api, Json
from ..client.auth import connect
from ..client.errors import ClusterError, NotFound
from ..client.kinds import inferenceservice_kind


@dataclass(frozen=True)
class GatewayAddress:
    """Where the gateway answers, and how that was found."""

    host: str
    port: int
    via: str


def gateway_address(
    service: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], port_name: str
) -> GatewayAddress:
    """The gateway's address from its Service (and the nodes, for a node port).

    A load balancer that has no address yet is not waited for where the Service has a node port: on
    clusters without load balancers it never gets one. Raises ClusterError where nothing outside can
    reach the Service.
    """
    about = f"Service {service['metadata'].get('namespace')}/{service['metadata']['name']}"
    spec = service.get("spec") or {}
    port = _port(spec, port_name, about)
    points = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    for point in points:
        host = point.get("ip") or point.get("hostname")
        if host:
            return GatewayAddress(str(host), int(port["port"]), "load_balancer")
    if port.get("nodePort"):
        return GatewayAddress(_node_address(nodes, about), int(port["nodePort"]), "node_port")
    if spec.get("type") == "LoadBalancer":
        raise ClusterError(
            f"{about} has no load balancer address yet, and no node port. Try again when it has one."
        )
    raise ClusterError(
        f"{about} is of type {spec.get('type', 'ClusterIP')}, which nothing outside the cluster can reach. "
        "Forward a port to it, and give that as gateway_host and gateway_port."
    )


def _port(spec: Mapping[str, Any], name: str, about: str) -> Mapping[str, Any]:
    ports = spec.get("ports") or []
    for port in ports:
        if name in (port.get("name"), str(port.get("port"))):
            return dict(port)
    named = ", ".join(str(port.get("name") or port.get("port")) for port in ports) or "none"
    raise ClusterError(f"{about} has no port {name}; it has {named}. Name one of these as gateway_port_name.")


def _node_address(nodes: Sequence[Mapping[str, Any]], about: str) -> str:
    """A ready node's external address if any has one, else a ready node's internal address."""
    found: dict[str, str] = {}
    for node in nodes:
        status = node.get("status") or {}
        ready = any(
            c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or []
        )
        for address in status.get("addresses") or [] if ready else []:
            found.setdefault(str(address.get("type")), str(address.get("address")))
    for kind in ("ExternalIP", "InternalIP"):
        if kind in found:
            return found[kind]
    raise ClusterError(f"{about} has a node port, but no ready node has an address.")


def host_header(inferenceservice: Mapping[str, Any]) -> str:
    """The host by which the gateway knows the InferenceService, from its status' URL."""
    name = inferenceservice["metadata"]["name"]
    host = urlsplit(str((inferenceservice.get("status") or {}).get("url") or "")).netloc
    if not host:
        raise ClusterError(
            f"InferenceService {name} has no URL yet. "
            "Wait for it with iter8.kfserving.inferenceservice_wait first."
        )
    return host


def predict_path(name: str) -> str:
    """The path of a prediction in the V1 protocol."""
    return f"/v1/models/{quote(name, safe='')}:predict"


def ingress_info(module: Any) -> dict[str, Any]:
    """Runs the module ingress_info."""
    params = module.params
    api = connect(module)
    name, namespace = params["name"], params["namespace"]
    kind = inferenceservice_kind(api, params["api_version"], namespace, name)
    header = host_header(_get(api, kind.path(namespace, name), f"InferenceService {namespace}/{name}"))
    if params["gateway_host"]:
        address = GatewayAddress(params["gateway_host"], params["gateway_port"], "given")
    else:
        address = _look_up(api, params)
    host = f"[{address.host}]" if ":" in address.host else address.host
    gateway = f"http://{host}:{address.port}"
    return {
        "changed": False,
        "host": address.host,
        "port": address.port,
        "via": address.via,
        "gateway_url": gateway,
        "url": gateway + predict_path(name),
        "host_header": header,
    }


def _look_up(api: Api, params: Mapping[str, Any]) -> GatewayAddress:
    namespace, name = params["gateway_namespace"], params["gateway_service"]
    service = _get(
        api, f"/api/v1/namespaces/{quote(namespace)}/services/{quote(name)}", f"Service {namespace}/{name}"
    )
    points = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    # Nodes are asked for only where they matter: the right to list them is not given to everyone.
    nodes = [] if points else api.get("/api/v1/nodes").get("items") or []
    return gateway_address(service, nodes, params["gateway_port_name"])


def _get(api: Api, path: str, what: str) -> Json:
    try:
        return api.get(path)
    except NotFound:
        raise ClusterError(
            f"{what} does not exist on {api.host}. Check the name and the namespace."
        ) from None
