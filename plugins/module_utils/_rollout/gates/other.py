# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates that rest on the cluster's own word: the canary's pods, and answers to PromQL queries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..messages import count
from .result import GateResult, GateVerdict


@dataclass(frozen=True)
class Pods:
    """The canary's pods since the rollout began: `ready` of `total` are ready now.

    `restarts` counts the restarts of their containers, those of pods that are gone included; `reasons` says
    how often why. `problem` says why they cannot be seen.
    """

    total: int = 0
    ready: int = 0
    restarts: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class PodsGate:
    """All pods of the canary are ready, and none has been restarted more than allowed."""

    name: str
    max_restarts: int = 0


def judge_pods(gate: PodsGate, pods: Pods) -> GateResult:
    """No statistics here: a restart is a fact."""
    reasons = ", ".join(f"{n} × {why}" for why, n in sorted(pods.reasons.items()))
    message = f"{pods.ready} of {count(pods.total, 'pod')} ready, {count(pods.restarts, 'restart')}"
    message += f" ({reasons})" if reasons else ""
    message = f"they cannot be seen: {pods.problem}" if pods.problem else message
    if pods.restarts > gate.max_restarts:
        verdict = GateVerdict.FAIL
    elif pods.total > 0 and pods.ready == pods.total:
        verdict = GateVerdict.PASS
    else:
        # Scaled to zero, or being started: neither good nor bad.
        verdict = GateVerdict.INCONCLUSIVE
    return GateResult(gate.name, verdict, message, pods.total, 1, float(pods.restarts))


@dataclass(frozen=True)
class QueryGate:
    """The answer to a query keeps its limits (which are included): absolute, or as a ratio to the baseline's.

    `query` may hold the names {canary}, {baseline}, {name} and {namespace}; `baseline_query` is for the
    ratio. It passes after `successes` good answers in a row, `interval` seconds apart, and fails after
    `failures` bad ones. These are not samples of which anything is known, so there is no error rate.
    """

    name: str
    query: str
    baseline_query: str = ""
    max: float | None = None
    min: float | None = None
    max_ratio: float | None = None
    successes: int = 3
    failures: int = 2
    interval: float = 15.0


@dataclass(frozen=True)
class Measured:
    """One answer; `problem` says why there is none: no data, more than one series, no answer at all."""

    value: float | None = None
    baseline: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Query:
    """Answers in a row."""

    good: int = 0
    bad: int = 0


def judge_query(
    gate: QueryGate, before: Query, percent: int, measured: Measured | None, last: GateResult | None
) -> tuple[Query, GateResult]:
    """The count of answers in a row and what it comes to. Without a new answer nothing changes; without data
    nothing is known, and the row begins anew."""
    relative_only = gate.max_ratio is not None and gate.max is None and gate.min is None
    if relative_only and percent >= 100:
        message = "there is no baseline to compare with"
        return before, GateResult(gate.name, GateVerdict.NOT_APPLICABLE, message)
    if measured is None:
        return before, last or GateResult(
            gate.name, GateVerdict.INCONCLUSIVE, "not asked yet", 0, gate.successes
        )
    value = measured.value
    if measured.problem or value is None or math.isnan(value):
        message = measured.problem or "no data"
        return Query(), GateResult(gate.name, GateVerdict.INCONCLUSIVE, message, 0, gate.successes)
    # JSON knows no infinite number.
    shown = value if math.isfinite(value) else None
    problem, unknown = _breach(gate, value, measured.baseline, percent)
    if unknown:
        return Query(), GateResult(gate.name, GateVerdict.INCONCLUSIVE, unknown, 0, gate.successes, shown)
    after = Query(0, before.bad + 1) if problem else Query(before.good + 1, 0)
    if after.bad >= gate.failures:
        verdict = GateVerdict.FAIL
    elif after.good >= gate.successes:
        verdict = GateVerdict.PASS
    else:
        verdict = GateVerdict.INCONCLUSIVE
    message = f"{value:g}, {problem or 'within its limits'}; {max(after.good, after.bad)} in a row"
    return after, GateResult(gate.name, verdict, message, max(after.good, after.bad), gate.successes, shown)


def _breach(gate: QueryGate, value: float, baseline: float | None, percent: int) -> tuple[str, str]:
    """(what is wrong with it, why that cannot be told); both empty where all is well."""
    if gate.max is not None and value > gate.max:
        return f"more than {gate.max:g}", ""
    if gate.min is not None and value < gate.min:
        return f"less than {gate.min:g}", ""
    if gate.max_ratio is None or percent >= 100:
        return "", ""
    if baseline is None or not math.isfinite(baseline):
        return "", "no data of the baseline"
    if value > gate.max_ratio * baseline:
        return f"more than {gate.max_ratio:g} times the baseline's {baseline:g}", ""
    return "", ""
