# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout's plan and state in a ConfigMap, and what people ask of it from other terminals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import (
    Plan,
    PlanError,
    parse_plan,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import RolloutState

from ..client.api import Api, Json, find
from ..client.errors import ClusterError, Conflict


@dataclass(frozen=True)
class Request:
    """What a person asks: ``what`` is one of paused, resumed, promoted, aborted; ``id`` tells it from the
    last one."""

    id: str
    what: str
    who: str


@dataclass(frozen=True)
class Kept:
    """What the cluster keeps of a rollout."""

    plan: Plan
    state: RolloutState
    request: Request | None


class RolloutStore:
    """The ConfigMap. Only who holds the Lease writes plan and state; anybody may write a request.

    A state is kept only in the place of what was read last: so who was suspended meanwhile does not overwrite
    what another driver has kept.
    """

    def __init__(self, api: Api, namespace: str, name: str, owner: Json | None = None) -> None:
        """``name`` is the InferenceService's; ``owner`` an owner reference to it."""
        self.name = f"{name}-rollout"
        self._api = api
        self._folder = api.resource("v1", "ConfigMap").path(namespace)
        self._path = f"{self._folder}/{self.name}"
        self._metadata: Json = {
            "name": self.name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "iter8.kfserving"},
        }
        if owner:
            self._metadata["ownerReferences"] = [owner]
        # Of what was read or written last.
        self._version = ""

    def load(self) -> Kept | None:
        """What is kept, None where nothing is. ClusterError where it cannot be read: it stays as it is."""
        try:
            data = self._data()
            if data is None:
                return None
            return Kept(
                parse_plan(json.loads(data["plan"])),
                RolloutState.from_json(json.loads(data["state"])),
                _request(data),
            )
        except (KeyError, TypeError, ValueError, PlanError) as error:
            raise ClusterError(
                f"The state of the rollout in ConfigMap {self.name} cannot be read "
                f"({type(error).__name__}: {error}). Nothing was changed. Bring the traffic where you want "
                "it, then delete that ConfigMap."
            ) from None

    def request(self) -> Request | None:
        """What was asked last. What else is kept is not read: who drives knows it, whatever became of it."""
        try:
            return _request(self._data() or {})
        except (TypeError, ValueError):
            return None

    def _data(self) -> dict[str, Any] | None:
        """What is kept must not be taken for nothing, so None only where that is certain."""
        found = find(self._api, self._path)
        return None if found is None else self._noted(found).get("data") or {}

    def _noted(self, found: Json) -> Json:
        self._version = str(found["metadata"]["resourceVersion"])
        return found

    def begin(self, plan: Plan, state: RolloutState) -> None:
        """Keeps a new rollout, in the place of one that is over."""
        data = {"plan": json.dumps(plan.to_json()), "state": json.dumps(state.to_json())}
        definition = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self._metadata,
            "data": data,
        }
        try:
            self._noted(self._api.create(self._folder, definition))
        except Conflict:
            self._noted(self._api.merge(self._path, {"data": {**data, "request": None}}))

    def save(self, state: RolloutState) -> None:
        """Keeps the state. Conflict where something was written since it was read: a request, or by another
        driver."""
        metadata = {"resourceVersion": self._version}
        body = {"metadata": metadata, "data": {"state": json.dumps(state.to_json())}}
        self._noted(self._api.merge(self._path, body))

    def ask(self, request: Request) -> None:
        """Leaves a request for whoever drives. NotFound where there is no rollout."""
        asked = {"id": request.id, "what": request.what, "who": request.who}
        self._api.merge(self._path, {"data": {"request": json.dumps(asked)}})


def _request(data: dict[str, Any]) -> Request | None:
    request = json.loads(data.get("request") or "null")
    return Request(**request) if request else None
