# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the module progressive_rollout: its options, and all that it works with."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.spec import DEFAULT_GATES
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    inferenceservice as inferenceservices,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.account import summary
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import (
    Plan,
    PlanError,
    parse_plan,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import RolloutState

from ..client.api import Api, Json
from ..client.auth import connect
from ..client.errors import BadRequest, ClusterError, Conflict, Forbidden, Unreachable
from ..client.kinds import inferenceservice_kind
from .driver import Driver
from .evidence import Prometheus, Queries, counted
from .lease import Lease
from .looker import Looker
from .store import RolloutStore

# A silent API server must not outlast the Lease.
ANSWER_SECONDS = 5.0
_MOST_PATCHES_BACK = 3
_PLAN_OPTIONS = (
    "steps", "on_failure", "on_inconclusive", "promote", "deadline", "ready_timeout", "settle", "canary_name",
    "error_rates", "names",
)  # fmt: skip


class Run:
    """One run of the module."""

    def __init__(self, module: Any) -> None:
        self.params: Mapping[str, Any] = module.params
        self.check_mode = bool(module.check_mode)
        self.namespace, self.name = str(self.params["namespace"]), str(self.params["name"])
        self.progress = Progress(None if self.check_mode else self.params["progress_file"], time.time)
        self.timeout = _timeout(self.params)
        self.deadline = time.monotonic() + self.timeout
        self.holder = str(self.params["holder"] or f"{socket.gethostname()}/{os.getppid()}")
        self.playbook = str(self.params["playbook"] or "")
        self.identity = f"{self.holder}/{secrets.token_hex(3)}"
        self._prometheus = _prometheus(self.params["prometheus"])
        self.api: Api = connect(module, deadline=self.deadline).with_time_limit(ANSWER_SECONDS)
        kind = inferenceservice_kind(self.api, self.params["api_version"], self.namespace, self.name)
        self.looker = Looker(
            self.api,
            namespace=self.namespace,
            name=self.name,
            api_version=kind.api_version,
            clock=time.monotonic,
            load=self._counted,
        )
        self.first = self.looker.look("", "", "")
        owner = owner_of(self.first)
        self.store = RolloutStore(self.api, self.namespace, self.name, owner)
        self._owner_reference = owner

    def _counted(self) -> Any:
        name = self.params["load_test"]
        return counted(self.params["load_state_dir"], name, time.time()) if name else None

    def lease(self) -> Lease:
        return Lease(
            self.api,
            namespace=self.namespace,
            name=self.store.name,
            holder=self.identity,
            clock=time.monotonic,
            wall=time.time,
            sleep=time.sleep,
            owner=self._owner_reference,
            playbook=self.playbook,
        )

    def say(self, text: str) -> None:
        self.progress.add("driver", "waiting", text)

    def plan(self) -> Plan:
        """The plan that the options make. Raises ClusterError for one that makes no sense."""
        given = {key: self.params[key] for key in _PLAN_OPTIONS if self.params.get(key) is not None}
        gates = self.params["gates"] if self.params["gates"] is not None else DEFAULT_GATES
        change = self.params["predictor"] or {}
        try:
            return parse_plan(
                {
                    **given,
                    "gates": list(gates),
                    "namespace": self.namespace,
                    "name": self.name,
                    "change": change,
                }
            )
        except PlanError as error:
            raise ClusterError(f"{error} Nothing was changed.") from None

    def look(self, mode: str) -> Seen:
        """As refusals need it: with the route and the baseline's revision."""
        serving = inferenceservices.read(self.first.inferenceservice).revisions.serving
        seen = self.looker.look(mode, "", serving)
        if seen.unseen:
            raise ClusterError(f"{seen.unseen} Nothing was changed.")
        return seen

    def would_be(self, plan: Plan) -> Json | None:
        """The InferenceService with the new version, as the API server would keep it; None where that is not
        told: KFServing's webhooks allow no dry run, and what is refused is told by the patch itself, which is
        sent again where a webhook does not answer for a while."""
        try:
            return self.api.merge(self.looker.path, {"spec": {"predictor": plan.change}}, dry_run=True)
        except (BadRequest, Conflict, Forbidden, Unreachable):
            return None

    def driver(self, plan: Plan, state: RolloutState, lease: Lease) -> Driver:
        return Driver(
            api=self.api,
            plan=plan,
            state=state,
            store=self.store,
            lease=lease,
            looker=self.looker,
            queries=Queries(plan.judges, self._prometheus, time.monotonic),
            progress=self.progress,
            clock=time.monotonic,
            now=time.time,
            sleep=time.sleep,
        )

    def result(
        self, plan: Plan, state: RolloutState | None, outcome: str, message: str, *, changed: bool
    ) -> dict[str, Any]:
        """What the module returns."""
        return {
            "changed": changed,
            "outcome": outcome,
            "message": message,
            "driver": summary(plan, state) if state else {},
            "transitions": self.progress.entries,
        }


def _timeout(params: Mapping[str, Any]) -> float:
    """How many seconds the task may take: with what no user says the way back, which begins at the rollout's
    deadline at the latest, is not left half gone."""
    if params["timeout"] is not None:
        return float(params["timeout"])
    way_back = _MOST_PATCHES_BACK * float(params["ready_timeout"])
    return float(params["deadline"]) + float(params["hold_seconds"]) + way_back


def _prometheus(given: Mapping[str, Any] | None) -> Prometheus | None:
    """The server that the option names, before anything is changed: ClusterError where it cannot be asked."""
    if not given:
        return None
    try:
        return Prometheus(str(given["url"]), given.get("token"), given.get("ca_file"))
    except (OSError, ValueError) as error:
        raise ClusterError(f"prometheus: {error}") from None


def owner_of(seen: Seen) -> Json | None:
    """The InferenceService as the owner of what is kept of its rollout: that goes with it."""
    obj = seen.inferenceservice
    if obj is None:
        return None
    return {
        "apiVersion": obj["apiVersion"],
        "kind": "InferenceService",
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
    }


def ago(state: RolloutState) -> str:
    seconds = max(0.0, time.time() - state.started)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def by(state: RolloutState) -> str:
    return f" by {state.playbook}" if state.playbook else ""
