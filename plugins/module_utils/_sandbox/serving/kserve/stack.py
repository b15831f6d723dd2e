# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe of today on Knative Serving, or by itself: reads what each controller sees, writes what it says.

What the real ones need time for is kept in memory, and begins anew with the process: how long KServe takes
from one reconciliation to the next, and since when nobody routes to a revision.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Optional, Protocol

from ... import faults
from ...gateway import config
from ...kube import discovery
from ...kube.client import ApiError
from ...kube.resources import (
    CONFIGURATIONS,
    HTTP_ROUTES,
    KNATIVE_INGRESSES,
    KNATIVE_SERVICES,
    KSERVE_INFERENCE_SERVICES,
    PODS,
    REVISIONS,
    ROUTES,
    SERVICES,
    Kind,
)
from ..conditions import condition, undated, with_times
from ..resources import FINALIZER, MODEL_PORT, REVISION_LABEL
from ..routes import RouteState
from ..stack import REFUSED, RESYNC_SECONDS, SOON_SECONDS, Look
from . import gateway_api, knative, knative_mode, route, standard_mode
from .objects import CHILDREN, MADE_IN, Change, Delete, Json, Object, SeenObjects, status_if_new

RECONCILE_SECONDS = 0.1
"""From one reconciliation of KServe's to the next: 0.06 to 0.2 s in the recordings."""

NEW_REVISION_SECONDS = 0.5
"""As much after a new model was written: 0.5 to 1 s in the recordings; the status stays as it was."""

REFUSED_SECONDS = 1.0
"""Until KServe tries again what the API server refused."""

IDLE_SECONDS = 60.0
"""Knative's stable window: so long after its last route a revision keeps its pods."""

MODES = {"Knative": "Knative", "Serverless": "Knative", "Standard": "Standard", "RawDeployment": "Standard"}
"""By what an annotation, the configuration or the status says; the second and fourth are the old names."""

MODE_ANNOTATION = "serving.kserve.io/deploymentMode"

_LOG = logging.getLogger("serving")


class Objects(Protocol):
    """The API server, as this stack reads and writes it. Each may raise ApiError."""

    def labelled(self, kind: Kind) -> list[Json]:
        """All objects of a kind; of those that are not KServe's alone, the ones with its label."""

    def configuration(self) -> Mapping[str, str]:
        """The data of KServe's ConfigMap ``inferenceservice-config``; empty without one."""

    def active_faults(self) -> faults.Active:
        """The faults that are switched on. May raise FaultError."""

    def change(self, change: Change) -> None:
        """Write one change. A lost race needs no action: what won it starts another pass."""

    def set_finalizers(self, service: Object, finalizers: list[str]) -> Object:
        """Replace the finalizers, if the object is still the one that was read."""


@dataclass
class KserveStack:
    """KServe in both modes. ``now``: the time for statuses (RFC 3339); ``clock``: seconds that only grow."""

    objects: Objects
    now: Callable[[], str]
    clock: Callable[[], float]
    _not_before: dict[str, float] = field(default_factory=dict)
    _acted: set[str] = field(default_factory=set)
    _routed: dict[str, float] = field(default_factory=dict)
    _conflicts: set[str] = field(default_factory=set)
    """Those that meet a conflict when they are reconciled next, right after a new model was written."""

    def look(self, applied: config.Hosts) -> Look:
        """Read everything, and say what is to be routed."""
        services = self.objects.labelled(KSERVE_INFERENCE_SERVICES)
        kinds = {kind for service in services for kind in (*MADE_IN[self.mode(service)], PODS)}
        seen = SeenObjects({kind: self.objects.labelled(kind) for kind in kinds})
        living = {
            (service["metadata"]["namespace"], service["metadata"]["name"])
            for service in services
            if not service["metadata"].get("deletionTimestamp")
        }
        hosts: dict[str, dict[str, int]] = {}
        in_force: set[str] = set()
        for ingress in _of(living, seen, KNATIVE_INGRESSES):
            wanted = route.wanted_hosts(ingress)
            if route.may_be_routed(ingress, seen):
                in_force.add(ingress["metadata"]["uid"])
                hosts.update(wanted)
            else:
                hosts.update({name: dict(applied[name]) for name in wanted if name in applied})
        for each in _of(living, seen, HTTP_ROUTES):
            hosts.update(gateway_api.wanted_hosts(each, seen))

        def act(routes: RouteState) -> float:
            due = SOON_SECONDS if routes.draining or routes.problem else RESYNC_SECONDS
            for service in services:
                due = min(due, self._act(service, seen, routes, in_force))
            return due

        return Look(hosts, endpoints(seen), act)

    def _act(self, service: Json, seen: SeenObjects, routes: RouteState, in_force: set[str]) -> float:
        meta = service["metadata"]
        if meta.get("deletionTimestamp"):
            self._delete(service, seen, routes)
            return RESYNC_SECONDS
        if FINALIZER not in meta.get("finalizers", []):
            self.objects.set_finalizers(service, [*meta.get("finalizers", []), FINALIZER])
            return RESYNC_SECONDS
        changes, due = self._kserve(service, seen)
        # Those below answer to what was seen: had KServe written first, their statuses would come too late.
        for change in self._below(service, seen, routes, in_force):
            self._refused(service, change)
        for change in changes:
            refused = self._refused(service, change)
            if refused:
                # As KServe: the rest of this reconciliation is not done, its status least of all.
                for told in failed(service, refused, self.now()):
                    self.objects.change(told)
                due = max(due, REFUSED_SECONDS)
                break
        return min(due, self._idle_due(service, seen))

    def _refused(self, service: Object, change: Change) -> str:
        """Write one change; returns why the API server does not take it, or nothing."""
        try:
            self.objects.change(change)
        except ApiError as error:
            if error.status not in REFUSED:
                raise
            text = f"its {change.kind.name} was refused ({error.status} {error.reason})"
            _LOG.warning("%s/%s: %s", service["metadata"]["namespace"], service["metadata"]["name"], text)
            return text
        return ""

    def _kserve(self, service: Json, seen: SeenObjects) -> tuple[list[Change], float]:
        """What KServe itself does, when it is its turn, and in how many seconds it is again."""
        uid, now = service["metadata"]["uid"], self.clock()
        wait = self._not_before.get(uid, now) - now
        # However long a pass takes here: those below are quicker than KServe, and answer in between.
        if wait > 0 or uid in self._acted:
            self._acted.discard(uid)
            return [], max(wait, 0.0)
        try:
            changes, pause = self._reconcile(service, seen)
        except faults.FaultError as error:
            changes, pause = failed(service, str(error), self.now()), RECONCILE_SECONDS
        if not changes:
            return [], RESYNC_SECONDS
        self._not_before[uid] = now + pause
        self._acted.add(uid)
        return changes, pause

    def _reconcile(self, service: Json, seen: SeenObjects) -> tuple[list[Change], float]:
        active = self.objects.active_faults()
        if self.mode(service) == "Standard":
            extra = faults.revision_environment(active, canary=True)
            weighted = "kserve-unweighted" not in active
            changes = standard_mode.reconcile(service, seen, extra, weighted, self.now())
            return changes, RECONCILE_SECONDS
        meta = service["metadata"]
        ksvc = seen.one(KNATIVE_SERVICES, meta["namespace"], knative_mode.name(service))
        extra = faults.revision_environment(active, knative_mode.makes_canary(service))
        if meta["uid"] in self._conflicts:
            self._conflicts.remove(meta["uid"])
            text = knative_mode.CONFLICT.format(knative_mode.name(service))
            return failed(service, text, self.now()), RECONCILE_SECONDS
        changes = knative_mode.reconcile(service, ksvc, extra, self.now())
        if not knative_mode.needs_new_revision(service, ksvc):
            return changes, RECONCILE_SECONDS
        if "kserve-conflict" in active:
            self._conflicts.add(meta["uid"])
        return changes, NEW_REVISION_SECONDS

    def mode(self, service: Object) -> str:
        """The mode in force: the status', once it is written; else the annotation's, else the default."""
        written = (service.get("status") or {}).get("deploymentMode")
        asked = service["metadata"].get("annotations", {}).get(MODE_ANNOTATION)
        if not written and not asked:
            deploy = json.loads(self.objects.configuration().get("deploy") or "{}")
            asked = deploy.get("defaultDeploymentMode")
        return MODES.get(written or asked or "", "Knative")

    def _below(
        self, service: Object, seen: SeenObjects, routes: RouteState, in_force: set[str]
    ) -> list[Change]:
        """What Knative's controllers and the gateways' do."""
        now = self.now()
        changes: list[Change] = []
        for ksvc in seen.children(KNATIVE_SERVICES, service):
            changes += knative.service(ksvc, seen, now)
        for each in seen.children(CONFIGURATIONS, service):
            changes += knative.configuration(each, seen, now)
        used = _in_use(service, seen)
        for each in seen.children(REVISIONS, service):
            cluster = config.cluster_name(each["metadata"]["namespace"], each["metadata"]["name"])
            idle = self._idle(each, used)
            changes += knative.revision(each, seen, idle, cluster in routes.clusters, now)
        for each in seen.children(ROUTES, service):
            changes += route.reconcile(each, seen, now)
        for each in seen.children(KNATIVE_INGRESSES, service):
            taken = routes.confirmed and each["metadata"]["uid"] in in_force
            changes += route.programmed(each, taken, now)
        for each in seen.children(HTTP_ROUTES, service):
            changes += gateway_api.accepted(each, seen, now)
        return changes

    def _idle(self, revision: Object, used: set[str]) -> bool:
        """Whether nobody has routed to the revision for so long that the autoscaler lets its pods go."""
        meta = revision["metadata"]
        key, now = f"{meta['namespace']}/{meta['name']}", self.clock()
        if meta["name"] in used:
            self._routed[key] = now
        return now - self._routed.setdefault(key, now) >= IDLE_SECONDS

    def _idle_due(self, service: Object, seen: SeenObjects) -> float:
        """Seconds until the next revision counts as idle."""
        used = _in_use(service, seen)
        namespace = service["metadata"]["namespace"]
        ends = [
            self._routed[f"{namespace}/{each['metadata']['name']}"] + IDLE_SECONDS - self.clock()
            for each in seen.children(REVISIONS, service)
            if each["metadata"]["name"] not in used
        ]
        return min([end for end in ends if end > 0] or [RESYNC_SECONDS])

    def _delete(self, service: Object, seen: SeenObjects, routes: RouteState) -> None:
        """Once the gateway has let go of its routes: what was made for it, then the object itself."""
        meta = service["metadata"]
        if FINALIZER not in meta.get("finalizers", []):
            return
        left = [(kind, each) for kind in CHILDREN for each in seen.children(kind, service)]
        clusters = {config.cluster_name(meta["namespace"], each["metadata"]["name"]) for _kind, each in left}
        if clusters & routes.clusters:
            return
        for kind, each in left:
            if not each["metadata"].get("deletionTimestamp"):
                self.objects.change(Delete(kind, each))
        if not left:
            _LOG.info("%s/%s: deleted", meta["namespace"], meta["name"])
            self._not_before.pop(meta["uid"], None)
            finalizers = [name for name in meta["finalizers"] if name != FINALIZER]
            self.objects.set_finalizers(service, finalizers)


def failed(service: Object, message: str, now: str) -> list[Change]:
    """A reconciliation that met an error: the InferenceService is not ready until the next one."""
    old = service.get("status") or {}
    error = condition("False", "ReconcileFailed", message)
    conditions = {each["type"]: undated(each) for each in old.get("conditions") or ()}
    conditions.update({kind: {"type": kind, **error} for kind in ("PredictorReady", "Ready")})
    dated = with_times([conditions[kind] for kind in sorted(conditions)], old.get("conditions") or [], now)
    return status_if_new(KSERVE_INFERENCE_SERVICES, service, {**old, "conditions": dated})


def endpoints(seen: SeenObjects) -> dict[str, list[tuple[str, int]]]:
    """The addresses of the ready pods: by Knative's revision, and by Service."""
    found: dict[str, list[tuple[str, int]]] = {}

    def add(cluster: str, pod: Object) -> None:
        if discovery.pod_is_ready(pod):
            found.setdefault(cluster, []).append((pod["status"]["podIP"], MODEL_PORT))

    for pod in seen.objects.get(PODS, ()):
        revision = pod["metadata"]["labels"].get(REVISION_LABEL)
        if revision:
            add(config.cluster_name(pod["metadata"]["namespace"], revision), pod)
    for service in seen.objects.get(SERVICES, ()):
        meta = service["metadata"]
        for pod in seen.pods(meta["namespace"], service["spec"]["selector"]):
            add(config.cluster_name(meta["namespace"], meta["name"]), pod)
    return {cluster: sorted(addresses) for cluster, addresses in found.items()}


def _of(living: set[tuple[str, str]], seen: SeenObjects, kind: Kind) -> list[Object]:
    """The objects of the InferenceServices that are not being deleted."""
    owners = [{"metadata": {"namespace": namespace, "name": name}} for namespace, name in sorted(living)]
    return [each for owner in owners for each in seen.children(kind, owner)]


def _in_use(service: Object, seen: SeenObjects) -> set[str]:
    """The revisions that a Route names, with whatever share, and the newest."""
    names: set[str] = set()
    for each in seen.children(ROUTES, service):
        names |= {entry["revisionName"] for entry in (each.get("status") or {}).get("traffic") or ()}
        names |= {entry["revisionName"] for entry in each["spec"]["traffic"] if "revisionName" in entry}
    for each in seen.children(CONFIGURATIONS, service):
        newest: Optional[str] = (each.get("status") or {}).get("latestCreatedRevisionName")
        names |= {newest} if newest else set()
    return names
