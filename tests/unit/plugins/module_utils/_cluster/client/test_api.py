# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST layer against a small HTTP server on the loopback that misbehaves as API servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
import urllib3
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client import api as api_module
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import (
    Api,
    Resource,
    group_path,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.auth import open_api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    BadRequest,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    UnknownKind,
    Unreachable,
)
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from kubernetes.client import Configuration

ANSWERS = {
    "/apis/iter8.tools/v2alpha1": {
        "resources": [
            {"name": "experiments", "kind": "Experiment", "namespaced": True, "verbs": ["get", "list"]},
            {"name": "experiments/status", "kind": "Experiment", "namespaced": True, "verbs": ["get"]},
        ]
    },
    "/apis": {
        "groups": [
            {
                "preferredVersion": {"groupVersion": "iter8.tools/v2alpha1"},
                "versions": [{"groupVersion": "iter8.tools/v1"}, {"groupVersion": "iter8.tools/v2alpha1"}],
            }
        ]
    },
}


PAGES = {"/html": (200, b"<html>a proxy's login page</html>"), "/html502": (502, b"<html>bad gateway</html>")}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str], bytes]] = []
    hold = threading.Event()
    busy: list[tuple[int, dict[str, str]]] = []

    def do_GET(self) -> None:
        self._answer()

    do_DELETE = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(
            (f"{self.command} {self.path}", {k.lower(): v for k, v in self.headers.items()}, body)
        )
        path = self.path.partition("?")[0]
        if self.busy:
            status, headers = self.busy.pop(0)
            self._send(status, b'{"kind": "Status", "message": "come again"}', **headers)
        elif path == "/unchunked":
            self._unchunked()
        elif path in ("/watch", "/silent", "/eof"):
            self._watch(path)
        elif path == "/drop":
            self.close_connection = True
        elif path.startswith("/status/"):
            self._send(int(path.rpartition("/")[2]), b'{"kind": "Status", "message": "because I say so"}')
        elif path == "/redirect":
            self._send(302, b"", Location="/apis")
        elif path in PAGES:
            self._send(*PAGES[path])
        elif path in ANSWERS:
            self._send(200, json.dumps(ANSWERS[path]).encode())
        else:
            self._send(404, b'{"message": "not here"}')

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # One event cut in the middle, another two in one chunk: lines and chunks have nothing to do
        # with each other.
        for chunk in (b'{"type": "ADD', b'ED", "n": 1}\n', b'{"n": 2}\n\n{"n": 3}\n'):
            self._chunk(chunk)
        if path == "/silent":
            self.hold.wait(10)
        elif path == "/eof":
            self.close_connection = True
        else:
            self._chunk(b"")

    def _unchunked(self) -> None:
        """As a proxy that speaks HTTP/1.0 hands it on: the end of the connection is the end of the body."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for line in (b'{"n": 1}\n', b'{"n": 2}\n{"n"'):
            self.wfile.write(line)
            self.wfile.flush()
        self.hold.wait(10)
        self.wfile.write(b": 3}\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_arguments: Any) -> None:
        return None


def api_at(port: int) -> Api:
    configuration = Configuration(host=f"http://127.0.0.1:{port}/", api_key={"authorization": "Bearer t"})
    return open_api(configuration, {"Impersonate-User": "someone"}, time.monotonic() + 20)


@pytest.fixture
def api() -> Iterator[Api]:
    Handler.seen = []
    Handler.busy = []
    Handler.hold = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield api_at(server.server_port)
    Handler.hold.set()
    server.shutdown()
    server.server_close()


def test_requests_carry_credentials_and_ask_for_json(api: Api) -> None:
    api.get("/apis", {"fieldSelector": "metadata.name=a b"})
    line, headers, _body = Handler.seen[0]
    path, _unused, query = line.partition("?")
    assert (path, parse_qs(query)) == ("GET /apis", {"fieldSelector": ["metadata.name=a b"]})
    assert headers["authorization"] == "Bearer t"
    assert headers["accept"] == "application/json"
    assert headers["impersonate-user"] == "someone"


def test_a_list_of_metadata_is_asked_for_by_its_type(api: Api) -> None:
    api.get("/apis", metadata_only=True)
    assert "PartialObjectMetadataList" in Handler.seen[0][1]["accept"]


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, BadRequest), (401, Unauthorized), (403, Forbidden), (404, NotFound), (405, MethodNotAllowed),
        (409, Conflict), (410, Gone), (429, Unreachable), (500, Unreachable), (503, Unreachable),
    ],
)  # fmt: skip
def test_answers_are_classified_and_keep_the_servers_message(
    api: Api, status: int, raised: type[ClusterError]
) -> None:
    with pytest.raises(raised, match=f"/status/{status} was answered {status}: because I say so") as caught:
        api.get(f"/status/{status}")
    assert type(caught.value) is raised
    assert len(Handler.seen) == 1, "retried unseen"


@pytest.mark.parametrize(
    ("message", "grant"),
    [
        ('pods is forbidden: User "a" cannot list resource "pods" in API group "" in namespace "n"', True),
        ('forbidden: User "a" cannot get path "/healthz"', True),
        ('user "a" (groups=["b"]) is attempting to grant RBAC permissions not currently held:\n{}', True),
        ('admission webhook "w" denied the request: user a cannot do that', False),
        ('pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', False),
        ('pods "p" is forbidden: violates PodSecurity "restricted:latest": host namespaces', False),
        ('configmaps "c" is forbidden: unable to create new content in namespace n because it is being '
         'terminated', False),
    ],
)  # fmt: skip
def test_only_for_a_missing_right_a_right_is_to_be_granted(
    api: Api, monkeypatch: pytest.MonkeyPatch, message: str, grant: bool
) -> None:
    body = json.dumps({"kind": "Status", "reason": "Forbidden", "message": message}).encode()
    monkeypatch.setitem(PAGES, "/refused", (403, body))
    with pytest.raises(Forbidden) as caught:
        api.get("/refused")
    assert message in str(caught.value)
    assert ("Grant the user this right" in str(caught.value)) is grant


def test_a_404_that_names_an_object_is_certain(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound) as caught:
        api.get("/apis/none/v1")
    assert caught.value.certain is False
    body = {"kind": "Status", "reason": "NotFound", "details": {"name": "m", "kind": "experiments"}}
    monkeypatch.setitem(PAGES, "/apis/none/v1/experiments/m", (404, json.dumps(body).encode()))
    with pytest.raises(NotFound) as caught:
        api.get("/apis/none/v1/experiments/m")
    assert caught.value.certain is True


@pytest.mark.parametrize("path", ["/html", "/html502"])
def test_what_is_no_json_is_no_api_server(api: Api, path: str) -> None:
    with pytest.raises(Unreachable):
        api.get(path)


def test_a_dropped_connection_is_reported_and_not_tried_again_unseen(api: Api) -> None:
    with pytest.raises(Unreachable):
        api.get("/drop")
    assert len(Handler.seen) == 1


def test_a_redirect_is_not_followed_with_our_credentials(api: Api) -> None:
    with pytest.raises(ClusterError, match="302"):
        api.get("/redirect")
    assert len(Handler.seen) == 1


def test_a_deletion_carries_its_preconditions(api: Api) -> None:
    with pytest.raises(NotFound):
        api.delete("/api/v1/namespaces/a", {"preconditions": {"uid": "u"}})
    line, headers, body = Handler.seen[0]
    assert line == "DELETE /api/v1/namespaces/a"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "u"}}


def test_events_are_read_across_chunks(api: Api) -> None:
    events = list(api.stream("/watch", {"watch": "true"}, 5.0))
    assert events == [{"type": "ADDED", "n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("path", ["/silent", "/eof"])
def test_a_dead_connection_is_noticed_after_what_it_had_said(api: Api, path: str) -> None:
    events = api.stream(path, {"watch": "true"}, 0.3)
    seen: list[dict[str, Any]] = []
    with pytest.raises(Unreachable, match="the answer was cut"):
        collect(events, seen)
    assert [event["n"] for event in seen] == [1, 2, 3]


def test_events_that_are_not_chunked_are_read_as_they_come(api: Api) -> None:
    events = api.stream("/unchunked", {"watch": "true"}, 5.0)
    # The server ends only when these have been read.
    assert [next(events), next(events)] == [{"n": 1}, {"n": 2}]
    Handler.hold.set()
    assert list(events) == [{"n": 3}]


AGAIN = {"Retry-After": "1"}


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time that the repetitions wait, without waiting."""
    clock = FakeClock(time.monotonic())
    monkeypatch.setattr(api_module, "patiently", partial(api_module.patiently, now=clock, sleep=clock.sleep))
    return clock


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_says_when_is_asked_again_then(api: Api, sleeps: FakeClock, status: int) -> None:
    Handler.busy = [(status, {"Retry-After": "2"}), (status, AGAIN), (status, {"Retry-After": "0"})]
    assert api.served_versions() == ["v1", "iter8.tools/v2alpha1", "iter8.tools/v1"]
    assert sleeps.slept == [2.0, 1.0, 0.2]
    Handler.busy = [(status, AGAIN)]
    with pytest.raises(NotFound):
        api.delete("/api/v1/namespaces/a", {})
    Handler.busy = [(status, {"Retry-After": "Fri, 31 Dec 2026 23:59:59 GMT"})]
    assert len(list(api.stream("/watch", {"watch": "true"}, 5.0))) == 3
    assert sleeps.slept[3:] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("status", "headers"), [(429, {}), (503, {}), (404, AGAIN), (429, {"Retry-After": "3600"})]
)
def test_otherwise_an_error_is_final(
    api: Api, sleeps: FakeClock, status: int, headers: dict[str, str]
) -> None:
    Handler.busy = [(status, headers)] * 2
    with pytest.raises(ClusterError, match="come again"):
        api.get("/apis")
    assert sleeps.slept == []
    assert len(Handler.seen) == 1


def test_patience_ends_with_the_time(api: Api, sleeps: FakeClock) -> None:
    api.deadline = sleeps.now + 5.0
    Handler.busy = [(429, AGAIN)] * 100
    with pytest.raises(Unreachable, match="answered 429: come again"):
        api.get("/apis")
    assert sleeps.slept == [1.0] * 4


def collect(events: Iterator[dict[str, Any]], seen: list[dict[str, Any]]) -> None:
    for event in events:
        seen.append(event)


def test_a_refused_watch_is_known_before_its_first_event(api: Api) -> None:
    with pytest.raises(Gone):
        api.stream("/status/410", {}, 5.0)


def test_nobody_listening_is_unreachable_at_once() -> None:
    api = api_at(1)
    with pytest.raises(Unreachable, match=r"GET http://127.0.0.1:1/apis failed: .*refused"):
        api.get("/apis")


def test_a_certificate_that_is_not_trusted_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def request(*_arguments: Any, **_options: Any) -> None:
        raise urllib3.exceptions.SSLError("certificate verify failed: self-signed certificate")

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    expected = r"could not be verified: certificate verify failed: self-signed certificate\. Give .* ca_cert"
    with pytest.raises(ClusterError, match=expected) as caught:
        api_at(1).get("/apis")
    assert type(caught.value) is ClusterError, "waiting would not mend it"


def test_kinds_are_found_without_their_subresources(api: Api) -> None:
    found = api.resource("iter8.tools/v2alpha1", "Experiment")
    assert found == Resource("iter8.tools/v2alpha1", "Experiment", "experiments", True, ("get", "list"))
    assert api.served_versions() == ["v1", "iter8.tools/v2alpha1", "iter8.tools/v1"]


@pytest.mark.parametrize(
    ("api_version", "kind"), [("iter8.tools/v2alpha1", "Metric"), ("iter8.tools/v9", "Experiment")]
)
def test_an_unknown_kind_says_what_to_install(api: Api, api_version: str, kind: str) -> None:
    with pytest.raises(UnknownKind, match=f"does not serve {kind}.*CustomResourceDefinition"):
        api.resource(api_version, kind)


def test_an_absent_group_is_looked_up_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.resources("new.example.com/v1") == []
    monkeypatch.setitem(ANSWERS, "/apis/new.example.com/v1", ANSWERS["/apis/iter8.tools/v2alpha1"])
    assert [each.kind for each in api.resources("new.example.com/v1")] == ["Experiment"]


POD = Resource("v1", "Pod", "pods", True)
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments", True)
ROLE = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False)


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "path"),
    [
        (POD, "ns", None, "/api/v1/namespaces/ns/pods"),
        (POD, None, None, "/api/v1/pods"),
        (DEPLOYMENT, "a/b", "../x", "/apis/apps/v1/namespaces/a%2Fb/deployments/..%2Fx"),
        (ROLE, "ignored", "system:x", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Ax"),
    ],
)
def test_paths(resource: Resource, namespace: str | None, name: str | None, path: str) -> None:
    assert resource.path(namespace, name) == path
    assert path.startswith(group_path(resource.api_version))
