# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a driven rollout in the verdict, the page and junit.xml."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.formats.driven import steps
from ansible_collections.iter8.kfserving.plugins.module_utils._report.formats.junit import junit
from ansible_collections.iter8.kfserving.plugins.module_utils._report.material import Material
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence, study
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.result import (
    GateResult,
    GateVerdict,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.account import line, summary
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules.driven import driver_decided
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support.artefacts import validator
from ansible_collections.iter8.kfserving.tests.support.driven import Driver, Knative, plan_of
from ansible_collections.iter8.kfserving.tests.support.rollouts import START


def driven(restarts: int = 0, **given: Any) -> dict[str, Any]:
    """What the driver of a rollout says that it did."""
    plan = plan_of(steps=[{"percent": 10, "seconds": 2}], gates=[{"type": "pods"}], **given)
    driver = Driver(plan, Knative(), pods=lambda: Pods(1, 1, restarts))
    driver.run()
    return summary(plan, driver.state)


@pytest.mark.parametrize(
    ("restarts", "given", "winner", "grade"),
    [
        (0, {}, "canary", "pass"),
        (1, {}, "canary", "fail"),
        (1, {}, "baseline", "pass"),
        (0, {}, "baseline", "fail"),
        (1, {"on_failure": "hold"}, "canary", "inconclusive"),
    ],
)
def test_the_end_is_held_against_what_was_expected(
    restarts: int, given: dict[str, Any], winner: str, grade: str
) -> None:
    facts = study(Evidence(driver=driven(restarts, **given)))
    (finding,) = driver_decided(facts, Thresholds(expect_winner=winner))
    assert finding.grade.value == grade


def test_another_driver_is_not_asked_for() -> None:
    assert driver_decided(study(Evidence()), Thresholds()) == []
    assert decide(Evidence()).as_dict()["driver"] is None


def test_the_summary_tells_patches_steps_gates_and_the_way_back() -> None:
    told = driven(2)
    assert [row["move"] for row in told["patches"]] == ["create", "10 %", "0 %"]
    assert told["steps"][0]["gates"] == {"pods": "fail"}
    assert told["steps"][0]["passed"] is False
    assert told["rollback_seconds"] > 0
    assert "2 restarts" in told["cause"]


def _material(restarts: int, winner: str = "canary") -> Material:
    evidence = Evidence(driver=driven(restarts))
    verdict = decide(evidence, Thresholds(expect_winner=winner)).as_dict()
    return Material(verdict, study(evidence), {})


def test_the_page_shows_what_the_driver_did() -> None:
    shown = steps(_material(1))
    assert "take all traffic from the canary" in shown
    assert "1 restart" in shown
    assert steps(Material(decide(Evidence()).as_dict(), study(Evidence()), {})) == ""


def test_junit_has_a_case_for_each_gate_and_step() -> None:
    root = ElementTree.fromstring(junit(_material(1)).partition("\n")[2])
    (case,) = [each for each in root.iter("testcase") if each.get("classname", "").endswith(".gate")]
    assert case.get("name") == "Gate pods at 10 %"
    assert case.find("failure") is not None


@pytest.mark.parametrize("verdict", list(GateVerdict))
def test_a_line_of_the_timeline_takes_each_verdict_of_a_gate(verdict: GateVerdict) -> None:
    said = GateResult("latency", verdict, "said").to_json()
    line_of = {"time": START, "source": "driver", "event": "gate", "text": "said"}
    data = {"at": START, "what": "gate", "percent": 100, **said}
    assert list(validator("timeline-event").iter_errors({**line_of, "data": data})) == []


def test_every_line_of_a_history_has_words() -> None:
    plan = plan_of(steps=[{"percent": 10, "seconds": 2}], gates=[{"type": "pods"}])
    driver = Driver(plan, Knative(), pods=lambda: Pods(1, 1, 1))
    driver.run()
    lines = [line(entry, driver.state.started) for entry in driver.state.history]
    assert lines[0].startswith("rollout in knative mode")
    assert any("going back: at 10 %, pods" in each for each in lines)
    assert all("None" not in each for each in lines)
