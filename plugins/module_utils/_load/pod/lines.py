# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generator in a pod says, line by line: its log is the one way out for which a pod needs no right.

Each line is a JSON object whose key `iter8` names its kind. What is too long for a line, such as a result, is
compressed and cut into chunks, each of which names the whole by its size and SHA-256. A log may be cut (a
kubelet keeps but the newest file of a long one), and come with lines doubled or bent; so whatever is put
together is either the whole, to the byte, or nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

KIND = "iter8"
CHUNK = "chunk"
CHUNK_BYTES = 6 * 1024  # in base64 they stay well below the 16 KiB at which container runtimes break lines
MOST_BYTES = 256 * 1024 * 1024  # of a whole; what says that it is longer is not read


def line(kind: str, **values: Any) -> str:
    """One line, without its end."""
    return json.dumps({KIND: kind, **values})


def chunks(name: str, number: int, content: Any) -> Iterator[str]:
    """The lines that carry `content` (JSON). `number` tells several of one name apart, from 0."""
    data = json.dumps(content).encode()
    packed = zlib.compress(data, 6)
    cut = [packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES)]
    whole = {"name": name, "number": number, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for at, piece in enumerate(cut):
        yield line(CHUNK, **whole, at=at, of=len(cut), data=base64.b64encode(piece).decode())


class Whole(NamedTuple):
    """What chunks say of the whole that they are part of."""

    name: str
    number: int
    size: int
    sha256: str
    of: int


class Log:
    """What was heard of a generator: single lines, and the wholes that can be put together."""

    def __init__(self) -> None:
        self._said: dict[str, list[dict[str, Any]]] = {}
        self._chunks: dict[Whole, dict[int, set[bytes]]] = {}

    def hear(self, text: bytes) -> None:
        """Another line; one that is no generator's, or no longer is as it was said, counts for nothing."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict) or not isinstance(said.get(KIND), str):
            return
        if said[KIND] == CHUNK:
            self._keep(said)
        else:
            self._said.setdefault(said[KIND], []).append(said)

    def _keep(self, said: dict[str, Any]) -> None:
        try:
            whole = Whole(*(said[name] for name in Whole._fields))
            at, piece = said["at"], base64.b64decode(said["data"], validate=True)
            numbers = (whole.number, whole.size, whole.of, at)
            sound = all(type(one) is int for one in numbers) and isinstance(whole.name, str)
            if sound and 0 <= at < whole.of and 0 <= whole.size <= MOST_BYTES:
                self._chunks.setdefault(whole, {}).setdefault(at, set()).add(piece)
        except (KeyError, TypeError, ValueError, binascii.Error):
            return

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All lines of this kind, in the order in which they came."""
        return self._said.get(kind, [])

    def last(self, kind: str) -> Optional[dict[str, Any]]:
        """The latest line of this kind."""
        return self.all(kind)[-1] if self.all(kind) else None

    def wholes(self, name: str) -> dict[int, Any]:
        """The contents of this name that came whole, by their numbers."""
        found = {}
        for whole, pieces in self._chunks.items():
            if whole.name == name and len(pieces) == whole.of:
                data = _joined(whole, pieces)
                if data is not None:
                    found[whole.number] = json.loads(data)
        return dict(sorted(found.items()))


def _joined(whole: Whole, pieces: dict[int, set[bytes]]) -> Optional[bytes]:
    """The bytes; None if they are not those that were said."""
    if any(len(said) != 1 for said in pieces.values()):
        return None  # said in two ways: nobody can tell which is right
    packed = b"".join(next(iter(pieces[at])) for at in range(whole.of))
    try:
        data = zlib.decompressobj().decompress(packed, whole.size + 1)
    except zlib.error:
        return None
    return data if len(data) == whole.size and hashlib.sha256(data).hexdigest() == whole.sha256 else None
