# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy on loopback whose connections can be cut, held still or refused while the server goes on."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time


class Proxy:
    """Forwards to (host, port) from a port of 127.0.0.1. `seconds_late` delays what comes from behind."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refusing = False
        self.still = False
        self.seconds_late = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._open) // 2

    def cut(self) -> None:
        """End every connection that is open now."""
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End for good."""
        self._closed = True
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                front, _unused = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                front.close()
                continue
            threading.Thread(target=self._forward, args=(front,), daemon=True).start()

    def _forward(self, front: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(front.close)
            try:
                back = socket.create_connection(self._behind)
            except OSError:
                return
            stack.callback(back.close)
            with self._lock:
                self._open |= {front, back}
            with contextlib.suppress(OSError):
                self._pump(front, back)
            with self._lock:
                self._open -= {front, back}

    def _pump(self, front: socket.socket, back: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(front, selectors.EVENT_READ, back)
            selector.register(back, selectors.EVENT_READ, front)
            while True:
                if self.still:
                    time.sleep(0.01)
                    continue
                for key, _unused in selector.select(0.05):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is back and self.seconds_late:
                        time.sleep(self.seconds_late)
                    key.data.sendall(data)
