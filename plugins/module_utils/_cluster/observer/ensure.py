# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rollout_observer, but for its documentation."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    expanded,
    require_own_folder,
)

from ..client.auth import connect
from ..client.errors import ClusterError
from ..client.watch import Clock
from . import job
from .eyes import Own
from .gateway_log import PLACES
from .host import Sight, attach
from .observer import Observer
from .plan import ObserverPlan
from .shared import Shared
from .targets import observer_of


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
        if params["shared"]:
            return attach(plan, params["shared"], _cluster(params), lambda: _sight(module), state_dir)
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


def _plan(params: Any, duration: float) -> ObserverPlan:
    if not params["inferenceservice"]:
        raise ClusterError("inferenceservice: name the InferenceService that is to be observed.")
    if duration <= 0:
        raise ClusterError("duration: an observer always has a bound on its life; name one above 0.")
    return ObserverPlan(
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
        api_version=params["api_version"] or "",
        experiment_api_version=params["experiment_api_version"],
    )


def _gateway_log(given: dict[str, Any] | None) -> dict[str, str]:
    """Where the log is, with what is usual for the gateway, and the file's whole path; empty for none."""
    if not given:
        return {}
    usual = PLACES[given["gateway"]]
    named = {name: value for name, value in given.items() if value}
    return {**asdict(usual), **named, "dest": os.path.abspath(given["dest"])}


def _observer(module: Any, plan: ObserverPlan) -> Observer:
    """In the detached process: connections of its own, and what there is to follow."""
    api, clock = connect(module), Clock()
    return observer_of(api, Own(api, time.time, clock), plan, clock)


def _sight(module: Any) -> Sight:
    """The same in a process that observes for several: one connection for each kind and namespace."""
    api, clock = connect(module), Clock()
    return Sight(api, Shared(api, time.time, clock), clock)


def _cluster(params: Any) -> str:
    """What tells the cluster of one shared process from that of another."""
    return " ".join(str(params[option]) for option in ("host", "context") if params.get(option))
