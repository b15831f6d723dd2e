# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads answers: what the bytes of a connection, its errors and its end mean for the request in flight."""

from __future__ import annotations

import ssl
from typing import Callable, Protocol

from ..errors import CLIENT, MALFORMED, TRUNCATED, WRITE
from ..stats.modes import RECEIVE
from .classify import WANT, closed_before_answer, is_cut, read_error, write_error
from .connection import Connection
from .parser import Malformed, TooLong, Truncated
from .states import READING, WRITING, ConnectionEvent


class Fail(Protocol):
    """Ends the request on a connection as failed."""

    def __call__(self, conn: Connection, kind: str, detail: str, error: OSError | None = None) -> None: ...


class ResponseReader:
    """Ends each request, through `answered` where its response is whole, else through `fail`."""

    def __init__(
        self, clock: Callable[[], int], answered: Callable[[Connection, int], None], fail: Fail
    ) -> None:
        self._clock = clock
        self._answered = answered
        self._fail = fail

    def readable(self, conn: Connection) -> None:
        """Read all there is: TLS may hold more than the poller knows of."""
        while True:
            try:
                data = conn.recv(RECEIVE)
            except OSError as error:
                self.failed(conn, error)
                return
            self.received(conn, data, self._clock())
            if not conn.tls or conn.state not in (READING, WRITING) or not conn.pending():
                return

    def begun(self, conn: Connection, data: bytes, now: int) -> None:
        """The first bytes came, of an answer that is not known by sight (none: the peer closed).

        A receive that was filled may have left something behind it: what follows the end of the response, or
        an error. That the socket tells but once, and then the end of a connection that ended in order.
        """
        error: OSError | None = None
        if len(data) >= conn.mode.reach:
            try:
                data += conn.recv(RECEIVE)
            except OSError as found:
                error = found
        self.received(conn, data, now)
        if error is not None and conn.state is READING:
            self.failed(conn, error)

    def received(self, conn: Connection, data: bytes, now: int) -> None:
        """Bytes came (none: the peer closed)."""
        if not data:
            self._closed(conn, now, cut=False)
            return
        if conn.first_byte is None:
            conn.first_byte = now
            conn.step(ConnectionEvent.HEARD)
        whole, broken = False, None
        try:
            whole = conn.parser.feed(data)
        except (Malformed, TooLong) as error:
            broken = error
        if conn.streamed is not None:
            try:
                conn.streamed.take(conn.parser, now)  # what came before the fault, too
            except TooLong as error:
                broken = broken or error
        if broken is not None:
            self._fail(conn, MALFORMED if isinstance(broken, Malformed) else CLIENT, str(broken))
        elif whole:
            self._answered(conn, now)

    def failed(self, conn: Connection, error: OSError) -> None:
        """Nothing could be read."""
        if isinstance(error, WANT):
            return
        if is_cut(error) or isinstance(error, ssl.SSLZeroReturnError):
            # Without TLS's own notice of the end a body that ends with the connection may have been cut.
            self._closed(conn, self._clock(), cut=is_cut(error))
        elif conn.state is WRITING and conn.first_byte is None:
            self._fail(conn, *write_error(error, conn.stale), error)
        else:
            self._fail(conn, *read_error(error, conn.stale), error)

    def not_written(self, conn: Connection, error: OSError) -> None:
        """The peer takes no more. It may have answered before that, and then its answer is what counts."""
        conn.step(ConnectionEvent.WRITE_REFUSED)
        while conn.state is READING:
            try:
                data = conn.recv(RECEIVE)
            except OSError as heard:
                if isinstance(heard, ssl.SSLError) and not isinstance(heard, WANT) and not is_cut(heard):
                    error = heard  # the reason of the peer, which hung up after it
                break
            if not data:
                break
            self.received(conn, data, self._clock())
        if conn.state is not READING:
            return
        if conn.first_byte is not None:
            self._fail(conn, WRITE, "closed while the request was written, amid a response", error)
        else:
            self._fail(conn, *write_error(error, conn.stale), error)

    def _closed(self, conn: Connection, now: int, cut: bool) -> None:
        if conn.first_byte is None:
            self._fail(conn, *closed_before_answer(conn.stale, conn.state is WRITING))
            return
        try:
            if cut:
                raise Truncated("the TLS connection was cut without a notice of its end")
            conn.parser.eof()
        except Truncated as error:
            self._fail(conn, TRUNCATED, str(error))
        else:
            self._answered(conn, now)
