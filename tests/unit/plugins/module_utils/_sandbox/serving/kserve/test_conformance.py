# SPDX-License-Identifier: GPL-3.0-or-later
"""The KServe stack takes the ways that real clusters took: see `tests/support/conformance.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.resources import (
    CONFIGURATIONS,
    Kind,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.kserve import (
    gateway_api,
    knative_mode,
    route,
    standard_mode,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving.kserve.objects import (
    Delete,
    SeenObjects,
)
from ansible_collections.iter8.kfserving.tests.support.conformance import (
    DATA,
    NAME,
    PASSING,
    Json,
    State,
    replay,
    segments,
    state_of,
)
from ansible_collections.iter8.kfserving.tests.support.kserve_memory import PASS_SECONDS, Memory

RECORDINGS = sorted(DATA.glob("*.jsonl"))


class InMemory:
    """The stack on an API server that is kept in memory."""

    def __init__(self, pass_seconds: float) -> None:
        self.states: list[State] = []
        self.memory = Memory(self._changed, pass_seconds)

    def _changed(self, how: str, kind: Kind, obj: Json) -> None:
        state = state_of(how, {"apiVersion": kind.api_version, "kind": kind.name, **obj})
        if state is not None:
            self.states.append(state)

    def apply(self, spec: Json, annotations: Mapping[str, str]) -> None:
        self.states.clear()
        self.memory.apply(NAME, spec, annotations)

    def follow(self, reached: Callable[[Sequence[State]], bool], seconds: float) -> list[State]:
        self.memory.run(seconds or 60)
        return list(self.states)


@pytest.fixture
def target() -> InMemory:
    return InMemory(PASS_SECONDS)


def replayed(name: str, target: InMemory) -> list[str]:
    if name == "standard-canary-in-0.20.0":
        target.memory.faults["kserve-unweighted"] = ""
    return replay(DATA / f"{name}.jsonl", target)


@pytest.mark.parametrize("seconds", [PASS_SECONDS, 0.2], ids=["idle", "busy"])
@pytest.mark.parametrize("name", [path.stem for path in RECORDINGS])
def test_a_recorded_rollout_takes_the_same_way(name: str, seconds: float) -> None:
    assert replayed(name, InMemory(seconds)) == []


def kind_to_the_rejected(service: Any) -> list[Json]:
    """As one may think that it is: a canary's share is held back until its own revision is ready."""
    predictor = service.get("status", {}).get("components", {}).get("predictor", {})
    percent = service["spec"]["predictor"].get("canaryTrafficPercent")
    rolled_out = predictor.get("latestRolledoutRevision")
    if percent and rolled_out and predictor.get("latestReadyRevision") != rolled_out:
        percent = 0
    if percent is None or not rolled_out:
        return [{"latestRevision": True, "percent": 100}]
    rest = {"latestRevision": False, "percent": 100 - percent, "revisionName": rolled_out, "tag": "prev"}
    return [{"latestRevision": True, "percent": percent}, *([rest] if percent < 100 else [])]


def never_back(child: Any, rolled_out: str, previous: str) -> tuple[str, str]:
    made = ROLLED(child, rolled_out, previous)
    return (rolled_out, previous) if made[0] == previous else made


def forward_at_once(child: Any, rolled_out: str, previous: str) -> tuple[str, str]:
    ready = child.get("latestReadyRevisionName", "")
    return (ready, rolled_out) if ready and ready != rolled_out else (rolled_out, previous)


def deletes_last(*arguments: Any) -> list[Any]:
    """In one pass, and what is no longer named after all else."""
    service, seen, *rest = arguments
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeenObjects, "children", lambda *_unused: [])
        changes: list[Any] = RECONCILE(service, seen, *rest)
    orphans = RECONCILE(service, seen, *rest)
    return changes + [change for change in orphans if isinstance(change, Delete)]


def never_shrinks(*arguments: Any) -> list[Any]:
    stable, *canaries = PARTS(*arguments)
    return [dataclasses.replace(stable, replicas=stable.predictor["minReplicas"]), *canaries]


def newest_made(*arguments: Any) -> Any:
    made = TARGETS(*arguments)
    (configuration,) = arguments[1].objects[CONFIGURATIONS]
    newest = configuration["status"]["latestCreatedRevisionName"] if made else ""
    return made and [{**e, "revisionName": newest} if e["latestRevision"] else e for e in made]


ROLLED, RECONCILE, PARTS = knative_mode.rolled, standard_mode.reconcile, standard_mode.parts
TARGETS = route.targets
MUTANTS = {
    "the rejected gets nothing": (knative_mode, "traffic", kind_to_the_rejected, "knative-reject-then-next"),
    "no roll-back": (knative_mode, "rolled", never_back, "knative-rollback-after-promotion"),
    "any share is rolled out": (knative_mode, "rolled", forward_at_once, "knative-promote"),
    "routes to what is not ready": (route, "targets", newest_made, "knative-never-ready"),
    "deletes last": (standard_mode, "reconcile", deletes_last, "standard-naive"),
    "keeps the stable's pods": (standard_mode, "parts", never_shrinks, "standard-rollback"),
    "a gateway that says nothing": (gateway_api, "accepted", lambda *_unused: [], "standard-rollback"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_another_rule_takes_another_way(
    mutant: str, target: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above can fail: here with rules that KServe does not have."""
    where, name, rule, recording = MUTANTS[mutant]
    monkeypatch.setattr(where, name, rule)
    assert replayed(recording, target) != []


def test_weights_that_do_not_come_are_noticed(target: InMemory) -> None:
    target.memory.faults["kserve-unweighted"] = ""
    assert replay(DATA / "standard-rollback.jsonl", target) != []


def test_what_may_pass_is_seen_in_a_recording() -> None:
    """No rule of the table stands there for the sandbox's sake alone."""
    used = set()
    for path in RECORDINGS:
        for segment in segments(path)[1]:
            for number, state in enumerate(segment.states):
                before = next((s for s in reversed(segment.states[:number]) if type(s) is type(state)), None)
                after = [s for s in segment.states[number + 1 :] if type(s) is type(state)]
                used |= {name for name, (_reason, passes) in PASSING.items() if passes(state, before, after)}
    assert used == set(PASSING)
