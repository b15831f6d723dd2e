# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.probes import (
    EAGER_FOR,
    EAGER_SECONDS,
    ProbeSpec,
    ProbeState,
)


def test_spec_has_the_defaults_of_kubernetes() -> None:
    assert ProbeSpec.parse({"httpGet": {}}) == ProbeSpec(0, 10, 1, 3)
    given = {"initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 5}
    assert ProbeSpec.parse(given) == ProbeSpec(1, 2, 3, 5)


@pytest.mark.parametrize(
    ("before", "threshold", "results", "verdicts"),
    [
        (False, 3, "+", "+"),
        (False, 2, "+--+", "++-+"),
        (False, 2, "+-+-", "++++"),
        (False, 1, "--+-", "--+-"),
        (False, 3, "--+-", "--++"),
        (True, 3, "---", "++-"),
        (True, 3, "--+--", "+++++"),
        (True, 2, "---+", "+--+"),
    ],
)
def test_a_threshold_of_failures_and_one_success(
    before: bool, threshold: int, results: str, verdicts: str
) -> None:
    spec = ProbeSpec(failure_threshold=threshold)
    state = ProbeState(spec, 0.0, before)
    seen = [state.observe(result == "+", spec.period * n) for n, result in enumerate(results)]
    assert seen == [verdict == "+" for verdict in verdicts]


def test_first_asked_after_the_initial_delay() -> None:
    assert ProbeState(ProbeSpec(initial_delay=3), 100.0, False).due == 103.0
    assert ProbeState(ProbeSpec(), 100.0, False).due == 100.0


def test_readiness_is_asked_often_until_it_has_succeeded_once() -> None:
    state = ProbeState(ProbeSpec(period=5), 0.0, False)
    state.observe(False, 0.0)
    assert state.due == EAGER_SECONDS
    state.observe(True, 0.2)
    assert state.due == 5.2
    state.observe(False, 5.2)
    assert state.due == 10.2


def test_eagerness_does_not_last() -> None:
    state = ProbeState(ProbeSpec(initial_delay=2, period=5), 0.0, False)
    state.observe(False, 2.0 + EAGER_FOR - 0.1)
    assert state.due == pytest.approx(2.1 + EAGER_FOR)
    state.observe(False, 2.1 + EAGER_FOR)
    assert state.due == pytest.approx(7.1 + EAGER_FOR)


def test_what_holds_already_is_asked_at_its_period() -> None:
    state = ProbeState(ProbeSpec(period=5), 0.0, True)
    state.observe(False, 0.0)
    assert state.due == 5.0
