# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test servers that serve each connection in a thread have in common: the listener and its end."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from .waiting import until


class Listening:
    """Listens on the loopback unless given a listener; `conversation` is the rest of a server."""

    def __init__(self, context: ssl.SSLContext | None = None, listener: socket.socket | None = None) -> None:
        self.closing = threading.Event()
        self._context = context
        self._threads: list[threading.Thread] = []
        self._taking = threading.Lock()  # while a client is taken and not yet among the threads
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.settimeout(0.02)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def conversation(self, sock: socket.socket) -> None:
        """Serve one connection. Raises OSError or ValueError to end it."""
        raise NotImplementedError

    def _accept(self) -> None:
        while not self.closing.is_set():
            if self._asked(0.02):
                with self._taking, contextlib.suppress(TimeoutError, socket.timeout):
                    sock, _address = self._listener.accept()
                    self.begin(self._serve, sock)

    def _asked(self, seconds: float) -> bool:
        """Whether a client is there, or comes in so many seconds, that nobody has taken yet."""
        return bool(select.select([self._listener], [], [], seconds)[0])

    def begin(self, work: Callable[..., None], *given: Any) -> None:
        """Do it in a thread of its own, for whose end `settle` waits."""
        thread = threading.Thread(target=work, args=given)
        thread.start()
        self._threads.append(thread)

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._context is not None:
                sock.settimeout(5)
                sock = self._context.wrap_socket(sock, server_side=True)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.conversation(sock)
        except (OSError, ValueError):
            pass
        finally:
            sock.close()

    def settle(self) -> None:
        """Wait until every conversation is over, which is soon after the clients have hung up.

        Only then has a server written down all that it did: it sends an answer before it notes it. A client
        that came and went may not even have been taken yet.
        """
        if not self.closing.is_set():
            until(lambda: not self._asked(0), 10, "every client to be taken")
        with self._taking:
            pass  # whoever was being taken is among the threads now
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def close(self) -> None:
        self.closing.set()
        self._accepting.join()
        self._listener.close()
        self.settle()
