# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faults do to the API server, to iter8 and to Prometheus."""

from __future__ import annotations

import signal
import time
from typing import Any

import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import handlers
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from arena import EXPERIMENTS, NAMESPACE, CampaignError, until
from course import Course, NoEffect
from strikes import Step

HANDLERS = ("iter8-handlers", "iter8-system")

_BROKEN = "raise SystemExit('the finish handler was broken on purpose')"
# The handler as it is, but for one thing: it takes the loser for the winner.
_INVERTED = f"""
import {handlers.__name__} as handlers
right = handlers.promoted_percent
handlers.promoted_percent = lambda experiment: 100 - right(experiment)
handlers.main("finish")
"""


def _restart_apiserver(course: Course, away: float) -> str:
    """SIGKILL for the API server; `away` seconds later it is started again."""
    before = course.arena.part(components.APISERVER)
    if before is None or not records.send(before, signal.SIGKILL):
        raise NoEffect("the API server was not running")
    time.sleep(away)
    course.arena.mend_control_plane()
    after = course.arena.part(components.APISERVER)
    if after is None or after.pid == before.pid:
        raise NoEffect("the API server was not restarted")
    return f"API server {before.pid} was killed; {after.pid} took its place {away:.1f} s later"


def restart_apiserver(course: Course) -> None:
    """The API server is killed, and comes back after a moment."""
    course.notes["done"] = _restart_apiserver(course, course.random.uniform(0.2, 2))


def expire_watch(course: Course) -> None:
    """The API server forgets the version from which the observer would go on with its watch.

    Another object is changed after the Experiment, so that the history is longer than what the observer
    knows; then the API server is restarted, and knows what changes from then on.
    """
    arena = course.arena
    known = arena.experiment(course.name)["metadata"]["resourceVersion"]
    arena.core.create_namespaced_config_map(
        NAMESPACE, {"metadata": {"generateName": "campaign-", "labels": {"campaign": course.name}}}
    )
    with course.halted():
        done = _restart_apiserver(course, 0)
    refusal = arena.watch_refused(EXPERIMENTS, known)
    if refusal is None or refusal.status != 410:
        raise NoEffect(f"the API server does not say 410 to a watch from version {known}: {refusal}")
    course.notes["done"] = f"{done}, and says 410 ({refusal.reason}) to a watch from version {known}"


def watch_expired(course: Course) -> str:
    """The timeline tells that the observer's watch was cut."""
    told = [moment["text"] for moment in course.timeline() if moment["event"] == "unobserved"]
    if not told:
        raise NoEffect("the observer's watch was not cut")
    return f"{course.notes['done']}; the observer tells: {told[0]}"


def forget(course: Course) -> None:
    """Remove the object that made the history longer, and start what is missing."""
    course.arena.mend_control_plane()
    course.arena.core.delete_collection_namespaced_config_map(
        NAMESPACE, label_selector=f"campaign={course.name}"
    )


def scale_down(kind: str, namespace: str, name: str) -> Step:
    """Take a workload away, until the run is over."""

    def step(course: Course) -> None:
        pods = course.arena.pods(namespace, f"app={name}") or course.arena.pods(namespace)
        course.arena.scale(kind, namespace, name, 0)
        until(lambda: not course.arena.processes_of(pods), 40, f"{name} has no process")
        course.notes["done"] = f"{name} was scaled to 0 and has no process"

    return step


def scale_up(kind: str, namespace: str, name: str) -> Step:
    """Bring it back."""
    return lambda course: course.arena.scale(kind, namespace, name, 1)


def stop_scraping(course: Course) -> None:
    """Mark the pods of both revisions as not to be scraped."""
    ips = set()
    for revision in (course.baseline(), course.canary()):
        for pod in course.arena.pods_of_revision(revision):
            body = {"metadata": {"annotations": {"prometheus.io/scrape": "false"}}}
            course.arena.core.patch_namespaced_pod(pod.metadata.name, pod.metadata.namespace, body)
            ips.add(pod.status.pod_ip)

    def dropped() -> bool:
        targets = course.arena.prometheus("/api/v1/targets?state=active")["activeTargets"]
        return not any(ip in target["scrapeUrl"] for ip in ips for target in targets)

    until(dropped, 20, "Prometheus has dropped the targets")
    course.notes["done"] = f"Prometheus has no target at {', '.join(sorted(ips))} any more"


def break_finish_handler(course: Course) -> None:
    """Let the finish handler's process end with 1, at the first try and for good."""
    _change_finish_handler(course, _BROKEN)


def invert_finish_handler(course: Course) -> None:
    """Let the finish handler promote the revision that did not win."""
    _change_finish_handler(course, _INVERTED)


def _change_finish_handler(course: Course, program: str) -> None:
    found = course.arena.core.read_namespaced_config_map(*HANDLERS)
    key = next(name for name in found.data if name.startswith("finish"))
    course.notes["handlers"] = (key, found.data[key])
    template = yaml.safe_load(found.data[key])
    template["spec"]["backoffLimit"] = 0
    template["spec"]["template"]["spec"]["containers"][0]["command"] = ["python3", "-c", program, "finish"]
    _write_handler(course, key, yaml.safe_dump(template))


def mend_finish_handler(course: Course) -> None:
    """Put the finish handler back."""
    if "handlers" in course.notes:
        _write_handler(course, *course.notes["handlers"])


def _write_handler(course: Course, key: str, text: str) -> None:
    course.arena.core.patch_namespaced_config_map(*HANDLERS, {"data": {key: text}})
    live = [*course.arena.where.pods.glob(f"iter8-system_iter8-controller-manager*/volumes/*/{key}")]
    if not live:
        raise CampaignError("The handlers' volume is not where it was expected.")
    until(lambda: live[-1].read_text() == text, 30, "the controller's volume has the new handler")


def _finish_jobs(course: Course) -> list[Any]:
    return list(course.arena.jobs("iter8-system", f"finish-handler-{course.name}-"))


def finish_handler_failed(course: Course) -> str:
    """The Job's own status."""
    failed = [job for job in _finish_jobs(course) if job.status.failed]
    if not failed:
        raise NoEffect("no Job of the finish handler failed")
    return f"Job {failed[0].metadata.name} failed {failed[0].status.failed} times"


def wrong_one_promoted(course: Course) -> str:
    """The Experiment recommends the canary, the Job succeeded, and the baseline has the traffic."""
    winner = course.arena.experiment(course.name)["status"].get("recommendedBaseline")
    succeeded = [job for job in _finish_jobs(course) if job.status.succeeded]
    entries = course.arena.predictor(course.name).get("traffic", [])
    got = {entry.get("revisionName"): entry.get("percent") for entry in entries if entry.get("percent")}
    if winner != handlers.CANARY or not succeeded or got != {course.baseline(): 100}:
        raise NoEffect(f"recommended: {winner}; jobs: {len(succeeded)}; traffic: {got}")
    return f"the Experiment recommends the canary; Job {succeeded[0].metadata.name} gave the baseline 100 %"
