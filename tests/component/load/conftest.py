# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that misbehaves as told and counts what it was asked, and a load run against it."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load import command
from ansible_collections.iter8.kfserving.plugins.module_utils._load.command import run
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import engine
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock
from ansible_collections.iter8.kfserving.tests.support import artefacts
from ansible_collections.iter8.kfserving.tests.support.listening import Listening


class Visit:
    """One request as the server sees it: its number on its connection (from 0), its bytes, ways to answer.

    `count` is its number among all of the server's (from 1): how many it has had by now, another thread may
    have changed meanwhile.
    """

    def __init__(
        self, sock: socket.socket, number: int, head: bytes, body: bytes, closing: threading.Event
    ) -> None:
        self.sock = sock
        self.number = number
        self.count = 0
        self.head = head
        self.body = body
        self.closing = closing

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ok(self, body: bytes = b"ok", headers: bytes = b"") -> None:
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), headers, body))

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def hang(self) -> None:
        """Say nothing until the client hangs up or the test ends."""
        self.sock.settimeout(0.02)
        while not self.closing.is_set():
            with contextlib.suppress(TimeoutError, socket.timeout, ssl.SSLError):
                if not self.sock.recv(65536):
                    break
        raise ConnectionAbortedError

    def close(self) -> None:
        raise ConnectionAbortedError


Behaviour = Callable[[Visit], None]


class Server(Listening):
    """`requests` counts whole requests, `connections` those that sent a byte."""

    def __init__(
        self,
        behaviour: Behaviour,
        context: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.behaviour = behaviour
        self.requests = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._lock = threading.Lock()
        super().__init__(context, listener)

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}/path?q=1"

    def conversation(self, sock: socket.socket) -> None:
        sock.settimeout(0.02)
        number = 0
        pending = b""
        while not self.closing.is_set():
            while b"\r\n\r\n" not in pending:
                pending += self._receive(sock)
            head, _unused, pending = pending.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if getattr(self.behaviour, "early", False):
                self.behaviour(Visit(sock, number, head, b"", self.closing))
            while len(pending) < length:
                pending += self._receive(sock)
            body, pending = pending[:length], pending[length:]
            visit = Visit(sock, number, head, body, self.closing)
            with self._lock:
                self.requests += 1
                visit.count = self.requests
                self.heads.append(head)
                self.bodies.append(body)
            sock.settimeout(5)
            self.behaviour(visit)
            sock.settimeout(0.02)
            number += 1

    def _receive(self, sock: socket.socket) -> bytes:
        while not self.closing.is_set():
            with contextlib.suppress(TimeoutError, socket.timeout):
                data = sock.recv(65536)
                if data:
                    return data
                break
        raise ConnectionAbortedError


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; all are ended with the test."""
    servers: list[Server] = []

    def start(behaviour: Behaviour, **more: Any) -> Server:
        servers.append(Server(behaviour, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> PolledClock:
    """What every engine of the test is timed by from now on."""
    made = PolledClock()
    monkeypatch.setattr(engine, "make_poller", made.make_poller)
    monkeypatch.setattr(engine, "make_alarm", lambda _poller: None)
    monkeypatch.setattr(command, "Engine", functools.partial(engine.Engine, clock=made, wall=made.wall))
    return made


@pytest.fixture
def load() -> Callable[..., dict[str, Any]]:
    """Run a load in this process and check what must hold of every result."""

    def make(url: str, **options: Any) -> dict[str, Any]:
        given = {"timeout": 5_000_000_000, "connections": 1, **options}
        result = run(Options(url=url, **given), handle_signals=False)
        own = result["LoadTest"]
        assert sum(result["RetCodes"].values()) == own["requests"] == result["DurationHistogram"]["Count"]
        assert sum(own["classes"].values()) == own["failed"] == result["ErrorsDurationHistogram"]["Count"]
        assert own["ok"] + own["failed"] == own["requests"]
        assert sum(row["requests"] for row in own["connection_modes"].values()) == own["requests"]
        assert sum(row["failed"] for row in own["connection_modes"].values()) == own["failed"]
        for name, row in own["connection_modes"].items():
            assert (row["longest_success_gap"] is None) == (row["requests"] == 0)
            windows = [window for window in own["outages"] if window["connection_mode"] == name]
            assert sum(window["failed"] for window in windows) == row["failed"]
        assert sum(row["requests"] for row in own["revisions"].values()) == own["requests"]
        times = own["response_time_by_revision"]
        assert {name: one["Count"] for name, one in times.items()} == {
            name: row["requests"] for name, row in own["revisions"].items()
        }
        assert sum(row["ok"] + row["failed"] for row in own["timeline"]) == own["requests"]
        assert sum(row["sent"] for row in own["timeline"]) == own["requests"]
        assert len(own["ledger"]) + own["ledger_dropped"] == own["failed"]
        assert list(artefacts.CHECKS["load.json"](json.dumps(result))) == []
        return result

    return make
