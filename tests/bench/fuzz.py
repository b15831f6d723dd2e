# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged responses, thrown at the parser and at the whole engine, for as long as told.

usage: fuzz.py [--seconds S] [--seed N]

The parser must find one outcome however the bytes are cut, raise nothing but Malformed and Truncated, and
call whole only what h11 reads alike. The engine must end in time, account for every request that the server
saw, and count as a success none whose answer h11 refuses. Exit status 1 and the
offending bytes at the first breach.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import struct
import sys
import threading
import time

from ansible_collections.iter8.kfserving.plugins.module_utils._load.command import run
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.parser import (
    Malformed,
    Parser,
    Truncated,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.tests.support.oracle import oracle

OK = b"HTTP/1.1 200 OK\r\n"
SEEDS = [
    OK + b"Content-Length: 5\r\nX-Revision: a\r\n\r\nhello",
    OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10;x=y\r\nabcdefghijklmnop\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno\n",
    b"HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n",
    b'HTTP/1.1 304\r\nETag: "x"\r\nContent-Length: 10\r\n\r\n',
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b"\xff", b"0", b"1", b"f", b"-1", b"+",
    b",", b";",
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: identity\r\n", b"Connection: close\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff", b"99999999999999999999", b" folded\r\n", b"HTTP/1.1 101 Switch\r\n\r\n",
]  # fmt: skip

Outcome = tuple[object, ...]


def damaged(chance: random.Random) -> bytes:
    """A seed with up to six random changes; sometimes none."""
    data = bytearray(chance.choice(SEEDS))
    for _unused in range(chance.randrange(7)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] = chance.randrange(256)
        elif kind == 1:
            data[at:at] = chance.choice(TOKENS)
        elif kind == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
        elif kind == 5:
            data += chance.choice(SEEDS)
        else:
            data[at : at + 1] = chance.choice(TOKENS)
    return bytes(data)


def parsed(pieces: list[bytes]) -> Outcome:
    parser = Parser(collect=True)
    try:
        whole = False
        for piece in pieces:
            whole = parser.feed(piece)
        if not whole:
            parser.eof()
    except Malformed:
        return ("malformed",)
    except Truncated:
        return ("truncated",)
    if parser.excess:
        return ("malformed",)
    assert parser.head is not None
    return parser.head.status, bytes(parser.body)


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data) + 1) for _unused in range(chance.randrange(1, 8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]


def fuzz_parser(chance: random.Random, seconds: float) -> int:
    """Returns how many streams were tried."""
    tried = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        data = damaged(chance)
        before = time.monotonic()
        found = parsed([data])
        if isinstance(found[0], int) and oracle(data) != found:
            raise AssertionError(f"called whole: {data!r}: {found!r}, h11: {oracle(data)!r}")
        for pieces in (cut(data, chance), cut(data, chance), [data[i : i + 1] for i in range(len(data))]):
            if parsed(pieces) != found:
                raise AssertionError(f"depends on the cut: {pieces!r}: {parsed(pieces)!r}, not {found!r}")
        if time.monotonic() - before > 5:
            raise AssertionError(f"took {time.monotonic() - before:.1f} s: {data!r}")
        tried += 1
    return tried


class Server:
    """Answers each request with damaged bytes, cut at random, and remembers which answers h11 would take."""

    def __init__(self, seed: int) -> None:
        self.right: dict[bytes, bool] = {}
        self.sent: dict[bytes, bytes] = {}
        self._seed = seed
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        number = 0
        while not self._closing.is_set():
            sock, _address = self._listener.accept()
            number += 1
            chance = random.Random(self._seed * 100_003 + number)
            thread = threading.Thread(target=self._serve, args=(sock, chance))
            thread.start()
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]

    def _serve(self, sock: socket.socket, chance: random.Random) -> None:
        sock.settimeout(1)
        with sock, contextlib.suppress(OSError):
            while self._answer(sock, chance):
                pass

    def _answer(self, sock: socket.socket, chance: random.Random) -> bool:
        """Whether the connection is to be kept."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            data = sock.recv(4096)
            if not data:
                return False
            request += data
        ident = request.rpartition(b"X-Request-Id: ")[2].strip()
        answer = damaged(chance)
        read = oracle(answer)
        self.sent[ident] = answer
        self.right[ident] = read is not None and 200 <= read[0] < 300
        # More than one answer must come in one piece: what comes after the next request was sent cannot be
        # told from its answer, in HTTP/1.1.
        pieces = cut(answer, chance) if read is not None else [answer]
        for piece in pieces:
            sock.sendall(piece)
            if chance.random() < 0.1:
                time.sleep(0.001)
        end = chance.randrange(4)
        if end == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end == 1:
            sock.settimeout(0.08)
            sock.recv(1)
        return end > 1 and read is not None and parsed([answer]) == read and b"HTTP/1.0" not in answer

    def close(self) -> None:
        self._closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()


CALLS = 300


def fuzz_engine(seed: int, rate: float) -> int:
    """One run of the engine against one server; returns how many successes it counted."""
    server = Server(seed)
    connection_modes = ("keep-alive", "new", "both")[seed % 3]
    options = Options(
        url=f"http://127.0.0.1:{server.port}/", calls=CALLS, connections=4, rate=rate, timeout=50_000_000,
        connection_modes=connection_modes, ledger_limit=CALLS,
    )  # fmt: skip
    before = time.monotonic()
    try:
        own = run(options, handle_signals=False)["LoadTest"]
    finally:
        server.close()
    took = time.monotonic() - before
    failed = {str(record["request_id"]).encode() for record in own["ledger"]}
    wrong = [ident for ident, right in server.right.items() if not right and ident not in failed]
    if wrong:
        raise AssertionError(
            f"counted as a success: {server.sent[wrong[0]]!r} ({connection_modes}, seed {seed})"
        )
    if own["requests"] != CALLS or len(failed) != own["failed"] or len(server.right) > CALLS:
        raise AssertionError(
            f"counts differ: {own['requests']}, {own['failed']}, {len(server.right)} (seed {seed})"
        )
    if took > 60:
        raise AssertionError(f"the engine took {took:.0f} s (seed {seed})")
    return int(own["ok"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Damaged responses for the parser and the engine.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    chance = random.Random(given.seed)
    print(f"fuzz: seed {given.seed}, {given.seconds:g} seconds", flush=True)
    deadline = time.monotonic() + given.seconds
    streams = runs = successes = 0
    try:
        while time.monotonic() < deadline:
            streams += fuzz_parser(chance, min(5, given.seconds / 4))
            for rate in (0, 1000):
                runs += 1
                successes += fuzz_engine(given.seed + runs, rate)
    except AssertionError as breach:
        print(f"fuzz: {breach}")
        return 1
    print(
        f"fuzz: {streams} streams parsed, {runs} runs of {CALLS} requests, {successes} of them right: "
        "no crash, no hang, no false success"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
