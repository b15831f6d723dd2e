# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import KubeClient
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import Context
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import checks
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.place import Place
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.store import Addresses, PodFolder
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from ansible_collections.iter8.kfserving.tests.support.waiting import until_async


def place(tmp_path: Path, **spec: Any) -> Place:
    where = Layout(tmp_path)
    for folder in (where.pods, where.processes):
        folder.mkdir(exist_ok=True)
    context = Context(
        KubeClient.__new__(KubeClient), where, 9, {"python3": sys.executable}, Addresses(where, 9)
    )
    container = {"name": "c", "env": [{"name": "X", "value": "1"}], **spec}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    return Place(context, pod, container, PodFolder(tmp_path), "127.0.0.1")


async def answering(tmp_path: Path, answer: bytes, action: Any, timeout: float = 5.0) -> tuple[str, bytes]:
    """Ask a server that answers so; the outcome, and what the server was sent."""
    asked = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not answer:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ports = [{"name": "http", "containerPort": port}]
        return await checks.get(place(tmp_path, ports=ports), {"port": "http", **action}, timeout), asked


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
    _found, asked = asyncio.run(answering(tmp_path, b"HTTP/1.1 200 OK\r\n\r\n", {"path": "healthz?x=1"}))
    lines = asked.decode().split("\r\n")
    assert lines[0] == "GET /healthz?x=1 HTTP/1.1"
    assert any(line.startswith("Host: 127.0.0.1:") for line in lines)


def test_http_without_an_answer_times_out(tmp_path: Path) -> None:
    found, _asked = asyncio.run(answering(tmp_path, b"", {}, timeout=0.05))
    assert found == "no answer within 0.05 s"


@pytest.mark.parametrize(("port", "problem"), [("none", "no port named 'none'"), (1, "Connect call failed")])
def test_what_cannot_be_asked(port: Any, problem: str, tmp_path: Path) -> None:
    assert problem in asyncio.run(checks.get(place(tmp_path), {"port": port}, 5.0))


def test_a_probe_is_asked_when_it_is_due(tmp_path: Path) -> None:
    clock = FakeClock(100.0)
    where = place(tmp_path)
    where.context.monotonic, where.context.sleep = clock, clock.sleep_async

    async def ask() -> None:
        probe = {"httpGet": {"port": 1}, "initialDelaySeconds": 3, "periodSeconds": 5, "failureThreshold": 2}
        asking = checks.Asking(where, probe, started_at=99.0, before=True)
        assert await asking.next()
        assert not await asking.next()
        assert "Connect call failed" in asking.problem

    asyncio.run(ask())
    assert clock.slept == [2.0, 5.0]


@pytest.mark.parametrize(
    ("code", "timeout", "problem"),
    [
        ("import os; assert os.environ['X'] == '1'", 10.0, ""),
        ("print('broken'); raise SystemExit(4)", 10.0, "ended with 4: broken"),
        ("import time; time.sleep(60)", 0.2, "did not end within 0.2 s"),
    ],
)
def test_hook(code: str, timeout: float, problem: str, tmp_path: Path) -> None:
    where = place(tmp_path)
    found = asyncio.run(checks.run_hook(where, "pod-u-c-0-prestop", ["python3", "-c", code], timeout))
    assert (problem in found) if problem else found == ""
    assert records.read_all(where.context.layout.processes) == []


def test_hook_of_nothing(tmp_path: Path) -> None:
    found = asyncio.run(checks.run_hook(place(tmp_path), "pod-u-c-0-prestop", ["/no/such"], 5.0))
    assert "cannot be started" in found


def test_a_hook_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    where = place(tmp_path)
    begun = tmp_path / "begun"
    code = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"

    async def ask() -> None:
        hook = checks.run_hook(where, "pod-u-c-0-prestop", ["python3", "-c", code], 30.0)
        task = asyncio.ensure_future(hook)
        await until_async(begun.exists, 10.0, "the hook to run")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert records.read_all(where.context.layout.processes) == []
