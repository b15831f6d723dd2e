# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files of the node's parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import places
from .places import Places

PAUSE_IMAGE = "dev.local/pause:1"
# Clusters' own zone; whatever else is asked for does not exist here, which is said at once.
_COREDNS = """\
cluster.local:53 in-addr.arpa:53 {{
    bind {address}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
}}
.:53 {{
    bind {address}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
_CONTAINERD = """\
version = 2
root = "{root}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Setting it lower than our own needs a capability that containers do not have.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{config}/cni"
"""


def _cni(where: Places) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{where.root}/cni",
            "ranges": [[{"subnet": places.POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]}


def _kubelet(where: Places) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": places.ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(where.ca_certificate)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{where.cgroup}",
        # Version 1 is what some machines have; the kubelet refuses it from 1.35 on.
        "failCgroupV1": False,
        "clusterDNS": [places.ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{places.CONTAINERD_SOCKET}",
        "podLogsDir": f"{where.root}/pod-logs",
        "resolvConf": f"{where.config}/resolv.conf",
        "oomScoreAdj": 0,
        "failSwapOn": False,
        # The disk is the developer's: that it is rather full is no reason to end pods.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "imageMaximumGCAge": "0s",
        "maxPods": 200,
        "syncFrequency": "20s",
        "nodeStatusUpdateFrequency": "4s",
        "logging": {"verbosity": 1},
    }


def _kube_proxy(where: Places) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(where.kubeconfig_of("kube-proxy"))},
        "mode": "iptables",
        "clusterCIDR": places.POD_RANGE,
        "hostnameOverride": places.NAME,
        "bindAddress": places.ADDRESS,
        "oomScoreAdj": 0,
        # Node ports answer on loopback, where the load may go, only with these three (and iptables).
        "nodePortAddresses": ["127.0.0.0/8", f"{places.ADDRESS}/32"],
        "iptables": {"localhostNodePorts": True, "minSyncPeriod": "100ms", "syncPeriod": "30s"},
        # The machine's limits stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def write(where: Places, cni_plugins: Path) -> None:
    """Write them all."""
    config = where.config
    (config / "cni").mkdir(parents=True, exist_ok=True)
    texts = {
        "cni/10-pods.conflist": json.dumps(_cni(where), indent=2),
        "kubelet.json": json.dumps(_kubelet(where), indent=2),
        "kube-proxy.json": json.dumps(_kube_proxy(where), indent=2),
        "resolv.conf": f"nameserver {places.ADDRESS}\n",
        "Corefile": _COREDNS.format(address=places.ADDRESS, kubeconfig=where.kubeconfig_of("coredns")),
        "containerd.toml": _CONTAINERD.format(
            root=where.root,
            socket=places.CONTAINERD_SOCKET,
            pause=PAUSE_IMAGE,
            plugins=cni_plugins,
            config=config,
        ),
    }
    for name, text in texts.items():
        (config / name).write_text(text, encoding="utf-8")
