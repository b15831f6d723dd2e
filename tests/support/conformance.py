# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded rollouts of real clusters, run again somewhere else: are the same states seen in the same order?

A recording (tests/support/data/kserve, trimmed) is cut at its marks into segments: what was patched, and the
states that followed. A :class:`Target` is given the same patches and tells its own. Times are dropped,
revisions and Deployments are named by their part of the InferenceService's name, and a state that repeats
counts once. :data:`PASSING` says which states may be missing, or be there, on either side, and why; all
others must agree, and in their order.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Protocol, Union

NAME = "m"
DATA = Path(__file__).parent / "data/kserve"
IMAGE = "sandbox.iter8.kfserving/model"
RECORDED_IMAGE = "dev.local/model:1"
MODE = "serving.kserve.io/deploymentMode"

Json = dict[str, Any]


class Split(NamedTuple):
    """An InferenceService in Knative mode: revisions by number; who gets what as (number, percent, kind)."""

    created: str
    ready_revision: str
    rolled_out: str
    previous: str
    traffic: tuple[tuple[str, int, str], ...]
    ready: str


class Canaries(NamedTuple):
    """An InferenceService in Standard mode: Ready, why where it is False, and (name, ready, percent)."""

    ready: str
    reason: str
    canaries: tuple[tuple[str, bool, int], ...]


class Backends(NamedTuple):
    """An HTTPRoute: (Service, weight), and whether the gateway could resolve them."""

    route: str
    backends: tuple[tuple[str, int], ...]
    resolved: str


class Replicas(NamedTuple):
    """A Deployment of Standard mode: the pods that it is to have; `None` when it is gone."""

    deployment: str
    replicas: Optional[int]


class Asked(NamedTuple):
    """The split in the spec of the Knative Service, or of the Ingress."""

    kind: str
    traffic: tuple[tuple[str, int, str], ...]


State = Union[Split, Canaries, Backends, Replicas, Asked]


@dataclass
class Segment:
    """From one patch to the next."""

    mark: str
    spec: Json
    states: list[State]
    seconds: float = 0.0


class Target(Protocol):
    """Somewhere that serves InferenceServices."""

    def apply(self, spec: Json, annotations: Mapping[str, str]) -> None:
        """Create the InferenceService :data:`NAME`, or replace its spec."""

    def follow(self, reached: Callable[[Sequence[State]], bool], seconds: float) -> list[State]:
        """The states since `apply`.

        :param reached: whether those so far hold the end of the recorded ones; then it may come back when
            nothing has changed for a while.
        :param seconds: how long the recording waited before the next patch.
        """


def segments(path: Path) -> tuple[dict[str, str], list[Segment]]:
    """Read a recording: the InferenceService's annotations, and its segments."""
    annotations: dict[str, str] = {}
    found: list[Segment] = []
    waiting, begun = "create", 0.0
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row.get("mark") in ("load_started", "load_stopped"):
            continue
        if "mark" in row:
            waiting = row["mark"]
            if found:
                found[-1].seconds = row["at"] - begun
            begun = row["at"]
            continue
        obj = row["object"]
        if waiting:
            annotations.update(obj["metadata"].get("annotations", {}))
            found.append(Segment(waiting, obj["spec"], []))
            waiting = ""
        state = state_of(row["type"], obj)
        if state is not None:
            found[-1].states.append(state)
    return annotations, found


def state_of(how: str, obj: Mapping[str, Any]) -> Optional[State]:
    """What counts of one version of an object; `how` is the watch event's type. `None`: nothing does."""
    kind, name = obj["kind"], obj["metadata"]["name"]
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if kind == "InferenceService":
        mode = obj["metadata"].get("annotations", {}).get(MODE) or status.get("deploymentMode")
        return _canaries(status) if mode == "Standard" else _split(status)
    if kind == "HTTPRoute":
        backends = tuple((_part(b["name"]), b.get("weight", 1)) for b in spec["rules"][0]["backendRefs"])
        return Backends(_part(name), backends, _resolved(status))
    if kind == "Deployment" and "-predictor-0" not in name:
        return Replicas(_part(name), None if how == "DELETED" else spec["replicas"])
    if kind == "Service" and "knative" in obj["apiVersion"]:
        return Asked("ksvc", _traffic(spec["traffic"]))
    if kind == "Ingress":
        rule = next(rule for rule in spec["rules"] if rule["visibility"] == "ExternalIP")
        splits = rule["splits"] if "splits" in rule else rule["http"]["paths"][0]["splits"]
        return Asked("ingress", tuple((_number(s["serviceName"]), s["percent"], "") for s in splits))
    return None


def _split(status: Mapping[str, Any]) -> Split:
    own = (status.get("components") or {}).get("predictor") or {}
    names = (
        "latestCreatedRevision",
        "latestReadyRevision",
        "latestRolledoutRevision",
        "previousRolledoutRevision",
    )
    ready = _condition(status, "Ready").get("status", "")
    created, newest, rolled_out, previous = (_number(own.get(name, "")) for name in names)
    return Split(created, newest, rolled_out, previous, _traffic(own.get("traffic") or ()), ready)


def _traffic(entries: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, int, str], ...]:
    return tuple(
        (
            _number(entry.get("revisionName", "")),
            entry["percent"],
            "latest" if entry.get("latestRevision") else entry.get("tag", ""),
        )
        for entry in entries
    )


def _canaries(status: Mapping[str, Any]) -> Canaries:
    ready = _condition(status, "Ready")
    reason = ready.get("reason", "") if ready.get("status") == "False" else ""
    canaries = tuple((c["name"], c["ready"], c["trafficPercent"]) for c in status.get("canaryStatuses") or ())
    return Canaries(ready.get("status", ""), reason, canaries)


def _resolved(status: Mapping[str, Any]) -> str:
    parents = status.get("parents") or []
    return _condition(parents[0], "ResolvedRefs").get("status", "") if parents else ""


def _condition(holder: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in holder.get("conditions") or () if each["type"] == kind), {})


def _number(revision: str) -> str:
    return str(int(revision.rpartition("-")[2])) if revision else ""


def _part(name: str) -> str:
    """A name without the InferenceService's own: `-predictor`, `-v2-predictor`, or nothing."""
    return name[len(NAME) :]


# What may pass unseen. Each is asked with the state, the one before it and those after it in its segment.
Passing = Callable[[State, Optional[State], Sequence[State]], bool]


def _same_split(one: State, other: Optional[State]) -> bool:
    return isinstance(one, Split) and isinstance(other, Split) and one[:-1] == other[:-1]


def _with_itself(state: State) -> bool:
    """A revision's split with itself, by which a promotion is rolled back."""
    return (
        isinstance(state, Split)
        and len(state.traffic) == 2
        and state.traffic[0][0] == state.traffic[1][0] != state.rolled_out
    )


def _error(state: State, _before: Optional[State], _after: Sequence[State]) -> bool:
    return isinstance(state, Split) and state.ready == "False"


def _out_of_date(state: State, before: Optional[State], _after: Sequence[State]) -> bool:
    return (
        isinstance(state, Split)
        and state.ready == "Unknown"
        and isinstance(before, Split)
        and before.ready == "True"
        and _same_split(state, before)
    )


def _unprobed(state: State, _before: Optional[State], after: Sequence[State]) -> bool:
    return (
        isinstance(state, Split)
        and state.ready == "Unknown"
        and not _with_itself(state)
        and any(
            _same_split(state, each) and isinstance(each, Split) and each.ready == "True" for each in after
        )
    )


def _not_migrated(state: State, _before: Optional[State], _after: Sequence[State]) -> bool:
    if not isinstance(state, Split) or state.ready != "Unknown" or not state.ready_revision:
        return False
    latest = next((number for number, _percent, kind in state.traffic if kind == "latest"), "")
    return latest != state.ready_revision


def _ready_with_itself(state: State, _before: Optional[State], _after: Sequence[State]) -> bool:
    return isinstance(state, Split) and state.ready == "True" and _with_itself(state)


def _waits_for_parents(state: State, _before: Optional[State], _after: Sequence[State]) -> bool:
    return isinstance(state, Canaries) and state.reason == "ParentStatusNotAvailable"


def _no_parents(state: State, _before: Optional[State], _after: Sequence[State]) -> bool:
    return isinstance(state, Backends) and state.resolved == ""


PASSING: Mapping[str, tuple[str, Passing]] = {
    "error": (
        "KServe's update of its Knative Service met a newer version: 1 of 13 recordings, for 0.1 s.",
        _error,
    ),
    "out of date": (
        "The Knative Service has seen its new spec, its children have not; KServe often comes by too late.",
        _out_of_date,
    ),
    "not probed": ("The new split is written; its probes take between nothing and 0.4 s.", _unprobed),
    "not migrated": (
        "The new revision is ready, and the Route has not noticed: less than 0.1 s.",
        _not_migrated,
    ),
    "ready, split with itself": (
        "Rolling a promotion back, KServe may call the first of its two steps ready: 1 of 3 recordings.",
        _ready_with_itself,
    ),
    "no parents yet": ("The gateway has not yet written the first status of a route.", _no_parents),
    "waits for parents": ("KServe saw the route before the gateway's status of it.", _waits_for_parents),
}


def decisive(states: Sequence[State], before: dict[str, State]) -> list[State]:
    """The states that must agree: without what may pass unseen, and without repeats of an object's state.

    :param before: the last state of each object before this segment; updated. The InferenceService is told
        anew in each, for it shows its old status first.
    """
    before.pop("InferenceService", None)
    kept: list[State] = []
    # A state of the object's own kind: only among those does "before" and "after" have a meaning.
    for number, state in enumerate(states):
        last = next((each for each in reversed(states[:number]) if type(each) is type(state)), None)
        after = [each for each in states[number + 1 :] if type(each) is type(state)]
        if not any(passes(state, last, after) for _reason, passes in PASSING.values()):
            kept.append(state)
    return _collapsed(kept, before)


def _collapsed(states: Iterable[State], latest: dict[str, State]) -> list[State]:
    kept = []
    for state in states:
        key = _object(state)
        if latest.get(key) != state:
            latest[key] = state
            kept.append(state)
    return kept


def _object(state: State) -> str:
    """Of which object it is a state."""
    if isinstance(state, (Split, Canaries)):
        return "InferenceService"
    return f"{type(state).__name__} {state[0]}"


def by_object(states: Iterable[State]) -> dict[str, list[State]]:
    """The states of each object by itself, in their order."""
    found: dict[str, list[State]] = {}
    for state in states:
        found.setdefault(_object(state), []).append(state)
    return found


def in_order(states: Iterable[State]) -> list[str]:
    """In which order Standard mode's objects were first touched: what is deleted, scaled and routed when.

    Which of the two HTTPRoutes the gateway comes to first is chance.
    """
    order: list[str] = []
    for state in states:
        key = "HTTPRoutes" if isinstance(state, Backends) else _object(state)
        if isinstance(state, Replicas) and state.replicas is None:
            key += " deleted"
        if key not in order:
            order.append(key)
    return order


def sandboxed(spec: Json, env: Mapping[str, str]) -> Json:
    """A recorded spec with the sandbox's own model server in place of the recorded image.

    :param env: variables for what the spec asks for newly, such as how long its model takes to load.
    """
    made = copy.deepcopy(spec)
    more = [{"name": name, "value": value} for name, value in env.items()]
    for holder in [made["predictor"], *(entry["predictor"] for entry in made.get("canary") or ())]:
        for container in holder.get("containers") or ():
            if container["image"] == RECORDED_IMAGE:
                container.update(image=IMAGE, env=[*(container.get("env") or ()), *more])
        if "model" in holder:
            holder["model"]["env"] = [each for each in holder["model"].get("env") or () if each["value"]]
    return made


LOADING: Mapping[str, Mapping[str, str]] = {
    "knative-never-ready canary 20": {"MODEL_LOAD_SECONDS": "600"},
    "knative-reject-then-next next canary 30": {"MODEL_LOAD_SECONDS": "8"},
    "knative-canary-at-zero next canary 0": {"MODEL_LOAD_SECONDS": "6"},
}
"""What the recordings' README says of their models, by recording and mark, until the next model."""


def replay(
    path: Path, target: Target, adapt: Callable[[Json, Mapping[str, str]], Json] = sandboxed
) -> list[str]:
    """Run a recording's patches on a target; the differences, one text each.

    :param adapt: makes a recorded spec one that the target can serve.
    """
    annotations, recorded = segments(path)
    differences: list[str] = []
    theirs: dict[str, State] = {}
    ours: dict[str, State] = {}
    model, env = "", {}
    for segment in recorded:
        asked = json.dumps(segment.spec["predictor"].get("containers"), sort_keys=True)
        if asked != model:
            model, env = asked, dict(LOADING.get(f"{path.stem} {segment.mark}", {}))
        target.apply(adapt(segment.spec, env), annotations)
        wanted = decisive(segment.states, theirs)
        end = {key: states[-1] for key, states in by_object(wanted).items()}

        def reached(states: Sequence[State], end: Mapping[str, State] = end) -> bool:
            return {key: each[-1] for key, each in by_object(states).items() if key in end} == end

        found = decisive(target.follow(reached, segment.seconds), ours)
        differences += compare(segment.mark, wanted, found)
    return differences


def compare(mark: str, wanted: Sequence[State], found: Sequence[State]) -> list[str]:
    """The differences between recorded and found states of one segment."""
    differences = []
    ours, theirs = by_object(found), by_object(wanted)
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key):
            lines = "\n".join(
                f"    {side} {each}"
                for side, all_ in (("recorded", theirs), ("here    ", ours))
                for each in all_.get(key, ())
            )
            differences.append(f"{mark}: {key} went another way\n{lines}")
    if not any(isinstance(each, Split) for each in wanted) and in_order(found) != in_order(wanted):
        differences.append(f"{mark}: in another order: recorded {in_order(wanted)}, here {in_order(found)}")
    return differences
