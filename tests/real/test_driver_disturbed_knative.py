# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative mode, driven by this collection while its playbook is killed, or the API server ends.

REAL_KILLS (3) says how often it is killed: first when the canary has 10 %, then at moments that
REAL_SEED (1) draws.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from ansible_collections.iter8.kfserving.tests.support import descent

from .judged import Judge
from .knative import following, start
from .node.node import Node
from .rollout import Json, Rollout, routed, shares
from .stage import Real, Report

_KILLS = int(os.environ.get("REAL_KILLS", "3"))
_SEED = int(os.environ.get("REAL_SEED", "1"))
# From the start of the playbook: while it checks, creates the canary, steps, and promotes.
_MOMENTS = (5, 45)
_STEPS = [{"percent": percent, "seconds": 15} for percent in (10, 30, 60, 80)]
# The gateway deals requests out in turn: two even loads in step would not get the same shares of the canary.
_PLAN: Json = {
    "rollout_steps": _STEPS,
    "rollout_load_arrival": "poisson",
    # What the killed ones have taken counts.
    "rollout_deadline": 600 + 60 * _KILLS,
}


@pytest.mark.timeout(600 + 60 * _KILLS)
def test_killed_at_random_moments(rollout: Rollout, real: Real, report: Report, judge: Judge) -> None:
    """The split is one that it wanted whenever it is killed, and the next goes on; one load sees it all."""
    old, new, _third = start(rollout, real)
    draw = random.Random(_SEED)
    left = []
    for number in range(_KILLS):
        playbook = judge.user.start("rollout", *judge.plan(following(real), **_PLAN))
        if number == 0:
            # Whatever is drawn and however slow the machine is, one that follows finds a split.
            rollout.wait("10 % routed", routed({new: 10, old: 90}), 400)
        else:
            time.sleep(draw.uniform(*_MOMENTS))
        descent.kill(playbook.pid)
        playbook.communicate()
        left.append(shares(rollout.get()))
        rollout.mark(f"killed at {left[-1]}")
    judged = judge.drive(following(real), before="-", **_PLAN)
    rollout.wait("promoted", routed({new: 100}))
    seen = rollout.end_load()
    report.add(seen, f"killed {_KILLS} times, seed {_SEED}")
    assert judged.driver["outcome"] == "promoted", judged.driver["cause"]
    assert seen.failed == 0, seen.ledger[:3]
    assert set(seen.by_revision) == {old, new}
    for split in left:
        assert split.get(new, 0) in {0, *(step["percent"] for step in _STEPS), 100}, left


def test_the_api_server_restarts_while_it_drives(
    rollout: Rollout, real: Real, report: Report, judge: Judge, node: Node
) -> None:
    old, new, _third = start(rollout, real)
    playbook = judge.user.start("rollout", *judge.plan(following(real), **_PLAN))
    rollout.wait("10 % routed", routed({new: 10, old: 90}), 400)
    node.stop("kube-apiserver", signal.SIGKILL)
    rollout.mark("the API server ends")
    rollout.hold(5)
    node.start("kube-apiserver")
    rollout.mark("it is started again")
    said, _errors = playbook.communicate(timeout=400)
    seen = rollout.end_load()
    report.add(seen, "not tried")
    verdict = judge.user.artifact("verdict.json")
    assert verdict["driver"]["outcome"] == "promoted", said
    assert seen.failed == 0, seen.ledger[:3]
    assert set(seen.by_revision) == {old, new}
    # What nobody could see for seconds is told, and is no pass.
    assert verdict["verdict"] == "inconclusive", verdict["reasons"]
