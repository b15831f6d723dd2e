# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik, which is Knative's ingress and a Gateway API implementation in one.

Flags and roles as its documentation has them (reference/install-configuration/providers/kubernetes/knative.md
and kubernetes-gateway.md of 3.7; its Knative provider is marked experimental).
"""

from __future__ import annotations

from ..node import places
from .manifests import Json

NAMESPACE = "traefik"
CLASS = "traefik.ingress.networking.knative.dev"
# Ports of the entry points; a listener of a Gateway must have the port of its entry point.
KNATIVE_PORT, PRIVATE_PORT, GATEWAY_PORT = 8080, 8081, 8000
# They answer on 127.0.0.1, inside the node's network.
KNATIVE_NODE_PORT, GATEWAY_NODE_PORT = 31080, 31000
PUBLIC, PRIVATE, ROUTED = "traefik", "traefik-private", "traefik-gateway"
_RULES = [
    {
        "apiGroups": [""],
        "resources": ["services", "secrets", "configmaps", "namespaces", "pods", "nodes"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {
        "apiGroups": ["networking.internal.knative.dev"],
        "resources": ["ingresses"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": ["networking.internal.knative.dev"],
        "resources": ["ingresses/status"],
        "verbs": ["update"],
    },
    {
        "apiGroups": ["gateway.networking.k8s.io"],
        "resources": ["*"],
        "verbs": ["get", "list", "watch", "update"],
    },
]
_ARGUMENTS = [
    f"--entrypoints.knative.address=:{KNATIVE_PORT}",
    f"--entrypoints.private.address=:{PRIVATE_PORT}",
    f"--entrypoints.gateway.address=:{GATEWAY_PORT}",
    "--entrypoints.ping.address=:8082",
    "--ping=true",
    "--ping.entrypoint=ping",
    "--log.level=INFO",
    "--accesslog=true",
    "--accesslog.format=json",
    # By it a request is found in the log.
    "--accesslog.fields.headers.names.X-Request-Id=keep",
    "--global.checknewversion=false",
    "--global.sendanonymoususage=false",
    "--experimental.knative=true",
    "--providers.knative=true",
    "--providers.knative.publicentrypoints=knative",
    f"--providers.knative.publicservice.name={PUBLIC}",
    f"--providers.knative.publicservice.namespace={NAMESPACE}",
    "--providers.knative.privateentrypoints=private",
    f"--providers.knative.privateservice.name={PRIVATE}",
    f"--providers.knative.privateservice.namespace={NAMESPACE}",
    "--providers.kubernetesgateway=true",
    f"--providers.kubernetesgateway.statusaddress.service.name={ROUTED}",
    f"--providers.kubernetesgateway.statusaddress.service.namespace={NAMESPACE}",
    # Its default is 2 s; a gateway that follows later has more to lose, which is not what is tested here.
    "--providers.providersthrottleduration=1s",
]


def _service(name: str, kind: str, ports: list[Json]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "traefik"}},
        "spec": {"type": kind, "selector": {"app": "traefik"}, "ports": ports},
    }


def _deployment(image: str) -> Json:
    container = {
        "name": "traefik",
        "image": image,
        "imagePullPolicy": "Never",
        "args": _ARGUMENTS,
        "readinessProbe": {"httpGet": {"path": "/ping", "port": 8082}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "traefik", "namespace": NAMESPACE, "labels": {"app": "traefik"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "traefik"}},
            "template": {
                "metadata": {"labels": {"app": "traefik"}},
                "spec": {"serviceAccountName": "traefik", "containers": [container]},
            },
        },
    }


def documents(image: str) -> list[Json]:
    """Traefik and its Services, behind node ports and at the node's address."""
    rbac = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": "traefik", "namespace": NAMESPACE}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "traefik"}
    named: Json = {"name": "traefik"}
    public = {"name": "http", "port": 80, "targetPort": KNATIVE_PORT, "nodePort": KNATIVE_NODE_PORT}
    routed = {"name": "http", "port": GATEWAY_PORT, "targetPort": GATEWAY_PORT, "nodePort": GATEWAY_NODE_PORT}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**named, "namespace": NAMESPACE}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": named, "rules": _RULES},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": named,
            "roleRef": role,
            "subjects": [account],
        },
        _deployment(image),
        _service(PUBLIC, "LoadBalancer", [public]),
        _service(PRIVATE, "ClusterIP", [{"name": "http", "port": 80, "targetPort": PRIVATE_PORT}]),
        _service(ROUTED, "LoadBalancer", [routed]),
    ]


def gateway(namespace: str, name: str) -> list[Json]:
    """The class and the Gateway that KServe routes through."""
    group = "gateway.networking.k8s.io/v1"
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": GATEWAY_PORT,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return [
        {
            "apiVersion": group,
            "kind": "GatewayClass",
            "metadata": {"name": "traefik"},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": group,
            "kind": "Gateway",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"gatewayClassName": "traefik", "listeners": [listener]},
        },
    ]


def address() -> Json:
    """What a cloud would write into the status of a Service of type LoadBalancer."""
    return {"status": {"loadBalancer": {"ingress": [{"ip": places.ADDRESS}]}}}
