# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import commands, config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.admin import (
    Admin,
    GatewayState,
    parse_stats,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.config import GatewayFiles

STATS = """cluster.default/r1.upstream_rq_active: 3
cluster.default/r2.upstream_rq_active: 0
cluster_manager.cds.update_rejected: 1
cluster_manager.cds.version_text: "c1"
cluster_manager.warming_clusters: 2
http.gateway.downstream_cx_active: 4
http.gateway.downstream_rq_total: 9
http.gateway.rds.gateway.update_rejected: 2
http.gateway.rds.gateway.version_text: "r1"
"""
STATE = GatewayState("c1", "r1", 2, {"default/r1": 3, "default/r2": 0}, 4, 9, 3)


def test_prepare_writes_a_bootstrap_and_empty_routes(tmp_path: Path) -> None:
    env = {"POD_IP": "127.9.0.3", "HOME": str(tmp_path / "pod"), "VOLUME_GATEWAY": str(tmp_path / "shared")}
    (tmp_path / "pod").mkdir()
    start = commands.prepare(env)
    document = json.loads(start.read_text())
    assert document["admin"]["address"]["socket_address"]["address"] == "127.9.0.3"
    files = GatewayFiles(tmp_path / "shared")
    assert config.hosts_of(files.read(config.RDS_FILE)) == {}
    command = commands.argv(start)
    assert command[0] == "envoy"
    assert str(start) in command


def test_routes_that_are_there_are_kept_and_no_draft_is_left(tmp_path: Path) -> None:
    files = GatewayFiles(tmp_path)
    files.create_if_missing()
    routes = config.rds_document({"h": {"ns/r": 100}})
    files.write(config.RDS_FILE, routes)
    files.create_if_missing()
    assert files.read(config.RDS_FILE) == routes
    assert sorted(path.name for path in files.folder.iterdir()) == ["cds.json", "rds.json"]


def test_write_is_a_rename_so_that_no_half_file_is_seen(tmp_path: Path) -> None:
    files = GatewayFiles(tmp_path)
    files.create_if_missing()
    before = (files.folder / config.CDS_FILE).stat().st_ino
    files.write(config.CDS_FILE, config.cds_document({"ns/r": []}))
    assert (files.folder / config.CDS_FILE).stat().st_ino != before


def test_stats_are_read() -> None:
    assert parse_stats(STATS) == STATE
    assert parse_stats("") == GatewayState("", "", 0, {}, 0, 0, 0)


class FakeAdmin(http.server.BaseHTTPRequestHandler):
    seen: list[str] = []

    def do_GET(self) -> None:
        self.seen.append(f"{self.command} {self.path.split('?')[0]}")
        body = STATS.encode() if self.path.startswith("/stats?") else b"OK"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_unused: Any) -> None:
        pass


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    # A proxy of the environment must not be asked for a loopback address.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    FakeAdmin.seen = []
    server = http.server.HTTPServer(("127.0.0.1", 0), FakeAdmin)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Admin("127.0.0.1", server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def test_admin_asks_envoy(admin: Admin) -> None:
    assert admin.state() == STATE
    admin.start_drain()
    assert FakeAdmin.seen == ["GET /stats", "POST /healthcheck/fail", "POST /drain_listeners"]


def test_admin_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="refused"):
        Admin("127.0.0.1", 1).state()


class Draining:
    """An Envoy whose clients send until some time, on short-lived connections."""

    def __init__(self, busy_until: float, connections: int) -> None:
        self.now = 0.0
        self.busy_until, self.connections, self.started = busy_until, connections, False

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def start_drain(self) -> None:
        self.started = True

    def state(self) -> GatewayState:
        assert self.started
        requests = int(min(self.now, self.busy_until) * 20)
        return dataclasses.replace(
            STATE, downstream_connections=self.connections, downstream_requests=requests
        )


@pytest.mark.parametrize(
    ("busy_until", "connections", "seconds"),
    [
        pytest.param(0.0, 0, commands.QUIET_SECONDS, id="nobody"),
        pytest.param(2.0, 0, 2.0 + commands.QUIET_SECONDS, id="requests-for-a-while"),
        pytest.param(100.0, 0, commands.DRAIN_SECONDS, id="requests-without-end"),
        pytest.param(0.0, 1, commands.DRAIN_SECONDS, id="one-idle-connection"),
    ],
)
def test_drain_ends_when_it_is_quiet_or_with_the_time(
    busy_until: float, connections: int, seconds: float
) -> None:
    proxy = Draining(busy_until, connections)
    commands.drain(proxy, clock=proxy.clock, sleep=proxy.sleep)  # type: ignore[arg-type]
    assert proxy.now == pytest.approx(seconds, abs=0.21)


def test_unknown_command_says_its_usage() -> None:
    with pytest.raises(SystemExit, match="usage: gateway run|drain"):
        commands.main(["walk"])
