# SPDX-License-Identifier: GPL-3.0-or-later
"""The marks of a shift: the moments of the timeline that decide, and when nothing observed the traffic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .intervals import Intervals
from .timeline import Moment


@dataclass(frozen=True)
class Completion:
    """The Experiment's end as it was observed. `winner` is a role; None where iter8 found none."""

    time: float
    winner: str | None
    failed: bool
    message: str


@dataclass(frozen=True)
class Marks:
    """The moments that matter, in seconds since the epoch; None where the timeline does not have them.

    - `canary_applied`: when the playbook applied the canary: the shift begins.
    - `load_started`, `load_stopped`: when the playbook did that, by the clock of the timeline.
    - `baseline_revision`: the revision that served before, as the playbook noted it; empty if it did not.
    - `created_revision`: the first other revision created at or after `canary_applied`, so the canary's;
      empty if none was observed.
    - `completion`: the Experiment's end. It is not yet the end of the shift: promotion is still to come.
    - `traffic`: each observed split, percent by revision name, with the moment from which it was observed.
    - `shift_ended`: when one revision, whichever, had all the traffic, at or after the Experiment's end.
    - `unobserved`: the intervals between two watches of the InferenceService, from the last observation of
      the one to the first of the next; the traffic may have changed at any moment of them.
    - `unobserved_since`: from then on nothing bears out the split that was observed last.
    - `last_observed`: the last observation of the InferenceService; `canary_applied` if none came after it.
    - `stopped`: the event with which the playbook says what error cut the run short.
    - `failed_handlers`, `deletions`: the events that tell of a failed handler Job and of a deleted object.
    """

    canary_applied: float | None = None
    load_started: float | None = None
    load_stopped: float | None = None
    baseline_revision: str = ""
    created_revision: str = ""
    completion: Completion | None = None
    traffic: tuple[tuple[float, Mapping[str, int]], ...] = ()
    shift_ended: float | None = None
    unobserved: Intervals = Intervals()
    unobserved_since: float | None = None
    last_observed: float | None = None
    stopped: Moment | None = None
    failed_handlers: tuple[Moment, ...] = ()
    deletions: tuple[Moment, ...] = ()

    def unobserved_until(self, end: float) -> Intervals:
        """All the intervals in which the traffic may have changed unobserved, where the last, if it is open,
        ends with the load."""
        since = self.unobserved_since
        return self.unobserved if since is None else self.unobserved.union([(since, end)])


def marks(moments: Iterable[Moment]) -> Marks:
    """The moments that matter, from the events in any order."""
    ordered = sorted(moments, key=lambda m: m.time)
    applied = _first(ordered, "playbook", "canary_applied")
    started = _first(ordered, "playbook", "load_started")
    stopped = _first(ordered, "playbook", "load_stopped")
    start = applied.time if applied else None
    name = str(applied.data.get("baseline") or "") if applied else ""
    completed = _first(ordered, "experiment", "completed")
    traffic = tuple(
        (m.time, _percents(m.data.get("traffic"))) for m in _all(ordered, "inferenceservice", "traffic")
    )
    return Marks(
        canary_applied=start,
        load_started=started.time if started else None,
        load_stopped=stopped.time if stopped else None,
        baseline_revision=name,
        created_revision=_created(ordered, start, name),
        completion=_completion(completed) if completed else None,
        traffic=traffic,
        shift_ended=_shift_ended(traffic, completed.time) if completed else None,
        unobserved=Intervals(_between_watches(ordered, start)),
        unobserved_since=_unobserved_since(ordered, start),
        last_observed=_last_observed(ordered, start),
        stopped=_first(ordered, "playbook", "stopped"),
        failed_handlers=tuple(
            m for m in _all(ordered, "experiment", "handler") if str(m.data.get("status")).lower() == "failed"
        ),
        deletions=tuple(m for m in ordered if m.event == "deleted"),
    )


def _all(moments: Iterable[Moment], source: str, event: str) -> list[Moment]:
    return [m for m in moments if (m.source, m.event) == (source, event)]


def _first(moments: Iterable[Moment], source: str, event: str) -> Moment | None:
    return next(iter(_all(moments, source, event)), None)


def _revision(moment: Moment) -> str:
    return str(moment.data.get("revision") or "")


def _percents(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): percent for name, percent in value.items() if isinstance(percent, int) and percent > 0}


def _created(ordered: Iterable[Moment], applied: float | None, baseline: str) -> str:
    """The revision that applying the canary made."""
    for moment in _all(ordered, "inferenceservice", "revision_created"):
        if applied is not None and moment.time >= applied and _revision(moment) != baseline:
            return _revision(moment)
    return ""


def _completion(moment: Moment) -> Completion:
    winner = moment.data.get("winner")
    return Completion(
        time=moment.time,
        winner=winner if isinstance(winner, str) else None,
        failed=moment.data.get("failed") is True,
        message=str(moment.data.get("message") or moment.text),
    )


def _shift_ended(traffic: Sequence[tuple[float, Mapping[str, int]]], completed: float) -> float | None:
    at_the_end = [split for time, split in traffic if time <= completed][-1:]
    if any(100 in split.values() for split in at_the_end):
        return completed
    return next((time for time, split in traffic if time > completed and 100 in split.values()), None)


def _between_watches(ordered: Iterable[Moment], applied: float | None) -> Iterator[tuple[float, float]]:
    """From the last observation of each watch, or from when the canary was applied, to the first of the
    next."""
    if applied is None:
        return
    # One watch observes several things at one time, so the time before it is the last earlier one.
    before = last = applied
    for moment in ordered:
        if moment.source == "inferenceservice" and moment.time > last:
            before, last = last, moment.time
        if moment.data.get("first") is True and before < moment.time == last:
            yield before, last


def _last_observed(ordered: Iterable[Moment], applied: float | None) -> float | None:
    if applied is None:
        return None
    return max([applied, *(m.time for m in ordered if m.source == "inferenceservice")])


def _unobserved_since(ordered: Sequence[Moment], applied: float | None) -> float | None:
    """The last observation before the last wait, where that wait ended before it observed any split.

    One wait begins with the canary, the next with the Experiment, and each reports first what it finds.
    """
    if applied is None:
        return None
    begun = [m.time for m in _all(ordered, "playbook", "experiment_created") if m.time >= applied]
    last_wait = max([applied, *begun])
    if any(m.time >= last_wait for m in _all(ordered, "inferenceservice", "traffic")):
        return None
    return _last_observed([m for m in ordered if m.time < last_wait], applied)
