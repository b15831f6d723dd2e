# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server that fails once, exactly as told, and stamps what it did: a program of its own.

usage: server.py '{"switch": N, "slow": N, "drop": N, "outage": N, "milliseconds": MS}'

It answers `switch` requests as the baseline before the canary answers, the first `slow` of them after a
millisecond each. The request number `drop` is read and never answered; with the request number `outage` it
closes all that is open, and listens again so much later. It prints one line of JSON with its port, and
another with its stamps (seconds since the epoch) when its input ends.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Revision: %s\r\n\r\nok"
BASELINE, CANARY = b"model-00001", b"model-00002"


class Server:
    """Requests have no body, so each ends with an empty line."""

    def __init__(self, told: dict[str, int]) -> None:
        self.told = told
        self.stamps: dict[str, float] = {}
        self.requests = 0
        self.answered = 0
        self.clients: dict[int, socket.socket] = {}
        self.poll = select.epoll()
        self.poll.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
        self.listener = self.listen(0)
        self.port = int(self.listener.getsockname()[1])

    def listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(256)
        self.poll.register(listener, select.EPOLLIN)
        return listener

    def run(self) -> None:
        """Serve until the input ends."""
        while True:
            for fd, _event in self.poll.poll():
                if fd == sys.stdin.fileno():
                    return
                if fd == self.listener.fileno():
                    client, _address = self.listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.clients[client.fileno()] = client
                    self.poll.register(client, select.EPOLLIN)
                elif fd in self.clients:
                    self.serve(self.clients[fd])

    def serve(self, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close(client)
        for _request in range(data.count(b"\r\n\r\n")):
            self.requests += 1
            if self.requests == self.told.get("outage"):
                self.go_away()
                return
            if self.requests == self.told.get("drop"):
                self.stamps["dropped"] = time.time()
                self.close(client)
                return
            self.answer(client)
        if b"Connection: close" in data:
            self.close(client)

    def answer(self, client: socket.socket) -> None:
        if self.answered < self.told.get("slow", 0):
            time.sleep(0.001)
        canary = self.answered >= self.told["switch"]
        self.answered += 1
        now = time.time()
        if canary:
            self.stamps.setdefault("switched", now)
        if "up" in self.stamps:
            self.stamps.setdefault("first_answer", now)
        elif "outage" in self.told:
            self.stamps["last_answer"] = now
        client.sendall(ANSWER % (CANARY if canary else BASELINE))

    def close(self, client: socket.socket) -> None:
        self.clients.pop(client.fileno(), None)
        client.close()

    def go_away(self) -> None:
        """Be gone, with every connection, for the time that was told."""
        self.listener.close()
        for client in list(self.clients.values()):
            self.close(client)
        self.stamps["down"] = time.time()
        end = time.monotonic() + self.told["milliseconds"] / 1000
        while (left := end - time.monotonic()) > 0:
            time.sleep(left)
        self.listener = self.listen(self.port)
        self.stamps["up"] = time.time()


def main() -> None:
    server = Server(json.loads(sys.argv[1]))
    print(json.dumps({"port": server.port}), flush=True)
    server.run()
    print(json.dumps({"answered": server.answered, "requests": server.requests, **server.stamps}), flush=True)


if __name__ == "__main__":
    main()
