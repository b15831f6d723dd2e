# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams that are wrong in what their events say, in whatever pieces they come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.sse.events import EventParser
from ansible_collections.iter8.kfserving.plugins.module_utils._load.sse.protocols import (
    AnswerProgress,
    WrongStream,
)


def part(index: Any = 0, text: str = "a", reason: str | None = None, **more: Any) -> str:
    return json.dumps(
        {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}], **more}
    )


def stream(*events: str, end: str = "\n") -> str:
    return "".join(f"data: {event}{end}{end}" for event in events)


FINISH, DONE = part(text="", reason="stop"), "[DONE]"
OVER = stream(FINISH, DONE)


def judged(body: str, size: int) -> str:
    """The class of failure; empty for a stream that is whole."""
    parser, progress, tokens = EventParser(), AnswerProgress(), 0
    data = body.encode()
    try:
        for at in range(0, len(data), size):
            for event in parser.feed(data[at : at + size]):
                tokens += progress.read(event)[1]
        progress.end(tokens, True)
    except WrongStream as wrong:
        return wrong.kind
    return ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (stream(part()) + OVER, ""),
        (stream(part(), FINISH, DONE, end="\r"), ""),
        (f"data: {part()}\r\n\rdata: {FINISH}\n\r\ndata: [DONE]\r\r", ""),
        (stream(part(text=DONE)) + OVER, ""),
        (stream(part()) + OVER + ": bye\n\n", ""),
        (stream(part(id="", model=""), part(id="x", model="m"), FINISH, DONE), ""),
        (stream(part(id="x"), part(id="x"), '{"choices": [], "id": "x"}', FINISH, DONE), ""),
        (stream('{"text_output": ["a"], "model_name": "m"}'), ""),
        (stream(part(id="x"), part(id="y")) + OVER, "stream_malformed"),
        (stream(part(model="m"), part(model="n")) + OVER, "stream_malformed"),
        (
            stream('{"text_output": "a", "model_name": "m"}', '{"text_output": "a", "model_name": "n"}'),
            "stream_malformed",
        ),
        (stream(part(), '{"text_output": "a"}') + OVER, "stream_malformed"),
        (stream('{"text_output": "a"}', part()) + OVER, "stream_malformed"),
        (stream('{"text_output": "a", "finish_reason": "stop"}', '{"text_output": "b"}'), "stream_malformed"),
        (stream('{"text_output": 5}'), "stream_malformed"),
        (
            stream('{"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": NaN}]}') + OVER,
            "stream_malformed",
        ),
        (stream(part(-1), part(-1, reason="stop"), DONE), "stream_malformed"),
        (stream(part(True)) + OVER, "stream_malformed"),
        (stream(part(), "[1]") + OVER, "stream_malformed"),
        (stream(part()) + "data\n\n" + OVER, "stream_malformed"),
        (stream(part()) + OVER + stream(DONE), "stream_malformed"),
        (stream(part()) + "event: error\n\n" + OVER, "stream_error"),
        (stream(part()) + "event: error\ndata: {}\n\n" + OVER, "stream_error"),
        (stream(part(), '{"error": "x"}') + OVER, "stream_error"),
        (stream(part(reason="error"), DONE), "stream_error"),
        (stream(part(reason="cancelled"), DONE), "stream_error"),
        (stream(part(reason="timeout"), DONE), "stream_error"),
        (
            stream('{"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}', DONE),
            "stream_malformed",
        ),
        (stream('{"choices": [{"index": 0, "message": {}, "delta": {"content": "a"}}]}') + OVER, ""),
        (stream('{"choices": [{"index": 0, "delta": "a"}]}') + OVER, "stream_malformed"),
        (stream('{"choices": [{"index": 0, "delta": {"content": 5}}]}') + OVER, "stream_malformed"),
        (stream('{"choices": [{"index": 0, "delta": {"content": ["a"]}}]}') + OVER, ""),
        (stream('{"choices": [{"index": 0, "text": true}]}') + OVER, "stream_malformed"),
        (stream(part(), FINISH, '{"choices": [{"index": 0, "content_filter_offsets": {}}]}', DONE), ""),
        (stream(part(), DONE), "stream_unfinished"),
        (stream(part(), part(text="", reason=""), DONE), "stream_unfinished"),
        (stream(part(0), part(1), FINISH, DONE), "stream_unfinished"),
        (stream('{"choices": []}', DONE), "stream_empty"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_what_a_stream_says_decides_what_it_is(body: str, kind: str, size: int) -> None:
    assert judged(body, size) == kind
