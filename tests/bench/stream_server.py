# SPDX-License-Identifier: GPL-3.0-or-later
"""A stub of a language model server for the bench: streams of OpenAI's protocol, each at its own pace.

usage: stream_server.py STAMPS   (prints its port; SIGTERM ends it and writes STAMPS)

It is no model: its tokens are words. A request's JSON has `max_tokens`, and may have `first_ms` and `gap_ms`.
STAMPS has a line for each stream: the request's id, when its first token was handed to the system (ns of the
monotonic clock, which all processes of a machine share), and how many tokens went out.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

FIRST_MS, GAP_MS = 200, 200
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nx-request-id: *(\S+)", re.IGNORECASE)
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Revision: stub\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(**choice: Any) -> bytes:
    body = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub",
        "choices": [{"index": 0, "text": "", "logprobs": None, **choice}],
    }  # fmt: skip
    return b"data: " + json.dumps(body).encode() + b"\n\n"


_TOKEN = _chunk(_event(delta={"content": "word "}, text="word ", finish_reason=None))
_END = _chunk(_event(delta={}, finish_reason="length")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_MODELS = b'{"object": "list", "data": [{"id": "stub", "object": "model"}]}'


class Connection(asyncio.Protocol):
    """One connection; a stream is a chain of timers, so that thousands cost little."""

    def __init__(self, stamps: list[tuple[str, int, int]]) -> None:
        self._stamps = stamps
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        found = _LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        if len(body) < length:
            return
        self._data = body[length:]
        if head.startswith(b"GET"):
            size = str(len(_MODELS)).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                + size
                + b"\r\n\r\n"
                + _MODELS
            )
            return
        asked = json.loads(body[:length])
        ident = _ID.search(head)
        loop = asyncio.get_running_loop()
        due = loop.time() + asked.get("first_ms", FIRST_MS) / 1000
        name = ident.group(1).decode() if ident else ""
        tokens = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or 50)
        self._transport.write(_HEAD)
        loop.call_at(due, self._first, due, asked.get("gap_ms", GAP_MS) / 1000, name, tokens)

    def _first(self, due: float, gap: float, name: str, tokens: int) -> None:
        if self._transport.is_closing():
            return
        self._stamps.append((name, time.monotonic_ns(), tokens))
        self._transport.write(_TOKEN)
        self._next(due, gap, tokens - 1)

    def _next(self, due: float, gap: float, left: int) -> None:
        if not left:
            self._transport.write(_END)
            return
        asyncio.get_running_loop().call_at(due + gap, self._token, due + gap, gap, left)

    def _token(self, due: float, gap: float, left: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_TOKEN)
        self._next(due, gap, left - 1)


async def serve(stamps: list[tuple[str, int, int]]) -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: Connection(stamps), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()


def main() -> int:
    stamps: list[tuple[str, int, int]] = []
    asyncio.run(serve(stamps))
    Path(sys.argv[1]).write_text("".join(f"{name} {at} {tokens}\n" for name, at, tokens in stamps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
