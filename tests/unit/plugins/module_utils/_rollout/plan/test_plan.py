# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import PlanError, parse_plan
from ansible_collections.iter8.kfserving.tests.support.driven import plan_of


def test_a_plan_survives_the_cluster() -> None:
    plan = plan_of(steps=[{"percent": 5, "seconds": 60, "answers": 100, "pause": True}, 50, 100])
    assert parse_plan(plan.to_json()) == plan
    assert parse_plan(plan.to_json()).fingerprint == plan.fingerprint
    assert plan.fingerprint != plan_of().fingerprint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"change": {}}, "nothing to roll out"),
        ({"change": {"canaryTrafficPercent": 10}}, "must not hold canaryTrafficPercent"),
        ({"change": {"minReplicas": 3}}, "must not hold minReplicas"),
        ({"steps": []}, "There are no steps"),
        ({"steps": [0]}, "from 1 to 100"),
        ({"steps": [101]}, "from 1 to 100"),
        ({"steps": [20, 20]}, "steps must rise"),
        ({"steps": [50, 20]}, "steps must rise"),
        ({"steps": [{"percent": 5, "weight": 3}]}, "Step 1 has weight"),
        ({"steps": [{"percent": 5, "seconds": 60, "deadline": 60}]}, "deadline"),
        # Whose deadline is two hours where none is given.
        (
            {"steps": [{"percent": n, "seconds": 3600, "deadline": 4000} for n in (5, 20)]},
            "which take 7200 s",
        ),
        ({"steps": [{"percent": 5, "seconds": float("nan")}]}, "less than nothing"),
        ({"steps": [{"percent": 5, "deadline": float("nan")}]}, "by its deadline of nan s"),
        ({"steps": ["much"]}, "needs a percent"),
        ({"gates": []}, "no gate"),
        ({"gates": [{"type": "luck"}]}, "Gate 1"),
        ({"error_rates": {"wrong_promotion": 0}}, "wrong_promotion must be above 0"),
        ({"error_rates": {"luck": 0.1}}, "no luck"),
        ({"on_failure": "pray"}, "on_failure must be rollback or hold"),
        ({"promote": "maybe"}, "promote must be"),
        ({"deadline": -1}, "deadline must be above 0"),
        ({"ready_timeout": 0}, "ready_timeout must be above 0"),
        ({"settle": -1}, "settle must not be below 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan_of(**given)


def test_the_same_version_has_the_same_name() -> None:
    assert plan_of().canary_name == plan_of(steps=[1]).canary_name
    assert plan_of().canary_name != plan_of(change={"model": {"storageUri": "gs://models/3"}}).canary_name
