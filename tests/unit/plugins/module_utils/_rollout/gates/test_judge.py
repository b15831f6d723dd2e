# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.claims import Losses, SplitClaim
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.judge import (
    ErrorRates,
    GateEvidence,
    GateProgress,
    begin_anew,
    first_confirmation,
    judge,
    seconds_needed,
    share_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.looks import Looks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import (
    Measured,
    Pods,
    PodsGate,
    QueryGate,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.result import GateVerdict
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.window import Answers, Window
from hypothesis import given
from hypothesis import strategies as st

ERRORS = share_of(ErrorRates(0.05, 0.05), 1, 1)
LOSSES = Losses("losses", 0.01)


def test_however_many_looks_there_are_they_cost_no_more_than_agreed() -> None:
    looks, spent = Looks(0, 16), 0.0
    for _unused in range(100):
        spent += looks.doubt(0.05)
        looks = looks.after(looks.due)
    assert spent == pytest.approx(0.05 * (1 - 1 / 101))


@given(st.integers(1, 10**6))
def test_each_look_lies_a_quarter_further_than_the_last(samples: int) -> None:
    after = Looks(3, 10).after(samples)
    assert after.due >= samples * 1.25
    assert after.spent == 4


def _judged(progress: dict[str, GateProgress], canary: Answers, percent: int = 10) -> dict[str, GateProgress]:
    window = Window(percent, 1.0, canary)
    return judge([LOSSES], progress, percent, GateEvidence(0.0, window), ERRORS)


def test_nothing_is_said_before_a_look_is_due() -> None:
    after = _judged({}, Answers(15, 15))
    assert after["losses"].last is not None
    assert after["losses"].last.verdict is GateVerdict.INCONCLUSIVE
    assert after["losses"].refuting == Looks(0, 16)
    assert _judged(after, Answers(16, 16))["losses"].last.verdict is GateVerdict.FAIL  # type: ignore[union-attr]


def test_samples_that_were_looked_at_are_not_looked_at_again() -> None:
    due = first_confirmation(LOSSES, 10, ERRORS).due
    once = _judged({}, Answers(due, 2))
    assert once["losses"].confirming == Looks(1, round(due * 1.25))
    assert _judged(once, Answers(due, 0)) == once


def test_what_passed_may_still_fail_and_what_failed_stays_failed() -> None:
    due = first_confirmation(LOSSES, 10, ERRORS).due
    passed = _judged({}, Answers(due))
    assert passed["losses"].passed
    failed = _judged(passed, Answers(due * 4, due))
    assert failed["losses"].last is not None
    assert failed["losses"].last.verdict is GateVerdict.FAIL
    assert _judged(failed, Answers(due * 1000, due)) == failed


def _walk(rate: float, rng: random.Random, limit: float, most: int) -> GateVerdict:
    """A canary of this loss rate, looked at as soon as each look is due."""
    claim = Losses("losses", limit)
    progress: dict[str, GateProgress] = {}
    lost, due = 0, 1
    for n in range(1, most):
        lost += rng.random() < rate
        if n < due:
            continue
        progress = judge([claim], progress, 10, GateEvidence(0.0, Window(10, 1.0, Answers(n, lost))), ERRORS)
        one = progress["losses"]
        assert one.last is not None
        if one.last.verdict is not GateVerdict.INCONCLUSIVE:
            return one.last.verdict
        assert one.confirming is not None
        assert one.refuting is not None
        due = min(one.confirming.due, one.refuting.due)
    return GateVerdict.INCONCLUSIVE


@pytest.mark.parametrize(("rate", "wrong"), [(0.0501, GateVerdict.PASS), (0.05, GateVerdict.FAIL)])
def test_looking_again_and_again_is_wrong_no_more_often_than_agreed(rate: float, wrong: GateVerdict) -> None:
    """At the limit itself, where it is hardest: 14 or more of 120 at 5 % have a probability of 0.004."""
    rng = random.Random(11)
    ends = [_walk(rate, rng, 0.05, 800) for _unused in range(120)]
    assert ends.count(wrong) <= 13


def test_a_bad_canary_fails_and_a_good_one_passes() -> None:
    rng = random.Random(12)
    assert {_walk(0.2, rng, 0.05, 5000) for _unused in range(20)} == {GateVerdict.FAIL}
    assert {_walk(0.005, rng, 0.05, 5000) for _unused in range(20)} == {GateVerdict.PASS}


def test_a_naive_test_at_each_look_would_be_wrong_far_more_often() -> None:
    """What the spending is for: the same looks, each at the whole 5 %."""
    rng, wrong = random.Random(11), 0
    claim = Losses("losses", 0.05)
    for _unused in range(300):
        lost, looks, found = 0, Looks(0, 16), False
        for n in range(1, 1500):
            lost += rng.random() < 0.05
            if looks.is_due(n):
                found = found or claim.refuted(Window(10, 1.0, Answers(n, lost)), 0.05)
                looks = looks.after(n)
        wrong += found
    assert wrong > 30


def test_refutations_share_the_permitted_error_and_confirmations_do_not() -> None:
    errors = share_of(ErrorRates(0.05, 0.06), 3, 4)
    assert errors.confirming == 0.05
    assert errors.refuting == pytest.approx(0.005)


def test_another_load_begins_anew_but_what_was_spent_stays_spent() -> None:
    due = first_confirmation(LOSSES, 10, ERRORS).due
    passed = _judged({}, Answers(due))
    again = begin_anew(passed, [LOSSES, PodsGate("pods")], 10, ERRORS)["losses"]
    assert not again.passed
    assert again.confirming is not None
    assert again.confirming.spent == 1
    assert again.confirming.due > due


def test_without_a_load_nothing_is_known() -> None:
    after = judge([LOSSES], {}, 10, GateEvidence(0.0, None), ERRORS)["losses"]
    assert after.last is not None
    assert after.last.verdict is GateVerdict.INCONCLUSIVE
    assert "no load" in after.last.message


def test_what_cannot_be_asked_is_said_to_be_so() -> None:
    after = judge([SplitClaim("split")], {}, 100, GateEvidence(0.0, None), ERRORS)["split"]
    assert after.last is not None
    assert after.last.verdict is GateVerdict.NOT_APPLICABLE


SPLIT = SplitClaim("split")


def _split(progress: dict[str, GateProgress], canary: int, baseline: int, late: bool = False) -> GateProgress:
    window = Window(20, 1.0, Answers(canary), Answers(baseline))
    return judge([SPLIT], progress, 20, GateEvidence(0.0, window, last_chance=late), ERRORS)["split"]


def test_a_gateway_that_has_not_followed_yet_is_waited_for_and_its_answers_do_not_count() -> None:
    one = _split({}, 0, 400)
    assert one.last is not None
    assert one.last.verdict is GateVerdict.INCONCLUSIVE
    assert one.last.message.startswith("0.0% of 400 answers")
    assert one.last.message.endswith("the gateway has not followed yet")
    assert one.skipped == (0, 400)
    assert one.refuting is not None
    assert one.refuting.spent == 1
    # It follows: 20 % of what comes from now on.
    after = _split({"split": one}, 300, 1600)
    assert after.last is not None
    assert (after.last.verdict, after.last.samples) == (GateVerdict.PASS, 1500)


def test_a_gateway_that_never_follows_is_told_at_the_deadline() -> None:
    one = _split({}, 0, 400)
    late = _split({"split": one}, 0, 410, late=True)
    assert late.last is not None
    assert late.last.verdict is GateVerdict.FAIL
    assert late.last.message.startswith("0.0% of 400 answers")
    assert late.last.message.endswith("; wanted 20 %; the gateway has not followed by the deadline")


def test_one_that_followed_just_before_the_deadline_is_not_judged_by_what_was_before() -> None:
    one = _split({}, 0, 400)
    late = _split({"split": one}, 20, 480, late=True)
    assert late.last is not None
    assert late.last.verdict is GateVerdict.INCONCLUSIVE


def test_a_split_that_was_seen_and_is_lost_again_fails_at_once() -> None:
    seen = _split({}, 400, 1600)
    assert seen.passed
    lost = _split({"split": seen}, 400, 3600)
    assert lost.last is not None
    assert lost.last.verdict is GateVerdict.FAIL


PODS = PodsGate("pods", max_restarts=1)


@pytest.mark.parametrize(
    ("pods", "verdict"),
    [
        (Pods(0, 0), GateVerdict.INCONCLUSIVE),
        (Pods(2, 1), GateVerdict.INCONCLUSIVE),
        (Pods(2, 2, 1), GateVerdict.PASS),
        (Pods(2, 2, 2, {"OOMKilled": 2}), GateVerdict.FAIL),
        (Pods(0, 0, 2), GateVerdict.FAIL),
    ],
)
def test_pods(pods: Pods, verdict: GateVerdict) -> None:
    last = judge([PODS], {}, 10, GateEvidence(0.0, None, pods), ERRORS)["pods"].last
    assert last is not None
    assert last.verdict is verdict
    assert not pods.reasons or "2 × OOMKilled" in last.message


QUERY = QueryGate("errors", "q", "b", max=0.5, max_ratio=2.0, successes=2, failures=2)


def _asked(*answers: Measured | None, percent: int = 10, gate: QueryGate = QUERY) -> GateVerdict:
    progress: dict[str, GateProgress] = {}
    for answer in answers:
        measured = {} if answer is None else {gate.name: answer}
        progress = judge([gate], progress, percent, GateEvidence(0.0, None, measured=measured), ERRORS)
    last = progress[gate.name].last
    assert last is not None
    return last.verdict


GOOD, BAD, NONE = Measured(0.2, 0.2), Measured(0.3, 0.1), Measured(problem="no data")


def test_a_query_passes_and_fails_by_answers_in_a_row() -> None:
    assert _asked(GOOD) is GateVerdict.INCONCLUSIVE
    assert _asked(GOOD, None, None) is GateVerdict.INCONCLUSIVE
    assert _asked(GOOD, None, GOOD) is GateVerdict.PASS
    assert _asked(BAD, BAD) is GateVerdict.FAIL
    assert _asked(BAD, GOOD, BAD) is GateVerdict.INCONCLUSIVE
    assert _asked(Measured(0.6, 0.6), Measured(0.6, 0.6)) is GateVerdict.FAIL


def test_no_data_is_no_answer_and_breaks_the_row() -> None:
    assert _asked(NONE, NONE, NONE) is GateVerdict.INCONCLUSIVE
    assert _asked(GOOD, NONE, GOOD) is GateVerdict.INCONCLUSIVE
    assert _asked(GOOD, GOOD, NONE) is GateVerdict.INCONCLUSIVE
    assert _asked(Measured(float("nan"), 1.0), Measured(0.1, float("nan"))) is GateVerdict.INCONCLUSIVE


def test_an_infinite_answer_breaks_a_limit_and_is_kept_as_none() -> None:
    infinite = float("inf")
    assert _asked(Measured(infinite, 0.1), Measured(infinite, 0.1)) is GateVerdict.FAIL
    relative = QueryGate("ratio", "q", "b", max_ratio=2.0, successes=1, failures=1)
    assert _asked(Measured(0.1, infinite), gate=relative) is GateVerdict.INCONCLUSIVE
    assert _asked(Measured(infinite, infinite), gate=relative) is GateVerdict.INCONCLUSIVE
    for baseline in (0.1, infinite):
        measured = {"ratio": Measured(infinite, baseline)}
        last = judge([relative], {}, 10, GateEvidence(0.0, None, measured=measured), ERRORS)["ratio"].last
        assert last is not None
        assert last.value is None


def test_a_ratio_alone_cannot_be_asked_without_a_baseline() -> None:
    relative = QueryGate("ratio", "q", "b", max_ratio=2.0, successes=1)
    assert _asked(GOOD, percent=100, gate=relative) is GateVerdict.NOT_APPLICABLE
    assert _asked(GOOD, GOOD, percent=100) is GateVerdict.PASS


def test_how_long_a_step_takes_is_told_before() -> None:
    seconds, slowest = seconds_needed([LOSSES, PODS], 10, 50.0, ERRORS)
    assert (seconds, slowest) == (pytest.approx(368 / 5), "losses")
    assert seconds_needed([LOSSES], 10, 0.0, ERRORS)[0] == float("inf")
    assert (
        seconds_needed([QueryGate("q", "x", max=1.0, successes=3, interval=20)], 10, 0.0, ERRORS)[0] == 40.0
    )


def test_progress_is_kept_whole() -> None:
    for after in (_judged({}, Answers(400, 1))["losses"], _split({}, 0, 400)):
        assert GateProgress.from_json(after.to_json()) == after
