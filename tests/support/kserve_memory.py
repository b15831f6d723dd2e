# SPDX-License-Identifier: GPL-3.0-or-later
"""The KServe stack on an API server, a node and a gateway that are kept in memory. Its seconds are counted,
not waited for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import ApiError
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.resources import (
    DEPLOYMENTS,
    KSERVE_INFERENCE_SERVICES,
    PODS,
    Kind,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.supported import RUNTIME_IMAGE
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.kserve.objects import (
    Change,
    Create,
    Delete,
    MergePatch,
    Status,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.kserve.stack import KserveStack
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.routes import RouteState

PASS_SECONDS = 0.05
NAMESPACE = "ns"
Json = dict[str, Any]


class Memory:
    """API server, deployment controller, node and gateway. `changed` is told of each object that changes."""

    def __init__(
        self,
        changed: Callable[[str, Kind, Json], None] = lambda *_unused: None,
        pass_seconds: float = PASS_SECONDS,
    ) -> None:
        self.now = 0.0
        self._pass_seconds = pass_seconds
        self.faults: dict[str, str] = {}
        self.config: dict[str, str] = {}
        self.objects: dict[Kind, dict[str, Json]] = {}
        self.hosts: dict[str, dict[str, int]] = {}
        self.endpoints: dict[str, Any] = {}
        self.writes = 0
        # What the API server refuses: kinds, each with the start of its objects' names.
        self.refuses: dict[Kind, str] = {}
        self._changed = changed
        self._versions = 0
        self.stack = KserveStack(self, lambda: f"t{self.now:.2f}", lambda: self.now)

    # What a user does and sees.

    def apply(self, name: str, spec: Json, annotations: Optional[Mapping[str, str]] = None) -> None:
        """Create an InferenceService, or give it this spec."""
        current = self.objects.get(KSERVE_INFERENCE_SERVICES, {}).get(name)
        if current:
            self._store("MODIFIED", KSERVE_INFERENCE_SERVICES, {**current, "spec": copy.deepcopy(spec)})
            return
        meta = {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})}
        self._create(KSERVE_INFERENCE_SERVICES, {"metadata": meta, "spec": copy.deepcopy(spec)})

    def delete(self, name: str) -> None:
        """Delete an InferenceService."""
        self._versions += 1
        self.get(KSERVE_INFERENCE_SERVICES, name)["metadata"]["deletionTimestamp"] = "t"

    def get(self, kind: Kind, name: str) -> Json:
        """The object of that name, which is there."""
        return self.objects[kind][name]

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self.now < end:
            before = self._versions
            due = self.step()
            if self._versions == before:
                # Nothing happens until a pod is ready or the controller's time has come.
                waiting = [pod for pod in self.objects.get(PODS, {}).values() if not _ready(pod)]
                ready = [max(self.now, pod["metadata"]["ready_at"]) for pod in waiting]
                self.now = min([self.now + due, end, *ready])

    def step(self) -> float:
        """One pass, and what the others do meanwhile; the seconds until the next pass without any event."""
        look = self.stack.look(self.hosts)
        self.hosts = {name: {k: w for k, w in shares.items() if w} for name, shares in look.hosts.items()}
        self.endpoints = dict(look.endpoints)
        clusters = frozenset(cluster for shares in self.hosts.values() for cluster in shares)
        due = look.act(RouteState(True, "", clusters - {config.NO_BACKEND}, False))
        for name in list(self.objects.get(DEPLOYMENTS, {})):
            self._run_deployment(self.objects[DEPLOYMENTS][name])
        self.now += self._pass_seconds
        return due

    # What the stack asks of the API server.

    def labelled(self, kind: Kind) -> list[Json]:
        return copy.deepcopy(list(self.objects.get(kind, {}).values()))

    def configuration(self) -> Mapping[str, str]:
        return self.config

    def active_faults(self) -> faults.Active:
        return faults.parse(self.faults)

    def change(self, change: Change) -> None:
        self.writes += 1
        self._refuse(change)
        if isinstance(change, Create):
            if change.body["metadata"]["name"] not in self.objects.get(change.kind, {}):
                self._create(change.kind, copy.deepcopy(change.body))
        elif isinstance(change, MergePatch):
            current = self._current(change.kind, change.object)
            if current:
                self._store("MODIFIED", change.kind, _merged(current, copy.deepcopy(change.body)))
        elif isinstance(change, Status):
            current = self._current(change.kind, change.object)
            if (
                current
                and current["metadata"]["resourceVersion"] == change.object["metadata"]["resourceVersion"]
            ):
                self._store("MODIFIED", change.kind, {**current, "status": copy.deepcopy(change.status)})
        elif isinstance(change, Delete):
            gone = self.objects.get(change.kind, {}).pop(change.object["metadata"]["name"], None)
            if gone:
                self._versions += 1
                self._changed("DELETED", change.kind, gone)
                self._collect(gone)

    def _refuse(self, change: Change) -> None:
        if change.kind not in self.refuses or not isinstance(change, (Create, MergePatch)):
            return
        obj = change.body if isinstance(change, Create) else change.object
        if obj["metadata"]["name"].startswith(self.refuses[change.kind]):
            raise ApiError(422, "Invalid", "it is invalid")

    def set_finalizers(self, service: Mapping[str, Any], finalizers: list[str]) -> Mapping[str, Any]:
        current = self.get(KSERVE_INFERENCE_SERVICES, service["metadata"]["name"])
        if not finalizers and current["metadata"].get("deletionTimestamp"):
            del self.objects[KSERVE_INFERENCE_SERVICES][service["metadata"]["name"]]
            return current
        merged = _merged(current, {"metadata": {"finalizers": finalizers}})
        self._store("MODIFIED", KSERVE_INFERENCE_SERVICES, merged)
        return merged

    def _current(self, kind: Kind, obj: Mapping[str, Any]) -> Optional[Json]:
        return self.objects.get(kind, {}).get(obj["metadata"]["name"])

    def _create(self, kind: Kind, body: Json) -> None:
        body["metadata"].update(uid=f"uid-{self._versions}", generation=0)
        self._store("ADDED", kind, body)

    def _store(self, how: str, kind: Kind, obj: Json) -> None:
        meta = obj["metadata"] = dict(obj["metadata"])
        before = self.objects.get(kind, {}).get(meta["name"])
        if before is None or before.get("spec") != obj.get("spec"):
            meta["generation"] += 1
        elif before == obj:
            return
        self._versions += 1
        meta["resourceVersion"] = str(self._versions)
        self.objects.setdefault(kind, {})[meta["name"]] = obj
        self._changed(how, kind, copy.deepcopy(obj))

    def _collect(self, owner: Json) -> None:
        """What the garbage collector does."""
        for pod in self._pods(owner["metadata"]["uid"]):
            self._end_pod(pod)
        for kind, those in self.objects.items():
            for name, each in list(those.items()):
                owners = each["metadata"].get("ownerReferences", [])
                if any(one["uid"] == owner["metadata"]["uid"] for one in owners):
                    del those[name]
                    self._changed("DELETED", kind, each)
                    self._collect(each)

    # The deployment controller and the node.

    def _run_deployment(self, deployment: Json) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        pods = self._pods(meta["uid"])
        digest = str(hash(repr(spec["template"])))
        wanted, most = spec["replicas"], spec["replicas"] + 1
        new = [each for each in pods if each["metadata"]["template"] == digest]
        old = [each for each in pods if each["metadata"]["template"] != digest]
        if len(new) < wanted and len(pods) < (most if old else wanted):
            self._start_pod(deployment, digest)
        elif len(new) > wanted:
            self._end_pod(new[-1])
        elif old and sum(map(_ready, pods)) > wanted:
            self._end_pod(old[0])
        self._age_pods(meta["uid"])
        self._report(deployment, digest)

    def _pods(self, uid: str) -> list[Json]:
        return [each for each in self.objects.get(PODS, {}).values() if each["metadata"]["owner"] == uid]

    def _start_pod(self, deployment: Json, digest: str) -> None:
        template = deployment["spec"]["template"]
        container = template["spec"]["containers"][0]
        env = {each["name"]: each["value"] for each in container["env"]}
        seconds = float(env.get("MODEL_LOAD_SECONDS", "1"))
        if container["image"] != RUNTIME_IMAGE or "canary-never-ready" in env.get(faults.ENVIRONMENT, ""):
            seconds = float("inf")
        meta = {
            "name": f"{deployment['metadata']['name']}-{self._versions}",
            "namespace": NAMESPACE,
            "labels": dict(template["metadata"]["labels"]),
            "owner": deployment["metadata"]["uid"],
            "template": digest,
            "ready_at": self.now + seconds,
        }
        self._create(
            PODS, {"metadata": meta, "status": {"podIP": f"127.9.0.{self._versions}", "conditions": []}}
        )

    def _end_pod(self, pod: Json) -> None:
        del self.objects[PODS][pod["metadata"]["name"]]
        self._changed("DELETED", PODS, pod)

    def _age_pods(self, uid: str) -> None:
        for pod in self._pods(uid):
            if self.now >= pod["metadata"]["ready_at"] and not _ready(pod):
                ready = {"conditions": [{"type": "Ready", "status": "True"}]}
                self._store("MODIFIED", PODS, _merged(pod, {"status": ready}))

    def _report(self, deployment: Json, digest: str) -> None:
        pods, wanted = self._pods(deployment["metadata"]["uid"]), deployment["spec"]["replicas"]
        new = [each for each in pods if each["metadata"]["template"] == digest]
        ready = sum(map(_ready, pods))
        enough = ready >= wanted - wanted // 4
        done = len(new) == len(pods) == wanted and ready >= wanted
        available = {"type": "Available", "status": str(enough), "reason": "MinimumReplicasAvailable"}
        if not enough:
            available["reason"] = "MinimumReplicasUnavailable"
        reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(new),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [available, {"type": "Progressing", "status": "True", "reason": reason}],
        }
        self._store("MODIFIED", DEPLOYMENTS, {**deployment, "status": status})


def _ready(pod: Mapping[str, Any]) -> bool:
    return any(each["status"] == "True" for each in pod["status"]["conditions"])


def _merged(current: Json, patch: Mapping[str, Any]) -> Json:
    made = dict(current)
    for key, value in patch.items():
        if isinstance(value, Mapping) and isinstance(made.get(key), Mapping):
            made[key] = _merged(made[key], value)
        else:
            made[key] = value
    return made
