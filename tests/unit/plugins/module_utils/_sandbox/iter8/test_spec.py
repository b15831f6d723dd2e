# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import spec as specs

EXPERIMENT = {
    "metadata": {"name": "experiment-1", "namespace": "default", "uid": "0f1e-aa-99-0123456789ab"},
    "spec": {"target": "default/my-model", "strategy": {"type": "Canary"}},
}


def spec_of(kind="Canary", candidates=1, **more):
    info = {"baseline": {"name": "default"}, "candidates": [{"name": f"c{i}"} for i in range(candidates)]}
    return specs.with_defaults(
        {"target": "a/b", "strategy": {"type": kind, **more.pop("strategy", {})}, "versionInfo": info, **more}
    )


def test_a_bare_spec_gets_etc3s_defaults():
    spec = specs.with_defaults(EXPERIMENT["spec"])
    assert spec["strategy"]["handlers"] == {
        "start": "start",
        "finish": "finish",
        "rollback": "finish",
        "failure": "finish",
    }
    assert spec["strategy"]["weights"] == {
        "maxCandidateWeight": 100,
        "maxCandidateWeightIncrement": 10,
        "algorithm": "Progressive",
    }
    assert spec["duration"] == {"intervalSeconds": 20, "maxIterations": 15}
    assert "criteria" not in spec
    assert "handlers" not in EXPERIMENT["spec"]["strategy"], "the given spec is not changed"


def test_what_the_user_set_stays():
    spec = specs.with_defaults(
        {
            "target": "a/b",
            "strategy": {
                "type": "BlueGreen",
                "handlers": {"start": "none"},
                "weights": {"maxCandidateWeight": 7},
            },
            "duration": {"maxIterations": 3},
            "criteria": {"requestCount": "mine"},
        }
    )
    assert spec["strategy"]["handlers"]["start"] == "none"
    assert spec["strategy"]["weights"]["maxCandidateWeight"] == 7
    assert spec["strategy"]["weights"]["algorithm"] == "FixedSplit"
    assert spec["duration"] == {"intervalSeconds": 20, "maxIterations": 3}
    assert spec["criteria"] == {"requestCount": "mine"}
    assert specs.with_defaults(spec) == spec


def test_metrics_are_named_once_in_order_of_mention():
    criteria = {
        "reward": {"metric": "sales"},
        "indicators": ["tail", "request-count"],
        "objectives": [{"metric": "ns/mean"}, {"metric": "tail"}],
    }
    assert specs.unresolved_metrics({"criteria": criteria}) == ["request-count", "sales", "tail", "ns/mean"]


@pytest.mark.parametrize(
    "spec", [{}, {"criteria": None}, {"criteria": {"indicators": ["x"]}, "metrics": [{"name": "x"}]}]
)
def test_without_criteria_or_with_metrics_nothing_is_resolved(spec):
    assert specs.unresolved_metrics(spec) == []


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("mean", [("default", "mean"), ("iter8-system", "mean")]),
        ("other/mean", [("other", "mean")]),
        ("a/b/c", [("default", "a/b/c"), ("iter8-system", "a/b/c")]),
    ],
)
def test_where_a_metric_is_looked_for(name, places):
    assert specs.metric_places(name, "default") == places


def test_an_embedded_metric_loses_what_only_the_api_server_needs():
    metric = {
        "kind": "Metric",
        "metadata": {
            "name": "m",
            "managedFields": [1],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "x"},
        },
        "spec": {"provider": "prometheus"},
    }
    entry = specs.metric_entry("ns/m", metric)
    assert entry["name"] == "ns/m"
    assert entry["metricObj"]["metadata"] == {"name": "m", "annotations": {"mine": "x"}}
    assert metric["metadata"]["managedFields"] == [1]


@pytest.mark.parametrize(
    ("kind", "strategy", "expected"),
    [
        ("Canary", {}, None),
        ("Performance", {}, None),
        ("BlueGreen", {"weights": {"algorithm": "Progressive"}}, None),
        ("BlueGreen", {}, "FixedSplit"),
        ("Canary", {"weights": {"algorithm": "FixedSplit"}}, "Progressive"),
        ("A/B", {}, "reward"),
        ("A/B/N", {}, "not A/B/N"),
    ],
)
def test_experiments_that_cannot_be_run_say_why(kind, strategy, expected):
    problem = specs.spec_problem(spec_of(kind, strategy=strategy))
    assert (problem is None) if expected is None else (expected in problem)


@pytest.mark.parametrize(
    ("kind", "candidates", "valid"),
    [("Canary", 1, True), ("Canary", 0, False), ("Canary", 2, False), ("Performance", 0, True)]
    + [("Performance", 1, False), ("BlueGreen", 1, True)],
)
def test_the_number_of_candidates_has_to_suit_the_strategy(kind, candidates, valid):
    assert (specs.versions_problem(spec_of(kind, candidates)) is None) == valid


def test_an_experiment_needs_versions():
    assert specs.versions_problem({"strategy": {"type": "Canary"}}) == "No versionInfo in experiment"


@pytest.mark.parametrize(
    ("kind", "flags", "default_met", "canary_met", "expected"),
    [
        ("Canary", [None, None], [True, True], [False, False], False),
        ("Canary", [None, True], [True, True], [False, True], False),
        ("Canary", [None, True], [True, True], [True, False], True),
        ("Canary", [True, None], [False, True], [True, True], True),
        ("BlueGreen", [None, False], [True, True], [True, False], False),
        ("BlueGreen", [None, False], [True, True], [False, True], True),
    ],
)
def test_roll_back_on_a_missed_objective_that_asks_for_it(kind, flags, default_met, canary_met, expected):
    objectives = [
        {"metric": "m"} if flag is None else {"metric": "m", "rollback_on_failure": flag} for flag in flags
    ]
    spec = spec_of(kind, criteria={"objectives": objectives})
    analysis = {"versionAssessments": {"data": {"default": default_met, "canary": canary_met}}}
    assert specs.must_roll_back(spec, analysis) is expected


def test_nothing_is_rolled_back_before_the_first_analysis():
    spec = spec_of(criteria={"objectives": [{"metric": "m", "rollback_on_failure": True}]})
    assert specs.must_roll_back(spec, {}) is False


@pytest.mark.parametrize(
    ("handlers", "moment", "expected"),
    [({}, "start", "start"), ({"start": "none"}, "start", None), ({"finish": "mine"}, "finish", "mine")],
)
def test_handler_names(handlers, moment, expected):
    assert specs.handler_name(spec_of(strategy={"handlers": handlers}), moment) == expected


def test_handler_names_of_a_spec_without_defaults():
    assert specs.handler_name(EXPERIMENT["spec"], "failure") == "finish"


def test_a_performance_experiment_has_no_terminal_handler():
    spec = spec_of("Performance")
    assert [specs.handler_name(spec, m) for m in ("start", "finish", "failure")] == ["start", None, None]


def test_the_job_of_a_handler():
    template = {
        "metadata": {"name": "start", "labels": {"creator": "iter8"}},
        "spec": {
            "backoffLimit": 4,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "c",
                            "env": [{"name": "EXPERIMENT_NAME", "value": "?"}, {"name": "X", "value": "1"}],
                        }
                    ]
                }
            },
        },
    }
    job = specs.handler_job(template, "start", EXPERIMENT)
    assert job["metadata"] == {
        "name": "start-handler-experiment-1-0123456789ab",
        "namespace": "iter8-system",
        "labels": {"creator": "iter8"},
    }
    pod = job["spec"]["template"]
    assert pod["metadata"]["labels"] == {
        "iter8/experimentName": "experiment-1",
        "iter8/experimentNamespace": "default",
    }
    assert pod["spec"]["serviceAccountName"] == "iter8-handlers"
    assert pod["spec"]["containers"][0]["env"] == [
        {"name": "X", "value": "1"},
        {"name": "EXPERIMENT_NAME", "value": "experiment-1"},
        {"name": "EXPERIMENT_NAMESPACE", "value": "default"},
    ]
    assert "ownerReferences" not in job["metadata"]
    assert template["metadata"]["name"] == "start", "the template is not changed"
