# SPDX-License-Identifier: GPL-3.0-or-later
"""One streamed answer: its tokens as they come, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import CLIENT, STREAM_MALFORMED, STREAM_TYPE
from ..http.answer import Judge
from ..http.classify import Finding
from ..http.parser import UNTIL_EOF, Head, Parser
from ..stats.outage import Outages
from ..stats.streamed import StreamedCounts
from .events import EventParser
from .protocols import AnswerProgress, WrongStream, shown


class StreamedAnswer:
    """Fed by `take` with what the parser of the response has of its body; `end` judges the whole.

    A token is an event with some text of an answer, or a part of a tool's call. `heard` is when the last
    event came (the clock's nanoseconds; None before the first), `first_token` when the first token did.
    `wrong` is the first thing that was wrong with the stream. `due` is when the request was; `outages` are
    told of the first token, which shows that requests are answered long before the answers end.
    """

    __slots__ = (
        "_bounded", "_counts", "_due", "_events", "_judge", "_last_token", "_outages", "_progress", "_read",
        "first_token", "heard", "revision", "tokens", "wrong",
    )  # fmt: skip

    def __init__(self, judge: Judge, counts: StreamedCounts, outages: Sequence[Outages], due: int) -> None:
        self._judge = judge
        self._counts = counts
        self._outages = outages
        self._due = due
        self._events = EventParser()
        self._progress = AnswerProgress()
        self._read: bool | None = None  # whether the body is a stream to be read; None before the head
        self._bounded = True  # the response tells its end by more than that of the connection
        self._last_token = 0
        self.tokens = 0
        self.first_token: int | None = None
        self.heard: int | None = None
        self.revision = ""
        self.wrong: Finding | None = None

    def take(self, parser: Parser, now: int) -> None:
        """Take what there is of the body. Raises TooLong."""
        if self._read is None:
            if parser.head is None:
                return
            self._read = self._is_stream(parser.head)
        if not self._read or not parser.body:
            return
        data, parser.body = bytes(parser.body), bytearray()
        for event in self._events.feed(data):
            self.heard = now
            if self.wrong is not None:
                continue
            try:
                chunk, is_token = self._progress.read(event)
            except WrongStream as wrong:
                self.wrong = wrong.kind, f"{wrong} after {self._so_far()}"
                continue
            if not self.revision:
                self.revision = self._judge.revision_of(chunk)
            if is_token:
                self._token(now)

    def _is_stream(self, head: Head) -> bool:
        """Whether the head is that of a stream; what is wrong with it otherwise is told at the end."""
        if not self._judge.expects(head.status):
            return False
        self.revision = self._judge.revision(head, bytearray())
        self._bounded = head.framing != UNTIL_EOF
        given = head.field(b"content-type") or "none"
        if given.partition(";")[0].strip().lower() != "text/event-stream":
            self.wrong = STREAM_TYPE, f"the answer is no event stream: its Content-Type is {shown(given)}"
        elif head.codings or (head.field(b"content-encoding") or "identity").lower() != "identity":
            self.wrong = CLIENT, "the stream has a coding that the load does not read"
        return self.wrong is None

    def _token(self, now: int) -> None:
        self.tokens += 1
        if self.first_token is None:
            self.first_token = now
            self._counts.first(self.revision, now - self._due)
            for outages in self._outages:
                outages.alive(now)
        else:
            self._counts.gap(self.revision, now - self._last_token)
        self._last_token = now

    def end(self) -> Finding | None:
        """The response is whole, with the right status: what is wrong with the stream, None if nothing is."""
        if self.wrong is not None:
            return self.wrong
        if self._events.unfinished:
            return STREAM_MALFORMED, f"no empty line ended the last event after {self._so_far()}"
        try:
            self._progress.end(self.tokens, self._bounded)
        except WrongStream as wrong:
            return wrong.kind, f"{wrong} after {self._so_far()}"
        return None

    def why(self, kind: str, detail: str) -> Finding:
        """What a failure of the connection is told as: what was wrong with the stream before goes first."""
        if not self._read:
            return kind, detail
        if self.wrong is not None:
            return self.wrong[0], f"{self.wrong[1]}; then {detail}"
        return kind, f"{detail} after {self._so_far()}" + (" and [DONE]" if self._progress.done else "")

    def _so_far(self) -> str:
        return f"{self.tokens} token{'' if self.tokens == 1 else 's'}"
