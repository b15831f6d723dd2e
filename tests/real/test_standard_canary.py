# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard mode with `spec.canary`, which KServe carries out from 0.21 on."""

from __future__ import annotations

import pytest

from .rollout import Json, Rollout, ready
from .stage import Real, Report
from .standard import DRAIN, DRAINING, PODS, create_runtimes, deployments, model, rolled, start

_LEFT = DRAIN + 2


@pytest.fixture(scope="module", autouse=True)
def _runtimes(real: Real) -> None:
    create_runtimes(real)


def _canary(percent: int, pods: int) -> Json:
    predictor = {"name": "v2", "minReplicas": pods, "model": model("v2", DRAINING)}
    return {"canary": [{"trafficPercent": percent, "predictor": predictor}]}


def _told(found: Json) -> tuple[bool, int]:
    """Whether the canary is said to be ready, and with which percent."""
    statuses = found["status"].get("canaryStatuses") or [{}]
    return bool(statuses[0].get("ready")), statuses[0].get("trafficPercent", 0)


def _step(rollout: Rollout, percent: int, pods: int) -> None:
    rollout.patch(f"canary {percent} %, {pods} pods", _canary(percent, pods))
    rollout.wait(f"canary {percent} % told", lambda found: _told(found) == (True, percent))
    rollout.wait("rolled", lambda _found: rolled(rollout))


def test_a_canary_of_0_20_0_is_told_as_ready_and_asked_nothing(
    rollout: Rollout, real: Real, report: Report
) -> None:
    """Why preflight refuses it: only what is observed tells."""
    if real.other_manager:
        pytest.skip("REAL_KSERVE_MANAGER names another manager than that of 0.20.0")
    start(rollout, DRAINING)
    _step(rollout, 25, 1)
    rollout.hold(15)
    stable = next(each for each in deployments(rollout) if not each["metadata"]["name"].endswith("v2"))
    seen = rollout.end_load()
    report.add(seen, "0 of 3,251 reached the canary; the stable one shrank to a pod")
    assert seen.failed == 0, seen.ledger[:3]
    assert set(seen.by_revision) == {"v1"}
    assert stable["spec"]["replicas"] < PODS


@pytest.mark.quick
@pytest.mark.usefixtures("canaries")
def test_promoted_with_capacity_first(rollout: Rollout, report: Report) -> None:
    """Stable doubled, canary with as many pods as wanted, 25, 50, 100, then renamed."""
    start(rollout, DRAINING)
    rollout.patch("double the stable", {"predictor": {"minReplicas": 2 * PODS}})
    rollout.hold(1)
    rollout.wait("doubled", lambda _found: rolled(rollout))
    for percent in (25, 50, 100):
        _step(rollout, percent, PODS)
        rollout.hold(8)
    predictor = {"name": "v2", "minReplicas": PODS, "model": model("v2", DRAINING)}
    rollout.patch("rename", {"predictor": predictor, "canary": None})
    rollout.hold(1)
    ended = rollout.wait("renamed", lambda found: ready(found) and rolled(rollout))
    rollout.hold(_LEFT + 5)
    seen = rollout.end_load()
    report.add(seen, "0 of 8,004 (Envoy Gateway)")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of("v1", ended + _LEFT) == 0
    assert seen.by_revision["v2"] > 0


@pytest.mark.quick
@pytest.mark.usefixtures("canaries")
def test_rejected_by_0_then_removed(rollout: Rollout, report: Report) -> None:
    start(rollout, DRAINING)
    _step(rollout, 50, 1)
    rollout.hold(8)
    _step(rollout, 0, 1)
    gone = rollout.mark("rejected")
    rollout.hold(8)
    rollout.patch("remove the canary", {"canary": None})
    rollout.hold(_LEFT + 5)
    seen = rollout.end_load()
    report.add(seen, "0 of 5,801 (Envoy Gateway)")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.by_revision["v2"] > 0
    assert seen.of("v2", gone + 4) == 0
