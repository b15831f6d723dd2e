# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults in Envoy's routes; the serving controller, which would mend them, is stopped meanwhile."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.admin import Admin
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway.config import GatewayFiles
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from arena import NAMESPACE, until
from course import Course, NoEffect
from evidence import Evidence, answers
from strikes import Step

_PORT = 8080


@contextlib.contextmanager
def _controller_stopped(course: Course) -> Iterator[GatewayFiles]:
    """Envoy's files, with nobody else writing them; they are put back as they were."""
    arena = course.arena
    stopped = arena.processes_of(arena.pods("kfserving-system"))
    if not [one for one in stopped if records.send(one, signal.SIGSTOP)]:
        raise NoEffect("the serving controller was not running")
    files = GatewayFiles(arena.gateway_files)
    before = {name: files.read(name) for name in (config.CDS_FILE, config.RDS_FILE)}
    try:
        yield files
    finally:
        # Routes first: none may name a cluster that is gone.
        for name in (config.RDS_FILE, config.CDS_FILE):
            if files.read(name) != before[name]:
                _write(course, files, name, before[name])
        for one in stopped:
            records.send(one, signal.SIGCONT)


def _write(course: Course, files: GatewayFiles, name: str, document: dict[str, Any]) -> None:
    """Write a file and wait until Envoy has taken it."""
    pods = course.arena.pods("istio-system", "app=istio-ingressgateway")
    admin = Admin(pods[0].status.pod_ip)
    files.write(name, document)

    def taken() -> bool:
        state = admin.state()
        version = state.cds_version if name == config.CDS_FILE else state.rds_version
        return version == document["version_info"] and not state.warming_clusters

    until(taken, 5, f"Envoy has taken {name}")


def _is_of(course: Course, host: str) -> bool:
    return host.startswith((f"{course.name}.", f"{course.name}-predictor"))


def no_route(seconds: float) -> Step:
    """Take the hosts of the run out of the routes for so long: 404."""

    def step(course: Course) -> None:
        with _controller_stopped(course) as files:
            hosts = config.hosts_of(files.read(config.RDS_FILE))
            others = {host: weights for host, weights in hosts.items() if not _is_of(course, host)}
            files.write(config.RDS_FILE, config.rds_document(others))
            time.sleep(seconds)
        course.notes["done"] = f"no route for {seconds * 1000:g} ms"

    return step


def no_endpoint(seconds: float) -> Step:
    """Take the endpoints out of the run's clusters for so long: 503."""

    def step(course: Course) -> None:
        with _controller_stopped(course) as files:
            clusters = config.endpoints_of(files.read(config.CDS_FILE))
            own = f"{NAMESPACE}/{course.name}-predictor"
            emptied = {name: () if name.startswith(own) else found for name, found in clusters.items()}
            files.write(config.CDS_FILE, config.cds_document(emptied))
            time.sleep(seconds)
        course.notes["done"] = f"no endpoint for {seconds * 1000:g} ms"

    return step


def misroute(weights: Callable[[Course], dict[str, int]], seconds: float) -> Step:
    """Give the revisions other weights than were set, for so long."""

    def step(course: Course) -> None:
        wrong = weights(course)
        split = {config.cluster_name(NAMESPACE, revision): weight for revision, weight in wrong.items()}
        with _controller_stopped(course) as files:
            hosts = config.hosts_of(files.read(config.RDS_FILE))
            served = f"{course.name}.{NAMESPACE}."
            wanted = {host: split if host.startswith(served) else found for host, found in hosts.items()}
            _write(course, files, config.RDS_FILE, config.rds_document(wanted))
            began = time.time()
            time.sleep(seconds)
            course.notes["misrouted"] = (began, time.time())
        shown = ", ".join(f"{weight} % to {revision}" for revision, weight in wrong.items())
        course.notes["done"] = f"Envoy was told for {seconds:g} s: {shown}"

    return step


def not_ready(percent: int, seconds: float) -> Step:
    """Send the canary a share of the requests while its process runs and is not ready, for so long."""

    def step(course: Course) -> None:
        course.wait_for("canary_applied")
        canary, baseline = course.canary(), course.baseline()
        pod = until(lambda: _listening(course, canary), 20, "the canary's process listens")
        name = config.cluster_name(NAMESPACE, canary)
        split = {name: percent, config.cluster_name(NAMESPACE, baseline): 100 - percent}
        with _controller_stopped(course) as files:
            clusters = {
                **config.endpoints_of(files.read(config.CDS_FILE)),
                name: [(pod.status.pod_ip, _PORT)],
            }
            _write(course, files, config.CDS_FILE, config.cds_document(clusters))
            hosts = config.hosts_of(files.read(config.RDS_FILE))
            wanted = {host: split if _is_of(course, host) else found for host, found in hosts.items()}
            _write(course, files, config.RDS_FILE, config.rds_document(wanted))
            time.sleep(seconds)
            after = course.arena.core.read_namespaced_pod(pod.metadata.name, NAMESPACE)
            ready = {c.type: c.status for c in after.status.conditions}["Ready"]
        if ready != "False":
            raise NoEffect(f"the canary's pod had Ready {ready} meanwhile")
        course.notes["done"] = (
            f"Envoy gave {canary} {percent} % for {seconds:g} s; its pod had Ready False all the while"
        )

    return step


def _listening(course: Course, revision: str) -> Any:
    """The revision's pod once its process accepts connections."""
    for pod in course.arena.pods_of_revision(revision):
        if pod.status.pod_ip:
            with socket.create_connection((pod.status.pod_ip, _PORT), timeout=1):
                return pod
    return None


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
