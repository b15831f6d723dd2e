# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the node keeps its files, and the addresses inside its network namespace."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import state_home
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout

NAME = "real"
CONTEXT = "real"
# A bridge without ports carries it: some kernels have no dummy devices.
ADDRESS = "10.200.0.1"
NOWHERE = "10.200.0.254"
BRIDGE = "node0"
POD_RANGE = "10.244.0.0/24"
API_PORT = 6443
SERVER = f"https://127.0.0.1:{API_PORT}"
ETCD_PORT = 2379
# X of 127.X.0.0/16, of which etcd takes an address.
LOOPBACK_NETWORK = 1
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True)
class Places(Layout):
    """The sandbox's layout, and what only a real node has."""

    @property
    def cgroup(self) -> str:
        """The name of its control groups: another state folder's node has others."""
        return f"iter8-kfserving-real-{hashlib.sha256(bytes(self.root)).hexdigest()[:8]}"

    @property
    def config(self) -> Path:
        """Configuration files of the parts."""
        return self.root / "config"

    @property
    def ready(self) -> Path:
        """There once the namespaces are set up."""
        return self.root / "namespaces.ready"

    @property
    def installed(self) -> Path:
        """There once the platform is installed; says which."""
        return self.root / "installed.json"

    def kubeconfig_of(self, part: str) -> Path:
        """The kubeconfig of a part of the node."""
        return self.config / f"{part}.kubeconfig"


def places() -> Places:
    """Below the user's state folder."""
    return Places(state_home().absolute() / NAME)
