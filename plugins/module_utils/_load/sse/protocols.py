# SPDX-License-Identifier: GPL-3.0-or-later
"""What the events of a stream say of the answer: its tokens, its ends, an error, or nothing that is known.

Two protocols are told apart by what their events hold. OpenAI's (chat completions and completions) has
`choices`, of which each that appeared has to end with a finish_reason, and ends with the event `[DONE]`. That
of the V2 protocol's generate_stream has `text_output`, and ends with the response. An error in the stream
counts whatever comes after it: vLLM sends `[DONE]` all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import (
    STREAM_EMPTY,
    STREAM_ERROR,
    STREAM_MALFORMED,
    STREAM_NO_DONE,
    STREAM_UNFINISHED,
    TRUNCATED,
)
from .events import StreamEvent

DONE = b"[DONE]"
# Reasons by which a server says that it gave up, rather than that the answer is over. The last two are
# TensorRT-LLM's.
GIVEN_UP = frozenset(("abort", "error", "cancelled", "timeout"))
MAX_CHOICES = 1024
MAX_SHOWN = 60  # characters shown of what a server calls an error
_TOKENS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
_OPENAI, _V2 = "OpenAI", "V2"
_OF_THE_WHOLE = ("id", "model", "model_name")  # what every event of one answer has alike


class WrongStream(Exception):
    """The stream is not whole; `kind` is the class of the failure."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class AnswerProgress:
    """How far one answer is. `read` each event, `end` with the response; both raise WrongStream."""

    __slots__ = ("_about", "_ended", "_open", "_protocol", "done")

    def __init__(self) -> None:
        self._protocol = ""
        self._about: dict[str, str] = {}  # what each event says again of the whole, where it says it
        self._open: set[int] = set()  # choices that have appeared and not ended
        self._ended: set[int] = set()
        self.done = False

    def read(self, event: StreamEvent) -> tuple[Mapping[str, Any], bool]:
        """What an event holds, empty for `[DONE]`, and whether that is a token."""
        if self.done:
            raise WrongStream(STREAM_MALFORMED, "an event follows [DONE]")
        if event.kind == "error":
            raise WrongStream(STREAM_ERROR, "an error event came")
        if event.data == DONE:
            self.done = True
            return {}, False
        chunk = _parsed(event.data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise WrongStream(STREAM_ERROR, f"an error object came{_named(chunk)}")
        self._is_of_one(chunk)
        if "choices" in chunk:
            self._speaks(_OPENAI)
            return chunk, self._choices(chunk["choices"])
        if "text_output" in chunk:
            self._speaks(_V2)
            return chunk, self._generated(chunk)
        raise WrongStream(STREAM_MALFORMED, "an event has neither choices nor text_output")

    def _speaks(self, protocol: str) -> None:
        if self._protocol not in ("", protocol):
            raise WrongStream(STREAM_MALFORMED, "the events are of two protocols")
        self._protocol = protocol

    def _is_of_one(self, chunk: Mapping[str, Any]) -> None:
        """An answer that begins with one server and goes on with another is none. Some leave these empty."""
        for name in _OF_THE_WHOLE:
            value = chunk.get(name)
            if isinstance(value, str) and value and self._about.setdefault(name, value) != value:
                raise WrongStream(STREAM_MALFORMED, f"the {name} changes within the stream")

    def _choices(self, choices: Any) -> bool:
        if not isinstance(choices, list):
            raise WrongStream(STREAM_MALFORMED, "an event's choices are no list")
        has_token = False
        for choice in choices:
            index = choice.get("index", 0) if isinstance(choice, dict) else None
            if type(index) is not int or index < 0:
                raise WrongStream(STREAM_MALFORMED, "an event has a choice without an index")
            has_text = _has_text(choice)
            if index not in self._ended:
                self._open.add(index)
            elif has_text:
                raise WrongStream(STREAM_MALFORMED, f"choice {index} goes on after its finish_reason")
            has_token = has_token or has_text
            if _is_over(choice.get("finish_reason"), f"choice {index}"):
                self._open.discard(index)
                self._ended.add(index)
        if len(self._open) + len(self._ended) > MAX_CHOICES:
            raise WrongStream(STREAM_MALFORMED, f"there are more than {MAX_CHOICES} choices")
        return has_token

    def _generated(self, chunk: Mapping[str, Any]) -> bool:
        details = chunk.get("details")
        reason = (details if isinstance(details, dict) else chunk).get("finish_reason")
        text = chunk["text_output"]
        if text is not None and not isinstance(text, (str, list)):
            raise WrongStream(STREAM_MALFORMED, "a text_output is no text")
        if text and self._ended:
            raise WrongStream(STREAM_MALFORMED, "the answer goes on after its finish_reason")
        if _is_over(reason, "the answer"):
            self._ended.add(0)
        return bool(text)

    def end(self, tokens: int, bounded: bool) -> None:
        """The response is over, with so many tokens; `bounded` if more than the connection's end told so."""
        missing = "" if self.done or self._protocol == _V2 else ", nor did [DONE]"
        if not (self._open or self._ended or tokens):
            raise WrongStream(STREAM_EMPTY, f"no part of an answer came{missing}")
        if self._open:
            which = ", ".join(map(str, sorted(self._open)[:3]))
            raise WrongStream(STREAM_UNFINISHED, f"no finish_reason came for choice {which}{missing}")
        if not (bounded or self.done or self._ended):
            raise WrongStream(TRUNCATED, "nothing but the connection's end ended the stream")
        if missing:
            raise WrongStream(STREAM_NO_DONE, "the stream ended without [DONE]")


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(data.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise WrongStream(STREAM_MALFORMED, "an event is not UTF-8") from None
    except (ValueError, RecursionError):
        raise WrongStream(STREAM_MALFORMED, "an event is not JSON") from None
    if not isinstance(chunk, dict):
        raise WrongStream(STREAM_MALFORMED, "an event is no JSON object")
    return chunk


def _no_constant(name: str) -> None:
    """JSON has neither NaN nor Infinity, whatever Python reads."""
    raise ValueError(name)


def _is_over(reason: Any, what: str) -> bool:
    """Whether a finish_reason says so."""
    if reason is not None and not isinstance(reason, str):
        raise WrongStream(STREAM_MALFORMED, f"{what} has a finish_reason that is no text")
    if reason in GIVEN_UP:
        raise WrongStream(STREAM_ERROR, f"{what} ended with finish_reason {reason}")
    return bool(reason)


def _has_text(choice: Mapping[str, Any]) -> bool:
    """Whether a choice's part holds some of the answer, rather than its role or its end alone."""
    delta = choice.get("delta")
    if delta is None:
        if "message" in choice:
            raise WrongStream(STREAM_MALFORMED, "a choice has a whole message in place of a part")
        delta = {"content": choice.get("text")}
    if not isinstance(delta, dict):
        raise WrongStream(STREAM_MALFORMED, "a choice's delta is no object")
    parts = [delta.get(name) for name in _TOKENS]
    if any(isinstance(part, (int, float)) for part in parts):  # some servers have lists and objects
        raise WrongStream(STREAM_MALFORMED, "a part of an answer is no text")
    return any(parts)


def _named(chunk: Mapping[str, Any]) -> str:
    """Type and code of an error, not its message, which may repeat what was asked."""
    error = chunk.get("error")
    given = error if isinstance(error, dict) else chunk if chunk.get("object") == "error" else {}
    parts = [f"{name} {shown(str(given[name]))}" for name in ("type", "code") if given.get(name)]
    return f" ({', '.join(parts)})" if parts else ""


def shown(text: str) -> str:
    """A text of the server's as it may be told."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_SHOWN])
