# SPDX-License-Identifier: GPL-3.0-or-later
"""A port for a program that must be told one, and one that nobody will listen on."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

# Below those of sandboxes, and of what the system gives to connections and to servers that do not mind: of
# these a test on the other processor takes hundreds in the second until the program listens.
_RANGE = range(10_000, 20_000)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, at the moment."""
    while True:
        port = random.SystemRandom().choice(_RANGE)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
