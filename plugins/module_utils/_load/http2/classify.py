# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a call was lost whose connection ended, or whose time was over."""

from __future__ import annotations

import ssl

from ..errors import GOAWAY, RESET, STALE_KEEPALIVE, TIMEOUT, TRUNCATED
from ..grpc.call import Call
from ..http.classify import TIMED_OUT, Finding, is_cut, read_error
from ..http.states import CONNECTING, HANDSHAKE, RESOLVING
from .connection import StreamConnection


def is_end(error: OSError) -> bool:
    """Whether an error is how TLS tells of the connection's end, with its own notice or without."""
    return is_cut(error) or isinstance(error, ssl.SSLZeroReturnError)


def why_cut(conn: StreamConnection, call: Call, error: OSError | None) -> Finding:
    """The connection ended with the call in flight; `error` None where it was closed."""
    if conn.goaway:
        return GOAWAY, f"the connection ended after GOAWAY ({conn.goaway}) with the call unanswered"
    if 0 < conn.answered_at < call.sent:
        return STALE_KEEPALIVE, "the reused connection was closed before a byte of an answer"
    if error is not None:
        return read_error(error, False)
    if call.answer is not None and call.answer.begun:
        return TRUNCATED, "the connection was closed in the middle of the answer"
    if not conn.ready:
        return RESET, "the connection was closed before HTTP/2 was agreed on"
    return RESET, "the connection was closed without an answer"


def why_late(conn: StreamConnection, call: Call) -> Finding:
    """The call's time was over."""
    if conn.state in (RESOLVING, CONNECTING, HANDSHAKE):
        return TIMED_OUT[conn.state]
    if not call.stream:
        if conn.ready:
            return TIMEOUT, "the server takes no stream (SETTINGS_MAX_CONCURRENT_STREAMS is 0)"
        return TIMEOUT, "the server sent no SETTINGS, and HTTP/2 was not agreed on"
    if not conn.session.is_sent(call.stream):
        return TIMEOUT, "the request was not taken"
    return TIMEOUT, "no answer" if call.first_byte is None else "no whole answer"
