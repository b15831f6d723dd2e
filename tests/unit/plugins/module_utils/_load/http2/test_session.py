# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's side of HTTP/2, against h2's own server side and against any bytes at all."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils import _load
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import Malformed
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http2 import fields, library, session
from hypothesis import given, settings
from hypothesis import strategies as st

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/B"), (b":authority", b"h")]


def pair() -> tuple[session.Http2Session, Any]:
    """A client that has begun, and h2 as its server, with each other's settings."""
    client = session.Http2Session(1 << 20)
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    client.begin()
    for _turn in range(2):
        server.receive_data(client.taken())
        list(client.receive(server.data_to_send()))
    assert client.settled
    return client, server


def answered(server: Any, stream: int, body: bytes) -> bytes:
    server.send_headers(stream, [(":status", "200")])
    server.send_data(stream, body)
    server.send_headers(stream, [("grpc-status", "0")], end_stream=True)
    return bytes(server.data_to_send())


@settings(max_examples=60, deadline=None)
@given(st.data(), st.binary(min_size=1, max_size=3000))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(data: st.DataObject, body: bytes) -> None:
    client, server = pair()
    stream = client.request(REQUEST, [(b"own", b"1")], body)
    sent = b"".join(
        event.data
        for event in server.receive_data(client.taken())
        if isinstance(event, h2.events.DataReceived)
    )
    assert sent == body
    raw = answered(server, stream, body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    heard = [
        event for begin, end in zip([0, *cuts], [*cuts, len(raw)]) for event in client.receive(raw[begin:end])
    ]
    assert [event.what for event in heard if event.what != session.DATA] == [session.HEADERS] * 2
    assert b"".join(event.data for event in heard) == body
    assert [event.ended for event in heard] == [False] * (len(heard) - 1) + [True]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_events_or_broken(first: bytes, second: bytes) -> None:
    """Nothing is raised, and after BROKEN there is nothing more."""
    client, _server = pair()
    client.request(REQUEST, [(b"own", b"1")], b"x")
    heard = [*client.receive(first)]
    if not any(event.what == session.BROKEN for event in heard):
        heard += client.receive(second)
    assert [event.what for event in heard].count(session.BROKEN) <= 1
    client.cancel(1)
    client.taken()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_bent_answer_is_events_or_broken(data: st.DataObject) -> None:
    """A byte of a right answer is another: what comes of that is told, never raised."""
    client, server = pair()
    server.receive_data(client.taken())
    stream = client.request(REQUEST, [(b"own", b"1")], b"abc")
    server.receive_data(client.taken())
    raw = answered(server, stream, b"0123456789")
    at = data.draw(st.integers(0, len(raw) - 1))
    bent = raw[:at] + bytes([data.draw(st.integers(0, 255))]) + raw[at + 1 :]
    for event in client.receive(bent):
        assert event.what != session.BROKEN or event.kind
    client.taken()


def test_goaway_leaves_the_streams_that_it_names() -> None:
    """h2 takes the connection for closed then; here what was promised is still read, and written."""
    client, server = pair()
    stream = client.request(REQUEST, [(b"own", b"1")], bytes(100_000))  # more than the window lets through
    goaway = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + stream.to_bytes(4, "big") + bytes(4)
    assert list(client.receive(goaway)) == [session.SessionEvent(session.GOAWAY, stream)]
    assert not client.is_sent(stream)
    taken = 0
    while not client.is_sent(stream) or taken < 100_000:
        for event in server.receive_data(client.taken()):
            if isinstance(event, h2.events.DataReceived):
                taken += len(event.data)
                server.acknowledge_received_data(event.flow_controlled_length, stream)
        list(client.receive(server.data_to_send()))
    heard = list(client.receive(answered(server, stream, b"ok")))
    assert heard[-1].ended


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


STATUS = b"\0\x07:status\x03200"
FAULTS = {
    "headers on a stream of the server's": (frame(1, 4, 2, STATUS), 0),
    "headers on a stream not begun": (frame(1, 4, 5, STATUS), 0),
    "a reset of a stream not begun": (frame(3, 0, 5, bytes(4)), 0),
    "data of the connection": (frame(0, 0, 0, b"x"), 0),
    "a CONTINUATION of nothing": (frame(9, 4, 1, STATUS), 0),
    "a CONTINUATION of another's": (frame(1, 0, 1) + frame(9, 4, 3, STATUS), 0),
    "GOAWAY amid header fields": (frame(1, 0, 1) + frame(7, 0, 0, bytes(8)), 0),
    "an unknown frame amid header fields": (frame(1, 0, 1) + frame(0xB0, 0, 0), 0),
    "padding beyond the frame": (frame(1, 4, 1, STATUS) + frame(0, 8, 1, b"\x09ab"), 0),
    "a window that grows by nothing": (frame(8, 0, 1, bytes(4)), 1),
    "the connection's window, too": (frame(8, 0, 0, bytes(4)), 0),
    "a window update that is cut": (frame(8, 0, 1, bytes(3)), 0),
    "push switched on": (frame(4, 0, 0, b"\0\2\0\0\0\1"), 0),
    "data before headers": (frame(0, 0, 1, b"x"), 1),
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_fault_is_one_stream_s_or_the_connection_s(how: str) -> None:
    """As RFC 9113 has it: what is the connection's is the loss of every call on it."""
    client, _server = pair()
    assert [client.request(REQUEST, [], b"x") for _turn in range(2)] == [1, 3]
    data, guilty = FAULTS[how]
    last = list(client.receive(data))[-1]
    assert (last.what, last.kind, last.stream) == (session.BROKEN, "malformed", guilty)


def test_what_may_come_anywhere() -> None:
    """Extensions' frames whatever they hold, the bit before a stream's number, push switched off."""
    client, server = pair()
    stream = client.request(REQUEST, [], b"x")
    server.receive_data(client.taken())
    known = [frame(kind, 255, at, b"\xff") for kind in (10, 12, 0xB0) for at in (0, 1, 99)]
    assert list(client.receive(b"".join(known))) == []
    assert [event.what for event in client.receive(frame(4, 0, 0, b"\0\2\0\0\0\0"))] == [session.SETTLED]
    goaway = frame(7, 0, 1 << 31, ((1 << 31) + stream).to_bytes(4, "big") + bytes(4))
    assert list(client.receive(goaway)) == [session.SessionEvent(session.GOAWAY, stream)]
    assert list(client.receive(answered(server, stream, b"ok")))[-1].ended


def test_nothing_of_a_connection_is_left_without_a_collection() -> None:
    """The process of a job collects no garbage."""
    import gc

    client, server = pair()
    client.request(REQUEST, [(b"own", b"1")], b"x")
    del server
    gc.collect()
    gc.disable()
    try:
        client.close()
        del client
        left = [one for one in gc.get_objects() if isinstance(one, h2.connection.H2Connection)]
        assert [one for one in left if one.config.client_side] == []
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "given",
    [
        [(b"a", b"b")],
        [(b":status", b"20")],
        [(b":status", b"200"), (b":status", b"200")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b"a", b"b"), (b":status", b"200")],
        [(b":status", b"200"), (b"A", b"b")],
        [(b":status", b"200"), (b"a b", b"b")],
        [(b":status", b"200"), (b"a", b"b\0")],
        [(b":status", b"200"), (b"a", b" b")],
        [(b":status", b"200"), (b"a", b"b\t")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
    ],
)
def test_fields_that_are_not_valid(given: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Malformed):
        fields.read(given, False)


def test_fields() -> None:
    read = fields.read([(b":status", b"200"), (b"a", b"1"), (b"a", b"2")], False)
    assert read == (200, {b"a": b"1, 2"})
    assert fields.read([(b"grpc-status", b"0")], True) == (0, {b"grpc-status": b"0"})
    with pytest.raises(Malformed):
        fields.read([(b":status", b"200")], True)


BARE = """
import sys
sys.path[:0] = {above!r}
from {package}._load.http2 import library
try:
    library.require({archive!r})
except library.LibraryMissing as error:
    print("missing:", error)
else:
    import h2
    print(h2.__file__)
"""


def bare(archive: str, packages: str = "") -> str:
    """What `require` does in a Python without anybody's packages, or with those of a folder."""
    above = Path(str(_load.__file__)).resolve().parents[2]
    folders = [str(above), *([packages] if packages else [])]
    code = BARE.format(above=folders, package="module_utils", archive=archive)
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_archive_is_all_that_a_bare_python_needs(tmp_path: Path) -> None:
    assert bare("").startswith("missing: gRPC needs the Python package h2")
    place = tmp_path / library.ARCHIVE
    place.write_bytes(library.archive())
    assert bare(str(place)).startswith(str(place))
    assert {name.partition("/")[0] for name in zipfile.ZipFile(place).namelist()} == set(library.PACKAGES)
    assert library.archive() == place.read_bytes()
    place.write_bytes(b"no archive")
    assert bare(str(place)).startswith("missing:")


def test_an_h2_of_another_age_is_refused_and_an_archive_goes_before_it(tmp_path: Path) -> None:
    place = tmp_path / library.ARCHIVE
    old = tmp_path / "old"
    (old / "h2").mkdir(parents=True)
    (old / "h2/__init__.py").write_text("__version__ = '3.2.0'")
    (old / "h2/connection.py").write_text("")
    place.write_bytes(library.archive())
    assert "3.2.0" in bare("", str(old))
    assert bare(str(place), str(old)).startswith(str(place))
    for version in ("3.2.0", "4.0.0", "5.0.0"):
        with zipfile.ZipFile(place, "w") as made:
            made.writestr("h2/__init__.py", f"__version__ = {version!r}")
            made.writestr("h2/connection.py", "")
        assert version in bare(str(place))
