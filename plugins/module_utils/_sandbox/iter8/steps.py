# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of an iter8 Experiment (iter8.tools/v2alpha1) as etc3 v0.1.1-alpha leads it, one step at a time.

All state is in the object: `Reconciler.reconcile` reads it, does the one step that is due, writes what came
of it and says when to call again. Every step may be repeated, so a controller that was killed at any point
goes on where it was. What touches the cluster is behind `Cluster`, the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional, Protocol

from ..kube.conditions import is_true
from . import spec as specs
from . import status as statuses

Json = dict[str, Any]

# How long to wait before a Job is looked at again; it is only looked at while a start handler runs.
_JOB_POLL_SECONDS = 0.5
# etc3 takes an iteration that is this close as due.
_CLOSE_ENOUGH_SECONDS = 0.1

_END_MESSAGES = {
    "finish": "Experiment completed successfully",
    "rollback": "Experiment rolled back",
    "failure": "Experiment failed",
}


class FinalRefusal(Exception):
    """The API server's answer was final: not found, forbidden, invalid."""


class ObjectNotFound(FinalRefusal):
    """The object does not exist."""


class AnalyticsError(Exception):
    """The analytics service could not be reached, or answered with an error or with nonsense."""


class Cluster(Protocol):
    """What the controller asks of its surroundings.

    Anything but the errors above is taken as passing: the step is repeated later.
    """

    @property
    def analytics_endpoint(self) -> str:
        """The URL of the analytics service, for messages and `provenance`."""

    def experiment(self, namespace: str, name: str) -> Optional[Json]:
        """The Experiment as it is now, or None."""

    def write_spec(self, experiment: Json, spec: Json) -> None:
        """Replace the spec of exactly this version of the Experiment."""

    def write_status(self, experiment: Json, status: Json) -> None:
        """Replace the status of this Experiment (by UID)."""

    def metric(self, namespace: str, name: str) -> Json:
        """A Metric object. Raises ObjectNotFound or FinalRefusal."""

    def job(self, name: str) -> Optional[Json]:
        """A handler's Job in iter8's namespace, or None."""

    def handler_template(self, handler: str) -> Json:
        """The Job that a handler is made from. Raises ObjectNotFound."""

    def create_job(self, job: Json) -> None:
        """Create a Job; one that exists already is left alone. Raises FinalRefusal."""

    def set_weight(self, reference: Mapping[str, Any], weight: int) -> None:
        """Write a weight (percent) to the field that a weightObjRef names. Raises FinalRefusal."""

    def analyse(self, experiment: Json) -> Json:
        """The analytics service's answer for this Experiment. Raises AnalyticsError."""


class Reconciler:
    """Leads Experiments. `clock` gives seconds since the epoch; `log` takes one line per event."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float], log: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._log = log

    def reconcile(self, namespace: str, name: str) -> Optional[float]:
        """Do the step that is due. Returns the seconds until the next one, or None if there is none to wait
        for: the Experiment is over or gone."""
        experiment = self._cluster.experiment(namespace, name)
        if experiment is None:
            return None
        status = experiment.get("status") or {}
        if is_true(status, statuses.COMPLETED):
            return None
        return self._step(experiment, status)

    def _step(self, experiment: Json, status: Json) -> Optional[float]:
        if "initTime" not in status:
            return self._write(experiment, statuses.initialised(self._clock()))
        ending = _ending(experiment["spec"], status)
        if ending:
            self._end(experiment, status, ending)
            return None
        if "startTime" not in status:
            return self._prepare(experiment, status)
        interval = experiment["spec"]["duration"]["intervalSeconds"]
        wait: float = statuses.seconds_until_due(status, interval, self._clock())
        if wait > _CLOSE_ENOUGH_SECONDS:
            return wait
        return self._iterate(experiment, status)

    def _prepare(self, experiment: Json, status: Json) -> float:
        """Everything before the first iteration: defaults and metrics, the start handler, the versions."""
        spec = experiment["spec"]
        try:
            complete = self._completed_spec(experiment)
        except _MetricProblem as problem:
            return self._fail(experiment, status, problem.reason, str(problem))
        if complete != spec:
            self._cluster.write_spec(experiment, complete)
            return self._progress(experiment, status, "ExperimentInitialized", "Late initialization complete")
        problem_text = specs.spec_problem(spec)
        if problem_text:
            return self._fail(experiment, status, "InvalidExperiment", problem_text)
        handler = specs.handler_name(spec, "start")
        if handler:
            wait = self._start_handler(experiment, status, handler)
            if wait is not None:
                return wait
            # The handler may have written the versions after the Experiment was read.
            metadata = experiment["metadata"]
            spec = (self._cluster.experiment(metadata["namespace"], metadata["name"]) or experiment)["spec"]
        problem_text = specs.versions_problem(spec)
        if problem_text:
            return self._fail(experiment, status, "InvalidExperiment", problem_text)
        baseline = spec["versionInfo"]["baseline"]["name"]
        return self._write(experiment, statuses.started(status, baseline, self._clock()))

    def _completed_spec(self, experiment: Json) -> Json:
        spec: Json = specs.with_defaults(experiment["spec"])
        names = specs.unresolved_metrics(spec)
        if names:
            namespace = experiment["metadata"]["namespace"]
            spec["metrics"] = [specs.metric_entry(name, self._metric(name, namespace)) for name in names]
        return spec

    def _metric(self, name: str, experiment_namespace: str) -> Json:
        for namespace, bare in specs.metric_places(name, experiment_namespace):
            try:
                return self._cluster.metric(namespace, bare)
            except ObjectNotFound:
                continue
            except FinalRefusal as error:
                raise _MetricProblem("MetricsUnreadable", f"Unable to load metric {bare}") from error
        raise _MetricProblem("MetricUnavailable", f"Unable to find metric {name.rpartition('/')[2]}")

    def _start_handler(self, experiment: Json, status: Json, handler: str) -> Optional[float]:
        """Launch or watch the start handler. None once its Job is complete, else the seconds to wait."""
        job = self._cluster.job(specs.job_name(handler, experiment))
        if job is None or statuses.progress_reason(status) != "StartHandlerLaunched":
            try:
                self._launch(experiment, handler)
            except FinalRefusal as error:
                message = f"failure launching Start handler '{handler}': {error}"
                return self._fail(experiment, status, "LaunchHandlerFailed", message)
            return self._progress(
                experiment, status, "StartHandlerLaunched", f"Start handler '{handler}' launched"
            )
        if is_true(job.get("status"), "Complete"):
            return None
        if is_true(job.get("status"), "Failed"):
            return self._fail(experiment, status, "HandlerFailed", f"Start handler '{handler}' failed")
        return _JOB_POLL_SECONDS

    def _iterate(self, experiment: Json, status: Json) -> float:
        """One iteration: analyse, roll back or move the weights, count it."""
        spec = experiment["spec"]
        endpoint = self._cluster.analytics_endpoint
        try:
            answer = self._cluster.analyse(experiment)
            analysis = statuses.accepted_analysis(answer, endpoint, self._clock())
        except (AnalyticsError, ValueError) as error:
            self._report(experiment, f"analytics service {endpoint}: {error}")
            message = f"Unable to contact analytics engine {endpoint}"
            return self._fail(experiment, status, "AnalyticsServiceError", message)
        status = statuses.analysed(status, analysis, spec["versionInfo"]["baseline"]["name"])
        if specs.must_roll_back(spec, analysis):
            # Written before the handler is launched, which reads the recommended baseline from it.
            return self._write(experiment, status)
        weights = {entry["name"]: entry["value"] for entry in analysis["weights"]["data"]}
        try:
            self._distribute(spec, weights)
        except FinalRefusal as error:
            message = f"Failure redistributing weights: {error}"
            return self._fail(experiment, status, "WeightRedistributionFailed", message)
        status = statuses.iterated(status, self._clock())
        done = status["completedIterations"]
        shown = ", ".join(f"{name} {weight}" for name, weight in weights.items()) or "none"
        if done >= spec["duration"]["maxIterations"]:
            # As with etc3, the last iteration is not announced: ExperimentCompleted turns True instead.
            self._report(experiment, f"iteration {done} completed; weights: {shown}")
            return self._write(experiment, status)
        return self._progress(
            experiment, status, "IterationUpdate", f"Completed Iteration {done}", f"; weights: {shown}"
        )

    def _distribute(self, spec: Json, weights: Mapping[str, int]) -> None:
        for version in specs.versions(spec):
            reference = version.get("weightObjRef") or {}
            if not reference.get("fieldPath"):
                continue
            if version["name"] not in weights:
                raise FinalRefusal("Unable to find weight recommendation")
            self._cluster.set_weight(reference, weights[version["name"]])

    def _end(self, experiment: Json, status: Json, moment: str) -> None:
        """Launch the terminal handler and complete the Experiment in the same write.

        As with etc3, what becomes of that handler is never recorded: promotion is still pending when
        ExperimentCompleted is True, and the reason TerminalHandlerLaunched never reaches the object.
        """
        for attempt in dict.fromkeys((moment, "failure")):
            handler = specs.handler_name(experiment["spec"], attempt)
            if handler is None:
                break
            try:
                self._launch(experiment, handler)
            except FinalRefusal as error:
                message = f"failure launching {attempt.title()} handler '{handler}': {error}"
                self._report(experiment, f"LaunchHandlerFailed: {message}")
                status = self._failed(status, "LaunchHandlerFailed", message)
                continue
            self._report(
                experiment, f"TerminalHandlerLaunched: {attempt.title()} handler '{handler}' launched"
            )
            break
        message = _END_MESSAGES[moment]
        self._report(experiment, f"ExperimentCompleted: {message}")
        self._cluster.write_status(
            experiment, self._marked(status, statuses.COMPLETED, "True", "ExperimentCompleted", message)
        )

    def _launch(self, experiment: Json, handler: str) -> None:
        template = self._cluster.handler_template(handler)
        self._cluster.create_job(specs.handler_job(template, handler, experiment))

    def _progress(
        self, experiment: Json, status: Json, reason: str, message: str, log_only: str = ""
    ) -> float:
        self._report(experiment, f"{reason}: {message}{log_only}")
        return self._write(experiment, self._marked(status, statuses.COMPLETED, "False", reason, message))

    def _fail(self, experiment: Json, status: Json, reason: str, message: str) -> float:
        """Record the failure. The next step launches the failure handler and completes the Experiment."""
        self._report(experiment, f"{reason}: {message}")
        return self._write(experiment, self._failed(status, reason, message))

    def _failed(self, status: Json, reason: str, message: str) -> Json:
        return self._marked(status, statuses.FAILED, "True", reason, message)

    def _marked(self, status: Json, kind: str, value: str, reason: str, message: str) -> Json:
        now = self._clock()
        result: Json = statuses.marked(status, kind, value, reason=reason, message=message, now=now)
        return result

    def _write(self, experiment: Json, status: Json) -> float:
        self._cluster.write_status(experiment, status)
        return 0.0

    def _report(self, experiment: Json, text: str) -> None:
        metadata = experiment["metadata"]
        self._log(f"{metadata['namespace']}/{metadata['name']}: {text}")


def _ending(spec: Json, status: Json) -> Optional[str]:
    """The terminal handler whose turn it is (failure, rollback, finish), or None if it goes on."""
    if is_true(status, statuses.FAILED):
        return "failure"
    if "startTime" not in status:
        return None
    if specs.must_roll_back(spec, status.get("analysis") or {}):
        return "rollback"
    return "finish" if status["completedIterations"] >= spec["duration"]["maxIterations"] else None


class _MetricProblem(Exception):
    """A metric of the criteria cannot be had; `reason` is the condition's reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
