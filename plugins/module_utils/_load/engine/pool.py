# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of a run: made, kept, and given up with the reason."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import ssl
from collections import deque
from typing import Callable, TypeVar

from ..errors import CLIENT, CONNECT, DNS, TLS, is_own_fault
from ..http.classify import tls_reason
from ..http.connection import Connection
from ..http.parser import Parser
from ..http.states import CONNECTING, HANDSHAKE, ConnectionEvent
from ..http.target import SocketAddress, Target, tls_context
from ..options import Options
from ..stats.modes import ModeTally
from ..stats.tally import Tally
from .poller import IN, OUT, Poller
from .resolver import Resolver

Made = TypeVar("Made", bound=Connection)

EXPIRED = "keep_alive_timeout"  # why a connection was given up: as long as the server keeps it idle
TRIMMED_AT_ONCE = 100  # closing one takes about 40 us


class ConnectFailed(Exception):
    """A connection could not be had; `kind` is the class of the failure."""

    def __init__(self, kind: str, detail: str, error: OSError | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.error = error


class ConnectionPool:
    """Opens connections without waiting: `connect`, then `advance` at each event until it returns True."""

    def __init__(
        self, options: Options, target: Target, poller: Poller, tally: Tally, clock: Callable[[], int]
    ) -> None:
        self._options = options
        self._target = target
        self._poller = poller
        self._clock = clock
        self._context = tls_context(options, target)
        _allow_descriptors(options.pool + options.connections + 64)
        self._addresses: deque[SocketAddress] = deque()
        self._resolver: Resolver | None = None
        self._idle: deque[Connection] = deque()
        self._kept = 0  # open connections of the mode that keeps them
        self.tally = tally
        self.may_expire = False  # a server has announced for how long it keeps a connection
        self.by_fd: dict[int, Connection] = {}
        self.waiting: list[Connection] = []  # for the resolver

    def use(self, addresses: list[SocketAddress], resolver: Resolver | None = None) -> None:
        """Where to connect to; with a resolver, it is asked again as time goes by."""
        self._addresses = deque(addresses)
        self._resolver = resolver

    def acquire(self, mode: ModeTally, collect: bool) -> Connection:
        """An idle connection of the mode, least recently used first, once as many are open as were asked for.

        Otherwise a new one, still to be connected. Bytes that are there already are no answer to what is sent
        next, and a connection that has some is given up, as is one that the server has closed or is about to.
        """
        if mode.name == "keep-alive":
            while self._idle and self._kept >= self._options.connections:
                conn, now = self._idle.popleft(), self._clock()
                reason = EXPIRED if _expired(conn, now) else conn.heard()
                if reason:
                    self.drop(conn, reason)
                    continue
                if self.tally.paced:
                    self.tally.slept.fresh[(now - conn.freed) // 1000] += 1
                return conn
        conn, options = self.make(mode, Connection), self._options
        conn.parser = Parser(options.verb == "HEAD", collect, options.max_head, options.max_interim)
        return conn

    def make(self, mode: ModeTally, kind: type[Made]) -> Made:
        """A new connection, still to be connected."""
        self._kept += mode.name == "keep-alive"
        self.tally.sockets += 1
        return kind(self.tally.sockets, mode, self._context is not None)

    def connect(self, conn: Connection) -> None:
        """Begin to connect, or wait for the resolver. Raises ConnectFailed."""
        if self._resolver is not None and not self._resolver.fresh(self._clock()):
            conn.step(ConnectionEvent.LOOK_UP)
            self.waiting.append(conn)
            return
        self._open(conn)

    def _open(self, conn: Connection) -> None:
        while True:
            untried = (address for address in self._addresses if address not in conn.tried)
            conn.attempted = self._clock()
            try:
                conn.open(next(untried))
            except OSError as error:
                self._turned_down(conn, error)
            else:
                self.by_fd[conn.fd] = conn
                self._poller.register(conn.fd, OUT)
                return

    def _turned_down(self, conn: Connection, error: OSError) -> None:
        """An address took no connection: not a byte of the request was sent, so the next one may be tried.

        Raises ConnectFailed if none is left, or if it is this machine that lacks something.
        """
        assert conn.address is not None
        conn.tried.append(conn.address)
        if conn.address == self._addresses[0]:
            self._addresses.rotate(-1)  # the next connection begins with the next address of the name
        own = is_own_fault(error.errno)
        if own or not self._has_untried(conn):
            raise ConnectFailed(CLIENT if own else CONNECT, error.strerror or str(error), error) from None
        self.tally.address_failovers += 1
        if self.by_fd.pop(conn.fd, None) is not None:
            self._poller.unregister(conn.fd)

    def _has_untried(self, conn: Connection) -> bool:
        return any(address not in conn.tried for address in self._addresses)

    def hurry(self, conn: Connection, now: int) -> None:
        """Go on to the next address once this one has had its share of the time-out. Raises ConnectFailed."""
        if now - conn.attempted < self._options.timeout // len(self._addresses):
            return
        if any(address not in conn.tried and address != conn.address for address in self._addresses):
            self._turned_down(conn, OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
            self._open(conn)

    def resolved(self) -> list[Connection]:
        """The resolver has answered; returns the connections that waited for that."""
        assert self._resolver is not None
        self._resolver.take(self._clock())
        if self._resolver.error is None:
            self._adopt(self._resolver.addresses)
        waiting, self.waiting = self.waiting, []
        return waiting

    def _adopt(self, found: list[SocketAddress]) -> None:
        """Go on with the addresses in use that are still there, then new ones, of the same family first."""
        family = self._addresses[0].family
        kept = [address for address in self._addresses if address in found]
        new = [address for address in found if address not in kept]
        self._addresses = deque(kept + sorted(new, key=lambda address: address.family != family))

    def go_on(self, conn: Connection) -> None:
        """Connect one that waited for the resolver. Raises ConnectFailed."""
        assert self._resolver is not None
        error = self._resolver.error
        if error is not None:
            raise ConnectFailed(DNS, f"the name {self._target.host} did not resolve: {error.strerror}", error)
        self.connect(conn)

    def advance(self, conn: Connection) -> bool:
        """A connection in the making has an event: True once it can be written to. Raises ConnectFailed."""
        if conn.state is CONNECTING:
            try:
                conn.connected()
            except OSError as error:
                self._turned_down(conn, error)
                self._open(conn)
                return False
            self.tally.connects.add((self._clock() - conn.sent) // 1000)
            self.tally.peers[conn.peer] = self.tally.peers.get(conn.peer, 0) + 1
            if self._context is not None:
                try:
                    conn.wrap(self._context, self._target.server_name)
                except (OSError, ValueError) as error:
                    raise ConnectFailed(TLS, f"the TLS handshake failed: {error}") from None
        if conn.state is HANDSHAKE and not self._agreed(conn):
            return False
        self._poller.modify(conn.fd, IN)
        return True

    def _agreed(self, conn: Connection) -> bool:
        try:
            conn.handshake()
        except ssl.SSLWantReadError:
            self._poller.modify(conn.fd, IN)
        except ssl.SSLWantWriteError:
            self._poller.modify(conn.fd, OUT)
        except OSError as error:
            raise ConnectFailed(TLS, f"the TLS handshake failed: {tls_reason(error)}", error) from None
        else:
            return True
        return False

    def idle_event(self, conn: Connection) -> None:
        """Nothing was asked, so the peer closes, or says what nobody asked for."""
        reason = conn.heard()
        if reason:
            self._idle.remove(conn)
            self.drop(conn, reason)

    def keep(self, conn: Connection, now: int) -> None:
        """Put a connection that can serve again aside."""
        conn.step(ConnectionEvent.ANSWERED)
        conn.freed = now
        self._idle.append(conn)
        self.may_expire = self.may_expire or conn.idle_limit is not None

    def close_expired(self, now: int) -> None:
        """Hang up on servers that announced that they are about to."""
        if self.may_expire:
            for conn in [conn for conn in self._idle if _expired(conn, now)]:
                self._idle.remove(conn)
                self.drop(conn, EXPIRED)

    def trim(self) -> None:
        """Drop idle connections beyond those asked for: slow answers made more, and they may be over.

        Some at a time: what is due while a thousand are closed is sent late, and takes as many new ones.
        """
        surplus = self._kept - self._options.connections
        for _connection in range(min(surplus, len(self._idle), TRIMMED_AT_ONCE)):
            self.drop(self._idle.popleft(), "surplus")

    def drop(self, conn: Connection, reason: str) -> None:
        """Hang up; `reason` is counted, except where it is empty."""
        self._kept -= conn.mode.name == "keep-alive"
        if reason:
            self.tally.reconnect(reason)
        if self.by_fd.pop(conn.fd, None) is not None:
            self._poller.unregister(conn.fd)
        if conn in self.waiting:
            self.waiting.remove(conn)
        conn.close()

    def count_in(self, tally: Tally) -> None:
        """From now on count in another tally, in which the open connections start anew as sockets."""
        self.tally = tally
        tally.sockets = len(self.by_fd)
        for conn in self.by_fd.values():
            conn.mode = tally.connection_modes[conn.mode.name]
            tally.peers[conn.peer] = tally.peers.get(conn.peer, 0) + 1

    def close(self) -> None:
        """Hang up on everybody."""
        for conn in list(self.by_fd.values()):
            self.drop(conn, "")


def _expired(conn: Connection, now: int) -> bool:
    return conn.idle_limit is not None and now - conn.freed >= conn.idle_limit


def _allow_descriptors(count: int) -> None:
    """Raise the limit of open files as far as it goes; where that is too low, class `client` tells."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        with contextlib.suppress(OSError, ValueError):
            wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
