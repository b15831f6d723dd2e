# SPDX-License-Identifier: GPL-3.0-or-later
"""An InferenceService, read: its revisions and traffic, and whether a change of it has really taken effect.

Knows serving.kubeflow.org/v1beta1 (KFServing 0.5, 0.6) and serving.kserve.io/v1beta1 in both of its modes: in
Knative mode the object says it all, in Standard mode its children do (see `standard`). For a moment after a
change the old status stands unchanged, Ready=True included, and no generation can be compared to see that:
observedGeneration is copied from a child. So a wait records the baseline revision first and asks for a
different one: see `assess` and `Stability`. modelStatus says Loaded too early and InProgress for ever, so it
proves nothing.

*Rolled out* in Knative mode means, in one snapshot: the latest created revision is the latest ready one,
Ready is True, and the traffic lies, by the names of revisions, as spec.predictor.canaryTrafficPercent asks.
In Standard mode: `Standard.missing` finds nothing, and Ready is True.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .events import Event, State
from .snapshot import (
    KNATIVE,
    NOT_REPORTED,
    PERCENT,
    STANDARD,
    STATUSES,
    Children,
    Object,
    Revisions,
    ServiceOutcome,
    Snapshot,
    against_ready,
    mode_of,
    spell,
)
from .stability import Held
from .standard import Standard
from .tree import Condition, conditions, entries, generation_of, mapping, number, text, uid_of

# KServe's modelStatus.transitionStatus values that no waiting mends.
_INVALID = "InvalidSpec"
_BLOCKED = ("BlockedByFailedLoad", _INVALID)
# Knative's reasons for a revision that it has given up.
_GIVEN_UP = ("RevisionFailed", "ProgressDeadlineExceeded", "ContainerMissing")
# What else may have revisions of its own: requests go through it, or it answers on a path of its own.
_BESIDE = ("transformer", "explainer")
_NONE: Children = MappingProxyType({})


def read(obj: Object | None, children: Children = _NONE) -> Snapshot:
    """The object as a snapshot; an absent object or status reads as nothing created, nothing ready.

    `children` are what it led to, which only the Standard mode needs.
    """
    snapshot = _read(obj)
    if obj is None or mode_of(obj) != STANDARD:
        return snapshot
    seen = Standard(obj, children)
    return replace(
        snapshot,
        revisions=seen.revisions,
        traffic=seen.traffic,
        traffic_reported=bool(seen.traffic) and NOT_REPORTED not in seen.traffic,
        against_ready=(*snapshot.against_ready, *(seen.against_ready() if snapshot.ready else ())),
    )


def _read(obj: Object | None) -> Snapshot:
    status = mapping(obj, "status")
    predictor = mapping(status, "components", "predictor")
    # There is one of each type; of two that contradict each other none counts.
    reported = {c.status: c for c in conditions(obj) if c.type == "Ready"}
    ready = next(iter(reported.values())) if len(reported) == 1 else Condition("Ready", "Unknown")
    model = mapping(status, "modelStatus")
    failure = mapping(model, "lastFailureInfo")
    traffic = _traffic(predictor)
    beside = {name: _traffic(mapping(status, "components", name)) for name in _BESIDE}
    revisions = Revisions(
        created=text(predictor, "latestCreatedRevision"),
        ready=text(predictor, "latestReadyRevision"),
        rolledout=text(predictor, "latestRolledoutRevision"),
        previous=text(predictor, "previousRolledoutRevision"),
        serving=_serving(text(predictor, "latestRolledoutRevision"), traffic),
    )
    return Snapshot(
        revisions=revisions,
        ready=ready.status == "True",
        ready_condition=ready,
        traffic=traffic,
        url=text(status, "url"),
        transition_status=text(model, "transitionStatus"),
        load_failure=text(failure, "message") or text(failure, "reason"),
        traffic_reported=_tells_percents(predictor.get("traffic")) and "" not in traffic,
        ready_reported=len(reported) == 1 and ready.status in STATUSES,
        against_ready=tuple(against_ready(obj, ready.status, revisions)),
        mode=mode_of(obj),
        split_beside={name: own for name, own in beside.items() if len(own) > 1},
    )


def _traffic(predictor: Mapping[str, Any]) -> dict[str, int]:
    """Percent by revision name. One revision may stand in several entries: `latest` and `prev` can be the
    same."""
    traffic: dict[str, int] = {}
    for entry in entries(predictor, "traffic"):
        name = text(entry, "revisionName")
        if not name and entry.get("latestRevision") is True:
            name = text(predictor, "latestReadyRevision")
        percent = number(entry, "percent")
        if percent > 0:
            traffic[name] = traffic.get(name, 0) + percent
    return traffic


def _tells_percents(rows: Any) -> bool:
    """Whether it is a list of targets, of which each has a whole share of the traffic, or none."""
    return isinstance(rows, list) and all(
        isinstance(row, Mapping) and type(row.get("percent") or 0) is int and (row.get("percent") or 0) >= 0
        for row in rows
    )


def _serving(rolledout: str, traffic: Mapping[str, int]) -> str:
    """The revision that a rollout starts from: the rolled-out one while it has traffic, else the one with
    most of it. The latest ready one may be a canary that was rolled back, and serves nobody."""
    if rolledout in traffic or not traffic:
        return rolledout
    return max(traffic, key=lambda name: (traffic[name], name))


def assess(
    obj: Object | None,
    baseline_revision: str | None = None,
    expected_traffic: Mapping[str, int] | None = None,
    new_revision: bool | None = None,
    *,
    serving: bool = False,
    children: Children = _NONE,
) -> ServiceOutcome:
    """Whether one snapshot shows everything asked at once.

    `baseline_revision` is the revision recorded before the change. `new_revision` asks that the latest
    created revision is another one; it is the default where a baseline is named. `expected_traffic` gives
    percent by revision name, or by `latest` (the latest created revision), `baseline` (the one named) and
    `previous` (the previous rolled-out one); the traffic must be exactly that and sum to 100. Without it, the
    traffic must be what the object's own spec asks for: for a moment after a change of the percent alone the
    old status stands there, complete and Ready. With `serving` nothing
    more is asked than traffic that sums to 100: the latest revision may be a canary that was rolled back
    because it never became ready. `children` are as in `read`.
    """
    if new_revision is None:
        new_revision = baseline_revision is not None
    snapshot = read(obj, children)
    if obj is None:
        state, reason, message = State.PENDING, "NotFound", "the InferenceService does not exist yet"
    elif text(mapping(obj, "metadata"), "deletionTimestamp"):
        state, reason, message = State.FAILED, "Deleting", "the InferenceService is being deleted"
    elif serving and sum(snapshot.traffic.values()) == 100 and NOT_REPORTED not in snapshot.traffic:
        state, reason = State.SUCCEEDED, "AsExpected"
        message = f"revision {snapshot.revisions.serving} serves; traffic {spell(snapshot.traffic)}"
    else:
        stale = new_revision and snapshot.revisions.created == (baseline_revision or "")
        asked = _Asked(baseline_revision, expected_traffic, new_revision)
        state, reason, message = _failure(obj, snapshot, stale, children) or _pending(
            obj, snapshot, asked, children
        )
    return ServiceOutcome(state, reason, message, snapshot.revisions, snapshot.traffic, conditions(obj))


_Answer = tuple[State, str, str]


@dataclass(frozen=True)
class _Asked:
    """What `assess` is asked for."""

    baseline_revision: str | None
    traffic: Mapping[str, int] | None
    new_revision: bool


def _failure(obj: Object, snapshot: Snapshot, stale: bool, children: Children) -> _Answer | None:
    """A failure that waiting does not mend. While the status still tells of the baseline, its failures are
    old news."""
    mode, created = mode_of(obj), snapshot.revisions.created
    if mode not in (KNATIVE, STANDARD):
        message = f"in deployment mode {mode} an InferenceService has no revisions that could be waited for"
        return State.FAILED, "NoRevisions", message
    # In Standard mode it tells of the pods of all revisions together, and only one thing of the spec.
    blocked = _BLOCKED if mode == KNATIVE else () if created else (_INVALID,)
    status = snapshot.transition_status
    if status in blocked and not (stale and status != _INVALID):
        detail = f": {snapshot.load_failure}" if snapshot.load_failure else ""
        return State.FAILED, status, f"the model is {status}{detail}"
    if stale or not created:
        return None
    if mode == STANDARD:
        given_up = Standard(obj, children).given_up()
        return (State.FAILED, "ProgressDeadlineExceeded", given_up) if given_up else None
    for condition in conditions(obj):
        if condition.status == "False" and condition.reason in _GIVEN_UP and created in condition.message:
            return State.FAILED, condition.reason, condition.message
    return None


def _pending(obj: Object, snapshot: Snapshot, asked: _Asked, children: Children) -> _Answer:
    """The first thing that is still missing, in the order in which a rollout brings them; succeeded if
    nothing is."""
    now = snapshot.revisions
    if not now.created:
        return State.PENDING, "RevisionNotCreated", "no revision has been created yet"
    if asked.new_revision and now.created == (asked.baseline_revision or ""):
        return State.PENDING, "RevisionNotCreated", f"the latest revision is still the baseline {now.created}"
    lacks = _lacks(obj, snapshot, asked, children)
    if lacks:
        return State.PENDING, *lacks
    return (
        State.SUCCEEDED,
        "AsExpected",
        f"revision {now.created} is ready; traffic {spell(snapshot.traffic)}",
    )


def _lacks(obj: Object, snapshot: Snapshot, asked: _Asked, children: Children) -> tuple[str, str] | None:
    """What the created revision still lacks."""
    now, own = snapshot.revisions, asked.traffic is None
    found: tuple[str, str] | None = None
    if mode_of(obj) == STANDARD:
        found = Standard(obj, children).missing(split=own)
    elif now.ready != now.created:
        found = "RevisionNotReady", f"revision {now.created} is not ready yet{_why(snapshot)}"
    if found is None and not snapshot.ready:
        found = "NotReady", f"Ready is {snapshot.ready_condition.status}{_why(snapshot)}"
    if found:
        return found
    problem = _traffic_problem(snapshot, asked.baseline_revision, asked.traffic)
    if own and mode_of(obj) != STANDARD:
        problem = problem or _own_traffic_problem(obj, snapshot)
    return ("TrafficNotAsExpected", problem) if problem else None


def _why(snapshot: Snapshot) -> str:
    message = snapshot.ready_condition.message or snapshot.ready_condition.reason
    return f" ({message})" if message and not snapshot.ready else ""


def _traffic_problem(
    snapshot: Snapshot, baseline_revision: str | None, expected: Mapping[str, int] | None
) -> str | None:
    if sum(snapshot.traffic.values()) != 100:
        return f"the traffic does not sum to 100 percent: {spell(snapshot.traffic)}"
    if expected is None:
        return None
    aliases = {
        "latest": snapshot.revisions.created,
        "baseline": baseline_revision or "",
        "previous": snapshot.revisions.previous,
    }
    wanted = {aliases.get(name, name): percent for name, percent in expected.items() if percent > 0}
    # All sums to 100 here, so a whole split that is asked for leaves nothing to other revisions.
    seen = {name: snapshot.traffic.get(name, 0) for name in wanted}
    forbidden = [
        n for n, percent in expected.items() if percent == 0 and aliases.get(n, n) in snapshot.traffic
    ]
    if seen == wanted and not forbidden:
        return None
    return f"the traffic is {spell(snapshot.traffic)}, not yet {spell(dict(expected))}"


def _own_traffic_problem(obj: Object, snapshot: Snapshot) -> str | None:
    """What the status does not show yet of the percent that the object's own spec asks for."""
    asked = asked_percent(obj)
    now = snapshot.revisions
    others = {now.rolledout, now.previous, *snapshot.traffic} - {"", now.created}
    if not isinstance(asked, int) or (not others and generation_of(obj) <= 1):
        # A first revision has all, whatever is asked. Once the spec was changed another one is on its way.
        return None
    rows = entries(obj, "status", "components", "predictor", "traffic")
    names = [text(row, "revisionName") for row in rows if number(row, "percent") > 0]
    if len(set(names)) < len(names):
        return f"{names[0]} has both the latest's and the previous one's traffic"
    share = snapshot.traffic.get(now.created, 0)
    return None if share == asked else f"the latest revision has {share} %, and its spec asks for {asked} %"


def asked_percent(obj: Object) -> Any:
    """What the latest revision is to have once it is ready, by the spec of Knative mode."""
    return mapping(obj, "spec", "predictor").get(PERCENT, 100)


class Stability:
    """Whether what was asked holds, and keeps holding: fed with (time, object), it answers like `assess`.

    It succeeds once snapshots over at least `stable_seconds`, and at least `snapshots` of them, have all
    shown the same revisions and traffic as asked. Feed it each new version and, while nothing changes, the
    last one again from time to time, with the time of asking (seconds, of a clock that does not go back).
    An object that vanishes, or that is replaced by another of the same name, is a failure.
    """

    def __init__(
        self,
        baseline_revision: str | None = None,
        expected_traffic: Mapping[str, int] | None = None,
        new_revision: bool | None = None,
        stable_seconds: float = 2.0,
        snapshots: int = 2,
        *,
        serving: bool = False,
    ) -> None:
        self._baseline_revision = baseline_revision
        self._expected_traffic = expected_traffic
        self._new_revision = new_revision
        self._serving = serving
        self._stable_seconds = stable_seconds
        self._uid = ""
        self._held = Held(stable_seconds, snapshots)

    def feed(self, time: float, obj: Object | None, children: Children = _NONE) -> ServiceOutcome:
        """The answer with this snapshot, taken at `time`, added."""
        outcome = assess(
            obj,
            self._baseline_revision,
            self._expected_traffic,
            self._new_revision,
            serving=self._serving,
            children=children,
        )
        uid = uid_of(obj)
        if self._uid and uid != self._uid:
            fate = "was replaced by another one of the same name" if uid else "was deleted during the wait"
            reason = "Replaced" if uid else "Deleted"
            return replace(outcome, state=State.FAILED, reason=reason, message=f"the InferenceService {fate}")
        self._uid = uid
        succeeded = outcome.state is State.SUCCEEDED
        if self._held.feed(time, succeeded, (outcome.revisions, outcome.traffic)) or not succeeded:
            return outcome
        held = self._held.held_for(time)
        message = f"{outcome.message}; held for {held:.1f} of {self._stable_seconds:g} s"
        return replace(outcome, state=State.PENDING, reason="NotStableYet", message=message)


def transitions(previous: Object | None, current: Object | None) -> list[Event]:
    """What happened between two snapshots, in this order: created, ready, traffic, Ready, deleted.

    `previous` is None for the first snapshot, `current` is None once the object is gone. Without children:
    what a `view.View` tells is the same, and in Standard mode more.
    """
    if current is None:
        return [] if previous is None else [deleted()]
    return changes(None if previous is None else read(previous), read(current))


def deleted() -> Event:
    """The object is gone."""
    return _event("deleted", "InferenceService deleted", {})


def changed(previous: Object | None, current: Object | None) -> list[Event]:
    """Whether somebody has changed the spec between two snapshots of one object."""
    before, now = (generation_of(obj) for obj in (previous, current))
    if previous is None or current is None or now <= before:
        return []
    data: dict[str, Any] = {"generation": now}
    asked = asked_percent(current)
    if isinstance(asked, int) and mode_of(current) == KNATIVE:
        data["asks"] = asked
    return [_event("changed", f"InferenceService changed (generation {now})", data)]


def changes(previous: Snapshot | None, now: Snapshot) -> list[Event]:
    """What is new in a snapshot, against the one before it (None for the first)."""
    before = read(None) if previous is None else previous
    events = []
    if now.revisions.created and now.revisions.created != before.revisions.created:
        name = now.revisions.created
        events.append(_event("revision_created", f"revision {name} created", {"revision": name}))
    if now.revisions.ready and now.revisions.ready != before.revisions.ready:
        name = now.revisions.ready
        events.append(_event("revision_ready", f"revision {name} ready", {"revision": name}))
    if now.traffic != before.traffic:
        # When a split was first seen in a first snapshot it is not known since when it has held.
        data = {"traffic": dict(now.traffic), **({"first": True} if previous is None else {})}
        events.append(_event("traffic", f"traffic: {spell(now.traffic)}", data))
    if now.ready != before.ready:
        readiness = "ready" if now.ready else f"not ready{_why(now)}"
        events.append(_event("ready", f"InferenceService {readiness}", {"ready": now.ready}))
    return events


def _event(event: str, message: str, data: dict[str, Any]) -> Event:
    return Event("inferenceservice", event, message, data)
