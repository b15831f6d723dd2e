# SPDX-License-Identifier: GPL-3.0-or-later
"""A load that several generators sent: one that did not do its part is named, and the verdict not a pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import study
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import Offset
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import Verdict, decide
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.generators import three
from ansible_collections.iter8.kfserving.tests.support.rollouts import APPLIED, ENDED, SETTLED, START


def reasons(verdict: Verdict, name: str = "generators_whole") -> list[str]:
    return [finding.text for rule, finding in verdict.reasons() if rule.name == name]


def test_three_that_did_their_parts_pass() -> None:
    verdict = decide(three().evidence())
    assert verdict.grade.value == "pass", verdict.reasons()
    told = [
        f.text for claim in verdict.claims if claim.rule.name == "generators_whole" for f in claim.findings
    ]
    assert told == ["all 3 generators sent their parts to the end"]


def test_a_load_of_one_generator_has_no_such_rule() -> None:
    assert "generators_whole" not in {claim.rule.name for claim in decide(rollouts.good().evidence()).claims}


Change = Callable[[dict[str, Any]], None]


def put(**values: Any) -> Change:
    return lambda row: row.update(values)


MISSING = put(
    state="missing", problem="unreachable", started=None, ended=None, requests=None, lateness=None,
    rate_kept=None, longest_stall=None, connection_modes=None, clock_offset=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (MISSING, "left no result: unreachable"),
        (put(state="interrupted", ended=START + 80.0), "was killed at 08:01:20.000 UTC"),
        (put(state="aborted"), "ended itself, since too much failed at 08:01:30.000 UTC"),
        (put(state="running"), "was not ended at 08:01:30.000 UTC"),
        (put(problem="its pod was evicted"), "is not to be relied on: its pod was evicted"),
        (put(longest_stall=1.5), "stood still for 1.50 s"),
        (put(lateness={"p50": 0, "p99": 0.75, "max": 1}), "sent 1 % of its requests 0.75 s late or more"),
        (put(rate_kept=False), "did not keep its 33.33 requests a second"),
        (put(started=START + APPLIED + 1), "began 1.00 s after the canary was applied"),
        (put(ended=START + SETTLED - 2.5), "ended 2.50 s before the rollout did"),
        (put(clock_offset=None), "has a clock that nothing was compared with"),
    ],
)
def test_one_that_did_not_is_named(change: Change, text: str) -> None:
    run = three()
    change(run.own["generators"][1])
    verdict = decide(run.evidence())
    assert verdict.grade.value == "inconclusive"
    assert reasons(verdict) == [f"the generator load-2 {text}"]


def test_what_is_within_the_thresholds_passes() -> None:
    run = three()
    run.own["generators"][1].update(longest_stall=1.0, lateness={"p50": 0, "p99": 0.5, "max": 1})
    assert reasons(decide(run.evidence())) == []


def test_a_clock_that_is_not_known_well_enough_is_named() -> None:
    run = three()
    run.own["generators"][2]["clock_offset"] = {"low": -0.3, "high": 0.3}
    assert reasons(decide(run.evidence()), "clocks_known") == [
        "the clock of the generator load-3 is between -0.30 and +0.30 s ahead, which is too uncertain"
    ]
    assert reasons(decide(run.evidence(), Thresholds(max_clock_uncertainty=0.6)), "clocks_known") == []


def test_the_load_is_dated_within_what_is_known_of_all_clocks() -> None:
    run = three()
    run.own["generators"][0]["clock_offset"] = {"low": -0.05, "high": -0.01}
    clocks = study(run.evidence()).clocks
    assert (clocks.load, clocks.contradicted) == (Offset(-0.05, 0.02), False)
    # The mark comes after the start: the clocks are farther apart than they were found to be.
    run.event("playbook", "load_started")["time"] = START - 0.5
    assert study(run.evidence()).clocks.contradicted
    run.event("playbook", "load_started")["time"] = START - 0.06
    assert not study(run.evidence()).clocks.contradicted


def test_many_hosts_may_take_long_to_be_started_and_stopped() -> None:
    """The marks are written once all are, and the clocks were compared."""
    run = three()
    run.event("playbook", "load_started")["time"] = START + 4.9
    run.own["started"] = START - 20.0
    for row in run.own["generators"]:
        row["started"] = START - 20.0
    run.timeline.append(rollouts.event(ENDED + 30.0, "playbook", "load_stopped"))  # type: ignore[union-attr]
    assert reasons(decide(run.evidence()), "clock_steady") == []
    run.own["generators"] = []
    assert reasons(decide(run.evidence()), "clock_steady") != []


def test_an_outage_of_one_generator_is_held_against_its_own_gap() -> None:
    """The others had successes meanwhile, so the gap of all is shorter."""
    run = three()
    rollouts.lose(run, 31.0)
    run.own["generators"][0]["failed"] = 1
    run.own["generators"][0]["connection_modes"]["keep-alive"]["failed"] = 1
    run.own["outages"] = [
        {"connection_mode": "keep-alive", "last_success": START + 30.0, "first_failed_send": START + 31.0}
        | {"recovered": START + 36.0, "failed": 1, "longest_wait": 0.02, "generator": "load-1"}
    ]
    assert reasons(decide(run.evidence()), "counts_agree") != []
    run.own["generators"][0]["connection_modes"]["keep-alive"]["longest_success_gap"] = rollouts.gap(6.0)
    assert reasons(decide(run.evidence()), "counts_agree") == []


@pytest.mark.parametrize(
    "bad",
    [{"clock_offset": {"low": 1, "high": 0}}, {"started": None}, {"asked_rate": "many"}, {"lateness": 1}],
)
def test_what_cannot_be_read_is_a_problem_and_no_error(bad: dict[str, Any]) -> None:
    run = three()
    run.own["generators"][0].update(bad)
    assert "the load test's result cannot be read" in study(run.evidence()).problems["load"]


def test_the_connection_modes_of_all_are_those_of_the_load() -> None:
    """Each one's sum is right, and that of all of them is not."""
    run = three()
    modes = run.own["generators"][1]["connection_modes"]
    modes["keep-alive"]["requests"] += 3
    modes["new"]["requests"] -= 3
    verdict = decide(run.evidence())
    assert verdict.grade.value == "inconclusive"
    (text,) = reasons(verdict, "counts_agree")
    assert "requests on keep-alive connections of all generators" in text
