# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as the Experiment controller sees it: API server, handlers' templates, analytics."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ..kube.client import JSON_PATCH, ApiError, Json, KubeClient
from ..kube.discovery import ServiceNotUsable, pod_url
from ..kube.resources import EXPERIMENTS, JOBS, METRICS, Kind
from .spec import ITER8_NAMESPACE
from .steps import AnalyticsError, FinalRefusal, ObjectNotFound

with contextlib.suppress(ImportError):  # The module `sandbox` reports them.
    import urllib3
    import yaml


class KubernetesCluster:
    """Implements `steps.Cluster`. Blocking; may be used from several threads."""

    def __init__(self, client: KubeClient, handlers_directory: Path, analytics_endpoint: str) -> None:
        self._client = client
        self._handlers_directory = handlers_directory
        self._analytics_endpoint = analytics_endpoint
        self._plurals: dict[tuple[str, str], str] = {}

    @property
    def analytics_endpoint(self) -> str:
        """The analytics service's URL as it is configured, with the Service's name."""
        return self._analytics_endpoint

    def experiment(self, namespace: str, name: str) -> Optional[Json]:
        """The Experiment, or None if there is none."""
        return self._client.find(EXPERIMENTS.path(namespace, name))

    def write_spec(self, experiment: Json, spec: Json) -> None:
        """Replace the spec, unless the object has changed since it was read."""
        version = experiment["metadata"]["resourceVersion"]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        self._client.patch(_path(experiment), patch, JSON_PATCH)

    def write_status(self, experiment: Json, status: Json) -> None:
        """Replace the status, unless another Experiment of that name has taken its place."""
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": experiment["metadata"]["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        self._client.patch(_path(experiment, "status"), patch, JSON_PATCH)

    def metric(self, namespace: str, name: str) -> Json:
        """A Metric object. Raises ObjectNotFound or FinalRefusal."""
        try:
            return self._client.get(METRICS.path(namespace, name))
        except ApiError as error:
            raise _final(error) from error

    def job(self, name: str) -> Optional[Json]:
        """A Job in iter8's namespace, or None if there is none."""
        return self._client.find(JOBS.path(ITER8_NAMESPACE, name))

    def handler_template(self, handler: str) -> Json:
        """The Job template `<handler>.yaml`. Raises ObjectNotFound or FinalRefusal."""
        path = self._handlers_directory / f"{handler}.yaml"
        if "/" in handler or not path.is_file():
            raise ObjectNotFound(f"there is no handler of that name in {self._handlers_directory}")
        try:
            template = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise FinalRefusal(f"{path.name} is not YAML: {error}") from error
        if not isinstance(template, dict):
            raise FinalRefusal(f"{path.name} is not a Job")
        return template

    def create_job(self, job: Json) -> None:
        """Create a Job; one of that name is left as it is. Raises FinalRefusal."""
        try:
            self._client.create(JOBS.path(ITER8_NAMESPACE), job)
        except ApiError as error:
            if error.status != 409:
                raise _final(error) from error

    def set_weight(self, reference: Mapping[str, Any], weight: int) -> None:
        """JSON-patch the field that a weightObjRef names. Raises FinalRefusal."""
        group, _unused, version = reference["apiVersion"].rpartition("/")
        patch = [{"op": "add", "path": reference["fieldPath"], "value": weight}]
        try:
            kind = Kind(group, version, self._plural(group, version, reference["kind"]))
            path = kind.path(reference.get("namespace") or "default", reference["name"])
            self._client.patch(path, patch, JSON_PATCH, field_manager="etc3")
        except ApiError as error:
            raise _final(error) from error

    def analyse(self, experiment: Json) -> Json:
        """Ask the analytics service. Raises AnalyticsError."""
        try:
            # A connection of its own: one that was kept since the last iteration may just be closing.
            timeout = urllib3.Timeout(connect=2, read=30)
            response = urllib3.PoolManager(retries=False, timeout=timeout).request(
                "POST",
                pod_url(self._client, self._analytics_endpoint),
                body=json.dumps(experiment).encode(),
                headers={"Content-Type": "application/json"},
            )
            text = response.data.decode(errors="replace")
            if response.status >= 400:
                raise AnalyticsError(f"HTTP status {response.status}: {text[:300]}")
            answer = json.loads(text)
        except (ServiceNotUsable, urllib3.exceptions.HTTPError, ValueError) as error:
            raise AnalyticsError(str(error)) from error
        if not isinstance(answer, dict):
            raise AnalyticsError("the answer is not an object")
        return answer

    def _plural(self, group: str, version: str, kind: str) -> str:
        """The plural name of a kind, by discovery."""
        key = (f"{group}/{version}", kind)
        if key not in self._plurals:
            listed = self._client.get(Kind(group, version, "").root)["resources"]
            names = [r["name"] for r in listed if r["kind"] == kind and "/" not in r["name"]]
            if not names:
                raise ObjectNotFound(f"{key[0]} has no kind {kind}")
            self._plurals[key] = names[0]
        return self._plurals[key]


def _path(experiment: Json, part: str = "") -> str:
    metadata = experiment["metadata"]
    return EXPERIMENTS.path(metadata["namespace"], metadata["name"], part)


def _final(error: ApiError) -> Exception:
    """The API server's final refusals as FinalRefusal; what may pass (conflicts, overload, restarts) as it
    is."""
    final: Exception = error
    text = error.message or f"HTTP status {error.status}"
    if error.missing:
        final = ObjectNotFound(text)
    elif error.status in (400, 403, 405, 413, 422):
        final = FinalRefusal(text)
    return final
