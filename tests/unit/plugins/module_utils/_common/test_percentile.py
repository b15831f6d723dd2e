# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.percentile import percentile

# Ten values: 1, four up to 10, five up to 20 of which the largest is 18.
SHAPE: dict[str, Any] = {
    "Count": 10, "Min": 1.0, "Max": 18.0,
    "Data": [
        {"Start": 1.0, "End": 10.0, "Percent": 50.0, "Count": 5},
        {"Start": 10.0, "End": 18.0, "Percent": 100.0, "Count": 5},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (0, 1.0),
        (10, 1.0),  # the first of ten values
        (30, 5.5),  # half-way from the first value to the end of its bucket
        (50, 10.0),
        (75, 14.0),
        (100, 18.0),
        (101, 18.0),
    ],
)
def test_percentile(wanted: float, value: float) -> None:
    assert percentile(SHAPE, wanted) == pytest.approx(value)


def test_one_value_is_all_percentiles() -> None:
    one = {"Count": 1, "Min": 3, "Max": 3, "Data": [{"Start": 3, "End": 3, "Percent": 100, "Count": 1}]}
    assert {percentile(one, wanted) for wanted in (0, 50, 99.9, 100)} == {3.0}


@pytest.mark.parametrize("empty", [{"Count": 0, "Data": []}, {"Count": 0, "Min": 0, "Max": 0, "Data": []}])
def test_an_empty_histogram_has_none(empty: dict[str, Any]) -> None:
    assert percentile(empty, 50) is None


@pytest.mark.parametrize(
    ("shape", "error"), [({}, KeyError), ({"Count": 2, "Data": [7]}, (KeyError, TypeError))]
)
def test_another_shape_is_an_error(shape: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        percentile({"Min": 0, "Max": 1, **shape}, 99)


# The example of Fortio's own documentation of its histogram.
FORTIO: dict[str, Any] = {
    "Count": 11, "Min": 0.0005, "Max": 120,
    "Data": [
        {"Start": 0.0005, "End": 0.001, "Percent": 18.181818, "Count": 2},
        {"Start": 0.001, "End": 0.002, "Percent": 36.363636, "Count": 2},
        {"Start": 0.014, "End": 0.016, "Percent": 54.545454, "Count": 2},
        {"Start": 0.09, "End": 0.1, "Percent": 63.636363, "Count": 1},
        {"Start": 0.45, "End": 0.5, "Percent": 72.727272, "Count": 1},
        {"Start": 2, "End": 2.5, "Percent": 81.818181, "Count": 1},
        {"Start": 2.5, "End": 3, "Percent": 90.909090, "Count": 1},
        {"Start": 100, "End": 120, "Percent": 100, "Count": 1},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "value"),
    [(1, 0.0005), (9.0909, 0.0005), (50, 0.0155), (75, 2.125), (90, 2.95), (99, 117.8), (100, 120)],
)
def test_percentiles_are_fortios(wanted: float, value: float) -> None:
    assert percentile(FORTIO, wanted) == pytest.approx(value, rel=1e-6)
