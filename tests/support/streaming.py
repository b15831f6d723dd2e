# SPDX-License-Identifier: GPL-3.0-or-later
"""Streamed answers, right and wrong in many ways, and a record of what was really sent of each.

What is to be made of an answer follows from its record alone (`judged`), not from what a fault is called.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

_GIVEN_UP = ("abort", "error", "cancelled", "timeout")


class Visit(Protocol):
    """One request as a server sees it; see the component tests' conftest."""

    sock: socket.socket
    head: bytes
    body: bytes

    def send(self, data: bytes) -> None: ...
    def hang(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class Record:
    """What was sent of one answer, in order.

    `steps` are the events: `token`, `open N` (a choice without text), `end N REASON`, `done`, `error`,
    `broken` (no event of the protocol), `cut` (one that lacks its empty line). `ended` is how the response
    ended: `whole`, `fin` (closed without a final chunk, or in the middle of one), `rst`, `stall`, `garbage`
    (bytes that are no chunk), `excess` (bytes after the end).
    """

    name: str
    status: int = 200
    is_stream: bool = True
    coded: bool = False
    bounded: bool = True
    openai: bool = True
    begun: bool = False
    steps: list[str] = field(default_factory=list)
    ended: str = ""

    @property
    def tokens(self) -> int:
        """How many tokens of a stream were sent before the first thing that was wrong."""
        count, over = 0, set()
        if self.status != 200 or not self.is_stream or self.coded:
            return 0
        for step in self.steps:
            what, _unused, rest = step.partition(" ")
            if what in ("error", "broken", "cut") or "done" in over:
                break
            if what == "token" and rest in over:
                break
            count += what == "token"
            if what == "end":
                index, _unused, reason = rest.partition(" ")
                if reason in _GIVEN_UP:
                    break
                over.add(index)
            if what == "done":
                over.add("done")
        return count


def _in_the_stream(record: Record) -> str:
    """The class of the first wrong event, empty where all are right."""
    over: set[str] = set()
    done = False
    for step in record.steps:
        what, _unused, rest = step.partition(" ")
        if what == "cut":
            continue
        if done or what == "broken" or (what == "token" and rest in over):
            return "stream_malformed"
        if what == "error" or (what == "end" and rest.split()[-1] in _GIVEN_UP):
            return "stream_error"
        if what == "end":
            over.add(rest.split()[0])
        done = done or what == "done"
    return ""


_BY_END = {
    "fin": "truncated",
    "rst": "reset",
    "stall": "timeout",
    "garbage": "malformed",
    "excess": "malformed",
}


def judged(record: Record) -> str:
    """The class that a client has to give the answer, empty where it is whole."""
    if not record.begun:
        return {**_BY_END, "fin": "reset"}[record.ended]
    if record.status != 200:
        return "status" if record.ended == "whole" else _BY_END[record.ended]
    if not record.is_stream or record.coded:
        wrong = "stream_type" if not record.is_stream else "client"
        return wrong if record.ended == "whole" else _BY_END[record.ended]
    found = _in_the_stream(record)
    if found or record.ended != "whole":
        return found or _BY_END[record.ended]
    return _at_the_end(record)


def _at_the_end(record: Record) -> str:
    """What is missing of a response that is whole and has nothing wrong in it."""
    seen, over = set(), set()
    for step in record.steps:
        what, _unused, rest = step.partition(" ")
        if what in ("token", "open"):
            seen.add(rest)
        elif what == "end":
            seen.add(rest.split()[0])
            over.add(rest.split()[0])
    if any(step == "cut" for step in record.steps):
        return "stream_malformed"
    if not seen:
        return "stream_empty"
    if not record.openai:
        return "" if record.bounded or over else "truncated"
    if seen - over:
        return "stream_unfinished"
    return "" if "done" in record.steps else "stream_no_done"


class Stream:
    """Sends one answer piece by piece and notes each."""

    def __init__(self, visit: Visit, record: Record, *, completions: bool = False) -> None:
        self._visit = visit
        self._completions = completions
        self.record = record
        self._chunked = True

    def head(
        self,
        *,
        kind: str = "text/event-stream; charset=utf-8",
        status: int = 200,
        chunked: bool = True,
        more: str = "",
    ) -> Stream:
        """Begin to answer."""
        framing = "Transfer-Encoding: chunked\r\n" if chunked else "Connection: close\r\n"
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        self._chunked = chunked
        self.record.begun = True
        self.record.status = status
        self.record.bounded = chunked
        self.record.is_stream = kind.lower().startswith("text/event-stream")
        self.record.coded = "gzip" in more
        text = f"HTTP/1.1 {status} X\r\n{typed}{more}X-Revision: rev-1\r\n{framing}\r\n"
        self._visit.send(text.encode())
        return self

    def early(self) -> Stream:
        """A response that goes before the one that counts."""
        self._visit.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        return self

    def raw(self, data: bytes, extension: bytes = b"") -> Stream:
        """Bytes of the body, as one chunk."""
        self._visit.send(b"%x%s\r\n%s\r\n" % (len(data), extension, data) if self._chunked else data)
        return self

    def event(self, data: bytes, step: str, end: bytes = b"\n\n") -> Stream:
        """An event with this data, to be noted so."""
        self.record.steps.append(step)
        return self.raw(b"data: " + data + end)

    def chunk(self, step: str, **choice: Any) -> Stream:
        """A chunk of OpenAI's with one choice."""
        body = {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
        return self.event(json.dumps(body).encode(), step)

    def token(self, index: int = 0, text: str = "word ") -> Stream:
        """Some text of a choice."""
        if not self.record.openai:
            body = {"model_name": "m", "text_output": text}
            return self.event(json.dumps(body).encode(), f"token {index}")
        part = {"text": text} if self._completions else {"delta": {"content": text}}
        return self.chunk(f"token {index}", index=index, finish_reason=None, **part)

    def opened(self, index: int = 0) -> Stream:
        """The role of a choice, which is no token."""
        return self.chunk(
            f"open {index}", index=index, finish_reason=None, delta={"role": "assistant", "content": ""}
        )

    def finish(self, index: int = 0, reason: str = "stop") -> Stream:
        """The end of a choice."""
        return self.chunk(f"end {index} {reason}", index=index, finish_reason=reason, delta={})

    def done(self) -> Stream:
        """OpenAI's last event."""
        return self.event(b"[DONE]", "done")

    def end(self, trailers: bytes = b"") -> None:
        """The response is whole."""
        self.record.ended = "whole"
        if self._chunked:
            self._visit.send(b"0\r\n%s\r\n" % trailers)
        else:
            self._visit.close()

    def close(self, part: bytes = b"") -> None:
        """Hang up, with a part of something before it."""
        self.record.ended = "fin"
        self._visit.send(part)
        self._visit.close()

    def reset(self) -> None:
        """Hang up by a RST, once the peer has had time to read what came before: a RST throws that away."""
        self.record.ended = "rst"
        threading.Event().wait(0.1)
        self._visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._visit.close()

    def stall(self) -> None:
        """Say nothing more."""
        self.record.ended = "stall"
        self._visit.hang()

    def garbage(self, data: bytes, ended: str = "garbage") -> None:
        """Bytes that are none of the response, and the end of the connection."""
        self.record.ended = ended
        self._visit.send(data)
        self._visit.close()


def _good(s: Stream) -> None:
    s.head().opened().token().token().token().finish().done().end()


def _two_choices(s: Stream) -> None:
    s.head().token(0).token(1).finish(1).token(0).finish(0, "length").done().end()


def _usage_last(s: Stream) -> None:
    s.head().token().finish()
    s.event(
        b'{"object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 3}}', "usage"
    ).done().end()


def _comments(s: Stream) -> None:
    s.head().raw(b": ping\n\n: ping\r\n\r\n").token().raw(b":\n").token().finish().done().raw(
        b": bye\n\n"
    ).end()


def _lines_of_all_kinds(s: Stream) -> None:
    s.head().raw(b"\xef\xbb\xbfid: 1\revent: message\r").token().raw(b"retry: 10\r\n\r\n")
    s.event(b'{"choices":\rdata:[{"index": 0, "text": "a"}]}', "token 0", b"\r\r").finish().done().end()


def _split_anywhere(s: Stream) -> None:
    s.head()
    s.record.steps += ["token 0", "end 0 stop", "done"]
    whole = (
        'data: {"choices": [{"index": 0, "delta": {"content": "größe \U0001f600"}}]}\n\n'
        'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    ).encode()
    for at in range(0, len(whole), 3):
        s.raw(whole[at : at + 3])
    s.end()


def _no_token_at_all(s: Stream) -> None:
    s.head().opened().finish().done().end()


def _tool_call(s: Stream) -> None:
    s.head().opened()
    s.chunk("token 0", index=0, delta={"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]})
    s.finish(0, "tool_calls").done().end()


def _until_eof(s: Stream) -> None:
    s.head(chunked=False).token().finish().done().end()


def _after_early_hints(s: Stream) -> None:
    s.early().head(more="Content-Encoding: Identity\r\n").token().finish().done().end()


def _chunks_of_all_kinds(s: Stream) -> None:
    s.head().token().raw(b": ping\n\n", b';a="b";c').finish().done().end(b"X-Cost: 1\r\nY:2\r\n")


def _fields_of_all_kinds(s: Stream) -> None:
    s.head().raw(
        b"retry: " + b"9" * 5000 + b"\nretry: soon\nid: a\0b\nwhat: ever\n\n"
    ).token().finish().done()
    s.end()


def _of_azure(s: Stream) -> None:
    s.head().event(b'{"id": "", "model": "", "choices": [], "prompt_filter_results": []}', "usage")
    s.token().finish()
    s.event(b'{"id": "", "choices": [{"index": 0, "content_filter_offsets": {}}]}', "filter").done().end()


def _of_perplexity(s: Stream) -> None:
    s.head().chunk("token 0", index=0, message={"content": "word "}, delta={"content": "word "})
    s.finish().done().end()


def _a_long_line(s: Stream) -> None:
    s.head().token(text="x" * 1_000_000).finish().done().end()


def _cancelled(s: Stream) -> None:
    s.head().token().finish(0, "cancelled").done().end()


def _timed_out(s: Stream) -> None:
    s.head().token().finish(0, "timeout").done().end()


def _a_whole_message_in_an_event(s: Stream) -> None:
    s.head().chunk("broken", index=0, message={"content": "word"}, finish_reason="stop").done().end()


def _a_part_that_is_no_text(s: Stream) -> None:
    s.head().token().chunk("broken", index=0, delta={"content": 5}).finish().done().end()


def _a_part_that_is_no_object(s: Stream) -> None:
    s.head().token().chunk("broken", index=0, delta="word").finish().done().end()


def _lines_and_no_events(s: Stream) -> None:
    s.head().raw(b'{"choices": [{"index": 0, "text": "a"}]}\n{"choices": []}\n').end()


def _shorter_than_its_length(s: Stream) -> None:
    s.head(chunked=False, more="Content-Length: 9999\r\n").token().finish().done().close()


def _empty_stream(s: Stream) -> None:
    s.head().end()


def _comments_alone(s: Stream) -> None:
    s.head().raw(b": ping\n\n").end()


def _done_alone(s: Stream) -> None:
    s.head().done().end()


def _usage_alone(s: Stream) -> None:
    s.head().event(b'{"choices": [], "usage": {}}', "usage").done().end()


def _no_done(s: Stream) -> None:
    s.head().token().finish().end()


def _done_not_ended(s: Stream) -> None:
    s.head().token().finish().event(b"[DONE]", "cut", b"\n").end()


def _no_finish_reason(s: Stream) -> None:
    s.head().token().token().done().end()


def _one_of_two_not_finished(s: Stream) -> None:
    s.head().token(0).token(1).finish(0).done().end()


def _opened_and_not_finished(s: Stream) -> None:
    s.head().opened(0).token(1).finish(1).done().end()


def _ends_early(s: Stream) -> None:
    s.head().token().token().end()


def _aborted(s: Stream) -> None:
    s.head().token().finish(0, "abort").done().end()


def _error_object(s: Stream) -> None:
    s.head().token().event(
        b'{"error": {"message": "s3cret", "type": "Internal", "code": 500}}', "error"
    ).done().end()


def _error_text(s: Stream) -> None:
    s.head().token().event(b'{"error": "s3cret"}', "error").end()


def _old_error_object(s: Stream) -> None:
    s.head().event(b'{"object": "error", "message": "s3cret", "code": 400}', "error").done().end()


def _error_event(s: Stream) -> None:
    s.head().token()
    s.record.steps.append("error")
    s.raw(b"event: error\ndata: s3cret\n\n").end()


def _error_then_reset(s: Stream) -> None:
    s.head().token().event(b'{"error": {"message": "s3cret"}}', "error").reset()


def _not_json(s: Stream) -> None:
    s.head().token().event(b'{"choices": [', "broken").finish().done().end()


def _a_list(s: Stream) -> None:
    s.head().event(b"[]", "broken").token().finish().done().end()


def _unknown_object(s: Stream) -> None:
    s.head().token().event(b'{"type": "message_delta"}', "broken").finish().done().end()


def _choices_of_no_kind(s: Stream) -> None:
    s.head().event(b'{"choices": {"index": 0}}', "broken").token().finish().done().end()


def _half_a_character(s: Stream) -> None:
    text = '{"choices": [{"index": 0, "delta": {"content": "€"}}]}'.encode().replace(b"\xac", b"")
    s.head().token().event(text, "broken").finish().done().end()


def _cut_in_a_character(s: Stream) -> None:
    s.head().token()
    s.record.steps.append("cut")
    s.raw('data: {"choices": [{"index": 0, "text": "€'.encode()[:-1]).end()


def _after_done(s: Stream) -> None:
    s.head().token().finish().done().event(b'{"choices": []}', "broken").end()


def _two_dones(s: Stream) -> None:
    s.head().token().finish().done().done().end()


def _goes_on_after_its_end(s: Stream) -> None:
    s.head().token().finish().token().done().end()


def _html(s: Stream) -> None:
    s.head(kind="text/html").raw(b"<p>Sign in</p>").end()


def _json_instead(s: Stream) -> None:
    s.head(kind="application/json").raw(b'{"error": {"message": "s3cret", "code": 429}}').end()


def _no_type(s: Stream) -> None:
    s.head(kind="").token().finish().done().end()


def _whole_answer_instead(s: Stream) -> None:
    s.head(kind="application/json").raw(
        b'{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}'
    ).end()


def _compressed(s: Stream) -> None:
    s.head(more="Content-Encoding: gzip\r\n").raw(b"\x1f\x8b...").end()


def _unavailable(s: Stream) -> None:
    s.head(status=503).raw(b"no healthy upstream").end()


def _closed_without_final_chunk(s: Stream) -> None:
    s.head().token().finish().done().close()


def _closed_in_mid_stream(s: Stream) -> None:
    s.head().token().token().close()


def _cut_in_a_chunk(s: Stream) -> None:
    s.head().token().close(b"40\r\ndata: {")


def _reset_in_mid_stream(s: Stream) -> None:
    s.head().token().token().token().reset()


def _reset_before_the_first_token(s: Stream) -> None:
    s.head().opened().reset()


def _closed_before_the_head(s: Stream) -> None:
    s.close()


def _stalls(s: Stream) -> None:
    s.head().token().token().stall()


def _stalls_before_the_first_token(s: Stream) -> None:
    s.head().stall()


def _pings_for_ever(s: Stream) -> None:
    s.head().token()
    s.record.ended = "stall"
    for _unused in range(500):  # ends once the client has hung up
        s.raw(b": ping\n\n")
        threading.Event().wait(0.02)


def _no_chunk(s: Stream) -> None:
    s.head().token().garbage(b"data: [DONE]\n\n")


def _bytes_after_the_end(s: Stream) -> None:
    s.head().token().finish().done().garbage(b"0\r\n\r\nHTTP/1.1 200 OK\r\n", "excess")


def _v2(s: Stream) -> None:
    s.record.openai = False
    s.head().token().token().event(b'{"model_name": "m", "text_output": ""}', "open 0").end()


def _v2_reason(s: Stream) -> None:
    s.record.openai = False
    s.head().token().event(
        b'{"text_output": "", "details": {"finish_reason": "eos_token"}}', "end 0 eos_token"
    ).end()


def _v2_error(s: Stream) -> None:
    s.record.openai = False
    s.head().token().event(b'{"error": "s3cret"}', "error").end()


def _v2_closed(s: Stream) -> None:
    s.record.openai = False
    s.head().token().close()


def _v2_until_eof(s: Stream) -> None:
    s.record.openai = False
    s.head(chunked=False).token().end()


RIGHT = {
    "good": _good, "two choices": _two_choices, "usage last": _usage_last, "comments": _comments,
    "lines of all kinds": _lines_of_all_kinds, "split anywhere": _split_anywhere,
    "no token at all": _no_token_at_all, "tool call": _tool_call, "until eof": _until_eof, "v2": _v2,
    "v2 with a reason": _v2_reason, "after early hints": _after_early_hints,
    "chunks of all kinds": _chunks_of_all_kinds, "fields of all kinds": _fields_of_all_kinds,
    "of azure": _of_azure, "of perplexity": _of_perplexity, "a long line": _a_long_line,
}  # fmt: skip
WRONG = {
    "empty stream": _empty_stream, "comments alone": _comments_alone, "done alone": _done_alone,
    "usage alone": _usage_alone, "no done": _no_done, "done not ended": _done_not_ended,
    "no finish reason": _no_finish_reason, "one of two not finished": _one_of_two_not_finished,
    "opened and not finished": _opened_and_not_finished, "ends early": _ends_early, "aborted": _aborted,
    "error object": _error_object, "error text": _error_text, "old error object": _old_error_object,
    "error event": _error_event, "error then reset": _error_then_reset, "not json": _not_json,
    "a list": _a_list, "unknown object": _unknown_object, "choices of no kind": _choices_of_no_kind,
    "half a character": _half_a_character, "cut in a character": _cut_in_a_character,
    "after done": _after_done, "two dones": _two_dones, "goes on after its end": _goes_on_after_its_end,
    "html": _html, "json instead": _json_instead, "no type": _no_type,
    "whole answer instead": _whole_answer_instead, "compressed": _compressed, "unavailable": _unavailable,
    "closed without final chunk": _closed_without_final_chunk, "closed in mid stream": _closed_in_mid_stream,
    "cut in a chunk": _cut_in_a_chunk, "reset in mid stream": _reset_in_mid_stream,
    "reset before the first token": _reset_before_the_first_token,
    "closed before the head": _closed_before_the_head, "stalls": _stalls,
    "stalls before the first token": _stalls_before_the_first_token, "pings for ever": _pings_for_ever,
    "no chunk": _no_chunk, "bytes after the end": _bytes_after_the_end, "v2 error": _v2_error,
    "cancelled": _cancelled, "timed out": _timed_out,
    "a whole message in an event": _a_whole_message_in_an_event,
    "a part that is no text": _a_part_that_is_no_text,
    "a part that is no object": _a_part_that_is_no_object, "lines and no events": _lines_and_no_events,
    "shorter than its length": _shorter_than_its_length, "v2 closed": _v2_closed,
    "v2 until eof": _v2_until_eof,
}  # fmt: skip
ALL: dict[str, Callable[[Stream], None]] = {**RIGHT, **WRONG}


class Server:
    """The behaviour of a server that answers as a request's body names it; `records` by the request's id."""

    def __init__(self, *, completions: bool = False) -> None:
        self.records: dict[str, Record] = {}
        self._completions = completions

    def __call__(self, visit: Visit) -> None:
        name = json.loads(visit.body)["answer"]
        ident = re.search(rb"\r\nX-Request-Id: (\S+)", visit.head)
        assert ident is not None
        record = self.records[ident.group(1).decode()] = Record(name)
        ALL[name](Stream(visit, record, completions=self._completions))
