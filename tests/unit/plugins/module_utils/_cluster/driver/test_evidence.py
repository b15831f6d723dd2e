# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus as a driver asks it: whatever answers at its address, and addresses that are none."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver import run as runs
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.ensure import (
    progressive_rollout,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.evidence import (
    Prometheus,
    Queries,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.spec import parse_gates
from ansible_collections.iter8.kfserving.plugins.modules.progressive_rollout import ARGUMENTS
from ansible_collections.iter8.kfserving.tests.support.driven import NEW, Knative
from ansible_collections.iter8.kfserving.tests.support.driven_api import DrivenApi


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "Prometheus did not answer: SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "Prometheus did not answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "Prometheus did not answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "Prometheus answered 302"),
    ],
)
def test_what_is_no_prometheus_gives_no_value(answer: bytes, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _peer = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        value, problem = Prometheus(f"http://127.0.0.1:{server.getsockname()[1]}").value("up")
        thread.join()
    assert value is None
    assert problem.startswith(told)


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"url": "prometheus:9090"},
        {"url": "http://127.0.0.1:none"},
        {"url": "https://127.0.0.1", "ca_file": "/nonexistent/ca.crt"},
    ],
    ids=["scheme", "port", "authority"],
)
def test_one_that_cannot_be_asked_is_refused_before_anything_is_changed(
    given: dict[str, Any], check_mode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = DrivenApi(Knative())
    connected = SimpleNamespace(with_time_limit=lambda _seconds: api)
    monkeypatch.setattr(runs, "connect", lambda _module, **_options: connected)
    params = {name: each.get("default") for name, each in ARGUMENTS.items()}
    params |= {"name": "iris", "api_version": "serving.kserve.io/v1beta1", "predictor": NEW}
    params |= {"settle": 0.0, "timeout": 0, "prometheus": given}
    with pytest.raises(ClusterError, match="^prometheus: "):
        progressive_rollout(SimpleNamespace(params=params, check_mode=check_mode))
    assert api.writes == []


def test_a_query_names_both_and_bears_the_token() -> None:
    gates = parse_gates(
        [{"type": "query", "query": 'up{r="$canary"}', "baseline_query": 'up{r="$baseline"}', "max_ratio": 2}]
    )
    answer = b'{"status": "success", "data": {"resultType": "scalar", "result": [0, "1.5"]}}'
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _unused in range(2):
                connection, _peer = server.accept()
                with connection:
                    asked.append(unquote(connection.recv(4096).decode()))
                    connection.sendall(head + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        prometheus = Prometheus(f"http://127.0.0.1:{server.getsockname()[1]}", "s3cret")
        names = {"canary": "iris-2", "baseline": "iris-1"}
        (measured,) = Queries(gates, prometheus, lambda: 0.0).due(names).values()
        thread.join()
    assert (measured.value, measured.baseline) == (1.5, 1.5)
    assert [f'up{{r="iris-{number}"}}' in text for number, text in zip((2, 1), asked)] == [True, True]
    assert all("\r\nAuthorization: Bearer s3cret\r\n" in text for text in asked)
