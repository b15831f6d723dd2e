# SPDX-License-Identifier: GPL-3.0-or-later
"""One record for each failed request: bounded in number, complete in its counts."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple


class FailedRequest(NamedTuple):
    """What became of one failed request. Times are the clock's nanoseconds; None where it never came to that.

    `sent` is when the attempt began, connecting included. `reuse` is how many requests the connection had
    carried before this one. `status` is HTTP's. `request_id` is the answer's, or else what was sent, as
    `sent_id` is; `payload` the payload's name where there are several. `tokens` are those of a streamed
    answer that had come, None where none was asked for.
    """

    seq: int
    kind: str
    detail: str
    intended: int
    sent: int | None
    first_byte: int | None
    end: int
    connection: int
    reuse: int
    peer: str
    status: int | None
    errno: str | None
    request_id: str | None
    revision: str
    connection_mode: str
    grpc_status: int | None = None
    sent_id: str | None = None
    payload: str = ""
    first_token: int | None = None
    tokens: int | None = None

    def to_json(self, epoch: Callable[[int | None], float | None]) -> dict[str, Any]:
        """The record as the result shows it, times in seconds since the epoch."""
        return {
            "seq": self.seq, "class": self.kind, "detail": self.detail, "intended": epoch(self.intended),
            "sent": epoch(self.sent), "first_byte": epoch(self.first_byte), "end": epoch(self.end),
            "waited": (self.end - (self.intended if self.sent is None else self.sent)) / 1e9,
            "connection": self.connection, "reuse": self.reuse, "peer": self.peer, "status": self.status,
            "errno": self.errno, "request_id": self.request_id, "revision": self.revision,
            "connection_mode": self.connection_mode, "grpc_status": self.grpc_status,
            "sent_id": self.sent_id, "payload": self.payload, "first_token": epoch(self.first_token),
            "tokens": self.tokens,
        }  # fmt: skip


class Ledger:
    """Takes failures, counts all, keeps the first `limit` until `take` hands them on to be stored."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._fresh: list[FailedRequest] = []
        self.count = 0

    def add(self, failed: FailedRequest) -> None:
        """Count a failure and, below the limit, keep its record."""
        if self.count < self._limit:
            self._fresh.append(failed)
        self.count += 1

    @property
    def dropped(self) -> int:
        """How many failures were counted without a record."""
        return max(0, self.count - self._limit)

    def take(self) -> list[FailedRequest]:
        """The records that came since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh
