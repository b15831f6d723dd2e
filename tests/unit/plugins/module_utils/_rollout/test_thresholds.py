# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import (
    STALL,
    Bend,
    answered,
    own,
    unplanned,
)
from ansible_collections.iter8.kfserving.tests.support.judging import verdict


def _tolerant(absolute: float, relative: float) -> Thresholds:
    return Thresholds(share_tolerance=absolute, share_tolerance_relative=relative)


@pytest.mark.parametrize(
    ("thresholds", "bend", "grade"),
    [
        (Thresholds(min_requests=9000), own(), "pass"),
        (Thresholds(min_requests=9001), own(), "inconclusive"),
        (Thresholds(min_requests_per_revision=4475), own(), "pass"),
        (Thresholds(min_requests_per_revision=4476), own(), "inconclusive"),
        (Thresholds(max_stall_seconds=4.0), own(stalls=[STALL]), "pass"),
        (Thresholds(max_stall_seconds=3.9), own(stalls=[STALL]), "inconclusive"),
        (Thresholds(max_lateness_p99=0.002), own(), "pass"),
        (Thresholds(max_lateness_p99=0.0019), own(), "inconclusive"),
        (Thresholds(expect_iterations=7), unplanned, "pass"),
        (Thresholds(expect_iterations=6), unplanned, "fail"),
        (_tolerant(0.3, 1.0), answered(45, 50, baseline=15, canary=85), "pass"),
        (_tolerant(0.19, 1.0), answered(45, 50, baseline=15, canary=85), "fail"),
        (_tolerant(0.3, 0.5), answered(10, 20, baseline=70, canary=30), "fail"),
        (_tolerant(0.05, 1.0), answered(65, 75, baseline=1, canary=99), "pass"),
        (_tolerant(0.05, 0.5), answered(65, 75, baseline=1, canary=99), "fail"),
        (_tolerant(0.02, 1.0), answered(65, 75, baseline=1, canary=99), "fail"),
        (Thresholds(propagation_seconds=4.0), answered(7, 8, baseline=99, canary=1), "pass"),
        (Thresholds(propagation_seconds=1.0), answered(7, 8, baseline=99, canary=1), "fail"),
    ],
)
def test_each_threshold_is_where_it_says(thresholds: Thresholds, bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert verdict(run, thresholds)["verdict"] == grade


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_lost": -1}, "max_lost must not be below 0"),
        ({"min_requests": -1}, "min_requests must not be below 0"),
        ({"max_gap": -0.5}, "max_gap must not be below 0, it is -0.5"),
        ({"expect_iterations": -1}, "expect_iterations"),
        ({"share_tolerance": 1.5}, "share_tolerance must be from 0 to 1"),
        ({"share_tolerance": -0.5}, "share_tolerance must be from 0 to 1"),
        ({"share_tolerance_relative": 1.5}, "share_tolerance_relative must be from 0 to 1"),
        ({"share_tolerance": math.nan}, "share_tolerance must be from 0 to 1"),
        ({"max_gap": math.nan}, "max_gap must be a finite number, not nan"),
        ({"max_gap": math.inf}, "max_gap must be a finite number, not inf"),
        ({"propagation_seconds": math.inf}, "propagation_seconds must be a finite number"),
        ({"max_stall_seconds": math.nan}, "max_stall_seconds must be a finite number"),
        ({"max_lateness_p99": -math.inf}, "max_lateness_p99 must be a finite number"),
        ({"max_unobserved": -0.1}, "max_unobserved must not be below 0"),
        ({"max_clock_uncertainty": math.nan}, "max_clock_uncertainty must be a finite number"),
        ({"latency": {99.0: math.nan}}, "latency at percentile 99 must be a finite number"),
        ({"latency": {math.nan: 1.0}}, "nan is not a percentile"),
        ({"expect_winner": "both"}, "expect_winner must be canary or baseline, not 'both'"),
        ({"latency": {0.0: 1.0}}, "0 is not a percentile"),
        ({"latency": {101.0: 1.0}}, "101 is not a percentile"),
        ({"latency": {99.0: -1.0}}, "latency at percentile 99 must not be below 0"),
        ({"max_lost": True}, "max_lost must be a finite number, not True"),
        ({"min_requests": "50"}, "min_requests must be a finite number, not '50'"),
        ({"max_gap": 10**400}, "max_gap must be a finite number, not 1000"),
        ({"share_tolerance": "much"}, "share_tolerance must be from 0 to 1, not 'much'"),
        ({"expect_winner": ["canary"]}, "expect_winner must be canary or baseline"),
        ({"latency": [0.5]}, "latency must map percentiles to seconds"),
        ({"latency": {True: 0.5}}, "latency: True is not a percentile"),
        ({"max_first_token": {95.0: True}}, "max_first_token at percentile 95 must be a finite number"),
        ({"max_token_gap": {10**400: 1.0}}, "max_token_gap: 1000"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Thresholds(**wrong)


def test_thresholds_may_be_at_their_edges() -> None:
    edges = [
        Thresholds(share_tolerance=0.0, max_lost=0, min_requests=0, propagation_seconds=0.0, max_gap=0.0),
        Thresholds(share_tolerance=1.0, latency={100.0: 0.0, 0.5: 1.0}, expect_iterations=0),
    ]
    assert [edge.gap_limit(100) for edge in edges] == [0.0, 2.0]
    assert (Thresholds().gap_limit(0), Thresholds().gap_limit(0.5)) == (2.0, 6.0)
    assert edges[1].as_dict()["latency"] == {"100": 0.0, "0.5": 1.0}


@pytest.mark.parametrize(
    ("weight", "limit"), [(0.0, 0.05), (1.0, 0.05), (0.01, 0.005), (0.05, 0.025), (0.5, 0.05), (0.98, 0.01)]
)
def test_how_far_a_share_may_stray_goes_by_the_weight(weight: float, limit: float) -> None:
    assert Thresholds().share_limit(weight) == pytest.approx(limit)
