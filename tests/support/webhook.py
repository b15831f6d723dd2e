# SPDX-License-Identifier: GPL-3.0-or-later
"""An admission webhook that a real API server asks, and that the test takes away or lets refuse."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._platform import self_signed

from .ports import free_port

HOST = "localhost"


class Webhook:
    """One on loopback, of a certificate of its own. With `refusal` it refuses what it is asked about."""

    def __init__(self, folder: Path) -> None:
        made = self_signed.make([HOST], datetime.now(timezone.utc))
        self._files = [folder / name for name in ("tls.crt", "tls.key")]
        for path in self._files:
            path.write_bytes(base64.b64decode(made[path.name]))
        self.ca = made["ca.crt"]
        self.refusal = ""
        self.asked: list[str] = []
        self._server: Optional[_Server] = None
        # Not one that the system may give to somebody's connection while nobody listens.
        self.port = free_port()
        self.come()

    def come(self) -> None:
        """Listen, at the port that it had before."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self._files))
        server = _Server(("127.0.0.1", self.port), _handler(self))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def go(self) -> None:
        """Nobody listens any more, and who kept a connection has no answer on it either."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
        self._server = None

    def configuration(self, name: str, group: str, resource: str) -> dict[str, Any]:
        """It guards this resource: what cannot be asked about is refused."""
        rule = {
            "apiGroups": [group], "apiVersions": ["*"], "resources": [resource],
            "operations": ["CREATE", "UPDATE", "DELETE"],
        }  # fmt: skip
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"guard.{group}",
                    "clientConfig": {"url": f"https://{HOST}:{self.port}/", "caBundle": self.ca},
                    "rules": [rule],
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 5,
                }
            ],
        }


class _Server(ThreadingHTTPServer):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._accepted: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        self._accepted.append(accepted)
        return accepted, address

    def hang_up(self) -> None:
        """End what was accepted: the API server keeps its connection, and would be answered on it."""
        for each in self._accepted:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An API server that no longer waits for the answer is no error of the test's."""


def _handler(webhook: Webhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            webhook.asked.append(request["operation"])
            answer: dict[str, Any] = {"uid": request["uid"], "allowed": not webhook.refusal}
            if webhook.refusal:
                answer["status"] = {"message": webhook.refusal}
            body = json.dumps({**review, "request": None, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The test tells what is to be told."""

    return Handler
