# SPDX-License-Identifier: GPL-3.0-or-later
"""An incremental parser of text/event-stream, as the HTML standard has it (9.2.6, interpreting a stream).

Lines end with LF, CR or CRLF, a byte order mark at the beginning is passed over, and an event is told once
its empty line has come, wherever the bytes were cut on their way. Only where the standard would replace what
is no UTF-8 this leaves the bytes as they are: whoever reads an event is to know that it was damaged.
"""

from __future__ import annotations

from typing import NamedTuple

from ..http.parser import TooLong

MAX_EVENT = 16 * 1024 * 1024  # bytes held of one event
_MAX_DIGITS = 18  # of a retry; Python reads no number of thousands of digits
_BOM = b"\xef\xbb\xbf"
_LF, _CR, _COLON = b"\n\r:"


class StreamEvent(NamedTuple):
    """What was told at an empty line. `kind` is `message` where the stream names none.

    `data` are the lines of its data, joined by line feeds; `ident` is the stream's last id so far.
    """

    kind: str
    data: bytes
    ident: bytes


class EventParser:
    """One stream. `feed` it bytes as they come; at its end `unfinished` tells whether an event was cut off.

    `retry` is the reconnection time that the stream asked for, in milliseconds; None if it did not.
    """

    __slots__ = (
        "_after_cr", "_at_start", "_begun", "_data", "_held", "_id", "_kind", "_limit", "_line", "retry",
    )  # fmt: skip

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._at_start = True
        self._after_cr = False  # a line feed that comes next belongs to the carriage return before it
        self._line: list[bytes] = []  # what there is of a line whose end has not come
        self._begun = 0  # bytes in `_line`
        self._data: list[bytes] = []
        self._held = 0  # bytes in `_data`, and one more for each line: empty ones take memory, too
        self._kind = b""
        self._id = b""
        self.retry: int | None = None

    @property
    def unfinished(self) -> bool:
        """Whether something of an event has come, and not the empty line that ends it."""
        line = b"".join(self._line)
        return bool(self._data or self._kind or (line and line[0] != _COLON))

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take the next bytes; returns the events that they end. Raises TooLong."""
        if self._at_start:
            data = self._without_mark(data)
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == _LF:
                data = data[1:]
        if not data:
            return []
        if b"\n" not in data and b"\r" not in data:
            self._line.append(data)
            self._begun += len(data)
            self._check()
            return []
        if self._line:
            self._line.append(data)
            data = b"".join(self._line)
            self._line = []
            self._begun = 0
        lines = data.splitlines()
        last = data[-1]
        if last == _CR:
            self._after_cr = True
        elif last != _LF:
            rest = lines.pop()
            self._line.append(rest)
            self._begun = len(rest)
        events = self._read(lines)
        self._check()
        return events

    def _without_mark(self, data: bytes) -> bytes:
        """The bytes without the mark at the stream's beginning, once it is sure whether there is one."""
        data = b"".join(self._line) + data
        self._line = []
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._line = [data]
            return b""
        self._at_start = False
        return data[len(_BOM) :] if data.startswith(_BOM) else data

    def _check(self) -> None:
        if self._held + self._begun > self._limit:
            raise TooLong(f"an event is longer than the {self._limit >> 20} MiB that are read of one")

    def _read(self, lines: list[bytes]) -> list[StreamEvent]:
        events = []
        for line in lines:
            if not line:
                if self._data or self._kind == b"error":  # which the standard would pass over without data
                    kind = self._kind.decode("utf-8", "replace") or "message"
                    events.append(StreamEvent(kind, b"\n".join(self._data), self._id))
                    self._data = []
                    self._held = 0
                self._kind = b""
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._held += len(value) + 1
            elif line[0] != _COLON:
                self._field(line)
        return events

    def _field(self, line: bytes) -> None:
        """A line that is neither empty nor a comment, nor data with a colon."""
        name, _colon, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._held += len(value) + 1
        elif name == b"event":
            self._kind = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_DIGITS:
            self.retry = int(value)
