# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving controller's side of the Kubernetes API: plain dictionaries in and out.

Every list is a consistent read. The controller's events only say *when* to look, so no cache can be stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube import discovery
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving import resources
from kubernetes import client
from kubernetes.client.exceptions import ApiException

GATEWAY_NAMESPACE = "istio-system"
GATEWAY_SERVICE = "istio-ingressgateway"
GATEWAY_PORT = "http2"

_MERGE = "application/merge-patch+json"

Object = Mapping[str, Any]


class Api:
    """Reads and writes of one controller. ``namespace`` is its own, where the faults' ConfigMap lies."""

    def __init__(self, api_client: Any, namespace: str) -> None:
        self._namespace = namespace
        # Typed as Any: the generated types are for model classes, which are left aside here.
        self._core: Any = client.CoreV1Api(api_client)
        self._apps: Any = client.AppsV1Api(api_client)
        self._custom: Any = client.CustomObjectsApi(api_client)

    def services(self) -> list[dict[str, Any]]:
        """Return all InferenceServices."""
        found = self._custom.list_cluster_custom_object(resources.GROUP, resources.VERSION, resources.PLURAL)
        return list(found["items"])

    def deployments(self) -> list[dict[str, Any]]:
        """Return the Deployments of all revisions."""
        return _items(
            self._apps.list_deployment_for_all_namespaces(
                label_selector=resources.REVISION_LABEL, _preload_content=False
            )
        )

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of all revisions."""
        return _items(
            self._core.list_pod_for_all_namespaces(
                label_selector=resources.REVISION_LABEL, _preload_content=False
            )
        )

    def active_faults(self) -> faults.Active:
        """Return the faults that are switched on.

        :raises faults.FaultError: the ConfigMap names something unknown.
        """
        try:
            found = self._core.read_namespaced_config_map(
                faults.CONFIG_MAP, self._namespace, _preload_content=False
            )
        except ApiException as error:
            if error.status != 404:
                raise
            return {}
        return faults.parse(json.loads(found.data).get("data") or {})

    def create_deployment(self, deployment: Object) -> dict[str, Any]:
        """Create a revision's Deployment, or return the one that an earlier try left."""
        meta = deployment["metadata"]
        try:
            created = self._apps.create_namespaced_deployment(
                meta["namespace"], deployment, _preload_content=False
            )
        except ApiException as error:
            if error.status != 409:
                raise
            created = self._apps.read_namespaced_deployment(
                meta["name"], meta["namespace"], _preload_content=False
            )
        return _dict(created)

    def scale(self, revision: resources.Revision, replicas: int) -> None:
        """Set how many pods a revision has."""
        self._apps.patch_namespaced_deployment(
            revision.deployment,
            revision.namespace,
            {"spec": {"replicas": replicas}},
            _content_type=_MERGE,
            _preload_content=False,
        )

    def delete_deployment(self, revision: resources.Revision) -> None:
        """Delete a revision and, in the background, its pods. No error if it is gone."""
        try:
            self._apps.delete_namespaced_deployment(
                revision.deployment,
                revision.namespace,
                propagation_policy="Background",
                _preload_content=False,
            )
        except ApiException as error:
            if error.status != 404:
                raise

    def put_status(self, service: Object, status: Object) -> None:
        """Write the status, if the object is still the one that was read; otherwise leave it.

        A lost race needs no action: the change that won it starts another pass.
        """
        meta = service["metadata"]
        body = {**service, "status": status}
        try:
            self._custom.replace_namespaced_custom_object_status(
                resources.GROUP,
                resources.VERSION,
                meta["namespace"],
                resources.PLURAL,
                meta["name"],
                body,
                _preload_content=False,
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    def set_finalizers(self, service: Object, finalizers: list[str]) -> Object:
        """Replace the finalizers, if the object is still the one that was read; return it as it is then."""
        meta = service["metadata"]
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": meta["resourceVersion"]}}
        try:
            updated = self._custom.patch_namespaced_custom_object(
                resources.GROUP,
                resources.VERSION,
                meta["namespace"],
                resources.PLURAL,
                meta["name"],
                patch,
                _content_type=_MERGE,
                _preload_content=False,
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise
            return service
        return _dict(updated)

    def gateway_ips(self) -> list[str]:
        """Return the addresses of the gateway's ready pods."""
        try:
            found = discovery.service_addresses(self._core, GATEWAY_NAMESPACE, GATEWAY_SERVICE, GATEWAY_PORT)
        except discovery.ServiceNotUsable:
            return []
        return [ip for ip, _ in found]

    def set_load_balancer(self, ips: list[str]) -> None:
        """Show the gateway's address on its Service, as a cloud's load balancer controller would.

        :param ips: the gateway's ready pods. The address shown stays while it is one of them.
        """
        service = _dict(
            self._core.read_namespaced_service(GATEWAY_SERVICE, GATEWAY_NAMESPACE, _preload_content=False)
        )
        shown = service["status"].get("loadBalancer", {}).get("ingress") or []
        if not any(entry.get("ip") in ips for entry in shown):
            wanted = {"loadBalancer": {"ingress": [{"ip": ips[0]}]}}
            self._core.patch_namespaced_service_status(
                GATEWAY_SERVICE,
                GATEWAY_NAMESPACE,
                {"status": wanted},
                _content_type=_MERGE,
                _preload_content=False,
            )


def _dict(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.data)
    return found


def _items(response: Any) -> list[dict[str, Any]]:
    return list(_dict(response)["items"])
