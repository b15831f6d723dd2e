# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a container: every transition of the table, and none besides."""

from __future__ import annotations

import json
from typing import Callable, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import facts
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.facts import (
    BACK_OFF,
    CREATING,
    TRANSITIONS,
    ContainerFacts,
    Running,
    State,
    Terminated,
    Waiting,
    pause_after,
    restarts_after,
)

UP = Running(10.0)
BAD = Terminated(3, "Error", 10.0, 20.0)
STATES: list[State] = [Waiting(CREATING), UP, BAD]
HAPPENS: dict[str, Callable[[ContainerFacts], ContainerFacts]] = {
    "refused": lambda one: one.refused("ErrImagePull", "no"),
    "named": lambda one: one.named("pod-u-a-0"),
    "started": lambda one: one.started(30.0, ready=True),
    "not_started": lambda one: one.not_started("no such program", 30.0),
    "lost": lambda one: one.lost(30.0),
    "probed": lambda one: one.probed(True),
    "ended": lambda one: one.ended(0, 30.0),
    "again": lambda one: one.again("container=a"),
    "pause_over": lambda one: one.pause_over(),
}


@pytest.mark.parametrize("event", HAPPENS)
@pytest.mark.parametrize("state", STATES)
def test_the_table_says_what_can_happen(state: State, event: str) -> None:
    one, after = ContainerFacts(state), TRANSITIONS.get((type(state), event))
    if after is None:
        with pytest.raises(RuntimeError):
            HAPPENS[event](one)
    else:
        assert type(HAPPENS[event](one).state) is after


def test_the_table_has_no_event_that_never_happens() -> None:
    assert {event for _state, event in TRANSITIONS} == set(HAPPENS)


def test_the_table_is_the_one_that_the_docstring_shows() -> None:
    shown = {
        tuple(line.split()[:3]) for line in (facts.__doc__ or "").splitlines() if line.startswith("    ")
    }
    assert shown == {
        (before.__name__, event, after.__name__) for (before, event), after in TRANSITIONS.items()
    }


@pytest.mark.parametrize("ready", [True, False])
def test_only_what_runs_is_ready(ready: bool) -> None:
    one = ContainerFacts().named("pod-u-a-0").started(10.0, ready)
    assert one.ready is ready
    assert one.probed(True).ready
    assert not one.probed(True).ended(0, 20.0).ready


@pytest.mark.parametrize(
    ("one", "code", "ended"),
    [
        (ContainerFacts(UP), 0, Terminated(0, "Completed", 10.0, 30.0)),
        (ContainerFacts(UP), 3, Terminated(3, "Error", 10.0, 30.0)),
        (ContainerFacts(UP), None, Terminated(137, "ContainerStatusUnknown", 10.0, 30.0, "told")),
    ],
)
def test_how_a_run_ended(one: ContainerFacts, code: Optional[int], ended: Terminated) -> None:
    found = one.ended(code, 30.0).state
    assert isinstance(found, Terminated)
    assert (found.exit_code, found.reason, found.started_at, found.finished_at) == (
        ended.exit_code,
        ended.reason,
        10.0,
        30.0,
    )
    assert bool(found.message) is bool(ended.message)


def test_runs_are_counted_and_paused_between() -> None:
    one = ContainerFacts(BAD).again("container=a pod=p_n(u)")
    assert (one.state, one.last, one.restarts, one.pausing_until) == (Waiting(CREATING), BAD, 1, None)

    again = ContainerFacts(BAD, BAD, 1, pause=one.pause).again("container=a pod=p_n(u)")
    text = "back-off 10s restarting failed container=a pod=p_n(u)"
    assert (again.state, again.restarts, again.pausing_until) == (Waiting(BACK_OFF, text), 1, 30.0)

    over = again.pause_over()
    assert (over.state, over.last, over.restarts, over.pausing_until) == (Waiting(CREATING), BAD, 2, None)
    # A node that is killed between a name and its process makes no run of it that never was.
    assert over.named("pod-u-a-2").named("pod-u-a-2").restarts == 2


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policy(policy: str, code: int, again: bool) -> None:
    assert restarts_after(policy, code) is again
    assert ContainerFacts(Terminated(code, "x", 1.0, 2.0)).over(policy) is not again


def test_what_has_not_ended_is_not_over() -> None:
    assert not ContainerFacts(UP).over("Never")


def test_back_off_doubles_to_five_minutes_and_is_forgiven_after_ten() -> None:
    pauses, pause = [], -1.0
    for ran in [1.0] * 8 + [599.0, 600.0, 1.0]:
        pause = pause_after(pause, ran)
        pauses.append(pause)
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300, 0, 10]


@pytest.mark.parametrize("state", [UP, BAD, Waiting(BACK_OFF, "back-off 10s")])
def test_facts_survive_the_disk(state: State) -> None:
    one = ContainerFacts(state, BAD, 4, True, "pod-1", 20.0)
    assert ContainerFacts.from_json(json.loads(json.dumps(one.to_json()))) == one
