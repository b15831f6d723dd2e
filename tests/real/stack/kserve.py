# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe: its release's own manifests, without the parts for language models and local copies of models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..programs.recipes import KSERVE_VERSION
from . import manifests
from .manifests import Json

NAMESPACE = "kserve"
GATEWAY = "kserve-ingress-gateway"
MANAGER = "kserve-controller-manager"
_OTHERS = re.compile(r"llm|localmodel|inferencepool|inferenceobjective|inferencemodelrewrite")
_SMALL = {"cpuRequest": "10m", "memoryRequest": "20Mi"}
# What this cluster needs otherwise, as edits of the role `platform`.
EDITS: list[Json] = [
    {
        "kind": "ConfigMap",
        "name": "inferenceservice-config",
        "json": {
            "deploy": {"defaultDeploymentMode": "Knative"},
            "ingress": {
                "enableGatewayApi": True,
                "kserveIngressGateway": f"{NAMESPACE}/{GATEWAY}",
                "disableIstioVirtualHost": True,
            },
            "inferenceService": {"resource": {"cpuLimit": "1", "memoryLimit": "200Mi", **_SMALL}},
            "storageInitializer": _SMALL,
            "agent": _SMALL,
        },
    },
    {
        "kind": "ClusterStorageContainer",
        "name": "default",
        "merge": {
            "spec": {
                "container": {
                    "imagePullPolicy": "Never",
                    "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}, "limits": None},
                }
            }
        },
    },
]


def _read(folder: Path, name: str) -> list[Json]:
    path = folder / f"install/v{KSERVE_VERSION}/{name}.yaml"
    return manifests.read([path], lambda kind, each: not _OTHERS.search(f"{kind} {each}".lower()))


def documents(folder: Path) -> list[Json]:
    """The manager with all that it needs."""
    found = _read(folder, "kserve")
    for document in found:
        if document["kind"] == "Deployment":
            spec = document["spec"]["template"]["spec"]
            # The other container guards metrics that nobody reads here.
            spec["containers"] = [each for each in spec["containers"] if each["name"] == "manager"]
            for probe in ("livenessProbe", "readinessProbe"):
                spec["containers"][0][probe].update({"initialDelaySeconds": 1, "periodSeconds": 2})
    manifests.use_what_is_there(found)
    return found


def runtimes(folder: Path) -> list[Json]:
    """Its model servers; none of their images is here."""
    return _read(folder, "kserve-cluster-resources")


def images(programs: Mapping[str, str]) -> dict[str, str]:
    """The images that this cluster has in the place of those that the manifests name."""
    return {
        f"kserve/kserve-controller:v{KSERVE_VERSION}": programs["manager"],
        f"kserve/storage-initializer:v{KSERVE_VERSION}": programs["storage-initializer"],
    }
