# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the addresses behind a Service without DNS and without Endpoints objects.

The sandbox's pods live on loopback addresses, which Endpoints objects refuse and which no DNS server names.
So a client asks the API server for what kube-proxy would know: the Service's selector and its ready pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union
from urllib.parse import urlsplit

from .client import KubeClient
from .conditions import is_true
from .resources import PODS, SERVICES


class ServiceNotUsable(LookupError):
    """The Service is missing, selects nothing by design, has no such port, or no pod that is ready."""


def pod_url(client: KubeClient, url: str) -> str:
    """The URL with the address of the first ready pod in place of ``<service>.<namespace>:<port>``.

    :raises ServiceNotUsable: as ``service_addresses``, and where no pod is ready.
    :raises ApiError: the API server refused, or did not answer.
    """
    parts = urlsplit(url)
    service, _unused, rest = (parts.hostname or "").partition(".")
    namespace = rest.partition(".")[0]
    addresses = service_addresses(client, namespace, service, parts.port)
    if not addresses:
        raise ServiceNotUsable(f"No pod behind Service {namespace}/{service} is ready.")
    host, port = addresses[0]
    return parts._replace(netloc=f"{host}:{port}").geturl()


def service_addresses(
    client: KubeClient, namespace: str, name: str, port: Union[str, int, None] = None
) -> list[tuple[str, int]]:
    """Return ``(ip, port)`` of every ready pod behind a Service, sorted.

    :param port: the Service port's name or number; ``None`` takes the only (else the first) port.
    :returns: an empty list while no pod is ready; the caller decides whether to wait.
    :raises ServiceNotUsable: the Service does not exist, has no selector, or has no such port.
    :raises ApiError: the API server refused, or did not answer.
    """
    service = client.find(SERVICES.path(namespace, name))
    if service is None:
        raise ServiceNotUsable(f"Service {namespace}/{name} does not exist.")
    selector = service["spec"].get("selector") or {}
    if not selector:
        raise ServiceNotUsable(f"Service {namespace}/{name} has no selector; nothing can stand behind it.")
    service_port = _service_port(service, port)
    labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    found = []
    for pod in client.items(PODS.path(namespace), labels):
        number = _target_port(service_port, pod)
        if pod_is_ready(pod) and number is not None:
            found.append((pod["status"]["podIP"], number))
    return sorted(found)


def pod_is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod may get traffic: it has an address, is Ready, and is not being deleted."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and is_true(status, "Ready")


def _service_port(service: Mapping[str, Any], wanted: Union[str, int, None]) -> Mapping[str, Any]:
    ports: list[Mapping[str, Any]] = service["spec"].get("ports") or []
    for port in ports:
        if wanted is None or wanted in (port.get("name"), port["port"]):
            return port
    meta = service["metadata"]
    known = ", ".join(f"{p['port']} ({p.get('name', 'not named')})" for p in ports) or "none"
    raise ServiceNotUsable(
        f"Service {meta['namespace']}/{meta['name']} has no port {wanted}; it has: {known}."
    )


def _target_port(service_port: Mapping[str, Any], pod: Mapping[str, Any]) -> Optional[int]:
    """The number the pod listens on; ``None`` if targetPort is a name that its containers lack."""
    target = service_port.get("targetPort", service_port["port"])
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == target:
                return int(port["containerPort"])
    return None
