# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that are loaded: nginx for speed, and one that stamps arrivals for pacing."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible_collections.iter8.kfserving.tests.support.ports import free_port
from programs import Programs

# As long as nginx's own welcome page, but from memory: to open a file for each request keeps nginx's one
# processor busier than any of the generators is, and then it is nginx that is measured.
PAGE = "x" * 612

CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_buffer_size 64k; client_max_body_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096; default_type text/html;
    location = / {{ return 200 "{page}"; }}
    location = /post {{ return 200 "ok\\n"; }}
  }}
}}
"""


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args} does not listen on port {port}") from None
            time.sleep(0.02)


@contextlib.contextmanager
def nginx(programs: Programs) -> Iterator[str]:
    """One nginx worker on a free loopback port; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="iter8-bench-") as name:
        folder, port = Path(name), free_port()
        (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, page=PAGE))
        command = [programs.paths["nginx"], "-e", "stderr", "-p", name, "-c", str(folder / "nginx.conf")]
        with serving(port, command, programs.environment) as url:
            yield url


@contextlib.contextmanager
def stamping(folder: Path) -> Iterator[str]:
    """A server that writes down when each request arrives (see `stamp`); yields its URL."""
    port = free_port()
    with serving(port, [sys.executable, __file__, str(port), str(folder / "stamps")]) as url:
        yield url


@contextlib.contextmanager
def serving(port: int, command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A process that serves this loopback port; yields its URL, and ends it."""
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def stamp(port: int, stamps: Path) -> None:
    """Answer every request at once; a GET of /stamps writes the times of the others and forgets them."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}
    arrivals: list[int] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    while True:
        for fd, _event in poller.poll():
            if fd == listener.fileno():
                sock, _address = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[sock.fileno()] = sock
                poller.register(sock, select.EPOLLIN)
                continue
            now = time.monotonic_ns()
            try:
                data = sockets[fd].recv(65536)
            except OSError:
                data = b""
            if not data:
                sockets.pop(fd).close()
                continue
            if data.startswith(b"GET /stamps "):
                stamps.write_text("\n".join(map(str, arrivals)))
                arrivals.clear()
            else:
                arrivals.append(now)
            sockets[fd].send(answer)


if __name__ == "__main__":
    stamp(int(sys.argv[1]), Path(sys.argv[2]))
