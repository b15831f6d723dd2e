# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's port to the cluster, over real HTTP to an API server of canned answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import api
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8.steps import (
    AnalyticsError,
    FinalRefusal,
    ObjectNotFound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    Access,
    ApiError,
    KubeClient,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout

EXPERIMENTS = "/apis/iter8.tools/v2alpha1/namespaces/default/experiments/e"
METRIC = "/apis/iter8.tools/v2alpha1/namespaces/default/metrics/m"
JOBS = "/apis/batch/v1/namespaces/iter8-system/jobs"
EXPERIMENT = {"metadata": {"name": "e", "namespace": "default", "uid": "u", "resourceVersion": "7"}}
REFERENCE = {"apiVersion": "g/v1", "kind": "K", "name": "k", "namespace": "n", "fieldPath": "/spec/a"}
KINDS = {"kind": "APIResourceList", "groupVersion": "g/v1", "resources": []}


def status(code, name="e", message="said no"):
    return {"kind": "Status", "code": code, "message": message, "details": {"name": name} if name else {}}


class Server:
    """Answers[(method, path)] = (status, body); keeps (method, path, content type, body)."""

    def __init__(self):
        self.answers = {}
        self.calls = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                outer.calls.append(
                    (self.command, path, self.headers.get("Content-Type"), json.loads(body or b"null"))
                )
                code, answer = outer.answers.get((self.command, path), (404, "404 page not found"))
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(code)
                self.send_header(
                    "Content-Type", "text/plain" if isinstance(answer, str) else "application/json"
                )
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _serve

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    where = Layout(tmp_path_factory.mktemp("state"))
    pki.create(where, "test", "127.1.0.2")
    return where.ca_certificate.read_text()


@pytest.fixture
def cluster(server, ca, tmp_path):
    client = KubeClient(Access(server.url, ca))
    return api.KubernetesCluster(client, tmp_path, "http://iter8-analytics.iter8-system:8080/x")


def test_an_experiment_that_is_there_or_not(server, cluster):
    server.answers["GET", EXPERIMENTS] = (200, EXPERIMENT)
    assert cluster.experiment("default", "e") == EXPERIMENT
    server.answers["GET", EXPERIMENTS] = (404, status(404))
    assert cluster.experiment("default", "e") is None


@pytest.mark.parametrize(
    "answer", [(404, "404 page not found"), (404, status(404, name="")), (403, status(403))]
)
def test_a_server_that_is_only_starting_does_not_make_an_experiment_vanish(server, cluster, answer):
    server.answers["GET", EXPERIMENTS] = answer
    with pytest.raises(ApiError):
        cluster.experiment("default", "e")


def test_the_status_is_replaced_as_a_whole_by_uid(server, cluster):
    server.answers["PATCH", f"{EXPERIMENTS}/status"] = (200, {})
    cluster.write_status(EXPERIMENT, {"message": "m"})
    ((_method, _path, content_type, body),) = server.calls
    assert content_type == "application/json-patch+json"
    assert body == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/status", "value": {"message": "m"}},
    ]


def test_the_spec_is_replaced_only_if_nobody_else_wrote(server, cluster):
    server.answers["PATCH", EXPERIMENTS] = (200, {})
    cluster.write_spec(EXPERIMENT, {"target": "a/b"})
    assert server.calls[0][3] == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec", "value": {"target": "a/b"}},
    ]


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        ((404, status(404, "m")), ObjectNotFound),
        ((403, status(403)), FinalRefusal),
        ((404, "404 page not found"), ApiError),
        ((409, status(409)), ApiError),
        ((429, status(429)), ApiError),
        ((500, status(500)), ApiError),
        ((401, status(401)), ApiError),
    ],
)
def test_final_refusals_and_those_that_may_pass(server, cluster, answer, raised):
    server.answers["GET", METRIC] = answer
    with pytest.raises(raised) as error:
        cluster.metric("default", "m")
    assert type(error.value) is raised or raised is ApiError
    if raised is not ApiError:
        assert str(error.value) == "said no"


def test_jobs(server, cluster):
    server.answers["GET", f"{JOBS}/j"] = (404, status(404, "j"))
    assert cluster.job("j") is None
    server.answers["GET", f"{JOBS}/j"] = (200, {"status": {"succeeded": 1}})
    assert cluster.job("j") == {"status": {"succeeded": 1}}
    for answer in ((201, {}), (409, status(409, "j"))):
        server.answers["POST", JOBS] = answer
        cluster.create_job({"metadata": {"name": "j"}})
    server.answers["POST", JOBS] = (422, status(422, "j", "name too long"))
    with pytest.raises(FinalRefusal, match="name too long"):
        cluster.create_job({"metadata": {"name": "j"}})


def test_a_weight_goes_to_the_field_of_the_object(server, cluster):
    resource = {"name": "ks", "singularName": "k", "namespaced": True, "kind": "K", "verbs": ["patch"]}
    sub = {**resource, "name": "ks/status"}
    server.answers["GET", "/apis/g/v1"] = (200, {**KINDS, "resources": [sub, resource]})
    server.answers["PATCH", "/apis/g/v1/namespaces/n/ks/k"] = (200, {})
    cluster.set_weight(REFERENCE, 15)
    cluster.set_weight(REFERENCE, 25)
    patches = [call[3] for call in server.calls if call[0] == "PATCH"]
    assert patches == [[{"op": "add", "path": "/spec/a", "value": weight}] for weight in (15, 25)]
    assert len(server.calls) == 3, "the kind is looked up once"


def test_a_weight_that_cannot_be_set(server, cluster):
    server.answers["GET", "/apis/g/v1"] = (200, KINDS)
    with pytest.raises(FinalRefusal, match="g/v1 has no kind K"):
        cluster.set_weight(REFERENCE, 15)


def test_handler_templates(cluster, tmp_path):
    (tmp_path / "start.yaml").write_text("kind: Job\n")
    (tmp_path / "list.yaml").write_text("[]")
    (tmp_path / "broken.yaml").write_text("a: [")
    assert cluster.handler_template("start") == {"kind": "Job"}
    for name in ("other", "../start", "list", "broken"):
        with pytest.raises(FinalRefusal):
            cluster.handler_template(name)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((500, "oops"), "HTTP status 500: oops"),
        ((200, "nonsense"), "Expecting value"),
        ((200, []), "not an object"),
    ],
)
def test_an_analytics_service_that_errs(server, cluster, monkeypatch, answer, problem):
    monkeypatch.setattr(api, "pod_url", lambda core, url: f"{server.url}/x")
    server.answers["POST", "/x"] = answer
    with pytest.raises(AnalyticsError, match=problem):
        cluster.analyse(EXPERIMENT)


def test_an_analytics_service_that_answers_or_is_gone(server, cluster, monkeypatch):
    monkeypatch.setattr(api, "pod_url", lambda core, url: f"{server.url}/x")
    server.answers["POST", "/x"] = (200, {"weights": {}})
    assert cluster.analyse(EXPERIMENT) == {"weights": {}}
    assert server.calls[-1][3] == EXPERIMENT
    monkeypatch.setattr(api, "pod_url", lambda core, url: "http://127.0.0.1:9/x")
    with pytest.raises(AnalyticsError):
        cluster.analyse(EXPERIMENT)
