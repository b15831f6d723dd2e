# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    tail_above,
    tail_below,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import study
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.shares import (
    Share,
    Split,
    shares,
    split,
)
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def ranges(run: Run, margin: float, role: str = "canary") -> list[tuple[float, float]]:
    return [(share.low, share.high) for share in shares(study(run.evidence()), role, margin)]


def test_a_second_has_the_weights_that_may_have_routed_it() -> None:
    """At 20 s the weight goes from 1 to 5 %, at 25 s to 15 %; the slowest answer took 20 ms."""
    exact = ranges(rollouts.good(), 0.0)
    assert exact[15] == (0.01, 0.01)
    assert exact[19] == (0.01, 0.05), "the change at its very end"
    assert exact[20] == (0.01, 0.05), "routed 20 ms before the change"
    assert exact[21] == (0.05, 0.05)
    assert exact[88] == (1.0, 1.0)


@pytest.mark.parametrize(("margin", "second", "expected"), [(1.0, 18, (0.01, 0.05)), (1.0, 17, (0.01, 0.01))])
def test_the_margin_reaches_forwards(margin: float, second: int, expected: tuple[float, float]) -> None:
    assert ranges(rollouts.good(), margin)[second] == expected


@pytest.mark.parametrize(
    ("slowest", "margin", "expected"),
    [
        (0.02, 1.0, (0.05, 0.05)),
        (0.02, 1.99, (0.01, 0.05)),
        (1.02, 1.0, (0.01, 0.05)),
        (2.02, 0.0, (0.01, 0.05)),
    ],
)
def test_the_margin_and_slow_answers_reach_back(
    slowest: float, margin: float, expected: tuple[float, float]
) -> None:
    run = rollouts.good()
    run.own["timeline"][22]["max"] = slowest
    assert ranges(run, margin)[22] == expected


def test_the_baselines_weights_are_the_rest() -> None:
    assert ranges(rollouts.good(), 0.0, "baseline")[15] == (0.99, 0.99)


def test_each_second_belongs_to_the_phase_of_its_middle() -> None:
    run = rollouts.good()
    run.own.update(started=START + 0.7, ended=START + 89.3)
    found = [share.phase for share in shares(study(run.evidence()), "canary", 0.0)]
    assert (found[0], found[4], found[5], found[89]) == (
        "before the canary",
        "before the canary",
        "canary at 0 %",
        "after",
    )


def test_a_second_outside_the_load_may_have_had_any_weight() -> None:
    run = rollouts.good()
    run.own["timeline"][3]["second"] = START + 500
    assert ranges(run, 2.0)[3] == (0.0, 1.0)


def test_without_a_load_there_are_no_shares() -> None:
    run = rollouts.good()
    run.load = None
    assert ranges(run, 2.0) == []


def rows(*counts: tuple[int, int, float, float]) -> list[Share]:
    run = rollouts.good()
    template = list(shares(study(run.evidence()), "canary", 0.0))[0].second
    found = []
    for baseline, canary, low, high in counts:
        revisions = {BASELINE: baseline, CANARY: canary, "stranger": 7, "": 3}
        second = type(template)(**{**template.__dict__, "revisions": revisions})
        found.append(Share(second, "x", low, high))
    return found


def test_rows_are_added_by_their_requests() -> None:
    found = split(rows((90, 10, 0.0, 0.1), (10, 10, 0.5, 0.6)), CANARY, [BASELINE])
    assert (found.requests, found.answered) == (120, 20)
    assert found.low == pytest.approx((100 * 0.0 + 20 * 0.5) / 120)
    assert found.high == pytest.approx((100 * 0.1 + 20 * 0.6) / 120)


def test_no_requests_stray_nowhere() -> None:
    found = split(rows((0, 0, 0.1, 0.2)), CANARY, [BASELINE])
    assert found == Split(0, 0, 0.0, 1.0)
    assert (found.chance, found.distance) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("answered", "chance", "distance"),
    [
        (10, tail_above(10, 100, 0.05), 0.05),
        (1, tail_below(1, 100, 0.04), 0.03),
        (4, tail_below(4, 100, 0.04), 0.0),
        (5, tail_above(5, 100, 0.05), 0.0),
    ],
)
def test_chance_and_distance(answered: int, chance: float, distance: float) -> None:
    found = Split(100, answered, 0.04, 0.05)
    assert found.chance == pytest.approx(chance)
    assert found.distance == pytest.approx(distance)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (37, (0.35, 0.35)),
        (39, (0.35, 0.55)),
        (41, (0.45, 0.55)),
        (44, (0.45, 0.55)),
        (45, (0.45, 0.55)),
        (46, (0.55, 0.55)),
    ],
)
def test_a_time_without_a_watch_may_have_had_any_weight_before_and_after(
    second: int, expected: tuple[float, float]
) -> None:
    """The weight of 55 % was observed first at 45 s; the split before was observed at 40 s."""
    run = rollouts.good()
    assert run.timeline is not None
    next(e for e in run.timeline if e["time"] == START + 45)["data"]["first"] = True
    assert ranges(run, 0.0)[second] == expected


def test_what_was_observed_between_two_unobserved_intervals_is_known() -> None:
    """From 35 s to 40 s and from 40 s to 45 s nothing was observed; at 40 s, between them, 45 % was."""
    run = rollouts.good()
    assert run.timeline is not None
    for line in run.timeline:
        if line["event"] == "traffic" and line["time"] in (START + 40, START + 45):
            line["data"]["first"] = True
    assert ranges(run, 0.0)[42] == (0.45, 0.55)


def test_a_revision_that_a_second_does_not_name_answered_nothing_in_it() -> None:
    found = rows((10, 10, 0.5, 0.5))
    for name in (BASELINE, CANARY):
        second = type(found[0].second)(**{**found[0].second.__dict__, "revisions": {name: 4}})
        added = split([*found, Share(second, "x", 0.5, 0.5)], CANARY, [BASELINE])
        assert (added.requests, added.answered) == (24, 14 if name == CANARY else 10)
