# SPDX-License-Identifier: GPL-3.0-or-later
"""A strict, incremental parser of HTTP/1.x responses (RFC 9110 and 9112).

It never guesses: what is not a whole, well-formed response raises. It is stricter than the RFC obliges a
client to be: bare line feeds, folded header lines, white space before a chunk's extension, a Transfer-
Encoding beside a Content-Length or in HTTP/1.0, and one that does not end with `chunked` are refused: each
is a known way to read a wrong length, and no server in use sends them. Codings before `chunked` say nothing
of the length: the body is framed by its chunks, and whoever reads it takes the codings off.

It is not h11, since the engine is copied to hosts and containers that have the standard library alone. h11 is
what the fuzzer (tests/bench/fuzz.py) holds it against: where the two differ, one of the rules above says why.
"""

from __future__ import annotations

import re

from ..duration import SECOND
from ..options import MAX_HEAD, MAX_INTERIM

MAX_CHUNK_LINE = 16384
MAX_COLLECTED_BODY = 16 * 1024 * 1024

NO_BODY, LENGTH, CHUNKED, UNTIL_EOF = range(4)
_HEAD, _LENGTH, _CHUNK_LINE, _CHUNK_DATA, _CHUNK_END, _TRAILERS, _EOF, _DONE = range(8)

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELDS = rb"((?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*)"
_HEAD_SHAPE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: " + _TEXT + rb")?\r\n" + _FIELDS + rb"\r\n")
_TRAILERS_SHAPE = re.compile(_FIELDS + rb"\r\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*(" + _TEXT + rb")\r\n")
_CHUNK_SHAPE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;" + _TEXT + rb"|[ \t]*)\r\n")
_CHUNK_PREFIX = re.compile(rb"[0-9A-Fa-f]{0,16}(?:;" + _TEXT + rb"|[ \t]*)\r?")
_BARE_LF = re.compile(rb"(?:^|[^\r])\n")
_LENGTH_SHAPE = re.compile(rb"[0-9]{1,18}")
_TOKEN_SHAPE = re.compile(_TOKEN)
_TIMEOUT = re.compile(rb"(?:^|[,; \t])timeout[ \t]*=[ \t]*\"?([0-9]{1,9})(?![0-9])", re.IGNORECASE)
_OPENING = b"HTTP/1."
_FRAMING = (b"content-length", b"transfer-encoding")  # they have no place in trailers


class Malformed(Exception):
    """The bytes are not an HTTP/1.x response."""


class TooLong(Exception):
    """The response may be right, but it is more than this parser holds in memory."""


class Truncated(Exception):
    """The connection ended in the middle of a response."""


class Head:
    """Status line and headers of one response, with the framing of its body.

    `codings` are those of its Transfer-Encoding but the last, which is `chunked`, in the order applied;
    `idle_limit` is for how many nanoseconds the connection may be idle before it is not to be used again.
    """

    __slots__ = ("codings", "fields", "framing", "idle_limit", "keep_alive", "length", "size", "status")

    def __init__(
        self,
        status: int,
        fields: dict[bytes, bytes],
        *,
        keep_alive: bool,
        framing: int,
        length: int,
        size: int,
        codings: tuple[str, ...] = (),
        idle_limit: int | None = None,
    ) -> None:
        self.idle_limit = idle_limit
        self.codings = codings
        self.status = status
        self.keep_alive = keep_alive
        self.framing = framing
        self.length = length
        self.size = size
        self.fields = fields

    def field(self, name: bytes) -> str | None:
        """A header by its lower-case name, or None."""
        value = self.fields.get(name)
        return None if value is None else value.decode("latin-1")


def _content_length(values: list[bytes]) -> int:
    """The one length; values that repeat it are allowed (RFC 9110, 8.6), others are not."""
    found = {part.strip(b" \t") for value in values for part in value.split(b",")}
    if len(found) != 1:
        raise Malformed("conflicting Content-Length headers")
    value = found.pop()
    if not _LENGTH_SHAPE.fullmatch(value):
        raise Malformed("Content-Length is not a number")
    return int(value)


def _codings(value: bytes, http11: bool) -> tuple[str, ...]:
    """What was applied to the body before it was cut into chunks."""
    names = [part.strip(b" \t").lower() for part in value.split(b",")]
    if not http11 or names.pop() != b"chunked" or b"chunked" in names:
        raise Malformed("a Transfer-Encoding that does not end with chunked, or one in HTTP/1.0")
    if not all(_TOKEN_SHAPE.fullmatch(name) for name in names):
        raise Malformed("a Transfer-Encoding that is not valid")
    return tuple(name.decode() for name in names)


def _framing(
    status: int, http11: bool, fields: dict[bytes, bytes], lengths: list[bytes], head_request: bool
) -> tuple[int, int, tuple[str, ...]]:
    coding = fields.get(b"transfer-encoding")
    codings: tuple[str, ...] = ()
    length = _content_length(lengths) if lengths else None
    if coding is not None:
        if length is not None:
            raise Malformed("both Transfer-Encoding and Content-Length")
        codings = _codings(coding, http11)
    if head_request or status < 200 or status in (204, 304):
        return NO_BODY, 0, ()
    if coding is not None:
        return CHUNKED, 0, codings
    if length is not None:
        return LENGTH, length, ()
    return UNTIL_EOF, 0, ()


def _idle_limit(announced: bytes | None) -> int | None:
    """From `Keep-Alive: timeout=N`: N seconds less one, or half of less than two.

    The server counts from when it sent the answer, and a request must not meet its closing on the way.
    """
    found = None if announced is None else _TIMEOUT.search(announced)
    if found is None:
        return None
    nanoseconds = int(found.group(1)) * SECOND
    return nanoseconds - min(SECOND, nanoseconds // 2)


def parse_head(raw: bytes, head_request: bool = False) -> Head:
    """Parse status line and headers, up to and with the empty line. Raises Malformed."""
    shape = _HEAD_SHAPE.fullmatch(raw)
    if shape is None:
        raise Malformed("the status line or a header line is not valid")
    http11 = shape.group(1) == b"1"
    status = int(shape.group(2))
    fields: dict[bytes, bytes] = {}
    lengths: list[bytes] = []
    for given, padded in _FIELD.findall(shape.group(3)):
        name, value = given.lower(), padded.rstrip(b" \t")
        if name == b"content-length":
            lengths.append(value)
        fields[name] = fields[name] + b", " + value if name in fields else value
    framing, length, codings = _framing(status, http11, fields, lengths, head_request)
    options = {part.strip(b" \t") for part in fields.get(b"connection", b"").lower().split(b",")}
    keep_alive = b"close" not in options and (http11 or b"keep-alive" in options) and framing != UNTIL_EOF
    return Head(
        status,
        fields,
        keep_alive=keep_alive,
        framing=framing,
        length=length,
        size=len(raw),
        codings=codings,
        idle_limit=_idle_limit(fields.get(b"keep-alive")),
    )


class Parser:
    """One response at a time. `feed` bytes as they come, `eof` when the peer closed; `reset` before the next.

    `collect` keeps the body (up to 16 MiB, then TooLong); otherwise it is only counted. A head or trailers of
    more than `max_head` bytes and more than `max_interim` interim responses are TooLong as well: no fault of
    the server's.
    """

    __slots__ = (
        "_buffer", "_collect", "_expect", "_head_request", "_interim", "_left", "_max_head", "_max_interim",
        "_state", "body", "excess", "head", "raw_head", "size",
    )  # fmt: skip

    def __init__(
        self,
        head_request: bool = False,
        collect: bool = False,
        max_head: int = MAX_HEAD,
        max_interim: int = MAX_INTERIM,
    ) -> None:
        self._max_head = max_head
        self._max_interim = max_interim
        self._head_request = head_request
        self._collect = collect
        self.reset()

    def reset(self) -> None:
        """Forget the response; the next byte begins a new one."""
        self._state = _HEAD
        self._buffer = bytearray()
        self._left = 0
        self._interim = 0
        self._expect = 0  # how much of the buffer was searched for the end of the head
        self.head: Head | None = None
        self.raw_head = b""
        self.body = bytearray()
        self.size = 0  # bytes of the response so far, interim responses left out
        self.excess = False  # bytes came after the end of the response

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; True once the response is whole. Raises Malformed, TooLong."""
        if self._state == _DONE:
            self.excess = self.excess or bool(data)
            return True
        self._buffer += data
        while self._state != _DONE and self._step():
            pass
        if self._state != _DONE:
            return False
        self.excess = bool(self._buffer)
        return True

    def eof(self) -> None:
        """The peer closed. Returns if that ends a response framed by it; raises Truncated otherwise."""
        if self._state == _EOF:
            self._state = _DONE
        if self._state != _DONE:
            raise Truncated("the connection was closed in the middle of the response")

    def _step(self) -> bool:
        """Do what the buffer allows; False when more bytes are needed."""
        state = self._state
        if state == _HEAD:
            return self._read_head()
        if state in (_LENGTH, _CHUNK_DATA, _EOF):
            return self._read_body()
        if state == _CHUNK_LINE:
            return self._read_chunk_line()
        if state == _CHUNK_END:
            return self._read_chunk_end()
        return self._read_trailers()

    def _find_blank_line(self, what: str) -> int:
        """Index after the blank line that ends a head, or 0; refuses at once what cannot become one."""
        buffer = self._buffer
        at = buffer.find(b"\r\n\r\n", max(0, self._expect - 3))
        end = at + 4 if at >= 0 else 0
        if _BARE_LF.search(buffer, max(0, self._expect - 1), end or len(buffer)):
            raise Malformed(f"a bare line feed in the {what}")
        if (end or len(buffer)) > self._max_head:
            raise TooLong(f"the {what} has more than the {self._max_head} bytes that are read (max_head)")
        self._expect = len(buffer)
        return end

    def _read_head(self) -> bool:
        buffer = self._buffer
        opening = bytes(buffer[:7])
        if not _OPENING.startswith(opening):
            raise Malformed("the response does not begin with HTTP/1.")
        end = self._find_blank_line("head")
        if not end:
            return False
        raw = bytes(buffer[:end])
        del buffer[:end]
        self._expect = 0
        head = parse_head(raw, self._head_request)
        if head.status < 200:
            self._interim += 1
            if head.status == 101:
                raise Malformed("an interim response that was not asked for")
            if self._interim > self._max_interim:
                raise TooLong(f"more than the {self._max_interim} interim responses read (max_interim)")
            return bool(buffer)
        self.head, self.raw_head, self.size = head, raw, len(raw)
        self._begin_body(head)
        return True

    def _begin_body(self, head: Head) -> None:
        self._left = head.length
        if head.framing == CHUNKED:
            self._state = _CHUNK_LINE
        elif head.framing == UNTIL_EOF:
            self._state = _EOF
        else:
            self._state = _LENGTH if head.length else _DONE

    def _read_body(self) -> bool:
        buffer = self._buffer
        taken = len(buffer) if self._state == _EOF else min(len(buffer), self._left)
        if not taken:
            return False
        self.size += taken
        if self._collect:
            self.body += buffer[:taken]
            if len(self.body) > MAX_COLLECTED_BODY:
                limit = MAX_COLLECTED_BODY >> 20
                raise TooLong(f"the body is longer than the {limit} MiB that are read of one")
        del buffer[:taken]
        if self._state == _EOF:
            return False
        self._left -= taken
        if self._left:
            return False
        self._state = _DONE if self._state == _LENGTH else _CHUNK_END
        return True

    def _read_chunk_line(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\n") + 1
        if (end or len(buffer)) > MAX_CHUNK_LINE:
            raise TooLong(f"a chunk's size line has more than the {MAX_CHUNK_LINE} bytes that are read")
        if not end:
            if not _CHUNK_PREFIX.fullmatch(buffer):
                raise Malformed("a chunk's size is not valid")
            return False
        shape = _CHUNK_SHAPE.fullmatch(buffer, 0, end)
        if shape is None:
            raise Malformed("a chunk's size is not valid")
        self._left = int(shape.group(1), 16)
        del shape  # it holds the buffer, which could not be shortened
        self.size += end
        del buffer[:end]
        self._state = _CHUNK_DATA if self._left else _TRAILERS
        self._expect = 0
        return True

    def _read_chunk_end(self) -> bool:
        buffer = self._buffer
        if not b"\r\n".startswith(bytes(buffer[:2])):
            raise Malformed("a chunk is not followed by a line end")
        if len(buffer) < 2:
            return False
        del buffer[:2]
        self.size += 2
        self._state = _CHUNK_LINE
        return True

    def _read_trailers(self) -> bool:
        buffer = self._buffer
        end = 2 if buffer.startswith(b"\r\n") else self._find_blank_line("trailers")
        if not end:
            return False
        shape = _TRAILERS_SHAPE.fullmatch(bytes(buffer[:end]))
        if shape is None or any(name.lower() in _FRAMING for name, _unused in _FIELD.findall(shape.group(1))):
            raise Malformed("a trailer is not valid")
        self.size += end
        del buffer[:end]
        self._state = _DONE
        return True
