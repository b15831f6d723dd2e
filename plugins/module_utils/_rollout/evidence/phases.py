# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a rollout: stretches of the load with one traffic split each, cut at the shift's marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..objects.snapshot import NOT_REPORTED
from ..roles import BASELINE, CANARY
from .marks import Marks

BEFORE = "before the canary"
PROMOTION = "promotion"
ROLLBACK = "rollback"
AFTER = "after"
UNKNOWN = "canary at an unknown weight"

Weights = Mapping[str, int]


@dataclass(frozen=True)
class Phase:
    """A stretch of the rollout with one traffic split, from `start` up to `end`.

    `weights` is in percent by role (or by name, for a revision without a role), and empty where the split is
    not known.
    """

    name: str
    start: float
    end: float
    weights: Weights = field(default_factory=dict)


def phases(found: Marks, roles: Mapping[str, str], start: float, end: float) -> list[Phase]:
    """The phases between the start and the end of the load; all is one without a `canary_applied` mark.

    `roles` maps revision names to roles.
    """
    if found.canary_applied is None:
        return [Phase(BEFORE, start, end, {})]
    cuts = [found.canary_applied, *(time for time, _unused in found.traffic)]
    if found.completion:
        cuts.append(found.completion.time)
    if found.unobserved_since is not None:
        cuts.append(found.unobserved_since)
    begins = sorted({start, *(time for time in cuts if start < time < end)})
    whole = []
    for begin, until in zip(begins, [*begins[1:], end]):
        weights = _weights_at(begin, found, roles)
        whole.append(Phase(_name(begin, weights, found), begin, until, weights))
    return _merge(whole)


def _weights_at(time: float, found: Marks, roles: Mapping[str, str]) -> dict[str, int]:
    """The split by role that was observed last at this moment; before any was, all is the baseline's. Empty
    where nothing bears it out."""
    if found.unobserved_since is not None and time >= found.unobserved_since:
        return {}
    split: Mapping[str, int] = {}
    for at, observed in found.traffic:
        if at <= time:
            split = observed
    weights: dict[str, int] = {}
    if NOT_REPORTED in split or sum(split.values()) not in (0, 100):
        return weights
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
    if found.shift_ended is None or time < found.shift_ended:
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
