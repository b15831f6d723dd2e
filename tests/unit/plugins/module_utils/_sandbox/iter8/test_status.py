# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import status as statuses

NOW = 1_800_000_000.75
PARTS = ("aggregatedMetrics", "versionAssessments", "winnerAssessment", "weights")


def test_the_first_status():
    status = statuses.initialised(NOW)
    assert status["initTime"] == status["lastUpdateTime"] == "2027-01-15T08:00:00Z"
    assert status["completedIterations"] == 0
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("ExperimentCompleted", "False"),
        ("ExperimentFailed", "False"),
    ]
    assert status["message"] == "ExperimentInitialized: Experiment status initialized"
    assert statuses.progress_reason(status) == "ExperimentInitialized"


def test_a_condition_is_replaced_not_added():
    status = statuses.marked(
        statuses.initialised(NOW), statuses.FAILED, "True", reason="HandlerFailed", message="why", now=NOW + 9
    )
    assert len(status["conditions"]) == 2
    assert status["conditions"][1] == {
        "type": "ExperimentFailed",
        "status": "True",
        "reason": "HandlerFailed",
        "message": "why",
        "lastTransitionTime": "2027-01-15T08:00:09Z",
    }
    assert status["message"] == "HandlerFailed: why"
    assert status["conditions"][0]["type"] == statuses.COMPLETED
    assert status["conditions"][0]["status"] == "False"


def analysis(winner=None):
    data = {"winnerFound": winner is not None, **({"winner": winner} if winner else {})}
    return {"winnerAssessment": {"data": data}, "weights": {"data": [{"name": "canary", "value": 5}]}}


@pytest.mark.parametrize(
    ("winner", "expected"), [("canary", "canary"), ("default", "default"), (None, "default")]
)
def test_the_winner_is_recommended_else_the_baseline(winner, expected):
    status = statuses.analysed({"recommendedBaseline": "canary"}, analysis(winner), "default")
    assert status["recommendedBaseline"] == expected


def test_an_iteration_is_counted_and_its_weights_are_shown():
    before = {"completedIterations": 2, "analysis": analysis(), "message": "kept"}
    status = statuses.iterated(before, NOW)
    assert status["completedIterations"] == 3
    assert status["currentWeightDistribution"] == [{"name": "canary", "value": 5}]
    assert status["lastUpdateTime"] == "2027-01-15T08:00:00Z"
    assert (before["completedIterations"], status["message"]) == (2, "kept")


@pytest.mark.parametrize(
    ("iterations", "elapsed", "expected"),
    [
        (0, 0, 0),  # the first one at once
        (1, 0, 15),
        (1, 14.5, 0.5),
        (1, 15, 0),
        (1, 500, 0),  # a controller that was away goes on at once
        (1, -500, 15),  # the clock was set back
    ],
)
def test_when_the_next_iteration_is_due(iterations, elapsed, expected):
    status = {"completedIterations": iterations, "lastUpdateTime": "2027-01-15T08:00:00Z"}
    assert statuses.seconds_until_due(status, 15, 1_800_000_000 + elapsed) == expected


def test_an_analysis_gets_its_origin_and_canonical_numbers():
    answer = {
        "aggregatedMetrics": {
            "data": {"mean": {"data": {"a": {"value": "228.788"}, "b": {}}}},
            "message": "ok",
        },
        "versionAssessments": {"data": {"a": [True]}},
        "winnerAssessment": {"data": {"winnerFound": False}},
        "weights": {"data": []},
        "other": 1,
    }
    taken = statuses.accepted_analysis(answer, "http://a/b", NOW)
    assert set(taken) == set(PARTS)
    assert all(
        s["provenance"] == "http://a/b" and s["timestamp"] == "2027-01-15T08:00:00Z" for s in taken.values()
    )
    assert taken["aggregatedMetrics"]["data"]["mean"]["data"] == {"a": {"value": "228788m"}, "b": {}}


@pytest.mark.parametrize(
    "missing", ["aggregatedMetrics", "versionAssessments", "winnerAssessment", "weights"]
)
def test_an_analysis_with_a_part_missing_is_refused(missing):
    answer = {name: {"data": {}} for name in PARTS if name != missing}
    with pytest.raises(ValueError, match=missing):
        statuses.accepted_analysis(answer, "e", NOW)
