# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C during a wait: the playbook says so, its module's process ends, and nothing is left behind.

The API server is a socket that takes connections and never answers, so the wait is on for as long as it may.
"""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ...support.playbooks import ANSIBLE_PLAYBOOK, ROOT, started

SECONDS = 30.0


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        yield server


def marked(mark: str) -> list[int]:
    """The processes that have this in their environment: whatever the playbook started, wherever it went."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:
            continue
    return found


def soon(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def write_playbook(folder: Path, port: int) -> Path:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "silent", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "silent", "context": {"cluster": "silent", "user": "nobody"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    wait = {"name": "my-model", "kubeconfig": str(folder / "kubeconfig"), "context": "silent", "timeout": 600}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [{"name": "Wait", "iter8.kfserving.inferenceservice_wait": wait}],
    }
    path = folder / "wait.yml"
    path.write_text(yaml.safe_dump([play]))
    return path


def test_ctrl_c_ends_a_wait_and_all_that_belongs_to_it(tmp_path: Path, silent_server: socket.socket) -> None:
    mark = f"interrupted-wait-{uuid.uuid4().hex}"
    temporary = tmp_path / "ansible-tmp"
    path = write_playbook(tmp_path, silent_server.getsockname()[1])
    playbook = started(
        [str(ANSIBLE_PLAYBOOK), "-i", "localhost,", str(path)],
        {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(temporary),
            "ANSIBLE_NOCOLOR": "1",
            "TEST_MARK": mark,
        },
    )
    try:
        waiting, _unused = silent_server.accept()
        with waiting:
            assert len(marked(mark)) > 1, "the module has no process of its own: the test proves nothing"
            assert list(temporary.rglob("progress-*")), "nobody follows the progress"
            # As a terminal does: to the group in its foreground.
            os.killpg(playbook.pid, signal.SIGINT)
            output, _unused = playbook.communicate(timeout=SECONDS)
    finally:
        for pid in marked(mark) if playbook.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        left = not soon(lambda: marked(mark) == [])
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
    assert "interrupted" in output
    assert playbook.returncode not in (0, None)
    assert not left, "the wait went on without its playbook"
    assert list(temporary.rglob("progress-*")) == []
