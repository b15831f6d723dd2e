# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks of a test's own through ansible-playbook, and read what it prints while it prints it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Optional

import yaml

from .playbooks import ANSIBLE_PLAYBOOK, ROOT
from .sandbox import Running
from .waiting import NotInTime, until


class Tasks:
    """A playbook of some tasks against a sandbox, with the last task's result kept."""

    def __init__(self, sandbox: Running, folder: Path) -> None:
        self._folder = folder
        self._cluster = {"kubeconfig": str(sandbox.kubeconfig), "context": sandbox.context}
        self._process: Optional[subprocess.Popen[str]] = None
        self.output: list[str] = []

    def start(self, *tasks: dict[str, Any], arguments: tuple[str, ...] = ()) -> Tasks:
        """Starts ansible-playbook; the last task may fail, its result is read by ``finish`` either way."""
        last = {**tasks[-1], "register": "last", "ignore_errors": True}
        keep = {
            "ansible.builtin.copy": {
                "content": "{{ last | to_json }}", "dest": str(self._folder / "last.json"), "mode": "0600"
            },
            "check_mode": False,
        }  # fmt: skip
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "module_defaults": {
                "group/iter8.kfserving.kfserving": self._cluster,
                "group/kubernetes.core.k8s": self._cluster,
            },
            "tasks": [*tasks[:-1], last, keep],
        }
        path = self._folder / "tasks.yml"
        path.write_text(yaml.safe_dump([play]))
        env = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            # One result, one line.
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        }
        self._process = subprocess.Popen(
            [str(ANSIBLE_PLAYBOOK), "-i", "localhost,", str(path), *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line.rstrip())

    def until(self, words: str, seconds: float = 30) -> None:
        """Waits until a line with these words has been printed."""
        try:
            until(lambda: any(words in line for line in self.output), seconds, f"{words!r} is printed")
        except NotInTime as error:
            raise NotInTime(f"{error}; printed was:\n" + "\n".join(self.output)) from None

    def finish(self, seconds: float = 60) -> dict[str, Any]:
        """The last task's result."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        finally:
            self._process.kill()
        self._reader.join(10)
        kept = self._folder / "last.json"
        assert kept.exists(), "\n".join(self.output)
        return dict(json.loads(kept.read_text()))

    def run(self, *tasks: dict[str, Any], arguments: tuple[str, ...] = ()) -> dict[str, Any]:
        """Starts and finishes."""
        return self.start(*tasks, arguments=arguments).finish(120)
