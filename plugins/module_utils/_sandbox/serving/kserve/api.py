# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server as the KServe stack reads and writes it.

Every list is a consistent read. The controller's events only say *when* to look, so no cache can be stale.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ...kube.client import ApiError
from ...kube.resources import CONFIG_MAPS, GATEWAYS, KSERVE_INFERENCE_SERVICES, Kind
from ..api import ServingApi
from .objects import SERVICE_LABEL, Change, Create, Delete, Json, MergePatch, Object, Status
from .standard_mode import GATEWAY

CONFIGURATION = "inferenceservice-config"

_LOG = logging.getLogger("serving")


class KserveApi(ServingApi):
    """Reads and writes of one controller. ``namespace`` is its own, where its ConfigMaps lie."""

    kind = KSERVE_INFERENCE_SERVICES

    def set_load_balancer(self, ips: list[str]) -> None:
        """Show the gateway's address on its Service and on the Gateway. It stays while it is one of these."""
        super().set_load_balancer(ips)
        gateway = self._client.get(GATEWAYS.path(self._namespace, GATEWAY["name"]))
        shown = (gateway.get("status") or {}).get("addresses") or []
        if any(each["value"] in ips for each in shown):
            return
        status = {"addresses": [{"type": "IPAddress", "value": ips[0]}]}
        path = GATEWAYS.path(self._namespace, GATEWAY["name"], "status")
        self._client.patch(path, {"status": status})

    def labelled(self, kind: Kind) -> list[Json]:
        """All InferenceServices, or all objects of another kind that carry the label of one."""
        return self._client.items(kind.path(), "" if kind == self.kind else SERVICE_LABEL)

    def configuration(self) -> Mapping[str, str]:
        """The data of the ConfigMap ``inferenceservice-config``; empty without one."""
        found = self._client.find(CONFIG_MAPS.path(self._namespace, CONFIGURATION))
        return (found or {}).get("data") or {}

    def change(self, change: Change) -> None:
        """Write one change."""
        try:
            self._write(change)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def _write(self, change: Change) -> None:
        if isinstance(change, Create):
            meta = change.body["metadata"]
            _LOG.info("%s/%s: create %s", meta["namespace"], meta["name"], change.kind.name)
            self._client.create(change.kind.path(meta["namespace"]), change.body)
        elif isinstance(change, MergePatch):
            self._client.patch(_path(change.kind, change.object), change.body)
        elif isinstance(change, Status):
            if change.kind == self.kind:
                _LOG.info("%s", summary(change.object, change.status))
            self._client.replace(
                _path(change.kind, change.object, "status"), {**change.object, "status": change.status}
            )
        elif isinstance(change, Delete):
            meta = change.object["metadata"]
            _LOG.info("%s/%s: delete %s", meta["namespace"], meta["name"], change.kind.name)
            self._client.delete(_path(change.kind, change.object))


def summary(service: Object, status: Mapping[str, object]) -> str:
    """One line for the log."""
    whole: Json = dict(status)
    ready = next((each["status"] for each in whole["conditions"] if each["type"] == "Ready"), "?")
    traffic = (whole.get("components") or {}).get("predictor", {}).get("traffic") or []
    split = ", ".join(f"{entry['percent']} % {entry['revisionName']}" for entry in traffic)
    canaries = ", ".join(f"{each['name']} {each['ready']}" for each in whole.get("canaryStatuses") or ())
    meta = service["metadata"]
    return f"{meta['namespace']}/{meta['name']}: Ready={ready} {split or canaries}"


def _path(kind: Kind, obj: Object, part: str = "") -> str:
    meta = obj["metadata"]
    return kind.path(meta["namespace"], meta["name"], part)
