# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as the Experiment controller sees it: API server, handlers' templates, analytics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import requests
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8.spec import (
    GROUP,
    ITER8_NAMESPACE,
    VERSION,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8.steps import (
    AnalyticsError,
    NotFound,
    Refused,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.analytics_address import (
    ServiceUnavailable,
    resolve,
)
from kubernetes.client import BatchV1Api, CoreV1Api, CustomObjectsApi
from kubernetes.client.exceptions import ApiException

Json = dict[str, Any]

_JSON_PATCH = "application/json-patch+json"
_API_TIMEOUT = (5, 20)
_ANALYTICS_TIMEOUT = (2, 30)
_EXPERIMENTS = {"group": GROUP, "version": VERSION, "plural": "experiments"}


class KubernetesCluster:
    """Implements `experiments_steps.Cluster`. Blocking; may be used from several threads."""

    def __init__(self, client: Any, handlers_directory: Path, analytics_endpoint: str) -> None:
        self._custom: Any = CustomObjectsApi(client)
        self._batch: Any = BatchV1Api(client)
        self._core: Any = CoreV1Api(client)
        self._handlers_directory = handlers_directory
        self._analytics_endpoint = analytics_endpoint
        self._plurals: dict[tuple[str, str], str] = {}

    @property
    def analytics_endpoint(self) -> str:
        """The analytics service's URL as it is configured, with the Service's name."""
        return self._analytics_endpoint

    def experiment(self, namespace: str, name: str) -> Optional[Json]:
        """The Experiment, or None if there is none."""
        try:
            found: Json = self._custom.get_namespaced_custom_object(
                **_EXPERIMENTS, namespace=namespace, name=name, _request_timeout=_API_TIMEOUT
            )
        except ApiException as error:
            if _is_missing(error):
                return None
            raise
        return found

    def write_spec(self, experiment: Json, spec: Json) -> None:
        """Replace the spec, unless the object has changed since it was read."""
        metadata = experiment["metadata"]
        self._custom.patch_namespaced_custom_object(
            **_EXPERIMENTS,
            namespace=metadata["namespace"],
            name=metadata["name"],
            body=[
                {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
                {"op": "replace", "path": "/spec", "value": spec},
            ],
            _content_type=_JSON_PATCH,
            _request_timeout=_API_TIMEOUT,
        )

    def write_status(self, experiment: Json, status: Json) -> None:
        """Replace the status, unless another Experiment of that name has taken its place."""
        metadata = experiment["metadata"]
        self._custom.patch_namespaced_custom_object_status(
            **_EXPERIMENTS,
            namespace=metadata["namespace"],
            name=metadata["name"],
            body=[
                {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
                {"op": "add", "path": "/status", "value": status},
            ],
            _content_type=_JSON_PATCH,
            _request_timeout=_API_TIMEOUT,
        )

    def metric(self, namespace: str, name: str) -> Json:
        """A Metric object. Raises NotFound or Refused."""
        try:
            found: Json = self._custom.get_namespaced_custom_object(
                GROUP, VERSION, namespace, "metrics", name, _request_timeout=_API_TIMEOUT
            )
        except ApiException as error:
            raise _final(error) from error
        return found

    def job(self, name: str) -> Optional[Json]:
        """A Job in iter8's namespace, or None if there is none."""
        try:
            response = self._batch.read_namespaced_job(
                name, ITER8_NAMESPACE, _preload_content=False, _request_timeout=_API_TIMEOUT
            )
        except ApiException as error:
            if _is_missing(error):
                return None
            raise
        found: Json = json.loads(response.data)
        return found

    def handler_template(self, handler: str) -> Json:
        """The Job template `<handler>.yaml` of the handlers' directory. Raises NotFound or Refused."""
        path = self._handlers_directory / f"{handler}.yaml"
        if "/" in handler or not path.is_file():
            raise NotFound(f"there is no handler of that name in {self._handlers_directory}")
        try:
            template = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise Refused(f"{path.name} is not YAML: {error}") from error
        if not isinstance(template, dict):
            raise Refused(f"{path.name} is not a Job")
        return template

    def create_job(self, job: Json) -> None:
        """Create a Job; one of that name is left as it is. Raises Refused."""
        try:
            self._batch.create_namespaced_job(
                ITER8_NAMESPACE, job, _preload_content=False, _request_timeout=_API_TIMEOUT
            )
        except ApiException as error:
            if error.status != 409:
                raise _final(error) from error

    def set_weight(self, reference: Mapping[str, Any], weight: int) -> None:
        """JSON-patch the field that a weightObjRef names. Raises Refused."""
        group, _, version = reference["apiVersion"].rpartition("/")
        try:
            self._custom.patch_namespaced_custom_object(
                group,
                version,
                reference.get("namespace") or "default",
                self._plural(group, version, reference["kind"]),
                reference["name"],
                [{"op": "add", "path": reference["fieldPath"], "value": weight}],
                field_manager="etc3",
                _content_type=_JSON_PATCH,
                _request_timeout=_API_TIMEOUT,
            )
        except ApiException as error:
            raise _final(error) from error

    def analyse(self, experiment: Json) -> Json:
        """Ask the analytics service. Raises AnalyticsError."""
        try:
            url = resolve(self._core, self._analytics_endpoint)
            response = requests.post(url, json=experiment, timeout=_ANALYTICS_TIMEOUT)
            if response.status_code >= 400:
                raise AnalyticsError(f"HTTP status {response.status_code}: {response.text[:300]}")
            answer = response.json()
        except (ServiceUnavailable, requests.RequestException, ValueError) as error:
            raise AnalyticsError(str(error)) from error
        if not isinstance(answer, dict):
            raise AnalyticsError("the answer is not an object")
        return answer

    def _plural(self, group: str, version: str, kind: str) -> str:
        """The plural name of a kind, by discovery."""
        key = (f"{group}/{version}", kind)
        if key not in self._plurals:
            listed = self._custom.get_api_resources(group, version, _request_timeout=_API_TIMEOUT)
            names = [r.name for r in listed.resources if r.kind == kind and "/" not in r.name]
            if not names:
                raise NotFound(f"{key[0]} has no kind {kind}")
            self._plurals[key] = names[0]
        return self._plurals[key]


def _status(error: ApiException) -> Json:
    """The Status object in the API server's answer; empty if the answer is none."""
    try:
        status = json.loads(error.body or "")
    except (ValueError, TypeError):
        return {}
    return status if isinstance(status, dict) else {}


def _is_missing(error: ApiException) -> bool:
    """Whether the object does not exist. An API server that has just started answers 404, too, while it does
    not serve the kind yet; such an answer names no object."""
    status = _status(error)
    return error.status == 404 and bool((status.get("details") or {}).get("name"))


def _final(error: ApiException) -> Exception:
    """The API server's final refusals as Refused; what may pass (conflicts, overload, restarts) as it is."""
    final: Exception = error
    text = _status(error).get("message") or f"HTTP status {error.status}"
    if _is_missing(error):
        final = NotFound(text)
    elif error.status in (400, 403, 405, 413, 422):
        final = Refused(text)
    return final
