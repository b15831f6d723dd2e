# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that run on the node beside its pods, and how each is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane.components import (
    ControlPlane,
    etcd_peer,
)

from . import places
from .places import Places

KUBELET_CLIENT = "apiserver-kubelet-client"
# Who signs in how: the user of each part and the group it is in.
_USERS = {
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{places.NAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "coredns": ("coredns", ""),
}
# In the order of their start: the API server is waited for, then the rest.
STORE = ("etcd", "kube-apiserver")
REST = ("kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy", "coredns")


def create_credentials(where: Places) -> None:
    """Certificates, tokens and kubeconfigs of all parts."""
    users = {**pki.USERS, **dict(_USERS.values())}
    pki.create(where, places.NAME, etcd_peer(places.LOOPBACK_NETWORK), users=users, clients=(KUBELET_CLIENT,))
    pki.write_kubeconfigs(where, places.SERVER, places.CONTEXT)
    for part, (user, _group) in _USERS.items():
        pki.write_kubeconfig(where, where.kubeconfig_of(part), user, places.SERVER, places.CONTEXT)


def commands(where: Places, programs: Mapping[str, Path]) -> dict[str, list[str]]:
    """The command of each part by its name. Of a flag that is given twice the second holds, or adds."""
    config = where.config
    plane = ControlPlane(
        where,
        {name: str(path) for name, path in programs.items()},
        {"api": places.API_PORT, "etcd": places.ETCD_PORT},
        places.LOOPBACK_NETWORK,
    )
    apiserver = [
        *plane.apiserver_argv(),
        "--bind-address=0.0.0.0",
        f"--advertise-address={places.ADDRESS}",
        "--endpoint-reconciler-type=lease",
        "--authorization-mode=Node",
        f"--kubelet-client-certificate={where.pki}/{KUBELET_CLIENT}.crt",
        f"--kubelet-client-key={where.pki}/{KUBELET_CLIENT}.key",
        "--kubelet-preferred-address-types=InternalIP",
    ]
    return {
        "etcd": plane.etcd_argv(),
        "kube-apiserver": apiserver,
        "kube-controller-manager": [*plane.controller_manager_argv(), "--controllers=*"],
        "kube-scheduler": [
            str(programs["kube-scheduler"]),
            f"--kubeconfig={where.kubeconfig_of('kube-scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
        ],
        "containerd": [str(programs["containerd"]), f"--config={config}/containerd.toml"],
        "kubelet": [
            str(programs["kubelet"]),
            f"--config={config}/kubelet.json",
            f"--kubeconfig={where.kubeconfig_of('kubelet')}",
            f"--root-dir={where.root}/kubelet",
            f"--cert-dir={where.root}/kubelet/pki",
            f"--hostname-override={places.NAME}",
            f"--node-ip={places.ADDRESS}",
        ],
        "kube-proxy": [str(programs["kube-proxy"]), f"--config={config}/kube-proxy.json"],
        "coredns": [str(programs["coredns"]), f"-conf={config}/Corefile"],
    }
