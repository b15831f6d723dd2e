# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of a run, from when it was due to what became of it."""

from __future__ import annotations

from ..http.answer import MAX_NAME
from ..stats.ledger import FailedRequest
from ..stats.modes import ModeTally
from .answer import Answer, AnswerJudge
from .infer import Asked


class Call:
    """A request in flight. Times are the clock's nanoseconds.

    `stream` is its number on its connection (0 before it was sent on one), `connection` numbers that, `reuse`
    is how many calls that had carried before. `resent`: how often the server said that it had
    not processed it, and it was sent again.
    """

    __slots__ = (
        "answer", "connection", "first_byte", "intended", "mode", "peer", "resent", "reuse", "sent", "seq",
        "stream", "token",
    )  # fmt: skip

    def __init__(self, seq: int, mode: ModeTally, *, intended: int, sent: int, token: int) -> None:
        self.seq = seq
        self.mode = mode
        self.intended = intended
        self.sent = sent
        self.token = token
        self.stream = 0
        self.connection = 0
        self.reuse = 0
        self.peer = ""
        self.resent = 0
        self.first_byte: int | None = None
        self.answer: Answer | None = None

    def begin(self, judge: AnswerJudge, stream: int, asked: Asked) -> None:
        """It was sent on a stream, and its answer is to come."""
        self.stream = stream
        self.first_byte = None
        self.answer = Answer(judge, asked)

    def failed(
        self, kind: str, detail: str, end: int, request_id: str | None, errno: str | None
    ) -> FailedRequest:
        """The record of its failure. `request_id` is the one that was sent: what stands before the server may
        have given the answer its own."""
        answer = self.answer
        named = answer.fields.get(b"x-request-id") if answer else None
        return FailedRequest(
            seq=self.seq,
            kind=kind,
            detail=detail,
            intended=self.intended,
            sent=self.sent,
            first_byte=self.first_byte,
            end=end,
            connection=self.connection,
            reuse=self.reuse,
            peer=self.peer,
            status=answer.status if answer else None,
            errno=errno,
            request_id=named.decode("latin-1")[:MAX_NAME] if named else request_id,
            revision=answer.revision if answer else "",
            connection_mode=self.mode.name,
            grpc_status=answer.grpc_status if answer else None,
        )
