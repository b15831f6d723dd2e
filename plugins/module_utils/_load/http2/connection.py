# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection that carries many calls at once."""

from __future__ import annotations

from ..grpc.call import Call
from ..http.connection import Connection
from ..stats.modes import ModeTally
from .session import Http2Session


class StreamConnection(Connection):
    """The socket with its HTTP/2 session.

    `calls` are in flight on it, by stream; `queue` holds those that wait until the server's settings are
    known. `ending` is why it takes no further calls, empty while it does, and `goaway` what a GOAWAY said;
    `heard_at` is when the last byte came, `answered_at` when the last of an answer did. `owed` are the bytes
    of answers to the server's own frames that it has not taken yet, `deaf` is why it takes nothing any more.
    """

    __slots__ = ("answered_at", "calls", "deaf", "ending", "goaway", "heard_at", "owed", "queue", "session")

    def __init__(self, ident: int, mode: ModeTally, tls: bool) -> None:
        super().__init__(ident, mode, tls)
        self.session: Http2Session
        self.calls: dict[int, Call] = {}
        self.queue: list[Call] = []
        self.ending = ""
        self.deaf: OSError | None = None
        self.goaway = ""
        self.heard_at = 0
        self.answered_at = 0
        self.owed = 0

    @property
    def ready(self) -> bool:
        """Whether the server's settings are known, so that calls may be sent."""
        return self.session.settled

    def has_room(self, most: int) -> bool:
        """Whether it takes another call, of `most` at once."""
        if self.ending:
            return False
        if not self.ready:
            return len(self.queue) < most
        return len(self.calls) + len(self.queue) < min(most, self.session.limit)

    def close(self) -> None:
        """Hang up."""
        super().close()
        self.session.close()
