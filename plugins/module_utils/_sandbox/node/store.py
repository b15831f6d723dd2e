# SPDX-License-Identifier: GPL-3.0-or-later
"""What must outlive the node's own death: each pod's folder with what is known of it; addresses in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Iterator, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically

from ..paths import Layout
from .pod.facts import ContainerFacts, PodFacts

_FACTS = "pod.json"
# Logs of so many pods that are gone are kept, for whoever asks afterwards what happened.
_KEPT_LOGS = 50
# 127.X.0.z is left to the control plane and the node; pods have 127.X.1.1 to 127.X.254.254.
_PER_BLOCK = 254
_ADDRESSES = 254 * _PER_BLOCK


def _keep(path: Path, text: str) -> None:
    # Not forced to the disk: nothing of it matters after a crash of the machine, as no process survives that.
    write_atomically(path, text, durable=False)


class PodFolder:
    """The folder of one pod: its volumes, credentials, logs and the facts kept for the next node."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def uid(self) -> str:
        """The pod's UID."""
        return self.path.name.rpartition("_")[2]

    @property
    def volumes(self) -> Path:
        """One folder per volume."""
        return self.path / "volumes"

    @property
    def service_account(self) -> Path:
        """token, ca.crt and namespace."""
        return self.path / "serviceaccount"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the pod's service account."""
        return self.path / "kubeconfig"

    def log(self, container: str) -> Path:
        """Where a container's output goes, all its runs one after the other."""
        return self.path / f"{container}.log"

    def create(self) -> None:
        """Make the folder."""
        for path in (self.path, self.volumes, self.service_account, self.path / "tmp"):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, facts: PodFacts) -> None:
        """Keep what is known of the pod."""
        kept = {
            "address": facts.address,
            "host_address": facts.host_address,
            "start_time": facts.start_time,
            "containers": {name: one.to_json() for name, one in facts.containers.items()},
        }
        _keep(self.path / _FACTS, json.dumps(kept))

    def load(self) -> Optional[PodFacts]:
        """What was kept; None where nothing (or nothing that can be read) was."""
        try:
            kept: Any = json.loads((self.path / _FACTS).read_text(encoding="utf-8"))
            return PodFacts(
                address=kept["address"],
                host_address=kept["host_address"],
                start_time=kept["start_time"],
                containers={name: ContainerFacts.from_json(one) for name, one in kept["containers"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def retire(self) -> None:
        """Remove everything but the logs; the facts go last, so that a node killed half-way does it again."""
        for entry in self.path.iterdir():
            if entry.name == _FACTS or (entry.suffix == ".log" and entry.is_file()):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        (self.path / _FACTS).unlink(missing_ok=True)

    @property
    def retired(self) -> bool:
        """Whether the pod is gone and only its logs are left."""
        return not (self.path / _FACTS).exists()


def folders(layout: Layout) -> Iterator[PodFolder]:
    """The folders of all pods, those of pods that are gone included."""
    for path in sorted(layout.pods.glob("*_*_*")):
        if path.is_dir():
            yield PodFolder(path)


def prune_logs(layout: Layout) -> None:
    """Remove the oldest folders of pods that are gone, beyond those kept for their logs."""
    gone = sorted((one for one in folders(layout) if one.retired), key=lambda one: one.path.stat().st_mtime)
    for folder in gone[:-_KEPT_LOGS]:
        shutil.rmtree(folder.path, ignore_errors=True)


class Addresses:
    """Hands out one loopback address per pod.

    They are given in turn, also across restarts of the node, so that one comes back as late as possible:
    whoever still sends to a pod that is gone is refused, and not answered by another pod.
    """

    def __init__(self, layout: Layout, network: int) -> None:
        self._network = network
        self._next_file = layout.pods / "next-address"
        self._used = {facts.address for folder in folders(layout) for facts in [folder.load()] if facts}
        try:
            self._next = int(self._next_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._next = 0

    def take(self) -> str:
        """An address that no living pod has."""
        for _attempt in range(_ADDRESSES):
            block, last = divmod(self._next, _PER_BLOCK)
            address = f"127.{self._network}.{block + 1}.{last + 1}"
            self._next = (self._next + 1) % _ADDRESSES
            if address not in self._used:
                self._used.add(address)
                _keep(self._next_file, str(self._next))
                return address
        raise RuntimeError("Every address of the sandbox's network is in use.")

    def give_back(self, address: str) -> None:
        """The pod that had it is gone."""
        self._used.discard(address)
