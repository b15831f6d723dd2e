# SPDX-License-Identifier: GPL-3.0-or-later
"""What the observer writes of what it is told: versions of objects, transitions, unobserved intervals.

Without I/O and clock: rows go to the sinks that are given, times come with the notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    experiment as experiments,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import handler as handlers
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    inferenceservice as inferenceservices,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import pod as pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.family import Family
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import mapping, text
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.trim import trim
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View

from ..client.watch import Notice
from .coverage import UnobservedInterval

Row = dict[str, Any]
Sink = Callable[[Row], None]

INFERENCESERVICE = "inferenceservice"
EXPERIMENT = "experiment"
JOBS = "jobs"
NODE_EVENTS = "node_event"
HTTPROUTE = "httproute"
# The feeds on which every verdict rests: what nobody saw of them is told in the timeline, too.
DECISIVE = (INFERENCESERVICE, EXPERIMENT)


class ObservationRecorder:
    """Notices in, rows of `observations.jsonl` and of `timeline.jsonl` out.

    A row of observations is one of: ``{"time", "feed", "type": "present" | "deleted", "object"}``, with
    ``"listed": true`` where that is how it was found, whenever it came to be so; ``{"time", "feed", "type":
    "unobserved", "from", "to", "why"}``; ``{"time", "feed", "type": "refused", "message"}``;
    ``{"time", "type": "clock", "low", "high"}``. Times are epoch seconds of the observer's host; `clock`
    bounds how far the API server's clock is ahead of it.
    """

    def __init__(self, inferenceservice: str, experiment: str, observations: Sink, timeline: Sink) -> None:
        roots = [
            ("InferenceService", inferenceservice),
            *([("Experiment", experiment)] if experiment else []),
        ]
        self._family = Family(*roots)
        # Whoever runs in the cluster says what stands in messages; these files are shown and copied.
        self._observations: Sink = lambda row: observations(plain(row))
        self._timeline: Sink = lambda row: timeline(plain(row))
        self._last: dict[tuple[str, str], Row] = {}
        self._begun = False
        self._inferenceservice = inferenceservice
        # Where there is an Experiment it is iter8 that changes it, with each iteration.
        self._tells_changes = not experiment
        self._view = View()
        self._experiment: Row | None = None
        self._early_jobs: dict[str, tuple[float, Row]] = {}

    def take(self, notice: Notice, at: float) -> None:
        """An object as it is now, or as it was last, seen at `at` (epoch seconds)."""
        if notice.kind not in ("present", "deleted") or notice.object is None:
            return
        obj = trim(notice.object)
        if notice.feed == JOBS:
            self._job(obj, at)
            return
        if notice.feed == NODE_EVENTS and text(mapping(obj, "involvedObject"), "kind") != "Node":
            # Of another namespace, where others may have the names of ours.
            return
        for member in self._family.take(obj):
            gone = member is obj and notice.kind == "deleted"
            listed = {"listed": True} if self._is_found(member) else {}
            self._observations(
                {"time": at, "feed": notice.feed if member is obj else _feed_of(member),
                 "type": "deleted" if gone else "present", **listed, "object": member}
            )  # fmt: skip
            self._transitions(dict(member), gone, at)

    def unobserved(self, feed: str, interval: UnobservedInterval, at: float) -> None:
        """Between two moments nothing vouches for what was seen of this feed."""
        row = {"from": round(interval.start, 3), "to": round(interval.end, 3), "why": interval.why}
        row |= {"unchanged": True} if interval.unchanged else {}
        self._observations({"time": at, "feed": feed, "type": "unobserved", **row})
        if feed in DECISIVE:
            but = "; it was the same afterwards, so nothing was missed" if interval.unchanged else ""
            message = f"unobserved for {interval.end - interval.start:.2f} s: {interval.why}{but}"
            self._write(Event("observer", "unobserved", f"{feed}  {message}", {"feed": feed, **row}), at)

    def refused(self, feed: str, message: str, at: float) -> None:
        """This kind may not be read, or is not served: said once, and the rest goes on."""
        self._observations({"time": at, "feed": feed, "type": "refused", "message": message})

    def clock(self, low: float, high: float, at: float) -> None:
        """The API server's clock is between `low` and `high` seconds ahead of this host's."""
        self._observations({"time": at, "type": "clock", "low": low, "high": high})
        data = {"whose": "api_server", "low": low, "high": high}
        message = f"the API server's clock is {low:+.3f} to {high:+.3f} s ahead of the observer's"
        self._write(Event("observer", "clock", message, data), at)

    def began(self, at: float) -> None:
        """Everything decisive has been listed: from here on it is observed."""
        self._begun = True
        self._write(Event("observer", "started", "the observer has begun", {}), at)

    def ended(self, at: float) -> None:
        """Nothing is observed from here on."""
        self._write(Event("observer", "stopped", "the observer has ended", {}), at)

    def _transitions(self, obj: Row, gone: bool, at: float) -> None:
        kind, name = text(obj, "kind"), text(mapping(obj, "metadata"), "name")
        previous = self._last.get((kind, name))
        if previous is not None and _uid(previous) != _uid(obj):
            previous = None
        current = None if gone else obj
        events: list[Event] = []
        if kind == "InferenceService" and self._tells_changes:
            events = inferenceservices.changed(previous, current)
        elif kind == "Experiment":
            events = experiments.transitions(previous, current)
            self._experiment = current or self._experiment
            # Before what is told of it now: times that go back look like a clock that was set.
            early, self._early_jobs = self._early_jobs, {}
            for seen, job in early.values():
                self._job(job, seen)
        elif kind == "Pod":
            # What had happened to it before it was found is no news.
            found = self._is_found(obj)
            events = [e for e in pods.transitions(previous, current) if e.event == "ready" or not found]
        if gone:
            self._last.pop((kind, name), None)
        else:
            self._last[kind, name] = obj
        # What happens to the InferenceService shows in what it led to, as well.
        for event in [*events, *self._view.take(obj, gone)]:
            about = self._inferenceservice if event.source == "inferenceservice" else name
            # Those of pods name their pod by themselves.
            text_of = event.text if event.source == "pod" else f"{about}  {event.text}"
            self._write(Event(event.source, event.event, text_of, event.data), at, obj)

    def _is_found(self, obj: Mapping[str, Any]) -> bool:
        """Whether it is seen for the first time while all that is there is still being listed."""
        key = (text(obj, "kind"), text(mapping(obj, "metadata"), "name"))
        return not self._begun and key not in self._last

    def _job(self, job: Row, at: float) -> None:
        name = text(mapping(job, "metadata"), "name")
        if self._experiment is None:
            # Whose it is can be told only by the Experiment's UID.
            self._early_jobs[name] = (at, job)
            return
        handler = handlers.handler_of(name, self._experiment)
        if handler is None:
            return
        self._observations({"time": at, "feed": JOBS, "type": "present", "object": job})
        previous = self._last.get(("Job", name))
        self._last["Job", name] = job
        about = text(mapping(self._experiment, "metadata"), "name")
        for event in handlers.transitions(previous, job, handler):
            self._write(Event(event.source, event.event, f"{about}  {event.text}", event.data), at, job)

    def _write(self, event: Event, at: float, obj: Mapping[str, Any] | None = None) -> None:
        row: Row = {"time": round(at, 3), **asdict(event)}
        if obj is not None:
            row["resource_version"] = text(mapping(obj, "metadata"), "resourceVersion")
        self._timeline(row)


def _feed_of(obj: Mapping[str, Any]) -> str:
    return text(obj, "kind").lower()


def _uid(obj: Mapping[str, Any]) -> str:
    return text(mapping(obj, "metadata"), "uid")
