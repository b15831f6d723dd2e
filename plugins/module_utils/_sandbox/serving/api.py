# SPDX-License-Identifier: GPL-3.0-or-later
"""What the serving controller reads and writes at the API server: plain dictionaries in and out.

Every list is a consistent read. The controller's events only say *when* to look, so no cache can be stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import faults
from ..kube import discovery
from ..kube.client import ApiError, Json, KubeClient
from ..kube.resources import CONFIG_MAPS, DEPLOYMENTS, INFERENCE_SERVICES, PODS, SERVICES, Kind
from . import resources

GATEWAY_NAMESPACE = "istio-system"
GATEWAY_SERVICE = "istio-ingressgateway"
GATEWAY_PORT = "http2"

Object = Mapping[str, Any]


class ServingApi:
    """Reads and writes of one controller. ``namespace`` is its own, where the faults' ConfigMap lies.

    Each may raise ApiError.
    """

    kind: Kind = INFERENCE_SERVICES

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def services(self) -> list[Json]:
        """Return all InferenceServices."""
        return self._client.items(self.kind.path())

    def deployments(self) -> list[Json]:
        """Return the Deployments of all revisions."""
        return self._client.items(DEPLOYMENTS.path(), resources.REVISION_LABEL)

    def pods(self) -> list[Json]:
        """Return the pods of all revisions."""
        return self._client.items(PODS.path(), resources.REVISION_LABEL)

    def active_faults(self) -> faults.Active:
        """Return the faults that are switched on.

        :raises faults.FaultError: the ConfigMap names something unknown.
        """
        found = self._client.find(CONFIG_MAPS.path(self._namespace, faults.CONFIG_MAP))
        return faults.parse((found or {}).get("data") or {})

    def create_deployment(self, deployment: Json) -> Json:
        """Create a revision's Deployment, or return the one that an earlier try left."""
        meta = deployment["metadata"]
        try:
            return self._client.create(DEPLOYMENTS.path(meta["namespace"]), deployment)
        except ApiError as error:
            if error.status != 409:
                raise
            return self._client.get(DEPLOYMENTS.path(meta["namespace"], meta["name"]))

    def scale(self, revision: resources.Revision, replicas: int) -> None:
        """Set how many pods a revision has."""
        path = DEPLOYMENTS.path(revision.namespace, revision.deployment)
        self._client.patch(path, {"spec": {"replicas": replicas}})

    def delete_deployment(self, revision: resources.Revision) -> None:
        """Delete a revision and, in the background, its pods. No error if it is gone."""
        try:
            self._client.delete(DEPLOYMENTS.path(revision.namespace, revision.deployment))
        except ApiError as error:
            if error.status != 404:
                raise

    def put_status(self, service: Object, status: Object) -> None:
        """Write the status, if the object is still the one that was read; otherwise leave it.

        A lost race needs no action: the change that won it starts another pass.
        """
        try:
            self._client.replace(self._path(service, "status"), {**service, "status": status})
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def set_finalizers(self, service: Object, finalizers: list[str]) -> Object:
        """Replace the finalizers, if the object is still the one that was read; return it as it is then."""
        version = service["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": version}}
        try:
            return self._client.patch(self._path(service), patch)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            return service

    def gateway_ips(self) -> list[str]:
        """Return the addresses of the gateway's ready pods."""
        try:
            found = discovery.service_addresses(
                self._client, GATEWAY_NAMESPACE, GATEWAY_SERVICE, GATEWAY_PORT
            )
        except discovery.ServiceNotUsable:
            return []
        return [ip for ip, _unused in found]

    def set_load_balancer(self, ips: list[str]) -> None:
        """Show the gateway's address on its Service, as a cloud's load balancer controller would.

        :param ips: the gateway's ready pods. The address shown stays while it is one of them.
        """
        service = self._client.get(SERVICES.path(GATEWAY_NAMESPACE, GATEWAY_SERVICE))
        shown = service["status"].get("loadBalancer", {}).get("ingress") or []
        if not any(entry.get("ip") in ips for entry in shown):
            wanted = {"loadBalancer": {"ingress": [{"ip": ips[0]}]}}
            path = SERVICES.path(GATEWAY_NAMESPACE, GATEWAY_SERVICE, "status")
            self._client.patch(path, {"status": wanted})

    def _path(self, service: Object, part: str = "") -> str:
        meta = service["metadata"]
        return self.kind.path(meta["namespace"], meta["name"], part)
