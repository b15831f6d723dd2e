# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard mode with spec.canary (KServe 0.21, Gateway API): capacity first, then the split, then the name.

KServe shrinks the stable Deployment by as many pods as the canary has as soon as that is ready, so the
stable one is doubled before; and it ends the old Deployment and Service before the route is rewritten, so
everything is on the canary before the rename. This order lost none of 8,004 requests on a real cluster with
servers that go on serving for a while after SIGTERM; what ends at once loses a few whatever the order.

The status says what the spec asks for (KServe 0.20.0 gives a canary nothing and reports its percent), so
only the HTTPRoute and the Deployments count here, and the observed split is a gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..objects.snapshot import PERCENT, spell
from ..objects.standard import deployment_name
from ..objects.tree import conditions, entries, generation_of, mapping, number, text
from .merge import merged, undo
from .moves import Missing, Move
from .plan import STANDARD, Plan
from .seen import Seen, Start

CAPACITY, CREATE, RENAME, ZERO, REMOVE = "capacity", "create", "rename", "0 %", "remove"
# What the canary's entry must not hold, by KServe's webhook, or what it has of its own.
_STABLES_OWN = (
    "name", "minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling",
    PERCENT,
)  # fmt: skip


class StandardMode:
    """Steps by spec.canary."""

    def start(self, plan: Plan, seen: Seen, earlier: Start | None) -> Start:
        return Start(
            mode=STANDARD,
            uid=seen.uid,
            baseline=stable_service(plan.name, seen.predictor),
            created="",
            known=(),
            predictor=dict(seen.predictor),
            wanted=merged(seen.predictor, plan.change),
            apply=plan.change,
            undo=undo(seen.predictor, plan.change),
            replicas=max(1, number(seen.predictor, "minReplicas") or 1),
            answered=seen.answered,
        )

    def forward(self, plan: Plan, start: Start) -> list[Move]:
        wanted = start.replicas
        moves = [
            Move(
                CAPACITY,
                f"double the pods, to {2 * wanted}: KServe takes {wanted} away when the canary is ready",
                {"spec": {"predictor": {"minReplicas": 2 * wanted}}},
                0,
            )
        ]
        for index, step in enumerate(plan.steps):
            what = f"{'create the canary with' if not index else 'give the canary'} {step.percent} %"
            moves.append(
                Move(
                    CREATE if not index else f"{step.percent} %",
                    what,
                    {"spec": {"canary": [_entry(plan, start, step.percent)]}},
                    step.percent,
                    index,
                )
            )
        if plan.steps[-1].percent < 100:
            moves.append(
                Move("100 %", "give the canary 100 %", {"spec": {"canary": [_entry(plan, start, 100)]}}, 100)
            )
        predictor = {**plan.change, "name": plan.canary_name, "minReplicas": _asked(start)}
        moves.append(
            Move(
                RENAME,
                "make the canary the predictor",
                {"spec": {"predictor": predictor, "canary": None}},
                100,
                promotes=True,
            )
        )
        return moves

    def back(
        self, plan: Plan, start: Start, forward: Sequence[Move], baseline_there: bool | None
    ) -> list[Move] | None:
        if any(move.promotes for move in forward):
            return None
        remove = Move(
            REMOVE,
            "remove the canary",
            {"spec": {"predictor": {"minReplicas": _asked(start)}, "canary": None}},
            0,
        )
        if not any(move.percent for move in forward):
            return [remove] if forward else []
        zero = {"spec": {"canary": [_entry(plan, start, 0)]}}
        return [Move(ZERO, "take all traffic from the canary", zero, 0), remove]

    def missing(self, plan: Plan, start: Start, move: Move, seen: Seen, canary: str) -> Missing | None:
        if move.name == CAPACITY:
            return _pods_missing(seen, start.baseline, 2 * start.replicas)
        problem = _split_problem(plan, start, move, seen) or _route_problem(seen.route)
        if problem:
            return Missing(problem)
        if move.name == ZERO:
            return None
        if move.name == REMOVE:
            if canary_service(plan) in seen.deployments:
                return Missing(f"the Deployment {canary_service(plan)} is still there")
            return _pods_missing(seen, start.baseline, start.replicas)
        missing = _pods_missing(seen, canary_service(plan), start.replicas)
        if missing is None and move.percent < 100:
            missing = _pods_missing(seen, start.baseline, start.replicas)
        return missing or (_ready_missing(seen) if move.promotes else None)

    def canary(self, plan: Plan, start: Start, seen: Seen) -> str:
        return canary_service(plan)


def stable_service(name: str, predictor: Mapping[str, Any]) -> str:
    """The Deployment and Service of the predictor."""
    return deployment_name(name, text(predictor, "name"))


def canary_service(plan: Plan) -> str:
    """The Deployment and Service of the canary, and of the predictor once it was promoted."""
    return deployment_name(plan.name, plan.canary_name)


def canaries(seen: Seen) -> list[Mapping[str, Any]]:
    """The entries of spec.canary."""
    return entries(seen.inferenceservice, "spec", "canary")


def route_shares(route: Mapping[str, Any] | None) -> dict[str, int]:
    """Percent by Service, of the first rule. An absent weight reads 1; a share below one percent is kept."""
    rows = _backends(route)
    weights = {text(row, "name"): int(row.get("weight", 1)) for row in rows}
    total = sum(weights.values())
    return {name: round(100 * weight / total) for name, weight in weights.items() if weight} if total else {}


def _backends(route: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    rules = entries(route, "spec", "rules")
    return entries(rules[0], "backendRefs") if rules else []


def _split_problem(plan: Plan, start: Start, move: Move, seen: Seen) -> str:
    """How the HTTPRoute differs from what the move is to bring about."""
    split = {start.baseline: 100 - move.percent, canary_service(plan): move.percent}
    wanted = {name: percent for name, percent in split.items() if percent}
    if move.name in (RENAME, REMOVE) and len(_backends(seen.route)) != 1:
        return "the HTTPRoute still names both Services"
    shares = route_shares(seen.route)
    if shares == wanted:
        return ""
    return f"the HTTPRoute gives {spell(shares)}"


def _ready_missing(seen: Seen) -> Missing | None:
    ready = [c.status for c in conditions(seen.inferenceservice) if c.type == "Ready"]
    return None if ready == ["True"] else Missing("the InferenceService is not Ready")


def _route_problem(route: Mapping[str, Any] | None) -> str:
    """Why the gateway may not follow the route yet: its conditions are of an earlier generation, or bad."""
    generation = generation_of(route)
    for parent in entries(route, "status", "parents"):
        for condition in entries(parent, "conditions"):
            if number(condition, "observedGeneration") < generation:
                return "the gateway has not taken in the HTTPRoute yet"
            if text(condition, "status") != "True":
                return f"the HTTPRoute is not {text(condition, 'type')}: {text(condition, 'message')}"
    return "" if entries(route, "status", "parents") else "no gateway has taken in the HTTPRoute yet"


def _pods_missing(seen: Seen, deployment: str, wanted: int) -> Missing | None:
    there = seen.deployments.get(deployment)
    if there is None:
        return Missing(f"there is no Deployment {deployment} yet")
    status = mapping(there, "status")
    if number(status, "observedGeneration") < generation_of(there):
        return Missing(f"the Deployment {deployment} has not been looked at yet")
    available = number(status, "availableReplicas")
    if available < wanted:
        return Missing(f"{available} of {wanted} pods of {deployment} are available")
    return None


def _asked(start: Start) -> int | None:
    """minReplicas as it was before; None removes it."""
    before = start.predictor.get("minReplicas")
    return before if isinstance(before, int) else None


def _entry(plan: Plan, start: Start, percent: int) -> dict[str, Any]:
    """The whole entry of spec.canary: a merge patch replaces lists."""
    base = {key: value for key, value in start.predictor.items() if key not in _STABLES_OWN}
    predictor = {**merged(base, plan.change), "name": plan.canary_name, "minReplicas": start.replicas}
    return {"trafficPercent": percent, "predictor": predictor}
