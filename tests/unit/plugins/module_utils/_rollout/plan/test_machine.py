# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's decisions against KServe in memory: who really gets which traffic, at every moment."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import (
    advance,
    ask,
    begin,
    moves_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import Plan
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import (
    ABANDONED,
    ABORT,
    PAUSED,
    PROMOTE,
    PROMOTED,
    RESUMED,
    ROLLED_BACK,
    RolloutState,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import Done, Hold, Patch
from ansible_collections.iter8.kfserving.tests.support.driven import (
    NEW,
    Driver,
    Killed,
    Knative,
    Load,
    Standard,
    Truth,
    plan_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

R1, R2, R3 = (f"iris-predictor-0000{number}" for number in (1, 2, 3))
QUICK = [{"percent": 10, "seconds": 3}, {"percent": 50, "seconds": 3}]
EASY = [{"type": "pods"}]


def quick(**given: Any) -> Plan:
    """A plan that only time and pods hold up."""
    return plan_of(**{"steps": QUICK, "gates": EASY, **given})


def rejected_before(cluster: Knative) -> Knative:
    """With a second revision that was rolled back, and is still the latest one."""
    cluster.patch(
        {"spec": {"predictor": {"model": {"storageUri": "gs://models/bad"}, "canaryTrafficPercent": 0}}}
    )
    for _unused in range(5):
        cluster.tick(1.0)
    assert cluster.served() == {R1: 1.0}
    assert cluster.created == R2
    return cluster


def names(driver: Driver) -> list[str]:
    return [move.name for move in driver.patches]


class Shares:
    """The largest share that each version ever had, and each moment's."""

    def __init__(self, driver: Driver) -> None:
        self.most: dict[str, float] = {}
        self.all: list[dict[str, float]] = []
        self._cluster = driver.cluster
        tick = driver.cluster.tick

        def noted(seconds: float) -> None:
            tick(seconds)
            self.all.append(self._cluster.served())
            for name, share in self.all[-1].items():
                self.most[name] = max(self.most.get(name, 0.0), share)

        driver.cluster.tick = noted


def test_a_good_canary_is_promoted_step_by_step() -> None:
    driver = Driver(quick(), Knative())
    shares = Shares(driver)
    assert driver.run() == Done(PROMOTED)
    assert names(driver) == ["create", "10 %", "50 %", "100 %"]
    assert driver.cluster.served() == {R2: 1.0}
    assert [each.get(R2, 0.0) for each in shares.all] == sorted(each.get(R2, 0.0) for each in shares.all)
    assert {round(each.get(R2, 0.0), 2) for each in shares.all} == {0.0, 0.1, 0.5, 1.0}
    # Model and percent come in one patch, and never the model alone.
    assert driver.patches[0].patch == {"spec": {"predictor": {**NEW, "canaryTrafficPercent": 0}}}


def test_the_first_percent_waits_until_the_new_revision_is_ready() -> None:
    driver = Driver(quick(ready_timeout=500), rejected_before(Knative(slow={3: 90.0})))
    shares = Shares(driver)
    assert driver.run() == Done(PROMOTED)
    assert driver.state.canary == R3
    assert R2 not in shares.most
    created = next(move for move in driver.state.history if move.get("move") == "create")
    first = next(move for move in driver.state.history if move.get("move") == "10 %")
    assert first["at"] - created["at"] > 90


def test_a_canary_that_never_gets_ready_is_rolled_back_and_was_never_asked() -> None:
    driver = Driver(quick(ready_timeout=60), Knative(slow={2: float("inf")}))
    shares = Shares(driver)
    assert driver.run() == Done(ROLLED_BACK)
    assert shares.most == {R1: 1.0}
    assert "not ready" in driver.state.cause
    assert names(driver)[:1] == ["create"]


def test_on_failure_hold_leaves_the_split_for_a_person() -> None:
    driver = Driver(quick(on_failure="hold"), Knative(), pods=lambda: Pods(1, 1, 3, {"OOMKilled": 3}))
    action = driver.run()
    assert isinstance(action, Hold)
    assert "OOMKilled" in action.why
    assert driver.cluster.served()[R2] == pytest.approx(0.1)
    driver.stored = ask(
        driver.plan, driver.state, driver.cluster.seen(None), ABORT, who="me", now=driver.cluster.now
    ).to_json()
    assert driver.run() == Done(ROLLED_BACK)


def test_a_restarting_canary_goes_back_whatever_ready_says() -> None:
    driver = Driver(quick(), Knative(), pods=lambda: Pods(1, 0, 1))
    assert driver.run() == Done(ROLLED_BACK)
    assert driver.cluster.served() == {R1: 1.0}
    assert driver.state.cause.startswith("at 10 %, pods:")


def test_a_roll_back_after_the_promotion_never_gives_the_canary_anything_again() -> None:
    steps = [{"percent": 20, "seconds": 2}, {"percent": 100, "seconds": 10}]
    driver = Driver(quick(steps=steps), Knative(slow={3: 20.0}))
    restarts = [0]
    driver.pods = lambda: Pods(1, 1, restarts[0])
    driver.watch = lambda state, _action: restarts.__setitem__(
        0, int(driver.cluster.served() == {R2: 1.0} and state.reached is not None)
    )
    shares = Shares(driver)
    assert driver.run() == Done(ROLLED_BACK)
    assert names(driver) == ["create", "20 %", "100 %", "0 %", "old model", "restore"]
    everything = [each.get(R2, 0.0) for each in shares.all]
    last_full = max(n for n, share in enumerate(everything) if share == 1.0)
    assert set(everything[last_full + 1 :]) == {0.0}
    assert driver.cluster.served() == {R3: 1.0}
    assert driver.cluster.revisions[2][1] == driver.cluster.revisions[0][1]


def test_the_old_revision_is_not_taken_for_back_while_prev_is_still_the_canary() -> None:
    """KServe says `prev 100` for a moment and means the canary."""
    cluster = Knative(lag=3.0)
    driver = Driver(quick(steps=[{"percent": 100, "seconds": 1}]), cluster)
    assert driver.run() == Done(PROMOTED)
    driver.stored = ask(
        driver.plan, driver.state, cluster.seen(None), ABORT, who="me", now=cluster.now
    ).to_json()
    while not any(move.name == "old model" for move in driver.patches):
        driver.look()
        driver.pass_time()
    assert cluster.rolledout == R1
    assert driver.run() == Done(ROLLED_BACK)


def test_without_the_old_revision_the_old_model_is_applied_at_once() -> None:
    driver = Driver(quick(steps=[{"percent": 100, "seconds": 1}]), Knative())
    assert driver.run() == Done(PROMOTED)
    driver.cluster.deleted_revisions.add(R1)
    driver.stored = ask(
        driver.plan, driver.state, driver.cluster.seen(None), ABORT, who="me", now=driver.cluster.now
    ).to_json()
    assert driver.run() == Done(ROLLED_BACK)
    assert names(driver)[-1] == "reapply"
    assert driver.cluster.served() == {R3: 1.0}


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_standard_mode_has_capacity_first_and_the_name_last(replicas: int) -> None:
    driver = Driver(quick(), Standard(replicas))
    assert driver.run() == Done(PROMOTED)
    assert names(driver) == ["capacity", "create", "50 %", "100 %", "rename"]
    assert driver.cluster.lost == []
    # Never fewer pods behind the route than were wanted.
    assert driver.cluster.least >= replicas
    assert driver.cluster.spec["predictor"]["minReplicas"] == replicas
    assert "canary" not in driver.cluster.spec


def test_standard_mode_rolls_back_by_zero_and_then_removes() -> None:
    driver = Driver(quick(), Standard(2), pods=lambda: Pods(1, 0, 1))
    before = driver.cluster.object()["spec"]
    assert driver.run() == Done(ROLLED_BACK)
    assert names(driver) == ["capacity", "create", "0 %", "remove"]
    assert driver.cluster.lost == []
    assert driver.cluster.least >= 2
    assert driver.cluster.object()["spec"] == before


def test_a_kserve_that_gives_the_canary_nothing_is_seen_by_the_route() -> None:
    """0.20.0: the status says 25 %, the route has no weights."""
    driver = Driver(quick(ready_timeout=60), Standard(2, weights=False))
    assert driver.run() == Done(ROLLED_BACK)
    assert "the HTTPRoute gives iris-predictor 100 %" in driver.state.cause


def test_answers_that_nobody_can_be_told_by_are_not_the_canarys() -> None:
    """Whose losses would be a small part of everybody's."""
    load = Load({"iris-v2eb494aa-predictor": Truth(loses=0.3)}, 60)
    steps = [{"percent": 10, "seconds": 5, "deadline": 60}]
    gates = [{"type": "losses", "max_rate": 0.1}]
    # The load begins after the rollout.
    driver = Driver(plan_of(steps=steps, gates=gates), Standard(), load)
    action = driver.run()
    assert isinstance(action, Hold)
    assert "who answers cannot be told" in action.why


@pytest.mark.parametrize(
    "given",
    [
        {"gates": [{"type": "losses", "max_rate": 0.1}], "names": {"baseline": "iris-predictor"}},
        {"gates": [{"type": "pods"}]},
    ],
)
def test_a_load_that_begins_after_the_rollout_is_enough_where_its_names_are_given_or_not_asked_for(
    given: dict[str, Any],
) -> None:
    steps = [{"percent": 10, "seconds": 5, "deadline": 120}]
    driver = Driver(plan_of(steps=steps, **given), Standard(), Load({}, 60))
    assert driver.run() == Done(PROMOTED)


def test_after_the_rename_there_is_no_way_back_but_another_rollout() -> None:
    driver = Driver(quick(), Standard(1))
    assert driver.run() == Done(PROMOTED)
    state = ask(driver.plan, driver.state, driver.cluster.seen(None), ABORT, who="me", now=2000.0)
    # It has ended, and stays so: another one may begin.
    assert (state.outcome, state.hold) == (PROMOTED, "")
    assert "a rollout of the old one" in state.history[-1]["why"]


def test_one_that_was_rolled_back_can_be_tried_again() -> None:
    first = Driver(quick(), Knative(), pods=lambda: Pods(1, 0, 1))
    assert first.run() == Done(ROLLED_BACK)
    again = Driver(quick(), first.cluster, earlier=first.state.start)
    shares = Shares(again)
    assert again.run() == Done(PROMOTED)
    assert again.state.canary == R2
    assert again.state.start.undo == {"model": {"storageUri": "gs://models/1"}}
    assert [each.get(R2, 0.0) for each in shares.all] == sorted(each.get(R2, 0.0) for each in shares.all)


def _rolled_back_after_promotion(driver: Driver) -> None:
    assert driver.run() == Done(PROMOTED)
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, ABORT, who="me", now=driver.cluster.now).to_json()
    assert driver.run() == Done(ROLLED_BACK)


def test_after_a_rejected_canary_the_old_version_is_the_baselines_and_not_the_rejected_one() -> None:
    """What stands in the spec then is the rejected one, which nobody wants back."""
    bad = quick(change={"model": {"storageUri": "gs://models/bad", "env": "bad"}})
    first = Driver(bad, Knative(), pods=lambda: Pods(1, 0, 1))
    assert first.run() == Done(ROLLED_BACK)
    cluster = first.cluster
    assert cluster.spec["predictor"]["model"]["storageUri"] == "gs://models/bad"
    again = Driver(quick(), cluster, earlier=first.state.start)
    again.look()
    cluster.tick(1.0)
    # Nor is anything of it left in the next one.
    assert "env" not in cluster.revisions[-1][1]["model"]
    _rolled_back_after_promotion(again)
    assert cluster.revisions[-1][1] == cluster.revisions[0][1]
    assert cluster.served() == {cluster.created: 1.0}


def test_where_nothing_tells_what_the_old_version_was_it_is_not_made_up() -> None:
    """The baseline's revision serves again, and the spec stays as it is."""
    cluster = rejected_before(Knative())
    driver = Driver(quick(), cluster)
    _rolled_back_after_promotion(driver)
    assert names(driver)[-1] == "0 %"
    assert cluster.served() == {R1: 1.0}


def test_somebody_elses_change_is_held_not_overwritten() -> None:
    driver = Driver(quick(steps=[{"percent": 10, "seconds": 50}]), Knative())
    while driver.stored is None or driver.state.reached is None or driver.state.move < 1:
        driver.look()
        driver.pass_time()
    driver.cluster.patch({"spec": {"predictor": {"canaryTrafficPercent": 70}}})
    action = driver.run()
    assert isinstance(action, Hold)
    assert "somebody else changed" in action.why
    driver.pass_time()
    assert driver.cluster.served()[R2] == pytest.approx(0.7)
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, RESUMED, who="me", now=driver.cluster.now).to_json()
    assert isinstance(driver.look(), Patch)
    driver.pass_time()
    assert driver.cluster.served()[R2] == pytest.approx(0.1)


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_an_inferenceservice_that_goes_is_left_alone(what: str) -> None:
    driver = Driver(quick(), Knative())
    for _unused in range(8):
        driver.look()
        driver.pass_time()
    seen = driver.cluster.seen(None)
    if what == "deleted":
        seen = replace(seen, inferenceservice=None)
    else:
        seen.inferenceservice["metadata"]["uid"] = "other"  # type: ignore[index]
    _state, action = advance(driver.plan, driver.state, seen, driver.cluster.now)
    assert action == Done(ABANDONED)


def test_the_deadline_ends_it_but_does_not_run_while_a_person_is_waited_for() -> None:
    steps = [{"percent": 10, "seconds": 2, "pause": True}, {"percent": 50, "answers": 1}]
    driver = Driver(quick(steps=steps, deadline=60), Knative())
    assert isinstance(driver.run(), Hold)
    for _unused in range(200):
        driver.pass_time()
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, RESUMED, who="me", now=driver.cluster.now).to_json()
    driver.run(seconds=20)
    assert driver.state.track == "forward"
    assert driver.run() == Done(ROLLED_BACK)
    assert driver.state.cause == "not over after 60 s"


def test_what_nothing_decides_holds_or_fails_as_wished() -> None:
    steps = [{"percent": 10, "seconds": 1, "deadline": 30}]
    for wished, end in (("hold", Hold), ("fail", Done)):
        plan = plan_of(steps=steps, on_inconclusive=wished)
        driver = Driver(plan, Knative())
        action = driver.run()
        assert isinstance(action, end)
        assert "nothing was decided within 30 s" in (driver.state.hold or driver.state.cause)


SPLIT_AND_LATENCY = [{"type": "latency", "quantile": 0.9, "max_ratio": 1.5}, {"type": "split"}]


@pytest.mark.parametrize("cluster", [Knative, Standard])
@pytest.mark.parametrize("lag", [2.0, 15.0])
def test_a_gateway_that_is_slow_to_follow_decides_nothing_about_the_canary(cluster: Any, lag: float) -> None:
    """A good one is promoted; a slow one goes back since it is slow, and not by its share."""
    for median, outcome in ((0.02, PROMOTED), (0.06, ROLLED_BACK)):
        old = {R1: Truth(), "iris-predictor": Truth()}
        load = Load(old, 60, random.Random(5), Truth(median=median), lag=lag)
        driver = Driver(plan_of(steps=[20, 50], gates=SPLIT_AND_LATENCY), cluster(), load)
        driver.pass_time()
        assert driver.run() == Done(outcome)
        assert median == 0.02 or driver.state.cause.startswith("at 20 %, latency:")


def test_a_gateway_that_never_follows_is_told_of_at_the_steps_deadline() -> None:
    steps = [{"percent": 20, "seconds": 1, "deadline": 40}]
    load = Load({}, 60, lag=1e6)
    driver = Driver(plan_of(steps=steps, gates=SPLIT_AND_LATENCY), Standard(), load)
    driver.pass_time()
    began = driver.cluster.now
    assert driver.run() == Done(ROLLED_BACK)
    assert driver.cluster.now - began > 40
    assert driver.state.cause.startswith("at 20 %, split: 0.0% of ")
    assert driver.state.cause.endswith("the gateway has not followed by the deadline")


def test_looks_that_were_spent_before_a_hold_stay_spent() -> None:
    steps = [{"percent": 50, "seconds": 1, "deadline": 40}]
    driver = Driver(plan_of(steps=steps), Knative(), Load({R2: Truth(loses=0.05)}, 40))
    assert isinstance(driver.run(), Hold)
    before = driver.state.gates["losses"].confirming
    assert before is not None
    assert before.spent > 0
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, RESUMED, who="me", now=driver.cluster.now).to_json()
    driver.look()
    after = driver.state.gates["losses"]
    assert after.confirming is not None
    assert after.confirming.spent == before.spent
    assert not after.passed


def test_a_load_that_goes_away_is_no_pass() -> None:
    cluster = Knative()
    load = Load({}, 40)
    driver = Driver(plan_of(steps=[{"percent": 50, "seconds": 1, "deadline": 40}]), cluster, load)
    while driver.stored is None or driver.state.move < 1 or driver.state.reached is None:
        driver.look()
        driver.pass_time()
    load.running = False
    action = driver.run()
    assert isinstance(action, Hold)
    assert "no load tells" in action.why


def test_a_step_takes_its_time_and_its_answers_at_least() -> None:
    def lasted(**step: Any) -> float:
        driver = Driver(quick(steps=[{"percent": 50, **step}]), Knative(), Load({}, 40))
        assert driver.run() == Done(PROMOTED)
        reached, _promoted = [each["at"] for each in driver.state.history if each["what"] == "reached"][1:3]
        (passed,) = [each["at"] for each in driver.state.history if each["what"] == "passed"]
        return float(passed - reached)

    assert lasted(seconds=0) <= 1
    assert lasted(seconds=60) >= 60
    # At some 20 a second.
    assert lasted(seconds=0, answers=1000) >= 40


def test_a_person_may_skip_the_gates() -> None:
    driver = Driver(plan_of(steps=[{"percent": 10, "seconds": 500}]), Knative())
    for _unused in range(20):
        driver.look()
        driver.pass_time()
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, PROMOTE, who="me", now=driver.cluster.now).to_json()
    assert driver.run(seconds=60) == Done(PROMOTED)


def test_a_manual_promotion_waits() -> None:
    driver = Driver(quick(promote="manual"), Knative())
    assert driver.run() == Hold("the promotion waits for a person")
    assert driver.cluster.served()[R2] == pytest.approx(0.5)
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, PROMOTE, who="me", now=driver.cluster.now).to_json()
    assert driver.run() == Done(PROMOTED)


def test_a_paused_rollout_still_goes_back_when_a_gate_fails() -> None:
    bad = [Pods(1, 1)]
    driver = Driver(quick(), Knative(), pods=lambda: bad[0])
    while driver.stored is None or driver.state.move < 1 or driver.state.reached is None:
        driver.look()
        driver.pass_time()
    seen = driver.cluster.seen(None)
    driver.stored = ask(driver.plan, driver.state, seen, PAUSED, who="me", now=driver.cluster.now).to_json()
    assert isinstance(driver.run(seconds=100), Hold)
    bad[0] = Pods(1, 1, 1)
    assert driver.run() == Done(ROLLED_BACK)


def test_the_way_back_waits_until_the_load_sees_no_more_of_the_canary() -> None:
    truth = {R2: Truth(loses=0.5)}
    load = Load(truth, 40, random.Random(5))
    driver = Driver(plan_of(), Knative(), load)
    assert driver.run() == Done(ROLLED_BACK)
    assert driver.state.cause.startswith("at 10 %, losses:")
    counted = load.counted[R2][0]
    for _unused in range(20):
        driver.pass_time()
    assert load.counted[R2][0] == counted


def _kill_at(moments: set[int]) -> Any:
    count = iter(range(10**6))

    def kill(_moment: str) -> None:
        if next(count) in moments:
            raise Killed

    return kill


@settings(deadline=None, max_examples=40)
@given(
    moments=st.sets(st.integers(0, 120), max_size=12),
    bad=st.booleans(),
    standard=st.booleans(),
    slow=st.sampled_from([0.5, 2.0, 9.0]),
)
def test_killed_at_any_moments_it_ends_as_it_would_have(
    moments: set[int], bad: bool, standard: bool, slow: float
) -> None:
    """Only split and order count: whoever comes back goes on, and nobody gets what is not theirs."""
    cluster: Any = Standard(2, slow) if standard else rejected_before(Knative(slow={3: slow}))
    canary = "iris-v2eb494aa-predictor" if standard else R3
    pods = (lambda: Pods(1, 1, 1)) if bad else (lambda: Pods(1, 1))
    driver = Driver(quick(), cluster, pods=pods, kill=_kill_at(moments))
    shares = Shares(driver)
    assert driver.run() == Done(ROLLED_BACK if bad else PROMOTED)
    assert R2 not in shares.most
    baseline = "iris-predictor" if standard else R1
    assert cluster.served() == {(baseline if bad else canary): 1.0}
    mine = [round(each.get(canary, 0.0), 2) for each in shares.all]
    assert set(mine) <= {0.0, 0.1, 0.5, 1.0}
    if bad:
        assert max(mine) <= 0.1
    else:
        assert mine == sorted(mine)
    assert getattr(cluster, "lost", []) == []
    assert getattr(cluster, "least", 2) >= 2


@settings(deadline=None, max_examples=30)
@given(
    at=st.integers(0, 60),
    what=st.sampled_from([PAUSED, RESUMED, PROMOTE, ABORT]),
    standard=st.booleans(),
)
def test_whatever_is_asked_at_whatever_moment_the_split_stays_a_stable_one(
    at: int, what: str, standard: bool
) -> None:
    cluster: Any = Standard(2) if standard else rejected_before(Knative())
    driver = Driver(quick(), cluster)
    shares = Shares(driver)
    for _unused in range(at):
        if isinstance(driver.look(), Done):
            break
        driver.pass_time()
    if driver.stored is None:
        driver.stored = begin(driver.plan, cluster.mode, cluster.seen(None), cluster.now).to_json()
    asked = ask(driver.plan, driver.state, cluster.seen(None), what, who="me", now=cluster.now)
    driver.stored = asked.to_json()
    driver.run(seconds=200)
    assert R2 not in shares.most
    assert getattr(cluster, "lost", []) == []
    for _unused in range(20):
        driver.pass_time()
    settled = shares.all[-10:]
    assert all(each == settled[0] for each in settled)
    if what == ABORT and not asked.hold and not (standard and asked.outcome == PROMOTED):
        assert driver.state.outcome == ROLLED_BACK


def test_a_patch_is_noted_before_it_is_sent() -> None:
    """So that whoever comes back knows that it may have been."""
    driver = Driver(quick(), Knative(), kill=_kill_at({1}))
    with pytest.raises(Killed):
        driver.look()
    assert driver.patches == []
    assert driver.state.furthest == 0
    assert isinstance(driver.look(), Patch)


def test_the_whole_plan_can_be_shown_before() -> None:
    cluster = Knative()
    state = begin(quick(), "knative", cluster.seen(None), 0.0)
    assert [move.percent for move in moves_of(quick(), state)] == [0, 10, 50, 100]


def test_a_state_is_kept_whole() -> None:
    driver = Driver(quick(), Knative(), Load({}, 20))
    for _unused in range(15):
        driver.look()
        driver.pass_time()
    assert RolloutState.from_json(driver.state.to_json()) == driver.state
