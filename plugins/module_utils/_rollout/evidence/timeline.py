# SPDX-License-Identifier: GPL-3.0-or-later
"""The moments of a rollout, read from timeline.jsonl, and the phases that they divide it into."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import BASELINE, CANARY

BEFORE = "before the canary"
PROMOTION = "promotion"
ROLLBACK = "rollback"
AFTER = "after"
UNKNOWN = "canary at an unknown weight"

Weights = Mapping[str, int]


class TimelineFormatError(ValueError):
    """A line of the timeline is not an event; the message says which."""


@dataclass(frozen=True)
class Moment:
    """One event with its time, in seconds since the epoch."""

    time: float
    source: str
    event: str
    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Completion:
    """The Experiment's end as it was seen."""

    time: float
    winner: str | None
    failed: bool
    message: str


@dataclass(frozen=True)
class Marks:
    """The moments that matter, None where the timeline does not tell them. Revisions by name.

    `blind` holds the times between two watches of the InferenceService, in which its traffic may have
    changed unseen. `last_seen` is when the last watch told something; from `unwatched_since` on nothing
    vouches for the split told last.
    """

    canary_applied: float | None = None
    load_started: float | None = None
    load_stopped: float | None = None
    baseline_revision: str = ""
    created_revision: str = ""
    completion: Completion | None = None
    traffic: tuple[tuple[float, Mapping[str, int]], ...] = ()
    blind: tuple[tuple[float, float], ...] = ()
    last_seen: float | None = None
    unwatched_since: float | None = None
    settled: float | None = None
    stopped: Moment | None = None
    failed_handlers: tuple[Moment, ...] = ()
    deletions: tuple[Moment, ...] = ()

    def unseen(self, end: float) -> list[tuple[float, float]]:
        """All the times in which the traffic may have changed unseen, up to the end of the load."""
        since = self.unwatched_since
        return [*self.blind, *([(since, end)] if since is not None and since < end else [])]


@dataclass(frozen=True)
class Phase:
    """A stretch of the rollout with one traffic split, by role (or by name, for a revision without a role).

    `weights` is empty where the split is not known.
    """

    name: str
    start: float
    end: float
    weights: Weights = field(default_factory=dict)


def read_timeline(lines: Iterable[Any]) -> tuple[Moment, ...]:
    """The events in the order of their times.

    :raises TimelineFormatError: naming the first line that is not an event.
    """
    moments = []
    for number, line in enumerate(lines, start=1):
        time = line.get("time") if isinstance(line, Mapping) else None
        if isinstance(time, bool) or not isinstance(time, (int, float)):
            time = math.nan
        if not math.isfinite(time) or "event" not in line:
            raise TimelineFormatError(f"line {number} is not an event with a time")
        data = line.get("data")
        moments.append(
            Moment(
                float(time),
                str(line.get("source", "")),
                str(line["event"]),
                str(line.get("text", "")),
                data if isinstance(data, Mapping) else {},
            )
        )
    return tuple(moments)


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
        blind=tuple(_blind(ordered, start)),
        last_seen=_last_seen(ordered, start),
        unwatched_since=_unwatched_since(ordered, start),
        settled=_settled(traffic, completed.time) if completed else None,
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
    """The revision that applying the canary made: the first other one than the baseline created after it."""
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


def _blind(ordered: Iterable[Moment], applied: float | None) -> Iterator[tuple[float, float]]:
    """From what the last watch told last, or from when the canary was applied, to the first that the next
    told."""
    if applied is None:
        return
    # One watch tells several things at one time, so the time before it is the last earlier one.
    before = last = applied
    for moment in ordered:
        if moment.source == "inferenceservice" and moment.time > last:
            before, last = last, moment.time
        if moment.data.get("first") is True and before < moment.time == last:
            yield before, last


def _last_seen(ordered: Iterable[Moment], applied: float | None) -> float | None:
    """When a watch of the InferenceService told something last; when the canary was applied, if none has
    since."""
    if applied is None:
        return None
    return max([applied, *(m.time for m in ordered if m.source == "inferenceservice")])


def _unwatched_since(ordered: Sequence[Moment], applied: float | None) -> float | None:
    """Since when nothing is known of the traffic, where the last wait ended before it told any.

    One wait begins with the canary, the next with the Experiment, and each tells first what it finds.
    """
    if applied is None:
        return None
    begun = [m.time for m in _all(ordered, "playbook", "experiment_created") if m.time >= applied]
    last_wait = max([applied, *begun])
    if any(m.time >= last_wait for m in _all(ordered, "inferenceservice", "traffic")):
        return None
    return _last_seen([m for m in ordered if m.time < last_wait], applied)


def _settled(traffic: Sequence[tuple[float, Mapping[str, int]]], completed: float) -> float | None:
    """When, at or after the Experiment's end, one revision had all the traffic."""
    at_the_end = [split for time, split in traffic if time <= completed][-1:]
    if any(100 in split.values() for split in at_the_end):
        return completed
    return next((time for time, split in traffic if time > completed and 100 in split.values()), None)


def phases(found: Marks, roles: Mapping[str, str], start: float, end: float) -> list[Phase]:
    """The phases between the start and the end of the load; all is one without a `canary_applied` mark.

    `roles` maps revision names to roles.
    """
    if found.canary_applied is None:
        return [Phase(BEFORE, start, end, {})]
    cuts = [found.canary_applied, *(time for time, _ in found.traffic)]
    if found.completion:
        cuts.append(found.completion.time)
    if found.unwatched_since is not None:
        cuts.append(found.unwatched_since)
    begins = sorted({start, *(time for time in cuts if start < time < end)})
    whole = []
    for begin, until in zip(begins, [*begins[1:], end]):
        weights = _weights_at(begin, found, roles)
        whole.append(Phase(_name(begin, weights, found), begin, until, weights))
    return _merge(whole)


def _weights_at(time: float, found: Marks, roles: Mapping[str, str]) -> dict[str, int]:
    """The split by role that the timeline tells of at this moment; before it tells any, all is the
    baseline's. Empty where nothing vouches for it."""
    if found.unwatched_since is not None and time >= found.unwatched_since:
        return {}
    split: Mapping[str, int] = {}
    for at, told in found.traffic:
        if at <= time:
            split = told
    weights: dict[str, int] = {}
    for name, percent in split.items():
        role = roles.get(name, name)
        weights[role] = weights.get(role, 0) + percent
    return {role: weights[role] for role in sorted(weights)} or {BASELINE: 100}


def _name(time: float, weights: Weights, found: Marks) -> str:
    if found.canary_applied is None or time < found.canary_applied:
        return BEFORE
    done = found.completion
    if done is None or time < done.time:
        if not weights:
            return UNKNOWN
        return f"canary at {weights.get(CANARY, 0)} %"
    if found.settled is None or time < found.settled:
        return PROMOTION if done.winner == CANARY and not done.failed else ROLLBACK
    return AFTER


def _merge(found: list[Phase]) -> list[Phase]:
    merged: list[Phase] = []
    for phase in found:
        if merged and (merged[-1].name, merged[-1].weights) == (phase.name, phase.weights):
            merged[-1] = Phase(phase.name, merged[-1].start, phase.end, phase.weights)
        else:
            merged.append(phase)
    return merged
