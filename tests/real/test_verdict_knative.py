# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on rollouts of Knative mode that somebody else drives, with its reasons."""

from __future__ import annotations

import pytest

from .judged import BY_LOG, RATE, Judge
from .knative import baseline, following
from .rollout import Rollout, shares
from .stage import Real


@pytest.mark.quick
def test_promoted(rollout: Rollout, real: Real, judge: Judge) -> None:
    old, new, _third = baseline(rollout, real)
    judged = judge.observe("step", following(real), before="0 of 11,704")
    assert judged.verdict["verdict"] == "pass", judged.reasons
    assert judged.code == 0
    assert set(judged.verdict["revisions"]) == {old, new}
    assert judged.verdict["requests"] > 10 * RATE
    assert shares(rollout.get()) == {new: 100}


def test_promoted_where_the_gateways_log_alone_tells_who_answered(
    rollout: Rollout, real: Real, judge: Judge
) -> None:
    """As with KServe's own servers, whose answers name nobody."""
    old, new, _third = baseline(rollout, real)
    judged = judge.observe("step", following(real), before="-", **BY_LOG)
    assert judged.verdict["verdict"] == "pass", judged.reasons
    assert set(judged.verdict["revisions"]) == {old, new}
    assert judged.verdict["named_by"] == "access_log"


@pytest.mark.quick
def test_rejected(rollout: Rollout, real: Real, judge: Judge) -> None:
    old, new, _third = baseline(rollout, real)
    judged = judge.observe("step", following(real), rollout_expect="rolled_back", before="0 of 7,950")
    assert judged.verdict["verdict"] == "pass", judged.reasons
    assert set(judged.verdict["revisions"]) == {old, new}
    assert shares(rollout.get()) == {old: 100}


def test_a_canary_that_errs(rollout: Rollout, real: Real, judge: Judge) -> None:
    old, new, _third = baseline(rollout, real)
    judged = judge.observe(
        "step",
        following(real, error_share="0.3"),
        rollout_expect="rolled_back",
        before="121 of the canary's 474",
    )
    assert judged.verdict["verdict"] == "fail", judged.reasons
    assert judged.code != 0
    assert judged.verdict["revisions"][old]["failed"] == 0
    assert judged.verdict["revisions"][new]["failed"] == judged.verdict["failed"] > 0


def test_an_image_that_is_not_there(rollout: Rollout, real: Real, judge: Judge) -> None:
    """Its InferenceService says Unknown for ever; the pod tells why."""
    old, _new, _third = baseline(rollout, real)
    judged = judge.observe(
        "replace", following(real, image="dev.local/not-there:1"), rollout_stuck_seconds=15, before="0 lost"
    )
    assert judged.verdict["verdict"] == "fail", judged.reasons
    assert judged.verdict["failed"] == 0
    answered = {name for name, row in judged.verdict["revisions"].items() if row["requests"]}
    assert answered == {old}
    assert "not-there" in judged.said


def test_the_promotion_of_one_that_was_awaited_to_be_rejected(
    rollout: Rollout, real: Real, judge: Judge
) -> None:
    baseline(rollout, real)
    judged = judge.observe(
        "replace", following(real), rollout_expect="rolled_back", rollout_deadline=30, before="-"
    )
    assert judged.verdict["verdict"] == "fail", judged.reasons
    assert judged.verdict["failed"] == 0
