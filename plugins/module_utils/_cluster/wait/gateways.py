# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gateway an InferenceService is behind, as the cluster itself tells it.

- Standard mode with the Gateway API: the HTTPRoute names its parents, a Gateway its addresses and listeners.
  It has a Service, where its controller makes one, which carries the Gateway's name as a label (GEP-1762 of
  the Gateway API; Envoy Gateway has labels of its own), and may be reached by a node port.
- Knative mode: the Ingress that Knative makes of a Route is taken up by whatever implements the networking
  layer (Istio, Kourier, Contour, Traefik, a Gateway), and its status names that one's Service.
- Else KFServing's default, Istio's.

What may not be read, or is not served, is passed over: the next one may tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import (
    entries,
    mapping,
    number,
    text,
)

from ..client.api import Api, Json
from ..client.errors import Forbidden, NotFound

GATEWAY_API = "gateway.networking.k8s.io/v1"
KINGRESS = "networking.internal.knative.dev/v1alpha1"
# By which labels the Service of a Gateway names it: the Gateway API's, then Envoy Gateway's.
OWNED_BY = (
    "gateway.networking.k8s.io/gateway-name={name}",
    "gateway.envoyproxy.io/owning-gateway-name={name},gateway.envoyproxy.io/owning-gateway-namespace={namespace}",
)


@dataclass(frozen=True)
class Found:
    """The gateway's Service, or its own address with the port of its listener; `how` is how it was found."""

    how: str
    namespace: str = ""
    service: str = ""
    host: str = ""
    port: int = 0


ISTIO = Found("default", "istio-system", "istio-ingressgateway")


def gateways_of(api: Api, namespace: str, name: str, scheme: str) -> Iterator[Found]:
    """The gateways for requests of this scheme (http or https), the likeliest first."""
    found = False
    for find in (_by_route, _by_kingress):
        for each in find(api, namespace, name, scheme):
            found = True
            yield each
    if not found:
        yield ISTIO


def _read(api: Api, path: str, query: Mapping[str, str] | None = None) -> Json:
    """What lies there; empty where the kind is not served, the object not there, or the right to read it
    missing."""
    try:
        return api.get(path, query)
    except (NotFound, Forbidden):
        return {}


def _by_route(api: Api, namespace: str, name: str, scheme: str) -> Iterator[Found]:
    route = _read(api, _path(GATEWAY_API, "httproutes", namespace, name))
    for parent in entries(route, "spec", "parentRefs"):
        home, of = text(parent, "namespace") or namespace, text(parent, "name")
        gateway = _read(api, _path(GATEWAY_API, "gateways", home, of))
        port = _listener(gateway, scheme, text(parent, "sectionName"))
        if port:
            yield from _services_of(api, home, of, port)
            for address in entries(gateway, "status", "addresses"):
                if text(address, "value"):
                    yield Found("gateway", host=text(address, "value"), port=port)


def _listener(gateway: Mapping[str, Any], scheme: str, section: str) -> int:
    """The port of the listener that the route names, or of the first of this protocol; 0 for none."""
    for listener in entries(gateway, "spec", "listeners"):
        if section in {"", text(listener, "name")} and text(listener, "protocol").lower() == scheme:
            return number(listener, "port")
    return 0


def _services_of(api: Api, namespace: str, gateway: str, port: int) -> Iterator[Found]:
    """Its Service lies in the Gateway's namespace, or, as the controller's own labels tell, in another."""
    for pattern in OWNED_BY:
        labels = pattern.format(name=gateway, namespace=namespace)
        for item in entries(_read(api, "/api/v1/services", {"labelSelector": labels}), "items"):
            metadata = mapping(item, "metadata")
            if "owning" in pattern or text(metadata, "namespace") == namespace:
                yield Found("gateway", text(metadata, "namespace"), text(metadata, "name"), port=port)


def _by_kingress(api: Api, namespace: str, name: str, _scheme: str) -> Iterator[Found]:
    """`status.publicLoadBalancer` names the Service as a host within the cluster: NAME.NAMESPACE.svc…"""
    for of in (f"{name}-predictor", f"{name}-predictor-default", name):
        ingress = _read(api, _path(KINGRESS, "ingresses", namespace, of))
        for point in entries(ingress, "status", "publicLoadBalancer", "ingress"):
            parts = text(point, "domainInternal").split(".")
            if parts[2:3] == ["svc"]:
                yield Found("knative", parts[1], parts[0])


def _path(api_version: str, plural: str, namespace: str, name: str) -> str:
    return f"/apis/{api_version}/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}"
