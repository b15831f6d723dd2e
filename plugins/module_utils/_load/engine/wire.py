# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of an HTTP/2 connection: what its session has to say is written, what comes is read and told."""

from __future__ import annotations

from typing import Callable, Protocol

from ..errors import MALFORMED
from ..http.classify import WANT, write_error
from ..http.states import CLOSED
from ..http2.connection import StreamConnection
from ..http2.session import SessionEvent
from .poller import IN, OUT, Poller

# Bytes received at once: a server that floods with small frames must not hold up what is due.
RECEIVE = 16384
MAX_OWED = 1 << 20  # bytes of answers to the server's own frames that it may leave untaken


class Lose(Protocol):
    """Hangs up, with every call on the connection failed alike."""

    def __call__(
        self, conn: StreamConnection, kind: str, detail: str, error: OSError | None = None
    ) -> None: ...


class Wire:
    """`heard` is told each event with the time it came, `cut` a connection's end (with its error, if any)."""

    def __init__(
        self,
        poller: Poller,
        clock: Callable[[], int],
        *,
        heard: Callable[[StreamConnection, SessionEvent, int], None],
        cut: Callable[[StreamConnection, OSError | None], None],
        lose: Lose,
    ) -> None:
        self._poller = poller
        self._clock = clock
        self._heard = heard
        self._cut = cut
        self._lose = lose

    def flush(self, conn: StreamConnection) -> None:
        """Send what the socket takes now; the rest by another call, when it takes more."""
        if conn.deaf is not None:
            return
        fresh = conn.session.taken()
        waited = bool(conn.out)
        data = conn.out + fresh if waited else fresh
        if not data:
            return
        try:
            count = conn.send(data)
        except OSError as error:
            if not isinstance(error, WANT):
                self._refused(conn, error)
                return
            count = 0
        conn.out = data[count:]
        if bool(conn.out) != waited:
            self._poller.modify(conn.fd, IN | OUT if conn.out else IN)

    def _refused(self, conn: StreamConnection, error: OSError) -> None:
        """The socket takes no more. What the server said before that still counts."""
        conn.out = b""
        conn.deaf = error
        self.read(conn)
        if conn.state is not CLOSED:
            self._lose(conn, *write_error(error, False), error)

    def read(self, conn: StreamConnection) -> None:
        """Read what there is, at most so much at once; TLS may hold more than the poller knows of."""
        while True:
            try:
                data = conn.recv(RECEIVE)
            except OSError as error:
                if not isinstance(error, WANT):
                    self._cut(conn, error)
                return
            if not data:
                self._cut(conn, conn.deaf)
                return
            conn.heard_at = now = self._clock()
            for event in conn.session.receive(data):
                self._heard(conn, event, now)
                if conn.state is CLOSED:
                    return
            self._answer_frames(conn)
            if conn.state is CLOSED or not (conn.deaf is not None or conn.pending()):
                return

    def _answer_frames(self, conn: StreamConnection) -> None:
        """Send what the server's frames ask for; one that floods with them and takes nothing is given up."""
        waiting = len(conn.out)
        self.flush(conn)
        conn.owed = conn.owed + max(0, len(conn.out) - waiting) if waiting else 0
        if conn.owed > MAX_OWED:
            self._lose(conn, MALFORMED, "the server floods with frames that ask for answers, and takes none")
