# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's iter8-analytics: `python3 -m …_sandbox.analytics.main`.

POST /v2/analytics_results takes an Experiment and answers with its analysis, GET /health_check with "ok". Its
environment: KUBECONFIG, POD_IP, PORT and METRICS_BACKEND_URL, Prometheus' Service as
`http://<service>.<namespace>:<port>`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

from ..kube.client import ApiError, from_environment
from ..kube.discovery import ServiceNotUsable, pod_url
from ..kube.times import seconds
from . import analysis

with contextlib.suppress(ImportError):  # The module `sandbox` reports it.
    import urllib3

Json = dict[str, Any]

_QUERY_TIMEOUT_SECONDS = 2.0
_LARGEST_BODY = 8 * 1024 * 1024


class PrometheusQueries:
    """Instant queries. `locate` gives the server's URL; it is asked again after a failure only."""

    def __init__(self, locate: Callable[[], str]) -> None:
        self._locate = locate
        self._url: Optional[str] = None

    def value(self, query: str) -> Optional[float]:
        """The number that a query yields, or None: no data, a refused query, no server."""
        try:
            url = self._url or self._locate()
            http = urllib3.PoolManager(retries=False, timeout=_QUERY_TIMEOUT_SECONDS)
            response = http.request("GET", f"{url}/api/v1/query", fields={"query": query})
            self._url = url
            value: Optional[float] = analysis.single_value(json.loads(response.data))
            return value
        except (ApiError, ServiceNotUsable, urllib3.exceptions.HTTPError, ValueError) as error:
            self._url = None
            print(f"metrics backend: {type(error).__name__}: {error}", flush=True)
            return None


def assess(experiment: Any, ask: Callable[[str], Optional[float]], now: float) -> Json:
    """The analysis of an Experiment. Raises analysis.InvalidRequest if it cannot be worked out."""
    try:
        spec, status = experiment["spec"], experiment["status"]
        interval = analysis.interval_seconds(seconds(status["startTime"]), now)
        values = analysis.measure(spec, interval, ask)
        result: Json = analysis.analysis(spec, status, values)
        return result
    except (KeyError, TypeError, AttributeError) as error:
        raise analysis.InvalidRequest(f"the Experiment is not complete: {type(error).__name__} {error}.")


def make_server(
    address: tuple[str, int], ask: Callable[[str], Optional[float]], clock: Callable[[], float]
) -> ThreadingHTTPServer:
    """The HTTP server, listening but not serving yet."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            if self.path == "/health_check":
                self._answer(200, {"status": "ok"})
            else:
                self._answer(404, {"detail": "not found"})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/v2/analytics_results" or length > _LARGEST_BODY:
                self.close_connection = True
                self._answer(404 if length <= _LARGEST_BODY else 413, {"detail": "not found or too large"})
                return
            try:
                answer = assess(json.loads(self.rfile.read(length)), ask, clock())
            except ValueError as error:
                print(f"refused: {error}", flush=True)
                self._answer(422, {"detail": str(error)})
                return
            self._answer(200, answer)

        def _answer(self, status: int, body: Json) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            if "/health_check" not in self.path:
                print(format % args, flush=True)

    return ThreadingHTTPServer(address, Handler)


def main() -> None:
    """Serve until a signal ends the process."""
    client = from_environment()
    backend = os.environ["METRICS_BACKEND_URL"]
    address = os.environ["POD_IP"], int(os.environ["PORT"])
    server = make_server(address, PrometheusQueries(lambda: pod_url(client, backend)).value, time.time)
    print(f"iter8-analytics: listening on {address[0]}:{address[1]}", flush=True)
    server.serve_forever()
