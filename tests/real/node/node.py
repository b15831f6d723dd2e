# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the node up and down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

from ..programs import debian
from ..programs.golang import Report
from . import configuration, namespaces, parts
from .namespaces import Namespaces, NodeError
from .places import Places

_READY_SECONDS = 60.0
_GRACE_SECONDS = 0.5
_END_SECONDS = 5.0
_RBAC = "rbac.authorization.k8s.io"
# CoreDNS has no role that comes with Kubernetes.
_ROLES: list[dict[str, Any]] = [
    {
        "kind": "ClusterRole",
        "metadata": {"name": "coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    },
    {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "coredns"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "coredns"},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": "coredns"}],
    },
]


class Node:
    """`programs`: paths by name. `tools`: the folder that Debian's container tools are unpacked in."""

    def __init__(self, where: Places, programs: Mapping[str, Path], tools: Path, report: Report) -> None:
        self.where = where
        self.namespaces = Namespaces(where)
        self._programs = {**programs, "containerd": tools / "usr/bin/containerd"}
        self._tools = tools
        self._report = report
        self._environment = {**debian.environment(tools), "HOME": str(where.root), "LC_ALL": "C.UTF-8"}

    # -- commands

    def program(self, name: str) -> Path:
        """Where one of the programs that it is made of lies."""
        return self._programs[name]

    def run(self, argv: Sequence[str], stdin: str = "") -> str:
        """Run a command inside the node; returns what it prints. Raises NodeError."""
        return self.namespaces.run(argv, self._environment, stdin)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the cluster's administrator. Raises NodeError."""
        return self.run(
            [str(self._programs["kubectl"]), f"--kubeconfig={self.where.kubeconfig}", *arguments], stdin
        )

    def ctr(self, *arguments: str) -> str:
        """Run containerd's client on the images and containers of Kubernetes. Raises NodeError."""
        return self.run([str(self._tools / "usr/bin/ctr"), "--namespace=k8s.io", *arguments])

    # -- up

    def up(self) -> None:
        """Start what does not run, and wait until the node is ready. Raises NodeError, ProcessError."""
        if not self.namespaces.alive():
            self._fresh()
        started = [name for name in parts.STORE if self.start(name)]
        self._wait("the API server to be ready", lambda: self.kubectl("get", "--raw=/readyz"), *parts.STORE)
        started += [name for name in parts.REST if self.start(name)]
        roles = "\n".join(json.dumps({"apiVersion": f"{_RBAC}/v1", **each}) for each in _ROLES)
        self.kubectl("apply", "--server-side", "-f", "-", stdin=roles)
        self._wait("containerd to be ready", lambda: self.ctr("version"), "containerd")
        ready = ("wait", "--for=condition=Ready", "--timeout=1s", "node", "--all")
        self._wait("the node to be ready", lambda: self._require_node(*ready), "kubelet", "containerd")
        self._report(f"node: ready; started {', '.join(started) or 'nothing, all was running'}")

    def _require_node(self, *arguments: str) -> None:
        if "condition met" not in self.kubectl(*arguments):
            raise NodeError("The node is not there yet.")

    def _fresh(self) -> None:
        """An empty node: what an earlier one left is of no use without its mounts and addresses."""
        down(self.where)
        for folder in (self.where.root, self.where.logs, self.where.processes, self.where.config):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration.write(self.where, self._tools / "usr/lib/cni")
        parts.create_credentials(self.where)
        namespaces.make_cgroups(self.where)
        self.namespaces.make(self._environment)
        self._report("node: its namespaces are set up")

    def start(self, name: str) -> bool:
        """Start a part unless it runs; whether it was started."""
        record = records.read(self.where.processes / f"{name}.json")
        if record is not None and records.alive(record):
            return False
        argv = self.namespaces.enter(parts.commands(self.where, self._programs)[name])
        log = self.where.logs / f"{name}.log"
        records.start(
            self.where.processes,
            name,
            argv,
            role=namespaces.ROLE,
            log=log,
            env=self._environment,
            cwd=self.where.root,
        )
        return True

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a part and wait until it has; `start` starts it again. Raises NodeError if it does not end."""
        record = records.read(self.where.processes / f"{name}.json")
        inside = namespaces.child(record.pid) if record is not None and records.alive(record) else None
        if record is None or inside is None:
            return
        os.kill(inside, number)
        deadline = time.monotonic() + _READY_SECONDS
        while records.alive(record):
            if time.monotonic() > deadline:
                raise NodeError(f"{name} does not end.")
            time.sleep(0.05)

    def _wait(self, what: str, attempt: Callable[[], object], *needed: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                attempt()
                return
            except NodeError as error:
                failure = error
            for name in needed:
                record = records.read(self.where.processes / f"{name}.json")
                if record is None or not records.alive(record):
                    raise NodeError(f"{name} has ended: {_last(self.where.logs / f'{name}.log')}")
            if time.monotonic() > deadline:
                raise NodeError(f"Waited {_READY_SECONDS:.0f} s for {what}: {failure}")
            time.sleep(0.25)


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{' | '.join(lines[-5:])} ({log})"


def down(where: Places) -> bool:
    """End the node and remove all it made; whether there was anything. Raises NodeError, ProcessError."""
    there = where.root.exists() or any(folder.exists() for folder in namespaces.cgroups(where))
    recorded = records.read_all(where.processes)
    # The first process of the namespaces first: with it the kernel ends all the others, containers included.
    records.end_all([each for each in recorded if each.id == namespaces.INIT], _GRACE_SECONDS)
    rest = [each for each in recorded if each.id != namespaces.INIT]
    # Who entered the namespaces for a part waits for its end, and ends then.
    deadline = time.monotonic() + _END_SECONDS
    while any(records.alive(each) for each in rest) and time.monotonic() < deadline:
        time.sleep(0.05)
    records.end_all(rest, _GRACE_SECONDS)
    records.end_all(records.marked(where.root), _GRACE_SECONDS)
    namespaces.remove_cgroups(where)
    if where.root.exists():
        shutil.rmtree(where.root)
    return there
