# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for an Experiment: its end, its last handler's Job and the InferenceService's traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    experiment as experiments,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import handler as handlers
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    inferenceservice as inferenceservices,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event, State
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.stability import Held
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.roles import BASELINE, CANARY

from ..client.api import Json
from ..client.watch import Notice
from .waiting import CONNECTION, End, connection_event, named

EXPERIMENT = "experiment"
INFERENCESERVICE = "inferenceservice"
JOBS = "jobs"

# (requests, requests that failed) of the load that runs meanwhile, None while unknown.
Counts = Callable[[], "tuple[int, int] | None"]


class ExperimentWaiter:
    """Decides when an Experiment, with all that follows from it, is over.

    An Experiment that says it is completed has only just launched the Job that promotes or rolls back,
    so the end is: completed; that Job done; the traffic all on the recommended revision, for
    ``stable_seconds``. The last two are asked for only with ``wait_handler`` and ``inferenceservice``.
    """

    def __init__(
        self,
        name: str,
        *,
        inferenceservice: str | None,
        wait_handler: bool,
        stable_seconds: float,
        counts: Counts,
    ) -> None:
        self.name = name
        self.inferenceservice_name = inferenceservice
        self.experiment: Json | None = None
        self.inferenceservice: Json | None = None
        self._jobs: dict[str, Json] = {}
        self._early_jobs: dict[str, Json] = {}
        self._wait_handler = wait_handler
        self._held = Held(stable_seconds)
        self._counts = counts
        self._gone: set[str] = set()
        self._synced: set[str] = set()
        self._missing = "nothing is known of it yet"

    def feed(self, notice: Notice) -> list[Event]:
        """Takes in a notice of one of the three feeds."""
        if notice.kind == "synced":
            self._synced.add(notice.feed)
            return []
        if notice.kind in CONNECTION:
            # Each watch loses the same server: one of them is enough.
            return connection_event(notice, EXPERIMENT, self.name) if notice.feed == EXPERIMENT else []
        if notice.feed == EXPERIMENT:
            return self._feed_experiment(notice)
        if notice.feed == INFERENCESERVICE:
            return self._feed_inferenceservice(notice)
        return self._feed_job(notice.object or {}) if notice.kind == "present" else []

    def _current(self, notice: Notice) -> Json | None:
        """The object as it is now; one that is gone is noted."""
        if notice.kind == "deleted" or notice.object is None:
            self._gone.add(notice.feed)
            return None
        return notice.object

    def _feed_experiment(self, notice: Notice) -> list[Event]:
        current = self._current(notice)
        events = experiments.transitions(self.experiment, current)
        self.experiment = current or self.experiment
        counted = [self._with_counts(event) if event.event == "iteration" else event for event in events]
        early, self._early_jobs = self._early_jobs, {}
        jobs = [event for job in early.values() for event in self._feed_job(job)]
        return named(self.name, counted) + jobs

    def _feed_inferenceservice(self, notice: Notice) -> list[Event]:
        current = self._current(notice)
        events = inferenceservices.transitions(self.inferenceservice, current)
        self.inferenceservice = current or self.inferenceservice
        return named(str(self.inferenceservice_name), events)

    def _feed_job(self, job: Json) -> list[Event]:
        name = str((job.get("metadata") or {}).get("name") or "")
        if self.experiment is None:
            # Whose it is shows only in the Experiment's UID.
            self._early_jobs[name] = job
            return []
        handler = handlers.handler_of(name, self.experiment)
        if handler is None:
            return []
        events = handlers.transitions(self._jobs.get(handler), job, handler)
        self._jobs[handler] = job
        return named(self.name, events)

    def _with_counts(self, event: Event) -> Event:
        """The line of an iteration, with what the load has seen so far."""
        planned = experiments.planned_iterations(self.experiment or {})
        data = dict(event.data)
        text = f"iteration {data['iteration']}" + (f"/{planned}" if planned else "")
        if CANARY in data["weights"]:
            text += f"  canary {data['weights'][CANARY]} %"
        counts = self._counts()
        if counts is not None:
            data["requests"], data["failed"] = counts
            text += f"  {counts[0]} requests, {counts[1]} not 200"
        return Event(event.source, event.event, text, data)

    def decide(self, now: float) -> End | None:
        """The end of the wait, if this is it."""
        return self._absent() or self._ended(now)

    def _absent(self) -> End | None:
        for feed, name, obj in (
            (EXPERIMENT, f"Experiment {self.name}", self.experiment),
            (INFERENCESERVICE, f"InferenceService {self.inferenceservice_name}", self.inferenceservice),
        ):
            kind = name.split()[0]
            if feed in self._gone:
                return End("deleted", f"{kind}Deleted", f"{name} was deleted during the wait.")
            if feed in self._synced and obj is None:
                return End("failed", f"{kind}NotFound", f"{name} does not exist in this namespace.")
        return None

    def _ended(self, now: float) -> End | None:
        if self.experiment is None:
            return None
        outcome = experiments.assess(self.experiment)
        rolled_back = "rolled back" in outcome.message.lower()
        if outcome.state is State.FAILED and not rolled_back:
            reason = outcome.reason or "Failed"
            explained = f": {outcome.message}" if outcome.message else ", and does not say why"
            return End("failed", reason, f"Experiment {self.name} failed ({reason}){explained}.")
        same = self._same_revision()
        if same:
            return same
        if outcome.state is State.PENDING:
            self._missing = _progress_clause(outcome)
            return None
        promoted = not rolled_back and outcome.recommended_baseline not in (None, BASELINE)
        return self._handler_failed(rolled_back) or self._settled(now, promoted, outcome)

    def _same_revision(self) -> End | None:
        """The start handler may have found the canary not yet created, and compares a revision with
        itself.
        """
        revisions = experiments.revisions(self.experiment or {})
        baseline = revisions.get(BASELINE)
        if baseline is None or revisions.get(CANARY) != baseline:
            return None
        message = (
            f"Experiment {self.name} compares revision {baseline} with itself: "
            "it was started before the canary's revision existed."
        )
        return End("failed", "SameRevision", message)

    def _handler_failed(self, rolled_back: bool) -> End | None:
        """An end if the last handler's Job failed; otherwise notes in ``_missing`` whether it is awaited."""
        self._missing = ""
        handler = handlers.last_handler(self.experiment or {}, rolled_back) if self._wait_handler else None
        if handler is None:
            return None
        job = self._jobs.get(handler)
        state, reason = handlers.assess(job)
        if state is State.FAILED:
            message = f"Experiment {self.name} is completed, but its {handler} handler failed: {reason}."
            return End("failed", "HandlerFailed", message)
        if state is State.PENDING:
            seen = "has not finished" if job else "has not been seen"
            self._missing = f"it is completed, but the Job of its {handler} handler {seen}"
        return None

    def _settled(self, now: float, promoted: bool, outcome: experiments.ExperimentOutcome) -> End | None:
        if self._missing:
            return None
        if self.inferenceservice_name:
            role = outcome.recommended_baseline or BASELINE
            revision = experiments.revisions(self.experiment or {}).get(role)
            failure, problem = traffic_problem(self.inferenceservice, revision, promoted)
            if failure:
                return End("failed", failure, f"After Experiment {self.name}, {problem}.")
            if not self._held.feed(now, not problem):
                self._missing = (
                    f"it is completed, but {problem or 'the traffic has not been stable for long'}"
                )
                return None
        ending = "promoted" if promoted else "rolled back"
        return End(
            "succeeded" if promoted else "rolled_back",
            outcome.reason,
            f"Experiment {self.name}: {ending} after {outcome.iterations} iterations ({outcome.message}).",
        )

    def pending(self) -> str:
        """What the wait is for now."""
        return self._missing


def _progress_clause(outcome: experiments.ExperimentOutcome) -> str:
    planned = f" of {outcome.iterations_planned}" if outcome.iterations_planned else ""
    last = f"{outcome.reason}: {outcome.message}" if outcome.message else outcome.reason
    return f"it has completed {outcome.iterations}{planned} iterations ({last})"


def traffic_problem(
    obj: Mapping[str, Any] | None, revision: str | None, promoted: bool
) -> tuple[str | None, str | None]:
    """(reason of a terminal failure, what is not yet as it should be); both None when the traffic has
    settled.

    After a promotion the revision must be ready and have all the traffic. After a rollback all the
    traffic must be back on the baseline; the canary's own state, Ready of the whole included, no longer
    matters. ``revision`` is None where the Experiment does not name it: then the latest created one is
    the canary.
    """
    if obj is None:
        return None, "the InferenceService has not been seen"
    if promoted:
        outcome = inferenceservices.assess(obj, expected_traffic={revision or "latest": 100})
        failure = outcome.reason if outcome.state is State.FAILED else None
        return failure, None if outcome.state is State.SUCCEEDED else outcome.message
    snapshot = inferenceservices.read(obj)
    # KFServing falls back to the latest created revision where nothing else is left, so it may be the
    # baseline.
    settled = snapshot.traffic == {revision: 100} if revision else list(snapshot.traffic.values()) == [100]
    if settled:
        return None, None
    shown = ", ".join(f"{name} {percent} %" for name, percent in sorted(snapshot.traffic.items()))
    return None, f"the traffic is {shown or 'nowhere'}, not yet {revision or 'all on one revision'} 100 %"
