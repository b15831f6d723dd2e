# SPDX-License-Identifier: GPL-3.0-or-later
"""What can become of a request that was not answered as asked, and how an error of the system is named."""

from __future__ import annotations

import errno
import socket
import ssl

DNS = "dns"  # the name did not resolve
CONNECT = "connect"  # refused, unreachable, or not connected within the time-out
TLS = "tls"  # the handshake failed, or the certificate was not accepted
WRITE = "write"  # the request could not be written whole
STALE_KEEPALIVE = "stale_keepalive"  # a reused connection was closed before the first byte of the response
RESET = "reset"  # reset by the peer, or closed without one byte of response on a new connection
TIMEOUT = "timeout"  # connected, and not answered whole within the time-out
TRUNCATED = "truncated"  # closed in the middle of the response
MALFORMED = "malformed"  # not HTTP/1.1 as RFC 9112 has it, HTTP/2 as RFC 9113, or gRPC on it
STATUS = "status"  # a whole response with a status that was not asked for
VALIDATION = "validation"  # a whole response with the right status and a wrong body
GRPC_STATUS = "grpc_status"  # a whole gRPC answer whose grpc-status is not 0, whatever HTTP's status
RST_STREAM = "rst_stream"  # HTTP/2: the server gave up this one stream
GOAWAY = "goaway"  # HTTP/2: the server announced the end of the connection, and left the request unanswered
STREAM_TYPE = "stream_type"  # a whole response with the right status that is no stream of events
STREAM_MALFORMED = "stream_malformed"  # an event that its protocol does not have, or one that was cut off
STREAM_ERROR = "stream_error"  # the stream itself tells of an error, whatever came after it
STREAM_EMPTY = "stream_empty"  # a whole response without any part of an answer
STREAM_UNFINISHED = "stream_unfinished"  # a whole response in which a choice has no finish_reason
STREAM_NO_DONE = "stream_no_done"  # the same with all reasons, and without the [DONE] that its protocol has
CLIENT = "client"  # the load's own fault: no port, descriptor or memory left, a body beyond what it reads

CLASSES = (
    DNS, CONNECT, TLS, WRITE, STALE_KEEPALIVE, RESET, TIMEOUT, TRUNCATED, MALFORMED, STATUS, VALIDATION,
    GRPC_STATUS, RST_STREAM, GOAWAY, STREAM_TYPE, STREAM_MALFORMED, STREAM_ERROR, STREAM_EMPTY,
    STREAM_UNFINISHED, STREAM_NO_DONE, CLIENT,
)  # fmt: skip

_OF_RESOLVER = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
_OWN_FAULTS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL))


class LoadError(Exception):
    """Bad input or a run that cannot be had: one sentence for the user, no traceback."""


def refuse_nul(path: str, what: str) -> None:
    """Raise LoadError for a path with a NUL byte: the system takes none, and Python raises ValueError."""
    if "\0" in path:
        raise LoadError(f"The {what} {path!r} has a NUL byte, which no path can have.")


def is_own_fault(number: int | None) -> bool:
    """Whether an errno tells of a lack on this machine rather than of the server."""
    return number in _OWN_FAULTS


def errno_name(error: BaseException) -> str | None:
    """The symbolic name of an OSError's number (`ECONNREFUSED`, `EAI_AGAIN`), None where there is none."""
    number = getattr(error, "errno", None)
    if isinstance(error, ssl.SSLError):
        return None  # its number is one of OpenSSL's own
    if isinstance(error, socket.gaierror):
        return _OF_RESOLVER.get(number)
    return errno.errorcode.get(number) if isinstance(number, int) else None
