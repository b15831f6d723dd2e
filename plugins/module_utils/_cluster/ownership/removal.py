# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting what a run created, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import runbooks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import is_true

from ..client.api import Api, Json, Resource
from ..client.errors import ClusterError, Conflict, NotFound, UnknownKind, Unreachable
from ..client.watch import Clock
from ..concurrently import at_once
from .handler_jobs import is_of_a_handler
from .lookups import Sleep, find, kind_of
from .record import ClaimedObject, Record, belongs, group_of, with_uid

POLL_SECONDS = 0.3

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"})
_WEBHOOKS = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService"})
# Kubernetes' own groups, beside those without a dot; objects of any other have a controller to mind, also
# where its name ends as these do (gateway.networking.k8s.io).
_OWN_GROUPS = frozenset(
    f"{each}.k8s.io"
    for each in (
        "admissionregistration", "apiextensions", "apiregistration", "certificates", "coordination",
        "discovery", "events", "flowcontrol.apiserver", "internal.apiserver", "networking", "node",
        "rbac.authorization", "resource", "scheduling", "storage", "storagemigration",
    )
)  # fmt: skip
_CUSTOM = 0
_DISCOVERY = "NamespaceDeletionDiscoveryFailure"
_NAMESPACE_CONDITIONS = (
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
    "NamespaceDeletionContentFailure",
    _DISCOVERY,
)


@dataclass
class RemovalPlan:
    """What to delete (each with the UID it must have), and what to leave, with the reason.

    ``left`` names those of the kept that the run may have created, with the reason: it is not removed yet.
    """

    doomed: list[ClaimedObject] = field(default_factory=list)
    kept: list[Json] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def keep(self, entry: ClaimedObject, reason: str, *, left: bool = False) -> None:
        """Leaves an object alone."""
        self.kept.append({**entry.ref, "reason": reason})
        if left:
            self.left.append(f"{entry}: {reason}")


class StillThere(ClusterError):
    """Objects that did not go in time."""

    def __init__(self, message: str, entries: Sequence[ClaimedObject]) -> None:
        super().__init__(message)
        self.entries = list(entries)


def plan(api: Api, record: Record, sleep: Sleep) -> RemovalPlan:
    """Looks up every entry. To be deleted, an object must carry the run's label and have the UID on record.

    No UID on record means that the process died between applying and recording: then the label decides,
    since the record says that no such object existed before.
    """
    made = RemovalPlan()
    mine = []
    for entry in record.entries:
        if entry.existed:
            made.keep(entry, "it existed before this run")
        else:
            mine.append(entry)
    for entry, found in zip(mine, at_once(lambda entry: _found(api, entry, sleep), mine)):
        if isinstance(found, UnknownKind):
            made.keep(entry, "its kind is not served at any version, so it cannot be looked up", left=True)
        elif found is not None:
            _judge(made, entry, *found, record.run_id)
    return made


def _found(api: Api, entry: ClaimedObject, sleep: Sleep) -> tuple[Resource, Json] | UnknownKind | None:
    try:
        return find(api, entry, sleep)
    except UnknownKind as error:
        return error


def _judge(made: RemovalPlan, entry: ClaimedObject, resource: Resource, obj: Json, run_id: str) -> None:
    uid = str(obj["metadata"]["uid"])
    if not (is_of_a_handler(entry) or belongs(obj, run_id)):
        made.keep(entry, "it does not carry this run's label", left=entry.uid == uid)
    elif entry.uid not in ("", uid):
        made.keep(entry, "it is another object of the same name: its UID differs")
    else:
        made.doomed.append(replace(with_uid(entry, uid), api_version=resource.api_version))


def waves(doomed: Sequence[ClaimedObject]) -> list[list[ClaimedObject]]:
    """The order of deletion: each wave is gone before the next begins.

    Custom objects go first, kind by kind and the last claimed first, since their finalizers need their
    controllers alive. All others need nobody and go at once, in one wave: workloads are asked first, then
    webhooks, everything else, CustomResourceDefinitions, and namespaces (which their controller leaves alone
    for five seconds, so that what is in them is usually gone when it looks).
    """
    newest_first = sorted(reversed(doomed), key=_stage)
    custom = [entry for entry in newest_first if _stage(entry) == _CUSTOM]
    kinds = dict.fromkeys(entry.kind for entry in custom)
    ordered = [[entry for entry in custom if entry.kind == kind] for kind in kinds]
    ordered.append(newest_first[len(custom) :])
    return [wave for wave in ordered if wave]


def _stage(entry: ClaimedObject) -> int:
    """When it is asked to go: smaller numbers first."""
    if entry.kind == "Namespace":
        return 5
    if entry.kind == "CustomResourceDefinition":
        return 4
    group = group_of(entry.api_version)
    if "." in group and group not in _OWN_GROUPS:
        return _CUSTOM
    return 1 if entry.kind in _WORKLOADS else 2 if entry.kind in _WEBHOOKS else 3


@dataclass
class Removal:
    """Deletes waves of objects and waits until each is gone."""

    api: Api
    record: Record
    progress: Progress
    clock: Clock
    deadline: float
    # Called whenever something is gone, to write the record: a run that is killed goes on from there.
    save: Callable[[], None]
    deleted: list[ClaimedObject] = field(default_factory=list)
    kept: list[Json] = field(default_factory=list)
    _reported: dict[ClaimedObject, str] = field(default_factory=dict)

    def run(self, doomed: Sequence[ClaimedObject]) -> None:
        """Deletes all of ``doomed``; StillThere, with the reasons, when some are left at the deadline."""
        for wave in waves(doomed):
            asked: list[ClaimedObject] = []
            for _number, stage in groupby(wave, _stage):
                entries = list(stage)
                asked += [entry for entry, ours in zip(entries, at_once(self._ask, entries)) if ours]
            self._wait(asked)

    def _ask(self, entry: ClaimedObject) -> bool:
        """Asks the API server to delete exactly this object; False if it turned out to be another one."""
        try:
            resource = kind_of(self.api, entry)
        except UnknownKind:
            # Whether the object is gone with its kind is found out while waiting for it.
            return True
        # In the foreground a workload goes after its pods, so that waiting for it means waiting for them.
        policy = "Foreground" if entry.kind in _WORKLOADS else "Background"
        options = {"preconditions": {"uid": entry.uid}, "propagationPolicy": policy}
        try:
            self._patiently(
                lambda: self.api.delete(resource.path(entry.namespace or None, entry.name), options)
            )
        except NotFound:
            return True
        except Conflict as conflict:
            found = find(self.api, entry, self.clock.sleep)
            now = found[1] if found else None
            if (
                now is not None
                and now["metadata"]["uid"] == entry.uid
                and "deletionTimestamp" not in now["metadata"]
            ):
                raise conflict
            if now is not None and now["metadata"]["uid"] != entry.uid:
                self.kept.append(
                    {**entry.ref, "reason": "it was replaced by another object during the removal"}
                )
                return False
        return True

    def _patiently(self, call: Callable[[], object]) -> None:
        """Calls again while the API server does not answer, until the deadline."""
        while True:
            try:
                call()
                return
            except Unreachable:
                if self.clock.now() >= self.deadline:
                    raise
                self.clock.sleep(1.0)

    def _wait(self, asked: list[ClaimedObject]) -> None:
        left = asked
        while True:
            left = self._still_there(left)
            if not left:
                return
            if self.clock.now() >= self.deadline:
                left_over = "; ".join(f"{entry}: {self._reported[entry]}" for entry in left)
                advice = runbooks.advice(runbooks.TEARDOWN)
                raise StillThere(f"Not all objects are gone in time. {left_over}.{advice}", left)
            self.clock.sleep(POLL_SECONDS)

    def _still_there(self, entries: list[ClaimedObject]) -> list[ClaimedObject]:
        """Those of ``entries`` that are still there; reports which have gone, and what holds the others."""
        left = []
        for entry, obj in zip(entries, at_once(self._current, entries)):
            if obj is None:
                self.deleted.append(entry)
                self.record.drop(entry)
                self.progress.add("playbook", "deleted", f"{entry} deleted", {"object": entry.ref})
                continue
            # An API server that starts answers 404 for kinds that it does not serve yet, also to a deletion.
            asked = "unknown" in obj or "deletionTimestamp" in obj["metadata"]
            if not asked and not self._ask(entry):
                continue
            left.append(entry)
            held = held_by(obj) + self._unavailable(obj)
            if self._reported.get(entry) != held:
                if entry in self._reported:
                    self.progress.add("playbook", "deleting", f"{entry}: {held}", {"object": entry.ref})
                self._reported[entry] = held
        if len(left) < len(entries):
            self.save()
        return left

    def _unavailable(self, obj: Json) -> str:
        """Which API services do not answer, where a namespace waits for them: until all of its content can be
        listed, none of it counts as gone."""
        if not is_true(obj, _DISCOVERY):
            return ""
        try:
            path = self.api.resource("apiregistration.k8s.io/v1", "APIService").path()
            services = self.api.get(path).get("items") or []
        except ClusterError:
            return ""
        silent = [str(each["metadata"]["name"]) for each in services if not is_true(each, "Available")]
        return f" (not available: APIService {', '.join(silent)})" if silent else ""

    def _current(self, entry: ClaimedObject) -> Json | None:
        try:
            found = find(self.api, entry, self.clock.sleep)
        except (Unreachable, UnknownKind) as error:
            return {"metadata": {"uid": entry.uid}, "unknown": str(error)}
        return found[1] if found and found[1]["metadata"]["uid"] == entry.uid else None


def held_by(obj: Json) -> str:
    """Why an object that was asked to go is still there, as a clause."""
    if "unknown" in obj:
        return str(obj["unknown"])
    if obj.get("kind") == "Namespace":
        conditions = (obj.get("status") or {}).get("conditions") or []
        reasons = [
            f"{condition['type']}: {condition.get('message') or condition.get('reason')}"
            for condition in conditions
            if condition.get("type") in _NAMESPACE_CONDITIONS and condition.get("status") == "True"
        ]
        if reasons:
            return " ".join(reasons).rstrip(".")
    finalizers = obj["metadata"].get("finalizers") or []
    return f"held by finalizers {', '.join(finalizers)}" if finalizers else "being deleted"
