# SPDX-License-Identifier: GPL-3.0-or-later
"""One load from three hosts whose clocks are 3 s apart, by the role's own tasks, on a server that counts.

The hosts are this machine three times: each has its own temporary and state folders, and its own clock, which
a library that stands before the system's gives to all that runs there.
"""

from __future__ import annotations

import http.server
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import job
from ansible_collections.iter8.kfserving.tests.support import artefacts
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

AHEAD = {"load-1": 0, "load-2": 3, "load-3": -3}
RATE = 60
# Nine modules are sent to hosts one after the other.
pytestmark = pytest.mark.timeout(400)
PROGRAMS = Path(sys.executable).parent


class Counting(http.server.ThreadingHTTPServer):
    """Writes down each request's id and when it came."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[float, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/models/my-model:predict"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def do_POST(self) -> None:
        came = time.time()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert body == b'{"instances": [1]}'
        self.server.seen.append((came, str(self.headers["X-Request-Id"])))
        self.send_response(200)
        self.send_header("X-Revision", "rev-1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_unused: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Counting]:
    made = Counting()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def clock_library() -> str:
    """The campaign's, which is compiled on the spot."""
    code = "import clock; print(clock._library())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tests/campaign", capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the library that sets clocks cannot be made here: {done.stderr[-300:]}")
    return done.stdout.split()[-1]


def inventory(folder: Path, library: str) -> dict[str, Any]:
    """Three hosts, each with a shell that gives all it runs the host's own clock and folders."""
    hosts = {}
    for name, ahead in AHEAD.items():
        own = folder / name
        own.mkdir()
        (own / "clock").write_bytes(struct.pack("q", ahead))
        shell = own / "sh"
        shell.write_text(
            f"#!/bin/sh\nexport LD_PRELOAD={library} CAMPAIGN_CLOCK={own}/clock XDG_STATE_HOME={own}/state\n"
            'exec /bin/sh "$@"\n'
        )
        shell.chmod(0o755)
        hosts[name] = {
            "ansible_connection": "local",
            "ansible_shell_executable": str(shell),
            "ansible_remote_tmp": f"{own}/tmp",
            "ansible_python_interpreter": sys.executable,
        }
    return {"all": {"children": {"load_generators": {"hosts": hosts}}}}


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    rollout_kubeconfig: none
    rollout_context: none
    rollout_run_id: none
    rollout_record: none
    rollout_artifacts: "{{ lookup('env', 'TEST_DIR') }}/artefacts"
    rollout_baseline: {revisions: {serving: rev-1}}
    rollout_ingress:
      url: "{{ lookup('env', 'TEST_URL') }}"
      gateway_url: ''
      host_header: my-model.example.com
      server_name: ''
    rollout_payload_file: "{{ lookup('env', 'TEST_DIR') }}/input.json"
    rollout_load_name: many
    rollout_load_max_duration: 4m
    rollout_load_hosts: "{{ lookup('env', 'TEST_HOSTS') }}"
    rollout_load_rate: 60
    rollout_load_connections: 6
    rollout_revision_header: X-Revision
    rollout_load_start_seconds: "{{ lookup('env', 'TEST_START') }}"
  module_defaults:
    iter8.kfserving.timeline_mark: {path: "{{ rollout_timeline }}"}
  tasks:
    - ansible.builtin.file: {path: "{{ rollout_artifacts }}", state: directory, mode: "0755"}
    - ansible.builtin.import_role: {name: iter8.kfserving.rollout, tasks_from: send}
      vars: {rollout_load_only_tried: true}
    - ansible.builtin.import_role: {name: iter8.kfserving.rollout, tasks_from: hosts_before}
    - ansible.builtin.import_role: {name: iter8.kfserving.rollout, tasks_from: send}
      vars: {rollout_load_only_tried: false}
    - ansible.builtin.import_role: {name: iter8.kfserving.rollout, tasks_from: hosts_begun}
    - ansible.builtin.import_role: {name: iter8.kfserving.rollout, tasks_from: names}
    - ansible.builtin.include_tasks: "{{ lookup('env', 'TEST_DIR') }}/while.yml"
    - ansible.builtin.import_role: {name: iter8.kfserving.rollout, tasks_from: hosts_evidence}
"""
WAIT = "- ansible.builtin.wait_for: {timeout: 4}\n"
# The load of one host is killed as the host's own crash would.
KILL = """
- ansible.builtin.wait_for: {timeout: 2}
- ansible.builtin.command: "kill -9 {{ (lookup('ansible.builtin.file', record) | from_json).pid }}"
  vars: {record: "{{ lookup('env', 'TEST_DIR') }}/load-2/state/iter8-kfserving/loads/many/process.json"}
- ansible.builtin.wait_for: {timeout: 2}
"""


def play(
    folder: Path, url: str, hosts: dict[str, Any], meanwhile: str = WAIT, pattern: str = "load_generators"
) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAY)
    (folder / "while.yml").write_text(meanwhile)
    (folder / "input.json").write_text('{"instances": [1]}')
    (folder / "hosts.json").write_text(json.dumps(hosts))
    environment = {
        **os.environ,
        "TEST_URL": url,
        "TEST_DIR": str(folder),
        "TEST_HOSTS": pattern,
        "TEST_START": "10",
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    return subprocess.run(
        [PROGRAMS / "ansible-playbook", "-i", folder / "hosts.json", folder / "play.yml"],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _ended(tmp_path: Path) -> Iterator[None]:
    """No load outlives its test, however that ends."""
    yield
    for name in AHEAD:
        job.remove(str(tmp_path / name / "state/iter8-kfserving/loads"), "many")


def load_of(folder: Path) -> dict[str, Any]:
    text = (folder / "artefacts/load.json").read_text()
    assert list(artefacts.CHECKS["load.json"](text)) == []
    result: dict[str, Any] = json.loads(text)
    return result


def test_three_hosts_send_one_load(server: Counting, clock_library: str, tmp_path: Path) -> None:
    done = play(tmp_path, server.url, inventory(tmp_path, clock_library))
    assert done.returncode == 0, done.stdout + done.stderr
    result = load_of(tmp_path)
    own = result["LoadTest"]
    # Exact to the request, and each sent once.
    assert own["requests"] == len(server.seen) == len({name for _time, name in server.seen})
    assert (own["failed"], own["state"], own["asked_rate"]) == (0, "stopped", RATE)
    assert sum(row["requests"] for row in own["generators"]) == own["requests"]
    for row in own["generators"]:
        ahead = AHEAD[row["name"]]
        assert row["clock_ahead"] == pytest.approx(ahead, abs=0.25), row
        assert row["clock_offset"]["low"] <= 0.002, row
        assert row["clock_offset"]["high"] >= -0.002, row
        assert row["started"] == pytest.approx(own["started"], abs=0.001), row
    # By the control host's clock, whatever the hosts' own say.
    first = min(time for time, _name in server.seen)
    width = max(row["clock_offset"]["high"] - row["clock_offset"]["low"] for row in own["generators"])
    assert own["started"] == pytest.approx(first, abs=width + 0.5)
    # In the seconds in which all three sent, all of the rate: but for a request of each that its clock, known
    # to milliseconds, puts on the other side of a second's bound.
    whole = [row["sent"] for row in own["timeline"]][2:5]
    assert all(abs(sent - RATE) <= len(own["generators"]) for sent in whole), whole
    assert list((tmp_path / "artefacts").glob(".generators")) == []


def test_a_host_whose_load_is_killed_is_named(server: Counting, clock_library: str, tmp_path: Path) -> None:
    done = play(tmp_path, server.url, inventory(tmp_path, clock_library), meanwhile=KILL)
    assert done.returncode == 0, done.stdout + done.stderr
    own = load_of(tmp_path)["LoadTest"]
    states = {row["name"]: row["state"] for row in own["generators"]}
    assert states == {"load-1": "stopped", "load-2": "interrupted", "load-3": "stopped"}
    assert own["state"] == "interrupted"
    # All but its last second is kept.
    assert 0 <= len(server.seen) - own["requests"] <= RATE / 3 + 5


def test_a_host_that_cannot_send_is_named_before_anything_is_changed(
    server: Counting, clock_library: str, tmp_path: Path
) -> None:
    hosts = inventory(tmp_path, clock_library)
    hosts["all"]["children"]["load_generators"]["hosts"]["load-2"]["ansible_python_interpreter"] = (
        "/no/python"
    )
    gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    hosts["all"]["children"]["load_generators"]["hosts"]["load-4"] = gone
    done = play(tmp_path, server.url, hosts)
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    assert "Nothing was changed, for not every host of rollout_load_hosts can send load" in said
    refused = said.partition("can send load")[2]
    assert ("load-2: " in refused, "load-4: " in refused, "load-1: " in refused) == (True, True, False)
    assert server.seen == []


def test_a_gateway_that_hosts_do_not_reach_is_told(clock_library: str, tmp_path: Path) -> None:
    done = play(tmp_path, "http://127.0.0.1:1/", inventory(tmp_path, clock_library), pattern="load-1,load-3")
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    assert "load-1: Cannot connect to 127.0.0.1:1" in said
    assert "load-3: Cannot connect to 127.0.0.1:1" in said
