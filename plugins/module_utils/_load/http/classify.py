# SPDX-License-Identifier: GPL-3.0-or-later
"""What an error of a socket means: try again later, or a failure, of which class and in which words."""

from __future__ import annotations

import ssl

from ..errors import (
    CLIENT,
    CONNECT,
    DNS,
    RESET,
    STALE_KEEPALIVE,
    STATUS,
    STREAM_EMPTY,
    STREAM_ERROR,
    STREAM_MALFORMED,
    STREAM_NO_DONE,
    STREAM_TYPE,
    STREAM_UNFINISHED,
    TIMEOUT,
    TLS,
    VALIDATION,
    WRITE,
    is_own_fault,
)
from .states import CONNECTING, HANDSHAKE, READING, RESOLVING, WAITING, WRITING

# The class of a failure, and in words what happened.
Finding = tuple[str, str]

# No error: there is nothing to read now, or no room to write.
WANT = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)

# Failures whose response was whole, so that the connection may be kept
WHOLE = (
    STATUS, VALIDATION, STREAM_TYPE, STREAM_MALFORMED, STREAM_ERROR, STREAM_EMPTY, STREAM_UNFINISHED,
    STREAM_NO_DONE,
)  # fmt: skip

# By what the connection was doing when the time was over.
TIMED_OUT = {
    RESOLVING: (DNS, "the name was not resolved"),
    CONNECTING: (CONNECT, "not connected"),
    HANDSHAKE: (TLS, "TLS was not agreed on"),
    WRITING: (TIMEOUT, "the request was not taken"),
    WAITING: (TIMEOUT, "no answer"),
    READING: (TIMEOUT, "no whole answer"),
}


def write_error(error: OSError, stale: bool) -> Finding:
    """The request could not be written. `stale`: on a connection that served before, with no answer begun."""
    if isinstance(error, ssl.SSLError) and not is_cut(error):
        return TLS, tls_reason(error)
    if stale:
        return STALE_KEEPALIVE, "the reused connection took no request any more"
    return WRITE, "the request could not be written"


def read_error(error: OSError, stale: bool) -> Finding:
    """The response could not be read."""
    if isinstance(error, ssl.SSLError):
        return TLS, tls_reason(error)
    if stale:
        return STALE_KEEPALIVE, "the reused connection was reset before the first byte"
    return CLIENT if is_own_fault(error.errno) else RESET, error.strerror or str(error)


def closed_before_answer(stale: bool, writing: bool) -> Finding:
    """The peer closed without one byte of response. `writing`: and before the request was written whole."""
    if stale:
        return STALE_KEEPALIVE, "the reused connection was closed before the first byte"
    if writing:
        return WRITE, "the connection was closed before the request was written"
    return RESET, "the connection was closed without a response"


def is_cut(error: OSError) -> bool:
    """Whether a TLS connection ended without its own notice of the end."""
    # Python 3.9 has no class of its own for that where OpenSSL 3 tells of it.
    reason = getattr(error, "reason", "")
    return isinstance(error, ssl.SSLEOFError) or reason == "UNEXPECTED_EOF_WHILE_READING"


def tls_reason(error: OSError) -> str:
    """What OpenSSL says in words, as far as it does."""
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
