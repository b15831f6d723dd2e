# SPDX-License-Identifier: GPL-3.0-or-later
"""Real resets of the connections between the clients and the gateway.

A socket that Envoy holds is duplicated into this process (pidfd_getfd(2)) and disconnected, on which the
kernel sends RST to the client and Envoy finds its connection gone. Nothing retries: the client has to tell.
Needs Linux 5.6 and the right to trace Envoy: root, or the same user where ptrace_scope is 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from course import Course, NoEffect

_LIBC = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438  # the same on every architecture
_ATTEMPTS = 40
_ENOUGH = 4
_OLD_SECONDS = 0.5


def _duplicate(pidfd: int, number: int) -> socket.socket | None:
    """A file descriptor of another process as a socket of ours; None if it is gone or no socket.

    :raises NoEffect: the kernel does not let us.
    """
    found = _LIBC.syscall(_PIDFD_GETFD, pidfd, number, 0)
    if found < 0:
        if ctypes.get_errno() in (1, 13, 38):
            why = os.strerror(ctypes.get_errno())
            raise NoEffect(f"Envoy's sockets cannot be had ({why}): it takes root, or ptrace_scope 0")
        return None
    return socket.socket(fileno=found)


@contextlib.contextmanager
def _clients(process: records.Process) -> Iterator[dict[str, socket.socket]]:
    """Envoy's connections with clients, by the inode of the socket."""
    found: dict[str, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        pidfd = os.pidfd_open(process.pid)
        stack.callback(os.close, pidfd)
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except FileNotFoundError:
                continue
            one = _duplicate(pidfd, int(entry.name)) if target.startswith("socket:") else None
            if one is None:
                continue
            stack.enter_context(one)
            with contextlib.suppress(OSError):
                if one.family == socket.AF_INET and one.getsockname()[1] == config.HTTP_PORT:
                    one.getpeername()  # not for the one that listens
                    found[target] = one
        yield found


def unread(one: socket.socket) -> int:
    """How many bytes lie in it that Envoy has not read."""
    return int(struct.unpack("i", fcntl.ioctl(one, termios.FIONREAD, bytes(4)))[0])


def reset(one: socket.socket) -> bool:
    """Disconnect; whether the kernel did. What has not been read is gone with it."""
    unspecified = struct.pack("H14x", socket.AF_UNSPEC)
    return bool(_LIBC.connect(one.fileno(), unspecified, len(unspecified)) == 0)


def _envoy(course: Course) -> records.Process:
    arena = course.arena
    found = arena.processes_of(arena.pods("istio-system", "app=istio-ingressgateway"))
    if not found:
        raise NoEffect("the gateway was not running")
    return found[0]


def reset_all(course: Course) -> None:
    """Reset every connection that clients have with the gateway, some of them amid a request."""
    with _clients(_envoy(course)) as clients:
        count = sum(reset(one) for one in clients.values())
    if not count:
        raise NoEffect("no client was connected to the gateway")
    course.notes["done"] = f"{count} of the gateway's connections with clients were reset"


def reset_as_a_request_comes(course: Course) -> None:
    """Reset connections that have served before, each with a request in it that the gateway has not read.

    The gateway stands still for the moment in which the requests come, so that it cannot take them first.
    """
    process = _envoy(course)
    with _clients(process) as clients:
        old = set(clients)
    time.sleep(_OLD_SECONDS)
    sizes: list[int] = []
    for _unused in range(_ATTEMPTS):
        if not records.send(process, signal.SIGSTOP):
            raise NoEffect("the gateway was not running")
        try:
            time.sleep(0.04)
            with _clients(process) as clients:
                waiting = {one: unread(one) for inode, one in clients.items() if inode in old}
                sizes += [size for one, size in waiting.items() if size and reset(one)]
        finally:
            records.send(process, signal.SIGCONT)
        if len(sizes) >= _ENOUGH:
            break
        time.sleep(0.1)
    if not sizes:
        raise NoEffect("no request came on a kept connection while the gateway stood still")
    course.notes["done"] = (
        f"{len(sizes)} kept connections were reset by the gateway's side, each with a request in it "
        f"that was not read ({min(sizes)} bytes or more)"
    )
