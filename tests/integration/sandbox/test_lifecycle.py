# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane: boots, is mended, is removed without a trace."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components, pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support.busy import stalled

pytestmark = pytest.mark.sandbox

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "node")


def call(
    running: Any,
    path: str,
    token: Optional[str],
    method: str = "GET",
    body: Optional[dict[str, Any]] = None,
) -> tuple[int, Any]:
    trust = ssl.create_default_context(cafile=str(running.where.ca_certificate))
    port = running.description.ports["api"]
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def admin(running: Any, path: str, method: str = "GET", body: Optional[dict[str, Any]] = None) -> Any:
    status, content = call(running, path, pki.token(running.where, pki.ADMIN), method, body)
    assert status in (200, 201), content
    return content


def kill(running: Any, *parts: str) -> None:
    for part in parts:
        process = records.read(running.where.processes / f"{part}.json")
        assert process is not None
        assert records.send(process, signal.SIGKILL)
        while records.alive(process):
            time.sleep(0.01)


def test_it_boots_in_ten_seconds_of_its_own_and_a_second_present_changes_nothing(home: Any) -> None:
    before = stalled()
    running = home.up("one")
    waited = stalled() - before
    assert running.changed
    assert set(running.started) == set(PARTS)
    # Of its own, whatever else the machine has to do.
    assert running.seconds - waited < 10, waited
    again = home.up("one")
    assert not again.changed
    assert again.started == ()
    assert again.description == running.description
    removed = home.down("one")
    assert removed.changed
    assert set(removed.ended) >= set(PARTS)
    home.assert_nothing_left(running.description)
    assert not home.down("one").changed


def test_the_administrator_is_let_in_and_nobody_else(sandbox: Any) -> None:
    assert admin(sandbox, "/api/v1/nodes/sandbox")["metadata"]["name"] == "sandbox"
    assert call(sandbox, "/api/v1/nodes", None)[0] == 401
    assert call(sandbox, "/api/v1/nodes", "not-the-token")[0] == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/pods", 200),
        ("/api/v1/configmaps", 200),
        ("/api/v1/secrets", 403),
        ("/api/v1/serviceaccounts", 403),
        ("/apis/apps/v1/deployments", 403),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", 403),
    ],
)
def test_the_node_has_the_rights_it_needs_and_no_more(sandbox: Any, path: str, status: int) -> None:
    assert call(sandbox, path, pki.token(sandbox.where, pki.NODE))[0] == status


def test_a_client_that_does_not_know_the_ca_refuses_the_server(sandbox: Any) -> None:
    port = sandbox.description.ports["api"]
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=10, context=ssl.create_default_context()
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/readyz")


@pytest.mark.parametrize("port", ["client", "peer"])
def test_etcd_refuses_who_has_no_certificate(sandbox: Any, port: str) -> None:
    trust = ssl.create_default_context(cafile=str(sandbox.where.ca_certificate))
    address = {
        "client": ("127.0.0.1", sandbox.description.ports["etcd"]),
        "peer": (components.etcd_peer(sandbox.description.network), components.CLAIM_PORT),
    }[port]
    connection = http.client.HTTPSConnection(*address, timeout=10, context=trust)

    def ask() -> None:
        connection.request("GET", "/version")
        connection.getresponse().read()

    with pytest.raises((ssl.SSLError, ConnectionResetError), match=r"(?i)certificate|reset"):
        ask()


def test_each_controller_has_its_own_service_account(sandbox: Any) -> None:
    accounts = admin(sandbox, "/api/v1/namespaces/kube-system/serviceaccounts")["items"]
    names = {each["metadata"]["name"] for each in accounts}
    assert {"deployment-controller", "replicaset-controller", "job-controller"} <= names


def test_what_was_killed_is_started_again_on_the_same_data(home: Any) -> None:
    running = home.up("one")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}}
    uid = admin(running, "/api/v1/namespaces", "POST", namespace)["metadata"]["uid"]

    kill(running, "kube-apiserver")
    mended = home.up("one")
    assert "kube-apiserver" in mended.started
    assert "etcd" not in mended.started
    assert mended.description == running.description
    assert any("not running: kube-apiserver" in step for step in home.steps)
    assert admin(mended, "/api/v1/namespaces/kept")["metadata"]["uid"] == uid

    kill(running, "node", "kube-controller-manager", "kube-apiserver", "etcd")
    mended = home.up("one")
    assert set(mended.started) == set(PARTS)
    assert admin(mended, "/api/v1/namespaces/kept")["metadata"]["uid"] == uid
    assert not home.up("one").changed


@pytest.mark.parametrize("damage", ["half a record", "no record", "no process records", "no folder"])
def test_it_is_removed_whatever_is_left_of_it(home: Any, damage: str) -> None:
    running = home.up("one")
    kill(running, "kube-apiserver")
    if damage == "half a record":
        running.where.record.write_text(running.where.record.read_text()[:40])
    elif damage == "no record":
        running.where.record.unlink()
    elif damage == "no process records":
        shutil.rmtree(running.where.processes)
    else:
        shutil.rmtree(running.where.root)
    removed = home.down("one")
    assert removed.changed
    assert len(removed.ended) >= 2
    home.assert_nothing_left(running.description)


def test_two_live_side_by_side(home: Any) -> None:
    one, two = home.up("one"), home.up("two")
    assert one.description.network != two.description.network
    assert not set(one.description.ports.values()) & set(two.description.ports.values())
    assert call(one, "/api/v1/nodes", pki.token(two.where, pki.ADMIN))[0] == 401
    home.down("one")
    assert admin(two, "/api/v1/nodes/sandbox")["metadata"]["name"] == "sandbox"
    assert not home.up("two").changed


def test_a_taken_port_is_an_error_before_anything_starts(home: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(components.PortTaken, match=f"Port {port} of 127.0.0.1 is taken"):
            home.up("one", api_port=port)
    assert home.steps == []
    home.assert_nothing_left()


def test_a_named_port_is_used(home: Any) -> None:
    port = components.choose_ports(None)["api"]
    assert home.up("one", api_port=port).description.api_server == f"https://127.0.0.1:{port}"


PRESENT = """
import sys
from pathlib import Path
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import present
options = present.SandboxOptions(present.default_source(), paths.cache_dir())
present.up("one", options, lambda text: print(text, flush=True))
print("up", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_present_is_removed(home: Any, delay: float, number: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PRESENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=home.env,
        text=True,
    )
    assert child.stdout is not None
    assert "starting etcd" in child.stdout.readline()
    time.sleep(delay)
    child.send_signal(number)
    child.wait(30)
    child.stdout.close()
    assert home.down("one").changed
    home.assert_nothing_left()


def test_absent_ends_a_present_that_is_under_way(home: Any) -> None:
    child = subprocess.Popen([sys.executable, "-c", PRESENT], stdout=subprocess.PIPE, env=home.env, text=True)
    assert child.stdout is not None
    assert "starting etcd" in child.stdout.readline()
    removed = home.down("one")
    assert "present" in removed.ended
    assert child.wait(30) == -signal.SIGTERM
    child.stdout.close()
    home.assert_nothing_left()


def test_it_is_brought_up_again_after_an_interrupted_removal(home: Any) -> None:
    running = home.up("one")
    os.rename(running.where.processes, running.where.closed_processes)
    again = home.up("one")
    assert again.changed
    assert again.description.created > running.description.created
    assert not Path(running.where.closed_processes).exists()
