# SPDX-License-Identifier: GPL-3.0-or-later
"""One non-blocking connection and the request it carries."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Any, Callable

from ..sse.answer import StreamedAnswer
from ..stats.modes import RECEIVE, ModeTally
from .classify import WANT
from .parser import Parser
from .request import Template
from .states import NEW, ConnectionEvent, after
from .target import SocketAddress


class Connection:
    """The socket, its state (see `states`), and the request in flight. Times are the clock's nanoseconds.

    `ident` numbers the sockets of a run from 1, `used` the requests that this one has served, `seq` the
    request in flight (its `token` is the schedule's). `freed` is when the connection became idle,
    `idle_limit` how long it may be so, as the server announced. `tried` are the addresses that took no
    connection, `attempted` is when the present one was turned to.
    """

    __slots__ = (
        "address", "attempted", "fd", "first_byte", "freed", "ident", "idle_limit", "intended", "mode", "out",
        "parser", "recv", "send", "sent", "seq", "sock", "state", "streamed", "template", "tls",
        "token", "tried", "used",
    )  # fmt: skip

    def __init__(self, ident: int, mode: ModeTally, tls: bool) -> None:
        self.ident = ident
        self.mode = mode
        self.parser: Parser
        self.tls = tls
        self.state = NEW
        self.used = 0
        self.fd = -1
        self.address: SocketAddress | None = None
        self.sock: socket.socket | None = None
        self.recv: Callable[[int], bytes]
        self.send: Callable[[Any], int]
        self.template: Template
        self.out = b""  # what is left to be written
        self.seq = 0
        self.token = 0
        self.intended = 0
        self.sent = 0
        self.freed = 0
        self.idle_limit: int | None = None
        self.tried: list[SocketAddress] = []
        self.attempted = 0
        self.first_byte: int | None = None
        self.streamed: StreamedAnswer | None = None  # of a request whose answer is to be a stream

    def step(self, event: ConnectionEvent) -> None:
        """Go on to the state that follows this event. Raises IllegalStep where none does."""
        self.state = after(self.state, event)

    @property
    def peer(self) -> str:
        """Whom it is connected to."""
        return self.address.text if self.address else ""

    @property
    def stale(self) -> bool:
        """Whether it has served before, and has not begun to answer now."""
        return self.used > 0 and self.first_byte is None

    def open(self, address: SocketAddress) -> None:
        """Begin to connect. Raises OSError if that fails at once."""
        self.hang_up()
        self.address = address
        self.sock = sock = socket.socket(address.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        self.fd = sock.fileno()
        self.recv, self.send = sock.recv, sock.send
        if address.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address.sockaddr)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self.step(ConnectionEvent.CONNECT)

    def connected(self) -> None:
        """Raise the OSError that connecting ended with, if any."""
        assert self.sock is not None
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def wrap(self, context: ssl.SSLContext, server_name: str) -> None:
        """Begin TLS. A close without its notice counts as an error, since it can hide a truncated body."""
        assert self.sock is not None
        tls = context.wrap_socket(
            self.sock, server_hostname=server_name, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        self.sock, self.recv, self.send = tls, tls.recv, tls.send
        self.step(ConnectionEvent.SECURE)

    def handshake(self) -> None:
        """Go on with the handshake; raises SSLWantReadError or SSLWantWriteError until it is done."""
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.do_handshake()

    def pending(self) -> int:
        """Bytes that TLS has decrypted and nobody has read: epoll does not tell of them."""
        return self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0

    def heard(self) -> str:
        """What nobody asked for: `unsolicited` bytes, `idle_close`, or nothing (empty). Takes what is there.

        To be asked while no request is in flight.
        """
        try:
            return "unsolicited" if self.recv(RECEIVE) else "idle_close"
        except WANT:
            return ""
        except OSError:
            return "idle_close"

    def close(self) -> None:
        """Hang up. A socket that is closed leaves the epoll set by itself."""
        self.step(ConnectionEvent.CLOSE)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the socket, if there is one."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
