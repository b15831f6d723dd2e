# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the objects that a run left behind those that were observed, and of one rollout?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .evidence.clocks import BESIDE_SECONDS
from .fields import is_moment
from .messages import utc
from .objects import experiment as experiments
from .objects.events import State
from .objects.inferenceservice import asked_percent, read
from .objects.snapshot import KNATIVE, Revisions, Snapshot, mode_of
from .objects.tree import entries, generation_of, mapping, name_of, text, uid_of

Object = Mapping[str, Any]
_SERVICE, _EXPERIMENT = "InferenceService", "Experiment"


class Reported(NamedTuple):
    """What the timeline tells of the InferenceService, in order: the generations of its specification, and
    which revision was the latest created one, and the latest ready one, by each that tells of it."""

    generations: Sequence[int] = ()
    created: Sequence[Sequence[str]] = ()
    readied: Sequence[Sequence[str]] = ()


def replaced(service: Object | None, rows: Iterable[Mapping[str, Any]]) -> str:
    """How the InferenceService ceased to be the one that it was, as a clause; empty where it did not."""
    name = name_of(service)
    if text(mapping(service, "metadata"), "deletionTimestamp"):
        return "is being deleted"
    seen: dict[str, None] = {}
    for row in _observed(_SERVICE, name, rows):
        if row.get("type") == "deleted":
            return "was deleted while it was observed"
        seen[uid_of(mapping(row, "object"))] = None
    uids = [uid for uid in dict.fromkeys([*seen, uid_of(service)]) if uid]
    if len(uids) < 2:
        return ""
    return f"was deleted and created again: it had the UID {uids[0]}, and then {uids[-1]}"


def of_another(service: Object | None, rows: Sequence[Mapping[str, Any]], begin: float, end: float) -> str:
    """Why the observations are not those of this run, which was under load from `begin` to `end`, as a
    clause; empty where they may be. An observer is there a little longer, and its clock may be another."""
    metadata = mapping(service, "metadata")
    own = tuple(text(metadata, key) for key in ("namespace", "name"))
    for row in rows:
        obj = mapping(row, "object")
        seen = tuple(text(mapping(obj, "metadata"), key) for key in ("namespace", "name"))
        if text(obj, "kind") == _SERVICE and any(a and b and a != b for a, b in zip(own, seen)):
            return f"they are of the InferenceService {'/'.join(seen)}, and this one is {'/'.join(own)}"
    times = [float(row["time"]) for row in rows if row.get("object") and is_moment(row.get("time"))]
    if times and (max(times) < begin - BESIDE_SECONDS or min(times) > end + BESIDE_SECONDS):
        return f"they are of another time, from {utc(min(times))} to {utc(max(times))}"
    return ""


def _observed(kind: str, name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """What was observed of the objects of this name."""
    for row in rows:
        obj = mapping(row, "object")
        if text(obj, "kind") == kind and name_of(obj) == name:
            yield row


def contradictions(
    service: Object | None,
    experiment: Object | None,
    rows: Sequence[Mapping[str, Any]],
    reported: Reported,
    expected: str,
) -> Iterator[str]:
    """What does not go together, each as a clause. `expected` is the revision that is to have everything."""
    if service and text(service, "kind") not in ("", _SERVICE):
        yield f"the InferenceService is of the kind {text(service, 'kind')}"
    if experiment and text(experiment, "kind") not in ("", _EXPERIMENT):
        yield f"the Experiment is of the kind {text(experiment, 'kind')}"
    yield from _other_target(mapping(service, "metadata"), experiment)
    yield from _other_experiment(experiment, rows)
    for kind, obj in ((_SERVICE, service), (_EXPERIMENT, experiment)):
        yield from _reported_twice(kind, obj)
    yield from _other_end(experiment, rows)
    last = generation_of(service)
    observed = [generation_of(mapping(row, "object")) for row in _observed(_SERVICE, name_of(service), rows)]
    if last and max(observed, default=0) > last:
        yield f"the InferenceService is at generation {last}, and was observed at {max(observed)}"
    for one, other in zip(reported.generations, [*reported.generations[1:], *([last] if last else [])]):
        if other < one:
            yield f"the InferenceService was at generation {other} after it had been at {one}"
            break
    if service is None or mode_of(service) != KNATIVE:
        return
    now = read(service)
    if now.traffic == {expected: 100}:
        yield from _not_asked_for(now, asked_percent(service), expected)
        yield from _other_revisions(now.revisions, reported, _latest_observed(service, rows))


def _latest_observed(service: Object, rows: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Which revisions of this InferenceService were observed as its latest created and latest ready ones."""
    seen = [
        read(mapping(row, "object")).revisions
        for row in _observed(_SERVICE, name_of(service), rows)
        if uid_of(mapping(row, "object")) == uid_of(service)
    ]
    return [one.created for one in seen if one.created], [one.ready for one in seen if one.ready]


def _other_revisions(
    last: Revisions, reported: Reported, observed: tuple[list[str], list[str]]
) -> Iterator[str]:
    """In Knative mode there is a new revision for each change, and none is the latest again."""
    for what, name, orders, seen in (
        ("revision", last.created, reported.created, observed[0]),
        ("ready revision", last.ready, reported.readied, observed[1]),
    ):
        if not name:
            continue
        for who, order in (*(("by the timeline", each) for each in orders), ("as it was observed", seen)):
            after = _after(order, name)
            if after:
                yield f"the InferenceService's latest {what} is {name}, and {who} {after} was after that"
        if any(orders) and not any(name in order for order in orders):
            newest = " and ".join(order[-1] for order in orders)
            yield f"the InferenceService's latest {what} is {name}, and by the timeline it is {newest}"


def _after(order: Sequence[str], last: str) -> str:
    """The newest of another name that came after this one; empty where there is none."""
    since = order[order.index(last) :] if last in order else ()
    return next((name for name in reversed(since) if name != last), "")


def _not_asked_for(now: Snapshot, asked: Any, expected: str) -> Iterator[str]:
    """Traffic of the latest revision that the spec does not ask for: it is about to move again."""
    if now.ready and now.revisions.created == expected and isinstance(asked, int) and asked < 100:
        yield f"all traffic is on {expected}, and the InferenceService's spec asks for {asked} % there"


def _other_target(metadata: Mapping[str, Any], experiment: Object | None) -> Iterator[str]:
    """An Experiment is about `namespace/name`."""
    target = text(mapping(experiment, "spec"), "target")
    namespace, _slash, name = target.rpartition("/")
    own, of = text(metadata, "name"), text(metadata, "namespace")
    if target and own and (name != own or (namespace and of and namespace != of)):
        yield f"the Experiment is about {target}, and the InferenceService is {of}/{own}"


def _other_experiment(experiment: Object | None, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One that was begun before and replaced is no contradiction: what counts is which was observed last."""
    uid = uid_of(experiment)
    if text(mapping(experiment, "metadata"), "deletionTimestamp"):
        yield "the Experiment is being deleted"
    observed = list(_observed(_EXPERIMENT, name_of(experiment), rows))
    last = observed[-1] if observed else {}
    seen = uid_of(mapping(last, "object"))
    if uid and seen and seen != uid:
        yield f"the Experiment has the UID {uid}, and the one observed last {seen}"
    elif experiment is not None and last.get("type") == "deleted":
        yield "the Experiment was deleted while it was observed"


def _other_end(experiment: Object | None, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """An end is for good, and iterations are not taken back."""
    if experiment is None:
        return
    now = experiments.assess(experiment)
    for row in _observed(_EXPERIMENT, name_of(experiment), rows):
        obj = mapping(row, "object")
        seen = experiments.assess(obj)
        if uid_of(obj) != uid_of(experiment):
            continue
        if seen.iterations > now.iterations:
            yield f"the Experiment has {now.iterations} iterations, and was observed with {seen.iterations}"
            return
        if seen.state is not State.PENDING and (seen.state, seen.winner) != (now.state, now.winner):
            ends = (f"{each.state.value} with {each.winner or 'nobody'} as winner" for each in (now, seen))
            yield f"the Experiment has {', and was observed to have '.join(ends)}"
            return


def _reported_twice(kind: str, obj: Object | None) -> Iterator[str]:
    """A condition has one status: they are a map by their type (Kubernetes' API conventions)."""
    statuses: dict[str, str] = {}
    for row in entries(mapping(obj, "status"), "conditions"):
        name, status = text(row, "type"), text(row, "status")
        if statuses.setdefault(name, status) != status:
            yield f"the {kind} has the condition {name} twice, as {statuses[name]} and as {status}"
