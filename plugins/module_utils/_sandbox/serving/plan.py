# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pass wants for each InferenceService, given what it saw: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..gateway import config
from ..kube import discovery
from . import resources, status

# What a kubelet reports of a container that will not come up by itself.
_HOPELESS = frozenset(
    {"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
)

Object = Mapping[str, Any]
Hosts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class ServicePlan:
    """What is wanted for one InferenceService."""

    service: Object
    revisions: Sequence[resources.Revision]
    latest_created: status.RevisionState
    latest_ready: str
    traffic: list[dict[str, Any]]
    hosts: Hosts
    may_route: bool
    """There is traffic to route, and every revision that is to get some has a ready pod."""

    @property
    def needed(self) -> set[str]:
        """Revisions whose pods are to run."""
        return {self.latest_created.name} | {entry["revisionName"] for entry in self.traffic}


def make_plan(
    service: Object, revisions: Sequence[resources.Revision], pods: Sequence[Object], refused: str = ""
) -> ServicePlan:
    """Decide the traffic of one InferenceService.

    :param revisions: oldest first.
    :param refused: why the newest revision could not be made; empty if it was.
    """
    namespace = service["metadata"]["namespace"]
    own = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
    states = [_state(revision, own) for revision in revisions]
    created = states[-1] if states else status.RevisionState("", False)
    if refused:
        created = status.RevisionState(created.name, False, refused)
    recorded = status.predictor_status(service).get("latestReadyRevision", "")
    ready = status.latest_ready(states, recorded)
    traffic = status.wanted_traffic(service, created.name, ready)
    weights = status.weights(traffic)
    is_ready = {state.name for state in states if state.ready}
    return ServicePlan(
        service=service,
        revisions=revisions,
        latest_created=created,
        latest_ready=ready,
        traffic=traffic,
        hosts=_hosts(service, traffic),
        may_route=bool(traffic) and is_ready.issuperset(weights),
    )


def wanted_hosts(plans: Iterable[ServicePlan], applied: Mapping[str, Mapping[str, int]]) -> Hosts:
    """Join the routes of all plans.

    An InferenceService whose new routes would meet a revision without a ready pod keeps those in force.
    """
    hosts: Hosts = {}
    for plan in plans:
        if plan.may_route:
            hosts.update(plan.hosts)
        else:
            names = _all_hosts(plan.service)
            hosts.update({name: dict(applied[name]) for name in names if name in applied})
    return hosts


def endpoints(pods: Iterable[Object]) -> dict[str, list[tuple[str, int]]]:
    """Return the addresses of the ready pods of every revision, by cluster."""
    found: dict[str, list[tuple[str, int]]] = {}
    for pod in pods:
        if discovery.pod_is_ready(pod):
            meta = pod["metadata"]
            cluster = config.cluster_name(meta["namespace"], meta["labels"][resources.REVISION_LABEL])
            found.setdefault(cluster, []).append((pod["status"]["podIP"], resources.MODEL_PORT))
    return {cluster: sorted(addresses) for cluster, addresses in found.items()}


def _hosts(service: Object, traffic: status.Traffic) -> Hosts:
    """Host names to weighted clusters: the service, its predictor, and each tag by itself."""
    if not traffic:
        return {}
    namespace = service["metadata"]["namespace"]
    split = {config.cluster_name(namespace, name): w for name, w in status.weights(traffic).items()}
    hosts = {resources.host(service): split, resources.predictor_host(service): dict(split)}
    for entry in traffic:
        tagged = {config.cluster_name(namespace, entry["revisionName"]): 100}
        hosts[resources.predictor_host(service, entry["tag"])] = tagged
    return hosts


def _all_hosts(service: Object) -> list[str]:
    return [
        resources.host(service),
        *(resources.predictor_host(service, tag) for tag in ("", "latest", "prev")),
    ]


def _state(revision: resources.Revision, pods: Iterable[Object]) -> status.RevisionState:
    own = [pod for pod in pods if pod["metadata"]["labels"].get(resources.REVISION_LABEL) == revision.name]
    if any(discovery.pod_is_ready(pod) for pod in own):
        return status.RevisionState(revision.name, True)
    failure = next(filter(None, map(_failure, own)), "")
    return status.RevisionState(revision.name, False, failure)


def _failure(pod: Object) -> str:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            return f"{waiting['reason']}: {waiting.get('message', 'no message')}"
    return ""
