# SPDX-License-Identifier: GPL-3.0-or-later
"""When a move has taken effect, held against real KServe: from then on the load saw the new split alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.moves import Move
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import Plan
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen, Start
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import MODES
from ansible_collections.iter8.kfserving.tests.support.driven import plan_of
from ansible_collections.iter8.kfserving.tests.support.recordings import rows_of

R1, R2, R3 = (f"m-predictor-0000{number}" for number in (1, 2, 3))
SETTLE = 2.0


def plan() -> Plan:
    return plan_of(name="m", canary_name="v2", steps=[25, 50, 100])


def start(mode: str, **given: Any) -> Start:
    names = {"baseline": R1, "created": R1, "known": (R1,)}
    if mode == "standard":
        names = {"baseline": "m-predictor", "created": "", "known": ()}
    empty: dict[str, Any] = {"predictor": {}, "wanted": {}, "apply": {}, "undo": {}}
    return Start(**{"mode": mode, "uid": "", "replicas": 2, **empty, **names, **given})


def move(name: str, percent: int, promotes: bool = False) -> Move:
    patch = {"spec": {"predictor": {"canaryTrafficPercent": percent}}}
    return Move(name, name, patch, percent, promotes=promotes)


# The mark of a recording, the move that it was, from what, with which canary, and who may answer then.
Case = tuple[str, str, Move, Start, str, Mapping[str, float]]
KNATIVE: list[Case] = [
    ("knative-canary-at-zero", "canary 0", move("create", 0), start("knative"), "", {R1: 1}),
    ("knative-canary-at-zero", "10", move("10 %", 10), start("knative"), R2, {R1: 0.9, R2: 0.1}),
    ("knative-canary-at-zero", "50", move("50 %", 50), start("knative"), R2, {R1: 0.5, R2: 0.5}),
    ("knative-canary-at-zero", "reject", move("0 %", 0), start("knative"), R2, {R1: 1}),
    (
        "knative-canary-at-zero", "next canary 0", move("create", 0),
        start("knative", created=R2, known=(R1, R2)), "", {R1: 1},
    ),
    (
        "knative-canary-at-zero", "30", move("30 %", 30),
        start("knative", created=R2, known=(R1, R2)), R3, {R1: 0.7, R3: 0.3},
    ),
    (
        "knative-canary-at-zero", "promote", move("100 %", 100, True),
        start("knative", created=R2, known=(R1, R2)), R3, {R3: 1},
    ),
    ("knative-rollback-and-clean-up", "roll back by 0", move("0 %", 0), start("knative"), R2, {R1: 1}),
    ("knative-rollback-and-clean-up", "old model at 0", move("old model", 0), start("knative"), R2, {R1: 1}),
    ("knative-rollback-and-clean-up", "100", move("restore", 0), start("knative"), R2, {R3: 1}),
    ("knative-rollback-after-scale-down", "roll back by 0", move("0 %", 0), start("knative"), R2, {R1: 1}),
]  # fmt: skip

V1, V2 = "v1", "v2"
STANDARD: list[Case] = [
    ("standard-careful-drain", "double the stable", move("capacity", 0), start("standard"), "", {V1: 1}),
    (
        "standard-careful-drain", "canary 25, 2 pods", move("create", 25), start("standard"), "",
        {V1: 0.75, V2: 0.25},
    ),
    ("standard-careful-drain", "canary 50", move("50 %", 50), start("standard"), "", {V1: 0.5, V2: 0.5}),
    ("standard-careful-drain", "canary 100", move("100 %", 100), start("standard"), "", {V2: 1}),
    ("standard-careful-drain", "rename", move("rename", 100, True), start("standard"), "", {V2: 1}),
    ("standard-rollback-by-0-drain", "canary 0", move("0 %", 0), start("standard"), "", {V1: 1}),
    ("standard-rollback-by-0-drain", "remove the canary", move("remove", 0), start("standard"), "", {V1: 1}),
]  # fmt: skip


def replay(name: str, mark: str, one: Move, begun: Start, canary: str) -> tuple[float, list[dict[str, Any]]]:
    """When the move was seen to have taken effect after its mark (infinity if never), and the load's seconds
    from the mark to the next."""
    objects: dict[str, dict[str, dict[str, Any]]] = {}
    reached, marked, loads = float("inf"), False, []
    for row in rows_of(name):
        if "mark" in row:
            if marked:
                break
            marked = row["mark"] == mark
        if "object" in row:
            obj = row["object"]
            kind = objects.setdefault(obj["kind"], {})
            kind.pop(obj["metadata"]["name"], None)
            if not row.get("gone"):
                kind[obj["metadata"]["name"]] = obj
        if "load" in row and marked:
            loads.append(row)
        if marked and reached == float("inf"):
            seen = Seen(
                objects["InferenceService"]["m"],
                objects.get("HTTPRoute", {}).get("m"),
                objects.get("Deployment", {}),
            )
            # The patch itself was in place at the mark's next event; before, the old spec is seen.
            if MODES[begun.mode].missing(plan(), begun, one, seen, canary) is None and _sent(
                seen, one, begun
            ):
                reached = row["at"]
    return reached, loads


def _sent(seen: Seen, one: Move, begun: Start) -> bool:
    """Whether the recording's patch shows in the object's spec already."""
    spec: Any = (seen.inferenceservice or {}).get("spec", {})
    if begun.mode == "knative":
        wanted = 100 if one.name == "restore" else one.percent
        return spec["predictor"].get("canaryTrafficPercent") == wanted
    canary = spec.get("canary") or []
    if one.name == "capacity":
        return spec["predictor"].get("minReplicas") == 4
    if one.name in ("rename", "remove"):
        return not canary
    return bool(canary) and canary[0]["trafficPercent"] == one.percent


@pytest.mark.parametrize("row", KNATIVE + STANDARD, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_move_is_done_when_the_load_sees_it_and_not_before(row: Case) -> None:
    name, mark, one, begun, canary, shares = row
    reached, loads = replay(name, mark, one, begun, canary)
    assert reached < float("inf"), "never"
    # A row tells of the second that ended then. What moves no traffic shows all the while.
    from_then_on = 0.0 if one.name in ("create", "capacity") and not one.percent else reached + SETTLE + 1
    after = [each["load"]["revisions"] for each in loads if each["at"] >= from_then_on]
    assert after, "the recording goes on"
    total: dict[str, int] = {}
    for names in after:
        for who, requests in names.items():
            if who:
                total[who] = total.get(who, 0) + requests
    assert set(total) == set(shares)
    answered = sum(total.values())
    for who, share in shares.items():
        assert abs(total[who] / answered - share) < 0.06


def test_the_canary_that_gets_nothing_is_never_taken_for_served() -> None:
    """KServe 0.20.0 reports 25 % and routes nothing."""
    one = move("create", 25)
    reached, loads = replay("standard-canary-in-0.20.0", "canary 25", one, start("standard"), "")
    assert reached == float("inf")
    assert not any(V2 in row["load"]["revisions"] for row in loads)


def test_a_canary_that_never_gets_ready_never_gets_its_share() -> None:
    reached, _loads = replay("knative-never-ready", "canary 20", move("20 %", 20), start("knative"), R2)
    assert reached == float("inf")
