# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a sandbox keeps its files, and the record that describes it.

A sandbox is one folder: everything it writes lies below it, so that removing the folder removes the sandbox.
The only thing shared between sandboxes is the cache of programs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    home,
    state_home,
    write_atomically,
)

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class StateError(Exception):
    """A sandbox's folder or record is not as it should be; the text says where and what to do."""


def check_name(name: str) -> str:
    """Return `name` if it can name a sandbox, else raise StateError.

    The name becomes part of file names and of the kubeconfig's context, hence the narrow alphabet.
    """
    if not _NAME.fullmatch(name):
        raise StateError(
            f"{name!r} cannot name a sandbox: use 1 to 40 of a-z, 0-9 and '-', with no '-' at either end."
        )
    return name


def sandboxes_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder of all sandboxes of this user. Raises OSError where there is no home."""
    return state_home(env) / "sandboxes"


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder where programs that were obtained once are kept: in XDG_CACHE_HOME, or in the user's home.

    As the XDG specification says, a relative value is ignored. Raises OSError where there is no home.
    """
    named = env.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else home(env) / ".cache") / "iter8-kfserving"


@dataclass(frozen=True)
class Layout:
    """The paths of one sandbox. `root` is its state folder, absolute."""

    root: Path

    @property
    def record(self) -> Path:
        """`sandbox.json`: see Sandbox."""
        return self.root / "sandbox.json"

    @property
    def pki(self) -> Path:
        """Keys, certificates and the token file; nobody else can read it."""
        return self.root / "pki"

    @property
    def ca_certificate(self) -> Path:
        """The certificate of the sandbox's own CA."""
        return self.pki / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def node_kubeconfig(self) -> Path:
        """The kubeconfig of user `sandbox-node`."""
        return self.root / "node.kubeconfig"

    @property
    def controller_manager_kubeconfig(self) -> Path:
        """The kubeconfig of kube-controller-manager."""
        return self.root / "controller-manager.kubeconfig"

    @property
    def lib(self) -> Path:
        """PYTHONPATH of every Python process of the sandbox: a copy of the collection's module_utils."""
        return self.root / "lib"

    @property
    def processes(self) -> Path:
        """One record per process; see `processes`."""
        return self.root / "processes"

    @property
    def closed_processes(self) -> Path:
        """Where `processes` is moved when the sandbox is being removed: nothing can start from then on."""
        return self.root / "processes.closed"

    @property
    def logs(self) -> Path:
        """Logs of the control plane and the node."""
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        """One folder per pod."""
        return self.root / "pods"

    @property
    def shared(self) -> Path:
        """What pods name as hostPath `/sandbox/...`."""
        return self.root / "shared"

    @property
    def etcd(self) -> Path:
        """etcd's data."""
        return self.root / "etcd"

    def pod(self, namespace: str, name: str, uid: str) -> Path:
        """The folder of one pod."""
        return self.pods / f"{namespace}_{name}_{uid}"


def layout(name: str, env: Mapping[str, str] = os.environ) -> Layout:
    """The layout of the sandbox called `name`."""
    return Layout(sandboxes_dir(env).absolute() / check_name(name))


@dataclass(frozen=True)
class Sandbox:
    """What `sandbox.json` says of a sandbox.

    network: X of the 127.X.0.0/16 that its pods live in.
    ports: ports of 127.0.0.1 by use: `api`, `etcd`.
    programs: absolute paths of `etcd`, `kube-apiserver`, `kube-controller-manager`, `envoy`, `prometheus` and
        `python3`.
    versions: what those programs say of themselves.
    created: seconds since the epoch.
    """

    name: str
    network: int
    api_server: str
    created: float
    ports: dict[str, int] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def context(self) -> str:
        """The name of the context in the kubeconfig."""
        return f"sandbox-{self.name}"


def write_sandbox(where: Layout, sandbox: Sandbox) -> None:
    """Write `sandbox.json`."""
    write_atomically(where.record, json.dumps(dataclasses.asdict(sandbox), indent=2) + "\n", mode=0o644)


def read_sandbox(where: Layout) -> Optional[Sandbox]:
    """Read `sandbox.json`; None where there is none, or none that makes sense (a crash of the machine)."""
    try:
        content: Any = json.loads(where.record.read_text(encoding="utf-8"))
        return Sandbox(**content)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
