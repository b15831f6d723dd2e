# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connection a call takes: one that is kept and has room, or a new one; and when one is given up."""

from __future__ import annotations

from collections import deque
from typing import Callable

from ..http.states import CLOSED
from ..http2.connection import StreamConnection
from ..http2.session import Http2Session
from ..options import Options
from ..stats.modes import ModeTally
from .pool import TRIMMED_AT_ONCE, ConnectionPool


class StreamPool:
    """The kept connections that take more calls, to be used in turn, over the pool that makes all."""

    def __init__(self, options: Options, pool: ConnectionPool, clock: Callable[[], int]) -> None:
        self._options = options
        self._pool = pool
        self._clock = clock
        self._kept: deque[StreamConnection] = deque()

    def pick(self, mode: ModeTally) -> StreamConnection | None:
        """A connection with room, of those that know the server's settings first; None if one is to be made.

        One is to be made for each call on a new connection, until there are as many kept ones as were asked
        for, and when none of these takes more streams.
        """
        kept = self._kept
        if mode.name == "new" or len(kept) < self._options.connections:
            return None
        waiting = None
        for _turn in range(len(kept)):
            conn = kept[0]
            kept.rotate(-1)
            if conn.has_room(self._options.streams):
                if conn.ready:
                    return conn
                waiting = waiting or conn
        return waiting

    def make(self, mode: ModeTally) -> StreamConnection:
        """A new one, still to be connected."""
        conn = self._pool.make(mode, StreamConnection)
        conn.session = Http2Session(self._options.max_head)
        conn.sent = self._clock()
        if mode.name == "keep-alive":
            self._kept.append(conn)
        return conn

    def end_use(self, conn: StreamConnection, reason: str) -> None:
        """It takes no further calls; those that it has may end."""
        conn.ending = conn.ending or reason
        if conn in self._kept:
            self._kept.remove(conn)

    def drop_if_over(self, conn: StreamConnection) -> None:
        """Hang up if nothing is in flight on it, and nothing more is to come."""
        if conn.calls or conn.queue or conn.state is CLOSED:
            return
        if conn.ending or conn.mode.name == "new":
            self._pool.drop(conn, conn.ending)

    def drop(self, conn: StreamConnection) -> None:
        """Hang up; whatever was in flight on it has been told."""
        conn.calls.clear()
        conn.queue.clear()
        self._pool.drop(conn, conn.ending)

    def trim(self) -> None:
        """Give up unused connections beyond those asked for, some at a time: see `ConnectionPool.trim`."""
        surplus = min(len(self._kept) - self._options.connections, TRIMMED_AT_ONCE)
        unused = [conn for conn in self._kept if not conn.calls and not conn.queue]
        for conn in unused[: max(0, surplus)]:
            self.end_use(conn, "surplus")
            self.drop_if_over(conn)
