# SPDX-License-Identifier: GPL-3.0-or-later
"""From what answers say of themselves to the revisions that gave them.

A server may name its pod, which belongs to a revision. Or it says something that differs between the two
versions only: a version of the model, or what it answers to a probe. What that is can be *learned*: before
the change the baseline serves alone, and after a promotion the canary does. It proves which of the two
answered, as long as there is no third: one that answers as one of them does is taken for that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..evidence.access_log import AccessLog
from ..evidence.load import Load
from ..objects.pod import owner_of, revision_of
from ..objects.tree import mapping, name_of, text

# Routes take a moment: until then the one before may still answer.
SETTLED_SECONDS = 3.0


@dataclass(frozen=True)
class Naming:
    """Which revision each name stands for; `problem` is why nothing could be learned, as a clause.

    `proof` is what is known by it, one sentence for people; empty where answers name revisions themselves.
    """

    revisions: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    proof: str = ""


OWN = Naming()
"""Answers name revisions themselves."""


def pods_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The revision of each pod that an observer saw, by the pod's name and by its address, and by the address
    of a revision's own Service; empty where that had several: an address is given again, and pods in the
    host's network share its own."""
    found: dict[str, set[str]] = {}
    for row in rows:
        obj = mapping(row, "object")
        names: list[str] = []
        if text(obj, "kind") == "Pod":
            names = [name_of(obj), text(mapping(obj, "status"), "podIP")]
        elif text(obj, "kind") == "Service":
            names = [text(mapping(obj, "spec"), "clusterIP")]
        revision = revision_of(obj)
        for name in names:
            # A headless Service has no address: its clusterIP is the word None.
            if name not in ("", "None") and revision:
                found.setdefault(name, set()).add(revision)
    return _of_one(found)


def deployments_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The revision of each Deployment, whose Service a gateway may name; empty where it had several."""
    found: dict[str, set[str]] = {}
    for row in rows:
        obj = mapping(row, "object")
        owner = owner_of(obj, "Deployment") if text(obj, "kind") == "ReplicaSet" else ""
        if owner:
            found.setdefault(owner, set()).add(name_of(obj))
    return _of_one(found)


def _of_one(found: Mapping[str, set[str]]) -> dict[str, str]:
    return {name: next(iter(own)) if len(own) == 1 else "" for name, own in found.items()}


def learn(
    load: Load, baseline: str, canary: str, before: Collection[str], full_share: float | None
) -> Naming:
    """What the names of the load stand for, where they are not revisions.

    `before` are the names given while the baseline served alone, `full_share` is from when on the canary did,
    if it ever did (epoch seconds of the load's clock).
    """
    names = {name for name, (n, _unused) in load.revisions.items() if n and name}
    if len(before) != 1:
        said = ", ".join(sorted(before)) or "nothing"
        return Naming(problem=f"before the change the answers said {said}, not one thing of the one revision")
    (of_baseline,) = before
    if full_share is None:
        others = names - {of_baseline}
        how = "which is whatever did not answer as the baseline had"
    else:
        since = full_share + SETTLED_SECONDS
        late = Counter[str]()
        for second in load.seconds:
            late.update(second.revisions if second.start >= since else {})
        others = {name for name, n in late.items() if n and name} - {of_baseline}
        how = "which is what answered once the canary had all of the traffic"
        if not others:
            problem = f"the answers say {of_baseline} of both revisions, so they do not tell them apart"
            return Naming(problem=problem)
    if len(others) > 1:
        return Naming(problem=f"the answers of the canary say several things: {', '.join(sorted(others))}")
    found = {of_baseline: baseline, **dict.fromkeys(others, canary)}
    proof = (
        f"The baseline was told by {of_baseline}, as it answered before the change, and the canary by "
        f"{', '.join(others) or 'nothing'}, {how}: what a third revision answers could be taken for theirs."
    )
    return Naming(found, proof=proof)


def renamed(load: Load, naming: Mapping[str, str], known_only: bool) -> Load:
    """The load with revisions instead of names; with `known_only`, what stands for none names nobody."""

    def of(name: str) -> str:
        return naming.get(name, "" if known_only else name)

    revisions: dict[str, tuple[int, int]] = {}
    for name, (n, k) in load.revisions.items():
        before = revisions.get(of(name), (0, 0))
        revisions[of(name)] = (before[0] + n, before[1] + k)
    seconds = []
    for second in load.seconds:
        counts = Counter[str]()
        for name, n in second.revisions.items():
            counts[of(name)] += n
        seconds.append(replace(second, revisions=dict(counts)))
    ledger = tuple(replace(lost, revision=of(lost.revision)) for lost in load.ledger)
    streamed = load.streamed
    if streamed is not None:
        begun = Counter[str]()
        for name, n in streamed.begun.items():
            begun[of(name)] += n
        streamed = streamed._replace(begun=dict(begun))
    return replace(load, revisions=revisions, seconds=tuple(seconds), ledger=ledger, streamed=streamed)


def renamed_log(log: AccessLog, naming: Mapping[str, str]) -> AccessLog:
    """The gateway's log with revisions instead of the pods and Deployments that it names.

    Where one of these stands for several revisions, the log tells nobody.
    """
    if any(n and naming.get(name) == "" for name, n in log.revisions.items()):
        naming = dict.fromkeys(log.revisions, "")

    def summed(counts: Mapping[str, int]) -> dict[str, int]:
        found = Counter[str]()
        for name, n in counts.items():
            found[naming.get(name, name)] += n
        return dict(found)

    return replace(
        log,
        revisions=summed(log.revisions),
        seconds={second: summed(counts) for second, counts in log.seconds.items()},
        entries={
            key: replace(entry, revision=naming.get(entry.revision, entry.revision))
            for key, entry in log.entries.items()
        },
    )
