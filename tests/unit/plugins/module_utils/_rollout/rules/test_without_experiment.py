# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on rollouts without an Experiment: the rules about one do not apply, all others do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.histories import STANDARD, history
from ansible_collections.iter8.kfserving.tests.support.rollouts import Run

PROMOTED, ROLLED_BACK = Thresholds(), Thresholds(expect_winner="baseline")


def reasons(made: Evidence, thresholds: Thresholds = PROMOTED) -> dict[str, str]:
    return {rule.name: finding.grade.value for rule, finding in decide(made, thresholds).reasons()}


def test_a_rollout_without_an_experiment_can_pass() -> None:
    verdict = decide(rollouts.observed(rollouts.good()).evidence(), PROMOTED)
    assert verdict.grade.value == "pass"
    assert verdict.summary.endswith("; canary promoted")
    rules = {claim.rule.name for claim in verdict.claims}
    assert not rules & {"experiment_succeeded", "expected_winner", "iterations_done", "handlers_succeeded"}


def test_an_experiment_is_missed_where_iter8_drives() -> None:
    run = rollouts.good()
    run.experiment = None
    assert reasons(run.evidence())["evidence_complete"] == "inconclusive"


def test_what_was_not_changed_was_not_rolled_out() -> None:
    run = rollouts.observed(rollouts.good())
    run.drop_events("inferenceservice", "changed")
    assert reasons(run.evidence())["load_spans_rollout"] == "inconclusive"


def test_a_rollout_that_did_not_end_is_none() -> None:
    run = rollouts.observed(rollouts.good())
    assert run.timeline is not None
    last = [each for each in run.timeline if each["event"] == "traffic"][-1]
    run.timeline.remove(last)
    assert run.inferenceservice is not None
    split = {BASELINE: 5, CANARY: 95}
    predictor = run.inferenceservice["status"]["components"]["predictor"]
    predictor["traffic"] = [{"revisionName": name, "percent": percent} for name, percent in split.items()]
    found = reasons(run.evidence())
    assert found["traffic_moved"] == "fail"
    assert found["load_spans_rollout"] == "inconclusive"


def test_a_roll_back_of_what_never_got_traffic_ends_when_the_playbook_found_it() -> None:
    run = rollouts.observed(rollouts.rolled_back())
    assert run.timeline is not None
    run.timeline = [each for each in run.timeline if each["event"] != "traffic"]
    run.timeline.insert(0, rollouts.event(0.3, "inferenceservice", "traffic", traffic={BASELINE: 100}))
    assert reasons(run.evidence(), ROLLED_BACK)["load_spans_rollout"] == "inconclusive"
    run.timeline.insert(-1, rollouts.event(80.0, "playbook", "rollout_ended"))
    assert "load_spans_rollout" not in reasons(run.evidence(), ROLLED_BACK)


def test_an_answer_of_a_revision_that_was_never_given_traffic_is_a_failure() -> None:
    run = rollouts.observed(rollouts.good())
    for second in run.own["timeline"]:
        if second["revisions"].get(CANARY):
            second["revisions"]["stranger"] = second["revisions"].pop(CANARY)
            break
    moved = second["revisions"]["stranger"]
    run.own["revisions"][CANARY]["requests"] -= moved
    run.own["revisions"]["stranger"] = {"requests": moved, "failed": 0}
    assert reasons(run.evidence())["known_revisions_only"] == "fail"
    assert run.timeline is not None
    run.timeline.insert(5, rollouts.event(9.0, "inferenceservice", "traffic", traffic={"stranger": 100}))
    assert reasons(run.evidence())["known_revisions_only"] == "inconclusive"


def driven(**given: Any) -> Evidence:
    """A rollout that this collection drove, with the driver's own account of it."""
    account = {
        "mode": "knative",
        "outcome": "promoted",
        "cause": "",
        "baseline": BASELINE,
        "canary": CANARY,
        "steps": [],
        "patches": [{"at": rollouts.START + 6.0, "text": "create the canary", "move": "create"}],
        "gates": [
            {
                "at": rollouts.START + 22.0,
                "percent": 5,
                "gate": "pods",
                "verdict": "pass",
                "message": "ready",
                "samples": 1,
            }
            | {"low": None, "high": None}
        ],
        "rollback_seconds": None,
        "started": rollouts.START + 5.0,
        "ended": rollouts.START + 80.0,
    }
    made = rollouts.observed(rollouts.good(), driver="progressive").evidence()
    return replace(made, driver={**account, **given})


def test_who_drives_is_read_from_the_first_mark() -> None:
    verdict = decide(driven(), PROMOTED)
    assert verdict.grade.value == "pass"


def test_without_the_drivers_account_nobody_knows_what_the_gates_said() -> None:
    assert reasons(replace(driven(), driver=None)) == {"evidence_complete": "inconclusive"}
    assert reasons(replace(driven(), driver={})) == {"evidence_complete": "inconclusive"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mode": None}, "mode is of the wrong type"),
        ({"patches": {}}, "patches is of the wrong type"),
        ({"patches": ["create"]}, "patches does not hold objects"),
        ({"gates": [{"at": 2.0}]}, "gates.percent is missing"),
        ({"rollback_seconds": "3"}, "rollback_seconds is of the wrong type"),
        ({"rollback_seconds": True}, "rollback_seconds is of the wrong type"),
    ],
)
def test_a_damaged_account_of_the_driver_is_none(given: dict[str, Any], words: str) -> None:
    verdict = decide(driven(**given), PROMOTED)
    ((rule, finding),) = verdict.reasons()
    assert (rule.name, finding.grade.value) == ("evidence_complete", "inconclusive")
    assert words in finding.text
    assert verdict.as_dict()["driver"] is None


@pytest.mark.parametrize("role", ["baseline", "canary"])
def test_an_account_of_another_rollout_contradicts_the_timeline(role: str) -> None:
    assert reasons(driven(**{role: "another-00007"})) == {"views_agree": "inconclusive"}


def test_in_standard_mode_the_driver_names_the_deployments_of_the_revisions() -> None:
    deployments = {"baseline": BASELINE.rpartition("-")[0], "canary": CANARY.rpartition("-")[0]}
    made = history(3, STANDARD)
    assert not made.tags
    made.run.event("playbook", "change_awaited")["data"]["driver"] = "progressive"
    for mode, against in (("standard", {}), ("knative", {"views_agree": "inconclusive"})):
        account = driven(mode=mode, **deployments).driver
        assert reasons(replace(made.run.evidence(), driver=account)) == against


def versions(run: Run, of_baseline: str, of_canary: str) -> Run:
    """The answers say something else than revisions, and the playbook said that it is to be learned."""
    names = {BASELINE: of_baseline, CANARY: of_canary}
    for second in run.own["timeline"]:
        told: dict[str, int] = {}
        for name, n in second["revisions"].items():
            told[names[name]] = told.get(names[name], 0) + n
        second["revisions"] = told
    total: dict[str, int] = {}
    for name, row in run.own["revisions"].items():
        total[names[name]] = total.get(names[name], 0) + row["requests"]
    run.own["revisions"] = {name: {"requests": n, "failed": 0} for name, n in total.items()}
    assert run.timeline is not None
    run.timeline.append(rollouts.event(2.0, "playbook", "names_learned", baseline=of_baseline))
    run.timeline.sort(key=lambda each: float(each["time"]))
    return run


def test_what_tells_two_versions_apart_is_learned() -> None:
    for made in (rollouts.good(), rollouts.observed(rollouts.good())):
        verdict = decide(versions(made, "v1", "v2").evidence(), PROMOTED)
        assert verdict.grade.value == "pass"
        assert any("told by v1" in each and "by v2" in each for each in verdict.as_dict()["not_covered"])


def test_what_both_answer_tells_nobody() -> None:
    made = versions(rollouts.observed(rollouts.good()), "v1", "v1")
    assert reasons(made.evidence())["answers_named"] == "inconclusive"
