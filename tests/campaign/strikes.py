# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faults do to processes, to the load and to objects, and at which moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from arena import EXPERIMENTS, SERVICES, until
from course import Course, NoEffect

Step = Callable[[Course], None]


# -- moments


def watched(course: Course) -> None:
    """The wait for the Experiment sees it."""
    course.wait_for("iteration")


def at_iteration(low: int, high: int, step: Step) -> Step:
    """Strike when the seed's iteration, from ``low`` to ``high``, is completed."""

    def strike(course: Course) -> None:
        course.notes["iteration"] = course.random.randint(low, high)
        course.wait_iteration(course.notes["iteration"])
        step(course)

    return strike


def at(moment: Callable[[Course], None], step: Step, earliest: float = 0.0, latest: float = 0.0) -> Step:
    """Strike so many seconds after a moment, as the seed has it."""

    def strike(course: Course) -> None:
        moment(course)
        time.sleep(course.random.uniform(earliest, latest))
        step(course)

    return strike


# -- processes


def slow_start(low: int, high: int) -> Step:
    """Let the canary's process load its model for so many seconds."""

    def prepare(course: Course) -> None:
        seconds = course.random.randint(low, high)
        course.notes["slow"] = seconds
        course.settings["canary_env"] = [{"name": "MODEL_LOAD_SECONDS", "value": str(seconds)}]

    return prepare


def _kill(course: Course, pods: list[Any], what: str, number: int = signal.SIGKILL) -> None:
    found = course.arena.processes_of(pods)
    struck = [one for one in found if records.send(one, number)]
    if not struck:
        raise NoEffect(f"no process of {what} was running")
    at = f" after iteration {course.notes['iteration']}" if "iteration" in course.notes else ""
    course.notes["done"] = f"signal {number} to {what} (pid {struck[0].pid}){at}"
    course.notes["struck"] = struck


def kill_canary(course: Course) -> None:
    """SIGKILL for the canary's model server."""
    _kill(course, course.arena.pods_of_revision(course.canary()), "the canary")


def kill_baseline(course: Course) -> None:
    """SIGKILL for the baseline's model server."""
    _kill(course, course.arena.pods_of_revision(course.baseline()), "the baseline")


def crash_loop(course: Course) -> None:
    """SIGKILL for the canary's model server as often as it starts."""
    course.wait_for("canary_applied")
    canary, kills = course.canary(), 0
    while course.going():
        for one in course.arena.processes_of(course.arena.pods_of_revision(canary)):
            kills += records.send(one, signal.SIGKILL)
        time.sleep(0.1)
    if not kills:
        raise NoEffect("the canary's process never ran")
    statuses = [c for pod in course.arena.pods_of_revision(canary) for c in pod.status.container_statuses]
    restarts = sum(status.restart_count for status in statuses)
    course.notes["done"] = f"the canary was killed {kills} times; its pod tells of {restarts} restarts"


def kill_pods(namespace: str, selector: str, what: str) -> Step:
    """SIGKILL for the processes of pods."""

    def step(course: Course) -> None:
        _kill(course, course.arena.pods(namespace, selector), what)

    return step


def hang_canary(course: Course) -> None:
    """SIGSTOP for the canary's model server, until the run is over."""
    _kill(course, course.arena.pods_of_revision(course.canary()), "the canary", signal.SIGSTOP)


def resume(course: Course) -> None:
    """SIGCONT for what was stopped."""
    for one in course.notes.get("struck", []):
        records.send(one, signal.SIGCONT)


# -- the load


def pause_load(course: Course) -> None:
    """SIGSTOP for the load generator for about three seconds."""
    seconds = course.random.uniform(2.5, 3.5)
    began = time.time()
    if not course.signal_load(signal.SIGSTOP):
        raise NoEffect("the load generator was not running")
    try:
        time.sleep(seconds)
    finally:
        course.signal_load(signal.SIGCONT)
    course.notes["pause"] = (began, began + seconds)
    course.notes["done"] = f"the load generator was stopped for {seconds:.1f} s"


def kill_load(course: Course) -> None:
    """SIGKILL for the load generator."""
    if not course.signal_load(signal.SIGKILL):
        raise NoEffect("the load generator was not running")
    course.notes["pause"] = (time.time(), time.time() + 2)
    course.notes["done"] = f"the load generator was killed after iteration {course.notes['iteration']}"


# -- objects


def delete_experiment(course: Course) -> None:
    """Delete the Experiment."""
    course.arena.delete(EXPERIMENTS, course.name)
    until(lambda: not course.arena.exists(EXPERIMENTS, course.name), 10, "the Experiment is gone")
    course.notes["done"] = (
        f"the Experiment was deleted after iteration {course.notes['iteration']}, and is gone"
    )


def delete_service(course: Course) -> None:
    """Delete the InferenceService."""
    course.arena.delete(SERVICES, course.name)
    until(lambda: not course.arena.exists(SERVICES, course.name), 20, "the InferenceService is gone")
    course.notes["done"] = "the InferenceService was deleted, and is gone"


def take_back(course: Course) -> None:
    """Once the canary has all the traffic, somebody gives it back to the old revision."""
    course.wait_for("canary_applied")
    canary, baseline = course.canary(), course.baseline()

    def share(revision: str) -> int:
        entries = course.arena.predictor(course.name).get("traffic", [])
        return sum(e.get("percent", 0) for e in entries if e.get("revisionName") == revision)

    course.wait_until(lambda: share(canary) == 100, "the canary has all the traffic")
    course.wait_for_task("Let the new revision answer for a while")
    course.arena.patch_service(course.name, {"spec": {"predictor": {"canaryTrafficPercent": 0}}})
    until(lambda: share(baseline) == 100, 20, "the baseline has all the traffic")
    course.notes["done"] = "canaryTrafficPercent was set to 0 after promotion; the baseline got all traffic"
