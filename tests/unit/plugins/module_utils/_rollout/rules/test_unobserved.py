# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of time in which nothing observed the traffic."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import adding, answered
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import claim, verdict
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def test_without_an_observed_split_nothing_is_held_against_a_revision() -> None:
    run = rollouts.good()
    run.drop_events("inferenceservice", "traffic")
    found = verdict(run)
    assert (claim(found, "none_at_weight_zero"), claim(found, "shares_as_set")) == (None, "inconclusive")
    rollouts.unnamed(run)
    assert claim(verdict(run), "shares_as_set") is None


def unwatched(run: Run) -> None:
    """The second watch observes 55 % first, at 45 s; the canary had reached 25 % and more from 30 s on."""
    assert run.timeline is not None
    unobserved = {START + at for at in (30, 35, 40)}
    run.timeline = [e for e in run.timeline if e["event"] != "traffic" or e["time"] not in unobserved]
    first = next(e for e in run.timeline if e["event"] == "traffic" and e["time"] == START + 45)
    first["data"]["first"] = True
    # A first snapshot tells the revisions again, at the same time.
    again = rollouts.event(45, "inferenceservice", "revision_ready", revision=CANARY)
    run.timeline.insert(run.timeline.index(first), again)


def test_twenty_unobserved_seconds_within_the_shift_are_no_pass_and_nobodys_fault() -> None:
    run = rollouts.good()
    unwatched(run)
    found = verdict(run)
    assert (found["verdict"], [r["rule"] for r in found["reasons"]]) == (
        "inconclusive",
        ["watched_throughout"],
    )
    assert rollouts.figures(found, "watched_throughout") == {
        "seconds": 20.0,
        "intervals": 1,
        "max_unobserved": 1.0,
    }
    expected = "Nothing watched the traffic from 08:00:25.000 UTC to 08:00:45.000 UTC"
    assert any(line.startswith(expected) for line in found["not_covered"])
    assert verdict(run, Thresholds(max_unobserved=20.0))["verdict"] == "pass"
    assert verdict(run, Thresholds(max_unobserved=19.9))["verdict"] == "inconclusive"


def test_without_the_mark_of_a_new_watch_the_same_seconds_are_held_against_the_canary() -> None:
    run = rollouts.good()
    unwatched(run)
    next(e for e in run.timeline or [] if e["time"] == START + 45 and e["event"] == "traffic")["data"].pop(
        "first"
    )
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"shares_as_set"}


def stop_observing(run: Run) -> None:
    """The wait for the Experiment ended before it observed any split: the API server was away, say."""
    assert run.timeline is not None
    run.timeline = [e for e in run.timeline if e["source"] != "inferenceservice" or e["time"] <= START + 10]
    adding({"time": START + 91.0, "source": "playbook", "event": "stopped", "text": "Stopped at 'Wait'"})(run)


def test_a_wait_that_observed_no_split_leaves_none_standing() -> None:
    """The canary had 1 % when the first wait ended, and went on to 100 %."""
    run = rollouts.good()
    stop_observing(run)
    found = verdict(run)
    assert [r["rule"] for r in found["reasons"]] == ["run_not_stopped"]
    assert [p["name"] for p in found["phases"]] == [
        "before the canary",
        "canary at 0 %",
        "canary at an unknown weight",
        "promotion",
    ]
    expected = "Nothing watched the traffic from 08:00:10.000 UTC to 08:01:30.000 UTC"
    assert any(line.startswith(expected) for line in found["not_covered"])
    answered(3, 4, baseline=99, canary=1)(run)
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"run_not_stopped", "none_at_weight_zero"}


def test_a_loss_in_unobserved_time_is_dated_by_that() -> None:
    run = rollouts.good()
    stop_observing(run)
    rollouts.lose(run, 30.0)
    assert "; 1 with the canary at an unknown weight" in verdict(run)["reasons"][0]["text"]


def test_a_split_that_changed_after_the_last_watch_is_held_against_nobody() -> None:
    """Somebody took the traffic back once the wait was over."""
    run = rollouts.good()
    answered(80, 90, baseline=100)(run)
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"none_at_weight_zero", "shares_as_set"}
    run.inferenceservice = builders.isvc(traffic={BASELINE: 100})
    found = verdict(run)
    assert [r["rule"] for r in found["reasons"]] == ["traffic_moved"]
    assert found["phases"][-1]["name"] == "after"
    assert found["phases"][-1]["weights"] == {}


def test_the_split_observed_last_stands_where_the_end_bears_it_out() -> None:
    run = rollouts.good()
    assert not any("Nothing watched" in line for line in verdict(run)["not_covered"])
    run.inferenceservice = None
    assert not any("Nothing watched" in line for line in verdict(run)["not_covered"])


def test_a_canary_that_is_ready_before_the_watch_begins_does_not_leak() -> None:
    run = rollouts.good()
    answered(5, 10, baseline=99, canary=1)(run)
    assert verdict(run)["reasons"][0]["rule"] == "none_at_weight_zero"
    assert run.timeline is not None
    run.drop_events("inferenceservice", "revision_created")
    run.drop_events("inferenceservice", "revision_ready")
    next(e for e in run.timeline if e["time"] == START + 10)["data"]["first"] = True
    assert verdict(run, Thresholds(max_unobserved=5.0))["verdict"] == "pass"
    answered(1, 2, baseline=99, canary=1)(run)
    assert verdict(run)["reasons"][0]["rule"] == "none_at_weight_zero", (
        "before it was applied it had no weight"
    )


def test_before_the_first_watch_of_all_nothing_counts_as_unobserved() -> None:
    run = rollouts.good()
    run.event("inferenceservice", "traffic")["data"]["first"] = True
    assert not any("Nothing watched" in line for line in verdict(run)["not_covered"])


@pytest.mark.parametrize(("seconds", "listed"), [(1.9, False), (2.0, True)])
def test_a_short_unobserved_interval_is_not_listed(seconds: float, listed: bool) -> None:
    run = rollouts.good()
    assert run.timeline is not None
    split = {CANARY: 55, BASELINE: 45}
    again = rollouts.event(45 + seconds, "inferenceservice", "traffic", traffic=split, first=True)
    run.timeline.append(again)
    assert any("Nothing watched" in line for line in verdict(run)["not_covered"]) is listed
