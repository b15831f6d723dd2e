# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiments are led against a cluster in memory, with a clock that the test moves."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import steps

ENDPOINT = "http://iter8-analytics.iter8-system:8080/v2/analytics_results"
START = 1_800_000_000.0
TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}
START_JOB, FINISH_JOB = "start-handler-experiment-1-77", "finish-handler-experiment-1-77"
REFERENCE = {"apiVersion": "g/v1", "kind": "K", "name": "my-model", "fieldPath": "/spec/percent"}
VERSIONS = {
    "baseline": {"name": "default", "tags": {"revision": "r1"}},
    "candidates": [{"name": "canary", "tags": {"revision": "r2"}, "weightObjRef": REFERENCE}],
}


def answer(canary, met=True, default_met=True):
    winner = "canary" if met else "default" if default_met else None
    return {
        "aggregatedMetrics": {"data": {}},
        "versionAssessments": {"data": {"default": [default_met], "canary": [met]}},
        "winnerAssessment": {"data": {"winnerFound": bool(winner), **({"winner": winner} if winner else {})}},
        "weights": {
            "data": [{"name": "default", "value": 100 - canary}, {"name": "canary", "value": canary}]
        },
    }


class FakeCluster:
    """Implements `steps.Cluster`. `changes` is what was changed; before the one of number `crash_before` it
    raises, once, as if the controller were killed."""

    analytics_endpoint = ENDPOINT

    def __init__(self, **spec):
        self.object = {
            "metadata": {"name": "experiment-1", "namespace": "default", "uid": "a-b-77"},
            "spec": {
                "target": "default/my-model",
                "strategy": {"type": "Canary"},
                "criteria": {"objectives": [{"metric": "mean"}]},
                "duration": {"intervalSeconds": 15, "maxIterations": 3},
                **spec,
            },
        }
        self.metrics = {("iter8-system", "request-count"), ("iter8-system", "mean")}
        self.jobs = {}
        self.weights = []
        self.history = []
        self.answers = [answer(5), answer(15), answer(25)]
        self.refuse = {}
        self.asked = 0
        self.changes = []
        self.crash_before = None

    def _change(self, what):
        if self.crash_before == len(self.changes):
            self.crash_before = None
            raise ConnectionError("killed")
        if what in self.refuse:
            raise self.refuse[what]
        self.changes.append(what)

    def experiment(self, namespace, name):
        return copy.deepcopy(self.object)

    def write_spec(self, experiment, spec):
        self._change("spec")
        self.object["spec"] = copy.deepcopy(spec)

    def write_status(self, experiment, status):
        self._change("status")
        self.object["status"] = copy.deepcopy(status)
        self.history.append(copy.deepcopy(status))

    def metric(self, namespace, name):
        if (namespace, name) in self.refuse:
            raise self.refuse[namespace, name]
        if (namespace, name) not in self.metrics:
            raise steps.ObjectNotFound("no such metric")
        return {"kind": "Metric", "metadata": {"name": name, "namespace": namespace}, "spec": {}}

    def job(self, name):
        return self.jobs.get(name)

    def handler_template(self, handler):
        if handler not in ("start", "finish"):
            raise steps.ObjectNotFound("there is no handler of that name")
        return TEMPLATE

    def create_job(self, job):
        self._change(job["metadata"]["name"])
        self.jobs.setdefault(job["metadata"]["name"], {"status": {}})

    def set_weight(self, reference, weight):
        self._change("weight")
        self.weights.append(weight)

    def analyse(self, experiment):
        self.asked += 1
        if "analyse" in self.refuse:
            raise self.refuse["analyse"]
        return self.answers[experiment["status"]["completedIterations"]]

    def end_job(self, name, condition):
        self.jobs[name]["status"] = {"conditions": [{"type": condition, "status": "True"}]}


class World:
    """A cluster, its controller and its clock. `run` goes on until a Job is awaited or all is over."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.now = START
        self.lines = []
        self.restart()

    def restart(self):
        self.controller = steps.Reconciler(self.cluster, lambda: self.now, self.lines.append)

    def step(self):
        return self.controller.reconcile("default", "experiment-1")

    def run(self):
        for _unused in range(200):
            wait = self.step()
            if wait is None:
                return "over"
            running = self.cluster.jobs.get(START_JOB)
            if wait == steps._JOB_POLL_SECONDS and running is not None:
                return "job"
            self.now += wait
        raise AssertionError("the experiment does not come to an end")

    def complete_start(self):
        """What the start handler does."""
        self.cluster.object["spec"]["versionInfo"] = copy.deepcopy(VERSIONS)
        self.cluster.end_job(START_JOB, "Complete")

    def run_to_the_end(self):
        assert self.run() == "job"
        self.complete_start()
        assert self.run() == "over"

    @property
    def status(self):
        return self.cluster.object["status"]

    def condition(self, kind):
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return found["status"], found.get("reason"), found.get("message")

    def progress(self):
        """Each distinct (status, reason, message) that ExperimentCompleted showed, in order."""
        shown = [
            next(
                (c["status"], c["reason"], c["message"])
                for c in s["conditions"]
                if c["type"] == "ExperimentCompleted"
            )
            for s in self.cluster.history
        ]
        return [entry for i, entry in enumerate(shown) if i == 0 or entry != shown[i - 1]]


@pytest.fixture
def world():
    return World(FakeCluster())


def test_a_canary_experiment_from_beginning_to_end(world):
    world.run_to_the_end()
    assert world.progress() == [
        ("False", "ExperimentInitialized", "Experiment status initialized"),
        ("False", "ExperimentInitialized", "Late initialization complete"),
        ("False", "StartHandlerLaunched", "Start handler 'start' launched"),
        ("False", "IterationUpdate", "Completed Iteration 1"),
        ("False", "IterationUpdate", "Completed Iteration 2"),
        ("True", "ExperimentCompleted", "Experiment completed successfully"),
    ]
    assert world.condition("ExperimentFailed") == ("False", None, None)
    assert world.cluster.weights == [5, 15, 25]
    assert world.status["completedIterations"] == 3
    assert world.status["recommendedBaseline"] == "canary"
    assert world.status["currentWeightDistribution"] == [
        {"name": "default", "value": 75},
        {"name": "canary", "value": 25},
    ]
    assert "endTime" not in world.status
    assert set(world.cluster.jobs) == {START_JOB, FINISH_JOB}
    assert [m["name"] for m in world.cluster.object["spec"]["metrics"]] == ["request-count", "mean"]
    assert any("TerminalHandlerLaunched: Finish handler 'finish' launched" in line for line in world.lines)


def test_the_finish_handler_is_launched_only_with_the_write_that_completes(world):
    world.run()
    world.complete_start()
    while FINISH_JOB not in world.cluster.jobs:
        assert world.condition("ExperimentCompleted")[0] == "False"
        world.now += world.step() or 0
    assert world.condition("ExperimentCompleted")[0] == "True"
    # A finish Job that fails afterwards is not recorded.
    before = copy.deepcopy(world.cluster.object)
    world.cluster.end_job(FINISH_JOB, "Failed")
    assert world.step() is None
    assert world.cluster.object == before


def test_the_first_iteration_runs_at_once_the_others_every_interval(world):
    world.run()
    world.complete_start()
    times = []
    asked = 0
    while (wait := world.step()) is not None:
        if world.cluster.asked > asked:
            asked = world.cluster.asked
            times.append(world.now - START)
        world.now += wait
    first = times[0]
    assert [t - first for t in times] == [0, 15, 30]
    assert world.status["startTime"] == "2027-01-15T08:00:00Z"


def test_while_the_start_handler_runs_nothing_else_happens(world):
    assert world.run() == "job"
    for _unused in range(5):
        assert world.step() == steps._JOB_POLL_SECONDS
    assert world.cluster.asked == 0
    assert "startTime" not in world.status


def failure_of(world):
    """(reason, message) of ExperimentFailed; asserts that the failure came before the completion."""
    world.run()
    if START_JOB in world.cluster.jobs and "conditions" not in world.cluster.jobs[START_JOB]["status"]:
        world.complete_start()
        assert world.run() == "over"
    assert world.condition("ExperimentCompleted") == ("True", "ExperimentCompleted", "Experiment failed")
    status, reason, message = world.condition("ExperimentFailed")
    assert status == "True"
    return reason, message


def test_a_metric_that_does_not_exist(world):
    world.cluster.metrics.discard(("iter8-system", "mean"))
    assert failure_of(world) == ("MetricUnavailable", "Unable to find metric mean")
    assert set(world.cluster.jobs) == {FINISH_JOB}, "the failure handler is `finish`"


def test_a_metric_that_may_not_be_read(world):
    world.cluster.refuse["default", "mean"] = steps.FinalRefusal("forbidden")
    assert failure_of(world) == ("MetricsUnreadable", "Unable to load metric mean")


def test_a_metric_of_the_experiments_namespace_comes_first(world):
    world.cluster.metrics.add(("default", "mean"))
    world.run()
    found = {
        m["name"]: m["metricObj"]["metadata"]["namespace"] for m in world.cluster.object["spec"]["metrics"]
    }
    assert found == {"request-count": "iter8-system", "mean": "default"}


def test_a_start_handler_that_fails(world):
    world.run()
    world.cluster.end_job(START_JOB, "Failed")
    assert failure_of(world) == ("HandlerFailed", "Start handler 'start' failed")


def test_a_start_handler_that_does_not_exist():
    world = World(FakeCluster(strategy={"type": "Canary", "handlers": {"start": "mine"}}))
    reason, message = failure_of(world)
    assert reason == "LaunchHandlerFailed"
    assert message.startswith("failure launching Start handler 'mine': ")


def test_a_start_handler_that_writes_no_versions(world):
    world.run()
    world.cluster.end_job(START_JOB, "Complete")
    assert failure_of(world) == ("InvalidExperiment", "No versionInfo in experiment")


def test_a_start_handler_that_ends_while_the_controller_looks(world):
    assert world.run() == "job"
    look = world.cluster.job

    def job(name):
        world.complete_start()
        return look(name)

    world.cluster.job = job
    assert world.run() == "over"
    assert world.condition("ExperimentCompleted")[2] == "Experiment completed successfully"


def test_a_strategy_that_is_not_provided():
    reason, message = failure_of(World(FakeCluster(strategy={"type": "A/B"})))
    assert reason == "InvalidExperiment"
    assert "not A/B" in message


@pytest.mark.parametrize("broken", [steps.AnalyticsError("HTTP status 500"), None])
def test_the_analytics_service_fails_or_answers_nonsense(world, broken):
    if broken:
        world.cluster.refuse["analyse"] = broken
    else:
        world.cluster.answers[0] = {}
    assert failure_of(world) == ("AnalyticsServiceError", f"Unable to contact analytics engine {ENDPOINT}")
    assert world.status["recommendedBaseline"] == "default", "so the failure handler can roll back"


def test_weights_that_cannot_be_set(world):
    world.cluster.refuse["weight"] = steps.FinalRefusal("my-model not found")
    assert failure_of(world) == (
        "WeightRedistributionFailed",
        "Failure redistributing weights: my-model not found",
    )
    assert world.status["completedIterations"] == 0
    assert "analysis" in world.status


def test_weights_that_the_analysis_left_out(world):
    world.cluster.answers[0]["weights"]["data"].pop()
    assert failure_of(world)[1] == "Failure redistributing weights: Unable to find weight recommendation"


def test_a_finish_handler_that_cannot_be_launched():
    world = World(FakeCluster(strategy={"type": "Canary", "handlers": {"finish": "mine"}}))
    world.run_to_the_end()
    assert world.condition("ExperimentFailed")[1] == "LaunchHandlerFailed"
    assert world.condition("ExperimentCompleted")[0] == "True"
    assert FINISH_JOB in world.cluster.jobs, "the failure handler runs instead"


def test_a_failure_handler_that_cannot_be_launched(world):
    world.cluster.refuse.update(analyse=steps.AnalyticsError("down"))
    world.run()
    world.complete_start()
    world.cluster.refuse[FINISH_JOB] = steps.FinalRefusal("forbidden")
    assert world.run() == "over"
    assert world.condition("ExperimentFailed")[1] == "LaunchHandlerFailed"
    assert FINISH_JOB not in world.cluster.jobs


def test_rollback_on_failure_ends_the_experiment_in_that_iteration():
    world = World(FakeCluster(criteria={"objectives": [{"metric": "mean", "rollback_on_failure": True}]}))
    world.cluster.answers[1] = answer(5, met=False)
    world.run_to_the_end()
    assert world.condition("ExperimentCompleted") == ("True", "ExperimentCompleted", "Experiment rolled back")
    assert world.condition("ExperimentFailed")[0] == "False"
    assert world.status["completedIterations"] == 1
    assert world.status["recommendedBaseline"] == "default"
    assert world.cluster.weights == [5]
    assert FINISH_JOB in world.cluster.jobs


def test_without_rollback_on_failure_a_missed_objective_lets_the_experiment_go_on(world):
    world.cluster.answers[2] = answer(5, met=False)
    world.run_to_the_end()
    assert world.condition("ExperimentCompleted")[2] == "Experiment completed successfully"
    assert world.status["recommendedBaseline"] == "default"
    assert world.cluster.weights == [5, 15, 5]


def test_no_winner_recommends_the_baseline(world):
    world.cluster.answers = [answer(5, met=False, default_met=False)] * 3
    world.run_to_the_end()
    assert world.status["analysis"]["winnerAssessment"]["data"] == {"winnerFound": False}
    assert world.status["recommendedBaseline"] == "default"


def test_versions_of_the_users_own_without_a_start_handler():
    world = World(
        FakeCluster(
            strategy={"type": "Canary", "handlers": {"start": "none"}}, versionInfo=copy.deepcopy(VERSIONS)
        )
    )
    assert world.run() == "over"
    assert set(world.cluster.jobs) == {FINISH_JOB}
    assert world.cluster.weights == [5, 15, 25]


def test_a_performance_experiment_moves_no_traffic():
    world = World(
        FakeCluster(
            strategy={"type": "Performance", "handlers": {"start": "none"}},
            versionInfo={"baseline": {"name": "default"}},
        )
    )
    for entry in world.cluster.answers:
        entry.update(weights={"data": []}, winnerAssessment={"data": {"winnerFound": False}})
    assert world.run() == "over"
    assert world.condition("ExperimentCompleted")[2] == "Experiment completed successfully"
    assert world.cluster.weights == []
    assert world.cluster.jobs == {}


def test_an_experiment_that_is_gone_needs_nothing(world):
    world.cluster.experiment = lambda namespace, name: None
    assert world.step() is None


@pytest.mark.parametrize("changes", range(14))
def test_a_controller_that_is_killed_between_any_two_changes_goes_on(changes):
    """The end is the same as without the crash; no weight is set once the finish handler is launched."""
    undisturbed = World(FakeCluster())
    undisturbed.run_to_the_end()
    assert len(undisturbed.cluster.changes) == 14, "the crash is to come before each of the changes in turn"

    world = World(FakeCluster())
    world.cluster.crash_before = changes
    with pytest.raises(ConnectionError):
        world.run_to_the_end()
    world.now += 1
    world.restart()
    if world.run() == "job":
        world.complete_start()
        assert world.run() == "over"
    assert world.condition("ExperimentCompleted") == undisturbed.condition("ExperimentCompleted")
    assert world.status["completedIterations"] == 3
    # All is announced, but for late initialization if the crash comes right after it.
    assert world.progress()[-4:] == undisturbed.progress()[-4:]
    assert sorted(set(world.cluster.weights)) == [5, 15, 25]
    assert set(world.cluster.jobs) == {START_JOB, FINISH_JOB}
    launched = world.cluster.changes.index(FINISH_JOB)
    assert "weight" not in world.cluster.changes[launched:]
