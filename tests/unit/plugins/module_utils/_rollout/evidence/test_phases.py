# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.marks import Marks, marks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.phases import Phase, phases
from ansible_collections.iter8.kfserving.tests.support.moments import (
    APPLIED,
    COMPLETED,
    EXPERIMENT_CREATED,
    moment,
    traffic,
)

ROLES = {"a": "baseline", "b": "canary"}


def names(found: Marks, start: float = 0, end: float = 100) -> list[tuple[str, float, float]]:
    return [(phase.name, phase.start, phase.end) for phase in phases(found, ROLES, start, end)]


def test_without_a_canary_all_is_one_phase() -> None:
    assert phases(marks([traffic(20, b=100)]), ROLES, 1, 9) == [Phase("before the canary", 1, 9, {})]


def test_phases_from_before_to_after() -> None:
    found = marks([APPLIED, traffic(20, a=99, b=1), traffic(30, a=95, b=5), COMPLETED, traffic(60, b=100)])
    assert names(found) == [
        ("before the canary", 0, 10),
        ("canary at 0 %", 10, 20),
        ("canary at 1 %", 20, 30),
        ("canary at 5 %", 30, 50),
        ("promotion", 50, 60),
        ("after", 60, 100),
    ]
    assert [dict(p.weights) for p in phases(found, ROLES, 0, 100)][3:] == [
        {"baseline": 95, "canary": 5},
        {"baseline": 95, "canary": 5},
        {"canary": 100},
    ]


def test_phases_end_with_the_load_and_begin_with_it() -> None:
    found = marks([APPLIED, traffic(20, a=99, b=1), COMPLETED, traffic(60, b=100)])
    assert names(found, 20, 50) == [("canary at 1 %", 20, 50)]
    assert names(found, 15, 55) == [
        ("canary at 0 %", 15, 20),
        ("canary at 1 %", 20, 50),
        ("promotion", 50, 55),
    ]


def test_the_same_split_observed_twice_is_one_phase() -> None:
    found = marks(
        [
            APPLIED,
            traffic(20, a=99, b=1),
            traffic(25, a=99, b=1),
            traffic(30, a=95, b=5),
            traffic(35, a=95, b=5),
        ]
    )
    assert names(found) == [
        ("before the canary", 0, 10),
        ("canary at 0 %", 10, 20),
        ("canary at 1 %", 20, 30),
        ("canary at 5 %", 30, 100),
    ]


def test_a_canary_that_lost_its_weight_again_is_at_zero() -> None:
    found = marks([APPLIED, traffic(20, a=95, b=5), traffic(30, a=100)])
    assert names(found)[2:] == [("canary at 5 %", 20, 30), ("canary at 0 %", 30, 100)]


@pytest.mark.parametrize(
    ("winner", "failed", "name"),
    [
        ("canary", False, "promotion"),
        ("baseline", False, "rollback"),
        (None, False, "rollback"),
        ("canary", True, "rollback"),
    ],
)
def test_what_follows_the_experiment_is_named_by_its_end(winner: str | None, failed: bool, name: str) -> None:
    end = moment(50, "experiment", "completed", winner=winner, failed=failed)
    assert names(marks([APPLIED, traffic(20, a=95, b=5), end]))[-1] == (name, 50, 100)


def test_a_revision_without_a_role_keeps_its_name() -> None:
    found = marks([APPLIED, traffic(20, a=50, b=20, c=30)])
    assert phases(found, ROLES, 0, 100)[-1] == Phase(
        "canary at 20 %", 20, 100, {"baseline": 50, "c": 30, "canary": 20}
    )


def test_a_split_that_nothing_bears_out_is_not_known() -> None:
    found = marks([APPLIED, traffic(20, a=99, b=1), EXPERIMENT_CREATED, COMPLETED])
    assert names(found) == [
        ("before the canary", 0, 10),
        ("canary at 0 %", 10, 20),
        ("canary at an unknown weight", 20, 50),
        ("promotion", 50, 100),
    ]
    assert [dict(p.weights) for p in phases(found, ROLES, 0, 100)] == [
        {"baseline": 100},
        {"baseline": 100},
        {},
        {},
    ]
