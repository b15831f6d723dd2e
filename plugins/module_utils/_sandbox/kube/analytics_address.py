# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the URL of a Service into one of a pod: the sandbox has no DNS."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.discovery import (
    ServiceNotUsable,
    service_addresses,
)


class ServiceUnavailable(Exception):
    """The Service does not exist, or no pod behind it is ready."""


def resolve(core_api: Any, url: str) -> str:
    """The URL with the address of the first ready pod in place of `<service>.<namespace>:<port>`.

    `core_api` is a kubernetes.client.CoreV1Api; its errors are passed on. Raises ServiceUnavailable.
    """
    parts = urlsplit(url)
    service, _, namespace = (parts.hostname or "").partition(".")
    namespace = namespace.partition(".")[0]
    try:
        addresses = service_addresses(core_api, namespace, service, parts.port)
    except ServiceNotUsable as error:
        raise ServiceUnavailable(str(error)) from error
    if not addresses:
        raise ServiceUnavailable(f"No pod behind Service {namespace}/{service} is ready.")
    host, port = addresses[0]
    return parts._replace(netloc=f"{host}:{port}").geturl()
