# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of rollouts is refused whole, with every problem at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.filter.rollout_list_problems import FilterModule

KNOWN = ["rollout_load_rate", "rollout_namespace", "verify_thresholds"]


def problems(rollouts: Any, taken: tuple[str, ...] = ()) -> list[str]:
    found: list[str] = FilterModule().filters()["rollout_list_problems"](rollouts, KNOWN, taken)
    return found


def test_a_list_that_can_be_tried_has_none() -> None:
    assert problems([{"name": "a"}, {"name": "b-2", "rollout_load_rate": 5, "verify_thresholds": {}}]) == []


@pytest.mark.parametrize(
    ("rollouts", "words"),
    [
        ([], "rollout_list is empty"),
        (None, "rollout_list is empty"),
        ("iris", "rollout_list is a text"),
        ({"name": "a"}, "rollout_list is a mapping"),
        ([5], "Rollout 1 is 5, and must be a mapping"),
        ([{"rollout_load_rate": 5}], "Rollout 1 has no name"),
        ([{"name": 7}], "Rollout 1 has the name 7"),
        ([{"name": "A b"}], "Rollout 1 has the name 'A b'"),
        ([{"name": "../up"}], "Rollout 1 has the name '../up'"),
        ([{"name": "a" * 23}], "use up to 22 small letters"),
        ([{"name": "a\n"}], "Rollout 1 has the name 'a\\n'"),
        ([{"name": "b"}, {"name": "a"}, {"name": "b"}], "Rollouts 1 and 3 are both called b."),
        (
            [{"name": "a", "rollout_lod_rate": 5}],
            "Rollout 1 (a) has rollout_lod_rate, which no rollout of a list ",
        ),
        ([{"name": "a", "rollout_lod_rate": 5}], "Did you mean rollout_load_rate?"),
        ([{"name": "a", 5: 5}], "Rollout 1 (a) has 5, which"),
    ],
)
def test_what_is_wrong_is_named(rollouts: Any, words: str) -> None:
    assert any(words in problem for problem in problems(rollouts)), problems(rollouts)


def test_a_name_of_the_inventory_is_not_taken_over() -> None:
    assert problems([{"name": "gateway"}], ("gateway",)) == [
        "Rollout 1 has the name gateway, which is that of a host of the inventory."
    ]


def test_all_are_told_at_once() -> None:
    assert len(problems([{"name": "a"}, {"name": "a", "x": 1, "y": 2}, {}, 3])) == 5
