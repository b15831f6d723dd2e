# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for an InferenceService: as asked and stable, or gone."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event, State
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.inferenceservice import (
    Stability,
    transitions,
)

from ..client.api import Json
from ..client.watch import Notice
from .waiting import End, connection_event, named

FEED = "inferenceservice"


class PresentWaiter:
    """Decides when an InferenceService shows what was asked, in one snapshot, for ``stable_seconds``."""

    def __init__(
        self,
        name: str,
        *,
        baseline_revision: str | None,
        new_revision: bool | None,
        traffic: Mapping[str, int] | None,
        stable_seconds: float,
        serving: bool = False,
    ) -> None:
        self.name = name
        self.inferenceservice: Json | None = None
        self._stability = Stability(
            baseline_revision,
            traffic,
            new_revision,
            stable_seconds,
            2 if stable_seconds > 0 else 1,
            serving=serving,
        )
        self._synced = False
        self._gone = False
        self._missing = "nothing is known of it yet"

    def feed(self, notice: Notice) -> list[Event]:
        """Takes in a notice."""
        if notice.kind == "synced":
            self._synced = True
        if notice.kind not in ("present", "deleted"):
            return connection_event(notice, FEED, self.name)
        current = None if notice.kind == "deleted" else notice.object
        events = transitions(self.inferenceservice, current)
        self._gone = current is None
        self.inferenceservice = current or self.inferenceservice
        return named(self.name, events)

    def decide(self, now: float) -> End | None:
        """The end of the wait, if this is it."""
        if self._gone:
            return End("deleted", "Deleted", f"InferenceService {self.name} was deleted during the wait.")
        if self.inferenceservice is None:
            if not self._synced:
                return None
            message = f"InferenceService {self.name} does not exist in this namespace."
            return End("failed", "NotFound", message)
        outcome = self._stability.feed(now, self.inferenceservice)
        self._missing = outcome.message
        if outcome.state is State.PENDING:
            return None
        if outcome.state is State.FAILED:
            message = f"InferenceService {self.name} failed ({outcome.reason}): {outcome.message}."
            return End("failed", outcome.reason, message)
        return End("succeeded", outcome.reason, f"InferenceService {self.name}: {outcome.message}.")

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
