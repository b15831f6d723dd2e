# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of one call's answer: fields, messages and trailers as they come, and the judgement of all.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. An answer is right if its HTTP status is 200,
its content type gRPC's, its messages are whole and as many as the method has, each is what was asked for, and
its trailers say grpc-status 0. Anything else is a loss of the class that says what was missing.
"""

from __future__ import annotations

import re

from ..errors import CLIENT, GRPC_STATUS, MALFORMED, STATUS, TRUNCATED, VALIDATION
from ..http import parser
from ..http.answer import MAX_NAME, field_of
from ..http2 import fields as http2_fields
from ..options import Options
from . import infer, status
from .method import Method
from .protobuf import Unreadable
from .tensors import BadTensor

_PREFIX = 5
_CONTENT_TYPE = re.compile(rb"application/grpc(?:$|[+; \t])", re.IGNORECASE)
_STATUS = re.compile(rb"[0-9]{1,9}")


class WrongAnswer(Exception):
    """The answer is not right; `kind` is the class of the failure."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class AnswerJudge:
    """The run's expectations of each message."""

    def __init__(self, options: Options, method: Method) -> None:
        self.method = method
        self.max_interim = options.max_interim
        self._body = options.expect_body.encode()
        self._header = options.revision_header.lower().encode()
        self._field = options.revision_field.split(".") if options.revision_field else []
        # A right message of the V2 protocol, and the revision that it names: the next may well be the same.
        self._last: tuple[bytes, infer.Asked, bool | None, str] | None = None

    def look(self, message: bytes, asked: infer.Asked) -> tuple[bool | None, str]:
        """Whether it says to be the last of its stream, and which revision it names. Raises WrongAnswer."""
        if not self.method.v2:
            return None, ""
        last = self._last
        if last is not None and last[0] == message and last[1] == asked:
            return last[2], last[3]
        try:
            answer, error = infer.answer_of(message) if self.method.stream else (message, False)
            if error:
                raise WrongAnswer(VALIDATION, "a message of the stream tells of an error")
            wrong = infer.problem(answer, asked)
            final = infer.final_of(answer) if self.method.stream else None
            # Triton may end a stream by a message that says so and has nothing else.
            if wrong and not (final and not infer.as_json(answer)["outputs"]):
                raise WrongAnswer(VALIDATION, wrong)
            named = field_of(infer.as_json(answer), self._field) if self._field else ""
        except Unreadable as problem:
            raise WrongAnswer(MALFORMED, f"the message is no ModelInferResponse: {problem}") from None
        except BadTensor as problem:
            raise WrongAnswer(VALIDATION, f"an output of the answer is not whole: {problem}") from None
        self._last = (message, asked, final, named)
        return final, named

    def has_text(self, message: bytes) -> bool:
        """Whether the text that was asked for is in the message."""
        return self._body in message

    @property
    def wants_text(self) -> bool:
        """Whether a text was asked for."""
        return bool(self._body)

    def named(self, fields: dict[bytes, bytes]) -> str:
        """The revision that the metadata name."""
        return fields.get(self._header, b"").decode("latin-1") if self._header else ""


class Answer:
    """One answer: told of what comes, `end` says whether it was right.

    `status` is HTTP's (None before it came), `grpc_status` None where there was none, `size` counts all
    bytes, `head_size` those of fields. Messages are not kept beyond being looked at.
    """

    __slots__ = (
        "_asked", "_buffer", "_final", "_found_text", "_interim", "_judge", "_left", "_problem",
        "_revision", "_too_long", "fields", "grpc_status", "head_size", "messages", "size",
        "status",
    )  # fmt: skip

    def __init__(self, judge: AnswerJudge, asked: infer.Asked) -> None:
        self._judge = judge
        self._asked = asked
        self._buffer = bytearray()
        self._left = 0  # bytes of a message that is longer than what is read, still to come
        self._interim = 0
        self._problem: WrongAnswer | None = None  # of the first message that is not right
        self._final: bool | None = None
        self._found_text = False
        self._too_long = False
        self._revision = ""
        self.fields: dict[bytes, bytes] = {}
        self.status: int | None = None
        self.grpc_status: int | None = None
        self.messages = 0
        self.size = 0
        self.head_size = 0

    @property
    def begun(self) -> bool:
        """Whether anything of it came."""
        return self.status is not None

    @property
    def revision(self) -> str:
        """The revision that the metadata or a message name; empty if neither does."""
        return (self._judge.named(self.fields) or self._revision)[:MAX_NAME]

    @property
    def head(self) -> parser.Head:
        """Its beginning, as right answers are counted by."""
        return parser.Head(
            self.status or 0,
            self.fields,
            keep_alive=True,
            framing=parser.LENGTH,
            length=0,
            size=self.head_size,
        )

    def interim(self, fields: list[tuple[bytes, bytes]]) -> None:
        """A response of 1xx came. Raises WrongAnswer."""
        try:
            number, _found = http2_fields.read(fields, False)
        except parser.Malformed as problem:
            raise WrongAnswer(MALFORMED, str(problem)) from None
        if number == 101:
            raise WrongAnswer(MALFORMED, "the status is 101, which HTTP/2 has not")
        self._interim += 1
        if self._interim > self._judge.max_interim:
            raise WrongAnswer(
                CLIENT, f"more than the {self._judge.max_interim} interim responses read (max_interim)"
            )

    def headers(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Header fields came, or trailers. Raises WrongAnswer."""
        trailers = self.begun
        size = http2_fields.size(fields)
        self.head_size += size
        self.size += size
        try:
            number, found = http2_fields.read(fields, trailers)
        except parser.Malformed as problem:
            raise WrongAnswer(MALFORMED, str(problem)) from None
        if not trailers:
            self.status = number
            if number == 200 and not _CONTENT_TYPE.match(found.get(b"content-type", b"")):
                raise WrongAnswer(MALFORMED, "the content type is not that of gRPC")
        self.fields.update(found)
        given = found.get(b"grpc-status")
        if given is not None:
            if not _STATUS.fullmatch(given):
                raise WrongAnswer(MALFORMED, "grpc-status is not a number")
            self.grpc_status = int(given)

    def data(self, chunk: bytes) -> None:
        """Bytes of messages came. Raises WrongAnswer."""
        self.size += len(chunk)
        if self.status != 200:
            return
        if chunk and self.grpc_status is not None:
            raise WrongAnswer(MALFORMED, "grpc-status came before the messages, and not in trailers")
        buffer = self._buffer
        buffer += chunk
        while True:
            if self._left:
                taken = min(self._left, len(buffer))
                del buffer[:taken]
                self._left -= taken
                if self._left:
                    return
                self.messages += 1
            if len(buffer) < _PREFIX:
                return
            if buffer[0]:
                raise WrongAnswer(
                    MALFORMED,
                    "a message is compressed, which was not offered"
                    if buffer[0] == 1
                    else "the five bytes before a message are not valid",
                )
            length = int.from_bytes(buffer[1:_PREFIX], "big")
            if length > parser.MAX_COLLECTED_BODY:
                self._too_long = True
                self._left = length
                del buffer[:_PREFIX]
                continue
            if len(buffer) < _PREFIX + length:
                return
            message = bytes(buffer[_PREFIX : _PREFIX + length])
            del buffer[: _PREFIX + length]
            self._take(message)

    def _take(self, message: bytes) -> None:
        """A message is whole. What is wrong with it is told at the end: the status may tell more."""
        self.messages += 1
        self._found_text = self._found_text or self._judge.has_text(message)
        if self._problem is not None:
            return
        try:
            self._final, named = self._judge.look(message, self._asked)
        except WrongAnswer as problem:
            self._problem = problem
        else:
            self._revision = self._revision or named

    def end(self) -> None:
        """The stream has ended. Returns if the answer was right. Raises WrongAnswer."""
        length = self.fields.get(b"content-length")
        if length is not None and {part.strip() for part in length.split(b",")} != {
            b"%d" % (self.size - self.head_size)
        }:
            raise WrongAnswer(MALFORMED, "the content is not as long as its Content-Length says")
        if self.status != 200:
            also = "" if self.grpc_status is None else f", with grpc-status {status.shown(self.grpc_status)}"
            raise WrongAnswer(STATUS, f"the HTTP status {self.status} was not expected{also}")
        if self.grpc_status is None:
            raise WrongAnswer(TRUNCATED, "the stream ended without trailers that say grpc-status")
        if self.grpc_status != status.OK:
            raise WrongAnswer(GRPC_STATUS, f"grpc-status {status.shown(self.grpc_status)}")
        if self._buffer or self._left:
            raise WrongAnswer(TRUNCATED, "the stream ended in the middle of a message")
        if self._too_long:
            raise WrongAnswer(
                CLIENT, f"a message is longer than the {parser.MAX_COLLECTED_BODY >> 20} MiB that are read"
            )
        self._check_messages()

    def _check_messages(self) -> None:
        if not self._judge.method.stream and self.messages != 1:
            raise WrongAnswer(MALFORMED, f"{self.messages} messages answer a call that has one answer")
        if not self.messages:
            raise WrongAnswer(VALIDATION, "the stream ended without a message")
        if self._problem is not None:
            raise self._problem
        if self._final is False:
            raise WrongAnswer(TRUNCATED, "the stream ended before the answer that says to be the last")
        if self._judge.wants_text and not self._found_text:
            raise WrongAnswer(VALIDATION, "no message holds the expected text")
