# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting what a run created, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import runbooks

from ..client.api import Api, Json, Resource
from ..client.errors import ClusterError, Conflict, NotFound, UnknownKind, Unreachable
from ..client.watch import Clock
from ..concurrently import at_once
from .handler_jobs import is_of_a_handler
from .held import WORKLOADS, ending_pods, held_by, pods_of, unavailable
from .lookups import Sleep, find, kind_of
from .record import ClaimedObject, Record, belongs, group_of, with_uid

POLL_SECONDS = 0.3

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
_CUSTOM, _NAMESPACES = 0, 5
# Pods without a wish of their own have so long to end, and a namespace is looked at again after half of it.
_GRACE_SECONDS = 30
# How long the garbage collector may take until it asks the pods of a workload to go.
_COLLECTOR_SECONDS = 5.0
# What is still there after so long is told, with what holds it and with the pods that it waits for.
_EXPLAIN_SECONDS = 10.0


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
        return _NAMESPACES
    if entry.kind == "CustomResourceDefinition":
        return 4
    group = group_of(entry.api_version)
    if "." in group and group not in _OWN_GROUPS:
        return _CUSTOM
    return 1 if entry.kind in WORKLOADS else 2 if entry.kind in _WEBHOOKS else 3


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
    _ending: dict[ClaimedObject, str] = field(default_factory=dict)

    def run(self, doomed: Sequence[ClaimedObject]) -> None:
        """Deletes all of ``doomed``; StillThere, with the reasons, when some are left at the deadline."""
        for wave in waves(doomed):
            asked: list[ClaimedObject] = []
            for number, stage in groupby(wave, _stage):
                entries = list(stage)
                if number == _NAMESPACES:
                    self._until_drained(entries)
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
        policy = "Foreground" if entry.kind in WORKLOADS else "Background"
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
        left, explain = asked, self.clock.now() + _EXPLAIN_SECONDS
        while True:
            left = self._still_there(left)
            if not left:
                return
            late = self.clock.now() >= self.deadline
            if late or self.clock.now() >= explain:
                explain = self.clock.now() + _EXPLAIN_SECONDS
                self._explain(left)
            if late:
                left_over = "; ".join(f"{entry}: {self._why(entry)}" for entry in left)
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
            held = held_by(obj) + unavailable(self.api, obj)
            known = self._reported.get(entry)
            self._reported[entry] = held
            if known not in (None, held):
                self._tell(entry, self._why(entry))
        if len(left) < len(entries):
            self.save()
        return left

    def _until_drained(self, namespaces: Sequence[ClaimedObject]) -> None:
        """Waits until pods that have long to end have ended. A namespace that is asked to go before is not
        looked at again until half of the time that they had is over, also when they ended at once
        (kubernetes/pkg/controller/namespace, ResourcesRemainingError)."""
        collected = self.clock.now() + _COLLECTOR_SECONDS
        explain = self.clock.now() + _EXPLAIN_SECONDS
        left = list(namespaces)
        while left and self.clock.now() < self.deadline:
            patient = [(entry, self._patient_pods(entry)) for entry in left]
            waits = self.clock.now() < collected
            left = [
                entry
                for entry, pods in patient
                if any(waits or each["metadata"].get("deletionTimestamp") for each in pods)
            ]
            if left and self.clock.now() >= explain:
                explain = self.clock.now() + 6 * _EXPLAIN_SECONDS
                for entry in left:
                    self._tell(entry, f"not asked to go yet{ending_pods(self.api, entry)}")
            if left:
                self.clock.sleep(POLL_SECONDS)

    def _patient_pods(self, namespace: ClaimedObject) -> list[Json]:
        return [
            each
            for each in pods_of(self.api, namespace)
            if ((each.get("spec") or {}).get("terminationGracePeriodSeconds") or 0) > _GRACE_SECONDS
        ]

    def _explain(self, left: Sequence[ClaimedObject]) -> None:
        """Tells once of each what holds it, and again when it waits for other pods."""
        for entry in left:
            known = self._ending.get(entry)
            self._ending[entry] = ending_pods(self.api, entry)
            if known != self._ending[entry]:
                self._tell(entry, self._why(entry))

    def _why(self, entry: ClaimedObject) -> str:
        return self._reported[entry] + self._ending.get(entry, "")

    def _tell(self, entry: ClaimedObject, held: str) -> None:
        self.progress.add("playbook", "deleting", f"{entry}: {held}", {"object": entry.ref})

    def _current(self, entry: ClaimedObject) -> Json | None:
        try:
            found = find(self.api, entry, self.clock.sleep)
        except (Unreachable, UnknownKind) as error:
            return {"metadata": {"uid": entry.uid}, "unknown": str(error)}
        return found[1] if found and found[1]["metadata"]["uid"] == entry.uid else None
