# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.merge import (
    between,
    contains,
    merged,
    undo,
)
from hypothesis import given
from hypothesis import strategies as st

LEAVES = st.one_of(st.integers(0, 3), st.text("ab", max_size=2), st.lists(st.integers(0, 2), max_size=2))
OBJECTS = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3))
MAPPINGS = st.dictionaries(st.sampled_from("xyz"), OBJECTS, max_size=3)
PATCHES = st.dictionaries(
    st.sampled_from("xyz"),
    st.recursive(
        st.one_of(st.none(), LEAVES), lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_size=3,
)


# The examples of RFC 7396, appendix A, that have objects on both sides.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_applied_as_the_standard_says(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: _without_empty(each) for key, each in value.items()}
    return {key: each for key, each in kept.items() if each != {}}


@given(MAPPINGS, PATCHES)
def test_what_is_undone_is_as_before(target: dict[str, Any], patch: dict[str, Any]) -> None:
    """But for mappings without anything in them, which mean nothing."""
    after = merged(merged(target, patch), undo(target, patch))
    assert _without_empty(after) == _without_empty(target)


@given(MAPPINGS, MAPPINGS)
def test_what_is_between_leads_from_the_one_to_the_other(
    there: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert _without_empty(merged(there, between(there, wanted))) == _without_empty(wanted)
    assert between(wanted, wanted) == {}


@given(MAPPINGS, PATCHES)
def test_what_was_applied_is_contained(target: dict[str, Any], patch: dict[str, Any]) -> None:
    assert contains(merged(target, patch), patch)


def test_a_quantity_that_a_webhook_wrote_in_its_own_way_is_no_difference() -> None:
    wanted = {"model": {"resources": {"limits": {"cpu": 1, "memory": "2048Mi"}, "requests": {"cpu": "500m"}}}}
    there = {"model": {"resources": {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "0.5"}}}}
    assert contains(there, wanted)
    assert between(there, wanted) == {}
    more = {"model": {"resources": {"limits": {"cpu": "1001m"}}}}
    assert not contains(there, more)
    assert between(there, {"model": {"resources": {**there["model"]["resources"], "limits": {"cpu": 2}}}})
    # Of what is no quantity nobody knows what it means.
    assert not contains({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "1.0"}]})


def test_defaults_of_webhooks_are_no_difference() -> None:
    there = {"containers": [{"name": "c", "image": "i", "resources": {}}], "maxReplicas": 3, "name": ""}
    assert contains(there, {"containers": [{"name": "c", "image": "i"}], "name": None})
    assert not contains(there, {"containers": [{"name": "c", "image": "other"}]})
    assert not contains(there, {"containers": []})
    assert not contains(there, {"maxReplicas": None})
