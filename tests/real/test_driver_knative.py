# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative mode, driven by this collection: what the gates decide; nothing is lost but a canary's own."""

from __future__ import annotations

import pytest

from .judged import Judge, moves
from .knative import baseline, following
from .rollout import Rollout, shares
from .stage import Real


@pytest.mark.quick
def test_a_good_canary_is_promoted(rollout: Rollout, real: Real, judge: Judge) -> None:
    old, new, _third = baseline(rollout, real)
    judged = judge.drive(following(real), before="0 of 18,147 by hand")
    assert judged.verdict["verdict"] == "pass", f"{judged.reasons}\n{judged.driver['cause']}"
    assert moves(judged) == ["create", "10 %", "50 %", "100 %"]
    assert judged.verdict["failed"] == 0
    assert set(judged.verdict["revisions"]) == {old, new}
    assert shares(rollout.get()) == {new: 100}


@pytest.mark.parametrize(
    ("knobs", "gates"),
    [
        ({"error_share": "0.05"}, {"losses"}),
        ({"delay_ms": "300"}, {"latency"}),
        # It is killed for its memory, with requests in flight: whatever is told first.
        ({"leak_mb": "2"}, {"losses", "pods"}),
    ],
    ids=["errors", "slow", "leak"],
)
def test_a_bad_canary_is_rolled_back(
    rollout: Rollout, real: Real, judge: Judge, knobs: dict[str, str], gates: set[str]
) -> None:
    old, new, _third = baseline(rollout, real)
    judged = judge.drive(
        following(real, memory="128Mi", **knobs),
        rollout_expect="rolled_back",
        rollout_steps=[{"percent": 10, "seconds": 60 if "pods" in gates else 5}, {"percent": 50}],
        before="-",
    )
    assert judged.driver["outcome"] == "rolled_back", f"{judged.reasons}\n{judged.driver['cause']}"
    assert any(f"{gate}:" in judged.driver["cause"] for gate in gates), judged.driver["cause"]
    assert shares(rollout.get()) == {old: 100}
    assert judged.driver["rollback_seconds"] < 60
    # Losses are the canary's own, and it has none but by its errors and its end.
    assert judged.verdict["revisions"][old]["failed"] == 0
    assert {loss["revision"] for loss in judged.seen.ledger} <= {new, ""}
    assert judged.verdict["verdict"] == ("fail" if judged.verdict["failed"] else "pass"), judged.reasons
    if "latency" in gates:
        assert judged.verdict["failed"] == 0
    if "pods" in gates:
        around = " ".join(each["what"] for window in judged.verdict["causes"] for each in window["around"])
        assert "OOMKilled" in around, judged.verdict["causes"]


def test_the_next_canary_after_a_rejected_one(rollout: Rollout, real: Real, judge: Judge) -> None:
    """By hand the rejected one gets the next canary's share until that is ready (test_knative.py)."""
    old, rejected, third = baseline(rollout, real)
    first = judge.drive(following(real, error_share="0.2"), before="-", rollout_expect="rolled_back")
    assert first.driver["outcome"] == "rolled_back", first.driver["cause"]
    again = judge.drive(following(real, start_seconds="8"), before="30 % to the rejected one for 12 s")
    assert again.verdict["verdict"] == "pass", f"{again.reasons}\n{again.driver['cause']}"
    assert again.seen.by_revision.get(rejected, 0) == 0
    assert set(again.seen.by_revision) == {old, third}
    assert shares(rollout.get()) == {third: 100}
