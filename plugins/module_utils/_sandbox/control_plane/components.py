# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd, kube-apiserver and kube-controller-manager of one sandbox."""

from __future__ import annotations

import functools
import os
import random
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Mapping, Optional, Sequence

from ..kube.client import Access, ApiError, KubeClient
from ..kube.times import timestamp
from ..paths import Layout
from ..processes import records
from . import pki

ROLE = "control-plane"
ETCD, APISERVER, CONTROLLER_MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"
PORTS = ("api", "etcd")
# A sandbox has 127.X.0.0/16 to itself, on the whole machine, while its etcd has this port of 127.X.0.2:
# whoever comes second cannot bind it and takes another network.
CLAIM_PORT = 23800
_NETWORKS = range(1, 251)
# Below the ports that Linux gives to outgoing connections: those could take ours while a process restarts.
_PORT_RANGE = range(20000, 32000)
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LOG_LINES = 5
# Endpoints take no loopback addresses, so their controllers are left out; so is what needs clouds or disks.
_CONTROLLERS = (
    "namespace",
    "garbagecollector",
    "serviceaccount",
    "serviceaccount-token",
    "root-ca-cert-publisher",
    "clusterrole-aggregation",
    "deployment",
    "replicaset",
    "statefulset",
    "job",
    "podgc",
)
_NODE_RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["get", "patch", "update"]},
    {"apiGroups": [""], "resources": ["pods/binding"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"], "resourceNames": ["sandbox"]},
    {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"], "resourceNames": ["sandbox"]},
]


class ControlPlaneError(Exception):
    """The control plane does not come up; the text says which part and why."""


class PortTaken(ControlPlaneError):
    """Another program has a port that is needed."""


def etcd_peer(network: int) -> str:
    """The address of etcd's peer port."""
    return f"127.{network}.0.2"


def port_is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now. As Go does, connections that linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def choose_ports(
    api_port: Optional[int], choice: Callable[[range], int] = random.SystemRandom().choice
) -> dict[str, int]:
    """A free loopback port for each of PORTS. Raises PortTaken if `api_port` is named and taken."""
    chosen: dict[str, int] = {}
    if api_port is not None:
        if not port_is_free(api_port):
            raise PortTaken(
                f"Port {api_port} of 127.0.0.1 is taken by another program: name another api_port, or none."
            )
        chosen["api"] = api_port
    for name in PORTS:
        while name not in chosen:
            port = choice(_PORT_RANGE)
            if port not in chosen.values() and port_is_free(port):
                chosen[name] = port
    return chosen


def choose_network(
    known: Collection[int], choice: Callable[[Sequence[int]], int] = random.SystemRandom().choice
) -> int:
    """X of a 127.X.0.0/16 that no sandbox of this machine has; nor may it be one of `known`."""
    left = [network for network in _NETWORKS if network not in known]
    while left:
        network = choice(left)
        if port_is_free(CLAIM_PORT, etcd_peer(network)):
            return network
        left.remove(network)
    raise PortTaken(f"No loopback network is free: another program has port {CLAIM_PORT} of every address.")


@functools.cache
def _knows_flag(program: str, flag: str) -> bool:
    """Whether a program has a command line flag: they come and go with versions."""
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30, check=False)
    return re.search(rf"^\s+--{flag}\s", shown.stdout + shown.stderr, re.MULTILINE) is not None


def administrator(where: Layout, api_port: int) -> KubeClient:
    """The API of the sandbox as its administrator sees it."""
    access = Access(
        server=f"https://127.0.0.1:{api_port}",
        ca=where.ca_certificate.read_text(encoding="ascii"),
        token=pki.token(where, pki.ADMIN),
    )
    return KubeClient(access)


@dataclass
class ControlPlane:
    """Boots what is not running. `programs`: paths by name."""

    where: Layout
    programs: Mapping[str, str]
    ports: Mapping[str, int]
    network: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._client = administrator(self.where, self.ports["api"])

    def etcd_argv(self) -> list[str]:
        """TLS with client certificates for both ports, and no fsync: the data is disposable."""
        keys = self.where.pki
        client = f"https://127.0.0.1:{self.ports['etcd']}"
        peer = f"https://{etcd_peer(self.network)}:{CLAIM_PORT}"
        argv = [
            self.programs[ETCD],
            f"--data-dir={self.where.etcd}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        argv += [f"--initial-cluster=default={peer}"]
        for prefix in ("", "peer-"):
            argv += [f"--{prefix}cert-file={keys}/etcd.crt", f"--{prefix}key-file={keys}/etcd.key"]
            argv += [f"--{prefix}trusted-ca-file={keys}/ca.crt", f"--{prefix}client-cert-auth"]
        return argv

    def apiserver_argv(self) -> list[str]:
        """RBAC; tokens only, nobody unnamed; no Endpoints object of itself, which could not be loopback."""
        keys = self.where.pki
        return [
            self.programs[APISERVER],
            f"--etcd-servers=https://127.0.0.1:{self.ports['etcd']}",
            f"--etcd-cafile={keys}/ca.crt",
            f"--etcd-certfile={keys}/apiserver-etcd-client.crt",
            f"--etcd-keyfile={keys}/apiserver-etcd-client.key",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.ports['api']}",
            f"--tls-cert-file={keys}/apiserver.crt",
            f"--tls-private-key-file={keys}/apiserver.key",
            f"--token-auth-file={keys}/{pki.TOKENS}",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={keys}/sa.pub",
            f"--service-account-signing-key-file={keys}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={pki.SERVICE_RANGE}",
            "--endpoint-reconciler-type=none",
            "--allow-privileged",
            "--profiling=false",
        ]

    def controller_manager_argv(self) -> list[str]:
        """Each controller with its own service account; no port is served."""
        keys = self.where.pki
        argv = [
            self.programs[CONTROLLER_MANAGER],
            f"--kubeconfig={self.where.controller_manager_kubeconfig}",
            f"--service-account-private-key-file={keys}/sa.key",
            f"--root-ca-file={keys}/ca.crt",
            "--use-service-account-credentials",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
            "--profiling=false",
        ]
        # Before 1.24 there was an insecure port, open by default.
        if _knows_flag(self.programs[CONTROLLER_MANAGER], "port"):
            argv.append("--port=0")
        return argv

    def running(self, name: str) -> bool:
        """Whether this part of the control plane runs."""
        return records.running(self.where.processes, name)

    def _start(self, name: str, argv: list[str]) -> bool:
        """Start a part unless it runs. Returns whether it was started."""
        if self.running(name):
            return False
        log = self.where.logs / f"{name}.log"
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.where.root)}
        records.start(
            self.where.processes, name, argv, role=ROLE, log=log, env=environment, cwd=self.where.root
        )
        return True

    def _require_ports(self) -> None:
        for name, port, address in (
            (ETCD, self.ports["etcd"], "127.0.0.1"),
            (ETCD, CLAIM_PORT, etcd_peer(self.network)),
            (APISERVER, self.ports["api"], "127.0.0.1"),
        ):
            if not self.running(name) and not port_is_free(port, address):
                raise PortTaken(
                    f"Port {port} of {address}, which {name} needs, is taken by another program: end that "
                    "program, or remove the sandbox and bring it up again."
                )

    def boot(self) -> list[str]:
        """Start what does not run, and wait until the API server is ready; the controllers may not be yet.

        Returns the names of what was started. Raises PortTaken, ControlPlaneError.
        """
        self._require_ports()
        argvs = {ETCD: self.etcd_argv, APISERVER: self.apiserver_argv}
        started = [name for name, argv in argvs.items() if self._start(name, argv())]
        controllers = self.controller_manager_argv()
        self._wait(lambda: self._client.healthy("/readyz"), "the API server to be ready", ETCD, APISERVER)
        # It gives up when the API server does not answer in its first ten seconds, so it comes after it.
        if self._start(CONTROLLER_MANAGER, controllers):
            started.append(CONTROLLER_MANAGER)
        return started

    def wait_for_controllers(self) -> None:
        """Wait until they work: the first thing they make is a service account. Raises ControlPlaneError."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        parts = (ETCD, APISERVER, CONTROLLER_MANAGER)
        self._wait(lambda: self._client.healthy(path), "the controllers to work", *parts)

    def _wait(self, done: Callable[[], bool], what: str, *parts: str) -> None:
        deadline = self.clock() + _READY_SECONDS
        while not done():
            for name in parts:
                if not self.running(name):
                    self._explain(name)
            if self.clock() > deadline:
                raise ControlPlaneError(
                    f"Waited {_READY_SECONDS:.0f} s for {what}: see the logs in {self.where.logs}."
                )
            self.sleep(_POLL_SECONDS)

    def _explain(self, name: str) -> None:
        log = self.where.logs / f"{name}.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        last = text.splitlines()[-_LOG_LINES:]
        # Not a crash's whole trace: what it says is above it.
        if any("address already in use" in line for line in text.splitlines()[-50:]):
            raise PortTaken(f"{name} ended while it started: a port was taken by another program ({log}).")
        raise ControlPlaneError(f"{name} ended while it started. The last lines of {log}: {' | '.join(last)}")

    def allow_node(self) -> None:
        """Give the node's user the rights it needs, and no others."""
        name = "sandbox:node"
        rbac = "rbac.authorization.k8s.io"
        role = {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": _NODE_RULES,
        }
        binding = {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": pki.NODE}],
        }
        for resource, content in (("clusterroles", role), ("clusterrolebindings", binding)):
            try:
                self._client.create(f"/apis/{rbac}/v1/{resource}", content)
            except ApiError as error:
                if error.status != 409:
                    raise ControlPlaneError(f"The node's {content['kind']} was refused: {error}") from error

    def wait_for_node(self, name: str, since: float, log: Path) -> None:
        """Wait until the node, process `name`, says after `since` (epoch seconds) that it is ready."""
        began = timestamp(since)

        def ready() -> bool:
            if not self.running(name):
                last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
                raise ControlPlaneError(f"The node ended. The last lines of {log}: {' | '.join(last)}")
            try:
                node = self._client.get("/api/v1/nodes/sandbox")
            except ApiError:
                return False
            conditions = node.get("status", {}).get("conditions", [])
            return any(
                each["type"] == "Ready" and each["status"] == "True" and each["lastHeartbeatTime"] >= began
                for each in conditions
            )

        self._wait(ready, "the node to be ready", ETCD, APISERVER)
