# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a rollout touches, as kinds to follow, and the observer that follows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.formats import FORMATS

from ..client.api import Api
from ..client.kinds import inferenceservice_kind
from ..client.watch import Clock
from .eyes import Eyes, WatchTarget
from .gateway_log import GatewayLog, LogPlace
from .observer import Observer
from .plan import ObserverPlan
from .recorder import EXPERIMENT, HTTPROUTE, INFERENCESERVICE, JOBS, NODE_EVENTS

# What an InferenceService leads to, by whichever mode: followed where it is served and may be read.
FOLLOWED = (
    ("knative_service", "serving.knative.dev/v1", "Service"),
    ("configuration", "serving.knative.dev/v1", "Configuration"),
    ("revision", "serving.knative.dev/v1", "Revision"),
    ("route", "serving.knative.dev/v1", "Route"),
    (HTTPROUTE, "gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("deployment", "apps/v1", "Deployment"),
    ("replicaset", "apps/v1", "ReplicaSet"),
    ("pod", "v1", "Pod"),
    # A gateway may name the address of a revision's Service.
    ("service", "v1", "Service"),
    ("event", "v1", "Event"),
)
NODE_EVENTS_NAMESPACE = "default"
"""Where kubelets and the node controller write events about nodes."""


def observer_of(api: Api, eyes: Eyes, plan: ObserverPlan, clock: Clock) -> Observer:
    """The observer of a plan, with these eyes. Raises ClusterError where what is needed is not there."""
    followed = targets(api, plan)
    beside = [_log_of(api, plan.gateway_log).run] if plan.gateway_log else []
    return Observer(eyes, followed, time.time, clock, beside)


def _log_of(api: Api, given: Mapping[str, str]) -> GatewayLog:
    place = LogPlace(given["namespace"], given["selector"], given["container"])
    path = Path(given["dest"])
    path.unlink(missing_ok=True)
    return GatewayLog(api, place, FORMATS[given["gateway"]], path)


def targets(api: Api, plan: ObserverPlan) -> list[WatchTarget]:
    """What there is to follow of a plan, as this API server serves it. Raises ClusterError where it does not
    serve what is needed."""
    namespace, name = plan.namespace, plan.inferenceservice
    service = inferenceservice_kind(api, plan.api_version or None, namespace, name)
    found = [WatchTarget(INFERENCESERVICE, service, namespace, name, needed=True, proved_by=name)]
    if plan.experiment:
        resource = api.resource(plan.experiment_api_version, "Experiment")
        found.append(
            WatchTarget(
                EXPERIMENT, resource, namespace, plan.experiment, needed=True, proved_by=plan.experiment
            )
        )
        if plan.handler_namespace:
            found.append(WatchTarget(JOBS, api.resource("batch/v1", "Job"), plan.handler_namespace))
    for feed, api_version, kind in FOLLOWED:
        for resource in api.resources(api_version):
            if resource.kind == kind:
                # In Standard mode the traffic stands in HTTPRoutes: KServe writes the one of the
                # InferenceService's name whenever it writes its component's.
                proved_by = name if feed == HTTPROUTE else None
                found.append(WatchTarget(feed, resource, namespace, proved_by=proved_by))
                if kind == "Event" and namespace != NODE_EVENTS_NAMESPACE:
                    found.append(WatchTarget(NODE_EVENTS, resource, NODE_EVENTS_NAMESPACE))
    return found
