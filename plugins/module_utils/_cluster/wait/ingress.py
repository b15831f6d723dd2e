# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a client outside the cluster reaches an InferenceService: the module ingress_info, but for its
documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import entries, is_true

from ..client.api import Api, Json
from ..client.auth import connect
from ..client.errors import ClusterError, NotFound
from ..client.kinds import inferenceservice_kind
from .gateways import ISTIO, Found, gateways_of


@dataclass(frozen=True)
class GatewayAddress:
    """Where the gateway answers, and how that was found."""

    host: str
    port: int
    via: str
    found_by: str = ""


def gateway_address(
    service: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], port_names: Sequence[str]
) -> GatewayAddress:
    """The gateway's address from its Service (and the nodes, for a node port), on the first of the ports.

    A load balancer that has no address yet is not waited for where the Service has a node port: on
    clusters without load balancers it never gets one. Raises ClusterError where nothing outside can
    reach the Service.
    """
    about = f"Service {service['metadata'].get('namespace')}/{service['metadata']['name']}"
    spec = service.get("spec") or {}
    port = _port(spec, port_names, about)
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


def _port(spec: Mapping[str, Any], names: Sequence[str], about: str) -> Mapping[str, Any]:
    ports = spec.get("ports") or []
    for name in names:
        for port in ports:
            if name in (port.get("name"), str(port.get("port"))):
                return dict(port)
    named = ", ".join(str(port.get("name") or port.get("port")) for port in ports) or "none"
    raise ClusterError(
        f"{about} has no port {' or '.join(names)}; it has {named}. Name one of these as gateway_port_name."
    )


def _node_address(nodes: Sequence[Mapping[str, Any]], about: str) -> str:
    """A ready node's external address if any has one, else a ready node's internal address."""
    found: dict[str, str] = {}
    for node in (each for each in nodes if is_true(each, "Ready")):
        for address in entries(node, "status", "addresses"):
            found.setdefault(str(address.get("type")), str(address.get("address")))
    for kind in ("ExternalIP", "InternalIP"):
        if kind in found:
            return found[kind]
    raise ClusterError(f"{about} has a node port, but no ready node has an address.")


@dataclass(frozen=True)
class Public:
    """What the InferenceService's `status.url` says: how clients are to name it, and what precedes each path
    where its routes go by paths (KServe's pathTemplate)."""

    scheme: str
    host: str
    prefix: str


def public(inferenceservice: Mapping[str, Any]) -> Public:
    """Where the InferenceService wants to be asked for; ClusterError while it has no URL."""
    name = inferenceservice["metadata"]["name"]
    url = urlsplit(str((inferenceservice.get("status") or {}).get("url") or ""))
    if not url.netloc:
        raise ClusterError(
            f"InferenceService {name} has no URL yet. "
            "Wait for it with iter8.kfserving.inferenceservice_wait first."
        )
    return Public(url.scheme or "http", url.netloc, url.path.rstrip("/"))


def predict_path(name: str) -> str:
    """The path of a prediction in the V1 protocol."""
    return f"/v1/models/{quote(name, safe='')}:predict"


def ingress_info(module: Any) -> dict[str, Any]:
    """Runs the module ingress_info."""
    params = module.params
    api = connect(module)
    name, namespace = params["name"], params["namespace"]
    kind = inferenceservice_kind(api, params["api_version"], namespace, name)
    asked = public(_get(api, kind.path(namespace, name), f"InferenceService {namespace}/{name}"))
    scheme = params["gateway_scheme"] or asked.scheme
    address = _address(api, params, scheme)
    host = f"[{address.host}]" if ":" in address.host else address.host
    gateway = f"{scheme}://{host}:{address.port}"
    return {
        "changed": False,
        "host": address.host,
        "port": address.port,
        "via": address.via,
        "gateway_url": gateway,
        "url": gateway + asked.prefix + predict_path(name),
        "host_header": asked.host,
        "server_name": asked.host.partition(":")[0] if scheme == "https" else "",
        "found_by": address.found_by,
    }


def _address(api: Api, params: Mapping[str, Any], scheme: str) -> GatewayAddress:
    if params["gateway_host"]:
        return GatewayAddress(params["gateway_host"], params["gateway_port"], "given", "given")
    namespace, name = params["gateway_namespace"], params["gateway_service"]
    if name:
        candidates: Iterable[Found] = [Found("given", namespace or ISTIO.namespace, name)]
    else:
        candidates = gateways_of(api, params["namespace"], params["name"], scheme)
    problems = []
    for found in candidates:
        port_name = params["gateway_port_name"]
        try:
            return _of(api, found, [port_name] if port_name else _ports(found, scheme))
        except ClusterError as error:
            problems.append(error)
    # The likeliest one's.
    raise problems[0]


def _of(api: Api, found: Found, port_names: Sequence[str]) -> GatewayAddress:
    if found.host:
        return GatewayAddress(found.host, found.port, "gateway", found.how)
    return replace(_look_up(api, found, port_names), found_by=found.how)


def _ports(found: Found, scheme: str) -> list[str]:
    """The names or numbers of the Service's port that are tried."""
    listener = [str(found.port)] if found.port else []
    return [*listener, *(["https", "443"] if scheme == "https" else ["http2", "http", "80", "web"])]


def _look_up(api: Api, found: Found, port_names: Sequence[str]) -> GatewayAddress:
    namespace, name = found.namespace, found.service
    service = _get(
        api, f"/api/v1/namespaces/{quote(namespace)}/services/{quote(name)}", f"Service {namespace}/{name}"
    )
    points = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    # Nodes are asked for only where they matter: the right to list them is not given to everyone.
    nodes = [] if points else api.get("/api/v1/nodes").get("items") or []
    return gateway_address(service, nodes, port_names)


def _get(api: Api, path: str, what: str) -> Json:
    try:
        return api.get(path)
    except NotFound:
        other = (
            " Name another as gateway_service, or say where it answers with gateway_host and gateway_port."
        )
        advice = other if what.startswith("Service") else ""
        raise ClusterError(
            f"{what} does not exist on {api.host}. Check the name and the namespace.{advice}"
        ) from None
