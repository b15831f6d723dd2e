# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe in memory, as far as a driver can see it, and a load with a known truth: rollouts without a cluster.

The rules are those of KServe's controller as recorded on a real cluster (who gets which share while a
revision is not ready, when the rolled-out revision changes, what the status still says of the past).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.window import Answers, Counted
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import (
    advance,
    begin,
    sent,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.merge import merged
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import Plan, parse_plan
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen, Start
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import RolloutState
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import Done, Hold, Patch

OLD = {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://models/1"}}
NO_PODS = Pods()
NEW = {"model": {"storageUri": "gs://models/2"}}


def plan_of(**given: Any) -> Plan:
    """A plan for the InferenceService `iris` of these models."""
    return parse_plan(
        {
            "namespace": "default",
            "name": "iris",
            "change": NEW,
            "steps": [10, 50],
            "gates": [{"type": "losses", "max_rate": 0.05}],
            **given,
        }
    )


class Knative:
    """An InferenceService in Knative mode. `slow` seconds until a revision is ready, by its number; infinity
    for one that never is. The status is what was true `lag` seconds ago."""

    mode = "knative"

    def __init__(self, slow: Mapping[int, float] | None = None, lag: float = 0.5) -> None:
        self.now = 1000.0
        self.slow = dict(slow or {})
        self.lag = lag
        # What the webhooks, and the CRD's schema, make of spec.predictor.
        self.kept: Callable[[dict[str, Any]], dict[str, Any]] = lambda predictor: predictor
        self.spec: dict[str, Any] = {"predictor": copy.deepcopy(OLD)}
        self.generation = 1
        self.revisions: list[tuple[str, Any, float]] = []
        self.rolledout = self.previous = ""
        self.traffic: list[tuple[bool, str, int]] = []
        self.deleted_revisions: set[str] = set()
        self._statuses: list[tuple[float, dict[str, Any]]] = []
        self._ticks = 0
        for _unused in range(12):
            self.tick(1.0)

    def patch(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """What the API server does with a merge patch, the webhooks' defaults included."""
        spec = self.patched(patch)
        if spec != self.spec:
            self.spec, self.generation = spec, self.generation + 1
        return self.object()

    def patched(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """The spec as it would be."""
        spec = merged({"spec": self.spec}, patch)["spec"]
        return {**spec, "predictor": self.kept({"minReplicas": 1, **spec["predictor"]})}

    def tick(self, seconds: float) -> None:
        self.now += seconds
        predictor = {
            key: value for key, value in self.spec["predictor"].items() if key != "canaryTrafficPercent"
        }
        predictor.pop("minReplicas", None)
        if not self.revisions or self.revisions[-1][1] != predictor:
            number = len(self.revisions) + 1
            name = f"iris-predictor-{number:05d}"
            self.revisions.append((name, predictor, self.now + self.slow.get(number, 2.0)))
        self._reconcile()
        self._statuses.append((self.now, self._status()))
        self._ticks += 1

    @property
    def created(self) -> str:
        return self.revisions[-1][0]

    @property
    def ready(self) -> str:
        there = [name for name, _model, at in self.revisions if at <= self.now]
        return there[-1] if there else ""

    def _reconcile(self) -> None:
        percent, ready = self.spec["predictor"].get("canaryTrafficPercent"), self.ready
        if not ready:
            return
        if percent is not None and self.rolledout and percent < 100:
            self.traffic = [(True, ready, percent), (False, self.rolledout, 100 - percent)]
        else:
            self.traffic = [(True, ready, 100)]
        if self.traffic[0][2] == 100 and self.rolledout != ready:
            self.previous, self.rolledout = self.rolledout, ready
        elif self.rolledout == ready == self.created and self.traffic[0][2] < 100 and self.previous:
            # Shown for a moment with both entries on the bad one; the next reconcile has it right.
            self.rolledout = self.previous

    def _status(self) -> dict[str, Any]:
        settled = self.ready == self.created
        rows = [
            {"latestRevision": latest, "revisionName": name, "percent": percent}
            | ({} if latest else {"tag": "prev"})
            for latest, name, percent in self.traffic
        ]
        predictor = {
            "latestCreatedRevision": self.created,
            "latestReadyRevision": self.ready,
            "latestRolledoutRevision": self.rolledout,
            "previousRolledoutRevision": self.previous,
            "traffic": rows,
        }
        ready = "True" if settled else "Unknown"
        return {
            "components": {"predictor": predictor},
            "conditions": [{"type": "Ready", "status": ready}],
            "deploymentMode": "Knative",
        }

    def object(self) -> dict[str, Any]:
        while len(self._statuses) > 1 and self._statuses[1][0] <= self.now - self.lag:
            self._statuses.pop(0)
        at, status = self._statuses[0]
        told = status if at <= self.now - self.lag else {}
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": "iris", "namespace": "default", "uid": "uid-1", "generation": self.generation,
                "resourceVersion": str(self.generation * 1000 + self._ticks),
            },
            "spec": copy.deepcopy(self.spec),
            "status": copy.deepcopy(told),
        }  # fmt: skip

    def served(self) -> dict[str, float]:
        """Who gets which part of the traffic at this moment."""
        found: dict[str, float] = {}
        for _latest, name, percent in self.traffic:
            if percent:
                found[name] = found.get(name, 0.0) + percent / 100
        return found

    def seen(self, counted: Counted | None, pods: Pods = NO_PODS) -> Seen:
        there = "iris-predictor-00001" not in self.deleted_revisions
        return Seen(self.object(), baseline_there=there, pods=pods, counted=counted)


class Standard:
    """An InferenceService in Standard mode, with spec.canary and an HTTPRoute. Pods take `slow` seconds.

    `lost` counts the moments in which a backend of the route with a share had no pod.
    """

    mode = "standard"

    def __init__(self, replicas: int = 2, slow: float = 3.0, weights: bool = True) -> None:
        self.now = 1000.0
        self.slow = slow
        self.weights = weights
        self.spec: dict[str, Any] = {"predictor": {**copy.deepcopy(OLD), "minReplicas": replicas}}
        self.generation = 1
        self.pods: dict[str, list[float]] = {}
        self.route: dict[str, int] = {}
        self.lost: list[str] = []
        self.least = replicas
        for _unused in range(int(slow) + 5):
            self.tick(1.0)
        self.lost.clear()
        self.least = replicas

    def patch(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        spec = self.patched(patch)
        if spec != self.spec:
            self.spec, self.generation = spec, self.generation + 1
        return self.object()

    def patched(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """The spec as it would be."""
        return dict(merged({"spec": self.spec}, patch)["spec"])

    def _stable(self) -> str:
        name = self.spec["predictor"].get("name")
        return f"iris-{name}-predictor" if name else "iris-predictor"

    def _available(self, name: str) -> int:
        return len([at for at in self.pods.get(name, []) if at <= self.now])

    def tick(self, seconds: float) -> None:
        self.now += seconds
        canaries = self.spec.get("canary") or []
        wanted = {self._stable(): self.spec["predictor"].get("minReplicas") or 1}
        for row in canaries:
            name = f"iris-{row['predictor']['name']}-predictor"
            wanted[name] = row["predictor"].get("minReplicas") or 1
            if self._available(name):
                wanted[self._stable()] = max(1, wanted[self._stable()] - wanted[name])
        self.pods = {name: rows for name, rows in self.pods.items() if name in wanted}
        for name, number in wanted.items():
            rows = sorted(self.pods.get(name, []))[:number]
            self.pods[name] = rows + [self.now + self.slow] * (number - len(rows))
        shares = {}
        for row in canaries:
            name = f"iris-{row['predictor']['name']}-predictor"
            if self._available(name) and self.weights:
                shares[name] = row["trafficPercent"]
        self.route = {self._stable(): 100 - sum(shares.values()), **shares}
        self.lost += [name for name, share in self.route.items() if share and not self._available(name)]
        shared = {name: share for name, share in self.route.items() if share}
        self.least = min(self.least, sum(self._available(name) for name in shared))

    def object(self) -> dict[str, Any]:
        canaries = self.spec.get("canary") or []
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": "iris", "namespace": "default", "uid": "uid-1", "generation": self.generation,
                "resourceVersion": str(self.generation),
            },
            "spec": copy.deepcopy(self.spec),
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "deploymentMode": "Standard",
                # It says what the spec asks for, whatever the route does.
                "canaryStatuses": [
                    {"name": row["predictor"]["name"], "ready": True, "trafficPercent": row["trafficPercent"]}
                    for row in canaries
                ],
            },
        }  # fmt: skip

    def served(self) -> dict[str, float]:
        return {name: share / 100 for name, share in self.route.items() if share}

    def seen(self, counted: Counted | None, pods: Pods = NO_PODS) -> Seen:
        deployments = {
            name: {
                "metadata": {"generation": 1},
                "status": {"observedGeneration": 1, "availableReplicas": self._available(name)},
            }
            for name in self.pods
        }
        refs = [{"name": name, "weight": share} for name, share in self.route.items()]
        route = {
            "metadata": {"generation": 1},
            "spec": {"rules": [{"backendRefs": refs}]},
            "status": {
                "parents": [{"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 1}]}]
            },
        }
        return Seen(self.object(), route, deployments, None, pods, counted)


@dataclass
class Truth:
    """What one version really does: the part of its requests that it loses, and its median response time in
    seconds (log-normal, with `spread` as the logarithm's deviation)."""

    loses: float = 0.0
    median: float = 0.02
    spread: float = 0.4


@dataclass
class Load:
    """So many requests a second, open loop; each answered by who has the share at that moment, or had it
    `lag` seconds ago, where the gateway is slow to follow. For the first `congested` seconds a tenth of
    the answers takes up to 40 times as long, whoever gives them."""

    truths: Mapping[str, Truth]
    rate: float = 50.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    default: Truth = field(default_factory=Truth)
    counted: dict[str, list[Any]] = field(default_factory=dict)
    began: float = 1.0
    running: bool = True
    lag: float = 0.0
    congested: float = 0.0
    _past: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)

    def tick(self, served: Mapping[str, float], seconds: float = 1.0) -> None:
        served = self._followed(served, seconds)
        names = list(served)
        rng = self.rng
        for _unused in range(round(self.rate * seconds)):
            draw, name = rng.random(), names[-1]
            for each in names:
                draw -= served[each]
                if draw < 0:
                    name = each
                    break
            truth = self.truths.get(name, self.default)
            row = self.counted.setdefault(name, [0, 0, {}])
            row[0] += 1
            if truth.loses and rng.random() < truth.loses:
                row[1] += 1
            taken = truth.median * math.exp(truth.spread * rng.gauss(0.0, 1.0))
            if self._past[-1][0] < self.congested and rng.random() < 0.1:
                taken *= rng.uniform(1.0, 40.0)
            bound = _bucket(round(taken * 1e6))
            row[2][bound] = row[2].get(bound, 0) + 1

    def _followed(self, served: Mapping[str, float], seconds: float) -> Mapping[str, float]:
        now = self._past[-1][0] + seconds if self._past else 0.0
        self._past.append((now, dict(served)))
        while len(self._past) > 1 and self._past[1][0] <= now - self.lag:
            self._past.pop(0)
        return self._past[0][1]

    def at(self, now: float) -> Counted:
        names = {name: Answers(row[0], row[1], dict(row[2])) for name, row in self.counted.items()}
        return Counted(now, self.began, names, self.running)


def _bucket(value: int) -> int:
    """As the load's histogram counts them."""
    scale = 1
    while value >= 1000 * scale:
        scale *= 10
    return -(-value // scale) * scale


class Killed(Exception):
    """The driver, between two moments."""


Watch = Callable[[RolloutState, Any], None]


@dataclass
class Driver:
    """Drives a rollout in memory. `stored` is what the cluster keeps of it. `kill` is asked at each moment
    (`decided`, `stored`, `patched`) and raises Killed where the driver is to die."""

    plan: Plan
    cluster: Any
    load: Load | None = None
    pods: Callable[[], Pods] = lambda: Pods(1, 1)
    kill: Callable[[str], None] = lambda _moment: None
    watch: Watch = lambda _state, _action: None
    stored: dict[str, Any] | None = None
    earlier: Start | None = None
    patches: list[Any] = field(default_factory=list)

    def look(self) -> Any:
        """One look: decide, store, act."""
        counted = self.load.at(self.cluster.now) if self.load else None
        seen = self.cluster.seen(counted, self.pods())
        if self.stored is None:
            state = begin(self.plan, self.cluster.mode, seen, self.cluster.now, self.earlier)
        else:
            state = RolloutState.from_json(self.stored)
        state, action = advance(self.plan, state, seen, self.cluster.now)
        self.kill("decided")
        self.stored = state.to_json()
        self.kill("stored")
        if isinstance(action, Patch):
            self.patches.append(action.move)
            obj = self.cluster.patch(action.move.patch)
            self.kill("patched")
            self.stored = sent(state, obj).to_json()
        self.watch(state, action)
        return action

    def pass_time(self, seconds: float = 1.0) -> None:
        self.cluster.tick(seconds)
        if self.load is not None:
            self.load.tick(self.cluster.served(), seconds)

    def run(self, seconds: float = 5000.0, until_hold: bool = True) -> Any:
        """To its end, a hold, or so many seconds; a driver that was killed comes back a while later."""
        end = self.cluster.now + seconds
        while self.cluster.now < end:
            try:
                action = self.look()
            except Killed:
                self.pass_time(7.0)
                continue
            if isinstance(action, Done) or (until_hold and isinstance(action, Hold)):
                return action
            self.pass_time()
        return None

    @property
    def state(self) -> RolloutState:
        assert self.stored is not None
        return RolloutState.from_json(self.stored)
