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
# What this cluster needs otherwise, as edits of the role `platform`.
EDITS: list[Json] = [
    {"kind": "ConfigMap", "name": name, "merge": {"data": data}}
    for name, data in (
        ("config-network", {"ingress.class": gateway.CLASS}),
        ("config-domain", {DOMAIN: ""}),
        (
            "config-deployment",
            {"queue-sidecar-cpu-request": "10m", "queue-sidecar-memory-request": "20Mi"},
        ),
    )
]


def documents(folder: Path) -> list[Json]:
    """All of them, in the order of the files' names, as Knative's own release has it."""
    found = manifests.read(sorted((folder / "config").rglob("*.yaml")))
    manifests.use_what_is_there(found)
    return found


def images(programs: Mapping[str, str]) -> dict[str, str]:
    """The images that this cluster has in the place of those that the manifests name."""
    named = ("activator", "autoscaler", "controller", "queue", "webhook")
    return {f"{_COMMAND}/{program}": programs[program] for program in named}
