# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a running Envoy, through its admin interface, which configuration it has taken and what it is doing."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from . import config

_FILTER = "|".join(
    (
        r"version_text|update_rejected|warming_clusters",
        r"upstream_rq_active$|gateway\.downstream_(cx_active|rq_total)$",
    )
)
_CDS = "cluster_manager.cds."
_RDS = f"http.gateway.rds.{config.ROUTES}."
_ACTIVE = re.compile(r"cluster\.(.+)\.upstream_rq_active")
_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class GatewayState:
    """What one Envoy has taken over. Versions are empty before the first one was accepted."""

    cds_version: str
    rds_version: str
    warming_clusters: int
    active_requests: Mapping[str, int]
    downstream_connections: int
    downstream_requests: int
    """Requests since its start."""
    rejected: int
    """Updates refused since its start."""


class Admin:
    """Client of one Envoy's admin interface."""

    def __init__(self, ip: str, port: int = config.ADMIN_PORT) -> None:
        self._base = f"http://{ip}:{port}"
        # A proxy in the environment must not see, or break, calls to a loopback address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def state(self) -> GatewayState:
        """Return the current state.

        :raises OSError: Envoy does not answer.
        """
        return parse_stats(self._call(f"/stats?filter={urllib.parse.quote(_FILTER)}"))

    def start_drain(self) -> None:
        """Tell clients to close their connections, then stop listening."""
        self._call("/healthcheck/fail", method="POST")
        self._call("/drain_listeners?graceful&skip_exit", method="POST")

    def _call(self, path: str, method: str = "GET") -> str:
        request = urllib.request.Request(self._base + path, method=method)
        with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            text: str = response.read().decode()
        return text


def parse_stats(text: str) -> GatewayState:
    """Read Envoy's plain-text statistics."""
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    active = {}
    for name, value in values.items():
        match = _ACTIVE.fullmatch(name)
        if match:
            active[match[1]] = int(value)
    return GatewayState(
        cds_version=values.get(f"{_CDS}version_text", "").strip('"'),
        rds_version=values.get(f"{_RDS}version_text", "").strip('"'),
        warming_clusters=int(values.get("cluster_manager.warming_clusters", "0")),
        active_requests=active,
        downstream_connections=int(values.get("http.gateway.downstream_cx_active", "0")),
        downstream_requests=int(values.get("http.gateway.downstream_rq_total", "0")),
        rejected=sum(int(values.get(f"{part}update_rejected", "0")) for part in (_CDS, _RDS)),
    )
