# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.spec import (
    DEFAULT_GATES,
    GateError,
    parse_gates,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.templates import TEMPLATES


def test_the_defaults_are_gates() -> None:
    assert [gate.name for gate in parse_gates(DEFAULT_GATES)] == ["losses", "latency", "split", "pods"]


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("losses", "not a mapping"),
        ({"type": "speed"}, "has the type 'speed'"),
        ({"type": "losses", "max_rate": 0}, "max_rate must be from"),
        ({"type": "losses", "rate": 1}, "not rate"),
        ({"type": "losses", "max_rate": "much"}, "could not convert"),
        ({"type": "latency"}, "needs max_ratio, max_seconds"),
        ({"type": "latency", "quantile": 95, "max_ratio": 1.5}, "quantile must be from"),
        ({"type": "query", "max": 1}, "query is missing"),
        ({"type": "query", "query": "up"}, "needs max, min or max_ratio"),
        ({"type": "query", "query": "up", "max": float("nan")}, "must be numbers"),
        ({"type": "query", "query": "up", "max_ratio": 2}, "needs a baseline_query"),
        ({"type": "query", "query": "up", "template": "istio-p99", "max": 1}, "not both"),
        ({"type": "query", "template": "none", "max": 1}, "no template none"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(gate: Any, words: str) -> None:
    with pytest.raises(GateError, match=words):
        parse_gates([gate])


def test_two_of_a_name_are_refused() -> None:
    with pytest.raises(GateError, match="Two gates are called pods"):
        parse_gates([{"type": "pods"}, {"type": "pods"}])


def test_templates_name_both_sides() -> None:
    assert set(TEMPLATES) >= {"knative-failures", "knative-p99", "istio-p99", "envoy-failures", "kserve-p99"}
    for canary, baseline in TEMPLATES.values():
        assert "$canary" in canary
        assert "$baseline" in baseline
        assert canary.count("{") == canary.count("}")
