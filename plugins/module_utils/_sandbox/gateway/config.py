# SPDX-License-Identifier: GPL-3.0-or-later
"""From a routing table to Envoy's configuration, and back; and the files in which Envoy reads it.

Envoy reads two files that are replaced as a whole: clusters (CDS) and routes (RDS). Endpoints stand inside
their cluster, so one version covers both. A route may only name clusters that exist: ``validate_clusters``
makes Envoy refuse a file that breaks this instead of answering 503 NC. All but ``GatewayFiles`` is pure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

Endpoints = Mapping[str, Sequence[tuple[str, int]]]
"""Cluster name → addresses that may get requests now; empty is allowed (503 UH)."""

Hosts = Mapping[str, Mapping[str, int]]
"""Host name → cluster name → weight, in percent of their sum. Weight 0 is left out."""

NO_BACKEND = ""
"""In place of a cluster's name: this share is answered with 500, as the Gateway API asks for where the
Service that is to answer does not exist."""

HTTP_PORT = 8080
ADMIN_PORT = 15000
ROUTES = "gateway"
CDS_FILE = "cds.json"
RDS_FILE = "rds.json"

REQUEST_TIMEOUT = "60s"
"""KFServing's own limit for a predictor; after it the client gets 504 UT."""

UPSTREAM_IDLE_TIMEOUT = "30s"
"""Shorter than the model server's keep-alive: Envoy closes idle connections first and meets no stale one."""

_API = "type.googleapis.com/envoy"
_NO_LIMIT = 1_000_000
"""Circuit breakers would shed requests (503 UO), which is not the failure that a rollout is tested for."""


def cluster_name(namespace: str, revision: str) -> str:
    """Name of a revision's cluster; revisions are unique only within their namespace."""
    return f"{namespace}/{revision}"


def revision_of(cluster: str) -> str:
    """Name of the revision behind a cluster."""
    return cluster.rsplit("/", 1)[-1]


def cds_document(endpoints: Endpoints) -> dict[str, Any]:
    """Return the clusters' file."""
    return _document([_cluster(name, endpoints[name]) for name in sorted(endpoints)])


def rds_document(hosts: Hosts) -> dict[str, Any]:
    """Return the routes' file. There are no retries: a retry in the gateway would hide a lost request."""
    routes = {
        "@type": f"{_API}.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": True,
        "virtual_hosts": [_virtual_host(host, hosts[host]) for host in sorted(hosts)],
    }
    return _document([routes])


def endpoints_of(cds: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """Read back what :func:`cds_document` wrote."""
    found: dict[str, list[tuple[str, int]]] = {}
    for cluster in cds["resources"]:
        lb_endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        sockets = [entry["endpoint"]["address"]["socket_address"] for entry in lb_endpoints]
        found[cluster["name"]] = [(socket["address"], socket["port_value"]) for socket in sockets]
    return found


def hosts_of(rds: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Read back what :func:`rds_document` wrote."""
    found: dict[str, dict[str, int]] = {}
    for virtual_host in rds["resources"][0]["virtual_hosts"]:
        weights = found[virtual_host["name"]] = {}
        for route in virtual_host["routes"]:
            if "direct_response" in route:
                weights[NO_BACKEND] = int(route["name"].rpartition(" ")[2])
            else:
                weighted = route["route"]["weighted_clusters"]["clusters"]
                weights.update({cluster["name"]: cluster["weight"] for cluster in weighted})
    return found


def bootstrap(ip: str, xds_dir: str, access_log: str) -> dict[str, Any]:
    """Return Envoy's start configuration: one listener, the admin interface, and where the two files lie."""
    return {
        "node": {"id": "istio-ingressgateway", "cluster": "istio-ingressgateway"},
        "admin": {"address": _address(ip, ADMIN_PORT)},
        "dynamic_resources": {"cds_config": _file_source(f"{xds_dir}/{CDS_FILE}")},
        "static_resources": {"listeners": [_listener(ip, xds_dir, access_log)]},
    }


def _document(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A discovery response; its version is a digest of the content, so equal content is an equal version."""
    digest = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]
    return {"version_info": digest, "resources": list(resources)}


def _address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def _file_source(path: str) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": path}}


def _cluster(name: str, addresses: Sequence[tuple[str, int]]) -> dict[str, Any]:
    limits = dict.fromkeys(
        ("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT
    )
    lb_endpoints = [{"endpoint": {"address": _address(ip, port)}} for ip, port in addresses]
    return {
        "@type": f"{_API}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": lb_endpoints}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_API}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE_TIMEOUT},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _virtual_host(host: str, weights: Mapping[str, int]) -> dict[str, Any]:
    clusters = [_weighted(name, weights[name]) for name in sorted(weights) if weights[name] and name]
    routes: list[dict[str, Any]] = []
    if weights.get(NO_BACKEND):
        routes.append(_unanswered(weights[NO_BACKEND], sum(weights.values())))
    if clusters:
        route = {"weighted_clusters": {"clusters": clusters}, "timeout": REQUEST_TIMEOUT}
        routes.append({"match": {"prefix": "/"}, "route": route})
    return {"name": host, "domains": [host, f"{host}:*"], "routes": routes}


def _unanswered(weight: int, total: int) -> dict[str, Any]:
    """A route for the share that has no backend; its name says the weight, to be read back."""
    share = {"numerator": round(10_000 * weight / total), "denominator": "TEN_THOUSAND"}
    return {
        "name": f"no backend {weight}",
        "match": {"prefix": "/", "runtime_fraction": {"default_value": share}},
        "direct_response": {"status": 500},
    }


def _weighted(name: str, weight: int) -> dict[str, Any]:
    """The header names the revision also where Envoy itself answers for it, such as 503 with no endpoint."""
    header = {"key": "x-revision", "value": revision_of(name)}
    return {
        "name": name,
        "weight": weight,
        "response_headers_to_add": [{"header": header, "append_action": "ADD_IF_ABSENT"}],
    }


def _listener(ip: str, xds_dir: str, access_log: str) -> dict[str, Any]:
    manager = {
        "@type": f"{_API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "rds": {"route_config_name": ROUTES, "config_source": _file_source(f"{xds_dir}/{RDS_FILE}")},
        # The client's own id is kept, and shown to it, so that its record and the access log can be joined.
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "access_log": [_access_log(access_log)],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": "http2", "address": _address(ip, HTTP_PORT), "filter_chains": [{"filters": filters}]}


def _access_log(path: str) -> dict[str, Any]:
    fields = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "authority": "%REQ(:AUTHORITY)%",
        "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "duration_ms": "%DURATION%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "upstream": "%UPSTREAM_HOST%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_API}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": fields},
        },
    }


class GatewayFiles:
    """Clusters and routes as they lie in the shared folder; one writer, the serving controller."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "xds"

    def create_if_missing(self) -> None:
        """Lay down empty clusters and routes where there are none: Envoy does not start without its files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, document in ((CDS_FILE, cds_document({})), (RDS_FILE, rds_document({}))):
            draft = self.folder / f".{name}.{os.getpid()}"
            write_atomically(draft, json.dumps(document), 0o644, durable=False)
            # A link, unlike a rename, never replaces what the controller may have written meanwhile.
            with contextlib.suppress(FileExistsError):
                os.link(draft, self.folder / name)
            draft.unlink()

    def read(self, name: str) -> Any:
        """Return a file's document."""
        return json.loads((self.folder / name).read_text())

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a file by a rename, which is what Envoy watches for."""
        write_atomically(self.folder / name, json.dumps(document), 0o644, durable=False)
