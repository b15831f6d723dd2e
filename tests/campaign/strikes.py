# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faults do to processes and objects, and the evidence that they did it."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import control_plane, processes
from arena import EXPERIMENTS, SERVICES, CampaignError, until
from course import Course, NoEffect

Step = Callable[[Course], None]
Evidence = Callable[[Course], str]
HANDLERS = ("iter8-handlers", "iter8-system")


# -- evidence


def answers(course: Course, revision: str, wanted: Callable[[dict[str, Any]], bool], what: str) -> str:
    """The evidence in Envoy's access log; any revision's if it is empty."""
    entries = [e for e in course.requests() if str(e["cluster"] or "").endswith(revision) and wanted(e)]
    if not entries:
        raise NoEffect(f"Envoy's access log has no request that {what}")
    kinds = Counter(f"{entry['status']} {entry['flags'] or ''}".strip(" -") for entry in entries)
    shown = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(4))
    return f"Envoy's access log has {len(entries)} requests that {what} ({shown})"


def canary_answered(course: Course) -> str:
    """The canary answered, and well."""
    return answers(course, course.canary(), lambda e: e["status"] == 200, "the canary answered")


def lost(course: Course) -> str:
    """Requests came to grief at the gateway."""
    told = answers(course, "", lambda e: e["status"] != 200, "were not answered 200")
    return f"{course.notes.get('done', '')}; {told}".lstrip("; ")


def noted(course: Course) -> str:
    """What the strike itself saw happen."""
    if "done" not in course.notes:
        raise NoEffect("the strike was not carried out")
    return str(course.notes["done"])


def slow(low: float, high: float) -> Evidence:
    """The canary took so many milliseconds, as Envoy timed it."""

    def evidence(course: Course) -> str:
        def within(entry: dict[str, Any]) -> bool:
            return low <= float(entry["duration_ms"]) <= high

        return answers(course, course.canary(), within, f"took the canary {low:g} to {high:g} ms")

    return evidence


def took_its_time(course: Course) -> str:
    """The canary's pod needed the time it was given."""
    pod = course.arena.pods_of_revision(course.canary())[0]
    began = pod.status.container_statuses[0].state.running.started_at
    ready = next(c.last_transition_time for c in pod.status.conditions if c.type == "Ready")
    took = (ready - began).total_seconds()
    # Kubernetes' times are whole seconds.
    if took < course.notes["slow"] - 1:
        raise NoEffect(f"the canary was ready after {took:g} s")
    return f"the canary's pod was ready {took:g} s after its start, as loading took {course.notes['slow']} s"


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


def at(moment: Callable[[Course], None], step: Step, delay: float = 0.0) -> Step:
    """Strike at a moment, up to ``delay`` seconds later as the seed has it."""

    def strike(course: Course) -> None:
        moment(course)
        time.sleep(course.random.uniform(0, delay))
        step(course)

    return strike


# -- processes


def _kill(course: Course, pods: list[Any], what: str, number: int = signal.SIGKILL) -> None:
    found = course.arena.processes_of(pods)
    struck = [one for one in found if processes.send(one, number)]
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
            kills += processes.send(one, signal.SIGKILL)
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


def restarted(course: Course) -> str:
    """What was killed lives again, under another number."""
    before = course.notes["struck"][0]
    if processes.alive(before):
        raise NoEffect(f"process {before.pid} still runs")
    pod = before.id.rpartition("-")[0]
    again = [
        one
        for one in processes.read_all(course.arena.where.processes)
        if processes.alive(one) and one.id.startswith(pod)
    ]
    if not again:
        raise NoEffect(f"nothing runs in place of process {before.pid}")
    return f"{course.notes['done']}; process {again[0].pid} runs in its place"


def restart_apiserver(course: Course) -> None:
    """SIGKILL for the API server; after a moment it is started again."""
    before = course.arena.part(control_plane.APISERVER)
    if before is None or not processes.send(before, signal.SIGKILL):
        raise NoEffect("the API server was not running")
    away = course.random.uniform(0.2, 2)
    time.sleep(away)
    course.arena.mend_control_plane()
    after = course.arena.part(control_plane.APISERVER)
    if after is None or after.pid == before.pid:
        raise NoEffect("the API server was not restarted")
    course.notes["done"] = (
        f"API server {before.pid} was killed; {after.pid} took its place {away:.1f} s later"
    )


def hang_canary(course: Course) -> None:
    """SIGSTOP for the canary's model server, until the run is over."""
    _kill(course, course.arena.pods_of_revision(course.canary()), "the canary", signal.SIGSTOP)


def resume(course: Course) -> None:
    """SIGCONT for what was stopped."""
    for one in course.notes.get("struck", []):
        processes.send(one, signal.SIGCONT)


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


def silent(course: Course) -> str:
    """Envoy saw no request while the generator stood still."""
    begin, end = course.notes["pause"]
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) for t in (begin + 1, end - 1)]
    meanwhile = [e for e in course.requests() if stamps[0] < e["time"][:19] < stamps[1]]
    if meanwhile:
        raise NoEffect(f"{len(meanwhile)} requests were sent while the generator stood still")
    return f"{course.notes['done']}; Envoy saw no request meanwhile"


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


# -- iter8 and Prometheus


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
    found = course.arena.core.read_namespaced_config_map(*HANDLERS)
    key = next(name for name in found.data if name.startswith("finish"))
    course.notes["handlers"] = (key, found.data[key])
    template = yaml.safe_load(found.data[key])
    template["spec"]["backoffLimit"] = 0
    command = ["python3", "-c", "raise SystemExit('the finish handler was broken on purpose')"]
    template["spec"]["template"]["spec"]["containers"][0]["command"] = command
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


def finish_handler_failed(course: Course) -> str:
    """The Job's own status."""
    jobs = course.arena.jobs("iter8-system", f"finish-handler-{course.name}-")
    failed = [job for job in jobs if job.status.failed]
    if not failed:
        raise NoEffect("no Job of the finish handler failed")
    return f"Job {failed[0].metadata.name} failed {failed[0].status.failed} times"
