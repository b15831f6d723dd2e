# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout in words and figures: lines for people while it goes on, and what artefacts keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..fields import finite, is_moment
from ..gates.judge import seconds_needed
from ..messages import elapsed
from .machine import moves_of
from .plan import Plan
from .state import RolloutState
from .turn import MODES


def line(entry: Mapping[str, Any], first: float) -> str:
    """One line of a state's history; `first` is when the rollout began, in seconds since the epoch."""
    what = str(entry.get("what"))
    gate = f"{entry.get('gate')} {entry.get('verdict')} at {entry.get('percent')} %"
    message = {
        "begun": f"rollout in {entry.get('mode')} mode; the baseline is {entry.get('baseline')}",
        "patch": f"{entry.get('text')}",
        "reached": "the split is as wanted",
        "gate": f"{gate}: {entry.get('message')}",
        "passed": f"the step at {entry.get('percent')} % is passed",
        "asked": f"{entry.get('by')} asks: {entry.get('asked')}",
        "unchanged": f"nothing is changed: {entry.get('why')}",
        "held": f"held: {entry.get('why')}",
        "turned back": f"going back: {entry.get('cause')}",
        "promoted": "promoted: the canary has everything",
        "rolled_back": "rolled back: the baseline has everything",
        "abandoned": f"abandoned: {entry.get('why')}",
    }.get(what, what)
    return f"{message}  ({elapsed(max(0.0, float(entry.get('at', first)) - first))})"


def foretold(plan: Plan, state: RolloutState, rate: float) -> list[dict[str, Any]]:
    """The whole plan before it begins: each move with its exact patch, and how many seconds its step takes at
    least at so many requests a second; None where that cannot be told for want of a load."""
    rows = []
    for move in moves_of(plan, state):
        row: dict[str, Any] = {
            "move": move.name,
            "text": move.text,
            "percent": move.percent,
            "patch": move.patch,
        }
        if move.step is not None:
            step = plan.steps[move.step]
            seconds, slowest = seconds_needed(plan.judges, step.percent, rate, plan.errors)
            answers = (
                step.answers / (rate * step.percent / 100)
                if rate > 0
                else float("inf")
                if step.answers
                else 0.0
            )
            least = max(seconds, step.seconds, answers)
            row["seconds"] = None if least == float("inf") else round(least, 1)
            row["slowest_gate"] = slowest
            row["within_deadline"] = least <= step.deadline
        rows.append(row)
    return rows


def way_back(plan: Plan, state: RolloutState) -> dict[str, list[dict[str, Any]]]:
    """The patches of a roll-back, before and after the promotion."""
    mode = MODES[state.start.mode]
    forward = mode.forward(plan, state.start)
    before = [move for move in forward if not move.promotes]
    found = {}
    for name, moves in (("before_promotion", before), ("after_promotion", forward)):
        back = mode.back(plan, state.start, moves, True)
        found[name] = [{"move": move.name, "text": move.text, "patch": move.patch} for move in back or []]
    return found


def summary(plan: Plan, state: RolloutState) -> dict[str, Any]:
    """What the driver did and why, as verdict.json has it: times are seconds since the epoch."""
    history = list(state.history)
    return {
        "mode": state.start.mode,
        "outcome": state.outcome or ("held" if state.hold else "under way"),
        "cause": state.cause or state.hold,
        "baseline": state.start.baseline,
        "canary": state.canary,
        "started": state.started,
        "ended": history[-1]["at"] if history else state.started,
        "steps": _steps(plan, history),
        "gates": [entry for entry in history if entry["what"] == "gate"],
        "patches": [entry for entry in history if entry["what"] == "patch"],
        "requests_of_people": [entry for entry in history if entry["what"] == "asked"],
        "rollback_seconds": _rollback_seconds(history),
        "error_rates": {
            "wrong_promotion": plan.rates.wrong_promotion,
            "wrong_rollback": plan.rates.wrong_rollback,
        },
    }


class SummaryFormatError(ValueError):
    """It is no `summary`; the message says where."""


def read_summary(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A `summary` that came back from a file, unless something in it is missing or of the wrong type.

    :raises SummaryFormatError: naming the first such field.
    """
    _checked(given, _SUMMARY, "")
    for name, fields in (("patches", _PATCH), ("gates", _GATE), ("steps", _STEP)):
        for row in given[name]:
            if not isinstance(row, Mapping):
                raise SummaryFormatError(f"{name} does not hold objects")
            _checked(row, fields, f"{name}.")
    if any(not isinstance(said, str) for row in given["steps"] for said in row["gates"].values()):
        raise SummaryFormatError("steps.gates is of the wrong type")
    return given


_NUMBER = (int, float)
_TIMES = ("at", "started", "ended", "began")
_SUMMARY: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("mode", "outcome", "cause", "baseline", "canary"), (str,)),
    **dict.fromkeys(("patches", "gates", "steps"), (list,)),
    **dict.fromkeys(("started", "ended"), _NUMBER),
    "rollback_seconds": (*_NUMBER, type(None)),
}
_PATCH: Mapping[str, tuple[type, ...]] = {"at": _NUMBER, "text": (str,), "move": (str,)}
_GATE: Mapping[str, tuple[type, ...]] = {
    "at": _NUMBER,
    "percent": (int,),
    **dict.fromkeys(("gate", "verdict", "message"), (str,)),
    "samples": (int,),
    **dict.fromkeys(("low", "high"), (*_NUMBER, type(None))),
}


# When it began and ended is not told of each.
_STEP: Mapping[str, tuple[type, ...]] = {"percent": (int,), "passed": (bool,), "gates": (dict,)}


def _checked(row: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], where: str) -> None:
    for name, types in fields.items():
        if name not in row:
            raise SummaryFormatError(f"{where}{name} is missing")
        value = row[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise SummaryFormatError(f"{where}{name} is of the wrong type")
        if name in _TIMES and not is_moment(value):
            raise SummaryFormatError(f"{where}{name} is not a time")
        if types[:2] == _NUMBER and value is not None and finite(value) is None:
            raise SummaryFormatError(f"{where}{name} is not a number")


def _steps(plan: Plan, history: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each step that was begun, with its last word of every gate."""
    rows: dict[int, dict[str, Any]] = {}
    percents = {step.percent for step in plan.steps}
    for entry in history:
        percent = entry.get("percent")
        if entry["what"] == "gate" and percent in percents:
            row = rows.setdefault(int(str(percent)), {"percent": percent, "passed": False, "gates": {}})
            row["gates"][entry["gate"]] = entry["verdict"]
            row.setdefault("began", entry["at"])
        if entry["what"] == "passed" and percent in rows:
            rows[int(str(percent))].update(passed=True, ended=entry["at"])
    return list(rows.values())


def _rollback_seconds(history: list[Mapping[str, Any]]) -> float | None:
    """From the decision until the baseline had everything, as the load saw it too."""
    turns = [number for number, entry in enumerate(history) if entry["what"] == "turned back"]
    if not turns:
        return None
    reached = [entry["at"] for entry in history[turns[-1] :] if entry["what"] == "reached"]
    return round(float(reached[0]) - float(history[turns[-1]]["at"]), 3) if reached else None
