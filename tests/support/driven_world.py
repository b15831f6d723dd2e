# SPDX-License-Identifier: GPL-3.0-or-later
"""The real driver, its Lease and its ConfigMap over a cluster in memory, whose time is the driver's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.driver import DriveEnd, Driver
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.evidence import Queries
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.lease import Lease
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.looker import Looker
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.store import RolloutStore
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import begin
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import Plan
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from ansible_collections.iter8.kfserving.tests.support.driven import plan_of
from ansible_collections.iter8.kfserving.tests.support.driven_api import DrivenApi

R1, R2 = "iris-predictor-00001", "iris-predictor-00002"
STEPS = [{"percent": 10, "seconds": 3}, {"percent": 50, "seconds": 3}]


def quick(**given: Any) -> Plan:
    return plan_of(**{"steps": STEPS, "gates": [{"type": "pods"}], **given})


def pod(restarts: int = 0, reason: str = "OOMKilled") -> dict[str, Any]:
    ended = {"lastState": {"terminated": {"reason": reason}}} if restarts else {}
    return {
        "metadata": {"name": "p", "uid": "p-1"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "restartCount": restarts, **ended}],
        },
    }


class World:
    """A cluster whose time is the drivers'. `between` may put something between a driver, by its name, and
    the API server; `prometheus` is the server that gates ask."""

    def __init__(self, cluster: Any, between: Callable[[str, Any], Any] | None = None) -> None:
        self.cluster = cluster
        self.api = DrivenApi(cluster)
        self.prometheus: Any = None
        self._between: Callable[[str, Any], Any] = between or (lambda _holder, api: api)
        self.api.pods = [pod()]
        self.clock = FakeClock()
        self.clock.on_sleep.append(lambda _now: self.tick())
        self.served: list[dict[str, float]] = []
        self._ticked = 0.0

    def tick(self) -> None:
        passed, self._ticked = self.clock.now - self._ticked, self.clock.now
        self.cluster.tick(passed)
        self.served.append(self.cluster.served())

    def lease(self, holder: str, api: Any = None) -> Lease:
        there: Any = self.api
        return Lease(
            api or there,
            namespace="default",
            name="iris-rollout",
            holder=holder,
            clock=self.clock,
            wall=lambda: self.clock.now,
            sleep=self.clock.sleep,
        )

    def store(self) -> RolloutStore:
        api: Any = self.api
        return RolloutStore(api, "default", "iris")

    def driver(self, plan: Plan, holder: str = "one") -> Driver:
        """One that holds the Lease, and goes on where the ConfigMap says, as the module does."""
        api = self._between(holder, self.api)
        lease, store = self.lease(holder, api), RolloutStore(api, "default", "iris")
        looker = Looker(
            api,
            namespace="default",
            name="iris",
            api_version="serving.kserve.io/v1beta1",
            clock=self.clock,
            load=lambda: None,
        )
        lease.acquire(lambda _text: None)
        kept = store.load()
        if kept is None:
            seen = looker.look(self.cluster.mode, "", R1)
            state = begin(plan, self.cluster.mode, seen, self.clock.now)
            store.begin(plan, state)
        else:
            state = kept.state
        return Driver(
            api=api,
            plan=plan,
            state=state,
            store=store,
            lease=lease,
            looker=looker,
            queries=Queries(plan.judges, self.prometheus, self.clock),
            progress=Progress(None, self.clock),
            clock=self.clock,
            now=self.clock,
            sleep=self.clock.sleep,
        )

    def drive(self, plan: Plan, holder: str = "one", **options: Any) -> DriveEnd:
        given = {"deadline": self.clock.now + 3000, "hold_seconds": 0.0, "until_step": False, **options}
        return self.driver(plan, holder).drive(**given)
