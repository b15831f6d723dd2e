# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard mode: Deployments behind a Gateway API gateway. The model's version tells who answered."""

from __future__ import annotations

import pytest

from .rollout import Rollout, ready
from .stage import Real, Report
from .standard import DRAIN, DRAINING, PLAIN, create_runtimes, model, rolled, start

# How long the old pods may answer after it has rolled: their drain, and what the gateway takes to follow.
_LEFT = DRAIN + 2


@pytest.fixture(scope="module", autouse=True)
def _runtimes(real: Real) -> None:
    create_runtimes(real)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kind", "before"),
    [(DRAINING, "0 of 4,999 (Envoy Gateway)"), (PLAIN, "6 of 4,993 (Envoy Gateway)")],
    ids=[DRAINING, PLAIN],
)
def test_rolling_update(rollout: Rollout, report: Report, kind: str, before: str) -> None:
    start(rollout, kind)
    began = rollout.patch("v2 at once", {"predictor": {"model": model("v2", kind)}})
    rollout.hold(1)
    ended = rollout.wait("rolled", lambda found: ready(found) and rolled(rollout), 120)
    rollout.hold(_LEFT + 5)
    seen = rollout.end_load()
    report.add(seen, before)
    assert seen.of("v2", 0, began) == 0
    assert seen.of("v1", ended + _LEFT) == 0
    if kind == DRAINING:
        assert seen.failed == 0, seen.ledger[:3]
    # Plain servers may lose what the gateway still sends to pods that end: at that time, and no other.
    assert all(began <= loss["sent"] <= ended + _LEFT for loss in seen.ledger)
