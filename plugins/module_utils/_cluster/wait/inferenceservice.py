# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for an InferenceService: as asked and stable, or gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import pod
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event, State
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.family import Family
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.inferenceservice import (
    Stability,
    changes,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.snapshot import (
    STANDARD,
    mode_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.stability import Held
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View

from ..client.api import Json
from ..client.watch import Notice
from .waiting import End, connection_event, named

FEED = "inferenceservice"
# What is read of an InferenceService beside itself, as an observer follows it: in Standard mode all, else
# the pods.
CHILDREN = {
    "deployment": ("apps/v1", "Deployment"),
    "replicaset": ("apps/v1", "ReplicaSet"),
    "httproute": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    "pod": ("v1", "Pod"),
}
NEEDED_IN_STANDARD = ("deployment", "replicaset")
# What pods tell that is worth a line of a wait.
_TOLD_OF_PODS = ("stuck", "restarted")


class PresentWaiter:
    """Decides when an InferenceService shows what was asked, in one snapshot, for ``stable_seconds``.

    ``children`` are the feeds of `CHILDREN` that will come. A pod of the latest revision that cannot start,
    or keeps dying, for ``stuck_seconds`` ends the wait; 0 is never.
    """

    def __init__(
        self,
        name: str,
        *,
        baseline_revision: str | None,
        new_revision: bool | None,
        traffic: Mapping[str, int] | None,
        stable_seconds: float,
        serving: bool = False,
        children: Collection[str] = (),
        stuck_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self.view = View()
        self.inferenceservice: Json | None = None
        self._family = Family(("InferenceService", name))
        self._baseline_revision = baseline_revision
        self._stability = Stability(
            baseline_revision,
            traffic,
            new_revision,
            stable_seconds,
            2 if stable_seconds > 0 else 1,
            serving=serving,
        )
        self._stuck = Held(stuck_seconds, 2) if stuck_seconds > 0 and not serving else None
        self._awaited = {FEED, *children}
        self._synced = False
        self._refused: dict[str, str] = {}
        self._pods: dict[str, Json] = {}
        self._gone = False
        self._missing = "nothing is known of it yet"

    def feed(self, notice: Notice) -> list[Event]:
        """Takes in a notice."""
        if notice.kind == "refused":
            self._refused[notice.feed] = notice.message
        if notice.kind == "synced" and notice.feed == FEED:
            self._synced = True
        if notice.kind in {"synced", "refused"} and notice.feed in self._awaited:
            self._awaited.discard(notice.feed)
            if self._is_standard and not self._awaited:
                # The children are told as a whole: one by one they would tell of what is not so.
                return named(self.name, changes(None, self.view.snapshot))
        if notice.kind not in ("present", "deleted"):
            # Each watch loses the same server: one of them is enough.
            return connection_event(notice, FEED, self.name) if notice.feed == FEED else []
        gone = notice.kind == "deleted" or notice.object is None
        if notice.feed != FEED:
            return self._take(notice.object or {}, gone)
        # After an outage both are told before anything is decided: what came back is another one.
        self._gone = self._gone or gone
        self.inferenceservice = self.inferenceservice if gone else notice.object
        return self._take({**(self.inferenceservice or {}), "kind": "InferenceService"}, gone)

    def _take(self, obj: Json, gone: bool) -> list[Event]:
        """An object, and what was seen before it and turns out to belong now."""
        events = []
        for member in self._family.take(obj):
            is_gone = gone and member is obj
            if member.get("kind") == "Pod":
                events += self._of_pod(dict(member), is_gone)
            changed = self.view.take(member, is_gone)
            events += [] if self._is_standard and self._awaited else changed
        return named(self.name, events)

    @property
    def _is_standard(self) -> bool:
        return mode_of(self.inferenceservice) == STANDARD

    def _of_pod(self, obj: Json, gone: bool) -> list[Event]:
        name = str(obj["metadata"]["name"])
        before = self._pods.pop(name, None)
        if gone:
            return []
        self._pods[name] = obj
        return [each for each in pod.transitions(before, obj) if each.event in _TOLD_OF_PODS]

    def decide(self, now: float) -> End | None:
        """The end of the wait, if this is it."""
        if self._gone:
            return End("deleted", "Deleted", f"InferenceService {self.name} was deleted during the wait.")
        if self.inferenceservice is None:
            if not self._synced:
                return None
            message = f"InferenceService {self.name} does not exist in this namespace."
            return End("failed", "NotFound", message)
        if self._is_standard:
            unseen = self._unseen()
            if unseen or self._awaited:
                return unseen
        return self._assessed(now)

    def _assessed(self, now: float) -> End | None:
        outcome = self._stability.feed(now, self.inferenceservice, self.view.children)
        self._missing = outcome.message
        if outcome.state is State.PENDING:
            return self._stuck_pods(now)
        if outcome.state is State.FAILED:
            message = f"InferenceService {self.name} failed ({outcome.reason}): {outcome.message}."
            return End("failed", outcome.reason, message)
        return End("succeeded", outcome.reason, f"InferenceService {self.name}: {outcome.message}.")

    def _stuck_pods(self, now: float) -> End | None:
        """The end where pods of the revision that is waited for have been in trouble for too long; those of
        the baseline are no news."""
        created = self.view.snapshot.revisions.created
        trouble = self.view.trouble(created) if created and created != self._baseline_revision else ""
        if trouble:
            self._missing = f"{self._missing}: {trouble}"
        if self._stuck is None or not self._stuck.feed(now, bool(trouble), created):
            return None
        message = f"InferenceService {self.name} will not get ready: {trouble}."
        return End("failed", "PodsStuck", message)

    def _unseen(self) -> End | None:
        """In Standard mode the children say all: without the right to see them there is nothing to wait
        for."""
        for feed in NEEDED_IN_STANDARD:
            if feed in self._refused:
                mode = f"InferenceService {self.name} is in KServe's Standard mode"
                why = f"what it leads to cannot be followed: {self._refused[feed]}"
                return End("failed", "ChildrenNotSeen", f"{mode}, and {why}")
        return None

    def pending(self) -> str:
        """What is still missing."""
        return self._missing


class AbsentWaiter:
    """Decides when an InferenceService is gone, and reports what holds it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inferenceservice: Json | None = None
        self._synced = False
        self._reported = ""

    def feed(self, notice: Notice) -> list[Event]:
        """Takes in a notice."""
        if notice.kind == "synced":
            self._synced = True
        if notice.kind not in ("present", "deleted"):
            return connection_event(notice, FEED, self.name)
        if notice.kind == "deleted":
            self.inferenceservice = None
            return named(self.name, [Event(FEED, "deleted", "InferenceService deleted", {})])
        self.inferenceservice = notice.object
        text = holders(notice.object or {})
        if text == self._reported:
            return []
        self._reported = text
        finalizers = ((notice.object or {}).get("metadata") or {}).get("finalizers") or []
        return named(self.name, [Event(FEED, "deleting", text, {"finalizers": list(finalizers)})])

    def decide(self, now: float) -> End | None:
        """The end of the wait, if this is it."""
        if self._synced and self.inferenceservice is None:
            return End("succeeded", "Absent", f"InferenceService {self.name} is gone.")
        return None

    def pending(self) -> str:
        """What is still there, and why."""
        return holders(self.inferenceservice or {})


def holders(obj: Json) -> str:
    """Why an object is still there, as a clause."""
    metadata = obj.get("metadata") or {}
    if not metadata.get("deletionTimestamp"):
        return "it has not been asked to go"
    finalizers = ", ".join(metadata.get("finalizers") or [])
    return f"it is being deleted, held by finalizers: {finalizers}" if finalizers else "it is being deleted"
