# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the objects that a run left behind those that were observed, and of one rollout?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .objects.inferenceservice import asked_percent, read
from .objects.snapshot import KNATIVE, mode_of
from .objects.tree import mapping, number, text

Object = Mapping[str, Any]
_SERVICE, _EXPERIMENT = "InferenceService", "Experiment"


def replaced(service: Object | None, rows: Iterable[Mapping[str, Any]]) -> str:
    """How the InferenceService ceased to be the one that it was, as a clause; empty where it did not."""
    name = text(mapping(service, "metadata"), "name")
    if text(mapping(service, "metadata"), "deletionTimestamp"):
        return "is being deleted"
    seen: dict[str, None] = {}
    for row in rows:
        obj = mapping(row, "object")
        if text(obj, "kind") != _SERVICE or text(mapping(obj, "metadata"), "name") != name:
            continue
        if row.get("type") == "deleted":
            return "was deleted while it was observed"
        seen[text(mapping(obj, "metadata"), "uid")] = None
    uids = [uid for uid in dict.fromkeys([*seen, text(mapping(service, "metadata"), "uid")]) if uid]
    if len(uids) < 2:
        return ""
    return f"was deleted and created again: it had the UID {uids[0]}, and then {uids[-1]}"


def contradictions(
    service: Object | None,
    experiment: Object | None,
    rows: Sequence[Mapping[str, Any]],
    generations: Sequence[int],
    expected: str,
) -> Iterator[str]:
    """What does not go together, each as a clause. `generations` are those of the InferenceService's
    specification that the timeline tells of, in order; `expected` is the revision that is to have
    everything."""
    metadata = mapping(service, "metadata")
    if service and text(service, "kind") not in ("", _SERVICE):
        yield f"the InferenceService is of the kind {text(service, 'kind')}"
    yield from _other_target(metadata, experiment)
    yield from _other_uid(experiment, rows)
    last = number(metadata, "generation")
    for one, other in zip(generations, [*generations[1:], *([last] if last else [])]):
        if other < one:
            yield f"the InferenceService was at generation {other} after it had been at {one}"
            break
    yield from _not_asked_for(service, expected)


def _not_asked_for(service: Object | None, expected: str) -> Iterator[str]:
    """Traffic of the latest revision that the spec does not ask for: it is about to move again."""
    if service is None or mode_of(service) != KNATIVE:
        return
    now, asked = read(service), asked_percent(service)
    if not now.ready or now.traffic != {expected: 100} or now.revisions.created != expected:
        return
    if isinstance(asked, int) and asked < 100:
        yield f"all traffic is on {expected}, and the InferenceService's spec asks for {asked} % there"


def _other_target(metadata: Mapping[str, Any], experiment: Object | None) -> Iterator[str]:
    """An Experiment is about `namespace/name`."""
    target = text(mapping(experiment, "spec"), "target")
    namespace, _slash, name = target.rpartition("/")
    own, of = text(metadata, "name"), text(metadata, "namespace")
    if target and own and (name != own or (namespace and of and namespace != of)):
        yield f"the Experiment is about {target}, and the InferenceService is {of}/{own}"


def _other_uid(experiment: Object | None, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    metadata = mapping(experiment, "metadata")
    seen: dict[str, None] = {}
    for row in rows:
        obj = mapping(row, "object")
        about = mapping(obj, "metadata")
        if text(obj, "kind") == _EXPERIMENT and text(about, "name") == text(metadata, "name"):
            seen[text(about, "uid")] = None
    uid = text(metadata, "uid")
    if uid and any(seen) and uid not in seen:
        yield f"the Experiment has the UID {uid}, and the one observed {next(filter(None, seen))}"
