# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the collection's playbooks as a user does, with a state folder of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.tests.support.places import ROOT

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A command in the collection's folder, leader of a process group; its errors are among its output."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], name: str, seconds: float) -> str:
    """What it printed by its end. One that takes longer is killed with its group, and fails the test."""
    try:
        output, _unused = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _unused = process.communicate()
        raise AssertionError(f"{name} took more than {seconds} s:\n{output}") from None
    except BaseException:
        # The test's own limit, or somebody who had enough: it must not go on beside what removes its sandbox.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return output


@dataclass
class Playbooks:
    """A user's home, seen from the outside: what a run leaves in it, and what it leaves running."""

    folder: Path
    extra: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "XDG_STATE_HOME": str(self.state),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "KUBECONFIG": "/nonexistent/must-not-be-used",
        }

    def start(self, playbook: str, *arguments: str) -> subprocess.Popen[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        artifacts = f"iter8_kfserving_artifacts={self.artifacts}"
        # A path is a playbook of the test's own.
        path = ROOT / "playbooks" / f"{playbook}.yml"
        command = [str(ANSIBLE_PLAYBOOK), str(path), "-e", artifacts]
        return started([*command, *self.extra, *arguments], self.environment())

    def run(self, playbook: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        process = self.start(playbook, *arguments)
        output = ended(process, playbook, timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def artifact(self, name: str) -> Any:
        return json.loads((self.artifacts / name).read_text())

    def timeline(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.artifacts / "timeline.jsonl").read_text().splitlines()]

    def left_running(self) -> list[str]:
        """The command lines of processes that were started with this state folder."""
        needle = str(self.state).encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
                if needle in command or needle in (process / "environ").read_bytes():
                    found.append(command.replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
        return found

    def left_behind(self) -> list[str]:
        """The files under the state folder, folders left out."""
        return [str(path.relative_to(self.state)) for path in self.state.rglob("*") if not path.is_dir()]

    def clean_up(self) -> None:
        """Remove what a failed test left."""
        if self.left_running() or self.left_behind():
            self.run("teardown", timeout=120)

    def wait_until_gone(self, seconds: float = 5) -> None:
        """Give the last process a moment to leave the process table, then insist."""
        deadline = time.monotonic() + seconds
        while self.left_running() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.left_running() == []
        assert self.left_behind() == []
