# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import KubeClient
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import checks
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import Context
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.store import Addresses
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records


def place(tmp_path: Path, **spec: Any) -> checks.Place:
    where = Layout(tmp_path)
    for folder in (where.pods, where.processes):
        folder.mkdir(exist_ok=True)
    context = Context(
        KubeClient.__new__(KubeClient), where, 9, {"python3": sys.executable}, Addresses(where, 9)
    )
    return checks.Place(
        context, {"name": "c", **spec}, "127.0.0.1", {**os.environ, "X": "1"}, tmp_path, "pod-u-c-0"
    )


async def answering(tmp_path: Path, answer: bytes, action: Any, timeout: float = 5.0) -> tuple[str, bytes]:
    """Ask a server that answers so; the outcome, and what the server was sent."""
    asked = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            writer.close()
        else:
            await reader.read()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ports = [{"name": "http", "containerPort": port}]
        wanted = {"httpGet": {"port": "http", **action}}
        return await checks.ask(place(tmp_path, ports=ports), "readiness", wanted, timeout), asked


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 302 Found\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "statuscode: 404"),
        (b"HTTP/1.1 503\r\n\r\n", "statuscode: 503"),
        (b"SSH-2.0-x\r\n", "did not answer in HTTP"),
        (b"\r\n", "did not answer in HTTP"),
    ],
)
def test_http(answer: bytes, problem: str, tmp_path: Path) -> None:
    found, _asked = asyncio.run(answering(tmp_path, answer, {}))
    assert (problem in found) if problem else found == ""


def test_http_request(tmp_path: Path) -> None:
    action = {
        "path": "healthz?x=1",
        "httpHeaders": [{"name": "Host", "value": "me"}, {"name": "X-A", "value": "b"}],
    }
    _found, asked = asyncio.run(answering(tmp_path, b"HTTP/1.1 200 OK\r\n\r\n", action))
    lines = asked.decode().split("\r\n")
    assert lines[0] == "GET /healthz?x=1 HTTP/1.1"
    assert "Host: me" in lines
    assert "X-A: b" in lines


def test_http_without_an_answer_times_out(tmp_path: Path) -> None:
    found, _asked = asyncio.run(answering(tmp_path, b"", {}, timeout=0.05))
    assert found == "no answer within 0.05 s"


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ({"httpGet": {"port": "none"}}, "no port named 'none'"),
        ({"tcpSocket": {"port": 1}}, "Connect call failed"),
        ({"grpc": {"port": 1}}, "the sandbox has no grpc check"),
    ],
)
def test_what_cannot_be_asked(action: dict[str, Any], problem: str, tmp_path: Path) -> None:
    assert problem in asyncio.run(checks.ask(place(tmp_path), "liveness", action, 5.0))


def test_tcp(tmp_path: Path) -> None:
    async def ask() -> str:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await checks.ask(place(tmp_path), "liveness", {"tcpSocket": {"port": str(port)}}, 5.0)

    assert asyncio.run(ask()) == ""


@pytest.mark.parametrize(
    ("code", "timeout", "problem"),
    [
        ("import os; assert os.environ['X'] == '1'", 10.0, ""),
        ("print('broken'); raise SystemExit(4)", 10.0, "ended with 4: broken"),
        ("import time; time.sleep(60)", 0.2, "did not end within 0.2 s"),
    ],
)
def test_exec(code: str, timeout: float, problem: str, tmp_path: Path) -> None:
    where = place(tmp_path)
    action = {"exec": {"command": ["python3", "-c", code]}}
    found = asyncio.run(checks.ask(where, "liveness", action, timeout))
    assert (problem in found) if problem else found == ""
    assert records.read_all(where.context.layout.processes) == []


def test_exec_of_nothing(tmp_path: Path) -> None:
    found = asyncio.run(checks.ask(place(tmp_path), "liveness", {"exec": {"command": ["/no/such"]}}, 5.0))
    assert "cannot be started" in found


def test_exec_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    where = place(tmp_path)
    begun = tmp_path / "begun"
    code = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"

    async def ask() -> None:
        action = {"exec": {"command": ["python3", "-c", code]}}
        task = asyncio.ensure_future(checks.ask(where, "liveness", action, 30.0))
        while not begun.exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert records.read_all(where.context.layout.processes) == []
