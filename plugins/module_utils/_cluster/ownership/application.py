# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying what a run has claimed, and waiting until the workloads among it run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress

from ..client.api import Api, Json
from ..client.errors import ClusterError, Conflict, NoDryRun, NotFound, UnknownKind, Unreachable
from ..client.watch import Clock
from ..concurrently import at_once
from .claims import ObjectClaim
from .record import Record, with_uid

FIELD_MANAGER = "iter8-kfserving"
POLL_SECONDS = 0.3
# What others need to be there; all else keeps its order.
_FIRST = {"CustomResourceDefinition": 0, "Namespace": 1}

T = TypeVar("T")


@dataclass
class Application:
    """Server-side apply of claimed objects, one after another, and the wait for workloads."""

    api: Api
    record: Record
    progress: Progress
    clock: Clock
    deadline: float
    changed: bool = False

    def run(self, claims: Sequence[ObjectClaim]) -> None:
        """Applies all, CustomResourceDefinitions and namespaces first, and takes the UIDs of what is created
        on record.

        Raises ClusterError where the API server refuses an object, or until the deadline does not answer,
        or does not serve an object's kind.
        """
        for one in sorted(claims, key=lambda one: _FIRST.get(one.entry.kind, len(_FIRST))):
            if not self.patiently(lambda one=one: self._is_due(one)):  # type: ignore[misc]
                continue
            obj = self.patiently(lambda one=one: apply(self.api, one))  # type: ignore[misc]
            self.changed = self.changed or differs(one.before, obj)
            if not one.entry.existed:
                self.record.put(with_uid(one.entry, str(obj["metadata"]["uid"])))

    def _is_due(self, one: ObjectClaim) -> bool:
        """Whether the object is to be applied: old API servers give it a new version even where an apply
        changes nothing of it. Where a webhook allows no dry run, only the apply itself can tell."""
        try:
            return would_change(self.api, one)
        except NoDryRun:
            return True

    def patiently(self, call: Callable[[], T]) -> T:
        """Calls again while the API server, or a webhook of its, does not answer, and while it does not yet
        serve a kind whose CustomResourceDefinition has just been applied."""
        while True:
            try:
                return call()
            except (UnknownKind, Unreachable) as error:
                if self.clock.now() >= self.deadline:
                    raise
                self.api.forget_kinds()
                self.clock.sleep(POLL_SECONDS if isinstance(error, UnknownKind) else 1.0)

    def wait(self, workloads: Sequence[Mapping[str, str]]) -> None:
        """Waits until each workload (kind, namespace, name) is ready; ClusterError at the deadline."""

        def ready(name: str) -> None:
            self.progress.add("playbook", "ready", f"{name} is ready")

        named = [(f"{one['kind']} {one['namespace']}/{one['name']}", one) for one in workloads]
        self.until_none_lacks("Not all workloads are ready in time", named, self._shortfall, ready)

    def until_none_lacks(
        self,
        late: str,
        named: Iterable[tuple[str, T]],
        lack: Callable[[T], str],
        whole: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """Waits until ``lack`` is empty for each of the named items, and tells ``whole`` the name of each for
        which it is; ClusterError at the deadline, which begins with ``late`` and has what they lack."""
        left = list(named)
        while left:
            found = at_once(lambda each: self._lack(lack, each[1]), left)
            for (name, _item), short in zip(left, found):
                if not short:
                    whole(name)
            still = [(each, short) for each, short in zip(left, found) if short]
            if still and self.clock.now() >= self.deadline:
                lacking = "; ".join(f"{name}: {short}" for (name, _item), short in still)
                raise ClusterError(f"{late}. {lacking}.")
            left = [each for each, _short in still]
            if left:
                self.clock.sleep(POLL_SECONDS)

    @staticmethod
    def _lack(lack: Callable[[T], str], item: T) -> str:
        try:
            return lack(item)
        except Unreachable as error:
            return str(error).rstrip(".")

    def _shortfall(self, workload: Mapping[str, str]) -> str:
        try:
            resource = self.api.resource("apps/v1", workload["kind"])
            return shortfall(self.api.get(resource.path(workload["namespace"], workload["name"])))
        except UnknownKind:
            raise
        except NotFound:
            return "it is not there"


def apply(api: Api, claim: ObjectClaim, *, dry_run: bool = False) -> Json:
    """The claimed object as it is once it is applied, or with ``dry_run`` as it would be.

    Raises Conflict, with what owns which field, where others own fields of the definition.
    """
    entry = claim.entry
    resource = api.resource(entry.api_version, entry.kind)
    path = resource.path(entry.namespace or None, entry.name)
    try:
        return api.apply(path, claim.definition, FIELD_MANAGER, dry_run=dry_run)
    except Conflict as error:
        if not error.fields:
            raise
        owned = ", ".join(f"{name} ({manager})" for name, manager in error.fields)
        conflict = Conflict(
            f"{entry} was not applied, for others own fields that its definition sets otherwise: {owned}. "
            "Take these out of the definition, or have their owners give them up; none is taken away."
        )
        conflict.fields = error.fields
        raise conflict from error


def would_change(api: Api, claim: ObjectClaim) -> bool:
    """Whether applying the claimed object would create or alter it."""
    if claim.before is None:
        return True
    return differs(claim.before, apply(api, claim, dry_run=True))


def differs(before: Json | None, after: Json) -> bool:
    """Whether an object was altered, or created; what the API server keeps for itself aside."""
    if before is None:
        return True
    return _content(before) != _content(after)


def _content(obj: Json) -> Json:
    kept = {"managedFields", "resourceVersion", "generation"}
    metadata = {name: value for name, value in obj["metadata"].items() if name not in kept}
    # The status is the controllers', and may change at any moment.
    rest = {name: value for name, value in obj.items() if name not in ("metadata", "status")}
    return {**rest, "metadata": metadata}


def shortfall(workload: Mapping[str, Any]) -> str:
    """What a Deployment, StatefulSet or DaemonSet lacks to run as its spec has it; empty when it lacks
    nothing."""
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return "its controller has not seen it yet"
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        counts = (status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    else:
        wanted = (workload.get("spec") or {}).get("replicas", 1)
        available = "availableReplicas" if workload["kind"] == "Deployment" else "readyReplicas"
        counts = (status.get("updatedReplicas", 0), status.get(available, 0))
        # The old ones of a Deployment go last.
        if status.get("replicas", 0) > wanted:
            return f"{status['replicas'] - wanted} of its pods are to go"
    return "" if min(counts) >= wanted else f"{min(counts)} of {wanted} pods are ready"
