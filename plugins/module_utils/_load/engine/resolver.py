# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are resolved anew while a run goes on, in a thread of their own: the system's resolver blocks."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import Callable

from ..http.target import SocketAddress

FRESH = 1_000_000_000  # ns for which an answer serves further connections

Lookup = Callable[[], list[SocketAddress]]


class Resolver:
    """The addresses of one name. `fd` becomes readable when an answer that was asked for has come."""

    def __init__(self, lookup: Lookup, addresses: list[SocketAddress], now: int) -> None:
        self.addresses = addresses
        self.error: OSError | None = None
        self._lookup = lookup
        self._answered_at = now
        self._asked = False
        self._questions: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.fd, self._signal = os.pipe()
        os.set_blocking(self.fd, False)
        self._thread = threading.Thread(target=self._work, name="resolver", daemon=True)
        self._thread.start()

    def fresh(self, now: int) -> bool:
        """Whether the last answer may be used. If not, a new one is asked for."""
        if now - self._answered_at < FRESH and self.error is None:
            return True
        if not self._asked:
            self._asked = True
            self._questions.put(True)
        return False

    def take(self, now: int) -> None:
        """The answer has come: `addresses`, or `error` if the name did not resolve."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 64)
        self._asked = False
        self._answered_at = now

    def _work(self) -> None:
        while self._questions.get():
            try:
                self.addresses, self.error = self._lookup(), None
            except OSError as error:
                self.error = error
            except Exception as error:  # without this thread no connection could be made any more
                self.error = OSError(None, f"the resolver failed: {error!r}")
            with contextlib.suppress(OSError):
                os.write(self._signal, b"x")

    def close(self) -> None:
        """End the thread, unless it hangs in the system's resolver: then it ends with the process."""
        self._questions.put(False)
        self._thread.join(0.5)
        if not self._thread.is_alive():
            os.close(self.fd)
            os.close(self._signal)
