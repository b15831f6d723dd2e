# SPDX-License-Identifier: GPL-3.0-or-later
"""Receiving the tokens of many streams, each dated when it came, however many came with it."""

from __future__ import annotations

from typing import Callable

from ..http.connection import Connection
from ..http.reader import ResponseReader
from ..http.states import READING, WAITING
from ..stats.modes import RECEIVE
from .poller import IN, Poller
from .pool import ConnectionPool

# ns between two looks for further tokens while those that came are read. After so long there is none any
# more, as requests are to be sent as well.
_LOOK_EVERY, _LOOKS_END = 200_000, 10_000_000

# A connection, what it received, when, and what reads it.
_Heard = tuple[Connection, bytes, int, Callable[[Connection, bytes, int], None]]
_Event = tuple[Connection, int]


class Tokens:
    """A server that computes many streams together sends their tokens at one time: all that came is received
    and dated before any of it is read, and between reading one and the next what has come since, or the last
    would be late by the work for the others."""

    def __init__(
        self, pool: ConnectionPool, poller: Poller, reader: ResponseReader, clock: Callable[[], int]
    ) -> None:
        self._pool = pool
        self._poller = poller
        self._reader = reader
        self._clock = clock

    def serve(self, events: list[tuple[int, int]]) -> list[_Event]:
        """Receive and read what streams have to say; returns the events that are about something else."""
        clock, heard = self._clock, dict[int, _Heard]()
        others = self._hear(events, heard)
        began = clock()
        look, end = began + _LOOK_EVERY, began + _LOOKS_END
        while heard:
            conn, data, came, read = heard.pop(next(iter(heard)))
            read(conn, data, came)
            if heard and look <= clock() < end:
                # Events about something else are reported again.
                self._hear(self._poller.poll(0), heard)
                look = clock() + _LOOK_EVERY
        return others

    def _hear(self, events: list[tuple[int, int]], heard: dict[int, _Heard]) -> list[_Event]:
        """Receive, by descriptor, from each whose last is not to be read yet."""
        by_fd, clock, reader, others = self._pool.by_fd, self._clock, self._reader, []
        for fd, event in events:
            conn = by_fd.get(fd)
            if conn is None or fd in heard:
                continue
            if conn.state not in (WAITING, READING) or event != IN or conn.tls:
                others.append((conn, event))
                continue
            first = conn.state is WAITING
            try:
                data = conn.recv(conn.mode.reach if first else RECEIVE)
            except OSError as error:
                reader.failed(conn, error)
                continue
            heard[fd] = (conn, data, clock(), reader.begun if first else reader.received)
        return others
