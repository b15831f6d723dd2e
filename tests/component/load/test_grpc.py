# SPDX-License-Identifier: GPL-3.0-or-later
"""A gRPC server that misbehaves in every way: each call is judged as the server's own record says."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.tests.component.load import grpc_server as raw
from ansible_collections.iter8.kfserving.tests.component.load.grpc_server import (
    Call,
    GrpcServer,
    frame,
    prefixed,
)
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages

PAYLOAD = b'{"id": "{uuid}", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'


@pytest.fixture
def grpc() -> Iterator[Callable[..., GrpcServer]]:
    """Start servers; all are ended with the test."""
    servers: list[GrpcServer] = []

    def start(behaviour: raw.Behaviour, **more: Any) -> GrpcServer:
        servers.append(GrpcServer(behaviour, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def judged(server: GrpcServer, result: dict[str, Any]) -> dict[str, Any]:
    """Hold the load's ledger against the server's record, call by call."""
    server.settle()
    own = result["LoadTest"]
    ledger = {row["request_id"]: row["class"] for row in own["ledger"]}
    wrong = {ident: did for ident, did in server.record.items() if did}
    assert {ident: kind for ident, kind in ledger.items() if ident in server.record} == wrong
    return own


def answer(*steps: Callable[[Call], Any], did: str) -> raw.Behaviour:
    def behave(call: Call) -> str:
        call.peer.server.note(call, did)  # the client may hang up as soon as it knows
        for step in steps:
            step(call)
        return did

    return behave


def head(*fields: tuple[str, str], status: str = "200", ended: bool = False) -> Callable[[Call], Any]:
    given = [(":status", status), *(fields or (("content-type", "application/grpc"),))]
    return lambda call: call.headers(given, raw.END_STREAM if ended else 0)


def message(call: Call) -> None:
    call.data(prefixed(call.message()))


def end(*fields: tuple[str, str]) -> Callable[[Call], Any]:
    return lambda call: call.trailers(list(fields) or raw.OK)


def say(make: Callable[[Call], bytes], flags: int = 0) -> Callable[[Call], Any]:
    return lambda call: call.data(make(call), flags)


def send(make: Callable[[Call], bytes]) -> Callable[[Call], Any]:
    return lambda call: call.peer.send(make(call))


def close(call: Call) -> None:
    """Once the call is noted, hang up."""
    raw.later(call.peer, 0.05, lambda: call.peer.sock.shutdown(2))


def hang_up(call: Call) -> None:
    """At once, so that the client has the end with the answer, long before its next call is due."""
    call.peer.sock.shutdown(socket.SHUT_WR)


def in_pieces(call: Call) -> None:
    for byte in prefixed(call.message()):
        call.data(bytes([byte]))


def padded(call: Call) -> None:
    data = prefixed(call.message())
    call.data(bytes([9]) + data + bytes(9), raw.PADDED)


def ping(call: Call, times: int = 1) -> None:
    call.peer.send(frame(raw.PING, 0, 0, b"12345678") * times)


def huge(call: Call) -> None:
    """A message of 17 MiB, which is more than is read, though it is right."""
    data = prefixed(bytes(17 << 20))
    for at in range(0, len(data), 16384):
        call.data(data[at : at + 16384])


def raw_field(name: bytes, value: bytes) -> bytes:
    """A field as HPACK has it without any indexing: names and values are sent as they are."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def fields_of(*fields: tuple[bytes, bytes]) -> Callable[[Call], Any]:
    block = b"".join(raw_field(name, value) for name, value in fields)
    return send(lambda call: frame(raw.HEADERS, raw.END_HEADERS, call.stream, block))


def in_continuations(call: Call) -> None:
    block = raw_field(b":status", b"200") + raw_field(b"content-type", b"application/grpc")
    call.peer.send(
        frame(raw.HEADERS, 0, call.stream, block[:5])
        + frame(raw.CONTINUATION, 0, call.stream, block[5:20])
        + frame(raw.CONTINUATION, raw.END_HEADERS, call.stream, block[20:])
    )


def without_end(call: Call) -> None:
    call.peer.send(frame(raw.HEADERS, 0, call.stream, b""))
    for _piece in range(3000):
        call.peer.send(frame(raw.CONTINUATION, 0, call.stream, raw_field(b"x", b"y" * 100) * 40))


def twice(call: Call) -> None:
    message(call)
    message(call)


def output(**changes: Any) -> Callable[[Call], bytes]:
    """The right answer but for its output."""

    def make(call: Call) -> bytes:
        made = messages.ModelInferResponse.FromString(call.message())
        for name, value in changes.items():
            if name == "shape":
                made.outputs[0].shape[:] = value
            elif name == "none":
                del made.outputs[:]
            else:
                setattr(made.outputs[0], name, value)
        return prefixed(made.SerializeToString())

    return make


def settings(number: int, value: int) -> Callable[[Call], Any]:
    return send(lambda _call: frame(raw.SETTINGS, 0, 0, struct.pack(">HI", number, value)))


OF_ENVOY = (
    ("content-type", "application/grpc"),
    ("grpc-status", "14"),
    ("grpc-message", "no healthy upstream"),
)
HTML = ("content-type", "text/html")

RIGHT = {
    "plain": answer(lambda call: call.ok(), did=""),
    "a byte at a time": answer(head(), in_pieces, end(), did=""),
    "no model named": answer(head(), say(lambda call: prefixed(call.message(model_name=""))), end(), did=""),
    "headers in pieces": answer(in_continuations, message, end(), did=""),
    "padded": answer(head(), padded, end(), did=""),
    "content type with the message's": answer(
        head(("content-type", "application/grpc+proto")), message, end(), did=""
    ),
    "early hints": answer(head(("link", "x"), status="103"), head(), message, end(), did=""),
    "reset after the whole answer": answer(
        lambda call: call.ok(), lambda call: call.reset(raw.NO_ERROR), did=""
    ),
    "pings": answer(ping, head(), ping, message, ping, end(), did=""),
    "many pings": answer(lambda call: ping(call, 4000), lambda call: call.ok(), did=""),
    "a frame that nobody knows": answer(
        send(lambda call: frame(0xB0, 0, call.stream, b"x")), lambda call: call.ok(), did=""
    ),
    "empty frames": answer(head(), say(lambda _call: b""), message, say(lambda _call: b""), end(), did=""),
    "settings anew": answer(
        settings(raw.INITIAL_WINDOW_SIZE, 100_000),
        lambda call: call.ok(),
        did="",
    ),
    "no room, then some": answer(
        settings(raw.MAX_CONCURRENT_STREAMS, 0),
        settings(raw.INITIAL_WINDOW_SIZE, 0),
        lambda call: call.ok(),
        settings(raw.INITIAL_WINDOW_SIZE, 65535),
        settings(raw.MAX_CONCURRENT_STREAMS, 9),
        did="",
    ),
    "no table for fields": answer(settings(raw.HEADER_TABLE_SIZE, 0), lambda call: call.ok(), did=""),
    "an alternative that cannot be read": answer(
        send(lambda _call: frame(0xA, 0, 0, b"\xff")), lambda call: call.ok(), did=""
    ),
    "a coding named and not used": answer(
        head(("content-type", "application/grpc"), ("grpc-encoding", "gzip")),
        message,
        end(("grpc-status", "0"), ("grpc-message", "a%20b%zz"), ("grpc-status-details-bin", "!")),
        did="",
    ),
    "refused after the whole answer": answer(
        lambda call: call.ok(), lambda call: call.reset(raw.REFUSED_STREAM), did=""
    ),
    "closed after each answer": answer(lambda call: call.ok(), hang_up, did=""),
    "a graceful GOAWAY, then the answer, then the end": answer(
        lambda call: call.peer.goaway(call.stream), lambda call: call.ok(), hang_up, did=""
    ),
    "a GOAWAY in two steps": answer(
        lambda call: call.peer.goaway(2**31 - 1),
        head(),
        lambda call: call.peer.goaway(call.stream),
        message,
        end(),
        did="",
    ),
}

WRONG = {
    "no trailers": answer(
        head(), say(lambda call: prefixed(call.message()), raw.END_STREAM), did="truncated"
    ),
    "no trailers, closed": answer(head(), message, close, did="truncated"),
    "trailers without a status": answer(head(), message, end(("x", "y")), did="truncated"),
    "headers alone": answer(head(ended=True), did="truncated"),
    "14 in the trailers": answer(head(), message, end(("grpc-status", "14")), did="grpc_status"),
    "13 before a message": answer(head(), end(("grpc-status", "13")), did="grpc_status"),
    "14 in a 200, as Envoy makes it": answer(head(*OF_ENVOY, ended=True), did="grpc_status"),
    "a status of 99": answer(head(), message, end(("grpc-status", "99")), did="grpc_status"),
    "a status that is no number": answer(head(), message, end(("grpc-status", "OK")), did="malformed"),
    "two statuses": answer(
        head(), message, end(("grpc-status", "0"), ("grpc-status", "14")), did="malformed"
    ),
    "headers that never end": answer(without_end, did="malformed"),
    "a status below zero": answer(head(), message, end(("grpc-status", "-1")), did="malformed"),
    "OK without a message": answer(head(), end(), did="malformed"),
    "OK in headers alone": answer(
        head(("content-type", "application/grpc"), ("grpc-status", "0"), ended=True), did="malformed"
    ),
    "two messages": answer(head(), twice, end(), did="malformed"),
    "half a message": answer(head(), say(lambda call: prefixed(call.message())[:-7]), end(), did="truncated"),
    "half a prefix": answer(head(), say(lambda _call: b"\0\0\0"), end(), did="truncated"),
    "a length beyond all": answer(
        head(), say(lambda call: b"\0\xff\xff\xff\xff" + call.message()), end(), did="truncated"
    ),
    "a byte too many": answer(
        head(), say(lambda call: prefixed(call.message()) + b"x"), end(), did="truncated"
    ),
    "compressed": answer(head(), say(lambda call: prefixed(call.message(), 1)), end(), did="malformed"),
    "a flag that there is not": answer(
        head(), say(lambda call: prefixed(call.message(), 7)), end(), did="malformed"
    ),
    "JSON": answer(head(("content-type", "application/json")), message, end(), did="malformed"),
    "a type that begins alike": answer(
        head(("content-type", "application/grpc-web")), message, end(), did="malformed"
    ),
    "no type": answer(head(("x", "y")), message, end(), did="malformed"),
    "503 with a page": answer(
        head(HTML, status="503"), say(lambda _call: b"<html>", raw.END_STREAM), did="status"
    ),
    "503 with nothing": answer(head(HTML, status="503", ended=True), did="status"),
    "404 with a status of gRPC": answer(head(*OF_ENVOY, status="404", ended=True), did="status"),
    "200 with a page": answer(head(HTML), say(lambda _call: b"<html>", raw.END_STREAM), did="malformed"),
    "cancelled": answer(lambda call: call.reset(raw.CANCEL), did="rst_stream"),
    "internal error": answer(lambda call: call.reset(raw.INTERNAL_ERROR), did="rst_stream"),
    "no error, and no answer": answer(lambda call: call.reset(raw.NO_ERROR), did="rst_stream"),
    "reset amid the answer": answer(
        head(), message, lambda call: call.reset(raw.INTERNAL_ERROR), did="rst_stream"
    ),
    "a code that nobody knows": answer(lambda call: call.reset(0xABCD), did="rst_stream"),
    "refused after headers": answer(head(), lambda call: call.reset(raw.REFUSED_STREAM), did="rst_stream"),
    "refused each time": answer(lambda call: call.reset(raw.REFUSED_STREAM), did="rst_stream"),
    "GOAWAY and the end": answer(
        lambda call: call.peer.goaway(call.stream, raw.ENHANCE_YOUR_CALM), close, did="goaway"
    ),
    "GOAWAY before the stream each time": answer(lambda call: call.peer.goaway(0), did="goaway"),
    "GOAWAY amid the answer": answer(
        head(), message, lambda call: call.peer.goaway(call.stream, raw.PROTOCOL_ERROR), close, did="goaway"
    ),
    "a GOAWAY cut short": answer(send(lambda _call: frame(raw.GOAWAY, 0, 0, b"1234")), did="malformed"),
    "closed amid a message": answer(
        head(), say(lambda call: prefixed(call.message())[:9]), close, did="truncated"
    ),
    "closed": answer(close, did="reset"),
    "an upper-case name": answer(
        fields_of((b":status", b"200"), (b"Content-Type", b"application/grpc")),
        message,
        end(),
        did="malformed",
    ),
    "no HTTP status": answer(
        fields_of((b"content-type", b"application/grpc")), message, end(), did="malformed"
    ),
    "white space before a value": answer(
        head(("content-type", "application/grpc"), ("x", " a")), message, end(), did="malformed"
    ),
    "white space after a trailer": answer(
        head(), message, end(("grpc-status", "0"), ("x", "a ")), did="malformed"
    ),
    "early hints with a field of HTTP/1's": answer(
        head(("connection", "close"), status="103"), head(), message, end(), did="malformed"
    ),
    "another protocol's beginning": answer(
        head(("upgrade-insecure", "1"), status="101"), head(), message, end(), did="malformed"
    ),
    "an early status of letters": answer(
        head(("link", "x"), status="1ab"), head(), message, end(), did="malformed"
    ),
    "OK in headers, 14 in trailers": answer(
        head(("content-type", "application/grpc"), ("grpc-status", "0")),
        end(("grpc-status", "14")),
        did="grpc_status",
    ),
    "a content length of a status alone": answer(
        head(*OF_ENVOY, ("content-length", "5"), ended=True), did="malformed"
    ),
    "headers on another stream": answer(
        lambda call: call.peer.send_headers(2, raw.RESPONSE), lambda call: call.ok(), did="malformed"
    ),
    "push switched on": answer(settings(raw.ENABLE_PUSH, 1), lambda call: call.ok(), did="malformed"),
    "GOAWAY amid headers": answer(
        send(lambda call: frame(raw.HEADERS, 0, call.stream, b"")),
        lambda call: call.peer.goaway(call.stream),
        send(
            lambda call: frame(raw.CONTINUATION, raw.END_HEADERS, call.stream, raw_field(b":status", b"200"))
        ),
        did="malformed",
    ),
    "GOAWAY before the stream, amid the answer": answer(
        head(), lambda call: call.peer.goaway(0), message, end(), did="goaway"
    ),
    "a status of letters": answer(fields_of((b":status", b"OK!")), message, end(), did="malformed"),
    "a line feed in a value": answer(
        fields_of((b":status", b"200"), (b"x", b"a\nb")), message, end(), did="malformed"
    ),
    "a field of HTTP/1's": answer(
        head(("connection", "close"), ("content-type", "application/grpc")), message, end(), did="malformed"
    ),
    "a status in the trailers": answer(
        head(), message, end((":status", "200"), ("grpc-status", "0")), did="malformed"
    ),
    "fields that cannot be decompressed": answer(
        send(lambda call: frame(raw.HEADERS, raw.END_HEADERS, call.stream, b"\xff\xff\xff\xff\x7f")),
        did="malformed",
    ),
    "a message before the headers": answer(message, did="malformed"),
    "a frame beyond all": answer(
        head(), send(lambda call: frame(raw.DATA, 0, call.stream, bytes(16385))), did="malformed"
    ),
    "a push": answer(
        send(
            lambda call: frame(
                raw.PUSH_PROMISE,
                raw.END_HEADERS,
                call.stream,
                struct.pack(">I", 2) + raw_field(b":path", b"/"),
            )
        ),
        did="malformed",
    ),
    "another frame amid headers": answer(
        send(lambda call: frame(raw.HEADERS, 0, call.stream, b"") + frame(raw.PING, 0, 0, bytes(8))),
        did="malformed",
    ),
    "a content length that is too long": answer(
        head(("content-type", "application/grpc"), ("content-length", "9999")),
        message,
        end(),
        did="malformed",
    ),
    "windows that overflow": answer(
        send(lambda call: frame(raw.WINDOW_UPDATE, 0, call.stream, struct.pack(">I", 2**31 - 1))),
        did="malformed",
    ),
    "another id": answer(
        head(), say(lambda call: prefixed(call.message(id="other"))), end(), did="validation"
    ),
    "another model": answer(
        head(), say(lambda call: prefixed(call.message(model_name="other"))), end(), did="validation"
    ),
    "no outputs": answer(head(), say(output(none=True)), end(), did="validation"),
    "an empty message": answer(head(), say(lambda _call: prefixed(b"")), end(), did="validation"),
    "a shape of more": answer(head(), say(output(shape=[1, 3])), end(), did="validation"),
    "a datatype of another kind": answer(head(), say(output(datatype="INT64")), end(), did="validation"),
    "no message of protobuf": answer(
        head(), say(lambda _call: prefixed(b"\xff" * 9)), end(), did="malformed"
    ),
    "a message beyond what is read": answer(head(), huge, end(), did="client"),
    "too many early hints": answer(
        *[head(("link", "x"), status="103")] * 4, head(), message, end(), did="client"
    ),
}


@pytest.mark.parametrize("connection_modes", ["keep-alive", "new", "both"])
@pytest.mark.parametrize("how", RIGHT)
def test_right_answers(grpc: Any, load: Any, how: str, connection_modes: str) -> None:
    server = grpc(RIGHT[how])
    rate = 4 if "closed" in how else 0  # the end of a connection must not meet a call on its way
    result = load(
        server.url, payloads=[PAYLOAD], calls=6, connection_modes=connection_modes, streams=1, rate=rate
    )
    own = judged(server, result)
    assert own["ledger"] == []
    assert own["requests"] == len(server.calls) == 6
    assert own["resent"] == {}
    if how == "many pings" and connection_modes == "keep-alive":
        # Of the last call's, some may not be sent when its answer ends the load.
        assert 5 * 4000 <= server.pongs <= 6 * 4000


@pytest.mark.parametrize("connection_modes", ["keep-alive", "new"])
@pytest.mark.parametrize("how", WRONG)
def test_wrong_answers(grpc: Any, load: Any, how: str, connection_modes: str) -> None:
    server = grpc(WRONG[how])
    result = load(
        server.url,
        payloads=[PAYLOAD],
        calls=3,
        connection_modes=connection_modes,
        streams=1,
        max_interim=3,
    )
    own = judged(server, result)
    assert sum(own["classes"].values()) == own["requests"] == 3
    again = how in ("refused each time", "GOAWAY before the stream each time")
    assert own["resent"] == ({own["ledger"][0]["class"]: 9} if again else {})
    assert len(server.calls) == (12 if again else 3)
    for row in own["ledger"]:
        assert row["detail"]
        assert row["intended"] <= row["sent"] <= row["end"]
        assert row["peer"] == f"127.0.0.1:{server.port}"
        if row["class"] == "grpc_status":
            assert row["grpc_status"] in (13, 14, 99)
            assert str(row["grpc_status"]) in row["detail"]
        elif row["class"] == "status":
            assert row["status"] in (404, 503)


def test_what_the_classes_say_is_what_was_missing(grpc: Any, load: Any) -> None:
    """One of each, and the words that a person reads."""
    words = {
        "no trailers": "without trailers",
        "14 in a 200, as Envoy makes it": "14 UNAVAILABLE",
        "404 with a status of gRPC": "404 was not expected, with grpc-status 14 UNAVAILABLE",
        "internal error": "RST_STREAM, INTERNAL_ERROR",
        "GOAWAY and the end": "GOAWAY (ENHANCE_YOUR_CALM)",
        "two messages": "2 messages",
        "compressed": "compressed",
        "a shape of more": "3 elements, and there are 2",
    }
    for how, wanted in words.items():
        server = grpc(WRONG[how])
        own = load(server.url, payloads=[PAYLOAD], calls=1)["LoadTest"]
        assert wanted in own["ledger"][0]["detail"], how
