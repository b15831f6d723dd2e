# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Access,
    ApiError,
    ApiUnreachable,
    KubeClient,
    read_kubeconfig,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout


class Server(ThreadingHTTPServer):
    """Answers what it is told, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_arguments: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, content = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    where = Layout(tmp_path_factory.mktemp("state"))
    pki.create(where, "test", "127.1.0.2")
    return where


@pytest.fixture
def client(server: Server, keys: Layout) -> KubeClient:
    ca = keys.ca_certificate.read_text()
    return KubeClient(Access(f"http://127.0.0.1:{server.server_port}", ca, token="t0ken"))


def test_a_call_carries_token_body_and_type(server: Server, client: KubeClient) -> None:
    server.answers = [(200, b'{"kind": "Thing"}')]
    found = client.call("PATCH", "/x", {"a": 1}, STRATEGIC, {"q": "a b"})
    assert found == {"kind": "Thing"}
    method, path, headers, body = server.asked[0]
    assert (method, path, json.loads(body)) == ("PATCH", "/x?q=a+b", {"a": 1})
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Content-Type"] == STRATEGIC


@pytest.mark.parametrize(
    "refusal",
    [
        (404, b'{"reason": "NotFound", "message": "no x"}', "NotFound", False),
        (409, b'{"reason": "Conflict", "message": "other"}', "Conflict", False),
        (403, b'{"reason": "Forbidden", "message": "not yet"}', "Forbidden", True),
        (429, b"slow down", "", True),
        (503, b"[]", "", True),
    ],
)
def test_a_refusal_says_why_and_whether_to_try_again(
    refusal: tuple[int, bytes, str, bool], server: Server, client: KubeClient
) -> None:
    status, body, reason, passing = refusal
    server.answers = [(status, body)]
    with pytest.raises(ApiError) as caught:
        client.call("GET", "/x")
    assert (caught.value.status, caught.value.reason, caught.value.passing) == (status, reason, passing)
    assert "t0ken" not in str(caught.value)


def test_a_refusal_is_one_line(server: Server, client: KubeClient) -> None:
    server.answers = [(422, json.dumps({"reason": "Invalid", "message": "first\nsecond"}).encode())]
    with pytest.raises(ApiError) as caught:
        client.get("/x")
    assert str(caught.value) == "422 Invalid: first second"
    assert caught.value.message == "first second"


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        (b'{"reason": "NotFound", "message": "no x", "details": {"name": "x"}}', True),
        (b'{"reason": "NotFound", "message": "not served", "details": {}}', False),
        (b"404 page not found", False),
    ],
)
def test_only_an_answer_that_names_the_object_says_that_it_is_missing(
    answer: bytes, missing: bool, server: Server, client: KubeClient
) -> None:
    server.answers = [(404, answer)]
    if missing:
        assert client.find("/x") is None
        return
    with pytest.raises(ApiError) as caught:
        client.find("/x")
    assert not caught.value.missing


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda c: c.find("/x"), ("GET", "/x", "application/json", None)),
        (lambda c: c.items("/xs"), ("GET", "/xs", "application/json", None)),
        (lambda c: c.items("/xs", "a=1,b"), ("GET", "/xs?labelSelector=a%3D1%2Cb", "application/json", None)),
        (lambda c: c.create("/xs", {"a": 1}), ("POST", "/xs", "application/json", {"a": 1})),
        (lambda c: c.replace("/x", {"a": 1}), ("PUT", "/x", "application/json", {"a": 1})),
        (lambda c: c.patch("/x", {"a": 1}), ("PATCH", "/x", MERGE, {"a": 1})),
        (
            lambda c: c.patch("/x", [{"op": "test"}], JSON_PATCH, field_manager="me"),
            ("PATCH", "/x?fieldManager=me", JSON_PATCH, [{"op": "test"}]),
        ),
        (
            lambda c: c.delete("/x"),
            ("DELETE", "/x", "application/json", {"propagationPolicy": "Background"}),
        ),
    ],
)
def test_each_verb(call: Any, expected: tuple[Any, ...], server: Server, client: KubeClient) -> None:
    server.answers = [(200, b'{"items": [{"a": 1}]}')]
    found = call(client)
    method, path, headers, body = server.asked[0]
    assert (method, path, headers["Content-Type"], json.loads(body or b"null")) == expected
    assert found in ({"items": [{"a": 1}]}, [{"a": 1}], None)


def test_a_renewed_token_is_used_from_the_next_call_on(server: Server, keys: Layout, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    access = Access(
        f"http://127.0.0.1:{server.server_port}", keys.ca_certificate.read_text(), "old", token_file=token
    )
    client = KubeClient(access)
    server.answers = [(200, b"{}")] * 4
    client.get("/x")
    token.write_text("second")
    client.get("/x")
    list(client.watch("/x", {}, 5.0))
    token.unlink()
    client.get("/x")
    used = [headers["Authorization"] for _method, _path, headers, _body in server.asked]
    assert used == ["Bearer first", "Bearer second", "Bearer second", "Bearer old"]


def test_nobody_there(server: Server, client: KubeClient) -> None:
    server.server_close()
    with pytest.raises(ApiUnreachable, match="GET /x") as caught:
        client.call("GET", "/x")
    assert caught.value.passing
    assert caught.value.status == 0


def test_watch_gives_each_event(server: Server, client: KubeClient) -> None:
    server.answers = [(200, b'{"type": "ADDED"}\n{"type": "DELETED"}\n')]
    events = client.watch("/x", {"resourceVersion": "5"}, 5.0)
    assert [one["type"] for one in events] == ["ADDED", "DELETED"]
    assert server.asked[0][1] == "/x?resourceVersion=5&watch=1"


def test_watch_of_an_expired_version(server: Server, client: KubeClient) -> None:
    server.answers = [(410, b'{"reason": "Expired", "message": "too old"}')]
    with pytest.raises(ApiError) as caught:
        list(client.watch("/x", {}, 5.0))
    assert caught.value.status == 410


def kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1/", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return path


def test_kubeconfig_with_data_or_files(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "token").write_text("secret\n")
    coded = base64.b64encode(b"CA").decode()
    by_file = kubeconfig(tmp_path / "f", {"certificate-authority": "ca.crt"}, {"tokenFile": "token"})
    by_data = kubeconfig(tmp_path / "d", {"certificate-authority-data": coded}, {"token": "secret"})
    from_file = read_kubeconfig(by_file)
    from_data = read_kubeconfig(by_data)
    for access in (from_file, from_data):
        assert (access.server, access.ca, access.bearer()) == ("https://127.0.0.1:1", "CA", "secret")


def test_kubeconfig_that_cannot_verify_is_refused(tmp_path: Path) -> None:
    loose = kubeconfig(tmp_path / "f", {"insecure-skip-tls-verify": True}, {"token": "t"})
    with pytest.raises(ValueError, match="certificate-authority"):
        read_kubeconfig(loose)
    (tmp_path / "empty").write_text("")
    with pytest.raises(ValueError, match="context"):
        read_kubeconfig(tmp_path / "empty")
