# SPDX-License-Identifier: GPL-3.0-or-later
"""Through a real Envoy, which is what a gateway is: its GOAWAYs, and what it answers where it has nobody to
ask.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.tests.component.load.test_grpc import PAYLOAD
from ansible_collections.iter8.kfserving.tests.support.grpc_service import Service
from ansible_collections.iter8.kfserving.tests.support.ports import free_port, refusing_port
from ansible_collections.iter8.kfserving.tests.support.waiting import until

ENVOY = Path(sys.executable).parent / "envoy"


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def configuration(port: int, upstream: int, **http: Any) -> dict[str, Any]:
    """An Envoy that passes every call to one server over HTTP/2."""
    typed = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{typed}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{typed}.filters.http.router.v3.Router"},
            }
        ],
        **http,
    }
    name = "envoy.filters.network.http_connection_manager"
    http2 = {"explicit_http_config": {"http2_protocol_options": {}}}
    options = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{typed}.upstreams.http.v3.HttpProtocolOptions",
            **http2,
        }
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}] if upstream else []
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": address(port),
                    "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "model",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": options,
                    "load_assignment": {"cluster_name": "model", "endpoints": endpoints},
                }
            ],
        }
    }


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start Envoys before an upstream's port (0: nobody); yields the URL to call."""
    if not ENVOY.exists():
        pytest.skip("there is no Envoy beside this Python")
    running: list[subprocess.Popen[bytes]] = []

    def start(upstream: int, **http: Any) -> str:
        port = free_port()
        file = tmp_path / f"{port}.json"
        file.write_text(json.dumps(configuration(port, upstream, **http)))
        running.append(
            subprocess.Popen(
                [str(ENVOY), "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"],
                stderr=subprocess.DEVNULL,
            )
        )

        def listens() -> bool:
            assert running[-1].poll() is None
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True

        until(listens, 30, "Envoy to listen", ignoring=(OSError,))
        return f"grpc://127.0.0.1:{port}/v2/models/m"

    yield start
    for process in running:
        process.terminate()
        process.wait(20)


@pytest.fixture
def model() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop().wait()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_right_answers_through_envoy(envoy: Any, load: Any, model: Service, method: str) -> None:
    given = {
        "payloads": [PAYLOAD],
        "calls": 40,
        "rate": 200,
        "connection_modes": "both",
        "grpc_method": method,
    }
    own = load(envoy(model.port), **given)["LoadTest"]
    assert (own["ledger"], own["requests"]) == ([], 40)


def test_the_graceful_goaways_of_envoy_lose_nothing(envoy: Any, load: Any, model: Service) -> None:
    """It ends each connection after ten requests, first telling that it is about to, while calls are in
    flight.
    """
    url = envoy(
        model.port, common_http_protocol_options={"max_requests_per_connection": 10}, drain_timeout="0.5s"
    )
    result = load(
        url.replace("/models/m", "/models/slow"), payloads=[PAYLOAD], calls=200, rate=200, connections=2
    )
    own = result["LoadTest"]
    assert (own["ledger"], own["requests"]) == ([], 200)
    assert own["reconnects"]["goaway"] >= 3  # fewer than 20, since calls that come at once share what is left
    assert model.requests == 200


def test_what_envoy_answers_without_an_upstream_is_a_loss(envoy: Any, load: Any) -> None:
    with refusing_port() as refusing:
        for upstream in (0, refusing):
            own = load(envoy(upstream), payloads=[PAYLOAD], calls=5, rate=100)["LoadTest"]
            assert own["classes"] == {"grpc_status": 5}
            assert {(row["status"], row["grpc_status"]) for row in own["ledger"]} == {(200, 14)}


def test_a_server_that_ends_behind_envoy(envoy: Any, load: Any, model: Service) -> None:
    """Envoy answers for it: 14 for what was in flight or came later, and its own connections stay."""
    url = envoy(model.port)

    def stop() -> None:
        until(lambda: model.requests >= 20, 30, "calls that are answered")
        model.stop(0)

    stopping = threading.Thread(target=stop)
    stopping.start()
    result = load(
        url.replace("/models/m", "/models/slow"), payloads=[PAYLOAD], calls=100, rate=100, connections=2
    )
    stopping.join()
    own = result["LoadTest"]
    assert own["ok"] > 0
    assert set(own["classes"]) == {"grpc_status"}
    assert {row["grpc_status"] for row in own["ledger"]} <= {1, 14}
    assert own["reconnects"] == {}
