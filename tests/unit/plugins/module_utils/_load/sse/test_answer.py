# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole or not: any sequence of events, cut into pieces anywhere, is judged by the record of what it was."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.answer import Judge
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import Parser
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.sse.answer import StreamedAnswer
from ansible_collections.iter8.kfserving.plugins.module_utils._load.sse.events import StreamEvent
from ansible_collections.iter8.kfserving.plugins.module_utils._load.sse.protocols import (
    AnswerProgress,
    WrongStream,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.histogram import merged
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.outage import Outages
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.streamed import StreamedCounts
from ansible_collections.iter8.kfserving.tests.support.streaming import Record, Stream, judged
from hypothesis import given
from hypothesis import strategies as st


class Paper:
    """Takes what would be sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.sock: Any = None
        self.head = self.body = b""

    def send(self, data: bytes) -> None:
        self.sent += data

    def hang(self) -> None:
        """Nothing more comes."""

    def close(self) -> None:
        """Nothing more comes."""


def heard(pieces: list[bytes], counts: StreamedCounts | None = None) -> tuple[str, StreamedAnswer]:
    """What is made of a response that is whole with the last piece; each comes a millisecond later."""
    judge = Judge(Options(url="http://h/", stream="sse", revision_field="model"))
    answer = StreamedAnswer(judge, counts or StreamedCounts(), [Outages(0)], due=0)
    parser = Parser(collect=True)
    whole = False
    for number, piece in enumerate(pieces, 1):
        whole = parser.feed(piece)
        answer.take(parser, number * 1_000_000)
    assert whole
    wrong = answer.end()
    return (wrong[0] if wrong else ""), answer


CHOICE = st.integers(0, 2)
STEP = st.one_of(
    st.tuples(st.just("token"), CHOICE),
    st.tuples(st.just("opened"), CHOICE),
    st.tuples(st.just("finish"), CHOICE, st.sampled_from(["stop", "length", "tool_calls", "abort"])),
    st.sampled_from([("token", 0), ("token", 0), ("finish", 0), ("done",), ("done",)]),
    st.sampled_from(
        [
            ("event", b'{"error": {"message": "x"}}', "error"),
            ("event", b"{", "broken"),
            ("event", b"3", "broken"),
            ("event", b"\xff", "broken"),
            ("event", b'{"usage": 1}', "broken"),
            ("event", b'{"choices": []}', "usage"),
            ("raw", b": ping\n\n"),
        ]
    ),
)


def written(steps: list[tuple[Any, ...]]) -> tuple[Record, bytes]:
    record, paper = Record("any"), Paper()
    stream = Stream(paper, record).head()
    for name, *arguments in steps:
        getattr(stream, name)(*arguments)
    stream.end()
    return record, paper.sent


@given(st.lists(STEP, max_size=12), st.lists(st.integers(0, 3000), max_size=12))
def test_any_stream_is_judged_by_its_record(steps: list[tuple[Any, ...]], cuts: list[int]) -> None:
    record, data = written(steps)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    counts = StreamedCounts()
    found, answer = heard([data[a:b] for a, b in zip(places, places[1:])], counts)
    assert found == judged(record)
    assert answer.tokens == record.tokens
    counts.fold()
    told = counts.to_json()
    first, gaps = (merged(told[name].values()).count for name in ("first_token", "token_gap"))
    assert (first, gaps) == (min(1, record.tokens), max(0, record.tokens - 1))


def test_a_stream_cut_at_every_byte() -> None:
    steps = [("opened", 0), ("token", 0, "größe"), ("token", 1), ("finish", 0), ("finish", 1), ("done",)]
    record, data = written(steps)
    assert judged(record) == ""
    for at in range(len(data)):
        assert heard([data[:at], data[at:]])[0] == ""
    found, answer = heard([data[k : k + 1] for k in range(len(data))])
    assert (found, answer.tokens, answer.revision) == ("", 2, "m")


def test_times_are_those_at_which_an_events_end_came() -> None:
    _record, data = written([("token", 0), ("token", 0), ("finish", 0), ("done",)])
    at = data.index(b"word") + 4
    counts = StreamedCounts()
    answer = heard([data[:at], data[at : at + 5], data[at + 5 : at + 120], data[at + 120 :]], counts)[1]
    counts.fold()
    assert answer.first_token == 3_000_000
    first = counts.to_json()["first_token"]["m"]
    assert (first["count"], first["sum"]) == (1, 3000)


def test_a_first_token_is_a_sign_of_life() -> None:
    outages = Outages(0)
    judge = Judge(Options(url="http://h/", stream="sse"))
    answer = StreamedAnswer(judge, StreamedCounts(), [outages], due=0)
    parser = Parser(collect=True)
    parser.feed(written([("token", 0)])[1])
    answer.take(parser, 5_000_000)
    outages.success(1, 0, 8_000_000)
    assert outages.gap == 5_000_000


def test_what_a_failure_of_the_connection_is_told_as() -> None:
    answer = heard([written([("token", 0)])[1]])[1]
    assert answer.why("reset", "it was reset") == ("reset", "it was reset after 1 token")
    answer = heard([written([("token", 0), ("finish", 0), ("done",)])[1]])[1]
    assert answer.why("truncated", "it was closed") == ("truncated", "it was closed after 1 token and [DONE]")
    answer = heard([written([("event", b'{"error": "x"}', "error")])[1]])[1]
    assert answer.why("reset", "it was reset") == (
        "stream_error",
        "an error object came after 0 tokens; then it was reset",
    )


@pytest.mark.parametrize(
    ("data", "is_token"),
    [
        (b'{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}', False),
        (b'{"choices": [{"index": 0, "delta": {"content": null}}]}', False),
        (b'{"choices": [{"delta": {"content": "a"}}]}', True),
        (b'{"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}', True),
        (b'{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]}', True),
        (b'{"choices": [{"index": 0, "text": ""}]}', False),
        (b'{"choices": [{"index": 0, "text": " "}]}', True),
        (b'{"text_output": "a"}', True),
        (b'{"text_output": ""}', False),
        (b'{"error": null, "choices": []}', False),
    ],
)
def test_what_a_token_is(data: bytes, is_token: bool) -> None:
    assert AnswerProgress().read(StreamEvent("message", data, b""))[1] is is_token


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        (
            b'{"error": {"message": "my prompt", "type": "T\\n", "code": 7}}',
            "stream_error",
            "(type T?, code 7)",
        ),
        (b'{"object": "error", "message": "my prompt", "type": "T"}', "stream_error", "(type T)"),
        (b'{"error": "my prompt"}', "stream_error", "an error object came"),
        (b'{"choices": [{"index": "0"}]}', "stream_malformed", "a choice without an index"),
        (b'{"choices": [3]}', "stream_malformed", "a choice without an index"),
        (b'{"choices": [{"index": 0, "finish_reason": 1}]}', "stream_malformed", "that is no text"),
        (b'{"text_output": "", "finish_reason": "error"}', "stream_error", "finish_reason error"),
        (b"[" * 100_000, "stream_malformed", "is not JSON"),
        (b"", "stream_malformed", "is not JSON"),
    ],
)
def test_what_is_wrong_is_said_without_what_was_asked(data: bytes, kind: str, detail: str) -> None:
    with pytest.raises(WrongStream) as wrong:
        AnswerProgress().read(StreamEvent("message", data, b""))
    assert wrong.value.kind == kind
    assert detail in str(wrong.value)
    assert "prompt" not in str(wrong.value)


def test_there_cannot_be_choices_without_end() -> None:
    choices = b", ".join(b'{"index": %d}' % k for k in range(1025))
    with pytest.raises(WrongStream, match="more than 1024 choices"):
        AnswerProgress().read(StreamEvent("message", b'{"choices": [%s]}' % choices, b""))
