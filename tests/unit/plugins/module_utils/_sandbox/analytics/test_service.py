# SPDX-License-Identifier: GPL-3.0-or-later
"""The service over real HTTP on the loopback interface, with a Prometheus of canned answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.analytics.service import (
    PrometheusQueries,
    make_server,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import ApiUnreachable
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.discovery import ServiceNotUsable

NOW = 1_800_000_030.0
METRIC = {"provider": "prometheus", "params": {"query": "$revision[$interval]"}}
EXPERIMENT = {
    "spec": {
        "strategy": {"type": "Canary"},
        "criteria": {"objectives": [{"metric": "mean", "upperLimit": 1000}]},
        "metrics": [
            {
                "name": "mean",
                "metricObj": {
                    "spec": {"provider": "prometheus", "params": {"query": "$revision[$interval]"}}
                },
            }
        ],
        "versionInfo": {
            "baseline": {"name": "default", "tags": {"revision": "r1"}},
            "candidates": [{"name": "canary", "tags": {"revision": "r2"}}],
        },
    },
    "status": {"startTime": "2027-01-15T08:00:00Z"},
}


def serving(server):
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def service():
    """The service's URL; it measures 12 for r1 and 1200 for r2 over the last 30 seconds."""
    measured = {"r1[30s]": 12.0, "r2[30s]": 1200.0}
    server = make_server(("127.0.0.1", 0), measured.get, lambda: NOW)
    yield serving(server)
    server.shutdown()
    server.server_close()


def ask(method, url, body=None):
    return urllib3.PoolManager(retries=False, timeout=5).request(method, url, body=body)


def post(url, body):
    return ask("POST", f"{url}/v2/analytics_results", body)


def test_an_experiment_is_analysed(service):
    response = post(service, json.dumps(EXPERIMENT))
    assert response.status == 200
    answer = json.loads(response.data)
    assert answer["aggregatedMetrics"]["data"]["mean"]["data"]["canary"] == {"value": "1200.0"}
    assert answer["winnerAssessment"]["data"] == {"winnerFound": True, "winner": "default"}
    assert answer["weights"]["data"] == [{"name": "default", "value": 95}, {"name": "canary", "value": 5}]


@pytest.mark.parametrize(
    "body",
    ["", "not JSON", "[]", "null", "{}", json.dumps({**EXPERIMENT, "status": {}})]
    + [json.dumps({**EXPERIMENT, "spec": {**EXPERIMENT["spec"], "versionInfo": None}})],
)
def test_what_is_not_a_running_experiment_is_refused(service, body):
    response = post(service, body)
    assert response.status == 422
    assert json.loads(response.data)["detail"]


def test_other_paths(service):
    assert ask("GET", f"{service}/health_check").status == 200
    assert ask("GET", f"{service}/").status == 404
    assert ask("POST", f"{service}/other", "{}").status == 404


class FakePrometheus(BaseHTTPRequestHandler):
    """Answers 7 to the query `good`, else what Prometheus says of a query that it refuses."""

    def do_GET(self):
        parts = urlsplit(self.path)
        good = parts.path == "/api/v1/query" and parse_qs(parts.query) == {"query": ["good"]}
        result = {"resultType": "vector", "result": [{"metric": {}, "value": [1.5, "7"]}]}
        body = json.dumps({"status": "success", "data": result} if good else {"status": "error"}).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_prometheus_is_asked_and_looked_up_again_after_a_failure(capsys):
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakePrometheus)
    url = serving(server)
    looked_up = []

    def locate():
        looked_up.append(url)
        return url

    prometheus = PrometheusQueries(locate)
    assert prometheus.value("good") == 7.0
    assert prometheus.value("bad") is None
    assert len(looked_up) == 1, "a refused query says nothing about the address"
    server.shutdown()
    server.server_close()
    assert prometheus.value("good") is None
    assert prometheus.value("good") is None
    assert len(looked_up) == 2
    assert "metrics backend" in capsys.readouterr().out


@pytest.mark.parametrize("error", [ServiceNotUsable("no pod is ready"), ApiUnreachable("refused")])
def test_a_prometheus_that_cannot_be_found_means_no_value(error):
    def locate():
        raise error

    assert PrometheusQueries(locate).value("good") is None
