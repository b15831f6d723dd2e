# SPDX-License-Identifier: GPL-3.0-or-later
"""Many calls on one connection: what a GOAWAY, a reset or a bad neighbour means for each of them."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections import Counter
from typing import Any, Callable, cast

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import streams, wire
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.tests.component.load import grpc_server as raw
from ansible_collections.iter8.kfserving.tests.component.load.grpc_server import (
    Call,
    frame,
    prefixed,
)
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock
from ansible_collections.iter8.kfserving.tests.component.load.test_exchange_tls import Pki
from ansible_collections.iter8.kfserving.tests.component.load.test_grpc import PAYLOAD, grpc, judged
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages

__all__ = ["grpc"]
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


class Together:
    """Lets calls wait until there are so many on one connection, and then does something with all of them."""

    def __init__(self, size: int, act: Callable[[list[Call]], None]) -> None:
        self.size = size
        self.act = act

    def __call__(self, call: Call) -> None:
        waiting = call.peer.waiting
        waiting.append(call)
        if len(waiting) == self.size:
            calls, waiting[:] = list(waiting), []
            self.act(calls)


def note(call: Call, did: str) -> None:
    call.peer.server.note(call, did)


def ok(call: Call) -> None:
    note(call, call.ok())


def test_calls_share_a_connection_and_are_answered_in_any_order(grpc: Any, load: Any) -> None:
    def last_first(calls: list[Call]) -> None:
        for call in reversed(calls):
            ok(call)

    server = grpc(Together(10, last_first))
    result = load(server.url, payloads=[PAYLOAD], calls=50, rate=0, streams=10)
    own = judged(server, result)
    assert (own["failed"], result["SocketCount"], len(server.peers)) == (0, 1, 1)
    assert server.peers[0].most_open == 10
    assert result["RetCodes"] == {"200": 50}


def test_frames_of_several_answers_are_told_apart(grpc: Any, load: Any) -> None:
    def woven(calls: list[Call]) -> None:
        for call in calls:
            call.headers()
        parts = [prefixed(call.message()) for call in calls]
        for at in range(max(map(len, parts))):
            for call, part in zip(calls, parts):
                call.data(part[at : at + 1])
        for call in calls:
            call.trailers()
            note(call, "")

    server = grpc(Together(5, woven))
    assert judged(server, load(server.url, payloads=[PAYLOAD], calls=20, streams=5))["failed"] == 0


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_streams_than_the_server_takes(grpc: Any, load: Any, limit: int) -> None:
    def slowly(call: Call) -> None:
        call.peer.waiting.append(call)
        raw.later(call.peer, 0.02, lambda: (call.peer.waiting.remove(call), ok(call)))

    server = grpc(slowly, settings={raw.MAX_CONCURRENT_STREAMS: limit})
    result = load(server.url, payloads=[PAYLOAD], calls=30, rate=200, streams=100)
    own = judged(server, result)
    assert (own["failed"], own["requests"]) == (0, 30)
    assert max(peer.most_open for peer in server.peers) <= limit
    assert len(server.peers) > 1  # what one connection does not take another does
    assert own["lateness"]["max"] < 0.5


def test_a_server_that_takes_no_streams_is_waited_for(grpc: Any, load: Any) -> None:
    server = grpc(ok, settings={raw.MAX_CONCURRENT_STREAMS: 0})
    own = load(server.url, payloads=[PAYLOAD], calls=2, timeout=SECOND // 4)["LoadTest"]
    assert own["classes"] == {"timeout": 2}
    assert "takes no stream" in own["ledger"][0]["detail"]

    def in_a_while(peer: raw.Peer) -> None:
        few = struct.pack(">HI", raw.MAX_CONCURRENT_STREAMS, 0)
        peer.send(frame(raw.SETTINGS, 0, 0, few))
        many = struct.pack(">HI", raw.MAX_CONCURRENT_STREAMS, 9)
        raw.later(peer, 0.1, lambda: peer.send(frame(raw.SETTINGS, 0, 0, many)))

    server = grpc(ok)
    server.greet = in_a_while
    assert load(server.url, payloads=[PAYLOAD], calls=2)["LoadTest"]["failed"] == 0


def test_a_graceful_goaway_loses_nothing(grpc: Any, load: Any) -> None:
    """Every fifth call the server announces its end; what is in flight is answered, what comes goes
    elsewhere.
    """

    def leave(calls: list[Call]) -> None:
        calls[0].peer.goaway(max(call.stream for call in calls))
        for call in calls:
            ok(call)
        raw.later(calls[0].peer, 0.2, lambda: calls[0].peer.sock.shutdown(2))

    server = grpc(Together(5, leave))
    result = load(server.url, payloads=[PAYLOAD], calls=60, rate=0, streams=5)
    own = judged(server, result)
    assert own["failed"] == 0
    assert own["reconnects"].get("goaway", 0) >= 11
    assert set(own["reconnects"]) <= {"goaway"}


def test_what_a_goaway_says_was_not_processed_is_sent_once_more(grpc: Any, load: Any) -> None:
    """Of each first five the last two are beyond the stream that the server names."""

    def leave(calls: list[Call]) -> None:
        if calls[0].peer.ident:
            for call in calls:
                ok(call)
            return
        calls[0].peer.goaway(calls[2].stream)
        for call in calls[:3]:
            ok(call)

    server = grpc(Together(5, leave))
    result = load(server.url, payloads=[PAYLOAD], calls=13, rate=0, streams=5)
    own = judged(server, result)
    assert (own["failed"], own["requests"], own["resent"]) == (0, 13, {"goaway": 2})
    times = Counter(call.ident for call in server.calls)
    assert sorted(times.values()) == [1] * 11 + [2] * 2


def test_a_goaway_and_the_end_lose_what_the_server_may_have_acted_on(grpc: Any, load: Any) -> None:
    def leave(calls: list[Call]) -> None:
        if calls[0].peer.ident:
            for call in calls:
                ok(call)
            return
        calls[0].peer.goaway(calls[2].stream, raw.INTERNAL_ERROR)
        ok(calls[0])
        for call in calls[1:3]:
            note(call, "goaway")
        raw.later(calls[0].peer, 0.1, lambda: calls[0].peer.sock.shutdown(2))

    server = grpc(Together(5, leave))
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=13, rate=0, streams=5))
    assert (own["classes"], own["resent"]) == ({"goaway": 2}, {"goaway": 2})
    assert "INTERNAL_ERROR" in own["ledger"][0]["detail"]


def test_a_stream_that_is_refused_once_is_sent_once_more(grpc: Any, load: Any) -> None:
    seen: set[str] = set()

    def refuse_first(call: Call) -> str:
        if call.ident in seen:
            return call.ok()
        seen.add(call.ident)
        call.reset(raw.REFUSED_STREAM)
        return "timeout"

    server = grpc(refuse_first)
    for mode in ("keep-alive", "new"):
        own = judged(server, load(server.url, payloads=[PAYLOAD], calls=5, connection_modes=mode))
        assert (own["failed"], own["resent"]) == (0, {"rst_stream": 5})
    assert len(server.calls) == 20


def test_one_reset_stream_leaves_its_neighbours_alone(grpc: Any, load: Any) -> None:
    def one_bad(calls: list[Call]) -> None:
        calls[1].reset(raw.INTERNAL_ERROR)
        note(calls[1], "rst_stream")
        for call in (calls[0], calls[2]):
            ok(call)

    server = grpc(Together(3, one_bad))
    result = load(server.url, payloads=[PAYLOAD], calls=9, streams=3)
    own = judged(server, result)
    assert (own["classes"], result["SocketCount"]) == ({"rst_stream": 3}, 1)


BAD_NEIGHBOURS: dict[str, Callable[[Call], Any]] = {
    "an upper-case name": lambda call: call.headers([(":status", "200"), ("X", "y")]),
    "JSON": lambda call: call.headers([(":status", "200"), ("content-type", "application/json")]),
    "compressed": lambda call: (call.headers(), call.data(prefixed(b"", 1))),
}
BREAKING_NEIGHBOURS: dict[str, Callable[[Call], Any]] = {
    "a message before headers": lambda call: call.data(b"x"),
    "a window that grows by nothing": lambda call: call.peer.send(
        frame(raw.WINDOW_UPDATE, 0, call.stream, bytes(4))
    ),
    "more than its length": lambda call: (
        call.headers([(":status", "200"), ("content-type", "application/grpc"), ("content-length", "1")]),
        call.data(b"12"),
    ),
}


@pytest.mark.parametrize("how", BAD_NEIGHBOURS)
def test_a_stream_that_is_malformed_leaves_its_neighbours_alone(grpc: Any, load: Any, how: str) -> None:
    def one_bad(calls: list[Call]) -> None:
        BAD_NEIGHBOURS[how](calls[1])
        note(calls[1], "malformed")
        for call in (calls[0], calls[2]):
            ok(call)

    server = grpc(Together(3, one_bad))
    result = load(server.url, payloads=[PAYLOAD], calls=9, streams=3)
    assert judged(server, result)["classes"] == {"malformed": 3}
    assert result["SocketCount"] == 1


@pytest.mark.parametrize("how", BREAKING_NEIGHBOURS)
def test_what_the_library_gives_up_a_connection_for_is_no_loss_of_the_neighbours(
    grpc: Any, load: Any, how: str
) -> None:
    """The server may have answered them: that nobody reads that is the load's own fault."""

    def one_bad(calls: list[Call]) -> None:
        ok(calls[0])
        BREAKING_NEIGHBOURS[how](calls[1])
        note(calls[1], "malformed")
        note(calls[2], "client")

    server = grpc(Together(3, one_bad))
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=3, streams=3))
    assert own["classes"] == {"malformed": 1, "client": 1}


BREAKING_ALL: dict[str, Callable[[Call], Any]] = {
    "fields that cannot be read": lambda call: call.peer.send(
        frame(raw.HEADERS, raw.END_HEADERS, call.stream, b"\xff\xff\xff\xff\x7f")
    ),
    "padding beyond the frame": lambda call: (call.headers(), call.data(b"\x09ab", raw.PADDED)),
    "a CONTINUATION of nothing": lambda call: call.peer.send(frame(raw.CONTINUATION, 4, call.stream)),
    "a stream that was not begun": lambda call: call.peer.send(frame(raw.RST_STREAM, 0, 999, bytes(4))),
}


@pytest.mark.parametrize("how", BREAKING_ALL)
def test_all_that_is_in_flight_is_lost_with_a_broken_connection(grpc: Any, load: Any, how: str) -> None:
    def break_it(calls: list[Call]) -> None:
        ok(calls[0])
        for call in calls[1:]:
            note(call, "malformed")
        BREAKING_ALL[how](calls[1])

    server = grpc(Together(3, break_it))
    assert judged(server, load(server.url, payloads=[PAYLOAD], calls=3, streams=3))["classes"] == {
        "malformed": 2
    }


def test_a_stale_connection_is_told_from_one_that_broke(grpc: Any, load: Any) -> None:
    """Closed when the second call comes, with nothing in between; closed amid others."""

    def second(call: Call) -> None:
        if call.stream == 1:
            ok(call)
        else:
            note(call, "stale_keepalive")
            call.peer.close()

    server = grpc(second)
    assert judged(server, load(server.url, payloads=[PAYLOAD], calls=4, streams=1))["classes"] == {
        "stale_keepalive": 2
    }

    def last(calls: list[Call]) -> None:
        ok(calls[0])
        for call in calls[1:]:
            note(call, "reset")
        calls[0].peer.close()

    server = grpc(Together(3, last))
    assert judged(server, load(server.url, payloads=[PAYLOAD], calls=3, streams=3))["classes"] == {"reset": 2}


def test_a_reset_of_tcp_is_told_by_its_errno(grpc: Any, load: Any) -> None:
    def abort(call: Call) -> None:
        note(call, "reset")
        call.peer.abort()

    server = grpc(abort)
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=2, streams=1))
    assert {row["errno"] for row in own["ledger"]} == {"ECONNRESET"}


NOT_HTTP2 = {
    "HTTP/1.1": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-x\r\n",
    "a PING first": frame(raw.PING, 0, 0, bytes(8)),
    "settings that are none": frame(raw.SETTINGS, 0, 0, b"12345"),
    "a window beyond all": frame(raw.SETTINGS, 0, 0, struct.pack(">HI", raw.INITIAL_WINDOW_SIZE, 2**31)),
    "settings of a stream": frame(raw.SETTINGS, 0, 3, b""),
}


@pytest.mark.parametrize("how", NOT_HTTP2)
def test_what_does_not_begin_as_http2_is_malformed(grpc: Any, load: Any, how: str) -> None:
    server = grpc(ok, greeting=NOT_HTTP2[how])
    own = load(server.url, payloads=[PAYLOAD], calls=2)["LoadTest"]
    assert own["classes"] == {"malformed": 2}
    assert server.calls == []


def test_a_server_that_begins_with_goaway_is_not_tried_for_ever(grpc: Any, load: Any) -> None:
    none = struct.pack(">HI", raw.MAX_CONCURRENT_STREAMS, 0)
    for settings in (b"", none):
        greeting = frame(raw.SETTINGS, 0, 0, settings) + frame(raw.GOAWAY, 0, 0, bytes(8))
        server = grpc(ok, greeting=greeting)
        own = load(server.url, payloads=[PAYLOAD], calls=2, streams=1)["LoadTest"]
        assert (own["classes"], own["resent"], len(server.peers)) == ({"goaway": 2}, {"goaway": 6}, 8)


def test_a_server_that_says_nothing_is_not_asked(grpc: Any, load: Any) -> None:
    server = grpc(ok, greeting=b"")
    own = load(server.url, payloads=[PAYLOAD], calls=2, timeout=SECOND // 4)["LoadTest"]
    assert own["classes"] == {"timeout": 2}
    assert "no SETTINGS" in own["ledger"][0]["detail"]
    assert server.calls == []


STALLS: dict[str, Callable[[Call], Any]] = {
    "no answer": lambda _call: None,
    "no whole answer": lambda call: (call.headers(), call.data(b"\0\0")),
}


@pytest.mark.parametrize("how", STALLS)
def test_a_call_that_had_its_time_is_cancelled(grpc: Any, load: Any, clock: PolledClock, how: str) -> None:
    """Its neighbours go on, on the same connection; the server is told, and was told the time before."""

    def stall_some(call: Call) -> str:
        if call.number % 3:
            return call.ok()
        STALLS[how](call)
        return "timeout"

    server = grpc(stall_some)
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=9, rate=20, timeout=SECOND // 3))
    assert own["classes"] == {"timeout": 3}
    assert {row["errno"] for row in own["ledger"]} == {"ETIMEDOUT"}
    assert how in own["ledger"][0]["detail"]
    assert sum(list(peer.resets.values()).count(raw.CANCEL) for peer in server.peers) == 3
    assert all(call.fields["grpc-timeout"].endswith(("n", "u", "m")) for call in server.calls)


def test_a_connection_on_which_nothing_comes_is_used_no_more(
    grpc: Any, load: Any, clock: PolledClock
) -> None:
    server = grpc(lambda call: call.ok() if call.peer.ident else "timeout")
    result = load(server.url, payloads=[PAYLOAD], calls=9, rate=20, timeout=SECOND // 5)
    own = judged(server, result)
    assert own["ok"] > 0
    assert own["reconnects"] == {"silent": 1}


@pytest.mark.parametrize("size", [1, 20, 65_535, 1 << 20])
def test_flow_control_of_what_is_sent(grpc: Any, load: Any, size: int) -> None:
    """However narrow the server's windows, the message comes whole."""
    text = "x" * {1: 200, 20: 10_000}.get(size, 100_000)
    payload = (
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["%s"]}]}' % text.encode()
    )

    def read(call: Call) -> str:
        asked = messages.ModelInferRequest.FromString(call.body[5:])
        assert asked.inputs[0].contents.bytes_contents[0] == text.encode()
        return call.ok()

    server = grpc(read, settings={raw.INITIAL_WINDOW_SIZE: size}, window=True)
    greet = server.greet

    def wide(peer: raw.Peer) -> None:
        greet(peer)
        peer.send(frame(raw.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 29)))

    server.greet = wide
    calls = 2 if size == 20 else 4
    assert judged(server, load(server.url, payloads=[payload], calls=calls, streams=2))["failed"] == 0


@pytest.mark.parametrize(("status", "did"), [("0", ""), ("8", "grpc_status")])
def test_an_answer_may_come_before_the_request_is_taken(grpc: Any, load: Any, status: str, did: str) -> None:
    """What is left of the request is then not sent: the server does not want it."""
    payload = PAYLOAD.replace(b"{uuid}", b"i" * 10_000)

    def early(peer: raw.Peer, fields: dict[str, str]) -> None:
        seen(peer, fields)
        call = Call(peer, 0, peer.highest, fields, b"")
        note(call, did)
        call.headers()
        if not did:
            call.data(prefixed(messages.answer("m", ident="i" * 10_000).SerializeToString()))
        call.trailers([("grpc-status", status)])

    server = grpc(ok, settings={raw.INITIAL_WINDOW_SIZE: 10})
    seen, server.seen = server.seen, early
    result = load(server.url, payloads=[payload], calls=4, streams=2)
    assert judged(server, result)["classes"] == ({did: 4} if did else {})
    assert list(server.peers[0].resets.values()) == [raw.CANCEL] * 4
    assert server.calls == []


def test_frames_after_the_end_of_a_stream_are_refused(grpc: Any, load: Any) -> None:
    """The answer was whole before them."""

    def more(call: Call) -> str:
        did = call.ok()
        call.data(b"more")
        return did

    server = grpc(more)
    result = load(server.url, payloads=[PAYLOAD], calls=4, rate=20)
    assert judged(server, result)["failed"] == 0
    assert list(server.peers[0].resets.values()) == [5] * 4  # STREAM_CLOSED


def test_a_window_that_never_opens_takes_no_request(grpc: Any, load: Any) -> None:
    server = grpc(ok, settings={raw.INITIAL_WINDOW_SIZE: 3})
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=2, timeout=SECOND // 4))
    assert own["classes"] == {"timeout": 2}
    assert "the request was not taken" in own["ledger"][0]["detail"]


def test_a_flood_that_takes_no_answers_is_given_up(
    grpc: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server's PINGs ask for would fill the memory otherwise."""
    monkeypatch.setattr(wire, "MAX_OWED", 20_000)

    def flood(call: Call) -> str:
        note(call, "malformed")
        call.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _turn in range(4000):
            call.peer.send(frame(raw.PING, 0, 0, bytes(8)) * 1000)
        return "malformed"

    server = grpc(flood)
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=1, timeout=30 * SECOND))
    assert own["classes"] == {"malformed": 1}
    assert "floods" in own["ledger"][0]["detail"]


def test_tls_needs_the_alpn_of_http2(grpc: Any, load: Any, pki: Pki) -> None:
    """Without it the server may take what comes for HTTP/1."""
    none = grpc(ok, context=pki.context())
    own = load(none.url, payloads=[PAYLOAD], calls=2, ca_file=pki.ca)["LoadTest"]
    assert own["classes"] == {"tls": 2}
    assert "ALPN" in own["ledger"][0]["detail"]
    context = pki.context()
    context.set_alpn_protocols(["h2"])
    server = grpc(ok, context=context)
    result = load(server.url, payloads=[PAYLOAD], calls=6, ca_file=pki.ca, connection_modes="both")
    assert judged(server, result)["failed"] == 0
    assert {call.fields[":scheme"] for call in server.calls} == {"https"}
    own = load(server.url, payloads=[PAYLOAD], calls=1)["LoadTest"]
    assert (own["classes"], len(server.calls)) == ({"tls": 1}, 6)


@pytest.mark.parametrize("how", ["closed", "cut"])
def test_tls_that_ends_amid_an_answer_is_truncated(grpc: Any, load: Any, pki: Pki, how: str) -> None:
    def end(call: Call) -> None:
        note(call, "truncated")
        call.headers()
        if how == "closed":
            call.peer.sock.settimeout(1)
            raw.later(call.peer, 0, lambda: cast(ssl.SSLSocket, call.peer.sock).unwrap())
        else:
            raw.later(call.peer, 0.02, lambda: call.peer.sock.shutdown(socket.SHUT_RDWR))

    context = pki.context()
    context.set_alpn_protocols(["h2"])
    server = grpc(end, context=context)
    assert judged(server, load(server.url, payloads=[PAYLOAD], calls=1, ca_file=pki.ca))["classes"] == {
        "truncated": 1
    }


def test_what_is_sent(grpc: Any, load: Any) -> None:
    """Metadata, authority, the model, an id of its own for each; one message after the other."""
    server = grpc(lambda call: call.ok())
    other = PAYLOAD.replace(b"[1, 2]}", b"[3, 4]}")
    headers = [
        ("Host", "m.example.com"),
        ("X-Route", "a"),
        ("key-bin", "AAE="),
        ("Authorization", "Bearer t"),
    ]
    own = judged(
        server,
        load(
            server.url + "/versions/7/infer", payloads=[PAYLOAD, other], calls=4, headers=headers, streams=1
        ),
    )
    assert own["request_ids"][0]["last"] == 4
    fields = [dict(call.fields) for call in server.calls]
    assert len({each.pop("x-request-id") for each in fields}) == 4
    assert all(0 < int(each.pop("grpc-timeout").removesuffix("u")) <= 5_000_000 for each in fields)
    assert fields == [
        {
            ":method": "POST", ":scheme": "http", ":path": "/inference.GRPCInferenceService/ModelInfer",
            ":authority": "m.example.com", "te": "trailers", "content-type": "application/grpc",
            "user-agent": "grpc-iter8.kfserving", "x-route": "a", "key-bin": "AAE=",
            "authorization": "Bearer t",
        }
    ] * 4  # fmt: skip
    asked = [messages.ModelInferRequest.FromString(call.body[5:]) for call in server.calls]
    assert {(each.model_name, each.model_version) for each in asked} == {("m", "7")}
    assert len({each.id for each in asked}) == 4
    assert sorted(each.inputs[0].contents.fp32_contents[0] for each in asked) == [1, 1, 3, 3]


STREAMED: dict[str, tuple[Callable[[Call], list[bytes]], str, str]] = {
    "Triton's": (lambda call: [wrapped(call), wrapped(call)], "0", ""),
    "MLServer's": (lambda call: [call.message(), call.message()], "0", ""),
    "with its last told": (lambda call: [wrapped(call, final=False), wrapped(call, final=True)], "0", ""),
    "with an empty last": (
        lambda call: [wrapped(call, final=False), wrapped(call, final=True, empty=True)],
        "0",
        "",
    ),
    "without its last": (
        lambda call: [wrapped(call, final=False), wrapped(call, final=False)],
        "0",
        "truncated",
    ),
    "without a message": (lambda _call: [], "0", "validation"),
    "with an error": (lambda call: [wrapped(call), error()], "0", "validation"),
    "with an error alone": (lambda _call: [error()], "0", "validation"),
    "with an empty message": (lambda call: [wrapped(call), b""], "0", "validation"),
    "with another's id": (lambda call: [wrapped(call), wrapped(call, ident="x")], "0", "validation"),
    "with what is no message": (lambda call: [wrapped(call), b"\xff"], "0", "malformed"),
    "that fails amid": (lambda call: [wrapped(call)], "13", "grpc_status"),
    "without trailers": (lambda call: [wrapped(call)], "", "truncated"),
}


def wrapped(call: Call, ident: str | None = None, final: bool | None = None, empty: bool = False) -> bytes:
    """A message of Triton's stream."""
    own = messages.ModelInferResponse.FromString(call.message())
    own.id = own.id if ident is None else ident
    if final is not None:
        own.parameters.add(key="triton_final_response").value.bool_param = final
    if empty:
        del own.outputs[:]
    return bytes(messages.ModelStreamInferResponse(infer_response=own).SerializeToString())


def error() -> bytes:
    return bytes(messages.ModelStreamInferResponse(error_message="out of memory").SerializeToString())


@pytest.mark.parametrize("connection_modes", ["keep-alive", "new"])
@pytest.mark.parametrize("how", STREAMED)
def test_a_stream_is_one_request(grpc: Any, load: Any, how: str, connection_modes: str) -> None:
    make, status, did = STREAMED[how]

    def answer(call: Call) -> str:
        assert call.fields[":path"].endswith("/ModelStreamInfer")
        note(call, did)
        call.headers()
        for each in make(call):
            call.data(prefixed(each))
        if status:
            call.trailers([("grpc-status", status)])
        else:
            call.data(b"", raw.END_STREAM)
        return did

    server = grpc(answer)
    result = load(
        server.url,
        payloads=[PAYLOAD],
        calls=4,
        grpc_method="ModelStreamInfer",
        connection_modes=connection_modes,
    )
    own = judged(server, result)
    assert own["classes"] == ({did: 4} if did else {})
    if did:
        assert "memory" not in own["ledger"][0]["detail"]  # a server's words may hold what it was sent


REVISIONS: dict[str, tuple[dict[str, str], Callable[[Call], Any]]] = {
    "initial metadata": (
        {"revision_header": "X-Revision"},
        lambda call: (
            call.headers([*raw.RESPONSE, ("x-revision", "r1")]),
            call.data(prefixed(call.message())),
            call.trailers(),
        ),
    ),
    "trailing metadata": (
        {"revision_header": "X-Revision"},
        lambda call: (
            call.headers(),
            call.data(prefixed(call.message())),
            call.trailers([*raw.OK, ("x-revision", "r1")]),
        ),
    ),
    "the model's version": (
        {"revision_field": "model_version"},
        lambda call: call.ok(call.message(model_version="r1")),
    ),
    "an output": (
        {"revision_field": "outputs.revision.data.0"},
        lambda call: call.ok(named(call, "outputs")),
    ),
    "a parameter": (
        {"revision_field": "parameters.revision"},
        lambda call: call.ok(named(call, "parameters")),
    ),
    "an output's parameter": (
        {"revision_field": "outputs.0.parameters.revision"},
        lambda call: call.ok(named(call, "output's")),
    ),
}


def named(call: Call, where: str) -> bytes:
    own = messages.ModelInferResponse.FromString(call.message())
    if where == "outputs":
        own.outputs.add(name="revision", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"r1")
    else:
        owner = own if where == "parameters" else own.outputs[0]
        owner.parameters.add(key="revision").value.string_param = "r1"
    return bytes(own.SerializeToString())


@pytest.mark.parametrize("how", REVISIONS)
def test_a_revision_is_named_by_metadata_or_a_field(grpc: Any, load: Any, how: str) -> None:
    options, act = REVISIONS[how]
    server = grpc(lambda call: (act(call), "")[1])
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=3, **options))
    assert own["revisions"] == {"r1": {"requests": 3, "failed": 0}}


def test_a_text_that_is_asked_for_is_looked_for(grpc: Any, load: Any) -> None:
    server = grpc(lambda call: call.ok(call.message(model_version="v2")) and None)
    assert load(server.url, payloads=[PAYLOAD], calls=2, expect_body="v2")["LoadTest"]["failed"] == 0
    own = load(server.url, payloads=[PAYLOAD], calls=2, expect_body="v3")["LoadTest"]
    assert own["classes"] == {"validation": 2}


def test_a_head_beyond_what_is_read_is_the_load_s_own_fault(grpc: Any, load: Any) -> None:
    server = grpc(
        lambda call: (note(call, "client"), call.headers([*raw.RESPONSE, ("x", "y" * 5000)]), "client")[2]
    )
    own = judged(server, load(server.url, payloads=[PAYLOAD], calls=2, max_head=2000, streams=1))
    assert own["classes"] == {"client": 2}
    assert own["client_faults"] == 2


def test_bad_input_is_refused_before_a_connection_is_made(grpc: Any, load: Any) -> None:
    server = grpc(ok)
    with pytest.raises(LoadError, match="neither a JSON object nor"):
        load(server.url, payloads=[b"{"])
    assert server.peers == []


def test_a_call_that_goes_elsewhere_while_time_outs_are_looked_for(
    grpc: Any, load: Any, clock: PolledClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that has had its time is cancelled, the connection takes nothing any more, and the GOAWAY
    that is read then sends the second, whose time is over as well, to another one."""
    server = grpc(lambda call: None)
    look = streams.StreamExchange.expire

    def expire(exchange: Any, now: int) -> int:
        peer = server.peers[0] if server.peers else None
        over = any(now - call.sent >= SECOND // 2 for call, _conn in exchange._calls.values())
        if peer is not None and over and peer.sock.fileno() >= 0:
            peer.goaway(0)
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
            time.sleep(0.1)  # in which both arrive
        return look(exchange, now)

    monkeypatch.setattr(streams.StreamExchange, "expire", expire)
    own = load(server.url, payloads=[PAYLOAD], calls=2, streams=2, timeout=SECOND // 2)["LoadTest"]
    assert (own["requests"], own["failed"], own["resent"]) == (2, 2, {"goaway": 1})
