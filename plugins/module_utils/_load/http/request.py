# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a request, built once; only its id and `{uuid}`s change from one to the next."""

from __future__ import annotations

import secrets
import uuid

from ..options import Options
from ..order import Order
from .target import Target

UUID_MARK = b"{uuid}"
_BLANK_UUID = b"0" * 36
ID_DIGITS = 10


class Template:
    """One request. `buffer` is sent as it is; `stamp` writes sequence number and fresh UUIDs into it."""

    __slots__ = ("_id", "_own_id", "buffer", "id_at", "id_prefix", "payload", "size", "told", "uuid_at")

    def __init__(
        self, buffer: bytearray, id_at: int, id_prefix: str, uuid_at: list[int], own_id_at: int = 0
    ) -> None:
        self.buffer = buffer
        self.size = len(buffer)
        self.id_at = id_at
        self._id = slice(id_at, id_at + ID_DIGITS)
        self.id_prefix = id_prefix
        self.uuid_at = uuid_at
        self._own_id = slice(own_id_at, own_id_at + ID_DIGITS) if own_id_at else None
        self.payload = 0  # its index

    def stamp(self, sequence: int) -> None:
        """Write what is particular to this request."""
        if self.id_at:
            self.buffer[self._id] = b"%010d" % sequence
        if self._own_id is not None:
            self.buffer[self._own_id] = b"%010d" % sequence
        for at in self.uuid_at:
            self.buffer[at : at + 36] = str(uuid.uuid4()).encode()

    def request_id(self, sequence: int) -> str | None:
        """The X-Request-Id that was sent with this number, None where the engine sends none."""
        return self._text(sequence) if self.id_at else None

    def own_id(self, sequence: int) -> str | None:
        """The id that was sent with this number in whichever header, None where none was."""
        return self._text(sequence) if self.id_at or self._own_id is not None else None

    def _text(self, sequence: int) -> str:
        return f"{self.id_prefix}{sequence:0{ID_DIGITS}d}"


def _fill_uuids(payload: bytes) -> tuple[bytes, list[int]]:
    pieces = payload.split(UUID_MARK)
    at, places = 0, []
    for piece in pieces[:-1]:
        at += len(piece)
        places.append(at)
        at += len(_BLANK_UUID)
    return _BLANK_UUID.join(pieces), places


def _head(options: Options, target: Target, length: int | None, close: bool) -> bytes:
    named = {name.lower() for name, _value in options.headers}
    lines = [f"{options.verb} {target.path} HTTP/1.1"]
    if "host" not in named:
        lines.append(f"Host: {target.authority}")
    if "user-agent" not in named:
        lines.append("User-Agent: iter8.kfserving")
    if options.stream and "accept" not in named:
        lines.append("Accept: text/event-stream")
    lines += [f"{name}: {value}" for name, value in options.headers]
    if length is not None:
        if "content-type" not in named:
            lines.append("Content-Type: application/octet-stream")
        lines.append(f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    return "".join(line + "\r\n" for line in lines).encode("latin-1")


def new_run_id() -> str:
    """What no two runs share, for the ids of their requests: 64 bits in hexadecimal digits."""
    return secrets.token_hex(8)


def build(options: Options, target: Target, run_id: str, close: bool) -> list[Template]:
    """One template for each payload, to be sent in turn; `close` asks the server to close after the response.

    The request id is the run's id and the sequence number. It is not shaped as a UUID, since Envoy rewrites a
    character of those.
    """
    templates = []
    own_id = any(name.lower() == "x-request-id" for name, _value in options.headers)
    bodies: list[bytes | None] = list(options.payloads)
    for body in bodies or [b"" if options.verb in ("POST", "PUT", "PATCH") else None]:
        filled, places = _fill_uuids(body or b"")
        head = _head(options, target, None if body is None else len(filled), close)
        id_at = 0
        if not own_id:
            head += f"X-Request-Id: {run_id}-".encode()
            id_at = len(head)
            head += b"0" * ID_DIGITS + b"\r\n"
        own_id_at = 0
        if options.request_id_header and not (id_at and options.request_id_header.lower() == "x-request-id"):
            head += f"{options.request_id_header}: {run_id}-".encode()
            own_id_at = len(head)
            head += b"0" * ID_DIGITS + b"\r\n"
        head += b"\r\n"
        shifted = [place + len(head) for place in places]
        templates.append(Template(bytearray(head + filled), id_at, f"{run_id}-", shifted, own_id_at))
        templates[-1].payload = len(templates) - 1
    return templates


class Turns(Order):
    """What each request sends, and by which mode. `id_prefix` begins their ids; empty for none."""

    def __init__(self, options: Options, target: Target, run_id: str) -> None:
        self.templates = {
            "keep-alive": build(options, target, run_id, close=False),
            "new": build(options, target, run_id, close=True),
        }
        one = self.templates["new"][0]
        self.id_prefix = one.id_prefix if one.id_at else ""
        super().__init__(options, len(self.templates["new"]))

    def template(self, sequence: int) -> Template:
        """The request itself, still to be stamped."""
        return self.templates[self.connection_mode(sequence)][self.mix.index(sequence)]
