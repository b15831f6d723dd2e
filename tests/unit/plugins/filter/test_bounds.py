# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that tell what a number of requests proves, and how many it takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.iter8.kfserving.plugins.filter.loss_bound import loss_bound
from ansible_collections.iter8.kfserving.plugins.filter.requests_needed import needed
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("requests", "bound"), [(10, 0.2589), (400, 0.00746), (1000, 0.00299), (3000, 0.000998), (29956, 0.0001)]
)
def test_none_lost_proves_about_three_in_n(requests: int, bound: float) -> None:
    assert loss_bound(requests) == pytest.approx(bound, rel=2e-3)


def test_nothing_sent_proves_nothing() -> None:
    assert loss_bound(0) == 1.0
    assert loss_bound("0") == 1.0


@pytest.mark.parametrize(
    ("bound", "requests"), [(0.01, 299), (0.001, 2995), (0.0001, 29956), (0.5, 5), (0.99, 1)]
)
def test_how_many_it_takes(bound: float, requests: int) -> None:
    assert needed(bound) == requests


@given(bound=st.floats(1e-5, 0.9), lost=st.integers(0, 20), confidence=st.floats(0.5, 0.999))
def test_one_request_fewer_would_not_do(bound: float, lost: int, confidence: float) -> None:
    enough = needed(bound, lost, confidence)
    assert loss_bound(enough, lost, confidence) <= bound * (1 + 1e-6)
    assert enough == lost + 1 or loss_bound(enough - 1, lost, confidence) >= bound * (1 - 1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: loss_bound(10, 11), "loss_bound: Lost requests must be from 0 to the number of requests"),
        (lambda: loss_bound("many"), "loss_bound: "),
        (lambda: loss_bound(10, confidence=1), "The confidence must lie between 0 and 1, not at 1."),
        (lambda: needed(0), "requests_needed: The bound must lie between 0 and 1, not at 0."),
        (lambda: needed(0.1, -1), "must not be below 0"),
        (lambda: needed(None), "requests_needed: "),
        (lambda: needed(0.1, confidence=95), "not at 95."),
        (lambda: loss_bound(0, confidence=95), "not at 95."),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=re.escape(words)):
        call()


def test_the_guides_table_has_the_figures_of_the_filters() -> None:
    text = (ROOT / "docs/guides/rate-and-duration.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) % \| ([\d,]+) \| ([\d,]+) \|", text, re.MULTILINE)
    assert len(rows) >= 5
    for percent, none_lost, one_lost in rows:
        bound = float(percent) / 100
        assert int(none_lost.replace(",", "")) == needed(bound)
        assert int(one_lost.replace(",", "")) == needed(bound, 1)
