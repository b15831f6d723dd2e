# SPDX-License-Identifier: GPL-3.0-or-later
"""An iter8 Experiment, read: is it over, how did it end, and what changed between two snapshots of it.

Knows iter8.tools/v2alpha1 (etc3 0.1.1-alpha), v2alpha2 (to 0.1.38) and the versions between, which renamed
ExperimentCompleted and ExperimentFailed to Completed and Failed. In all of them *completed alone never means
success*: a failed experiment is completed too, and one that was rolled back says so in its message only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..roles import BASELINE, CANARY
from .events import Event, State
from .tree import Condition, conditions, entries, mapping, number, text

_COMPLETED = ("ExperimentCompleted", "Completed")
FAILED = ("ExperimentFailed", "Failed")
# What etc3 writes into the completed condition of an experiment that did not succeed: "Experiment rolled
# back", "Experiment failed" and, from 0.1.16, "<handler> actions failed" and "failure executing failure
# handler".
_BAD_ENDS = ("rolled back", "failed", "failure")


@dataclass(frozen=True)
class ExperimentOutcome:
    """How far an Experiment is.

    `winner` and the keys of `weights` are roles (`baseline`, `canary`; further candidates keep their names);
    `winner` is None where iter8 found none.
    `recommended_baseline` is the role that the finish handler will promote (None before the first iteration).
    `iterations_reported` is whether it says how many there were: what is no number is none. `unfound` is whom
    it names where it says that no winner was found.
    `end_reported` is whether it says at all if it is over.
    `iterations_planned` is 0 where the Experiment does not say; `winner_reported` is whether it says if there
    is a winner.
    """

    state: State
    reason: str
    message: str
    winner: str | None = None
    recommended_baseline: str | None = None
    iterations: int = 0
    iterations_planned: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    winner_reported: bool = True
    iterations_reported: bool = True
    unfound: str = ""
    end_reported: bool = True


def roles(experiment: Mapping[str, Any]) -> dict[str, str]:
    """Version name -> role. The start handler writes the versions, so before it has run this is empty."""
    info = mapping(experiment, "spec", "versionInfo")
    found = {}
    baseline = text(mapping(info, "baseline"), "name")
    if baseline:
        found[baseline] = BASELINE
    for index, candidate in enumerate(entries(info, "candidates")):
        name = text(candidate, "name")
        if name:
            found.setdefault(name, CANARY if index == 0 else _own_role(name))
    return found


def _own_role(name: str) -> str:
    """A further candidate's role: its name, lest it be called as one of the two that have a meaning."""
    return f"candidate {name}" if name in (BASELINE, CANARY) else name


def revisions(experiment: Mapping[str, Any]) -> dict[str, str]:
    """Role -> revision name, from the tags (v2alpha1) or variables (v2alpha2) that handlers write."""
    info = mapping(experiment, "spec", "versionInfo")
    by_role = roles(experiment)
    found = {}
    for version in [mapping(info, "baseline"), *entries(info, "candidates")]:
        variables = {text(entry, "name"): text(entry, "value") for entry in entries(version, "variables")}
        revision = text(mapping(version, "tags"), "revision") or variables.get("revision", "")
        role = by_role.get(text(version, "name"))
        if role and revision:
            found[role] = revision
    return found


def planned_iterations(experiment: Mapping[str, Any]) -> int:
    """Iterations the Experiment will run if nothing stops it: maxIterations, or iterationsPerLoop x
    maxLoops."""
    duration = mapping(experiment, "spec", "duration")
    loops = number(duration, "maxLoops") or 1
    planned: int = number(duration, "maxIterations") or number(duration, "iterationsPerLoop") * loops
    return planned


def assess(experiment: Mapping[str, Any]) -> ExperimentOutcome:
    """Whether the Experiment is pending, has succeeded or has failed, with iter8's own reason and message.

    Success says that the experiment ran to its end, not that the canary won: see `winner`. Nor does it say
    that promotion is done: in v2alpha1 the finish Job is only launched by then, so wait for that Job and
    for the InferenceService's traffic too.
    """
    found = conditions(experiment)
    state, decisive = _state(found)
    by_name = roles(experiment)
    status = mapping(experiment, "status")
    completed = status.get("completedIterations", 0)  # Kubernetes leaves a 0 out
    winner_name = _winner_name(status)
    # What is no version of it is none of the two, whatever it is called.
    winner = by_name.get(winner_name, _own_role(winner_name) if by_name else winner_name)
    recommended = text(status, "recommendedBaseline") or text(status, "versionRecommendedForPromotion")
    return ExperimentOutcome(
        state=state,
        reason=decisive.reason,
        message=decisive.message or text(status, "message"),
        winner=winner or None,
        recommended_baseline=by_name.get(recommended, recommended) or None,
        iterations=number(status, "completedIterations"),
        iterations_planned=planned_iterations(experiment),
        weights=_weights(status, by_name),
        conditions=found,
        winner_reported=isinstance(_winner(status).get("winnerFound"), bool),
        iterations_reported=isinstance(completed, int) and not isinstance(completed, bool),
        unfound=text(_winner(status), "winner") if _winner(status).get("winnerFound") is False else "",
        end_reported=state is State.FAILED or any(c.type in _COMPLETED for c in found),
    )


def created(experiment: Mapping[str, Any]) -> float | None:
    """When the API server created it: epoch seconds, whole ones; None where that is not told."""
    stamp = text(mapping(experiment, "metadata"), "creationTimestamp")
    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def _state(found: tuple[Condition, ...]) -> tuple[State, Condition]:
    """The state and the condition that decides it. A failure is terminal even before completed is written."""
    failed = next((c for c in found if c.type in FAILED and c.status == "True"), None)
    if failed is not None:
        return State.FAILED, failed
    completed = next((c for c in found if c.type in _COMPLETED), None)
    if completed is None:
        return State.PENDING, Condition("", "", "NotStarted", "iter8 has not taken up the Experiment yet")
    if completed.status != "True":
        return State.PENDING, completed
    message = completed.message.lower()
    if any(phrase in message for phrase in _BAD_ENDS):
        return State.FAILED, completed
    return State.SUCCEEDED, completed


def _winner_name(status: Mapping[str, Any]) -> str:
    data = _winner(status)
    return text(data, "winner") if data.get("winnerFound") is True else ""


def _winner(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(status, "analysis", "winnerAssessment", "data")


def _weights(status: Mapping[str, Any], by_name: Mapping[str, str]) -> dict[str, int]:
    weights = {}
    for entry in entries(status, "currentWeightDistribution"):
        name = text(entry, "name")
        weights[by_name.get(name, name)] = number(entry, "value")
    return weights


def transitions(previous: Mapping[str, Any] | None, current: Mapping[str, Any] | None) -> list[Event]:
    """What happened between two snapshots, in this order: conditions, iteration, completed, deleted.

    `previous` is None for the first snapshot, `current` is None once the object is gone. Snapshots may be
    missed: several iterations at once give one event, for the last, since the weights of the others are not
    known.
    """
    if current is None:
        return [] if previous is None else [_event("deleted", "Experiment deleted", {})]
    before, now = assess(previous or {}), assess(current)
    events = [_condition_event(c) for c in now.conditions if _is_news(c, before.conditions)]
    if now.iterations > before.iterations:
        events.append(_iteration_event(now))
    if _is_completed(now.conditions) and not _is_completed(before.conditions):
        events.append(_completed_event(now))
    return events


def _is_news(condition: Condition, before: tuple[Condition, ...]) -> bool:
    """Whether status or reason changed. Each iteration rewrites the message: the iteration event tells
    that."""
    if condition.reason == "IterationUpdate":
        return False
    return all(
        (old.status, old.reason) != (condition.status, condition.reason)
        for old in before
        if old.type == condition.type
    )


def _is_completed(found: tuple[Condition, ...]) -> bool:
    return any(c.type in _COMPLETED and c.status == "True" for c in found)


def _condition_event(c: Condition) -> Event:
    message = (
        f"{c.type}={c.status}"
        + (f" {c.reason}" if c.reason else "")
        + (f": {c.message}" if c.message else "")
    )
    data = {"type": c.type, "status": c.status, "reason": c.reason, "message": c.message}
    return _event("condition", message, data)


def _iteration_event(now: ExperimentOutcome) -> Event:
    planned = f" of {now.iterations_planned}" if now.iterations_planned else ""
    weight = f", canary weight {now.weights[CANARY]} %" if CANARY in now.weights else ""
    winner = f", winner so far: {now.winner}" if now.winner else ", no winner so far"
    data = {"iteration": now.iterations, "weights": dict(now.weights), "winner": now.winner}
    return _event("iteration", f"iteration {now.iterations}{planned}{weight}{winner}", data)


def _completed_event(now: ExperimentOutcome) -> Event:
    failed = now.state is State.FAILED
    winner = f"winner: {now.winner}" if now.winner else "no winner"
    message = f"{now.message or now.reason} after {now.iterations} iterations, {winner}"
    return _event("completed", message, {"winner": now.winner, "message": now.message, "failed": failed})


def _event(event: str, message: str, data: dict[str, Any]) -> Event:
    return Event("experiment", event, message, data)
