# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus of a test's own; the program is the sandbox's, which has obtained it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import find
from ansible_collections.iter8.kfserving.tests.support.ports import free_port


@contextmanager
def scraping(folder: Path, job: str, kind: str, body: Callable[[], str]) -> Iterator[str]:
    """Its URL, while it scrapes every 300 ms what `body` gives, of that content type, by that job's name."""

    class Target(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = body().encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_arguments: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Target) as target:
        threading.Thread(target=target.serve_forever, args=(0.05,), daemon=True).start()
        try:
            with _running(folder, job, target.server_port) as url:
                yield url
        finally:
            target.shutdown()


@contextmanager
def _running(folder: Path, job: str, port: int) -> Iterator[str]:
    program = find.obtain(paths.cache_dir(), lambda _text: None).paths["prometheus"]
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 300ms, scrape_timeout: 300ms}\n"
        "scrape_configs:\n"
        f"- {{job_name: {job}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
    )
    listen = free_port()
    command = [
        str(program),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{listen}",
    ]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{listen}"
    finally:
        process.kill()
        process.wait()
