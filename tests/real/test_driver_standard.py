# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard mode, driven by this collection through `spec.canary`: the same plan as in Knative mode."""

from __future__ import annotations

import pytest

from .judged import Judge, moves
from .rollout import Rollout
from .stage import Real
from .standard import DRAINING, ERRING, SLOW, create, create_runtimes, deployments, model

_LEARNED = {"rollout_revision_learned": True, "rollout_drain": "expected"}


@pytest.fixture(scope="module", autouse=True)
def _runtimes(real: Real) -> None:
    create_runtimes(real)


@pytest.mark.quick
@pytest.mark.usefixtures("canaries")
def test_a_good_canary_is_promoted(rollout: Rollout, judge: Judge) -> None:
    create(rollout, DRAINING)
    judged = judge.drive({"model": model("v2", DRAINING)}, before="0 of 8,004 by hand", **_LEARNED)
    assert judged.verdict["verdict"] == "pass", f"{judged.reasons}\n{judged.driver['cause']}"
    assert judged.verdict["failed"] == 0
    assert judged.driver["outcome"] == "promoted"
    assert set(judged.seen.by_revision) == {"v1", "v2"}
    assert len(deployments(rollout)) == 1


@pytest.mark.parametrize(("kind", "gate"), [(ERRING, "losses"), (SLOW, "latency")])
@pytest.mark.usefixtures("canaries")
def test_a_bad_canary_is_rolled_back(rollout: Rollout, judge: Judge, kind: str, gate: str) -> None:
    create(rollout, DRAINING)
    judged = judge.drive({"model": model("v2", kind)}, before="-", rollout_expect="rolled_back", **_LEARNED)
    assert judged.driver["outcome"] == "rolled_back", f"{judged.reasons}\n{judged.driver['cause']}"
    assert gate in judged.driver["cause"]
    assert moves(judged)[-1] != "100 %"
    assert {loss["revision"] for loss in judged.seen.ledger} <= {"v2"}
    assert (judged.verdict["failed"] > 0) == (gate == "losses")
    assert judged.verdict["verdict"] == ("fail" if judged.verdict["failed"] else "pass"), judged.reasons
    assert len(deployments(rollout)) == 1
