# SPDX-License-Identifier: GPL-3.0-or-later
"""An InferenceService, read: its revisions and traffic, and whether a change of it has really taken effect.

Knows serving.kubeflow.org/v1beta1 (KFServing 0.5, 0.6) and serving.kserve.io/v1beta1. For a moment after a
change the old status stands unchanged, Ready=True included, and no generation can be compared to see that.
So a wait records the baseline revision first and asks for a different one: see `assess` and `Stability`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .events import Event, State
from .stability import Held
from .tree import Condition, conditions, entries, mapping, number, text

# KServe's modelStatus.transitionStatus values that no waiting mends.
_BLOCKED = ("BlockedByFailedLoad", "InvalidSpec")
# KServe's modes in which it makes Deployments: called so up to 0.15, and from 0.16 on.
_WITHOUT_REVISIONS = ("RawDeployment", "Standard")
# Knative's reasons for a revision that it has given up.
_GIVEN_UP = ("RevisionFailed", "ProgressDeadlineExceeded", "ContainerMissing")


@dataclass(frozen=True)
class Revisions:
    """The predictor's revision names, each empty while unknown; `serving` is the one that clients get."""

    created: str = ""
    ready: str = ""
    rolledout: str = ""
    previous: str = ""
    serving: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What one version of the object says. `traffic` holds only revisions with more than 0 percent.

    `traffic_told` is whether it says how the traffic is split, by names: not all modes do. `ready_told` is
    whether it says anything about being ready.
    """

    revisions: Revisions
    ready: bool
    ready_condition: Condition
    traffic: dict[str, int]
    url: str
    transition_status: str = ""
    load_failure: str = ""
    traffic_told: bool = True
    ready_told: bool = True


@dataclass(frozen=True)
class ServiceOutcome:
    """Whether what was asked of the InferenceService holds; `reason` is one word, `message` one sentence."""

    state: State
    reason: str
    message: str
    revisions: Revisions = field(default_factory=Revisions)
    traffic: dict[str, int] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()


def read(obj: Mapping[str, Any] | None) -> Snapshot:
    """The object as a snapshot; an absent object or status reads as nothing created, nothing ready."""
    status = mapping(obj, "status")
    predictor = mapping(status, "components", "predictor")
    told = next((c for c in conditions(obj) if c.type == "Ready"), None)
    ready = told or Condition("Ready", "Unknown")
    traffic = _traffic(predictor)
    model = mapping(status, "modelStatus")
    failure = mapping(model, "lastFailureInfo")
    traffic = _traffic(predictor)
    return Snapshot(
        revisions=Revisions(
            created=text(predictor, "latestCreatedRevision"),
            ready=text(predictor, "latestReadyRevision"),
            rolledout=text(predictor, "latestRolledoutRevision"),
            previous=text(predictor, "previousRolledoutRevision"),
            serving=_serving(text(predictor, "latestRolledoutRevision"), traffic),
        ),
        ready=ready.status == "True",
        ready_condition=ready,
        traffic=traffic,
        url=text(status, "url"),
        transition_status=text(model, "transitionStatus"),
        load_failure=text(failure, "message") or text(failure, "reason"),
        traffic_told=isinstance(predictor.get("traffic"), list) and "" not in traffic,
        ready_told=told is not None,
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


def _serving(rolledout: str, traffic: Mapping[str, int]) -> str:
    """The revision that a rollout starts from: the rolled-out one while it has traffic, else the one with
    most of it. The latest ready one may be a canary that was rolled back, and serves nobody."""
    if rolledout in traffic or not traffic:
        return rolledout
    return max(traffic, key=lambda name: (traffic[name], name))


def assess(
    obj: Mapping[str, Any] | None,
    baseline_revision: str | None = None,
    expected_traffic: Mapping[str, int] | None = None,
    new_revision: bool | None = None,
    serving: bool = False,
) -> ServiceOutcome:
    """Whether one snapshot shows everything asked at once.

    `baseline_revision` is the revision recorded before the change. `new_revision` asks that the latest
    created revision is another one; it is the default where a baseline is named. `expected_traffic` gives
    percent by revision name, or by `latest` (the latest created revision), `baseline` (the one named) and
    `previous` (the previous rolled-out one); the traffic must be exactly that and sum to 100. Without it, the
    traffic must be what the object's own spec asks for: for a moment after a change of the percent alone the
    old status stands there, complete and Ready. With `serving` nothing
    more is asked than traffic that sums to 100: the latest revision may be a canary that was rolled back
    because it never became ready.
    """
    if new_revision is None:
        new_revision = baseline_revision is not None
    snapshot = read(obj)
    if obj is None:
        state, reason, message = State.PENDING, "NotFound", "the InferenceService does not exist yet"
    elif text(mapping(obj, "metadata"), "deletionTimestamp"):
        state, reason, message = State.FAILED, "Deleting", "the InferenceService is being deleted"
    elif serving and sum(snapshot.traffic.values()) == 100:
        state, reason = State.SUCCEEDED, "AsExpected"
        message = f"revision {snapshot.revisions.serving} serves; traffic {_spell(snapshot.traffic)}"
    else:
        stale = new_revision and snapshot.revisions.created == (baseline_revision or "")
        state, reason, message = _failure(obj, snapshot, stale) or _pending(
            obj, snapshot, baseline_revision, expected_traffic, new_revision
        )
    return ServiceOutcome(state, reason, message, snapshot.revisions, snapshot.traffic, conditions(obj))


_Answer = tuple[State, str, str]


def _failure(obj: Mapping[str, Any], snapshot: Snapshot, stale: bool) -> _Answer | None:
    """A failure that waiting does not mend. While the status still tells of the baseline, its failures are
    old news."""
    if snapshot.transition_status in _BLOCKED and not (stale and snapshot.transition_status != "InvalidSpec"):
        detail = f": {snapshot.load_failure}" if snapshot.load_failure else ""
        return State.FAILED, snapshot.transition_status, f"the model is {snapshot.transition_status}{detail}"
    created = snapshot.revisions.created
    mode = text(mapping(obj, "status"), "deploymentMode")
    if mode in _WITHOUT_REVISIONS and not created:
        message = f"in deployment mode {mode} an InferenceService has no revisions that could be waited for"
        return State.FAILED, "NoRevisions", message
    if stale or not created:
        return None
    for condition in conditions(obj):
        if condition.status == "False" and condition.reason in _GIVEN_UP and created in condition.message:
            return State.FAILED, condition.reason, condition.message
    return None


def _pending(
    obj: Mapping[str, Any],
    snapshot: Snapshot,
    baseline_revision: str | None,
    expected_traffic: Mapping[str, int] | None,
    new_revision: bool,
) -> _Answer:
    """The first thing that is still missing, in the order in which a rollout brings them; succeeded if
    nothing is."""
    now = snapshot.revisions
    if not now.created:
        return State.PENDING, "RevisionNotCreated", "no revision has been created yet"
    if new_revision and now.created == (baseline_revision or ""):
        return State.PENDING, "RevisionNotCreated", f"the latest revision is still the baseline {now.created}"
    if now.ready != now.created:
        return State.PENDING, "RevisionNotReady", f"revision {now.created} is not ready yet{_why(snapshot)}"
    if not snapshot.ready:
        status = snapshot.ready_condition.status
        return State.PENDING, "NotReady", f"Ready is {status}{_why(snapshot)}"
    problem = _traffic_problem(snapshot, baseline_revision, expected_traffic)
    if expected_traffic is None:
        problem = problem or _own_traffic_problem(obj, snapshot)
    if problem:
        return State.PENDING, "TrafficNotAsExpected", problem
    return (
        State.SUCCEEDED,
        "AsExpected",
        f"revision {now.created} is ready; traffic {_spell(snapshot.traffic)}",
    )


def _why(snapshot: Snapshot) -> str:
    message = snapshot.ready_condition.message or snapshot.ready_condition.reason
    return f" ({message})" if message and not snapshot.ready else ""


def _traffic_problem(
    snapshot: Snapshot, baseline_revision: str | None, expected: Mapping[str, int] | None
) -> str | None:
    if sum(snapshot.traffic.values()) != 100:
        return f"the traffic does not sum to 100 percent: {_spell(snapshot.traffic)}"
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
    return f"the traffic is {_spell(snapshot.traffic)}, not yet {_spell(dict(expected))}"


def _own_traffic_problem(obj: Mapping[str, Any], snapshot: Snapshot) -> str | None:
    """What the status does not show yet of the percent that the object's own spec asks for."""
    asked = mapping(obj, "spec", "predictor").get("canaryTrafficPercent", 100)
    now = snapshot.revisions
    others = {now.rolledout, now.previous, *snapshot.traffic} - {"", now.created}
    if not isinstance(asked, int) or (not others and number(mapping(obj, "metadata"), "generation") <= 1):
        # A first revision has all, whatever is asked. Once the spec was changed another one is on its way.
        return None
    rows = entries(obj, "status", "components", "predictor", "traffic")
    names = [text(row, "revisionName") for row in rows if number(row, "percent") > 0]
    if len(set(names)) < len(names):
        return f"{names[0]} has both the latest's and the previous one's traffic"
    share = snapshot.traffic.get(now.created, 0)
    return None if share == asked else f"the latest revision has {share} %, and its spec asks for {asked} %"


def _spell(traffic: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {percent} %" for name, percent in sorted(traffic.items())) or "nothing"


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

    def feed(self, time: float, obj: Mapping[str, Any] | None) -> ServiceOutcome:
        """The answer with this snapshot, taken at `time`, added."""
        outcome = assess(
            obj, self._baseline_revision, self._expected_traffic, self._new_revision, self._serving
        )
        uid = text(mapping(obj, "metadata"), "uid")
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


def transitions(previous: Mapping[str, Any] | None, current: Mapping[str, Any] | None) -> list[Event]:
    """What happened between two snapshots, in this order: created, ready, traffic, Ready, deleted.

    `previous` is None for the first snapshot, `current` is None once the object is gone.
    """
    if current is None:
        return [] if previous is None else [_event("deleted", "InferenceService deleted", {})]
    before, now = read(previous), read(current)
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
        events.append(_event("traffic", f"traffic: {_spell(now.traffic)}", data))
    if now.ready != before.ready:
        readiness = "ready" if now.ready else f"not ready{_why(now)}"
        events.append(_event("ready", f"InferenceService {readiness}", {"ready": now.ready}))
    return events


def _event(event: str, message: str, data: dict[str, Any]) -> Event:
    return Event("inferenceservice", event, message, data)
