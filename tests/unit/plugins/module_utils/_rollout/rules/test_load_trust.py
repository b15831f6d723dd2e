# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import load
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import (
    STALL,
    Bend,
    at,
    both,
    codes,
    counted,
    damaged,
    losing,
    own,
)
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import (
    UNSURE,
    Case,
    check,
    check_cover,
    claim,
    verdict,
)
from ansible_collections.iter8.kfserving.tests.support.rollouts import ENDED, START, Run

CASES = [
    Case(
        "the load was killed",
        "load_complete",
        own(state="interrupted"),
        UNSURE,
        {"state": "interrupted"},
        text="the load test did not end properly: it is interrupted",
    ),
    Case("the load was aborted", "load_complete", own(state="aborted"), UNSURE, {"state": "aborted"}),
    Case("the load still runs", "load_complete", own(state="running"), UNSURE, {"state": "running"}),
    Case("no state", "load_complete", own(state=""), UNSURE, {"state": ""}),
    Case(
        "RetCodes disagree",
        "counts_agree",
        codes,
        UNSURE,
        {"requests": 9000, "failed": 0, "sums": {"RetCodes": 8999}},
        text="the counts of the load test disagree: 9000 requests, 0 failed, but RetCodes 8999",
    ),
    Case(
        "the histogram disagrees",
        "counts_agree",
        counted,
        UNSURE,
        {"requests": 9000, "failed": 0, "sums": {"DurationHistogram": 9001}},
    ),
    Case(
        "ok disagrees",
        "counts_agree",
        own(ok=8000),
        UNSURE,
        {"requests": 9000, "failed": 0, "sums": {"ok and failed": 8000}},
    ),
    Case(
        "the ledger disagrees",
        "counts_agree",
        own(ledger_dropped=2),
        UNSURE,
        {"requests": 9000, "failed": 0, "sums": {"records of failures": 2}},
    ),
    Case(
        "the revisions disagree",
        "counts_agree",
        own(revisions={BASELINE: {"requests": 4525, "failed": 0}, CANARY: {"requests": 4000, "failed": 0}}),
        UNSURE,
        {"requests": 9000, "failed": 0, "sums": {"revisions": 8525}},
    ),
    Case(
        "the seconds disagree",
        "counts_agree",
        lambda run: run.own["timeline"][50].update(ok=50),
        UNSURE,
        {"requests": 9000, "failed": 0, "sums": {"timeline": 8950}},
    ),
    Case(
        "the rate was not kept",
        "rate_kept",
        own(rate_kept=False, actual_rate=61.25),
        UNSURE,
        {"asked": 100.0, "actual": 61.25},
        also={"counts_agree": UNSURE},
    ),
    Case(
        "the rate was not kept since all were late",
        "rate_kept",
        own(rate_kept=False, actual_rate=99.75, lateness={"p50": 0.0, "p99": 0.171, "max": 0.29}),
        UNSURE,
        {"asked": 100.0, "actual": 99.75},
        text=(
            "only 99.75 of the 100 requests a second asked for were sent; "
            "1 % of them were sent 0.17 s late or more"
        ),
    ),
    Case(
        "the rate was kept only on average",
        "rate_kept",
        own(rate_kept=False, actual_rate=100.0, lateness={"p50": 0.0, "p99": 0.133, "max": 0.2}),
        UNSURE,
        {"asked": 100.0, "actual": 100.0},
    ),
    Case(
        "the generator stood still",
        "generator_ran",
        own(stalls=[{"start": START + 3.0, "seconds": 0.4}, STALL]),
        UNSURE,
        {"stalls": 1, "longest": 4.0, "start": START + 30.0, "max_stall_seconds": 1.0},
        text=(
            "the load generator stood still for 4.00 s at 08:00:30.000 UTC: an outage then would "
            "not have been seen"
        ),
    ),
    Case(
        "the generator stood still twice",
        "generator_ran",
        own(stalls=[{"start": START + 3.0, "seconds": 1.4}, STALL]),
        UNSURE,
        {"stalls": 2, "longest": 4.0, "start": START + 30.0, "max_stall_seconds": 1.0},
    ),
    Case(
        "the generator was late",
        "generator_on_time",
        own(lateness={"p50": 0.3, "p99": 0.6, "max": 0.7}),
        UNSURE,
        {"p99": 0.6, "max_lateness_p99": 0.5},
        text="99 % of the requests were sent at most 0.60 s late, more than the 0.50 s allowed",
    ),
    Case(
        "the generator's own faults",
        "generator_healthy",
        losing({"after": 40.0, "kind": "client"}, {"after": 41.0, "kind": "client"}),
        UNSURE,
        {"client_faults": 2},
        text="2 requests failed by a fault or a limit of the load generator itself",
    ),
    Case(
        "the clock was set back",
        "clock_steady",
        at("experiment", "completed", 63.0),
        UNSURE,
        {"steps": 1},
        text=("the clock was changed during the run: the timeline goes back by 1.90 s at 08:01:03.000 UTC"),
    ),
    Case(
        "the clock was set forward",
        "clock_steady",
        at("playbook", "load_stopped", 3690.0),
        UNSURE,
        {"steps": 1},
    ),
    Case(
        "the clock was set before the load began",
        "clock_steady",
        own(started=START - 60.0),
        UNSURE,
        {"steps": 1},
        also={"counts_agree": UNSURE},
    ),
    Case(
        "answers without a body",
        "answers_whole",
        lambda run: run.load.update(RetCodes={"200": 8000, "204": 1000}),  # type: ignore[union-attr]
        UNSURE,
        {"statuses": {"204": 1000}},
        text=(
            "1000 answers with status 204 had no body, which is no prediction, and nobody says that it was "
            "expected"
        ),
    ),
    Case(
        "too few requests",
        "enough_requests",
        lambda run: setattr(run, "load", rollouts.load(rate=3)),
        UNSURE,
        {"requests": 270, "min_requests": 300},
        text="only 270 requests were sent, fewer than the 300 asked for",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_goes_wrong_is_said(case: Case) -> None:
    check(case)


def test_every_rule_is_refuted_by_some_case() -> None:
    check_cover(CASES, load.TRUST, frozenset({"generators_whole"}))


def test_as_fast_as_possible_has_no_rate_to_keep() -> None:
    run = rollouts.good()
    run.own.update(asked_rate=0, rate_kept=False, lateness={"p50": 9, "p99": 9, "max": 9})
    found = verdict(run)
    assert found["verdict"] == "pass"
    assert not {"rate_kept", "generator_on_time"} & {c["rule"] for c in found["claims"]}
    assert not any("An outage shorter" in words for words in found["not_covered"])


@pytest.mark.parametrize(("drift", "words"), [(3.0, "forward by 3.00 s"), (-3.0, "back by 3.00 s")])
def test_a_clock_that_was_set_while_the_load_ran_is_reported(drift: float, words: str) -> None:
    run = rollouts.good()
    own(wall_clock_drift=drift)(run)
    text = next(r["text"] for r in verdict(run)["reasons"] if r["rule"] == "clock_steady")
    assert text == f"the clock was changed during the run: while the load ran it was set {words}"


def answering_late(took: float) -> Bend:
    """The last answers take so long that their second is after the end of the sending."""

    def bend(run: Run) -> None:
        run.own["timeline"][-1].update(second=int(START + ENDED + took), max=took)

    return bend


def test_a_mark_that_is_late_may_be_a_host_that_was_too_busy() -> None:
    run = rollouts.good()
    at("playbook", "load_stopped", 104.0)(run)
    text = next(r["text"] for r in verdict(run)["reasons"] if r["rule"] == "clock_steady")
    assert text.endswith("by the timeline, unless the host was too busy to write it down in time")
    run = rollouts.good()
    at("playbook", "load_stopped", 70.0)(run)
    text = next(r["text"] for r in verdict(run)["reasons"] if r["rule"] == "clock_steady")
    assert text.endswith("by the timeline")


@pytest.mark.parametrize(
    ("bend", "grade"),
    [
        (own(started=START + 10.1), "pass"),
        (own(started=START + 10.2), "inconclusive"),
        (at("playbook", "load_stopped", 100.0), "pass"),
        (at("playbook", "load_stopped", 100.1), "inconclusive"),
        (both(answering_late(14.5), at("playbook", "load_stopped", 114.4)), "pass"),
        (both(answering_late(14.5), at("playbook", "load_stopped", 114.6)), "inconclusive"),
        (both(own(state="finished"), at("playbook", "load_stopped", 300.0)), "pass"),
        (at("experiment", "completed", 64.0), "pass"),
        (at("experiment", "completed", 63.8), "inconclusive"),
        (own(wall_clock_drift=1.0), "pass"),
        (own(wall_clock_drift=-1.0), "pass"),
        (own(wall_clock_drift=1.1), "inconclusive"),
        (own(wall_clock_drift=-1.1), "inconclusive"),
        (damaged("load", "it is gone"), "pass"),
        (damaged("timeline", "it is gone"), "pass"),
    ],
)
def test_how_far_clocks_may_part(bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert claim(verdict(run), "clock_steady") == grade


def busy(before: float | None, began: float, stopped: float, ahead: float = 0.0, over: float = ENDED) -> Bend:
    """Marks that came so late, and an observer that had begun `before` the load.

    The load's clock is so far ahead, and the rollout was found to be `over` so long after the load began.
    """

    def bend(run: Run) -> None:
        lines = run.timeline or []
        for line in lines:
            line["time"] += began
        run.event("playbook", "load_stopped")["time"] = START + ENDED + stopped
        lines.append(rollouts.event(over, "playbook", "rollout_ended"))
        if before is not None:
            lines.append(rollouts.event(-before, "observer", "started"))
        lines.sort(key=lambda line: float(line["time"]))
        run.own["started"] += ahead

    return bend


@pytest.mark.parametrize(
    ("bend", "grade"),
    [
        (busy(2.0, 18.0, 15.0), "pass"),
        (busy(2.0, 0.0, 300.0), "pass"),
        (busy(None, 18.0, 15.0), "inconclusive"),
        (busy(41.0, 18.9, 15.0), "pass"),
        (busy(41.2, 18.9, 15.0), "inconclusive"),
        # A load whose clock is behind by more than the time since the observer began.
        (busy(2.0, 18.0, 0.0, ahead=-2.0), "pass"),
        (busy(2.0, 18.0, 0.0, ahead=-2.1), "inconclusive"),
        (busy(2.0, 0.0, 0.0, ahead=-3600.0), "inconclusive"),
        # By its own clock it ended before the playbook had come so far.
        (busy(2.0, 0.0, 15.0, over=91.0), "pass"),
        (busy(2.0, 0.0, 15.0, over=91.1), "inconclusive"),
        # A step while it ran shows in the load itself.
        (both(busy(2.0, 18.0, 15.0), own(wall_clock_drift=-1.1)), "inconclusive"),
    ],
)
def test_marks_of_a_busy_host_are_late_and_no_clock_was_set(bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert claim(verdict(run), "clock_steady") == grade


def test_a_step_of_the_clock_does_not_turn_a_good_split_into_a_wrong_one() -> None:
    """From the third iteration on, everything but the load is dated 42 s late."""
    run = rollouts.good()
    for moment in run.timeline:
        if moment["time"] > START + 30:
            moment["time"] += 42
    found = verdict(run)
    assert found["verdict"] == "inconclusive"
    assert {r["rule"] for r in found["reasons"]} == {"clock_steady", "load_spans_rollout"}
    assert claim(found, "shares_as_set") is claim(found, "none_at_weight_zero") is None


def test_the_first_step_of_the_clock_is_reported_and_all_are_counted() -> None:
    run = rollouts.good()
    at("experiment", "completed", 60.0)(run)
    at("playbook", "load_stopped", 3690.0)(run)
    found = verdict(run)
    assert rollouts.figures(found, "clock_steady") == {"steps": 2}
    text = next(r["text"] for r in found["reasons"] if r["rule"] == "clock_steady")
    assert (
        text == "the clock was changed during the run: the timeline goes back by 4.90 s at 08:01:00.000 UTC"
    )


def test_one_request_a_second_is_a_rate_to_keep() -> None:
    run = rollouts.good()
    run.own.update(asked_rate=1, rate_kept=False, lateness={"p50": 0.0, "p99": 9.0, "max": 9.0})
    found = verdict(run)
    assert claim(found, "rate_kept") == claim(found, "generator_on_time") == "inconclusive"
    assert any("shorter than the 1.00 s between two requests" in words for words in found["not_covered"])


@pytest.mark.parametrize(
    "bend",
    [
        own(failed=10**6),
        own(client_faults=10**6),
        own(requests=0),
        own(requests=0, client_faults=5),
    ],
)
def test_counts_that_cannot_be_are_inconclusive_at_best(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    found = verdict(run)
    assert found["verdict"] != "pass"
    assert 0 < found["loss_rate_upper_bound_95"] <= 1
    assert claim(found, "counts_agree") == "inconclusive"
