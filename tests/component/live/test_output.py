# SPDX-License-Identifier: GPL-3.0-or-later
"""A play whose output can no longer be written ends as Ansible's own plays do: it goes on without showing."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from ...support.playbooks import ANSIBLE_PLAYBOOK, ROOT

pytestmark = pytest.mark.timeout(240)

GROUP = "serving.kubeflow.org"
SERVICES = f"/apis/{GROUP}/v1beta1/namespaces/default/inferenceservices"
VERSION = {"groupVersion": f"{GROUP}/v1beta1", "version": "v1beta1"}
KIND = {
    "name": "inferenceservices",
    "kind": "InferenceService",
    "namespaced": True,
    "verbs": ["list", "watch"],
}
ANSWERS: dict[str, Any] = {
    "/version": {"major": "1", "minor": "29", "gitVersion": "v1.29.0"},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": GROUP, "versions": [VERSION], "preferredVersion": VERSION}],
    },
    f"/apis/{GROUP}/v1beta1": {"kind": "APIResourceList", **VERSION, "resources": [KIND]},
}


class Server(http.server.ThreadingHTTPServer):
    """An API server with one InferenceService, whose traffic changes again and again: news without end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802
        path = self.path.partition("?")[0]
        if "watch=" in self.path:
            self._watch()
        elif path == SERVICES:
            self._answer({"metadata": {"resourceVersion": "1"}, "items": [service(1)]})
        else:
            self._answer(ANSWERS.get(path))

    def _answer(self, content: Optional[dict[str, Any]]) -> None:
        data = json.dumps(content or {"kind": "Status", "code": 404}).encode()
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for version in range(2, 1000):
            if self.server.ended.wait(0.1):
                return
            try:
                event = {"type": "MODIFIED", "object": service(version)}
                self.wfile.write(json.dumps(event).encode() + b"\n")
            except OSError:
                return

    def log_message(self, *_arguments: Any) -> None:
        pass


def service(version: int) -> dict[str, Any]:
    percent = version % 90 + 1
    traffic = [{"revisionName": "m-1", "percent": 100 - percent}, {"revisionName": "m-2", "percent": percent}]
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "m", "namespace": "default", "uid": "u1", "resourceVersion": str(version)},
        "status": {"components": {"predictor": {"latestCreatedRevision": "m-2", "traffic": traffic}}},
    }


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.ended.set()
    found.shutdown()
    thread.join()
    found.server_close()


def play(server: Server, folder: Path, output: Any) -> subprocess.Popen[bytes]:
    """A wait of 8 s that comes to nothing, and a task after it."""
    url = f"http://127.0.0.1:{server.server_address[1]}"
    wait = {"host": url, "api_key": "token", "name": "m", "traffic": {"m-2": 100}, "timeout": 8}
    tasks = [
        {"iter8.kfserving.inferenceservice_wait": wait, "ignore_errors": True},
        {"ansible.builtin.copy": {"content": "", "dest": str(folder / "reached")}},
    ]
    head = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path = folder / "play.yml"
    path.write_text(json.dumps([{**head, "vars": python, "tasks": tasks}]))
    return subprocess.Popen(
        [str(ANSIBLE_PLAYBOOK), "-i", "localhost,", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONUNBUFFERED": "1"},
    )


def ends_well(process: subprocess.Popen[bytes], folder: Path) -> None:
    try:
        process.wait(200)
    finally:
        process.kill()
        process.wait()
    assert (folder / "reached").exists()


@pytest.mark.parametrize("words", [b"TASK", b"m-2"], ids=["before the first line of ours", "after it"])
def test_the_reader_goes(server: Server, tmp_path: Path, words: bytes) -> None:
    process = play(server, tmp_path, subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        assert any(words in line for line in output)
    ends_well(process, tmp_path)


def test_the_disk_is_full(server: Server, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as output:
        process = play(server, tmp_path, output)
    ends_well(process, tmp_path)


def test_the_reader_stays(server: Server, tmp_path: Path) -> None:
    process = play(server, tmp_path, subprocess.PIPE)
    output, _nothing = process.communicate(timeout=120)
    assert output.count(b"m-2") > 10, output.decode()
    assert (tmp_path / "reached").exists()
