# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative Serving: the manifests of its module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import gateway, manifests
from .manifests import Json

NAMESPACE = "knative-serving"
DEPLOYMENTS = ("controller", "webhook", "activator", "autoscaler")
DOMAIN = "example.com"
_COMMAND = "ko://knative.dev/serving/cmd"
# The scaling of Knative's own parts would need a metrics server.
_WITHOUT = ("HorizontalPodAutoscaler", "PodDisruptionBudget")
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "config-network": {"ingress.class": gateway.CLASS},
    "config-domain": {DOMAIN: ""},
    "config-deployment": {"queue-sidecar-cpu-request": "10m", "queue-sidecar-memory-request": "20Mi"},
}


def crds(folder: Path) -> list[Json]:
    """All custom resource definitions."""
    return manifests.read(
        sorted((folder / "config").rglob("*.yaml")), lambda kind, _name: kind.startswith("Custom")
    )


def documents(folder: Path, images: Mapping[str, str]) -> list[Json]:
    """All the rest, in the order of the files' names, as Knative's own release has it."""
    found = manifests.read(
        sorted((folder / "config").rglob("*.yaml")),
        lambda kind, _name: not kind.startswith("Custom") and kind not in _WITHOUT,
    )
    named = {f"{_COMMAND}/{program}": image for program, image in images.items()}
    manifests.take_images(found, named)
    manifests.lower_requests(found)
    for document in found:
        name = document["metadata"]["name"]
        if document["kind"] == "Image":
            document["spec"]["image"] = named[document["spec"]["image"]]
        elif document["kind"] == "ConfigMap":
            data = document.setdefault("data", {})
            data.update(_SETTINGS.get(name, {}))
            if "queue-sidecar-image" in data:
                data["queue-sidecar-image"] = named[data["queue-sidecar-image"]]
    return found
