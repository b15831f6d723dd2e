# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence that a fault took effect. Without it the run proves nothing, and NoEffect says so."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from course import Course, NoEffect

Evidence = Callable[[Course], str]


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


def broken_off(course: Course) -> str:
    """Envoy had sent the canary's head, status 200, to the client when no more of the body came."""

    def broken(entry: dict[str, Any]) -> bool:
        after = str(entry["details"]).startswith("upstream_reset_after_response_started")
        return entry["status"] == 200 and after

    return answers(course, course.canary(), broken, "the canary broke off after the head")


def client_gone(course: Course) -> str:
    """Envoy lost clients amid their requests: DC."""
    told = answers(course, "", lambda e: "DC" in str(e["flags"]), "lost their client before the answer")
    return f"{course.notes['done']}; {told}"


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


def not_ready(course: Course) -> str:
    """The canary's pod runs, and is not ready; the API server says so."""
    pods = course.arena.pods_of_revision(course.canary())
    ready = [c.status for pod in pods for c in pod.status.conditions or [] if c.type == "Ready"]
    if ready != ["False"] or not course.arena.processes_of(pods):
        raise NoEffect(f"the canary's pod has Ready {ready or 'unknown'}")
    return f"pod {pods[0].metadata.name} runs with Ready False"


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


def restarted(course: Course) -> str:
    """What was killed lives again, under another number."""
    before = course.notes["struck"][0]
    if records.alive(before):
        raise NoEffect(f"process {before.pid} still runs")
    pod = before.id.rpartition("-")[0]
    again = [
        one
        for one in records.read_all(course.arena.where.processes)
        if records.alive(one) and one.id.startswith(pod)
    ]
    if not again:
        raise NoEffect(f"nothing runs in place of process {before.pid}")
    return f"{course.notes['done']}; process {again[0].pid} runs in its place"


def silent(course: Course) -> str:
    """Envoy saw no request while the generator stood still."""
    begin, end = course.notes["pause"]
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) for t in (begin + 1, end - 1)]
    meanwhile = [e for e in course.requests() if stamps[0] < e["time"][:19] < stamps[1]]
    if meanwhile:
        raise NoEffect(f"{len(meanwhile)} requests were sent while the generator stood still")
    return f"{course.notes['done']}; Envoy saw no request meanwhile"
