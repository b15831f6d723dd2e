# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the transfer codings off a body, for the checks that have to read it."""

from __future__ import annotations

import zlib

from ..errors import CLIENT, MALFORMED
from . import parser

# How zlib is told the format: gzip's own, and for deflate zlib's (RFC 9112, 7.2).
_FORMATS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Undecoded(Exception):
    """The body cannot be read; `kind` is the class of the failure."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def decoded(body: bytearray, codings: tuple[str, ...]) -> bytearray:
    """The body as it was before these codings were applied, in their order. Raises Undecoded."""
    for name in reversed(codings):
        if name not in _FORMATS:
            raise Undecoded(CLIENT, f"the transfer coding {name[:40]} is none that the load reads")
        body = _inflated(body, _FORMATS[name])
    return body


def _inflated(body: bytearray, form: int) -> bytearray:
    limit = parser.MAX_COLLECTED_BODY
    stream = zlib.decompressobj(form)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error:
        raise Undecoded(MALFORMED, "the body is not coded as its Transfer-Encoding says") from None
    if len(data) > limit:
        raise Undecoded(CLIENT, f"the body is longer than the {limit >> 20} MiB that are read of one")
    if not stream.eof or stream.unused_data:
        raise Undecoded(MALFORMED, "the body is not coded as its Transfer-Encoding says")
    return bytearray(data)
