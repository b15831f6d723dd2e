# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.claims import Latency
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.halves import (
    FIRST_HALF,
    Marks,
    with_later,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.judge import (
    ErrorRates,
    GateEvidence,
    GateProgress,
    judge,
    share_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.result import (
    GateResult,
    GateVerdict,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.window import (
    Answers,
    Counted,
    Window,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import begin
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import RolloutState
from ansible_collections.iter8.kfserving.tests.support.driven import Driver, Knative, Load, Truth, plan_of
from hypothesis import given
from hypothesis import strategies as st

ERRORS = share_of(ErrorRates(0.05, 0.05), 1, 1)
RATIO = Latency("latency", 0.95, max_ratio=1.5)
QUICK, SLOW = 20_000, 900_000


def _window(canary: dict[int, int], baseline: dict[int, int], seconds: float = 1.0) -> Window:
    one, other = (Answers(sum(times.values()), 0, times) for times in (canary, baseline))
    return Window(50, seconds, one, one if baseline is canary else other)


NOTHING = Counted(0.0, 1.0, {})


def _counted(at: float, canary: dict[int, int], baseline: dict[int, int], load: float = 1.0) -> Counted:
    sides = {"canary": canary, "baseline": baseline}
    return Counted(at, load, {who: Answers(sum(t.values()), 0, t) for who, t in sides.items()})


def _with_later(now: Counted, marks: Marks = (), since: Counted = NOTHING) -> tuple[Window, Marks]:
    found, marks = with_later(50, since, now, str, marks)
    assert found is not None
    return found, marks


@given(st.lists(st.integers(1, 300), min_size=1, max_size=80))
def test_the_later_part_is_from_a_half_to_three_quarters_or_a_look_more(steps: list[int]) -> None:
    """Whatever the samples say; a look may be late by as many as came at once."""
    marks: Marks = ()
    samples, widest = 0, max(steps)
    for at, step in enumerate(steps, 1):
        samples += step
        window, marks = _with_later(_counted(float(at), {QUICK: samples}, {QUICK: samples}), marks)
        later = window.later
        if later is None:
            assert samples < 2 * (FIRST_HALF + widest)
        else:
            assert samples / 2 <= later.canary.requests <= 3 / 4 * samples + widest


def test_the_later_part_knows_nothing_of_the_beginning() -> None:
    _window_then, marks = _with_later(_counted(9.0, {SLOW: 100}, {SLOW: 100}))
    now = _counted(30.0, {SLOW: 100, QUICK: 100}, {SLOW: 100, QUICK: 150})
    seen = _with_later(now, marks)[0].later
    assert seen is not None
    assert (seen.canary.times, seen.baseline.times) == ({QUICK: 100}, {QUICK: 150})
    assert (seen.canary.requests, seen.baseline.requests, seen.seconds) == (100, 150, 21.0)


def test_the_marks_survive_the_state() -> None:
    marks: Marks = ()
    for n in (20, 40, 80):
        _found, marks = _with_later(_counted(float(n), {QUICK: n, SLOW: 1}, {QUICK: n}), marks)
    assert len(marks) == 2
    begun = begin(plan_of(), "knative", Knative().seen(None), 1000.0)
    state = replace(begun, since=NOTHING, marks=marks)
    assert RolloutState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_the_driver_keeps_the_marks_of_a_step_until_it_is_over() -> None:
    gates = [{"type": "latency", "quantile": 0.95, "max_ratio": 1.5}]
    steps = [{"percent": 20, "seconds": 60}, {"percent": 50, "seconds": 60}]
    kept: list[tuple[int, int]] = []
    driver = Driver(
        plan_of(gates=gates, steps=steps),
        Knative(),
        Load({}),
        watch=lambda state, _action: kept.append((state.move, len(state.marks))),
    )
    driver.run(seconds=400)
    assert driver.state.outcome == "promoted"
    moves = sorted({move for move, _marks in kept})
    at_splits = [move for move in moves if max(marks for at, marks in kept if at == move) == 2]
    assert len(at_splits) == 2
    assert all(next(marks for at, marks in kept if at == move) == 0 for move in moves)


@pytest.mark.parametrize("other", [Counted(500.0, 1.0, {}), Counted(0.0, 2.0, {})], ids=["step", "load"])
def test_marks_of_another_step_or_load_are_none(other: Counted) -> None:
    _found, marks = _with_later(_counted(100.0, {QUICK: 500}, {QUICK: 500}))
    assert marks
    now = _counted(600.0, {QUICK: 9000}, {QUICK: 9000}, other.load)
    found, marks = _with_later(now, marks, other)
    assert (found.later, marks) == (None, (now,))


def test_where_there_is_no_baseline_the_canarys_answers_are_the_samples() -> None:
    found, marks = with_later(100, NOTHING, _counted(9.0, {QUICK: 500}, {}), str, ())
    assert marks
    found, _marks = with_later(100, NOTHING, _counted(19.0, {QUICK: 1000}, {}), str, marks)
    assert found is not None
    assert found.later is not None


def _driven(
    truth: Truth, congested: float, seconds: int, seed: int = 1, claim: Latency = RATIO
) -> tuple[GateVerdict, int, str]:
    """What the gate says of 50 requests a second, after how many seconds, and its words."""
    load = Load({"canary": truth}, 50.0, random.Random(seed), congested=congested)
    progress: dict[str, GateProgress] = {}
    marks: Marks = ()
    since = Counted(0.0, load.began, {})
    for second in range(1, seconds + 1):
        load.tick({"baseline": 0.5, "canary": 0.5})
        window, marks = _with_later(load.at(float(second)), marks, since)
        progress = judge([claim], progress, 50, GateEvidence(float(second), window), ERRORS)
        last = progress[claim.name].last
        assert last is not None
        if last.verdict is not GateVerdict.INCONCLUSIVE:
            break
    return last.verdict, second, last.message


def test_a_bad_beginning_is_outweighed_in_as_long_again() -> None:
    """A tenth of 120 s is slow: the later half has none of it after 240 s, and the next look may come a
    quarter later."""
    found = [_driven(Truth(), 120.0, 1000, seed) for seed in range(6)]
    assert {verdict for verdict, _seconds, _message in found} == {GateVerdict.PASS}
    assert max(seconds for _verdict, seconds, _message in found) <= 300
    assert any("of the last" in message for _verdict, _seconds, message in found)


def test_a_canary_that_is_slow_fails_whatever_the_beginning_was_like() -> None:
    for seed in range(6):
        verdict, seconds, message = _driven(Truth(median=0.06), 120.0, 1000, seed)
        assert verdict is GateVerdict.FAIL
        assert seconds <= 400
        assert "of the last" not in message


def _at_once(*canary: dict[int, int], claim: Latency = RATIO) -> GateResult:
    """What is said at last of a canary that has answered so, one window after another."""
    progress: dict[str, GateProgress] = {}
    marks: Marks = ()
    for number, times in enumerate(canary, 1):
        now = _counted(float(number), times, {QUICK: sum(times.values())})
        window, marks = _with_later(now, marks)
        progress = judge([claim], progress, 50, GateEvidence(float(number), window), ERRORS)
    last = progress[claim.name].last
    assert last is not None
    return last


@pytest.mark.parametrize("claim", [RATIO, Latency("latency", 0.95, max_seconds=0.05)])
def test_a_canary_that_was_slow_at_first_passes_by_its_later_half(claim: Latency) -> None:
    """Of all samples about a twentieth was slow, which leaves open what their 95th percentile is."""
    slow_at_first = [{QUICK: 940, SLOW: 60}, {QUICK: 1890, SLOW: 110}, {QUICK: 3825, SLOW: 175}]
    for until in (1, 2):
        assert _at_once(*slow_at_first[:until], claim=claim).verdict is GateVerdict.INCONCLUSIVE
    said = _at_once(*slow_at_first, claim=claim)
    assert said.verdict is GateVerdict.PASS
    assert "of the last 2000 samples" in said.message
    # The same samples, of which no half is better than the other.
    even = [{QUICK: 956 * n, SLOW: 44 * n} for n in (1, 2, 4)]
    assert _at_once(*even, claim=claim).verdict is GateVerdict.INCONCLUSIVE


def test_the_later_half_alone_refutes_nothing() -> None:
    later = replace(_window({QUICK: 9000}, {QUICK: 9000}), later=_window({SLOW: 500}, {QUICK: 500}))
    assert not RATIO.refuted(later, 0.05)


def test_both_halves_together_have_the_doubt_of_one_look() -> None:
    """So each of the two limits of each half has a fourth of it."""
    least = RATIO.least(50, 0.025)
    even = {QUICK: least}
    assert RATIO.confirmed(_window(even, even), 0.025)
    assert not RATIO.confirmed(_window({QUICK: least - 1}, {QUICK: least - 1}), 0.025)
    assert 0.95**least <= 0.025 / 4 < 0.95 ** (least - 1)


def test_the_interval_that_is_told_is_the_one_that_decides() -> None:
    """Between the two doubts, where the limit lies within the interval of half of it alone."""
    claim = Latency("latency", 0.95, max_seconds=0.05)
    seen = _window({QUICK: 966, SLOW: 34}, {QUICK: 1000})
    for doubt in (0.5, 0.1, 0.03, 0.02, 0.01, 0.001):
        _clause, _value, _low, high = claim.estimate(seen, doubt)
        assert claim.confirmed(seen, doubt) is (high is not None and high <= 0.05)
