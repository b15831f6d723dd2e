# SPDX-License-Identifier: GPL-3.0-or-later
"""What people ask of a rollout, and how long it waits for them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan import turn
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import ask
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import Plan
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import (
    ABORT,
    BACK,
    PAUSED,
    PROMOTE,
    PROMOTED,
    RESUMED,
    ROLLED_BACK,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import Done, Hold, Wait
from ansible_collections.iter8.kfserving.tests.support.driven import (
    Driver,
    Killed,
    Knative,
    Standard,
    plan_of,
)

R1, R2 = "iris-predictor-00001", "iris-predictor-00002"


def quick(**given: Any) -> Plan:
    """A plan that only time and pods hold up."""
    steps = [{"percent": 10, "seconds": 3}, {"percent": 50, "seconds": 3}]
    return plan_of(**{"steps": steps, "gates": [{"type": "pods"}], **given})


def say(driver: Driver, *asked: str) -> None:
    for what in asked:
        seen = driver.cluster.seen(None)
        state = ask(driver.plan, driver.state, seen, what, who="me", now=driver.cluster.now)
        driver.stored = state.to_json()


def at_first_split(driver: Driver) -> None:
    while driver.stored is None or driver.state.move < 1 or driver.state.reached is None:
        driver.look()
        driver.pass_time()


@pytest.mark.parametrize("asked", [RESUMED, PROMOTE])
def test_what_the_deadline_held_goes_on_once_a_person_says_so(asked: str) -> None:
    steps = [{"percent": 10, "seconds": 3, "answers": 1}]
    driver = Driver(quick(steps=steps, deadline=60, on_failure="hold"), Knative())
    assert driver.run() == Hold("not over after 60 s")
    say(driver, asked)
    # The deadline begins anew: what is promoted ends within it, and what takes longer is held by it again.
    driver.run(seconds=50)
    assert not driver.state.hold
    assert driver.state.outcome == (PROMOTED if asked == PROMOTE else "")
    assert asked == PROMOTE or driver.run() == Hold("not over after 60 s")


def test_a_canary_that_was_held_since_it_was_not_ready_has_its_time_again() -> None:
    driver = Driver(quick(ready_timeout=60, on_failure="hold"), Knative(slow={2: 90.0}))
    action = driver.run()
    assert isinstance(action, Hold)
    assert action.why.endswith("is not ready yet, after 60 s")
    say(driver, RESUMED)
    assert driver.run() == Done(PROMOTED)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"steps": [{"percent": 10, "seconds": 2, "pause": True}]},
            "the pause after 10 % waits for a person",
        ),
        ({"promote": "manual"}, "the promotion waits for a person"),
    ],
)
def test_a_person_may_take_longer_than_the_deadline(given: dict[str, Any], why: str) -> None:
    driver = Driver(quick(deadline=60, **given), Knative())
    assert driver.run() == Hold(why)
    driver.run(seconds=200, until_hold=False)
    assert driver.look() == Hold(why)
    say(driver, RESUMED)
    assert driver.run() == Done(PROMOTED)


@pytest.mark.parametrize("cluster", [Knative, Standard])
def test_a_canary_that_turns_bad_before_it_is_promoted_by_hand_goes_back(cluster: Any) -> None:
    pods = [Pods(1, 1)]
    driver = Driver(quick(promote="manual"), cluster(), pods=lambda: pods[0])
    before = driver.cluster.served()
    assert driver.run() == Hold("the promotion waits for a person")
    # Nor has it everything before, in any mode.
    assert max(driver.cluster.served().values()) == 0.5
    driver.run(seconds=20, until_hold=False)
    pods[0] = Pods(1, 1, 1)
    assert driver.run(until_hold=False) == Done(ROLLED_BACK)
    assert driver.cluster.served() == before


def test_a_gate_that_changes_its_mind_for_days_does_not_fill_the_configmap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a pod that is ready every other moment, until a person comes. What is full cannot go back."""
    monkeypatch.setattr(turn, "MOST_NOTED", 40)
    pods = [Pods(1, 1), Pods(1, 0)]
    driver = Driver(quick(promote="manual"), Knative(), pods=lambda: pods[int(driver.cluster.now) % 2])
    driver.run(seconds=300, until_hold=False)
    assert len(driver.state.history) < 60
    pods[:] = [Pods(1, 1, 1)] * 2
    assert driver.run(until_hold=False) == Done(ROLLED_BACK)
    assert [each["verdict"] for each in driver.state.history if each["what"] == "gate"][-1] == "fail"


@pytest.mark.parametrize("cluster", [Knative, Standard])
@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"percent": 100}, "the promotion waits for a person"),
        ({"percent": 50, "pause": True}, "the pause after 50 % and the promotion wait for a person"),
    ],
)
def test_a_promotion_by_hand_is_asked_for_once(cluster: Any, step: dict[str, Any], why: str) -> None:
    driver = Driver(quick(promote="manual", steps=[{"seconds": 1, **step}]), cluster())
    assert driver.run() == Hold(why)
    assert max(driver.cluster.served().values()) == (1.0 if step["percent"] == 100 else 0.5)
    say(driver, RESUMED)
    assert driver.run() == Done(PROMOTED)


def test_a_step_that_waits_for_a_person_does_not_end_by_its_deadline() -> None:
    """As a pod of the canary's is moved to another node in the night before it is looked at."""
    steps = [{"percent": 10, "seconds": 2, "pause": True, "deadline": 60}]
    pods = [Pods(1, 1)]
    driver = Driver(quick(steps=steps, on_inconclusive="fail"), Knative(), pods=lambda: pods[0])
    assert isinstance(driver.run(), Hold)
    driver.run(seconds=200, until_hold=False)
    pods[0] = Pods(2, 1)
    driver.run(seconds=5, until_hold=False)
    # However long the playbook waits for a person counts from when it began to.
    action = driver.look()
    assert isinstance(action, Hold)
    assert action.why.startswith("waits for a person; pods: ")
    pods[0] = Pods(1, 1)
    assert driver.look() == Hold("the pause after 10 % waits for a person")


def test_a_pause_that_is_over_does_not_begin_the_step_anew() -> None:
    driver = Driver(quick(steps=[{"percent": 10, "seconds": 100, "pause": True}]), Knative())
    assert isinstance(driver.run(), Hold)
    began = driver.cluster.now
    say(driver, RESUMED)
    assert driver.run() == Done(PROMOTED)
    assert driver.cluster.now - began < 30


@pytest.mark.parametrize("asked", [(PAUSED, RESUMED), (RESUMED,), (RESUMED, RESUMED)])
def test_what_is_resumed_before_a_pause_leaves_the_pause(asked: tuple[str, ...]) -> None:
    """The step's own pause is for who has seen what its gates came to."""
    driver = Driver(quick(steps=[{"percent": 10, "seconds": 20, "pause": True}]), Knative())
    at_first_split(driver)
    say(driver, *asked)
    assert driver.run() == Hold("the pause after 10 % waits for a person")
    say(driver, RESUMED, RESUMED)
    assert driver.run() == Done(PROMOTED)


def test_who_aborts_before_anything_was_changed_takes_nothing_from_the_baseline() -> None:
    """Whose 0 % would give everything to the version before it."""
    cluster = Knative()
    Driver(quick(), cluster).run()
    cluster.tick(5.0)
    assert (cluster.served(), cluster.previous) == ({R2: 1.0}, R1)

    def kill(moment: str) -> None:
        if moment == "stored":
            raise Killed

    driver = Driver(quick(change={"model": {"storageUri": "gs://models/3"}}), cluster, kill=kill)
    with pytest.raises(Killed):
        driver.look()
    driver.kill = lambda _moment: None
    say(driver, ABORT)
    assert driver.run() == Done(ROLLED_BACK)
    assert driver.patches == []
    driver.pass_time(5.0)
    assert cluster.served() == {R2: 1.0}


def test_who_aborts_before_the_predictor_is_the_new_one_gets_the_old_one_back() -> None:
    """As where a webhook refuses the last patch of Standard mode."""

    def kill(moment: str) -> None:
        if moment == "stored" and driver.state.furthest == 4:
            raise Killed

    driver = Driver(quick(), Standard(2), kill=kill)
    before = driver.cluster.object()["spec"]
    while driver.stored is None or driver.state.furthest < 4:
        with contextlib.suppress(Killed):
            driver.look()
        driver.pass_time()
    assert driver.cluster.served() == {"iris-v2eb494aa-predictor": 1.0}
    driver.kill = lambda _moment: None
    say(driver, ABORT)
    assert driver.run() == Done(ROLLED_BACK)
    assert (driver.cluster.object()["spec"], driver.cluster.lost) == (before, [])


def test_a_promotion_that_somebody_has_built_on_is_not_taken_back() -> None:
    """The version before is no longer the baseline, and theirs is what is wanted."""
    cluster = Knative()
    driver = Driver(quick(), cluster)
    assert driver.run() == Done(PROMOTED)
    cluster.patch({"spec": {"predictor": {"model": {"storageUri": "gs://models/3"}}}})
    for _unused in range(5):
        driver.pass_time()
    before = cluster.served()
    say(driver, ABORT)
    assert driver.run() == Done(PROMOTED)
    assert "somebody else changed the InferenceService" in driver.state.history[-1]["why"]
    driver.pass_time(5.0)
    assert cluster.served() == before


def test_who_gives_the_canary_a_share_on_the_way_back_is_told_of_and_a_second_abort_takes_it() -> None:
    driver = Driver(quick(), Knative(), pods=lambda: Pods(1, 0, 1))
    while driver.stored is None or driver.state.track != BACK or not driver.state.sent:
        driver.look()
        driver.pass_time(0.1)
    driver.cluster.patch({"spec": {"predictor": {"canaryTrafficPercent": 40}}})
    for _unused in range(5):
        driver.pass_time()
    action = driver.look()
    assert isinstance(action, Wait)
    assert "somebody else changed the InferenceService on the way back" in action.why
    # It is not known why they did.
    assert driver.run(seconds=60) is None
    assert driver.cluster.served()[R2] == pytest.approx(0.4)
    say(driver, ABORT)
    assert driver.run() == Done(ROLLED_BACK)
    assert driver.cluster.served() == {R1: 1.0}
