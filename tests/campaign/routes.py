# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults in Envoy's routes; the serving controller, which would mend them, is stopped meanwhile."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import envoy, processes
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway_files import GatewayFiles
from arena import NAMESPACE
from course import Course, NoEffect
from strikes import Evidence, Step, answers


@contextlib.contextmanager
def _controller_stopped(course: Course) -> Iterator[GatewayFiles]:
    """Envoy's files, with nobody else writing them; they are put back as they were."""
    arena = course.arena
    stopped = arena.processes_of(arena.pods("kfserving-system"))
    if not [one for one in stopped if processes.send(one, signal.SIGSTOP)]:
        raise NoEffect("the serving controller was not running")
    files = GatewayFiles(arena.gateway_files)
    before = {name: files.read(name) for name in (envoy.CDS_FILE, envoy.RDS_FILE)}
    try:
        yield files
    finally:
        for name, document in before.items():
            if files.read(name) != document:
                files.write(name, document)
        for one in stopped:
            processes.send(one, signal.SIGCONT)


def _is_of(course: Course, host: str) -> bool:
    return host.startswith((f"{course.name}.", f"{course.name}-predictor"))


def no_route(seconds: float) -> Step:
    """Take the hosts of the run out of the routes for so long: 404."""

    def step(course: Course) -> None:
        with _controller_stopped(course) as files:
            hosts = envoy.hosts_of(files.read(envoy.RDS_FILE))
            others = {host: weights for host, weights in hosts.items() if not _is_of(course, host)}
            files.write(envoy.RDS_FILE, envoy.rds_document(others))
            time.sleep(seconds)
        course.notes["done"] = f"no route for {seconds * 1000:g} ms"

    return step


def no_endpoint(seconds: float) -> Step:
    """Take the endpoints out of the run's clusters for so long: 503."""

    def step(course: Course) -> None:
        with _controller_stopped(course) as files:
            clusters = envoy.endpoints_of(files.read(envoy.CDS_FILE))
            own = f"{NAMESPACE}/{course.name}-predictor"
            emptied = {name: () if name.startswith(own) else found for name, found in clusters.items()}
            files.write(envoy.CDS_FILE, envoy.cds_document(emptied))
            time.sleep(seconds)
        course.notes["done"] = f"no endpoint for {seconds * 1000:g} ms"

    return step


def misroute(weights: Callable[[Course], dict[str, int]], seconds: float) -> Step:
    """Give the revisions other weights than were set, for so long."""

    def step(course: Course) -> None:
        wrong = weights(course)
        split = {envoy.cluster_name(NAMESPACE, revision): weight for revision, weight in wrong.items()}
        with _controller_stopped(course) as files:
            hosts = envoy.hosts_of(files.read(envoy.RDS_FILE))
            served = f"{course.name}.{NAMESPACE}."
            wanted = {host: split if host.startswith(served) else found for host, found in hosts.items()}
            files.write(envoy.RDS_FILE, envoy.rds_document(wanted))
            began = time.time()
            time.sleep(seconds)
            course.notes["misrouted"] = (began, time.time())
        shown = ", ".join(f"{weight} % to {revision}" for revision, weight in wrong.items())
        course.notes["done"] = f"Envoy was told for {seconds:g} s: {shown}"

    return step


def misrouted(revision: Callable[[Course], str]) -> Evidence:
    """Requests went to the revision while Envoy was told so."""

    def evidence(course: Course) -> str:
        if "misrouted" not in course.notes:
            raise NoEffect("the routes were not changed")
        begin, end = (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) for t in course.notes["misrouted"])

        def meanwhile(entry: dict[str, Any]) -> bool:
            return begin < str(entry["time"])[:19] < end

        told = answers(course, revision(course), meanwhile, "went there meanwhile")
        return f"{course.notes['done']}; {told}"

    return evidence
