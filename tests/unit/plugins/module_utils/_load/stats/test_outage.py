# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaps by answers and outages by sends, in whichever order the answers come."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.together import CommonOutages
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats import outage
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.outage import (
    MAX_WINDOWS,
    Outages,
)


def plain(at: int | None) -> float | None:
    return at


def told(outages: Outages) -> list[tuple[Any, Any, Any, int, float]]:
    return [
        (row["last_success"], row["first_failed_send"], row["recovered"], row["failed"], row["longest_wait"])
        for row in outages.to_json(plain, "new")[0]
    ]


def test_gaps_are_by_answers_and_windows_by_sends() -> None:
    outages = Outages(100)
    outages.success(1, 110, 120)
    outages.success(2, 130, 150)
    outages.failure(4, 160, 170)
    outages.success(3, 155, 175)  # was sent before the first failure: it does not end the outage
    outages.failure(5, 165, 180)
    outages.success(6, 190, 260)
    outages.success(7, 265, 270)
    outages.failure(8, 280, 300)
    outages.settle(())
    assert told(outages) == [(155, 160, 190, 2, 15 / 1e9), (265, 280, None, 1, 20 / 1e9)]
    assert outages.gap_json(plain) == {"seconds": 85 / 1e9, "start": 175, "end": 260}
    assert {row["connection_mode"] for row in outages.to_json(plain, "new")[0]} == {"new"}


def test_a_slow_failure_is_dated_by_its_sending() -> None:
    """Number 3 fails long after all others were answered, and number 6 a little later."""
    outages = Outages(0)
    for seq in (1, 2, 4, 5, 7, 8, 9):
        outages.success(seq, 10 * seq, 10 * seq + 1)
        outages.settle([number for number in (3, 6) if number < seq])
    outages.failure(3, 30, 1000)
    outages.settle([6])
    assert told(outages) == [(20, 30, 40, 1, 970 / 1e9)]
    outages.failure(6, 60, 1010)
    outages.settle(())
    assert told(outages) == [(20, 30, 40, 1, 970 / 1e9), (50, 60, 70, 1, 950 / 1e9)]


def test_losses_that_answers_parted_are_not_one_outage_while_an_earlier_one_hangs() -> None:
    outages = Outages(0)
    outages.failure(2, 20, 21)
    outages.success(3, 30, 31)
    outages.failure(4, 40, 41)
    outages.settle([1])
    # A look at a load that runs leaves out what is in flight, and changes nothing.
    for _look in range(2):
        assert told(outages) == [(None, 20, 30, 1, 1 / 1e9), (30, 40, None, 1, 1 / 1e9)]
    outages.failure(1, 10, 100)
    outages.settle(())
    assert told(outages) == [(None, 10, 30, 2, 90 / 1e9), (30, 40, None, 1, 1 / 1e9)]


def test_a_load_that_never_succeeds_is_one_gap_and_one_outage() -> None:
    outages = Outages(100)
    outages.failure(1, 110, 120)
    outages.failure(2, 120, 400)
    assert outages.gap == 300
    assert told(outages) == [(None, 110, None, 2, 280 / 1e9)]


def test_windows_are_bounded() -> None:
    outages = Outages(0)
    for k in range(MAX_WINDOWS + 5):
        outages.failure(2 * k, 2 * k, 2 * k)
        outages.success(2 * k + 1, 2 * k + 1, 2 * k + 1)
    outages.settle(())
    assert (len(outages.windows), outages.dropped) == (MAX_WINDOWS, 5)


def test_what_is_kept_while_one_request_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "MAX_PENDING", 50)
    outages = Outages(0)
    most = 0
    for seq in range(2, 4000):
        (outages.failure if 1000 < seq < 3000 else outages.success)(seq, seq, seq)
        if not seq % 10:
            outages.settle([1])
            most = max(most, len(outages.answered) + len(outages._losses))
    assert most <= 200
    outages.failure(1, 1, 5000)
    outages.settle(())
    # The hanging one was before all that succeeded: it is counted by itself, not as a part of the other.
    assert told(outages) == [(1000, 1001, 3000, 1999, 0)]
    assert outages.dropped == 1


def brute_force(outcomes: dict[int, bool], waits: dict[int, int]) -> list[tuple[Any, Any, Any, int, float]]:
    runs: list[list[int]] = []
    for seq in sorted(outcomes):
        if outcomes[seq]:
            continue
        if runs and all(not outcomes[other] for other in range(runs[-1][0], seq)):
            runs[-1].append(seq)
        else:
            runs.append([seq])
    return [
        (
            max((10 * seq for seq in outcomes if outcomes[seq] and seq < run[0]), default=None),
            10 * run[0],
            min((10 * seq for seq in outcomes if outcomes[seq] and seq > run[0]), default=None),
            len(run),
            max(waits[seq] for seq in run) / 1e9,
        )
        for run in runs
    ]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_order_of_answers_the_runs_are_those_of_the_sends(seed: int) -> None:
    """Requests are sent every 10 ns and take up to 600; the outages are settled at random moments."""
    chance = random.Random(seed)
    bad = chance.choice([0.02, 0.3, 0.9])
    count = 150
    outcomes = {seq: chance.random() > bad for seq in range(count)}
    waits = {seq: chance.choice([1, 5, 40, 600]) for seq in range(count)}
    outages = Outages(-1)
    ends = sorted((10 * seq + waits[seq], seq) for seq in range(count))
    for at, (end, seq) in enumerate(ends):
        (outages.success if outcomes[seq] else outages.failure)(seq, 10 * seq, end)
        if chance.random() < 0.4:
            outages.settle([other for _end, other in ends[at + 1 :] if 10 * other <= end])
    assert told(outages) == brute_force(outcomes, waits)
    outages.settle(())
    assert told(outages) == brute_force(outcomes, waits)


# Several loads


def load_of(started: float, ended: float, outages: list[tuple[Any, Any]], lost: list[float]) -> Any:
    return {
        "started": started,
        "ended": ended,
        "outages_of_all": [{"last_success": begin, "recovered": end} for begin, end in outages],
        "ledger": [{"sent": sent, "intended": sent, "waited": 0.5} for sent in lost],
    }


def together(*own: Any) -> list[tuple[Any, Any, Any, int]]:
    common = CommonOutages()
    for part in own:
        common.add(part)
    return [
        (row["last_success"], row["first_failed_send"], row["recovered"], row["failed"])
        for row in common.rows()
    ]


def test_loads_fail_together_while_none_of_them_has_a_success() -> None:
    first = load_of(0, 100, [(10, 20), (40, 60)], [12, 15, 45, 55])
    second = load_of(0, 100, [(14, 30)], [16, 25])
    assert together(first, second) == [(14, 15, 20, 2)]


def test_a_load_that_does_not_send_is_in_nobodys_way() -> None:
    first = load_of(0, 100, [(90, None)], [95, 97])
    second = load_of(0, 92, [], [])
    third = load_of(200, 300, [(None, 205)], [200])
    assert together(first, second, third) == [(92, 95, 205, 3)]
    assert together(load_of(0, 9, [], []), load_of(0, 9, [], [])) == []
