# SPDX-License-Identifier: GPL-3.0-or-later
"""An InferenceService and an Experiment on a real API server; nobody but the test writes their status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client, config, dynamic

from .sandbox import Running
from .waiting import until

GROUP = "waits.example.com"
NAMESPACE = "waits"
HANDLERS = "waits-handlers"
MERGE = "application/merge-patch+json"


def crd(kind: str, plural: str, version: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": schema,
                }
            ],
        },
    }


def patiently(call: Callable[[], Any], seconds: float = 40) -> Any:
    """Calls again while the API server is not quite there."""
    answer = until(lambda: (call(),), seconds, "the API server answers", ignoring=(Exception,), poll=0.2)
    return answer[0]


def remove_crd(api: client.ApiClient, name: str) -> None:
    """Delete the kind, and wait until it is gone: until then none of its name can be made."""
    crds = client.ApiextensionsV1Api(api)
    crds.delete_custom_resource_definition(name)

    def names() -> list[str]:
        return [each.metadata.name for each in crds.list_custom_resource_definition().items]

    until(lambda: name not in names(), 60, f"{name} is gone", poll=0.2)


class Stage:
    """An InferenceService and an Experiment whose story the test tells."""

    def __init__(self, sandbox: Running) -> None:
        self.api = config.new_client_from_config(str(sandbox.kubeconfig), sandbox.context)
        self.dynamic = dynamic.DynamicClient(self.api)
        self.uid = ""

    def _kind(self, api_version: str, kind: str) -> Any:
        return self.dynamic.resources.get(api_version=api_version, kind=kind)

    def set_up(self) -> None:
        crds = self._kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        for definition in (
            crd("InferenceService", "inferenceservices", "v1beta1"),
            crd("Experiment", "experiments", "v2alpha1"),
        ):
            crds.create(definition)
        for name in (NAMESPACE, HANDLERS):
            self._kind("v1", "Namespace").create({"metadata": {"name": name}})
        # A CRD is served a moment after it has been accepted.
        patiently(lambda: self.model("a", {"a": 100}, create=True))

    def tear_down(self) -> None:
        for name in (NAMESPACE, HANDLERS):
            self._kind("v1", "Namespace").delete(name=name)
        for plural in ("inferenceservices", "experiments"):
            self._kind("apiextensions.k8s.io/v1", "CustomResourceDefinition").delete(name=f"{plural}.{GROUP}")

    def model(
        self, created: str, traffic: dict[str, int], create: bool = False, rolled_out: str = "a"
    ) -> None:
        models = self._kind(f"{GROUP}/v1beta1", "InferenceService")
        if create:
            body = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "spec": {}}
            models.create({**body, "metadata": {"name": "my-model"}}, namespace=NAMESPACE)
        predictor = {
            "latestCreatedRevision": created,
            "latestReadyRevision": created,
            "latestRolledoutRevision": rolled_out,
            "traffic": [{"revisionName": name, "percent": share} for name, share in traffic.items()],
        }
        status = {"conditions": [{"type": "Ready", "status": "True"}], "components": {"predictor": predictor}}
        self._patch(models.status, "my-model", {"status": status})

    def _patch(self, resource: Any, name: str, body: dict[str, Any], namespace: str = NAMESPACE) -> None:
        resource.patch(body, name=name, namespace=namespace, content_type=MERGE)

    @property
    def experiments(self) -> Any:
        return self._kind(f"{GROUP}/v2alpha1", "Experiment")

    def create_experiment(self) -> None:
        versions = {
            "baseline": {"name": "default", "tags": {"revision": "a"}},
            "candidates": [{"name": "canary", "tags": {"revision": "b"}}],
        }
        spec = {"strategy": {"type": "Canary"}, "duration": {"maxIterations": 3}, "versionInfo": versions}
        body = {"apiVersion": f"{GROUP}/v2alpha1", "kind": "Experiment", "spec": spec}
        made = self.experiments.create({**body, "metadata": {"name": "experiment-1"}}, namespace=NAMESPACE)
        self.uid = made.metadata.uid

    def say(
        self, reason: str, message: str = "", completed: bool = False, failed: str = "", **more: Any
    ) -> None:
        conditions = [
            {"type": "ExperimentCompleted", "status": str(completed), "reason": reason, "message": message},
            {"type": "ExperimentFailed", "status": str(bool(failed)), "reason": failed, "message": message},
        ]
        self._patch(self.experiments.status, "experiment-1", {"status": {"conditions": conditions, **more}})

    def iterate(self, number: int, winner: str = "canary") -> None:
        weight = 10 * number - 5
        self.say(
            "IterationUpdate",
            f"Completed Iteration {number}",
            completedIterations=number,
            currentWeightDistribution=[
                {"name": "default", "value": 100 - weight},
                {"name": "canary", "value": weight},
            ],
            analysis={"winnerAssessment": {"data": {"winnerFound": True, "winner": winner}}},
            recommendedBaseline=winner,
        )

    def launch(self) -> str:
        name = f"finish-handler-experiment-1-{self.uid.rpartition('-')[2]}"
        container = {"name": "c", "image": "none"}
        # Nobody may run it: the test ends it.
        spec = {"parallelism": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
        self._kind("batch/v1", "Job").create({"metadata": {"name": name}, "spec": spec}, namespace=HANDLERS)
        return name

    def end_job(self, name: str, condition: str) -> None:
        body = {"status": {"conditions": [{"type": condition, "status": "True", "message": "no more tries"}]}}
        self._patch(self._kind("batch/v1", "Job").status, name, body, HANDLERS)

    def clear(self) -> None:
        for resource, namespace in ((self.experiments, NAMESPACE), (self._kind("batch/v1", "Job"), HANDLERS)):
            for item in resource.get(namespace=namespace).items:
                resource.delete(name=item.metadata.name, namespace=namespace)
        self.model("a", {"a": 100})
