# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes whose state lies in a folder of the tests' own; the built programs come from the user's cache."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import start_time
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import absent, present


@dataclass(frozen=True)
class Running:
    """A sandbox that is up."""

    name: str
    where: paths.Layout
    description: paths.Sandbox
    started: tuple[str, ...]
    changed: bool
    seconds: float

    @property
    def kubeconfig(self) -> Path:
        return self.where.kubeconfig

    @property
    def context(self) -> str:
        return self.description.context

    @property
    def state_dir(self) -> Path:
        return self.where.root


def listening(network: int) -> list[int]:
    """The ports on which somebody listens in 127.<network>.0.0/16."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, status = line.split()[1], line.split()[3]
        address, port = local.split(":")
        # The address is printed as a number in the machine's byte order.
        if status == "0A" and bytes.fromhex(address)[::-1][:2] == bytes([127, network]):
            found.append(int(port, 16))
    return found


def answers(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Home:
    """A user's state folder, with the sandboxes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder)}
        self.steps: list[str] = []

    def where(self, name: str) -> paths.Layout:
        return paths.layout(name, self.env)

    def options(self, api_port: Optional[int] = None, owner: Optional[int] = None) -> present.SandboxOptions:
        return present.SandboxOptions(
            present.default_source(), paths.cache_dir(), api_port=api_port, owner=owner
        )

    def up(self, name: str, api_port: Optional[int] = None, owner: Optional[int] = None) -> Running:
        options = self.options(api_port, owner)
        began = time.monotonic()
        outcome = present.up(name, options, self.steps.append, env=self.env)
        assert outcome.sandbox is not None
        seconds = time.monotonic() - began
        return Running(name, outcome.where, outcome.sandbox, tuple(outcome.started), outcome.changed, seconds)

    def down(self, name: str) -> absent.Down:
        # Another cache, so that a build that is under way on this machine is not looked at.
        return absent.down(name, self.steps.append, cache_dir=self.folder / "cache", env=self.env)

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[Running]:
        """A sandbox that is up, and of which nothing is left afterwards."""
        running = self.up(name)
        try:
            yield running
        finally:
            self.down(running.name)
        self.assert_nothing_left(running.description)

    def assert_nothing_left(self, description: Optional[paths.Sandbox] = None) -> None:
        """No process that carries the mark of a sandbox of this home, no file, no listening port."""
        sandboxes = paths.sandboxes_dir(self.env)
        marked = [
            entry
            for entry in os.listdir("/proc")
            if entry.isdigit() and f"{sandboxes}/".encode() in _environment(entry) and _lives(entry)
        ]
        assert marked == []
        assert list(self.folder.iterdir()) == []
        if description is not None:
            assert listening(description.network) == []
            assert not any(answers(port) for port in description.ports.values())


def _lives(pid: str) -> bool:
    """Whether it has not ended: the tests are the parent of what they start, and need not have asked yet."""
    return start_time(int(pid)) is not None


def _environment(pid: str) -> bytes:
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
    # Only the sandbox's own mark counts: a shell may carry the path in a variable of its own.
    return b"\0".join(each for each in content.split(b"\0") if each.startswith(b"ITER8_KFSERVING_SANDBOX="))
