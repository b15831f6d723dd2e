# SPDX-License-Identifier: GPL-3.0-or-later
"""Against grpcio's own server: unary and streams, TLS, deadlines, long messages, and servers that take
turns.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.tests.component.load.test_exchange_tls import Pki
from ansible_collections.iter8.kfserving.tests.component.load.test_grpc import PAYLOAD
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages
from ansible_collections.iter8.kfserving.tests.support.grpc_service import Service
from ansible_collections.iter8.kfserving.tests.support.waiting import until

SECOND = 1_000_000_000


@pytest.fixture
def service() -> Iterator[Callable[..., Service]]:
    """Start servers; all are ended with the test."""
    made: list[Service] = []

    def start(**given: Any) -> Service:
        made.append(Service(**given))
        return made[-1]

    yield start
    for one in made:
        one.stop().wait()


def url(service: Service, model: str = "m", scheme: str = "grpc") -> str:
    return f"{scheme}://127.0.0.1:{service.port}/v2/models/{model}"


@pytest.mark.parametrize("connection_modes", ["keep-alive", "new", "both"])
@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
@pytest.mark.parametrize("rate", [0, 100])
def test_right_answers(service: Any, load: Any, method: str, connection_modes: str, rate: float) -> None:
    server = service()
    own = load(
        url(server),
        payloads=[PAYLOAD],
        calls=20,
        rate=rate,
        connections=2,
        streams=4,
        grpc_method=method,
        connection_modes=connection_modes,
        revision_header="x-revision",
    )["LoadTest"]
    assert (own["ledger"], own["requests"]) == ([], 20)
    assert server.requests == 20 * (3 if method == "ModelStreamInfer" else 1)
    assert own["revisions"] == {"r1": {"requests": 20, "failed": 0}}


def test_closed_loop_and_warm_up(service: Any, load: Any) -> None:
    server = service()
    own = load(url(server), payloads=[PAYLOAD], calls=20, rate=200, pacing="closed", warmup=3, streams=2)[
        "LoadTest"
    ]
    assert (own["failed"], own["requests"], server.requests) == (0, 20, 23)


def test_a_status_is_a_loss(service: Any, load: Any) -> None:
    own = load(url(service(), "unavailable"), payloads=[PAYLOAD], calls=4, revision_header="x-revision")[
        "LoadTest"
    ]
    assert own["classes"] == {"grpc_status": 4}
    assert {(row["status"], row["grpc_status"]) for row in own["ledger"]} == {(200, 14)}
    assert own["revisions"] == {"r1": {"requests": 4, "failed": 4}}
    plain = f"grpc://127.0.0.1:{service().port}"
    own = load(plain, payloads=[PAYLOAD], calls=2, grpc_method="test.Nobody/Knows", grpc_stream=True)
    assert own["LoadTest"]["classes"] == {"grpc_status": 2}


def test_the_server_knows_the_time_that_is_left(service: Any, load: Any) -> None:
    server = service()
    load(url(server), payloads=[PAYLOAD], calls=3, timeout=2 * SECOND)
    assert all(1 < left <= 2 for left in server.remaining)


@pytest.mark.parametrize("model", ["slow"])
def test_a_deadline_ends_what_takes_longer(service: Any, load: Any, model: str) -> None:
    own = load(url(service(), model), payloads=[PAYLOAD], calls=4, rate=50, timeout=SECOND // 25)["LoadTest"]
    assert own["failed"] == 4
    assert set(own["classes"]) <= {"timeout", "grpc_status", "rst_stream"}


def test_long_messages_both_ways(service: Any, load: Any) -> None:
    """Beyond every window, several at once."""
    text = "x" * (2 << 20)
    payload = (
        f'{{"inputs": [{{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["{text}"]}}]}}'.encode()
    )
    server = service()
    result = load(url(server, "long"), payloads=[payload], calls=8, streams=4, timeout=30 * SECOND)
    assert (result["LoadTest"]["failed"], server.requests) == (0, 8)
    assert result["Sizes"]["Sum"] > 8 * (3 << 20)


def test_another_service_and_a_serialised_message(service: Any, load: Any, tmp_path: Path) -> None:
    server = service()
    plain = f"grpc://127.0.0.1:{server.port}"
    own = load(plain, payloads=[b"\x08\x01", b""], calls=4, grpc_method="test.Echo/Echo")["LoadTest"]
    assert own["failed"] == 0
    own = load(plain, payloads=[b"abc"], calls=2, grpc_method="test.Echo/Twice", expect_body="bc")["LoadTest"]
    assert own["classes"] == {"malformed": 2}  # two messages where one was to come
    own = load(
        plain, payloads=[b"abc"], calls=2, grpc_method="/test.Echo/Twice", expect_body="bc", grpc_stream=True
    )["LoadTest"]
    assert own["failed"] == 0
    asked = messages.ModelInferRequest(model_name="m", id="my-id")
    asked.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
    assert load(plain, payloads=[asked.SerializeToString()], calls=2)["LoadTest"]["failed"] == 0


def test_tls(service: Any, load: Any, tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pem = Path(pki.server).read_bytes()
    trusted = Path(pki.ca).read_bytes()
    credentials = grpc.ssl_server_credentials([(pem, pem)], trusted, require_client_auth=True)
    server = service(credentials=credentials)
    given = {"payloads": [PAYLOAD], "calls": 6, "connection_modes": "both", "ca_file": pki.ca}
    own = load(url(server, scheme="grpcs"), client_cert=pki.client, **given)["LoadTest"]
    assert (own["failed"], server.requests) == (0, 6)
    own = load(url(server, scheme="grpcs"), **given)["LoadTest"]  # without the client's certificate
    assert (own["ok"], server.requests) == (0, 6)
    assert set(own["classes"]) <= {"tls", "reset"}
    own = load(url(server), **{**given, "ca_file": ""})["LoadTest"]  # without TLS
    assert (own["ok"], server.requests) == (0, 6)


def test_servers_that_take_turns_lose_nothing(service: Any, load: Any) -> None:
    """Each is replaced while calls are in flight, as a Deployment does it: the new one listens, the old one
    says GOAWAY and ends when its calls have."""
    first = service()
    servers = [first]
    done = threading.Event()

    def replace() -> None:
        for _turn in range(3):
            until(lambda: servers[-1].requests >= 30, 30, "calls to the newest")
            servers.append(service(port=first.port, revision=f"r{len(servers) + 1}"))
            servers[-2].stop(5)
        done.set()

    threading.Thread(target=replace).start()
    given = {"payloads": [PAYLOAD], "rate": 200, "calls": 600, "connections": 3}
    result = load(url(first, "slow"), revision_field="model_version", **given)
    assert done.wait(10)
    own = result["LoadTest"]
    # What grpcio itself loses: a call that comes while it stops is answered CANCELLED, and a connection that
    # the kernel had taken for the old one's socket, and that it never accepted, is reset.
    assert [row for row in own["ledger"] if row["class"] != "reset" and row["grpc_status"] != 1] == []
    assert {name for name, row in own["revisions"].items() if row["requests"] > row["failed"]} >= {"r1", "r4"}
    assert sum(one.requests for one in servers) >= own["ok"]
    assert own["reconnects"].get("goaway", 0) >= 3


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no payload": ({"payloads": []}, "needs a payload"),
    "V1": ({"payloads": [b'{"instances": [1]}']}, "'instances'"),
    "neither": ({"payloads": [b"hello"]}, "neither a JSON object nor a serialised"),
    "half a message": ({"payloads": [b"\x0a\x05m"]}, "neither a JSON object nor a serialised"),
    "a path": ({"url": "/v1/models/m:predict"}, "/v2/models/NAME"),
    "a path for another service": ({"grpc_method": "a.B/C"}, "must be /v2/models/NAME"),
    "a method": ({"grpc_method": "Predict"}, "package.Service/Method"),
    "HTTP's method": ({"method": "PUT"}, "leave out method"),
    "a status": ({"expect_status": [200]}, "leave out method and expect_status"),
    "a content type": ({"headers": [("Content-Type", "x/y")]}, "set by the engine in gRPC"),
    "a field of gRPC's": ({"headers": [("grpc-timeout", "1S")]}, "set by the engine in gRPC"),
    "no streams": ({"streams": 0}, "streams"),
    "no model": ({"url": ""}, "names the model"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_told_before_anything_is_sent(service: Any, load: Any, what: str) -> None:
    server = service()
    change, words = BAD[what]
    given = {"payloads": [PAYLOAD], "calls": 1, **change}
    path = given.pop("url", "/v2/models/m")
    with pytest.raises(LoadError, match=words):
        load(f"grpc://127.0.0.1:{server.port}{path}", **given)
    assert server.requests == 0


def test_what_is_of_grpc_alone_needs_its_scheme(load: Any) -> None:
    with pytest.raises(LoadError, match="begins with grpc://"):
        load("http://127.0.0.1:1/", grpc_method="a.B/C")


def test_a_merged_result_adds_up(service: Any, load: Any) -> None:
    from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.merge import merge

    one = functools.partial(load, payloads=[PAYLOAD], calls=5)
    both = merge([one(url(service())), one(url(service(), "unavailable"))])
    assert (both["LoadTest"]["requests"], both["LoadTest"]["classes"]) == (10, {"grpc_status": 5})
    assert (both["LoadTest"]["resent"], both["H2"]) == ({}, True)
