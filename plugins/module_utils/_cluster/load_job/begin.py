# SPDX-License-Identifier: GPL-3.0-or-later
"""From a Job that was created to generators that all send: they are ready, their clocks are compared, and
they are told one time to begin. Whatever cannot send is found here, before anything else is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.lines import Log

from ..client.api import Json
from ..client.errors import ClusterError
from . import clocks
from .pods import Pod
from .run import LoadRun
from .talk import RECENT_LINES

_POLL_SECONDS = 0.5
# To start takes a process a second or two, more where much else runs.
_BEGIN_SECONDS = 60.0


def begin(run: LoadRun, job: Json) -> None:
    """Bring the load from wherever it stands to where all send. Raises ClusterError."""
    pods = _ready(run, job)
    if all(pod.control.get("start") for pod in pods):
        return
    compared = clocks.compare(run.talk, pods)
    silent = [run.talk.generator(pod.index) for pod, bounds, _longest in compared if bounds is None]
    if silent:
        raise ClusterError(
            f"{', '.join(silent)} did not answer when asked for the time: the kubelet of the node does not "
            f"show its pod's annotations within {clocks.ANSWER_SECONDS:.0f} s, or the pod ended."
        )
    # To be told takes about as long as to be asked did.
    slowest = max(longest for _pod, _bounds, longest in compared)
    begins = run.talk.wall() + max(float(run.params["start_seconds"]), 3 * slowest)
    for pod, bounds, _longest in compared:
        low, high = bounds or (0.0, 0.0)
        port = (run.talk.hear(pod).last("ready") or {}).get("port")
        told = {"at": begins, "clock_ahead": (low + high) / 2, "offset": [low, high], "port": port}
        run.talk.tell(pod, start=told)
    run.say(f"{len(pods)} generators are told to begin in {begins - run.talk.wall():.1f} s")
    _sending(run, job, begins)


def _ready(run: LoadRun, job: Json) -> list[Pod]:
    """The pods once all generators are ready. ClusterError as soon as one cannot be, or at the deadline."""
    deadline = run.clock.now() + run.params["ready_timeout"]
    ready: dict[int, str] = {}
    while True:
        pods = run.talk.pods(job)
        logs = run.talk.hear_all(pods, RECENT_LINES)
        lacks = []
        for index, (pod, log) in enumerate(zip(pods, logs)):
            _refuse_failed(run, index, pod, log)
            if pod is None or not (log.last("ready") or log.last("progress")):
                lacks.append(f"{run.talk.generator(index)}: {_why(pod)}")
            elif index not in ready:
                ready[index] = pod.node
                run.say(f"{run.talk.generator(index)} is ready on node {pod.node}")
        if not lacks:
            return [pod for pod in pods if pod is not None]
        if run.clock.now() >= deadline:
            raise ClusterError(
                f"Not all generators are ready within {run.params['ready_timeout']} s. {'; '.join(lacks)}. "
                f"The load is removed; kubectl -n {run.talk.namespace} get events tells for a while what "
                "befell its pods."
            )
        run.clock.sleep(_POLL_SECONDS)


def _why(pod: Optional[Pod]) -> str:
    if pod is None:
        return "it has no pod"
    return pod.problem or f"its pod is {pod.phase or 'not seen yet'}"


def _refuse_failed(run: LoadRun, index: int, pod: Optional[Pod], log: Log) -> None:
    """A generator that says that it cannot send, or whose pod ended."""
    said = log.last("failed")
    if said is not None:
        raise ClusterError(
            f"{run.talk.generator(index)} cannot send its part of the load: {said.get('problem')}"
        )
    if pod is not None and pod.over:
        raise ClusterError(
            f"{run.talk.generator(index)} ended before the load began: {pod.problem or pod.phase}."
        )


def _sending(run: LoadRun, job: Json, begins: float) -> None:
    """Wait until each sends; ClusterError for one that has ended, or does not begin."""
    deadline = begins + _BEGIN_SECONDS
    while True:
        run.talk.sleep(_POLL_SECONDS)
        pods = run.talk.pods(job)
        logs = run.talk.hear_all(pods, RECENT_LINES)
        for index, (pod, log) in enumerate(zip(pods, logs)):
            _refuse_failed(run, index, pod, log)
        waiting = [run.talk.generator(index) for index, log in enumerate(logs) if not _sends(log, begins)]
        if not waiting:
            return
        if run.talk.wall() >= deadline:
            raise ClusterError(
                f"{', '.join(waiting)} did not begin to send within {_BEGIN_SECONDS:.0f} s of the time "
                "that they were told."
            )


def _sends(log: Log, begins: float) -> bool:
    said: Sequence[dict[str, Any]] = [*log.all("progress"), *log.all("ended")]
    # Before it begins, it has begun by when its process was made.
    return any(float(each.get("started") or 0) >= begins - 0.01 for each in said)
