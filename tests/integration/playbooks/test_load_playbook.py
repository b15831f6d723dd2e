# SPDX-License-Identifier: GPL-3.0-or-later
"""`load_test` and `load_test_info` as a user runs them: by ansible, against a small server."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from ansible_collections.iter8.kfserving.tests.support.grpc_service import Service


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"predictions": [1], "model": {"revision": "rev-1"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_unused: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models/my-model:predict"
    server.shutdown()
    thread.join()
    server.server_close()


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ lookup('env', 'TEST_PYTHON') }}"
    load: &load
      name: quickstart
      url: "{{ lookup('env', 'TEST_URL') }}"
      payload_file: "{{ lookup('env', 'TEST_DIR') }}/input.json"
      rate: 50
      duration: 5m
      revision_field: model.revision
      expect_body: predictions
      dest: "{{ lookup('env', 'TEST_DIR') }}/load.json"
      state_dir: "{{ lookup('env', 'TEST_DIR') }}/loads"
  module_defaults:
    iter8.kfserving.load_test_info:
      name: quickstart
      state_dir: "{{ lookup('env', 'TEST_DIR') }}/loads"
  tasks:
    - iter8.kfserving.load_test: "{{ load }}"
      register: started
    - iter8.kfserving.load_test: "{{ load }}"
      register: again
    - iter8.kfserving.load_test: "{{ load | combine({'rate': 51}) }}"
      register: refused
      ignore_errors: true
    - iter8.kfserving.load_test_info:
      register: seen
      when: not ansible_check_mode
      until: seen.progress.requests >= 50
      retries: 50
      delay: 0.2
    - iter8.kfserving.load_test: {name: quickstart, state: stopped, state_dir: "{{ load.state_dir }}"}
      register: stopped
    - iter8.kfserving.load_test: {name: quickstart, state: absent, state_dir: "{{ load.state_dir }}"}
      register: absent
    - iter8.kfserving.load_test_info:
      register: gone
    - ansible.builtin.copy:
        dest: "{{ lookup('env', 'TEST_DIR') }}/seen.json"
        mode: "0600"
        content: "{{ {'started': started, 'again': again, 'refused': refused, 'seen': seen,
                     'stopped': stopped, 'absent': absent, 'gone': gone} | to_json }}"
"""


def play(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAY)
    (folder / "input.json").write_text('{"instances": [1]}')
    environment = {
        **os.environ,
        "TEST_URL": url,
        "TEST_DIR": str(folder),
        "TEST_PYTHON": sys.executable,
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
    }
    program = str(Path(sys.executable).parent / "ansible-playbook")
    return subprocess.run(
        [program, "-i", "localhost,", str(folder / "play.yml"), *arguments],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def processes_of(folder: Path) -> List[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder / "loads") in line:
            found.append(line)
    return found


def test_a_playbook(url: str, tmp_path: Path) -> None:
    done = play(url, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: Dict[str, Any] = json.loads((tmp_path / "seen.json").read_text())
    assert (seen["started"]["changed"], seen["started"]["status"]) == (True, "running")
    assert (seen["again"]["changed"], seen["again"]["status"]) == (False, "running")
    assert seen["refused"]["msg"].startswith("A load named 'quickstart' is running with other arguments")
    # The task that started it ended long ago, and its temporary files with it: the load goes on.
    assert seen["seen"]["progress"]["requests"] >= 50
    assert list(seen["seen"]["progress"]["revisions"]) == ["rev-1"]
    result = seen["stopped"]["result"]
    assert result["RetCodes"] == {"200": result["LoadTest"]["requests"]}
    assert seen["stopped"]["report"].startswith("Ended after ")
    assert json.loads((tmp_path / "load.json").read_text()) == result
    assert (seen["absent"]["changed"], seen["gone"]["status"]) == (True, "absent")
    assert not (tmp_path / "loads" / "quickstart").exists()
    assert processes_of(tmp_path) == []


def test_check_mode_starts_nothing(url: str, tmp_path: Path) -> None:
    done = play(url, tmp_path, "--check")
    assert "changed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "loads").exists()
    assert processes_of(tmp_path) == []


def test_an_unreachable_host_is_one_sentence(tmp_path: Path) -> None:
    done = play("http://127.0.0.1:1/", tmp_path)
    assert done.returncode == 2
    assert "Cannot connect to 127.0.0.1:1: [Errno 111] Connection refused." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert processes_of(tmp_path) == []


GRPC_PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ lookup('env', 'TEST_DIR') }}/bare/bin/python"
  tasks:
    - iter8.kfserving.load_test:
        name: calls
        state: finished
        url: "{{ lookup('env', 'TEST_URL') }}"
        payload: {inputs: [{name: x, shape: [1, 2], datatype: FP32, data: [1, 2]}]}
        rate: 50
        calls: 20
        duration: "0"
        connection_modes: both
        revision_field: model_version
        dest: "{{ lookup('env', 'TEST_DIR') }}/load.json"
        state_dir: "{{ lookup('env', 'TEST_DIR') }}/loads"
"""


@pytest.mark.parametrize(
    "python", [sys.executable, *sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))]
)
def test_grpc_from_a_host_that_lacks_its_library(tmp_path: Path, python: str | Path) -> None:
    """A Python without any package: what the control node has is brought, and lies beside the engine after
    that.
    """
    subprocess.run([str(python), "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    assert subprocess.run(
        [str(tmp_path / "bare/bin/python"), "-c", "import h2"], check=False, capture_output=True
    ).returncode
    server = Service(revision="rev-1")
    try:
        environment = {
            "TEST_URL": f"grpc://127.0.0.1:{server.port}/v2/models/my-model",
            "TEST_DIR": str(tmp_path),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        }
        (tmp_path / "play.yml").write_text(GRPC_PLAY)
        program = str(Path(sys.executable).parent / "ansible-playbook")
        done = subprocess.run(
            [program, "-i", "localhost,", str(tmp_path / "play.yml")],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        server.stop().wait()
    assert done.returncode == 0, done.stdout + done.stderr
    own = json.loads((tmp_path / "load.json").read_text())["LoadTest"]
    assert (own["requests"], own["failed"], server.requests) == (20, 0, 20)
    assert list(own["revisions"]) == ["rev-1"]
    assert [path.name for path in (tmp_path / "loads/calls/code/engine").glob("*.zip")] == ["h2.zip"]
    assert list((tmp_path / "remote").glob("*/*")) == []
