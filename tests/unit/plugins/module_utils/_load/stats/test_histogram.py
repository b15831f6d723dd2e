# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets, exact merging, and Fortio's shape."""

from __future__ import annotations

import json
import math
import statistics

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.percentile import percentile
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result import fortio
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.histogram import Histogram, bucket
from hypothesis import given
from hypothesis import strategies as st

values = st.lists(st.integers(0, 10**11), min_size=1, max_size=60)


def filled(of: list[int]) -> Histogram:
    made = Histogram()
    for value in of:
        made.add(value)
    return made


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (0, 0),
        (1, 1),
        (999, 999),
        (1000, 1000),
        (1001, 1010),
        (1010, 1010),
        (12_340, 12_400),
        (99_901, 100_000),
    ],
)
def test_bucket(value: int, bound: int) -> None:
    assert bucket(value) == bound


@given(st.integers(0, 10**12))
def test_bucket_is_an_upper_bound_within_one_percent_that_no_bound_of_fortio_divides(value: int) -> None:
    upper = bucket(value)
    assert value <= upper <= value * 1.01 + 1
    for scale in (1, 1000, 10**6):
        for bound in fortio._BOUNDS:
            assert (value <= bound * scale) == (upper <= bound * scale)


@given(values)
def test_moments_are_exact(of: list[int]) -> None:
    made = filled(of)
    assert (made.count, made.sum, made.min, made.max) == (len(of), sum(of), min(of), max(of))
    assert made.deviation == pytest.approx(statistics.pstdev(of), rel=1e-9, abs=1e-6)


@given(values, values)
def test_merging_is_the_same_as_counting_together(one: list[int], other: list[int]) -> None:
    merged = filled(one)
    merged.merge(filled(other))
    assert merged.to_json() == filled(one + other).to_json()
    assert Histogram.from_json(json.loads(json.dumps(merged.to_json()))).to_json() == merged.to_json()


@given(values, st.floats(0.01, 1))
def test_quantile(of: list[int], share: float) -> None:
    exact = sorted(of)[math.ceil(share * len(of)) - 1]
    assert exact <= filled(of).quantile(share) <= exact * 1.01 + 1


def test_empty() -> None:
    made = Histogram()
    made.merge(Histogram())
    made.add_all({})
    assert (made.count, made.mean, made.deviation, made.quantile(0.5)) == (0, 0, 0, 0)
    shape = fortio.histogram(made, fortio.MICROSECONDS, 1000)
    assert (shape["Count"], shape["Data"]) == (0, [])
    assert shape["Percentiles"][0] == {"Percentile": 50.0, "Value": 0.0}


def test_the_vector_of_fortio() -> None:
    """Fortio's own example; 0.0010001 s is in the bucket above 1 ms."""
    seconds = [0.0005, 0.001, 0.0010001, 0.002, 0.0155, 0.016, 0.0999, 0.5, 2.5, 3, 120]
    shape = fortio.histogram(filled([math.ceil(s * 1e6) for s in seconds]), fortio.MICROSECONDS, 1000)
    found = {p: percentile(shape, p) for p in (50, 75, 90, 99)}
    assert found == pytest.approx({50: 0.0155, 75: 2.125, 90: 2.95, 99: 117.8})
    first = {"Start": 0.0005, "End": 0.001, "Percent": 200 / 11, "Count": 2}
    assert shape["Data"][0] == pytest.approx(first)
    assert shape["Data"][-1] == {"Start": 100, "End": 120, "Percent": 100, "Count": 1}
    assert sum(entry["Count"] for entry in shape["Data"]) == shape["Count"] == 11


def test_one_value() -> None:
    shape = fortio.histogram(filled([1500]), fortio.MICROSECONDS, 1000)
    assert shape["Data"] == [{"Start": 0.0015, "End": 0.0015, "Percent": 100.0, "Count": 1}]
    assert [entry["Value"] for entry in shape["Percentiles"]] == [0.0015] * 5
