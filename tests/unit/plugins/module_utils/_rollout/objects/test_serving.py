# SPDX-License-Identifier: GPL-3.0-or-later
"""Which revision a rollout starts from: the one that serves, whatever was tried and rolled back before."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import inferenceservice
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import State
from ansible_collections.iter8.kfserving.tests.support import builders
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY

FAILED = [{"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": f"{CANARY} failed"}]


@pytest.mark.parametrize(
    ("traffic", "rolledout", "serving"),
    [
        ({BASELINE: 100}, BASELINE, BASELINE),
        ({BASELINE: 99, CANARY: 1}, BASELINE, BASELINE),
        ({BASELINE: 1, CANARY: 99}, BASELINE, BASELINE),
        ({CANARY: 100}, CANARY, CANARY),
        # What was rolled out last has nothing any more, or nobody says what was.
        ({BASELINE: 100}, CANARY, BASELINE),
        ({BASELINE: 70, CANARY: 30}, "", BASELINE),
        ({}, BASELINE, BASELINE),
        ({}, "", ""),
    ],
)
def test_what_serves(traffic: dict[str, int], rolledout: str, serving: str) -> None:
    obj = builders.isvc(traffic=traffic)
    obj["status"]["components"]["predictor"]["latestRolledoutRevision"] = rolledout
    assert inferenceservice.read(obj).revisions.serving == serving


def test_a_canary_that_was_rolled_back_is_no_baseline_though_it_is_ready() -> None:
    seen = inferenceservice.read(builders.isvc(traffic={BASELINE: 100}))
    assert (seen.revisions.ready, seen.revisions.serving) == (CANARY, BASELINE)


def test_an_earlier_canarys_status_is_not_taken_for_the_next_one() -> None:
    stale = builders.isvc(traffic={BASELINE: 100})
    outcome = inferenceservice.assess(stale, BASELINE)
    assert (outcome.state, outcome.reason) == (State.PENDING, "TrafficNotAsExpected")
    assert inferenceservice.assess(builders.isvc(), BASELINE).state is State.SUCCEEDED


def test_it_serves_though_a_canary_that_was_rolled_back_never_became_ready() -> None:
    obj = builders.isvc(ready=BASELINE, traffic={BASELINE: 100}, ready_status="False")
    obj["status"]["conditions"] = FAILED
    assert inferenceservice.assess(obj).state is State.FAILED
    outcome = inferenceservice.assess(obj, serving=True)
    assert outcome.state is State.SUCCEEDED
    assert outcome.message == f"revision {BASELINE} serves; traffic {BASELINE} 100 %"


def test_it_does_not_serve_before_all_of_the_traffic_goes_somewhere() -> None:
    obj = builders.isvc(traffic={BASELINE: 60})
    assert inferenceservice.assess(obj, serving=True).state is State.PENDING
    assert inferenceservice.assess(None, serving=True).reason == "NotFound"
