# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.analytics import analysis

MEAN = {
    "name": "mean",
    "metricObj": {"spec": {"provider": "prometheus", "params": {"query": "m{r='$revision'}[$interval]"}}},
}


def spec_of(objectives, kind="Canary", weights=None, metrics=(MEAN,)):
    versions = {"baseline": {"name": "default", "tags": {"revision": "r1"}}}
    if kind != "Performance":
        versions["candidates"] = [{"name": "canary", "tags": {"revision": "r2"}}]
    return {
        "strategy": {"type": kind, "weights": weights or {}},
        "criteria": {"objectives": objectives},
        "metrics": list(metrics),
        "versionInfo": versions,
    }


def analyse(objectives, values, old=None, **more):
    distribution = (
        [{"name": "default", "value": 100 - old}, {"name": "canary", "value": old}] if old else None
    )
    status = {"currentWeightDistribution": distribution} if distribution else {}
    return analysis.analysis(spec_of(objectives, **more), status, values)


def weights(result):
    return [entry["value"] for entry in result["weights"]["data"]]


@pytest.mark.parametrize(("start", "now", "expected"), [(100, 100.9, 0), (100, 115.2, 15), (100, 99, 0)])
def test_the_interval_runs_from_the_start(start, now, expected):
    assert analysis.interval_seconds(start, now) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("x{r='$revision'}[$interval]", "x{r='r1'}[30s]"),
        ("${name}_total", "default_total"),
        ("rate$$", "rate$"),
        ("plain", "plain"),
    ],
)
def test_a_query_is_filled_in(template, expected):
    assert analysis.query(template, {"name": "default", "tags": {"revision": "r1"}}, 30) == expected


@pytest.mark.parametrize(("template", "problem"), [("$unknown", "no tag 'unknown'"), ("a $ b", "filled in")])
def test_a_query_that_cannot_be_filled_in(template, problem):
    with pytest.raises(analysis.InvalidRequest, match=problem):
        analysis.query(template, {"name": "default"}, 30)


def vector(*values):
    return {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"value": [1, v]} for v in values]},
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (vector("12.5"), 12.5),
        (vector("0"), 0.0),
        (vector("NaN"), None),
        (vector("+Inf"), None),
        (vector(), None),
        (vector("1", "2"), None),
        ({"status": "error", "error": "duration must be greater than 0"}, None),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}, None),
        ([], None),
        (None, None),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"value": [1]}]}}, None),
    ],
)
def test_the_one_number_of_an_answer(answer, expected):
    assert analysis.single_value(answer) == expected


def test_every_metric_of_every_version_is_asked_for():
    asked = {"m{r='r1'}[9s]": 1.5, "m{r='r2'}[9s]": None}
    assert analysis.measure(spec_of([]), 9, asked.__getitem__) == {
        ("mean", "default"): 1.5,
        ("mean", "canary"): None,
    }


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        ({"provider": "newrelic", "params": {"query": "q"}}, "newrelic"),
        ({"provider": "prometheus"}, "params.query"),
    ],
)
def test_metrics_that_cannot_be_asked_for(metric, problem):
    spec = spec_of([], metrics=[{"name": "m", "metricObj": {"spec": metric}}])
    with pytest.raises(analysis.InvalidRequest, match=problem):
        analysis.measure(spec, 9, lambda query: 0.0)


@pytest.mark.parametrize(
    ("limits", "value", "met"),
    [
        ({"upperLimit": 1000}, 1000.0, True),
        ({"upperLimit": 1000}, 1000.1, False),
        ({"upperLimit": "0.01"}, 0.01, True),
        ({"upperLimit": "10m"}, 0.0101, False),
        ({"lowerLimit": "1k"}, 999.0, False),
        ({"lowerLimit": "1k", "upperLimit": "2k"}, 1500.0, True),
        ({}, 7.0, True),
        ({}, None, False),
    ],
)
def test_limits_may_be_quantities(limits, value, met):
    values = {("mean", "default"): value, ("mean", "canary"): value}
    result = analyse([{"metric": "mean", **limits}], values)
    assert result["versionAssessments"]["data"] == {"default": [met], "canary": [met]}


def test_a_limit_that_is_no_quantity():
    with pytest.raises(analysis.InvalidRequest, match="upperLimit of objective mean"):
        analyse([{"metric": "mean", "upperLimit": "fast"}], {})


OBJECTIVES = [{"metric": "mean", "upperLimit": 1000}, {"metric": "errors", "upperLimit": "0.01"}]


def values(default_mean, canary_mean, default_errors=0.0, canary_errors=0.0):
    return {
        ("mean", "default"): default_mean,
        ("mean", "canary"): canary_mean,
        ("errors", "default"): default_errors,
        ("errors", "canary"): canary_errors,
    }


@pytest.mark.parametrize(
    ("measured", "winner"),
    [
        (values(9.0, 9.0), "canary"),
        (values(9.0, 1200.0), "default"),
        (values(9.0, 9.0, 0.0, 0.3), "default"),
        (values(1200.0, 9.0), "canary"),
        (values(1200.0, 1200.0), None),
        (values(9.0, None, 0.0, None), "default"),
        (values(None, None, None, None), None),
    ],
)
def test_the_winner(measured, winner):
    data = analyse(OBJECTIVES, measured)["winnerAssessment"]["data"]
    assert data == ({"winnerFound": True, "winner": winner} if winner else {"winnerFound": False})


def test_the_weights_of_the_quickstart():
    """No data at first, then a canary that meets everything: 5, 15, … 95, and never more."""
    seen, old = [], None
    for iteration in range(12):
        measured = values(None, None, None, None) if iteration == 0 else values(9.0, 9.0)
        result = analyse(OBJECTIVES, measured, old)
        assert sum(weights(result)) == 100
        old = weights(result)[1]
        seen.append(old)
    assert seen == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 95, 95]


def test_a_canary_that_turns_bad_falls_back_at_once():
    assert weights(analyse(OBJECTIVES, values(9.0, 1200.0), old=75)) == [95, 5]


def test_the_limits_of_the_strategy_are_kept():
    limits = {"maxCandidateWeight": 30, "maxCandidateWeightIncrement": 25}
    assert weights(analyse(OBJECTIVES, values(9.0, 9.0), old=2, weights=limits)) == [73, 27]
    assert weights(analyse(OBJECTIVES, values(9.0, 9.0), old=27, weights=limits)) == [70, 30]


def test_what_has_no_value_is_left_out_and_named():
    result = analyse(OBJECTIVES, values(9.0, None))
    assert result["aggregatedMetrics"]["data"]["mean"]["data"] == {"default": {"value": "9.0"}, "canary": {}}
    assert "mean of canary" in result["aggregatedMetrics"]["message"]
    assert "mean of canary" in result["versionAssessments"]["message"]


def test_a_performance_experiment_has_neither_winner_nor_weights():
    result = analyse([{"metric": "mean"}], {("mean", "default"): 3.0}, kind="Performance")
    assert result["versionAssessments"]["data"] == {"default": [True]}
    assert result["winnerAssessment"]["data"] == {"winnerFound": False}
    assert result["weights"]["data"] == []


def test_a_canary_experiment_needs_two_versions():
    spec = spec_of([])
    spec["versionInfo"]["candidates"] = []
    with pytest.raises(analysis.InvalidRequest, match="not 1 versions"):
        analysis.analysis(spec, {}, {})
