# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox that the campaign runs in: brought up once, and whatever a fault needs to get hold of in it."""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import absent, present
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support import waiting
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

MANIFESTS = ("gateway.yaml", "kfserving.yaml", "monitoring.yaml", "iter8.yaml")
NAMESPACE = "default"
SERVICES = ("serving.kubeflow.org", "v1beta1", "inferenceservices")
EXPERIMENTS = ("iter8.tools", "v2alpha1", "experiments")
WORKLOADS = (
    ("deployment", "istio-system", "istio-ingressgateway"),
    ("stateful_set", "kfserving-system", "kfserving-controller-manager"),
    ("stateful_set", "kfserving-monitoring", "prometheus-prometheus"),
    ("deployment", "iter8-system", "iter8-controller-manager"),
    ("deployment", "iter8-system", "iter8-analytics"),
)
_REVISION = "serving.knative.dev/revision"


class CampaignError(Exception):
    """The campaign itself went wrong: its result says nothing about the verdict."""


def until(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for something; an API server that is away counts as not yet."""
    return waiting.until(check, seconds, what, ignoring=(ApiException, HTTPError, OSError))


@contextlib.contextmanager
def may_be_absent() -> Iterator[None]:
    """Within it, that an object is not there ends the block and is no error."""
    try:
        yield
    except ApiException as error:
        if error.status != 404:
            raise


class Arena:
    """One sandbox. ``env`` has the state folder of the campaign's own."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder)}
        self.name = "campaign"
        self._say = say
        self.where = paths.layout(self.name, self.env)
        self._options = present.SandboxOptions(present.default_source(), paths.cache_dir())

    def up(self) -> None:
        """Remove what a killed campaign left, bring the sandbox up, apply the controllers, wait for them."""
        self.down()
        self.mend_control_plane()
        self._connect()
        for manifest in MANIFESTS:
            self._apply(ROOT / "roles/sandbox/files" / manifest)
        self.wait_healthy(90)

    def down(self) -> None:
        """End all processes of the sandbox and remove its files."""
        # Another cache folder, so that a build that is under way on this machine is not looked at.
        absent.down(self.name, self._say, cache_dir=self.where.root.parent.parent / "cache", env=self.env)

    def mend_control_plane(self) -> None:
        """Start whatever part of the control plane does not run."""
        present.up(self.name, self._options, self._say, env=self.env)

    def _connect(self) -> None:
        api = config.new_client_from_config(str(self.where.kubeconfig))
        self._api: Any = api
        self.core: Any = client.CoreV1Api(api)
        self.batch: Any = client.BatchV1Api(api)
        self.apps: Any = client.AppsV1Api(api)
        self.custom: Any = client.CustomObjectsApi(api)

    def _apply(self, manifest: Path) -> None:
        for document in yaml.safe_load_all(manifest.read_text()):
            until(lambda document=document: self._create(document), 20, f"{manifest.name} is applied")

    def _create(self, document: Any) -> bool:
        group = document["apiVersion"].partition("/")[0]
        try:
            if group != EXPERIMENTS[0]:
                utils.create_from_dict(self._api, document)
                return True
            kinds = dynamic.DynamicClient(self._api).resources
            kinds.get(api_version=document["apiVersion"], kind=document["kind"]).create(body=document)
        except utils.FailToCreateError as error:
            return all(cause.status == 409 for cause in error.api_exceptions)
        except dynamic.exceptions.ConflictError:
            return True
        except (dynamic.exceptions.ResourceNotFoundError, dynamic.exceptions.NotFoundError):
            # A definition that was just created is not served yet.
            return False
        return True

    # -- workloads

    def wait_healthy(self, seconds: float = 60) -> None:
        """Every controller of the sandbox is ready."""
        for kind, namespace, name in WORKLOADS:
            until(lambda: self._ready(kind, namespace, name), seconds, f"{name} is ready")  # noqa: B023

    def _ready(self, kind: str, namespace: str, name: str) -> bool:
        found = getattr(self.apps, f"read_namespaced_{kind}")(name, namespace)
        whole = found.status.observed_generation == found.metadata.generation
        return bool(whole and found.spec.replicas == 1 and found.status.ready_replicas == 1)

    def scale(self, kind: str, namespace: str, name: str, replicas: int) -> None:
        """Set a workload's replicas."""
        body = {"spec": {"replicas": replicas}}
        getattr(self.apps, f"patch_namespaced_{kind}")(name, namespace, body)

    def pods(self, namespace: str, selector: str = "") -> list[Any]:
        """The pods of a namespace."""
        return list(self.core.list_namespaced_pod(namespace, label_selector=selector).items)

    def pods_of_revision(self, revision: str) -> list[Any]:
        """The pods behind a revision."""
        return self.pods(NAMESPACE, f"{_REVISION}={revision}")

    def processes_of(self, pods: list[Any]) -> list[records.Process]:
        """The processes of these pods that run now, by the node's records."""
        uids = [pod.metadata.uid for pod in pods]
        recorded = records.read_all(self.where.processes)
        return [
            one for one in recorded if records.alive(one) and any(f"pod-{uid}-" in one.id for uid in uids)
        ]

    def part(self, name: str) -> records.Process | None:
        """A part of the control plane, if it runs."""
        found = records.read(self.where.processes / f"{name}.json")
        return found if found is not None and records.alive(found) else None

    # -- objects of a run

    def service(self, name: str) -> Any:
        """An InferenceService."""
        return self.custom.get_namespaced_custom_object(*SERVICES[:2], NAMESPACE, SERVICES[2], name)

    def experiment(self, name: str) -> Any:
        """An Experiment."""
        return self.custom.get_namespaced_custom_object(*EXPERIMENTS[:2], NAMESPACE, EXPERIMENTS[2], name)

    def jobs(self, namespace: str, prefix: str) -> list[Any]:
        """The Jobs whose names begin so."""
        found = self.batch.list_namespaced_job(namespace).items
        return [job for job in found if job.metadata.name.startswith(prefix)]

    def patch_service(self, name: str, body: Any) -> None:
        """Merge into an InferenceService."""
        self.custom.patch_namespaced_custom_object(*SERVICES[:2], NAMESPACE, SERVICES[2], name, body)

    def predictor(self, name: str) -> Any:
        """The predictor's part of an InferenceService's status."""
        return self.service(name).get("status", {}).get("components", {}).get("predictor", {})

    def create(self, kind: tuple[str, str, str], body: Any) -> None:
        """Create an object in the campaign's namespace."""
        self.custom.create_namespaced_custom_object(*kind[:2], NAMESPACE, kind[2], body)

    def exists(self, kind: tuple[str, str, str], name: str) -> bool:
        """Whether the object is there."""
        with may_be_absent():
            self.custom.get_namespaced_custom_object(*kind[:2], NAMESPACE, kind[2], name)
            return True
        return False

    def delete(self, kind: tuple[str, str, str], name: str) -> None:
        """Delete the object, if it is there."""
        with may_be_absent():
            self.custom.delete_namespaced_custom_object(*kind[:2], NAMESPACE, kind[2], name)

    def named(self, name: str) -> list[str]:
        """All objects of the cluster, events left out, that have this in their names."""
        found = []
        for resource in dynamic.DynamicClient(self._api).resources.search():
            is_list = isinstance(resource, dynamic.resource.ResourceList)
            if is_list or "list" not in (resource.verbs or ()) or resource.kind == "Event":
                continue
            with contextlib.suppress(dynamic.exceptions.DynamicApiError):
                found += [
                    f"{resource.kind} {one['metadata']['name']}"
                    for one in resource.get().to_dict()["items"]
                    if name in one["metadata"]["name"]
                ]
        return found

    def watch_refused(self, kind: tuple[str, str, str], version: str) -> ApiException | None:
        """What the API server says against a watch from this version of all objects of the kind."""
        listing = self.custom.list_namespaced_custom_object
        place = (*kind[:2], NAMESPACE, kind[2])
        try:
            for _unused in watch.Watch().stream(listing, *place, resource_version=version, timeout_seconds=2):
                return None
        except ApiException as error:
            return error
        return None

    def set_faults(self, faults: dict[str, dict[str, float]]) -> None:
        """Switch these faults of the sandbox on, and all others off."""
        namespace, name = "kfserving-system", "sandbox-faults"
        data = {fault: json.dumps(parameters) for fault, parameters in faults.items()}
        try:
            self.core.delete_namespaced_config_map(name, namespace)
        except ApiException as error:
            if error.status != 404:
                raise
        if data:
            self.core.create_namespaced_config_map(namespace, {"metadata": {"name": name}, "data": data})

    # -- what the data plane says of itself

    @property
    def gateway_files(self) -> Path:
        """The folder shared by the serving controller and Envoy."""
        return self.where.shared / "gateway"

    def access_log(self, since: float, host: str) -> Iterator[dict[str, Any]]:
        """Envoy's record of each request for this host, since then (seconds since the epoch)."""
        earliest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
        with open(self.gateway_files / "access.log", encoding="utf-8") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except ValueError:
                    # Envoy was killed while it wrote.
                    continue
                if entry["time"] >= earliest and str(entry["authority"]).startswith(host):
                    yield entry

    def prometheus(self, path: str) -> Any:
        """Ask Prometheus itself."""
        pods = self.pods("kfserving-monitoring")
        if not pods:
            raise CampaignError("There is no Prometheus to ask.")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{pods[0].status.pod_ip}:9090{path}", timeout=5) as response:
            return json.loads(response.read())["data"]
