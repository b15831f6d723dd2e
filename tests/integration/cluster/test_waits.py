# SPDX-License-Identifier: GPL-3.0-or-later
"""The waits against a real API server: nobody reconciles, so the tests write every status themselves."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from kubernetes import client

from ...support.cluster_playbook import Tasks
from ...support.sandbox import Home, Running
from ...support.stage import GROUP, HANDLERS, NAMESPACE, Stage, patiently

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

WAIT: dict[str, Any] = {
    "name": "experiment-1",
    "namespace": NAMESPACE,
    "api_version": f"{GROUP}/v2alpha1",
    "inferenceservice": "my-model",
    "inferenceservice_api_version": f"{GROUP}/v1beta1",
    "handler_namespace": HANDLERS,
    "timeout": 90,
    "stable_seconds": 1,
}


@pytest.fixture
def tasks(sandbox: Running, tmp_path: Path) -> Tasks:
    return Tasks(sandbox, tmp_path)


def test_a_promotion_is_shown_as_it_happens(stage: Stage, tasks: Tasks, tmp_path: Path) -> None:
    timeline = tmp_path / "timeline.jsonl"
    tasks.start({"iter8.kfserving.experiment_wait": {**WAIT, "progress_file": str(timeline)}})
    tasks.until("traffic: a 100 %")
    stage.say("StartHandlerLaunched")
    tasks.until("ExperimentCompleted=False StartHandlerLaunched")
    for number in (1, 2, 3):
        stage.iterate(number)
        stage.model("b", {"b": 10 * number - 5, "a": 105 - 10 * number})
        # Each line comes before the next iteration is even written.
        tasks.until(f"experiment-1  iteration {number}/3  canary {10 * number - 5} %")
    stage.say("ExperimentCompleted", "Experiment completed successfully", completed=True)
    job = stage.launch()
    tasks.until("finish handler launched")
    stage.end_job(job, "Complete")
    tasks.until("finish handler succeeded")
    stage.model("b", {"b": 100}, rolled_out="b")
    result = tasks.finish()
    assert (result["outcome"], result["winner"], result["iterations"]) == ("succeeded", "canary", 3)
    assert result["inferenceservice"]["metadata"]["name"] == "my-model"
    assert len(timeline.read_text().splitlines()) == len(result["transitions"])


def test_a_failed_finish_handler_is_a_failure_though_the_experiment_is_completed(
    stage: Stage, tasks: Tasks
) -> None:
    stage.iterate(3)
    stage.say("ExperimentCompleted", "Experiment completed successfully", completed=True)
    job = stage.launch()
    tasks.start({"iter8.kfserving.experiment_wait": WAIT})
    tasks.until("finish handler launched")
    stage.end_job(job, "Failed")
    result = tasks.finish()
    assert result["failed"] is True
    assert (result["outcome"], result["reason"]) == ("failed", "HandlerFailed")


@pytest.mark.parametrize("end", ["failed", "deleted"])
def test_a_terminal_failure_ends_the_wait_at_once(stage: Stage, tasks: Tasks, end: str) -> None:
    tasks.start({"iter8.kfserving.experiment_wait": WAIT})
    tasks.until("traffic: a 100 %")
    if end == "failed":
        stage.say("IterationUpdate", "no such metric", failed="MetricUnavailable")
    else:
        stage.experiments.delete(name="experiment-1", namespace=NAMESPACE)
    began = time.monotonic()
    result = tasks.finish()
    assert time.monotonic() - began < 10
    assert result["failed"] is True
    assert result["outcome"] == end
    if end == "failed":
        assert result["reason"] == "MetricUnavailable"
        assert "no such metric" in result["msg"]


def test_a_stale_ready_does_not_pass_for_the_canary(stage: Stage, tasks: Tasks) -> None:
    arguments = {
        "name": "my-model", "namespace": NAMESPACE, "api_version": f"{GROUP}/v1beta1",
        "baseline_revision": "a", "traffic": {"latest": 1, "baseline": 99}, "stable_seconds": 0,
    }  # fmt: skip
    tasks.start({"iter8.kfserving.inferenceservice_wait": arguments})
    # Without a time to be stable, one look at this would do, and it is over before the line is printed.
    tasks.until("InferenceService ready")
    stage.model("b", {"b": 1, "a": 99})
    result = tasks.finish()
    assert result["failed"] is False
    assert result["revisions"]["created"] == "b"
    assert result["traffic"] == {"a": 99, "b": 1}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("experiment_wait", {**WAIT, "name": "none"}, "Experiment none does not exist"),
    ("experiment_wait", {**WAIT, "api_version": "iter8.tools/v9"}, "does not serve Experiment"),
    ("experiment_wait", {**WAIT, "context": "none"}, "The kubeconfig, context or credentials cannot be used"),
    ("experiment_wait", {**WAIT, "kubeconfig": "/none"}, "not a file on this host"),
    ("experiment_wait", {**WAIT, "context": ""}, "the current kube context is never used"),
    (
        "inferenceservice_wait",
        {"name": "m", "host": "https://127.0.0.1:1", "api_key": "k"},
        "does not answer",
    ),
    ("inferenceservice_wait", {"name": "m", "traffic": {"latest": 200}}, "is not a percentage"),
]


def test_wrong_input_gets_one_clear_error_at_once(stage: Stage, tasks: Tasks) -> None:
    tasks.run(
        *[{f"iter8.kfserving.{module}": given, "ignore_errors": True} for module, given, _words in WRONG]
    )
    errors = [line for line in tasks.output if line.startswith("fatal:")]
    assert len(errors) == len(WRONG), "\n".join(tasks.output)
    for (_module, _given, words), line in zip(WRONG, errors, strict=True):
        assert words in line
    assert "Traceback" not in "\n".join(tasks.output)


def test_the_wait_survives_a_restart_of_the_api_server(home: Home, tmp_path: Path) -> None:
    running = home.up("restart")
    stage = Stage(running)
    stage.set_up()
    stage.create_experiment()
    tasks = Tasks(running, tmp_path).start({"iter8.kfserving.experiment_wait": WAIT})
    tasks.until("traffic: a 100 %")
    stage.iterate(1)
    tasks.until("iteration 1/3")
    server = next(p for p in records.read_all(running.where.processes) if p.id == "kube-apiserver")
    os.kill(server.pid, signal.SIGKILL)
    tasks.until("no answer from the API server")
    home.up("restart")
    tasks.until("the API server answers again", 60)
    patiently(lambda: stage.iterate(2))
    tasks.until("iteration 2/3")
    patiently(lambda: stage.experiments.delete(name="experiment-1", namespace=NAMESPACE))
    assert tasks.finish()["outcome"] == "deleted"


def test_a_user_without_rights_is_told_which_right_is_missing(
    stage: Stage, sandbox: Running, tmp_path: Path
) -> None:
    core = client.CoreV1Api(stage.api)
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "nobody"}})
    request = {"spec": {"expirationSeconds": 600, "audiences": []}}
    token = core.create_namespaced_service_account_token("nobody", NAMESPACE, request).status.token
    configuration = stage.api.configuration
    arguments = {**WAIT, "host": configuration.host, "ca_cert": configuration.ssl_ca_cert, "api_key": token}
    result = Tasks(sandbox, tmp_path).run({"iter8.kfserving.experiment_wait": arguments})
    assert result["failed"] is True
    assert 'cannot list resource "experiments"' in result["msg"]
    assert token not in str(result)
