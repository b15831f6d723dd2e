# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the platform on the node as a user does: by the collection's role `platform`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.playbooks import ANSIBLE_PLAYBOOK

from ..node.namespaces import NodeError
from ..node.node import Node
from ..node.places import CONTEXT
from . import gateway, knative, kserve
from .manifests import Json

RUN_ID = "real-cluster"
_PLAYBOOK = Path(__file__).with_name("platform.yml")


class Installer:
    """`folders`: what was built, by recipe; `images`: names of images by program."""

    def __init__(self, node: Node, folders: Mapping[str, Path], images: Mapping[str, str]) -> None:
        self._node = node
        self._folders = folders
        self._images = images

    @property
    def record(self) -> Path:
        """Where the run that installs it has its record."""
        return self._node.where.root / f"{RUN_ID}.json"

    def install(self, *arguments: str) -> None:
        """All of it, but for what is as it should be. `arguments`: ansible-playbook's. Raises NodeError."""
        self.play(_PLAYBOOK, "-e", f"@{self._variables()}", *arguments)
        for service in (gateway.PUBLIC, gateway.ROUTED):
            self._node.kubectl(
                *("patch", "service", service, "--namespace", gateway.NAMESPACE),
                *("--subresource=status", "--type=merge", "-p", json.dumps(gateway.address())),
            )

    def remove(self, *arguments: str) -> None:
        """All of it, by the playbook that removes what a run has made. Raises NodeError."""
        self.play(ROOT / "playbooks/teardown.yml", *arguments)

    def play(self, playbook: Path, *arguments: str) -> None:
        """A playbook against the cluster, on behalf of the run that installs; what it prints is shown."""
        given = {
            "iter8_kfserving_kubeconfig": str(self._node.where.kubeconfig),
            "iter8_kfserving_context": CONTEXT,
            "iter8_kfserving_run_id": RUN_ID,
            "iter8_kfserving_record": str(self.record),
        }
        command = [str(ANSIBLE_PLAYBOOK), str(playbook), "-e", json.dumps(given), *arguments]
        done = subprocess.run(
            self._node.namespaces.enter_network(command),
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise NodeError(f"{playbook.name} ended with {done.returncode}; what it printed says why.")

    def _variables(self) -> Path:
        path = self._node.where.config / "platform.json"
        given = {
            "platform_steps": self._steps(),
            # This cluster has programs of its own, by other names than the manifests'.
            "platform_images": knative.images(self._images) | kserve.images(self._images),
            "platform_certificates": "self-signed",
            "platform_wait_timeout": 300,
        }
        write_atomically(path, json.dumps(given), mode=0o644)
        return path

    def _steps(self) -> list[Json]:
        kinds = sorted((self._folders["traefik"] / "gateway-api").glob("*.yaml"))
        gateway_step = {
            "name": "Gateway API and Traefik",
            "sources": [{"file": str(each)} for each in kinds if each.name != "kustomization.yaml"],
            "definitions": gateway.documents(self._images["traefik"]),
            "workloads": [_workload(gateway.NAMESPACE, "traefik")],
        }
        knative_step = {
            "name": "Knative Serving",
            "sources": [self._file("knative", knative.documents(self._folders["knative-serving"]))],
            "edits": knative.EDITS,
            "workloads": [_workload(knative.NAMESPACE, each) for each in knative.DEPLOYMENTS],
        }
        kserve_step = {
            "name": "KServe",
            "sources": [self._file("kserve", kserve.documents(self._folders["kserve"]))],
            "definitions": [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kserve.NAMESPACE}},
                *gateway.gateway(kserve.NAMESPACE, kserve.GATEWAY),
            ],
            "edits": kserve.EDITS,
            "workloads": [_workload(kserve.NAMESPACE, kserve.MANAGER)],
        }
        runtimes = kserve.runtimes(self._folders["kserve"])
        servers = {"name": "KServe's model servers", "sources": [self._file("servers", runtimes)]}
        return [gateway_step, knative_step, kserve_step, servers]

    def _file(self, name: str, documents: list[Json]) -> Json:
        path = self._node.where.config / f"{name}.json"
        write_atomically(path, "\n---\n".join(map(json.dumps, documents)), mode=0o644)
        return {"file": str(path)}


def _workload(namespace: str, name: str) -> Json:
    return {"kind": "Deployment", "namespace": namespace, "name": name}
