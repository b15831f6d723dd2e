# SPDX-License-Identifier: GPL-3.0-or-later
"""What KFServing 0.5 with Knative 0.18 does with its InferenceServices, a step on in each pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import faults
from ..gateway import config
from ..kube.client import ApiError
from . import resources
from . import status as serving_status
from .api import ServingApi
from .plan import ServicePlan, endpoints, make_plan, wanted_hosts
from .routes import RouteState
from .stack import REFUSED, RESYNC_SECONDS, SOON_SECONDS, Look

_LOG = logging.getLogger("serving")

Object = Mapping[str, Any]


@dataclass
class KfservingStack:
    """The generation of 2021. ``now`` gives the time for the status, as RFC 3339."""

    api: ServingApi
    now: Callable[[], str]

    def look(self, applied: config.Hosts) -> Look:
        """Read everything, make revisions that are wanted, and say what is to be routed."""
        services = self.api.services()
        deployments = self.api.deployments()
        pods = self.api.pods()
        living = [service for service in services if not service["metadata"].get("deletionTimestamp")]
        plans = [self._plan(service, deployments, pods) for service in living]

        def act(routes: RouteState) -> float:
            for plan in plans:
                self._scale(plan, routes)
                self._write_status(plan, routes)
            for service in services:
                if service["metadata"].get("deletionTimestamp"):
                    self._delete(service, resources.revisions_of(service, deployments), routes)
            return SOON_SECONDS if routes.draining or routes.problem else RESYNC_SECONDS

        return Look(wanted_hosts(plans, applied), endpoints(pods), act)

    def _plan(self, service: Object, deployments: Sequence[Object], pods: Sequence[Object]) -> ServicePlan:
        meta = service["metadata"]
        if resources.FINALIZER not in meta.get("finalizers", []):
            service = self.api.set_finalizers(service, [*meta.get("finalizers", []), resources.FINALIZER])
        revisions = resources.revisions_of(service, deployments)
        refused = ""
        try:
            revisions = self._with_newest(service, revisions)
        except ApiError as error:
            if error.status not in REFUSED:
                raise
            refused = f"its Deployment was refused ({error.status} {error.reason})"
        except faults.FaultError as error:
            refused = str(error)
        return make_plan(service, revisions, pods, refused)

    def _with_newest(self, service: Object, revisions: list[resources.Revision]) -> list[resources.Revision]:
        """Create the revision that the spec asks for, if there is none."""
        if revisions and revisions[-1].predictor_hash == resources.predictor_hash(service):
            return revisions
        canary = bool(serving_status.predictor_status(service).get("latestRolledoutRevision"))
        environment = faults.revision_environment(self.api.active_faults(), canary)
        deployment = resources.next_revision(service, revisions, environment)
        created = self.api.create_deployment(deployment)
        _LOG.info("%s: created %s", _name(service), created["metadata"]["name"])
        return [*revisions, *resources.revisions_of(service, [created])]

    def _scale(self, plan: ServicePlan, routes: RouteState) -> None:
        """Start what is needed; stop what is not, but only when the gateway has let go of it."""
        for revision in plan.revisions:
            cluster = config.cluster_name(revision.namespace, revision.name)
            keep = revision.name in plan.needed or cluster in routes.clusters
            replicas = revision.wanted if keep else 0
            if replicas != revision.replicas:
                _LOG.info("%s: scale %s to %d", _name(plan.service), revision.name, replicas)
                self.api.scale(revision, replicas)

    def _write_status(self, plan: ServicePlan, routes: RouteState) -> None:
        seen = serving_status.Observation(
            latest_created=plan.latest_created,
            latest_ready=plan.latest_ready,
            traffic=plan.traffic,
            routed=plan.may_route
            and (routes.confirmed or serving_status.was_routed(plan.service, plan.traffic)),
            gateway_problem=routes.problem,
        )
        status = serving_status.status(plan.service, seen, self.now())
        if status != plan.service.get("status"):
            _LOG.info("%s: %s", _name(plan.service), _summary(status))
            self.api.put_status(plan.service, status)

    def _delete(self, service: Object, revisions: Sequence[resources.Revision], routes: RouteState) -> None:
        """Once the routes are gone (they are not among the wanted ones): the pods, then the object."""
        meta = service["metadata"]
        if resources.FINALIZER not in meta.get("finalizers", []):
            return
        for revision in revisions:
            if config.cluster_name(revision.namespace, revision.name) not in routes.clusters:
                self.api.delete_deployment(revision)
        if not revisions:
            _LOG.info("%s: deleted", _name(service))
            left = [name for name in meta["finalizers"] if name != resources.FINALIZER]
            self.api.set_finalizers(service, left)


def _name(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _summary(status: Mapping[str, Any]) -> str:
    """One line for the log."""
    ready = next(c["status"] for c in status["conditions"] if c["type"] == "Ready")
    traffic = status["components"]["predictor"].get("traffic") or []
    split = ", ".join(f"{entry['percent']} % {entry['revisionName']}" for entry in traffic) or "none"
    return f"Ready={ready}, traffic: {split}"
