# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe: its release's own manifest, without the parts for language models and local copies of models."""

from __future__ import annotations

import base64
import datetime
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane.pki import Authority
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..programs.recipes import KSERVE_VERSION
from . import manifests
from .manifests import Json

NAMESPACE = "kserve"
GATEWAY = "kserve-ingress-gateway"
MANAGER = "kserve-controller-manager"
_SERVICE = "kserve-webhook-server-service"
_SECRET = "kserve-webhook-server-cert"
_OTHERS = re.compile(r"llm|localmodel|inferencepool|inferenceobjective|inferencemodelrewrite")
# cert-manager's, whose part is played here by a certificate of our own.
_CERTIFICATES = ("Certificate", "Issuer")
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "deploy": {"defaultDeploymentMode": "Knative"},
    "ingress": {
        "enableGatewayApi": True,
        "kserveIngressGateway": f"{NAMESPACE}/{GATEWAY}",
        "disableIstioVirtualHost": True,
    },
    "inferenceService": {
        "resource": {"cpuLimit": "1", "memoryLimit": "200Mi", "cpuRequest": "10m", "memoryRequest": "20Mi"}
    },
    "storageInitializer": {"cpuRequest": "10m", "memoryRequest": "20Mi"},
    "agent": {"cpuRequest": "10m", "memoryRequest": "20Mi"},
}


def _file(folder: Path) -> Path:
    return folder / f"install/v{KSERVE_VERSION}/kserve.yaml"


def _wanted(kind: str, name: str) -> bool:
    return not _OTHERS.search(name) and kind not in _CERTIFICATES


def crds(folder: Path) -> list[Json]:
    """Its custom resource definitions."""
    return manifests.read(
        [_file(folder)], lambda kind, name: kind.startswith("CustomResource") and _wanted(kind, name)
    )


def _certificate() -> tuple[str, Json]:
    """A bundle to trust (base64), and the Secret that the webhook serves with."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        authority = Authority("kserve webhook", datetime.datetime.now(datetime.timezone.utc))
        names = tuple(f"{_SERVICE}.{NAMESPACE}.svc{end}" for end in ("", ".cluster.local"))
        authority.issue(folder, "tls", [ExtendedKeyUsageOID.SERVER_AUTH], names)
        pair = {f"tls.{end}": (folder / f"tls.{end}").read_bytes() for end in ("crt", "key")}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": _SECRET, "namespace": NAMESPACE},
        "data": {name: base64.b64encode(content).decode() for name, content in pair.items()},
    }
    return base64.b64encode(authority.pem).decode(), secret


def documents(folder: Path, images: Mapping[str, str]) -> tuple[list[Json], list[Json]]:
    """The manager with what it needs; and what can be applied once its webhooks answer."""
    found = manifests.read(
        [_file(folder)], lambda kind, name: not kind.startswith("CustomResource") and _wanted(kind, name)
    )
    bundle, secret = _certificate()
    manifests.trust(found, bundle)
    for document in found:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind == "Deployment" and name == MANAGER:
            spec = document["spec"]["template"]["spec"]
            # The other container guards metrics that nobody reads here.
            spec["containers"] = [each for each in spec["containers"] if each["name"] == "manager"]
            spec["containers"][0]["image"] = images["manager"]
            for probe in ("livenessProbe", "readinessProbe"):
                spec["containers"][0][probe].update({"initialDelaySeconds": 1, "periodSeconds": 2})
        elif kind == "ConfigMap":
            _settle(document, images["storage-initializer"])
        elif kind == "ClusterStorageContainer":
            document["spec"]["container"].update(
                image=images["storage-initializer"],
                imagePullPolicy="Never",
                resources={"requests": {"cpu": "10m", "memory": "20Mi"}},
            )
    manifests.take_images(found, {})
    manifests.lower_requests(found)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    later = [each for each in found if each["apiVersion"].startswith("serving.kserve.io")]
    return [namespace, secret, *(each for each in found if each not in later)], later


def _settle(config: Json, initializer: str) -> None:
    for key, changes in _SETTINGS.items():
        settings = json.loads(config["data"][key])
        settings.update(changes)
        if key == "storageInitializer":
            settings["image"] = initializer
        config["data"][key] = json.dumps(settings)
