# SPDX-License-Identifier: GPL-3.0-or-later
"""iter8 on a real sandbox: real Prometheus, model servers and gateway, a small real load."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support.waiting import until
from kubernetes import client, dynamic
from kubernetes.client.exceptions import ApiException

from .test_serving import MANIFESTS, ROOT, Cluster, Load, predictor, ready, traffic

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(180)]

SAMPLE = yaml.safe_load((ROOT / "samples/quickstart/experiment.yaml").read_text())
EXPERIMENTS = ("iter8.tools", "v2alpha1", "default", "experiments")
RATE = 40.0


class Iter8:
    """What the tests ask of iter8."""

    def __init__(self, cluster: Cluster, processes_dir: Path) -> None:
        self.cluster = cluster
        self.custom: Any = cluster.custom
        self.batch: Any = client.BatchV1Api(cluster.api)
        self._processes_dir = processes_dir

    def iterations(self, name: str) -> int:
        """How many are done: at least so many, since a poll may come late and see a later one."""
        return int(self.status(name).get("completedIterations", 0))

    def create(self, name: str, iterations: int, interval: int = 1, **spec: Any) -> Any:
        """The quickstart's Experiment on the InferenceService of the same name; the interval in seconds."""
        body = {
            **SAMPLE,
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                **SAMPLE["spec"],
                "target": f"default/{name}",
                "duration": {"intervalSeconds": interval, "maxIterations": iterations},
                **spec,
            },
        }
        return self.custom.create_namespaced_custom_object(*EXPERIMENTS, body)

    def experiment(self, name: str) -> Any:
        return self.custom.get_namespaced_custom_object(*EXPERIMENTS, name)

    def status(self, name: str) -> Any:
        return self.experiment(name).get("status") or {}

    def condition(self, name: str, kind: str) -> tuple[str, Optional[str], Optional[str]]:
        for entry in self.status(name).get("conditions") or []:
            if entry["type"] == kind:
                return entry["status"], entry.get("reason"), entry.get("message")
        return "", None, None

    def completed(self, name: str) -> bool:
        return self.condition(name, "ExperimentCompleted")[0] == "True"

    def wait(self, name: str, seconds: float) -> Any:
        """The status once the Experiment is over and its handlers' Jobs have ended."""
        until(lambda: self.completed(name), seconds, f"{name} is completed")
        until(lambda: all(self.jobs(name).values()), 60, f"the Jobs of {name} have ended")
        return self.status(name)

    def jobs(self, name: str) -> dict[str, str]:
        """Handler -> how its Job ended ("" while it runs)."""
        segment = self.experiment(name)["metadata"]["uid"].rpartition("-")[2]
        ends = {}
        for job in self.batch.list_namespaced_job("iter8-system").items:
            if job.metadata.name.endswith(f"-handler-{name}-{segment}"):
                kinds = [c.type for c in job.status.conditions or [] if c.status == "True"]
                ends[job.metadata.name.partition("-handler-")[0]] = "".join(kinds)
        return ends

    def pod(self, app: str, namespace: str = "iter8-system") -> Any:
        pods = self.cluster.core.list_namespaced_pod(namespace, label_selector=f"app={app}").items
        return pods[0] if pods else None

    def is_ready(self, app: str, namespace: str = "iter8-system") -> bool:
        pod = self.pod(app, namespace)
        conditions = (pod.status.conditions or []) if pod else []
        return any(c.type == "Ready" and c.status == "True" for c in conditions)

    def kill_controller(self) -> None:
        """As `kill -9` does."""
        mark = f"pod-{self.pod('iter8-controller-manager').metadata.uid}-controller-manager-"
        found = records.read_all(self._processes_dir)
        (record,) = [r for r in found if r.id.startswith(mark) and records.alive(r)]
        os.kill(record.pid, signal.SIGKILL)

    def follow(self, name: str) -> Follower:
        return Follower(self, name)


class Follower(threading.Thread):
    """Notes by a watch what an Experiment shows: messages, and the canary's weight after each iteration.

    To be had before the Experiment is created: what it shows at first, it shows for a moment.
    """

    def __init__(self, iter8: Iter8, name: str) -> None:
        super().__init__(daemon=True)
        self.messages: list[str] = []
        self.weights: dict[int, int] = {}
        self._iter8, self._name = iter8, name
        there = iter8.custom.list_namespaced_custom_object(*EXPERIMENTS)
        self._since = there["metadata"]["resourceVersion"]
        self.start()

    def end(self) -> None:
        """Wait until it has noted how the Experiment ended."""
        self.join(20)
        assert not self.is_alive()

    def run(self) -> None:
        resource = dynamic.DynamicClient(self._iter8.cluster.api).resources.get(
            api_version="iter8.tools/v2alpha1", kind="Experiment"
        )
        news = resource.watch(namespace="default", name=self._name, resource_version=self._since, timeout=170)
        for event in news:
            status = event["raw_object"].get("status") or {}
            message = status.get("message", "")
            if message and message not in self.messages:
                self.messages.append(message)
            weights = {w["name"]: w["value"] for w in status.get("currentWeightDistribution") or []}
            if weights:
                self.weights[status["completedIterations"]] = weights["canary"]
            if message.startswith("ExperimentCompleted"):
                return


@pytest.fixture(scope="module")
def iter8(sandbox: Any) -> Iter8:
    cluster = Cluster(str(sandbox.kubeconfig))
    files = ROOT / "roles/sandbox/files"
    for manifest in [*MANIFESTS, files / "monitoring.yaml", files / "iter8.yaml"]:
        until(lambda path=manifest: _applied(cluster, path), 30, f"{manifest.name} is applied")
    until(cluster.gateway, 30, "the gateway's address on its Service")
    made = Iter8(cluster, sandbox.where.processes)
    for app in ("iter8-analytics", "iter8-controller-manager"):
        until(lambda name=app: made.is_ready(name), 30, f"{app} is ready")
    until(lambda: made.is_ready("prometheus", "kfserving-monitoring"), 30, "Prometheus is ready")
    return made


def _applied(cluster: Cluster, manifest: Path) -> bool:
    try:
        cluster.apply(manifest)
    except (dynamic.exceptions.ResourceNotFoundError, dynamic.exceptions.NotFoundError):
        # A definition that was just created is not served yet.
        return False
    return True


@pytest.fixture
def name(iter8: Iter8, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an InferenceService and an Experiment; both are removed afterwards."""
    name = request.node.name.replace("_", "-")[5:30].strip("-")
    yield name
    for group, version, namespace, plural in (
        EXPERIMENTS,
        ("serving.kubeflow.org", "v1beta1", "default", "inferenceservices"),
    ):
        try:
            iter8.custom.delete_namespaced_custom_object(group, version, namespace, plural, name)
        except ApiException as error:
            if error.status != 404:
                raise
    until(lambda: not iter8.cluster.exists(name), 30, f"{name} is gone")


def roll_out(iter8: Iter8, name: str, fault: Optional[dict[str, str]] = None) -> tuple[str, str]:
    """A model and a canary with 1 % of its traffic; the revisions. The fault strikes the canary."""
    cluster = iter8.cluster
    cluster.create(name, {"tensorflow": {"storageUri": "gs://models/one"}})
    until(lambda: ready(cluster.service(name)) == "True", 20, f"{name} is ready")
    baseline = predictor(cluster.service(name))["latestReadyRevision"]
    set_fault(iter8, fault or {})
    cluster.change(name, {"canaryTrafficPercent": 1, "tensorflow": {"storageUri": "gs://models/two"}})
    until(lambda: len(traffic(cluster.service(name))) == 2, 20, "the canary has its share")
    return baseline, predictor(cluster.service(name))["latestReadyRevision"]


def set_fault(iter8: Iter8, fault: dict[str, str]) -> None:
    body = {"metadata": {"name": "sandbox-faults"}, "data": fault}
    core = iter8.cluster.core
    try:
        core.create_namespaced_config_map("kfserving-system", body)
    except ApiException as error:
        if error.status != 409:
            raise
        core.replace_namespaced_config_map("sandbox-faults", "kfserving-system", body)


def share(iter8: Iter8, name: str) -> dict[str, int]:
    """Revision -> percent, without those that get nothing."""
    return {
        revision: percent for revision, percent in traffic(iter8.cluster.service(name)).items() if percent
    }


def load(iter8: Iter8, name: str) -> Load:
    return Load(iter8.cluster.gateway(), name, RATE, connections=4)


def test_a_good_canary_wins_and_is_promoted(iter8: Iter8, name: str) -> None:
    baseline, canary = roll_out(iter8, name)
    with load(iter8, name) as running:
        follower = iter8.follow(name)
        iter8.create(name, iterations=12, interval=2)
        status = iter8.wait(name, 60)
        follower.end()
        until(lambda: share(iter8, name) == {canary: 100}, 10, "all traffic goes to the canary")
    lost = [answer for answer in running.answers if answer.status != 200]
    assert not lost
    assert iter8.jobs(name) == {"start": "Complete", "finish": "Complete"}

    # No data at first; then at most ten more in each iteration, to 95 and no further.
    assert list(follower.weights) == list(range(1, 13))
    weights = list(follower.weights.values())
    assert weights[0] <= 10
    assert weights[-1] == 95
    assert all(0 <= later - earlier <= 10 for earlier, later in zip(weights, weights[1:]))
    assert status["completedIterations"] == 12
    assert status["recommendedBaseline"] == "canary"
    assert status["analysis"]["winnerAssessment"]["data"] == {"winnerFound": True, "winner": "canary"}
    assert status["analysis"]["versionAssessments"]["data"]["canary"] == [True, True]
    assert status["message"] == "ExperimentCompleted: Experiment completed successfully"
    assert iter8.condition(name, "ExperimentFailed")[0] == "False"
    assert "endTime" not in status
    assert follower.messages == [
        "ExperimentInitialized: Experiment status initialized",
        "ExperimentInitialized: Late initialization complete",
        "StartHandlerLaunched: Start handler 'start' launched",
        *(f"IterationUpdate: Completed Iteration {n}" for n in range(1, 12)),
        "ExperimentCompleted: Experiment completed successfully",
    ]

    experiment = iter8.experiment(name)
    assert experiment["spec"]["versionInfo"]["baseline"]["tags"] == {"revision": baseline}
    assert experiment["spec"]["versionInfo"]["candidates"][0]["tags"] == {"revision": canary}
    assert {entry["name"] for entry in experiment["spec"]["metrics"]} == {
        "request-count",
        "mean-latency",
        "error-rate",
        "95th-percentile-tail-latency",
    }
    assert "finalizers" not in experiment["metadata"]
    assert "annotations" not in experiment["metadata"]


@pytest.mark.parametrize(
    ("fault", "objectives_met"),
    [({"canary-5xx": '{"share": 1.0}'}, [True, False]), ({"canary-slow": "{}"}, [False, True])],
    ids=["5xx", "slow"],
)
def test_a_bad_canary_is_rolled_back(
    iter8: Iter8, name: str, fault: dict[str, str], objectives_met: list[bool]
) -> None:
    baseline, canary = roll_out(iter8, name, fault)
    try:
        with load(iter8, name) as running:
            iter8.create(name, iterations=6, interval=2)
            status = iter8.wait(name, 60)
            until(lambda: share(iter8, name) == {baseline: 100}, 10, "all traffic is back with the baseline")
    finally:
        set_fault(iter8, {})
    assert status["recommendedBaseline"] == "default"
    assert status["analysis"]["winnerAssessment"]["data"] == {"winnerFound": True, "winner": "default"}
    assert status["analysis"]["versionAssessments"]["data"] == {
        "default": [True, True],
        "canary": objectives_met,
    }
    assert {w["name"]: w["value"] for w in status["currentWeightDistribution"]}["canary"] == 5
    lost = {(answer.status, answer.revision) for answer in running.answers if answer.status != 200}
    assert lost == ({(500, canary)} if "canary-5xx" in fault else set())


def test_rollback_on_failure(iter8: Iter8, name: str) -> None:
    """There is no data in the first iteration, which counts as an objective missed: the end, at once."""
    baseline, _canary = roll_out(iter8, name)
    objectives = [{"metric": "mean-latency", "upperLimit": 1000, "rollback_on_failure": True}]
    iter8.create(name, iterations=6, criteria={"objectives": objectives})
    status = iter8.wait(name, 20)
    assert status["message"] == "ExperimentCompleted: Experiment rolled back"
    assert status["completedIterations"] == 0
    assert iter8.condition(name, "ExperimentFailed")[0] == "False"
    until(lambda: share(iter8, name) == {baseline: 100}, 10, "all traffic is back with the baseline")


def test_a_controller_killed_in_the_middle_goes_on(iter8: Iter8, name: str) -> None:
    _baseline, canary = roll_out(iter8, name)
    with load(iter8, name):
        follower = iter8.follow(name)
        iter8.create(name, iterations=8)
        until(lambda: iter8.iterations(name) >= 2, 20, "two iterations are done")
        started = iter8.status(name)["startTime"]
        iter8.kill_controller()
        status = iter8.wait(name, 60)
        follower.end()
    assert status["startTime"] == started
    assert status["completedIterations"] == 8
    announced = [message for message in follower.messages if message.startswith("IterationUpdate")]
    assert announced == [f"IterationUpdate: Completed Iteration {n}" for n in range(1, 8)]
    until(lambda: share(iter8, name) == {canary: 100}, 10, "all traffic goes to the canary")


def test_without_the_analytics_service_it_fails(iter8: Iter8, name: str) -> None:
    baseline, canary = roll_out(iter8, name)
    apps: Any = iter8.cluster.apps
    with load(iter8, name):
        iter8.create(name, iterations=12)
        until(lambda: iter8.iterations(name) >= 2, 20, "two iterations are done")
        try:
            apps.patch_namespaced_deployment_scale(
                "iter8-analytics", "iter8-system", {"spec": {"replicas": 0}}
            )
            iter8.wait(name, 40)
        finally:
            apps.patch_namespaced_deployment_scale(
                "iter8-analytics", "iter8-system", {"spec": {"replicas": 1}}
            )
    endpoint = "http://iter8-analytics.iter8-system:8080/v2/analytics_results"
    assert iter8.condition(name, "ExperimentFailed") == (
        "True",
        "AnalyticsServiceError",
        f"Unable to contact analytics engine {endpoint}",
    )
    assert iter8.condition(name, "ExperimentCompleted")[2] == "Experiment failed"
    # The failure handler promotes what was recommended last, like the other terminal handlers.
    expected = {"default": baseline, "canary": canary}[iter8.status(name)["recommendedBaseline"]]
    until(lambda: share(iter8, name) == {expected: 100}, 10, "the failure handler has promoted it")
    until(lambda: iter8.is_ready("iter8-analytics"), 20, "the analytics service is back")


def test_an_inferenceservice_that_is_gone(iter8: Iter8, name: str) -> None:
    """Its weights cannot be set any more."""
    roll_out(iter8, name)
    iter8.create(name, iterations=12, strategy={"type": "Canary", "handlers": {"failure": "none"}})
    until(lambda: iter8.iterations(name) >= 1, 20, "an iteration is done")
    iter8.cluster.delete(name)
    until(lambda: iter8.completed(name), 20, "it is completed")
    status, reason, _message = iter8.condition(name, "ExperimentFailed")
    assert (status, reason) == ("True", "WeightRedistributionFailed")
    assert iter8.jobs(name) == {"start": "Complete"}


def test_deletion_in_the_middle_leaves_jobs_and_traffic_as_they_are(iter8: Iter8, name: str) -> None:
    roll_out(iter8, name)
    iter8.create(name, iterations=12)
    until(lambda: iter8.iterations(name) >= 2, 20, "two iterations are done")
    before = share(iter8, name)
    segment = iter8.experiment(name)["metadata"]["uid"].rpartition("-")[2]
    iter8.custom.delete_namespaced_custom_object(*EXPERIMENTS, name)
    other = f"{name}-2"
    try:
        # When another one of the same interval has come to its end, this one would have gone on as well.
        versions = {"baseline": {"name": "default", "tags": {"revision": "none"}}}
        iter8.create(
            other,
            iterations=3,
            strategy={"type": "Performance", "handlers": {"start": "none"}},
            versionInfo=versions,
        )
        assert iter8.wait(other, 30)["completedIterations"] == 3
    finally:
        iter8.custom.delete_namespaced_custom_object(*EXPERIMENTS, other)
    assert share(iter8, name) == before
    jobs = [job.metadata.name for job in iter8.batch.list_namespaced_job("iter8-system").items]
    assert [job for job in jobs if job.endswith(segment)] == [f"start-handler-{name}-{segment}"]
