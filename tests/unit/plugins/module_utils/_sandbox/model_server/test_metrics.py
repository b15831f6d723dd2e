# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.model_server import metrics

NAME = "revision_app_request_latencies"


def samples(text: str) -> dict[str, float]:
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"
    }


def test_counts_by_code_with_knatives_names_and_labels() -> None:
    counted = metrics.RevisionMetrics({"revision_name": "r", "namespace_name": "n"})
    for code, milliseconds in ((200, 3.0), (200, 30.0), (500, 7.5)):
        counted.observe(code, milliseconds)
    found = samples(counted.exposition())
    base = 'namespace_name="n",revision_name="r",response_code='
    assert found[f'revision_app_request_count{{{base}"200",response_code_class="2xx"}}'] == 2
    assert found[f'{NAME}_count{{{base}"200",response_code_class="2xx"}}'] == 2
    assert found[f'{NAME}_sum{{{base}"200",response_code_class="2xx"}}'] == 33.0
    assert found[f'{NAME}_count{{{base}"500",response_code_class="5xx"}}'] == 1


@pytest.mark.parametrize(
    ("milliseconds", "first_bucket"),
    [(0.0, "5"), (5.0, "5"), (5.001, "10"), (1000.0, "1000"), (1000.1, "2000"), (1e9, "+Inf")],
)
def test_bucket_bounds_are_inclusive_and_cumulative(milliseconds: float, first_bucket: str) -> None:
    counted = metrics.RevisionMetrics({})
    counted.observe(200, milliseconds)
    lines = [line for line in counted.exposition().splitlines() if line.startswith(f"{NAME}_bucket")]
    values = [(re.findall(r'le="([^"]+)"', line)[0], line.rsplit(" ", 1)[1]) for line in lines]
    assert [bound for bound, _unused in values] == [*map(str, metrics.BOUNDS_MS), "+Inf"]
    at = [bound for bound, _unused in values].index(first_bucket)
    assert [value for _unused, value in values] == ["0"] * at + ["1"] * (len(values) - at)


def test_label_values_are_escaped() -> None:
    counted = metrics.RevisionMetrics({"pod_name": 'a"b\\c\nd'})
    counted.observe(200, 1.0)
    assert r'pod_name="a\"b\\c\nd"' in counted.exposition()


def test_no_request_no_series() -> None:
    assert samples(metrics.RevisionMetrics({}).exposition()) == {}
