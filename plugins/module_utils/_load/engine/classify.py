# SPDX-License-Identifier: GPL-3.0-or-later
"""Which class a failure is of, from what the socket said and how far the request was."""

from __future__ import annotations

import ssl

from ..errors import (
    CLIENT,
    CONNECT,
    DNS,
    RESET,
    STALE_KEEPALIVE,
    STATUS,
    TIMEOUT,
    TLS,
    VALIDATION,
    WRITE,
    is_own_fault,
)
from ..http.connection import CONNECTING, HANDSHAKE, READING, RESOLVING, WAITING, WRITING
from .pool import is_cut, tls_reason

# The class of a failure, and in words what happened.
Finding = tuple[str, str]

WHOLE = (STATUS, VALIDATION)  # failures whose response was whole, so that the connection may be kept

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
