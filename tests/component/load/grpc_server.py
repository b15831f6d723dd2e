# SPDX-License-Identifier: GPL-3.0-or-later
"""A gRPC server made of raw HTTP/2 frames, so that anything can be bent, with its own record of what it did.

A behaviour is called once for each call that came whole, and returns what became of it: the class of failure
that a client must see, or nothing for an answer that was right. `record` has that by the call's id, the last
where a call came twice.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from typing import Any, Callable, Optional, Sequence

import hpack
from ansible_collections.iter8.kfserving.tests.support import inference_messages
from ansible_collections.iter8.kfserving.tests.support.listening import Listening

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 5, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 7, 8, 11
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
RESPONSE = ((":status", "200"), ("content-type", "application/grpc"))
OK = (("grpc-status", "0"),)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def prefixed(message: bytes, flag: int = 0) -> bytes:
    """A message with gRPC's five bytes before it."""
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


class Hung(Exception):
    """The conversation is over."""


class Call:
    """One call that came whole: its number among all (from 0), its fields and its message."""

    def __init__(self, peer: Peer, number: int, stream: int, fields: dict[str, str], body: bytes) -> None:
        self.peer = peer
        self.number = number
        self.stream = stream
        self.fields = fields
        self.body = body

    @property
    def ident(self) -> str:
        return self.fields["x-request-id"]

    def headers(self, fields: Sequence[tuple[str, str]] = RESPONSE, flags: int = 0) -> None:
        self.peer.send_headers(self.stream, fields, flags)

    def data(self, data: bytes, flags: int = 0) -> None:
        self.peer.send(frame(DATA, flags, self.stream, data))

    def trailers(self, fields: Sequence[tuple[str, str]] = OK) -> None:
        self.headers(fields, END_STREAM)

    def reset(self, code: int) -> None:
        self.peer.send(frame(RST_STREAM, 0, self.stream, struct.pack(">I", code)))

    def message(self, **fields: Any) -> bytes:
        """The right answer to this call, or one that differs in these fields."""
        asked = inference_messages.ModelInferRequest.FromString(self.body[5:])
        made = inference_messages.answer(asked.model_name, "1", asked.id)
        for name, value in fields.items():
            setattr(made, name, value)
        return bytes(made.SerializeToString())

    def ok(self, message: Optional[bytes] = None) -> str:
        self.headers()
        self.data(prefixed(self.message() if message is None else message))
        self.trailers()
        return ""


class Peer:
    """One client's connection."""

    def __init__(self, server: GrpcServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.ident = -1  # its number among those that spoke HTTP/2, from 0
        self.lock = threading.Lock()
        self.encoder = hpack.Encoder()
        self.waiting: list[Call] = []  # for behaviours that answer some later
        self.most_open = 0
        self.resets: dict[int, int] = {}  # by the client: stream → code
        self.highest = 0
        self._decoder = hpack.Decoder()
        self._pending = b""
        self._open: dict[int, tuple[dict[str, str], bytearray]] = {}

    def send(self, data: bytes) -> None:
        self.sock.settimeout(5)
        self.sock.sendall(data)

    def send_headers(self, stream: int, fields: Sequence[tuple[str, str]], flags: int = 0) -> None:
        with self.lock:  # blocks have to come in the order in which they were encoded
            self.send(frame(HEADERS, flags | END_HEADERS, stream, self.encoder.encode(fields)))

    def goaway(self, last: int, code: int = NO_ERROR) -> None:
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code)))

    def close(self) -> None:
        raise Hung

    def abort(self) -> None:
        """Close with a RST of TCP's."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Hung

    def hang(self) -> None:
        """Take what comes and say nothing, until the client hangs up or the test ends."""
        while True:
            self.receive()

    def receive(self) -> bytes:
        self.sock.settimeout(0.02)
        while not self.server.closing.is_set():
            with contextlib.suppress(TimeoutError, socket.timeout):
                data = self.sock.recv(65536)
                if not data:
                    raise Hung
                return data
        raise Hung

    def _take(self, size: int) -> bytes:
        while len(self._pending) < size:
            self._pending += self.receive()
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def converse(self) -> None:
        if self._take(len(PREFACE)) != PREFACE:
            raise Hung
        self.ident = len(self.server.peers)
        self.server.peers.append(self)
        self.server.greet(self)
        while True:
            head = self._take(9)
            payload = self._take(int.from_bytes(head[:3], "big"))
            self._heard(head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    def _heard(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and flags & ACK:
            self.server.pongs += 1
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
            self._open.pop(stream, None)
        elif kind == HEADERS:
            assert flags & END_HEADERS
            assert stream > self.highest
            self.highest = stream
            fields = {str(name): str(value) for name, value in self._decoder.decode(payload)}
            self._open[stream] = (fields, bytearray())
            self.server.seen(self, fields)
        elif kind == DATA and stream in self._open:
            self._open[stream][1].extend(payload)
            if self.server.window and payload:
                self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", len(payload))))
        if flags & END_STREAM and kind in (HEADERS, DATA) and stream in self._open:
            fields, body = self._open.pop(stream)
            self.server.called(self, stream, fields, bytes(body))


Behaviour = Callable[[Call], Optional[str]]


class GrpcServer(Listening):
    """`settings` is what it announces, `greeting` what it says at all (None: that).

    `window`: it opens the window of a stream by what it took of it.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        settings: dict[int, int] | None = None,
        greeting: bytes | None = None,
        window: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.behaviour = behaviour
        self.settings = settings or {}
        self.greeting = greeting
        self.window = window
        self.record: dict[str, str] = {}  # by the call's id: the class of failure that a client must see
        self.calls: list[Call] = []
        self.peers: list[Peer] = []
        self.pongs = 0
        self._lock = threading.Lock()
        super().__init__(context)

    @property
    def url(self) -> str:
        return f"grpc{'s' if self._context else ''}://127.0.0.1:{self.port}/v2/models/m"

    def greet(self, peer: Peer) -> None:
        if self.greeting is not None:
            peer.send(self.greeting)
            return
        payload = b"".join(struct.pack(">HI", name, value) for name, value in self.settings.items())
        peer.send(frame(SETTINGS, 0, 0, payload))

    def seen(self, peer: Peer, fields: dict[str, str]) -> None:
        """A call began: if nothing more becomes of it, it was not answered in time."""
        with self._lock:
            self.record[fields["x-request-id"]] = "timeout"
        peer.most_open = max(peer.most_open, len(peer._open) + len(peer.waiting))

    def called(self, peer: Peer, stream: int, fields: dict[str, str], body: bytes) -> None:
        with self._lock:
            call = Call(peer, len(self.calls), stream, fields, body)
            self.calls.append(call)
        did = self.behaviour(call)
        if did is not None:
            self.note(call, did)

    def note(self, call: Call, did: str) -> None:
        """What was done for a call."""
        with self._lock:
            self.record[call.ident] = did

    def conversation(self, sock: socket.socket) -> None:
        with contextlib.suppress(Hung):
            Peer(self, sock).converse()


def later(peer: Peer, seconds: float, act: Callable[[], Any]) -> None:
    """Do it in a while, from another thread of the peer's server."""

    def wait() -> None:
        time.sleep(seconds)
        with contextlib.suppress(OSError, Hung):
            act()

    peer.server.begin(wait)
