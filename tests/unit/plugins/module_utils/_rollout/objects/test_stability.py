# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.stability import Held


def fed(held: Held, *looks: tuple[float, bool]) -> list[bool]:
    return [held.feed(now, holds) for now, holds in looks]


def test_it_must_hold_for_the_seconds() -> None:
    assert fed(Held(2.0), (0, True), (1.9, True), (2.0, True)) == [False, False, True]


def test_one_look_is_never_enough() -> None:
    assert fed(Held(0.0), (5, True), (5, True)) == [False, True]
    assert fed(Held(0.0, looks=3), (5, True), (5, True), (5, True)) == [False, False, True]
    assert fed(Held(2.0), (0, True), (60, True)) == [False, True]


def test_a_look_at_which_it_does_not_hold_begins_anew() -> None:
    looks = [(0.0, True), (1.0, True), (1.5, False), (2.0, True), (3.9, True), (4.0, True)]
    assert fed(Held(2.0), *looks) == [False, False, False, False, False, True]


def test_another_thing_that_holds_begins_anew() -> None:
    held = Held(2.0)
    shown = [held.feed(now, True, what) for now, what in ((0, "a"), (2, "b"), (3, "b"), (4, "b"))]
    assert shown == [False, False, False, True]


def test_for_how_long_it_has_held() -> None:
    held = Held(2.0)
    assert held.held_for(7.0) == 0.0
    held.feed(7.0, True)
    assert held.held_for(8.5) == 1.5
    held.feed(9.0, False)
    assert held.held_for(9.0) == 0.0
