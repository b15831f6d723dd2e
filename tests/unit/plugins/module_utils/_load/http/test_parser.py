# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser against tables, against every way to cut the bytes, and against h11 as an oracle."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import (
    MAX_HEAD,
    MAX_INTERIM,
    Malformed,
    Parser,
    TooLong,
    Truncated,
    parse_head,
)
from ansible_collections.iter8.kfserving.tests.support.oracle import oracle
from hypothesis import given, settings
from hypothesis import strategies as st

# status, body, connection may be kept
Outcome = tuple[int, bytes, bool]


def parse(pieces: list[bytes], head: bool = False) -> Outcome:
    """Feed the pieces, then the end of the connection if the response is not whole."""
    parser = Parser(head, collect=True)
    whole = False
    for piece in pieces:
        whole = parser.feed(piece)
    if not whole:
        parser.eof()
    if parser.excess:
        raise Malformed("excess")
    assert parser.head is not None
    return parser.head.status, bytes(parser.body), parser.head.keep_alive


def outcome(pieces: list[bytes], head: bool = False) -> Outcome | str:
    try:
        return parse(pieces, head)
    except Malformed:
        return "malformed"
    except Truncated:
        return "truncated"
    except TooLong:
        return "too long"


OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = [
    ("length", OK + b"Content-Length: 5\r\n\r\nhello", (200, b"hello", True)),
    ("length twice the same", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", (200, b"hi", True)),
    ("length as a list", OK + b"Content-Length: 5, 5\r\n\r\nhello", (200, b"hello", True)),
    ("empty", OK + b"content-length:0\r\n\r\n", (200, b"", True)),
    ("close", OK + b"Content-Length: 1\r\nConnection: foo, Close\r\n\r\nx", (200, b"x", False)),
    ("no reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", (200, b"", True)),
    ("latin reason", b"HTTP/1.1 404 Nicht gefund\xe9n\r\nContent-Length: 0\r\n\r\n", (404, b"", True)),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
    ("304 with a length", b"HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n", (304, b"", True)),
    ("until the end", OK + b"\r\nall of it", (200, b"all of it", False)),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nall", (200, b"all", False)),
    (
        "HTTP/1.0 kept",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        (200, b"x", True),
    ),
    ("HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", (200, b"x", False)),
    (
        "interim",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx",
        (200, b"x", True),
    ),
    (
        "chunked",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\n\r\n",
        (200, b"abc0123456789", True),
    ),
    (
        "chunked with trailers",
        OK + b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n000\r\nTrailer: a\r\nOther: b\r\n\r\n",
        (200, b"x", True),
    ),
    ("no chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (200, b"", True)),
]  # fmt: skip

MALFORMED = [
    ("not HTTP", b"SSH-2.0-OpenSSH\r\n"),
    ("HTTP/2", b"HTTP/2 200\r\n\r\n"),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n"),
    ("lower case", b"http/1.1 200 OK\r\n\r\n"),
    ("two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("status 099", b"HTTP/1.1 099 OK\r\n\r\n"),
    ("two spaces", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n"),
    ("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    ("one bare line feed", OK + b"A: b\nContent-Length: 0\r\n\r\n"),
    ("carriage return in a value", OK + b"A: b\rc\r\nContent-Length: 0\r\n\r\n"),
    ("folded", OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("space before the colon", OK + b"Content-Length : 0\r\n\r\n"),
    ("no colon", OK + b"Content-Length 0\r\n\r\n"),
    ("empty name", OK + b": 0\r\n\r\n"),
    ("negative length", OK + b"Content-Length: -1\r\n\r\n"),
    ("signed length", OK + b"Content-Length: +1\r\n\r\nx"),
    ("length in hex", OK + b"Content-Length: 0x1\r\n\r\nx"),
    ("no length", OK + b"Content-Length:\r\n\r\n"),
    ("endless length", OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"),
    ("two lengths", OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    ("length and chunked", OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked, gzip", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("gzip", OK + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
    ("gzip, chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("nothing, chunked", OK + b"Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("identity", OK + b"Transfer-Encoding: identity\r\n\r\nx"),
    ("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("switching protocols", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ("excess", OK + b"Content-Length: 1\r\n\r\nxy"),
    ("excess after chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"),
    ("body with 204", b"HTTP/1.1 204 No\r\n\r\nx"),
    ("chunk size", OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n"),
    ("empty chunk size", OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n"),
    ("chunk size too large", OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 17 + b"\r\n"),
    ("white space before an extension", OK + b"Transfer-Encoding: chunked\r\n\r\n1 ;x\r\nx\r\n0\r\n\r\n"),
    ("chunk size with a bare line feed", OK + b"Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"),
    ("chunk longer than said", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n"),
    ("length as a trailer", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 0\r\n\r\n"),
    ("trailer without colon", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx\r\n\r\n"),
]

# What the parser reads no further, though the server may be right.
TOO_LONG = [
    ("interim without end", b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1)),
    ("head too large", OK + b"A: " + b"x" * MAX_HEAD + b"\r\n\r\n"),
    ("head too large, unfinished", OK + b"A: " + b"x" * MAX_HEAD),
    (
        "trailers too large",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"x" * MAX_HEAD + b"\r\n\r\n",
    ),
    ("chunk extension too long", OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 17_000),
]

TRUNCATED = [
    ("four bytes", b"HTTP"),
    ("nothing after an interim", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("in the status line", b"HTTP/1.1 20"),
    ("in the head", OK + b"Content-Length: 5\r\n"),
    ("in the body", OK + b"Content-Length: 5\r\n\r\nhell"),
    ("before the body", OK + b"Content-Length: 5\r\n\r\n"),
    ("in a chunk's size", OK + b"Transfer-Encoding: chunked\r\n\r\n1"),
    ("in a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab"),
    ("after a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
    ("before the last line end", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
    ("in the trailers", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n"),
]


def cases(table: list) -> list:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


@pytest.mark.parametrize(("data", "expected"), cases(WHOLE))
def test_whole_in_one_piece_and_cut_at_every_byte(data: bytes, expected: Outcome) -> None:
    assert parse([data]) == expected
    assert parse([data[i : i + 1] for i in range(len(data))]) == expected
    for cut in range(1, len(data)):
        assert parse([data[:cut], data[cut:]]) == expected


@pytest.mark.parametrize("data", cases(TOO_LONG))
def test_too_long_however_it_is_cut(data: bytes) -> None:
    for cut in (len(data), 1, 1000, len(data) // 2):
        assert outcome([data[:cut], data[cut:]]) == "too long"


@pytest.mark.parametrize("size", [60_000, 200_000, 1_000_000])
def test_a_head_larger_than_real_servers_send_is_read(size: int) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40
    head = OK + b"Set-Cookie: " + b"x" * size + b"\r\nContent-Length: 2\r\n\r\n"
    assert outcome([interim + head + b"ok"]) == (200, b"ok", True)


def test_the_limits_are_those_given() -> None:
    parser = Parser(max_head=100, max_interim=1)
    with pytest.raises(TooLong, match=r"more than the 100 bytes that are read \(max_head\)"):
        parser.feed(OK + b"A: " + b"x" * 100)
    parser.reset()
    with pytest.raises(TooLong, match=r"more than the 1 interim responses read \(max_interim\)"):
        parser.feed(b"HTTP/1.1 102 Processing\r\n\r\n" * 2)


def test_codings_before_chunked_leave_the_framing_to_the_chunks() -> None:
    parser = Parser(collect=True)
    assert parser.feed(OK + b"Transfer-Encoding: GZip , Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert parser.head is not None
    assert (parser.head.codings, bytes(parser.body)) == (("gzip",), b"abc")
    parser.reset()
    lines = b"Transfer-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n"
    assert parser.feed(OK + lines + b"\r\n0\r\n\r\n")
    assert parser.head is not None
    assert parser.head.codings == ("deflate",)


@pytest.mark.parametrize(
    ("announced", "seconds"),
    [
        ("timeout=5", 4.0),
        ("max=100, Timeout=2", 1.0),
        ("timeout = 1", 0.5),
        ("timeout=0", 0.0),
        ('timeout="30", max=7', 29.0),
        ("max=100", None),
        ("mytimeout=5", None),
        ("timeout=-5", None),
        ("timeout=5000000000000", None),
    ],
)
def test_for_how_long_a_connection_may_be_idle(announced: str, seconds: float | None) -> None:
    head = parse_head(OK + b"Content-Length: 0\r\nKeep-Alive: " + announced.encode() + b"\r\n\r\n")
    assert head.idle_limit == (None if seconds is None else seconds * 1e9)


@pytest.mark.parametrize("data", cases(MALFORMED))
def test_malformed_however_it_is_cut(data: bytes) -> None:
    assert outcome([data]) == "malformed"
    step = max(1, len(data) // 100)
    for cut in range(1, len(data), step):
        # Excess that comes later is for whoever owns the connection to notice: the parser keeps saying so.
        assert outcome([data[:cut], data[cut:]]) == "malformed"


@pytest.mark.parametrize("data", cases(TRUNCATED))
def test_truncated_however_it_is_cut(data: bytes) -> None:
    assert outcome([data]) == "truncated"
    for cut in range(1, len(data)):
        assert outcome([data[:cut], data[cut:]]) == "truncated"


@pytest.mark.parametrize(("data", "expected"), cases(WHOLE))
def test_every_proper_beginning_is_truncated_unless_the_end_ends_it(data: bytes, expected: Outcome) -> None:
    ends_with_connection = not expected[2] and b"ength" not in data
    head_end = data.find(b"\r\n\r\n") + 4
    for cut in range(1, len(data)):
        found = outcome([data[:cut]])
        if ends_with_connection and cut >= head_end:
            assert found == (expected[0], data[head_end:cut], False)
        else:
            assert found == "truncated"


def test_head_request_has_no_body_whatever_the_headers_say() -> None:
    assert parse([OK + b"Content-Length: 5\r\n\r\n"], head=True) == (200, b"", True)
    assert parse([OK + b"Transfer-Encoding: chunked\r\n\r\n"], head=True) == (200, b"", True)


def test_reset_forgets_the_response() -> None:
    parser = Parser(collect=True)
    assert parser.feed(OK + b"Content-Length: 2\r\n\r\nabz")
    parser.reset()
    assert not parser.feed(b"HTTP/1.1 404 No\r\nContent-Length: 1\r\n")
    assert parser.feed(b"\r\nc")
    assert parser.head is not None
    assert (parser.head.status, bytes(parser.body), parser.excess) == (404, b"c", False)


def test_size_counts_head_and_body_as_received() -> None:
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n"
    parser = Parser()
    assert parser.feed(b"HTTP/1.1 100 Continue\r\n\r\n" + data)
    assert parser.size == len(data)
    assert not parser.body


def test_collected_body_is_bounded() -> None:
    parser = Parser(collect=True)
    parser.feed(OK + b"Content-Length: 999999999\r\n\r\n")
    for _unused in range(256):
        parser.feed(b"x" * 65536)
    with pytest.raises(TooLong, match="longer than the 16 MiB that are read of one"):
        parser.feed(b"x")


# h11 as the oracle

token = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=12).map(
    str.encode
)
text = st.text([chr(c) for c in (*range(0x21, 0x7F), *range(0x80, 0x100))], max_size=20).map(
    lambda value: value.encode("latin-1")
)
RESERVED = (b"content-length", b"transfer-encoding", b"connection", b"upgrade")
headers = st.lists(st.tuples(token, text).filter(lambda pair: pair[0].lower() not in RESERVED), max_size=5)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A well-formed response, framed in any of the ways there are."""
    status = draw(st.sampled_from((200, 201, 204, 304, 404, 500, 503)))
    version = draw(st.sampled_from((b"1.1", b"1.1", b"1.0")))
    body = draw(st.binary(max_size=60))
    lines = [b"%s: %s\r\n" % pair for pair in draw(headers)]
    connection = draw(st.sampled_from((b"", b"Connection: close\r\n", b"connection: Keep-Alive\r\n")))
    framing = draw(st.sampled_from(("length", "chunked", "eof")))
    tail = body
    if status in (204, 304):
        tail = b""
    elif framing == "length":
        lines.append(b"Content-Length: %d\r\n" % len(body))
    elif framing == "chunked" and version == b"1.1":
        lines.append(b"Transfer-Encoding: chunked\r\n")
        cuts = (
            sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=3))) if len(body) > 1 else []
        )
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)])]
        tail = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
        tail += b"0\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in draw(headers)) + b"\r\n"
    lines = draw(st.permutations([*lines, connection]))
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" if version == b"1.1" and draw(st.booleans()) else b""
    reason = draw(st.sampled_from((b" OK", b" ", b"")))
    return interim + b"HTTP/%s %d%s\r\n" % (version, status, reason) + b"".join(lines) + b"\r\n" + tail


@settings(max_examples=200, deadline=None)
@given(responses(), st.data())
def test_well_formed_as_h11_reads_it_cut_at_every_byte(data: bytes, draw: st.DataObject) -> None:
    expected = oracle(data)
    assert expected is not None
    assert parse([data])[:2] == expected
    for cut in range(1, len(data)):
        assert parse([data[:cut], data[cut:]])[:2] == expected
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
    assert parse(pieces)[:2] == expected


@settings(max_examples=400, deadline=None)
@given(responses(), st.data())
def test_damaged_is_never_read_as_what_h11_does_not_read(data: bytes, draw: st.DataObject) -> None:
    """Whatever we call whole, h11 reads alike; and every way to cut the bytes gives one outcome."""
    damaged = bytearray(data)
    for _unused in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, max(0, len(damaged) - 1)))
        kind = draw.draw(st.sampled_from(("change", "insert", "delete", "cut")))
        byte = draw.draw(st.sampled_from(list(b"\r\n :;0159afA\0\t\x7f\xff,-")))
        if kind == "change" and damaged:
            damaged[at] = byte
        elif kind == "insert":
            damaged.insert(at, byte)
        elif kind == "delete" and damaged:
            del damaged[at]
        elif damaged:
            del damaged[at:]
    found = outcome([bytes(damaged)])
    if isinstance(found, tuple):
        assert oracle(bytes(damaged)) == found[:2]
    for cut in range(1, len(damaged)):
        assert outcome([bytes(damaged[:cut]), bytes(damaged[cut:])]) == found
