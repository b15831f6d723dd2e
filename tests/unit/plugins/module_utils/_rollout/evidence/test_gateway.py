# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway's log adds to a verdict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import LogEntry
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.flags import MEANINGS
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def verdict(run: Run) -> dict[str, Any]:
    found = decide(run.evidence()).as_dict()
    assert json.loads(json.dumps(found)) == found
    return found


def claims(found: dict[str, Any]) -> dict[str, list[str]]:
    return {c["rule"]: [f["text"] for f in c["findings"]] for c in found["claims"]}


def test_a_log_that_bears_the_answers_out_passes() -> None:
    run = rollouts.good()
    run.access_log = rollouts.log_of(run)
    found = verdict(run)
    assert (found["verdict"], found["reasons"], found["named_by"]) == ("pass", [], "answers")
    assert claims(found)["log_whole"] == ["the gateway's log has all 9000 requests that were answered"]
    assert claims(found)["sent_once"] == ["no request came to the gateway more than once"]
    assert claims(found)["log_agrees"] == ["the answers and the gateway's log name the same revisions"]
    assert found["gateway"] == {
        "lines": 9000,
        "torn_lines": 0,
        "requests": 9000,
        "repeated": 0,
        "statuses": {"200": 9000},
        "revisions": {BASELINE: 4525, CANARY: 4475},
        "failures": [],
        "not_in_log": 0,
    }


def lossy() -> Run:
    """Three failures: two that the log explains, one that never came to the gateway."""
    run = rollouts.good()
    rollouts.lose(run, 26.5, status=503)
    rollouts.lose(run, 27.5, revision="", kind="reset")
    rollouts.lose(run, 28.5, revision="", kind="connect")
    entries = {"r-0": LogEntry(503, "UH", CANARY), "r-1": LogEntry(0, "UC", BASELINE)}
    statuses = {"200": 8997, "503": 1, "0": 1}
    run.access_log = rollouts.log_of(
        run, entries=entries, statuses=statuses, revisions={BASELINE: 4526, CANARY: 4473}, requests=8999
    )
    return run


def test_each_failure_is_reported_with_the_gateways_flags() -> None:
    found = verdict(lossy())
    assert [r["rule"] for r in found["reasons"]] == ["nothing_lost"]
    text = found["reasons"][0]["text"]
    assert ": 1 × connect, 1 × reset UC, 1 × status 503 UH; " in text
    assert f"1 by the canary {CANARY}, 1 by the baseline {BASELINE}, 1 by no named revision" in text
    assert text.endswith(
        f"; by the gateway's log: 1 × UH, {MEANINGS['UH']}; 1 × UC, {MEANINGS['UC']}; 1 never reached it"
    )
    assert found["gateway"]["not_in_log"] == 1
    assert [row["flags"] for row in found["gateway"]["failures"]] == ["UH", "UC"]
    assert found["failures"][0] == {
        "class": "status",
        "status": 503,
        "flags": "UH",
        "revision": CANARY,
        "phase": "canary at 15 %",
        "connection_mode": "keep-alive",
        "failed": 1,
    }


def test_a_failure_that_only_the_log_names_counts_for_its_revision() -> None:
    found = verdict(lossy())
    assert found["revisions"] == {
        BASELINE: {"requests": 4526, "failed": 1, "role": "baseline"},
        CANARY: {"requests": 4473, "failed": 1, "role": "canary"},
        "": {"requests": 1, "failed": 1, "role": "other"},
    }
    assert claims(found)["counts_agree"] == ["every count of the load test agrees on 9000"]


def test_without_names_in_the_answers_the_log_tells_who_answered() -> None:
    run = rollouts.good()
    log = rollouts.log_of(run)
    rollouts.unnamed(run)
    assert verdict(run)["verdict"] == "inconclusive"
    run.access_log = log
    found = verdict(run)
    assert (found["verdict"], found["reasons"], found["named_by"]) == ("pass", [], "access_log")
    assert found["revisions"][CANARY] == {"requests": 4475, "failed": 0, "role": "canary"}
    assert claims(found)["answers_named"] == ["the gateway's log names the revision of every answer"]
    assert claims(found)["shares_as_set"][0].startswith("the canary answered 4475 of 9000 requests")
    assert "log_agrees" not in claims(found)


def test_names_that_are_not_revisions_give_way_to_those_of_the_log() -> None:
    run = rollouts.good()
    log = rollouts.log_of(run, statuses={"200": 8999, "500": 1})
    rollouts.lose(run, 26.5, revision="pod-a")
    run.own["revisions"] = {"pod-a": {"requests": 9000, "failed": 1}}
    for row in run.own["timeline"]:
        row["revisions"] = {"pod-a": 100}
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"nothing_lost", "answers_named"}
    run.access_log = log
    assert "1 by no named revision" in verdict(run)["reasons"][0]["text"]
    assert [r["rule"] for r in verdict(run)["reasons"]] == ["nothing_lost"]
    assert verdict(run)["revisions"][BASELINE]["requests"] == 4525


def test_the_log_is_checked_on_the_baseline_before_it_is_relied_on() -> None:
    """As where the weights are applied by another gateway behind this one."""
    run = rollouts.good()
    rollouts.unnamed(run)
    seconds = {START + second: {"cluster-local-gateway": 100} for second in range(rollouts.ENDED)}
    run.access_log = rollouts.log_of(run, revisions={"cluster-local-gateway": 9000}, seconds=seconds)
    found = verdict(run)
    assert [r["text"] for r in found["reasons"]] == [
        "before the canary, the gateway's log named cluster-local-gateway, never the baseline "
        f"{BASELINE}: they do not tell revisions"
    ]
    assert found["named_by"] is None


def test_a_leak_that_only_the_log_tells_is_a_failure() -> None:
    run = rollouts.good()
    log = rollouts.log_of(run)
    log.seconds[START + 3] = {BASELINE: 99, CANARY: 1}  # type: ignore[index]
    rollouts.unnamed(run)
    run.access_log = log
    assert verdict(run)["reasons"][0]["rule"] == "none_at_weight_zero"


def test_a_log_that_lacks_requests_names_no_more_than_it_has() -> None:
    run = rollouts.good()
    log = rollouts.log_of(run, revisions={BASELINE: 4525, CANARY: 4000}, statuses={"200": 8525})
    rollouts.unnamed(run)
    run.access_log = log
    found = verdict(run)
    assert {r["rule"] for r in found["reasons"]} == {"log_whole", "answers_named"}
    assert "475 answers did not name the revision that gave them, nor does the gateway's log" in [
        r["text"] for r in found["reasons"]
    ]


def test_a_log_that_was_cut_is_not_said_to_disagree() -> None:
    run = rollouts.good()
    run.access_log = rollouts.log_of(run, revisions={BASELINE: 4000}, statuses={"200": 4000})
    assert [r["rule"] for r in verdict(run)["reasons"]] == ["log_whole"]


@pytest.mark.parametrize(
    ("first", "last", "whole"),
    [(-10.0, 100.0, True), (-10.1, 100.0, False), (0.0, 100.02, True), (0.0, 100.1, False)],
)
def test_how_far_the_gateways_clock_may_be_off(first: float, last: float, whole: bool) -> None:
    """The load ran for 90 s, and its slowest answer took 20 ms."""
    run = rollouts.good()
    run.access_log = rollouts.log_of(run, first=START + first, last=START + last)
    assert ("log_whole" in {r["rule"] for r in verdict(run)["reasons"]}) is not whole


def test_a_log_without_a_load_says_nothing() -> None:
    run = rollouts.good()
    run.access_log = rollouts.log_of(run)
    run.load = None
    assert not {"log_whole", "log_agrees"} & set(claims(verdict(run)))
