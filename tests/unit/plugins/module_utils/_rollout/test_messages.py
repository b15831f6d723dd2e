# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import messages


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (1 - 0.05 ** (1 / 512), "0.6 %"),
        (1 - 0.05 ** (1 / 400), "0.8 %"),
        (1 - 0.05 ** (1 / 3000), "0.1 %"),
        (1 - 0.05 ** (1 / 29956), "0.01 %"),
        (1 - 0.05 ** (1 / 9000), "0.04 %"),
        (0.0095, "1 %"),
        (0.00095, "0.1 %"),
        (0.01, "1 %"),
        (0.0105, "1.1 %"),
        (0.015, "1.5 %"),
        (0.0295, "3 %"),
        (0.2589, "25.9 %"),
        (0.25, "25 %"),
        (0.2501, "25.1 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
    ],
)
def test_a_bound_is_rounded_up(rate: float, expected: str) -> None:
    assert messages.rate_below(rate) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0000123, "12 µs"),
        (0.001, "1 ms"),
        (0.01234, "12.3 ms"),
        (0.0999, "99.9 ms"),
        (0.1, "0.10 s"),
        (0.21, "0.21 s"),
        (9.994, "9.99 s"),
        (10, "10 s"),
        (75.4, "75 s"),
    ],
)
def test_seconds(value: float, expected: str) -> None:
    assert messages.elapsed(value) == expected


def test_clock_is_in_utc_to_the_millisecond() -> None:
    assert messages.utc(1_800_000_008.2) == "08:00:08.200 UTC"
    assert messages.utc(1_800_000_008.9996) == "08:00:09.000 UTC"
    assert messages.utc_date(1_800_000_008.9996) == "2027-01-15"


def test_counting_words() -> None:
    assert messages.count(1, "request") == "1 request"
    assert messages.count(0, "request") == "0 requests"
    assert messages.tally({"b": 1, "a": 1, "c": 3}) == "3 × c, 1 × a, 1 × b"


def test_phases_in_words() -> None:
    counts = {
        "before the canary": 1,
        "canary at 5 %": 2,
        "promotion": 3,
        "rollback": 4,
        "after": 5,
        "the load": 6,
    }
    assert messages.in_phases(counts, 6) == (
        "1 before the canary, 2 with the canary at 5 %, 3 during promotion, 4 during the rollback, "
        "5 after the rollout, 6 during the load"
    )
    assert messages.in_phases(counts).endswith("4 during the rollback and more in 2 other phases")
    assert messages.in_phases(counts, 5).endswith("5 after the rollout and more in 1 other phase")
    assert messages.in_phases({}) == ""
