# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes requests: at once where the socket takes them whole, otherwise piece by piece as it does."""

from __future__ import annotations

from ..http.classify import WANT
from ..http.connection import Connection
from ..http.reader import ResponseReader
from ..http.states import WRITING, ConnectionEvent
from .poller import IN, OUT, Poller


class RequestWriter:
    """What a peer that takes no more has said before is the reader's."""

    def __init__(self, poller: Poller, reader: ResponseReader) -> None:
        self._poller = poller
        self._reader = reader

    def write(self, conn: Connection, data: bytes | bytearray) -> None:
        """Write what can be written now; the rest when the socket takes it, by another call with that."""
        try:
            count = conn.send(data)
        except OSError as error:
            self.not_taken(conn, data, error)
        else:
            self.taken(conn, data, count)

    def taken(self, conn: Connection, data: bytes | bytearray, count: int) -> None:
        """The socket took the first `count` bytes of `data`."""
        partly_before = conn.state is WRITING
        if count < len(data):
            conn.out = bytes(data[count:])
            conn.step(ConnectionEvent.WROTE_PART)
            if not partly_before:
                self._poller.modify(conn.fd, IN | OUT)
            return
        conn.out = b""
        conn.step(ConnectionEvent.WROTE_ALL)
        if conn.tls or conn.first_byte is not None:
            conn.step(ConnectionEvent.HEARD)
        if partly_before:
            self._poller.modify(conn.fd, IN)

    def not_taken(self, conn: Connection, data: bytes | bytearray, error: OSError) -> None:
        """The socket took nothing: it is full, or the peer is gone."""
        if isinstance(error, WANT):
            self.taken(conn, data, 0)
            return
        conn.out = bytes(data)  # so that this connection is not used again
        self._reader.not_written(conn, error)
