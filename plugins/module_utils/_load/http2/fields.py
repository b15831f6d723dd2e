# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of a response as RFC 9113, 8.2 and 8.3, have them. h2 would give up the connection for one wrong
field; here only the stream that it came on is wrong, as the RFC says."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..http.parser import Malformed

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_NO_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]$")
_OF_THE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)


def size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of names and values, uncompressed."""
    return sum(len(name) + len(value) for name, value in fields)


def read(fields: Iterable[tuple[bytes, bytes]], trailers: bool) -> tuple[int, dict[bytes, bytes]]:
    """The status (0 of trailers, which have none) and the fields by name; those given twice are joined.

    Raises Malformed.
    """
    status = 0
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name == b":status" and not status and not found and not trailers:
            if len(value) != 3 or not value.isdigit():
                raise Malformed("the status is no number of three digits")
            status = int(value)
            continue
        if not _NAME.fullmatch(name) or _NO_VALUE.search(value):
            raise Malformed("a header field is not valid in HTTP/2")
        if name in _OF_THE_CONNECTION:
            raise Malformed("a header field of the connection, which HTTP/2 has not")
        found[name] = found[name] + b", " + value if name in found else value
    if not trailers and not status:
        raise Malformed("the response has no status")
    return status, found
