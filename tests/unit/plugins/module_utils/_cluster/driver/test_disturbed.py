# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of request answered wrongly, for 20 s or for good, at every moment of a rollout.

The combinations are thousands, so each run takes one of so many: DISTURBED_EVERY=1 takes all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.driver import DriveEnd
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.evidence import Prometheus
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.lease import HeldByAnother
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.store import Request
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import BACK, RolloutState
from ansible_collections.iter8.kfserving.tests.support.driven import Knative, Standard
from ansible_collections.iter8.kfserving.tests.support.driven_api import DrivenApi
from ansible_collections.iter8.kfserving.tests.support.driven_wire import STATUSES, Wire
from ansible_collections.iter8.kfserving.tests.support.driven_world import World, pod, quick

EVERY = int(os.environ.get("DISTURBED_EVERY", "29"))
WHILE, FOR_GOOD = 20.0, float("inf")
GATES = [
    {"type": "pods"},
    {"type": "query", "query": "errors", "max": 1, "interval": 1, "successes": 2},
]
STEP = {"seconds": 3, "deadline": 60}

# What may go wrong with any request, and with some.
ANY = [*STATUSES, "refused", "no JSON", "{}"]
ANSWERS = {
    "GET inferenceservices": [*ANY, "of before", "deleted", "another one"],
    "PATCH inferenceservices": [*ANY, "lost"],
    "GET leases": [*ANY, "of before"],
    "PUT leases": [*ANY, "lost"],
    "GET configmaps": [*ANY, "of before"],
    "PATCH configmaps": [*ANY, "lost"],
    "GET pods": ANY,
    "GET events": ANY,
    "GET revisions": [*ANY, "deleted"],
    "GET httproutes": [*ANY, "deleted"],
    "GET deployments": ANY,
    "GET prometheus": ["500", "503", "401", "refused", "no JSON", "{}"],
    "every request": ANY,
    "the Lease is deleted": [""],
    "the ConfigMap is deleted": [""],
}
ALL = tuple(kind for kind in ANSWERS if kind.startswith(("GET", "P")))
# It does not come back as it was.
ENDS_IT = ("deleted", "another one")
UNHEARD = ("GET configmaps", "of before")
REFUSALS = ("400", "403", "422")


@dataclass(frozen=True)
class Moment:
    """When it begins, whether the canary's pod is killed from the first gate on, what a person asks then,
    whether the first step has a pause, and the outcome if it passes."""

    when: Callable[[RolloutState], bool]
    outcome: str
    bad: bool = False
    asks: str = ""
    pause: bool = False


def _at_gate(state: RolloutState) -> bool:
    return state.track != BACK and state.move == 1 and state.reached is not None


def _at_hold(state: RolloutState) -> bool:
    return state.stopped_at is not None


MOMENTS = {
    "at the first patch": Moment(lambda _state: True, "promoted"),
    "at the second one": Moment(lambda state: state.move == 1 and state.begun is not None, "promoted"),
    "at a gate": Moment(_at_gate, "promoted"),
    "as it turns bad": Moment(_at_gate, "rolled_back", bad=True),
    "on the way back": Moment(lambda state: state.track == BACK, "rolled_back", bad=True),
    "at the promotion": Moment(lambda state: state.move == 3, "promoted"),
    "during a hold": Moment(_at_hold, "held", pause=True),
    "as it is aborted": Moment(_at_gate, "rolled_back", asks="aborted"),
    "as it is paused": Moment(_at_gate, "held", asks="paused"),
    "as it is resumed": Moment(_at_hold, "promoted", asks="resumed", pause=True),
}


def cases() -> Iterator[tuple[str, str, str, float]]:
    for moment, told in MOMENTS.items():
        for kind, answers in ANSWERS.items():
            for answer in answers:
                for seconds in (WHILE, FOR_GOOD):
                    again = seconds == FOR_GOOD or answer not in ENDS_IT
                    # Neither has the request.
                    unheard = kind == "the ConfigMap is deleted" or (kind, answer) == UNHEARD
                    if again and not (told.asks and unheard):
                        yield moment, kind, answer, seconds


class Disturbed(World):
    """One rollout with one disturbance."""

    def __init__(self, moment: Moment, kind: str, answer: str, seconds: float) -> None:
        standard = kind in ("GET httproutes", "GET deployments")
        super().__init__(Standard() if standard else Knative(), self._wired)
        self.moment, self.kind, self.answer, self.seconds = moment, kind, answer, seconds
        self.plan = quick(
            gates=GATES, steps=[{"percent": 10, "pause": moment.pause, **STEP}, {"percent": 50, **STEP}]
        )
        self.before = self.cluster.served()
        self.wire: Any = None
        self.clock.on_sleep.append(self._turn_bad)
        self.one = self.driver(self.plan)
        self._disturb(self.wire)

    def _wired(self, holder: str, api: DrivenApi) -> Api:
        self.wire = Wire(holder, api, self.clock)
        self.prometheus = Prometheus("http://p")
        self.prometheus._opener = self.wire
        return Api(self.wire, deadline=0.0)

    def _turn_bad(self, _now: float) -> None:
        if self.moment.bad and _at_gate(self.one.state):
            self.api.pods[0] = pod(2)

    def _disturb(self, wire: Wire) -> None:
        wire.kinds = ALL if self.kind == "every request" else (self.kind,)
        wire.wrongly, wire.seconds = self.answer, self.seconds
        wire.when = lambda: self.moment.when(self.one.state)
        wire.begin = self._begin

    def _begin(self) -> None:
        if self.moment.asks:
            self.store().ask(Request("r-1", self.moment.asks, "somebody"))
        if self.kind.endswith("is deleted"):
            plural = "/leases/" if "Lease" in self.kind else "/configmaps/"
            self.api.objects = {path: each for path, each in self.api.objects.items() if plural not in path}

    def first(self) -> DriveEnd | ClusterError:
        """How the driver ends that was disturbed."""
        seconds = 150.0 if self.seconds == FOR_GOOD else 400.0
        try:
            return self.one.drive(self.clock.now + seconds, 40.0, False)
        except ClusterError as error:
            return error

    def go_on(self) -> RolloutState:
        """To the end, by others, and by a person where it is held."""
        for number in range(4):
            kept = self.store().load()
            if kept is None or kept.state.outcome:
                break
            if kept.state.hold or kept.state.paused or kept.state.stopped_at:
                self.store().ask(Request(f"go-on-{number}", "resumed", "somebody"))
            self.drive(self.plan, f"next-{number}", deadline=self.clock.now + 400)
            for _unused in range(16):
                self.clock.sleep(1.0)
        kept = self.store().load()
        assert kept is not None
        return kept.state

    def share(self) -> float:
        """The canary's greatest one."""
        return max(1 - each.get(next(iter(self.before)), 0.0) for each in self.served)


TABLE = list(cases())[::EVERY]


@pytest.mark.parametrize(("moment", "kind", "answer", "seconds"), TABLE)
def test_whatever_is_answered(moment: str, kind: str, answer: str, seconds: float) -> None:
    told = MOMENTS[moment]
    world = Disturbed(told, kind, answer, seconds)
    end = world.first()
    assert str(end) if isinstance(end, ClusterError) else end.message
    told_of = [each for each in world.one._progress.entries if each["event"] in ("connection", "refused")]
    # Not each second anew.
    assert len(told_of) <= 10
    if isinstance(end, ClusterError):
        # Only where nothing was changed yet.
        assert not isinstance(end, HeldByAnother)
        assert world.api.patches == []
        return
    if answer in ENDS_IT and "inferenceservices" in kind:
        assert end.outcome in ("abandoned", told.outcome)
        return
    if moment == "at the first patch" and end.outcome == "abandoned":
        assert (kind, world.cluster.served()) == ("PATCH inferenceservices", world.before)
        assert answer in REFUSALS
        return
    if seconds == WHILE:
        assert end.outcome == told.outcome
    elif end.outcome == "timeout" and answer in STATUSES:
        assert STATUSES[answer] in end.message
    world.wire.seconds = 0.0
    final = world.go_on()
    outcome = "promoted" if told.outcome == "held" else told.outcome
    assert final.outcome == outcome
    if outcome == "rolled_back":
        assert world.cluster.served() == world.before
        assert world.share() <= 0.1 + 1e-9
    else:
        passed = [each["percent"] for each in final.history if each["what"] == "passed"]
        assert passed == [10, 50]
        assert len(world.cluster.served()) == 1


def test_one_that_could_not_renew_its_lease_gives_way_to_who_took_it() -> None:
    world = Disturbed(MOMENTS["as it turns bad"], "PUT leases", "403", 30.0)
    world.clock.on_sleep.append(lambda now: world.lease("two").acquire(print) if now == 36.0 else None)
    began = len(world.api.patches)
    end = world.first()
    assert isinstance(end, HeldByAnother)
    assert "two holds the Lease" in str(end)
    assert [row["spec"]["predictor"]["canaryTrafficPercent"] for row in world.api.patches[began:]] == [0, 10]
    for _unused in range(16):
        world.clock.sleep(1.0)
    assert world.go_on().outcome == "rolled_back"
    assert world.cluster.served() == world.before


def test_every_kind_and_moment_is_among_them() -> None:
    assert {row[0] for row in TABLE} == set(MOMENTS)
    assert {row[1] for row in TABLE} | {"the Lease is deleted", "the ConfigMap is deleted"} == set(ANSWERS)
