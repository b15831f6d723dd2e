# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components, pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane.components import (
    ControlPlane,
    ControlPlaneError,
    PortTaken,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

NETWORK = 77


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is a pretence, but each look at the server is not."""
    monkeypatch.setattr(components, "_READY_SECONDS", 5.0)


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Layout]:
    found = Layout(tmp_path)
    for folder in (found.processes, found.logs, found.etcd):
        folder.mkdir()
    pki.create(found, "one", components.etcd_peer(NETWORK))
    yield found
    records.end_all(records.read_all(found.processes), 0)


@pytest.fixture
def api(where: Layout) -> Iterator[Any]:
    """An API server's answers, by path."""
    answers: dict[str, tuple[int, str]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorised = self.headers["Authorization"] == f"Bearer {pki.token(where, pki.ADMIN)}"
            status, text = answers.get(self.path, (404, "")) if authorised else (401, "")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(where.pki / "apiserver.crt", where.pki / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answers = answers  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def program(folder: Path, name: str, code: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return str(path)


def plane(where: Layout, api_port: int, **codes: str) -> ControlPlane:
    programs = {
        name: program(
            where.root / "bin", name, codes.get(name.replace("-", "_"), "[ $1 = --help ] || exec sleep 60")
        )
        for name in (components.ETCD, components.APISERVER, components.CONTROLLER_MANAGER)
    }
    time = Time()
    ports = {**components.choose_ports(None), "api": api_port}
    return ControlPlane(where, programs, ports, NETWORK, clock=lambda: time.now, sleep=time.sleep)


def free() -> int:
    return components.choose_ports(None)["api"]


def test_a_taken_port_is_seen_and_a_named_one_refused(taken: int) -> None:
    assert not components.port_is_free(taken)
    with pytest.raises(
        PortTaken, match=f"Port {taken} of 127.0.0.1 is taken by another program: name another"
    ):
        components.choose_ports(taken)


def test_ports_are_free_differ_and_lie_below_those_of_outgoing_connections(taken: int) -> None:
    offered = iter([taken, 20001, 20001, 20002])
    chosen = components.choose_ports(None, lambda _range: next(offered))
    assert chosen == {"api": 20001, "etcd": 20002}
    ports = components.choose_ports(20003)
    assert ports["api"] == 20003
    assert 20000 <= ports["etcd"] < 32000


def test_a_network_is_nobodys() -> None:
    first: Any = lambda left: left[0]  # noqa: E731
    assert components.choose_network({1, 2}, first) == 3
    with socket.socket() as other:
        other.bind(("127.3.0.2", components.CLAIM_PORT))
        assert components.choose_network({1, 2}, first) == 4


def test_no_network_left_is_an_error() -> None:
    def none(_left: Sequence[int]) -> int:
        raise AssertionError

    with pytest.raises(PortTaken, match="No loopback network is free"):
        components.choose_network(range(256), none)


def test_everything_listens_on_loopback_with_tls_and_verification(where: Layout) -> None:
    found = plane(where, 1)
    etcd, api = found.etcd_argv(), found.apiserver_argv()
    urls = [flag for flag in etcd if "-urls=" in flag]
    assert len(urls) == 4
    assert all("=https://127." in flag for flag in urls)
    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= set(etcd)
    assert {"--bind-address=127.0.0.1", "--anonymous-auth=false", "--authorization-mode=RBAC"} <= set(api)
    assert f"--etcd-cafile={where.pki}/ca.crt" in api
    assert not [flag for flag in api if "insecure" in flag]


@pytest.mark.parametrize(
    ("help_text", "expected"),
    [
        ("      --port int   The port on which to serve unsecured", True),
        ("      --secure-port int  The port", False),
    ],
)
def test_the_insecure_port_is_closed_where_there_is_one(
    where: Layout, help_text: str, expected: bool
) -> None:
    found = plane(where, 1, kube_controller_manager=f"echo '{help_text}'")
    argv = found.controller_manager_argv()
    assert ("--port=0" in argv) is expected
    assert "--secure-port=0" in argv
    assert "--use-service-account-credentials" in argv
    components._knows_flag.cache_clear()


def serve(api: Any) -> None:
    api.answers["/readyz"] = (200, "ok")
    api.answers["/api/v1/namespaces/default/serviceaccounts/default"] = (200, "{}")


def test_boot_starts_what_does_not_run(where: Layout, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(api)
    port = api.server_address[1]
    monkeypatch.setattr(components, "port_is_free", lambda *_address: True)
    found = plane(where, port)
    names = ["etcd", "kube-apiserver", "kube-controller-manager"]
    assert found.boot() == names
    assert found.boot() == []
    process = records.read(where.processes / "kube-apiserver.json")
    assert process is not None
    assert process.role == "control-plane"
    records.end_all([process], 0)
    assert found.boot() == ["kube-apiserver"]


@pytest.mark.parametrize("part", ["etcd", "kube_apiserver"])
def test_a_part_that_ends_while_it_starts_is_an_error_with_its_last_words(where: Layout, part: str) -> None:
    found = plane(where, free(), **{part: "echo first; echo last words; exit 1"})
    name = part.replace("_", "-")
    with pytest.raises(
        ControlPlaneError, match=rf"{name} ended while it started\. .*{name}.log: first \| last words"
    ):
        found.boot()


def test_a_port_that_was_taken_in_the_meantime_is_told_apart(where: Layout) -> None:
    found = plane(where, free(), etcd="echo 'listen tcp 127.0.0.1:1: bind: address already in use'; exit 1")
    with pytest.raises(PortTaken, match="etcd ended while it started: a port was taken"):
        found.boot()


def test_a_port_of_a_stopped_sandbox_that_another_took_is_an_error(where: Layout, taken: int) -> None:
    with pytest.raises(PortTaken, match=f"Port {taken} of 127.0.0.1, which kube-apiserver needs, is taken"):
        plane(where, taken).boot()
    assert records.read_all(where.processes) == []


def test_waiting_ends(where: Layout) -> None:
    with pytest.raises(ControlPlaneError, match="Waited 5 s for the API server to be ready: see the logs in"):
        plane(where, free()).boot()


def test_a_server_with_another_authoritys_certificate_is_not_believed(where: Layout, api: Any) -> None:
    serve(api)
    assert components.administrator(where, api.server_address[1]).healthy("/readyz")
    other = Layout(where.root / "other")
    other.root.mkdir()
    pki.create(other, "other", "127.8.0.2")
    assert not components.administrator(other, api.server_address[1]).healthy("/readyz")


def node_is_ready(where: Layout, api: Any, heartbeat: str, status: str) -> bool:
    """Whether a wait that began at 12:26:40.5 is content with such a condition."""
    condition = f'{{"type": "Ready", "status": "{status}", "lastHeartbeatTime": "{heartbeat}"}}'
    api.answers["/api/v1/nodes/sandbox"] = (200, f'{{"status": {{"conditions": [{condition}]}}}}')
    found = plane(where, api.server_address[1])
    found.running = lambda _name: True  # type: ignore[method-assign]
    try:
        found.wait_for_node("node", 1_600_000_000.5, where.logs / "node.log")
    except ControlPlaneError:
        return False
    return True


@pytest.mark.parametrize(
    ("heartbeat", "status", "ready"),
    [
        ("2020-09-13T12:26:40Z", "True", True),
        ("2020-09-13T12:26:39Z", "True", False),
        ("2020-09-13T12:26:41Z", "Unknown", False),
    ],
)
def test_an_old_heartbeat_of_the_node_does_not_count(
    where: Layout, api: Any, heartbeat: str, status: str, ready: bool
) -> None:
    assert node_is_ready(where, api, heartbeat, status) is ready


def test_a_node_that_ends_is_an_error_with_its_last_words(where: Layout, api: Any) -> None:
    (where.logs / "node.log").write_text("ModuleNotFoundError: No module named 'x'\n")
    with pytest.raises(ControlPlaneError, match="The node ended. .*No module named 'x'"):
        plane(where, api.server_address[1]).wait_for_node("node", 0, where.logs / "node.log")


@pytest.mark.parametrize("status", [201, 409])
def test_the_nodes_rights_are_made_once(where: Layout, api: Any, status: int) -> None:
    for resource in ("clusterroles", "clusterrolebindings"):
        api.answers[f"/apis/rbac.authorization.k8s.io/v1/{resource}"] = (status, "{}")
    plane(where, api.server_address[1]).allow_node()


def test_refused_rights_are_an_error(where: Layout, api: Any) -> None:
    with pytest.raises(ControlPlaneError, match=r"ClusterRole was refused: 404"):
        plane(where, api.server_address[1]).allow_node()
