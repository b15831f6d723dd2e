# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import restart
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.probes import (
    EAGER_FOR,
    EAGER_SECONDS,
    LIVENESS,
    READINESS,
    STARTUP,
    ProbeSpec,
    ProbeState,
)


def test_spec_has_the_defaults_of_kubernetes() -> None:
    assert ProbeSpec.parse({"httpGet": {}}) == ProbeSpec(0, 10, 1, 1, 3)
    given = {
        "initialDelaySeconds": 1,
        "periodSeconds": 2,
        "timeoutSeconds": 3,
        "successThreshold": 4,
        "failureThreshold": 5,
    }
    assert ProbeSpec.parse(given) == ProbeSpec(1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("kind", "spec", "results", "verdicts"),
    [
        (READINESS, ProbeSpec(), "+", [True]),
        (READINESS, ProbeSpec(success_threshold=2), "+-++", [None, None, None, True]),
        (READINESS, ProbeSpec(failure_threshold=2), "+--+", [True, None, False, True]),
        (READINESS, ProbeSpec(failure_threshold=2), "+-+-", [True, None, True, None]),
        (LIVENESS, ProbeSpec(failure_threshold=3), "---", [None, None, False]),
        (LIVENESS, ProbeSpec(failure_threshold=3), "--+--", [None, None, True, None, None]),
        (STARTUP, ProbeSpec(failure_threshold=3), "---", [None, None, False]),
    ],
)
def test_thresholds(kind: str, spec: ProbeSpec, results: str, verdicts: list[Optional[bool]]) -> None:
    state = ProbeState(kind, spec, started_at=0.0)
    seen = [state.observe(result == "+", spec.period * n) for n, result in enumerate(results)]
    assert seen == verdicts


def test_what_holds_before_the_first_result() -> None:
    assert [ProbeState(kind, ProbeSpec(), 0.0).verdict for kind in (READINESS, LIVENESS, STARTUP)] == [
        False,
        True,
        False,
    ]
    assert ProbeState(READINESS, ProbeSpec(), 0.0, verdict=True).verdict


def test_first_asked_after_the_initial_delay() -> None:
    assert ProbeState(READINESS, ProbeSpec(initial_delay=3), started_at=100.0).due == 103.0
    assert ProbeState(READINESS, ProbeSpec(), started_at=100.0).due == 100.0


def test_readiness_is_asked_often_until_it_has_succeeded_once() -> None:
    state = ProbeState(READINESS, ProbeSpec(period=5), started_at=0.0)
    state.observe(False, 0.0)
    assert state.due == EAGER_SECONDS
    state.observe(True, 0.2)
    assert state.due == 5.2
    state.observe(False, 5.2)
    assert state.due == 10.2


def test_eagerness_does_not_last() -> None:
    state = ProbeState(READINESS, ProbeSpec(initial_delay=2, period=5), started_at=0.0)
    state.observe(False, 2.0 + EAGER_FOR - 0.1)
    assert state.due == pytest.approx(2.1 + EAGER_FOR)
    state.observe(False, 2.1 + EAGER_FOR)
    assert state.due == pytest.approx(7.1 + EAGER_FOR)


def test_liveness_keeps_its_period() -> None:
    state = ProbeState(LIVENESS, ProbeSpec(period=5), started_at=0.0)
    state.observe(False, 0.0)
    assert state.due == 5.0


def test_extra_failures_do_not_use_up_the_startup_probes_patience() -> None:
    state = ProbeState(STARTUP, ProbeSpec(period=1, failure_threshold=3), started_at=0.0)
    failed_at: Optional[float] = None
    asked = 0
    while failed_at is None:
        asked += 1
        if state.observe(False, now := state.due) is False:
            failed_at = now
    # Asked five times a second, and yet three periods were granted.
    assert failed_at == pytest.approx(2.0)
    assert asked == 11


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
    assert restart.restarts(policy, code) is again


def test_back_off_doubles_to_five_minutes_and_is_forgiven_after_ten() -> None:
    backoff = restart.Backoff()
    assert [backoff.after(1.0) for _unused in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.after(599.0) == 300
    assert [backoff.after(600.0), backoff.after(1.0)] == [0, 10]


def test_back_off_goes_on_where_another_node_left_it() -> None:
    assert restart.Backoff(pause=40.0).after(1.0) == 80
