# SPDX-License-Identifier: GPL-3.0-or-later
"""Every view of the counts against the others; a contradiction names both figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import claim, verdict
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run

Change = Callable[[Run], Any]


def outage(failed: int, seconds: float, mode: str = "new") -> dict[str, Any]:
    times = {
        "last_success": START + 40.0,
        "first_failed_send": START + 40.1,
        "recovered": START + 40.1 + seconds,
    }
    return {"connection_mode": mode, **times, "failed": failed, "longest_wait": 0.1}


def row(run: Run, second: int) -> dict[str, Any]:
    found: dict[str, Any] = run.own["timeline"][second]
    return found


@pytest.mark.parametrize(
    ("change", "sums"),
    [
        (
            lambda run: run.load.update(RetCodes={"200": 8980, "503": 20}),
            {"answers with a right status in RetCodes, with ok 9000, but": 8980},
        ),
        (
            lambda run: run.load.update(RetCodes={"200": 8993, "-1": 7}),
            {
                "answers with a right status in RetCodes, with ok 9000, but": 8993,
                "failures without a status 0, but": 7,
            },
        ),
        (lambda run: run.own.update(classes={"timeout": 31}), {"failures by class": 31}),
        (lambda run: run.own.update(client_faults=4), {"faults of the generator": 4}),
        (
            lambda run: run.own["connection_modes"]["new"].update(failed=12),
            {"failures by connection mode": 12},
        ),
        (
            lambda run: run.own["connection_modes"]["new"].update(requests=4499),
            {"connection modes": 8999},
        ),
        (lambda run: run.own["revisions"][BASELINE].update(failed=3), {"failures by revision": 3}),
        (lambda run: row(run, 12).update(ok=91, failed=9), {"failures by second": 9}),
        (
            lambda run: row(run, 12).update(revisions={}),
            {f"by seconds for {BASELINE} 4525, but": 4426, f"by seconds for {CANARY} 4475, but": 4474}
            | {f"by revisions in second {START + 12}, of 100, but": 0},
        ),
        (
            lambda run: row(run, 12).update(revisions={BASELINE: 98, CANARY: 2}),
            {f"by seconds for {BASELINE} 4525, but": 4524, f"by seconds for {CANARY} 4475, but": 4476},
        ),
        (
            lambda run: run.own.update(outages=[outage(5, 0.2)]),
            {"failures in outages on new connections of 0": 5},
        ),
        (
            lambda run: run.own.update(outages=[outage(5, 0.2, "neither")]),
            {"failures in outages on neither connections of 0": 5},
        ),
        (
            lambda run: run.own.update(outages=[outage(0, 8.5)]),
            {"seconds of an outage where the longest gap is 0.23 s": 8.5},
        ),
    ],
)
def test_a_view_that_says_otherwise_is_named_with_its_figure(change: Change, sums: dict[str, Any]) -> None:
    run = rollouts.good()
    change(run)
    found = verdict(run)
    assert {r["rule"] for r in found["reasons"]} <= {"counts_agree", "generator_healthy"}
    assert found["verdict"] == "inconclusive"
    assert rollouts.figures(found, "counts_agree") == {"requests": 9000, "failed": 0, "sums": sums}
    text = next(r["text"] for r in found["reasons"] if r["rule"] == "counts_agree")
    assert text.startswith("the counts of the load test disagree: 9000 requests, 0 failed, but ")
    assert all(f"{name} {total}" in text for name, total in sums.items())


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda run: run.own["ledger"][0].update({"class": "refused"}), "records of class refused 0, but 1"),
        (
            lambda run: run.own["ledger"][0].update(connection_mode="new"),
            "records of connections keep-alive 2, but 1",
        ),
        (lambda run: run.own["ledger"][0].update(revision=""), "records of revision none 0, but 1"),
        (
            lambda run: (
                run.own["connection_modes"]["keep-alive"].update(requests=1)
                or run.own["connection_modes"]["new"].update(requests=8999)
            ),
            "failures on keep-alive connections of 1 2",
        ),
    ],
)
def test_the_records_of_failures_are_of_the_kinds_that_were_counted(change: Change, wrong: str) -> None:
    run = rollouts.good()
    for _unused in range(2):
        rollouts.lose(run, 45.3)
    assert claim(verdict(run), "counts_agree") == "pass"
    change(run)
    text = next(r["text"] for r in verdict(run)["reasons"] if r["rule"] == "counts_agree")
    assert wrong in text


def test_records_that_were_dropped_may_be_of_any_kind() -> None:
    run = rollouts.good()
    for after in (45.3, 45.4, 45.5):
        rollouts.lose(run, after)
    run.own["ledger"].pop()
    run.own["ledger_dropped"] = 1
    assert claim(verdict(run), "counts_agree") == "pass"
    run.own["ledger"][0]["class"] = "refused"
    assert claim(verdict(run), "counts_agree") == "inconclusive"


def test_an_outage_may_have_as_many_losses_as_there_are_and_last_as_long_as_they_took() -> None:
    run = rollouts.good()
    for after in (40.1, 40.2):
        rollouts.lose(run, after)
    run.own["outages"] = [outage(2, 0.2, "keep-alive")]
    assert claim(verdict(run), "counts_agree") == "pass"
    run.own["outages"] = [outage(3, 0.2, "keep-alive")]
    assert claim(verdict(run), "counts_agree") == "inconclusive"
    rollouts.slow(run, 50, 10.0)
    run.own["outages"] = [outage(2, 10.1, "keep-alive")]
    assert claim(verdict(run), "counts_agree") == "pass"


@pytest.mark.parametrize("status", [204, 205])
def test_an_answer_without_a_body_is_right_only_where_that_was_asked_for(status: int) -> None:
    run = rollouts.good()
    assert run.load is not None
    run.load["RetCodes"] = {str(status): 9000}
    found = verdict(run)
    assert [r["rule"] for r in found["reasons"]] == ["answers_whole"]
    assert rollouts.figures(found, "answers_whole") == {"statuses": {str(status): 9000}}
    run.own["expect_status"] = [status]
    assert verdict(run)["verdict"] == "pass"


def test_other_statuses_are_right_where_they_were_asked_for() -> None:
    run = rollouts.good()
    assert run.load is not None
    run.load["RetCodes"] = {"404": 9000}
    assert claim(verdict(run), "counts_agree") == "inconclusive"
    run.own["expect_status"] = [404]
    assert verdict(run)["verdict"] == "pass"
    run.own["expect_status"] = [200]
    assert claim(verdict(run), "counts_agree") == "inconclusive"
