# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be rolled out, and how: as a user writes it, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..gates.judge import ErrorRates, Errors, share_of
from ..gates.other import PodsGate, QueryGate
from ..gates.spec import GateError, parse_gates
from ..objects.snapshot import PERCENT

KNATIVE = "knative"
STANDARD = "standard"


class PlanError(ValueError):
    """The plan makes no sense; the message says where, and what to do."""


@dataclass(frozen=True)
class Step:
    """The canary's share, and what it takes to leave it: so many seconds, so many named answers of the
    canary's, every gate passed, and where `pause` is set a person who says so. `deadline` is how many seconds
    its gates may take in all."""

    percent: int
    seconds: float = 30.0
    answers: int = 0
    pause: bool = False
    deadline: float = 1800.0

    def to_json(self) -> dict[str, Any]:
        return {
            "percent": self.percent,
            "seconds": self.seconds,
            "answers": self.answers,
            "pause": self.pause,
            "deadline": self.deadline,
        }


@dataclass(frozen=True)
class Plan:
    """A rollout. Seconds throughout.

    `change` is the merge patch of `spec.predictor` that makes the new version. `on_failure` is what follows
    a gate that failed: `rollback` or `hold`; `on_inconclusive` what follows a step's deadline: `hold` or
    `fail`. With `promote` `manual` a person has the last word. `settle` is for how long a split must be
    seen before the evidence begins. `names` tell what the answers call the two, where that is not the name of
    the revision.
    """

    namespace: str
    name: str
    change: Mapping[str, Any]
    steps: tuple[Step, ...]
    gates: tuple[Mapping[str, Any], ...]
    on_failure: str = "rollback"
    on_inconclusive: str = "hold"
    promote: str = "automatic"
    deadline: float = 7200.0
    ready_timeout: float = 600.0
    settle: float = 2.0
    canary_name: str = ""
    rates: ErrorRates = ErrorRates()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def judges(self) -> list[Any]:
        """The gates, ready to be asked."""
        return parse_gates(self.gates)

    @property
    def errors(self) -> Errors:
        """What each gate may cost at each step."""
        claims = [gate for gate in self.judges if not isinstance(gate, (PodsGate, QueryGate))]
        return share_of(self.rates, len(claims), len(self.steps))

    def to_json(self) -> dict[str, Any]:
        """As the cluster keeps it."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "change": self.change,
            "steps": [step.to_json() for step in self.steps],
            "gates": list(self.gates),
            "on_failure": self.on_failure,
            "on_inconclusive": self.on_inconclusive,
            "promote": self.promote,
            "deadline": self.deadline,
            "ready_timeout": self.ready_timeout,
            "settle": self.settle,
            "canary_name": self.canary_name,
            "error_rates": {
                "wrong_promotion": self.rates.wrong_promotion,
                "wrong_rollback": self.rates.wrong_rollback,
            },
            "names": dict(self.names),
        }

    @property
    def fingerprint(self) -> str:
        """Equal for plans that are the same."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]


def parse_plan(given: Mapping[str, Any]) -> Plan:
    """The plan in the shape of `Plan.to_json`, where what is left out has its default. Raises PlanError."""
    change = given.get("change")
    if not isinstance(change, Mapping) or not change:
        raise PlanError(
            "There is nothing to roll out: give the fields of spec.predictor that make the new version."
        )
    for field_name, why in _NOT_IN_A_CHANGE.items():
        if field_name in change:
            raise PlanError(f"The new version must not hold {field_name}: {why}.")
    steps = _steps(given.get("steps") or [])
    gates = tuple(given.get("gates") or [])
    try:
        parsed = parse_gates(gates)
    except GateError as error:
        raise PlanError(str(error)) from None
    if not parsed:
        raise PlanError("There is no gate: a canary that nothing judges would be promoted whatever it does.")
    rates = {"wrong_promotion": 0.05, "wrong_rollback": 0.05, **(given.get("error_rates") or {})}
    for name, value in rates.items():
        if name not in ("wrong_promotion", "wrong_rollback"):
            raise PlanError(f"error_rates has no {name}: it takes wrong_promotion and wrong_rollback.")
        if not isinstance(value, (int, float)) or not 0 < float(value) <= 0.5:
            raise PlanError(f"error_rates.{name} must be above 0 and at most 0.5, not {value}.")
    deadline, least = _positive(given, "deadline", 7200.0), sum(step.seconds for step in steps)
    if deadline <= least:
        raise PlanError(
            f"The rollout ends by its deadline of {deadline:g} s before its steps, which take {least:g} s."
        )
    return Plan(
        namespace=str(given["namespace"]),
        name=str(given["name"]),
        change=dict(change),
        steps=steps,
        gates=gates,
        on_failure=_choice(given, "on_failure", ("rollback", "hold")),
        on_inconclusive=_choice(given, "on_inconclusive", ("hold", "fail")),
        promote=_choice(given, "promote", ("automatic", "manual")),
        deadline=deadline,
        ready_timeout=_positive(given, "ready_timeout", 600.0),
        settle=_settle(given),
        canary_name=str(given.get("canary_name") or _version_name(change)),
        rates=ErrorRates(float(rates["wrong_promotion"]), float(rates["wrong_rollback"])),
        names={str(key): str(value) for key, value in (given.get("names") or {}).items() if value},
    )


_NOT_IN_A_CHANGE = {
    PERCENT: "the steps say which share it gets",
    "minReplicas": "the number of pods is changed together with the split, or not at all",
    "maxReplicas": "the number of pods is changed together with the split, or not at all",
    "name": "the driver names the canary (canary_name)",
}


def _version_name(change: Mapping[str, Any]) -> str:
    """A name for the canary where the mode needs one: the same for the same version, so that a resumed
    rollout finds it again."""
    return "v" + hashlib.sha256(json.dumps(change, sort_keys=True).encode()).hexdigest()[:8]


def _choice(given: Mapping[str, Any], key: str, choices: Sequence[str]) -> str:
    value = str(given.get(key) or choices[0])
    if value not in choices:
        raise PlanError(f"{key} must be {' or '.join(choices)}, not {value}.")
    return value


def _positive(given: Mapping[str, Any], key: str, default: float) -> float:
    value = default if given.get(key) is None else float(given[key])
    if not value > 0:
        raise PlanError(f"{key} must be above 0, not {value:g}.")
    return value


def _settle(given: Mapping[str, Any]) -> float:
    value = 2.0 if given.get("settle") is None else float(given["settle"])
    if not value >= 0:
        raise PlanError(f"settle must not be below 0, it is {value:g}.")
    return value


def _steps(given: Sequence[Any]) -> tuple[Step, ...]:
    if not given:
        raise PlanError("There are no steps: give at least one, as 'percent: 10'.")
    steps: list[Step] = []
    for number, each in enumerate(given, 1):
        row = {"percent": each} if isinstance(each, int) else each
        if not isinstance(row, Mapping) or "percent" not in row:
            raise PlanError(f"Step {number} needs a percent.")
        strange = sorted(set(row) - set(Step(1).to_json()))
        if strange:
            raise PlanError(f"Step {number} has {strange[0]}; it takes {', '.join(Step(1).to_json())}.")
        step = Step(
            int(row["percent"]),
            30.0 if row.get("seconds") is None else float(row["seconds"]),
            int(row.get("answers") or 0),
            bool(row.get("pause")),
            1800.0 if row.get("deadline") is None else float(row["deadline"]),
        )
        if not 1 <= step.percent <= 100:
            raise PlanError(f"Step {number} has {step.percent} %: it must be from 1 to 100.")
        if steps and step.percent <= steps[-1].percent:
            raise PlanError(
                f"Step {number} has {step.percent} %, after {steps[-1].percent} %: steps must rise."
            )
        if not step.seconds >= 0 or step.answers < 0:
            raise PlanError(f"Step {number} must not have less than nothing.")
        if not step.deadline > step.seconds:
            raise PlanError(
                f"Step {number} ends by its deadline of {step.deadline:g} s before its {step.seconds:g} s."
            )
        steps.append(step)
    return tuple(steps)
