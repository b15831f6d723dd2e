# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rollout_observer, but for its documentation."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    expanded,
    require_own_folder,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.formats import FORMATS

from ..client.api import Api
from ..client.auth import connect
from ..client.errors import ClusterError
from ..client.kinds import inferenceservice_kind
from ..client.watch import Clock
from . import job
from .gateway_log import PLACES, GatewayLog, Place
from .observer import Observer, Target
from .plan import Plan
from .recorder import EXPERIMENT, INFERENCESERVICE, JOBS

# What an InferenceService leads to, by whichever mode: followed where it is served and may be read.
FOLLOWED = (
    ("knative_service", "serving.knative.dev/v1", "Service"),
    ("configuration", "serving.knative.dev/v1", "Configuration"),
    ("revision", "serving.knative.dev/v1", "Revision"),
    ("route", "serving.knative.dev/v1", "Route"),
    ("httproute", "gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("deployment", "apps/v1", "Deployment"),
    ("replicaset", "apps/v1", "ReplicaSet"),
    ("pod", "v1", "Pod"),
    # A gateway may name the address of a revision's Service.
    ("service", "v1", "Service"),
    ("event", "v1", "Event"),
)
NODE_EVENTS_NAMESPACE = "default"
"""Where kubelets and the node controller write events about nodes."""


def ensure_state(module: Any, duration: float) -> dict[str, Any]:
    """Bring the observer into the wanted state; one that is started ends by itself after `duration` seconds.

    Raises ClusterError with what is wrong, and LoadError for a state folder that cannot be used.
    """
    params = module.params
    name, state_dir = params["name"], params["state_dir"]
    for option in ("timeline", "dest"):
        _require_own_place(option, params[option])
    _require_own_place("gateway_log", (params["gateway_log"] or {}).get("dest"))
    before = job.state(state_dir, name)
    changed = _ensure(module, before, duration)
    return {
        "changed": changed,
        "status": before if module.check_mode else job.state(state_dir, name),
        "progress": job.progress(state_dir, name),
    }


def _require_own_place(option: str, path: str | None) -> None:
    """Raises ClusterError where the file would lie in a folder that others can write to."""
    try:
        folder = Path(expanded(path or "")).absolute().parent
        # It may be about to be made, in check mode at least.
        if path and folder.exists():
            require_own_folder(folder, shared=True)
    except OSError as error:
        raise ClusterError(f"{option}: {path} cannot be written: {error.strerror}.") from error


def _ensure(module: Any, before: str, duration: float) -> bool:
    params = module.params
    name, state_dir, wanted, check = params["name"], params["state_dir"], params["state"], module.check_mode
    if wanted == "started":
        plan = _plan(params, duration)
        if check:
            return before != "running"
        return job.start(plan, lambda: _observer(module, plan), state_dir)
    if wanted == "absent":
        return before != "absent" if check else job.remove(state_dir, name)
    if check:
        return before == "running"
    killed = job.killed_at(state_dir, name)
    if killed is not None and params["timeline"]:
        job.mark_killed(params["timeline"], killed)
    stopped = job.stop(state_dir, name)
    if params["dest"] and before != "absent":
        stopped = job.deliver(state_dir, name, params["dest"]) or stopped
    return stopped


def _plan(params: Any, duration: float) -> Plan:
    if not params["inferenceservice"]:
        raise ClusterError("inferenceservice: name the InferenceService that is to be observed.")
    if duration <= 0:
        raise ClusterError("duration: an observer always has a bound on its life; name one above 0.")
    return Plan(
        name=params["name"],
        inferenceservice=params["inferenceservice"],
        namespace=params["namespace"],
        experiment=params["experiment"] or "",
        handler_namespace=params["handler_namespace"] or "",
        # The observer leaves the folder that a relative path is meant from.
        timeline=os.path.abspath(params["timeline"]) if params["timeline"] else "",
        duration=duration,
        dest=os.path.abspath(params["dest"]) if params["dest"] else "",
        gateway_log=_gateway_log(params["gateway_log"]),
    )


def _gateway_log(given: dict[str, Any] | None) -> dict[str, str]:
    """Where the log is, with what is usual for the gateway, and the file's whole path; empty for none."""
    if not given:
        return {}
    usual = PLACES[given["gateway"]]
    named = {name: value for name, value in given.items() if value}
    return {**asdict(usual), **named, "dest": os.path.abspath(given["dest"])}


def _observer(module: Any, plan: Plan) -> Observer:
    """In the detached process: connections of its own, and what there is to follow."""
    params = module.params
    api = connect(module)
    targets = _targets(api, params, plan)
    beside = [_log_of(api, plan.gateway_log).run] if plan.gateway_log else []
    return Observer(api, targets, time.time, Clock(), beside)


def _log_of(api: Api, given: Mapping[str, str]) -> GatewayLog:
    place = Place(given["namespace"], given["selector"], given["container"])
    path = Path(given["dest"])
    path.unlink(missing_ok=True)
    return GatewayLog(api, place, FORMATS[given["gateway"]], path)


def _targets(api: Api, params: Any, plan: Plan) -> list[Target]:
    namespace, name = plan.namespace, plan.inferenceservice
    service = inferenceservice_kind(api, params["api_version"], namespace, name)
    found = [Target(INFERENCESERVICE, service, namespace, name, needed=True)]
    if plan.experiment:
        resource = api.resource(params["experiment_api_version"], "Experiment")
        found.append(Target(EXPERIMENT, resource, namespace, plan.experiment, needed=True))
        if params["handler_namespace"]:
            found.append(Target(JOBS, api.resource("batch/v1", "Job"), params["handler_namespace"]))
    for feed, api_version, kind in FOLLOWED:
        for resource in api.resources(api_version):
            if resource.kind == kind:
                found.append(Target(feed, resource, namespace))
                if kind == "Event" and namespace != NODE_EVENTS_NAMESPACE:
                    found.append(Target("node_event", resource, NODE_EVENTS_NAMESPACE))
    return found
