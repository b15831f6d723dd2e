# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser of event streams, against the standard's own words and every way to cut a stream."""

from __future__ import annotations

import re

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import TooLong
from ansible_collections.iter8.kfserving.plugins.module_utils._load.sse.events import EventParser, StreamEvent
from hypothesis import given
from hypothesis import strategies as st

# Those of the web platform's own tests (eventsource/format-*), and the standard's examples.
VECTORS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("one", "data: a\n\n", [("message", "a")]),
    ("no space", "data:a\n\n", [("message", "a")]),
    ("one space goes", "data:\ttest\rdata: \ndata:test\n\n", [("message", "\ttest\n\ntest")]),
    (
        "field parsing",
        "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\n"
        "data:4\n\n",
        [("message", "\0\n 2\n1\n3\n\n4")],
    ),
    ("newlines", "data:test\r\n\ndata\ndata:test\r\n\r\n", [("message", "test"), ("message", "\ntest")]),
    ("a mark", "\ufeffdata:1\n\n\ufeffdata:2\n\ndata:3\n\n", [("message", "1"), ("message", "3")]),
    ("two marks", "\ufeff\ufeffdata:1\n\ndata:2\n\ndata:3\n\n", [("message", "2"), ("message", "3")]),
    ("comments", f"data:1\r:{'x' * 2048}\n:{'x' * 2048}\rdata:2\n:\0\ndata:3\n\n", [("message", "1\n2\n3")]),
    ("comment before colon", " data:1\n\ndata:2\n\n", [("message", "2")]),
    ("event", "event:test\ndata:x\n\ndata:x\n\n", [("test", "x"), ("message", "x")]),
    ("empty event", "event: \ndata:data\n\n", [("message", "data")]),
    ("unknown", "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
     [("message", "test\n\ntest")]),
    ("empty data", "data:\n\ndata\ndata\n\ndata:test\n\n",
     [("message", ""), ("message", "\n"), ("message", "test")]),
    ("event without data", "event: x\n\ndata: y\n\n", [("message", "y")]),
    ("null", "data:\0\n\n\n\n", [("message", "\0")]),
    ("end of file", "data: a\n\ndata: b\n", [("message", "a")]),
    ("stocks", "data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10")]),
    ("only carriage returns", "data:1\r\rdata:2\r\r", [("message", "1"), ("message", "2")]),
    ("other separators are no line ends", "data:a\x0bb\x0cc\x85d\n\n", [("message", "a\x0bb\x0cc\x85d")]),
]  # fmt: skip


def parse(*pieces: bytes) -> list[StreamEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def told(events: list[StreamEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.data.decode()) for event in events]


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in VECTORS], ids=[row[0] for row in VECTORS])
def test_vectors_whole_and_cut_at_every_byte(stream: str, events: list[tuple[str, str]]) -> None:
    data = stream.encode()
    assert told(parse(data)) == events
    assert told(parse(*(data[k : k + 1] for k in range(len(data))))) == events
    if len(data) < 300:
        for at in range(len(data)):
            assert told(parse(data[:at], data[at:])) == events


def standard(data: bytes) -> list[StreamEvent]:
    """The standard's algorithm line by line, over a whole stream; slow, and plain to see."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    lines = re.split(rb"\r\n|\n|\r", data)[:-1]
    events, buffer, kind, ident = [], b"", b"", b""
    for line in lines:
        if line == b"":
            if buffer:
                events.append(StreamEvent(kind.decode("utf-8", "replace") or "message", buffer[:-1], ident))
            buffer, kind = b"", b""
            continue
        if line.startswith(b":"):
            continue
        name, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if name == b"event":
            kind = value
        elif name == b"data":
            buffer += value + b"\n"
        elif name == b"id" and b"\0" not in value:
            ident = value
    return events


PIECES = st.sampled_from(
    [b"data", b"event", b"id", b"retry", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"\0",
     b"\xef\xbb\xbf", b"\xef", b"\xbb", b"\xe2\x82\xac", b"[DONE]", b"data: ", b"1"]
)  # fmt: skip
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)


@given(STREAMS | st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=10))
def test_any_stream_cut_anywhere_is_what_the_standard_makes_of_it(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in zip(places, places[1:])]
    assert parse(*pieces) == standard(data)
    assert parse(*(data[k : k + 1] for k in range(len(data)))) == standard(data)


@given(STREAMS)
def test_where_nothing_is_unfinished_no_event_was_cut_off(data: bytes) -> None:
    parser = EventParser()
    parser.feed(data)
    if not parser.unfinished:
        assert parser.feed(b"\n\n") == []


@pytest.mark.parametrize(
    ("data", "unfinished"),
    [
        (b"", False),
        (b"data: x\n\n", False),
        (b"data: x\n\n: comment", False),
        (b": comment\n", False),
        (b"data: x\n", True),
        (b"data: x", True),
        (b"da", True),
        (b"event: error\n", True),
        (b"id: 3\n", False),
        (b"data: x\r\r", False),
        (b"data: x\r\n\r", False),
    ],
)
def test_unfinished(data: bytes, unfinished: bool) -> None:
    parser = EventParser()
    parser.feed(data)
    assert parser.unfinished is unfinished


def test_id_and_retry() -> None:
    parser = EventParser()
    stream = b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: 7\0\nretry: 30\nretry: 3x\nretry:\ndata: d\n\n"
    assert [event.ident for event in parser.feed(stream)] == [b"1", b"1", b"", b""]
    assert parser.retry == 30
    assert parse(b"retry: " + b"9" * 5000 + b"\ndata: a\n\n") == [StreamEvent("message", b"a", b"")]


def test_damaged_utf8_stays_as_it_came() -> None:
    assert parse(b"data: \xe2\x82\n\ndata: \xff\n\n") == [
        StreamEvent("message", b"\xe2\x82", b""),
        StreamEvent("message", b"\xff", b""),
    ]


def test_what_is_held_of_one_event_is_bounded() -> None:
    parser = EventParser(limit=100)
    for _unused in range(50):
        assert len(parser.feed(b"data: 45 bytes of data in a line of an event....\n\n")) == 1
    with pytest.raises(TooLong, match="an event is longer than"):
        parser.feed(b"data: 45 bytes of data in a line of an event....\n" * 3)
    parser = EventParser(limit=100)
    for _unused in range(100):
        assert parser.feed(b"x") == []
    with pytest.raises(TooLong):
        parser.feed(b"x")
    for line in (b"data\n", b"data:\n"):  # each is a line feed of the event's data
        parser = EventParser(limit=100)
        assert parser.feed(line * 100) == []
        with pytest.raises(TooLong):
            parser.feed(line)
