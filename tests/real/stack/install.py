# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the platform on the node, in order, each step waited for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from ..node.namespaces import NodeError
from ..node.node import Node
from ..programs.golang import Report
from . import gateway, knative, kserve, manifests
from .manifests import Json

_WAIT = "--timeout=180s"
_ATTEMPTS = 60


class Installer:
    """`folders`: what was built, by recipe; `images`: names of images by program."""

    def __init__(
        self, node: Node, folders: Mapping[str, Path], images: Mapping[str, str], report: Report
    ) -> None:
        self._node = node
        self._folders = folders
        self._images = images
        self._report = report

    def install(self) -> None:
        """All of it. Raises NodeError."""
        began = time.monotonic()
        self._crds()
        self._gateway()
        self._knative()
        self._kserve()
        self._report(f"platform: installed in {time.monotonic() - began:.0f} s")

    def _apply(self, documents: list[Json]) -> None:
        self._node.kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests.text(documents)
        )

    def _try(self, documents: list[Json]) -> None:
        """Apply what a webhook that has just started must let through: as soon as it does."""
        for attempt in range(_ATTEMPTS):
            try:
                self._apply(documents)
                return
            except NodeError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.5)

    def _rollout(self, namespace: str, *deployments: str) -> None:
        for name in deployments:
            self._node.kubectl("rollout", "status", _WAIT, "--namespace", namespace, f"deployment/{name}")

    def _crds(self) -> None:
        standard = sorted((self._folders["traefik"] / "gateway-api").glob("*.yaml"))
        found = manifests.read(standard, lambda kind, _name: kind != "Kustomization")
        found += knative.crds(self._folders["knative-serving"])
        found += kserve.crds(self._folders["kserve"])
        self._apply(found)
        names = [
            f"crd/{each['metadata']['name']}" for each in found if each["kind"].startswith("CustomResource")
        ]
        # One that was made a moment ago may have no conditions yet, which kubectl takes for an error.
        for attempt in range(_ATTEMPTS):
            try:
                self._node.kubectl("wait", "--for=condition=Established", _WAIT, *names)
                break
            except NodeError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.5)
        self._report(f"platform: {len(names)} custom resource definitions are established")

    def _gateway(self) -> None:
        self._apply(gateway.documents(self._images["traefik"]))
        for service in (gateway.PUBLIC, gateway.ROUTED):
            self._node.kubectl(
                *("patch", "service", service, "--namespace", gateway.NAMESPACE),
                *("--subresource=status", "--type=merge", "-p", json.dumps(gateway.address())),
            )
        self._rollout(gateway.NAMESPACE, "traefik")
        self._report("platform: the gateway is ready")

    def _knative(self) -> None:
        found = knative.documents(self._folders["knative-serving"], self._images)
        # Its webhook looks at ConfigMaps and Images of its own kind once it is registered: on the second run.
        self._try(found)
        self._rollout(knative.NAMESPACE, *knative.DEPLOYMENTS)
        self._report("platform: Knative Serving is ready")

    def _kserve(self) -> None:
        first, later = kserve.documents(self._folders["kserve"], self._images)
        self._apply(first)
        self._apply(gateway.gateway(kserve.NAMESPACE, kserve.GATEWAY))
        self._rollout(kserve.NAMESPACE, kserve.MANAGER)
        self._try(later)
        self._report("platform: KServe is ready")
