# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads with several payloads, or whose requests do not come evenly: what is said, and what must agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.judging import claim, verdict
from ansible_collections.iter8.kfserving.tests.support.pages import page_text
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def mixed(lost: dict[str, int]) -> Run:
    """A run with two payloads and the others, of which some lost requests, one a second."""
    run = rollouts.good()
    total = run.own["requests"]
    run.own["payloads"] = {
        "small.json": {"weight": 3.0, "requests": total - 1000, "failed": lost.get("small.json", 0)},
        "large.json": {"weight": 1.0, "requests": 900, "failed": lost.get("large.json", 0)},
        "(others)": {"weight": 0.1, "requests": 100, "failed": lost.get("line 2000", 0)},
    }
    after = 20
    for name, times in lost.items():
        for _unused in range(times):
            rollouts.lose(run, after)
            run.own["ledger"][-1]["payload"] = name
            after += 1
    return run


def test_which_payload_the_lost_requests_carried_is_said() -> None:
    run = mixed({"large.json": 2, "line 2000": 1})
    found = verdict(run)
    assert [reason["rule"] for reason in found["reasons"]] == ["nothing_lost"]
    assert "; 2 with large.json, 1 with line 2000" in found["reasons"][0]["text"]
    assert rollouts.figures(found, "nothing_lost")["payloads"] == {"large.json": 2, "line 2000": 1}
    assert found["payloads"]["large.json"] == {"requests": 900, "failed": 2}
    assert claim(found, "counts_agree") == "pass"


def test_only_the_payloads_that_lost_most_are_named() -> None:
    run = mixed({"small.json": 1, "large.json": 2, "line 2000": 3})
    run.own["payloads"]["fourth.json"] = {"weight": 1.0, "requests": 0, "failed": 0}
    rollouts.lose(run, 40)
    run.own["ledger"][-1]["payload"] = "fourth.json"
    run.own["payloads"]["fourth.json"].update(requests=1, failed=1)
    run.own["payloads"]["small.json"]["requests"] -= 1
    found = verdict(run)
    assert claim(found, "counts_agree") == "pass"
    assert (
        "; 3 with line 2000, 2 with large.json, 1 with small.json, 1 with others"
        in found["reasons"][0]["text"]
    )


@pytest.mark.parametrize(
    ("change", "sums"),
    [
        ({"requests": 901}, {"payloads": 9001}),
        ({"failed": 1}, {"failures by payload": 3}),
        ({"failed": 3}, {"failures by payload": 5}),
    ],
)
def test_counts_by_payload_that_disagree(change: dict[str, int], sums: dict[str, int]) -> None:
    run = mixed({"large.json": 2})
    run.own["payloads"]["large.json"].update(change)
    found = verdict(run)
    assert claim(found, "counts_agree") == "inconclusive"
    told = rollouts.figures(found, "counts_agree")["sums"]
    if "requests" in change:
        assert told == sums
    else:
        assert list(told) == list(sums)


def test_records_that_name_another_payload_disagree() -> None:
    run = mixed({"large.json": 2})
    run.own["ledger"][0]["payload"] = "small.json"
    told = rollouts.figures(verdict(run), "counts_agree")["sums"]
    assert told == {
        "records of payload large.json 2, but": 1,
        "records of payload small.json 0, but": 1,
    }


def test_more_failed_with_a_payload_than_carried_it() -> None:
    run = mixed({"large.json": 2})
    run.own["payloads"]["large.json"]["requests"] = 1
    run.own["payloads"]["small.json"]["requests"] += 899
    told = rollouts.figures(verdict(run), "counts_agree")["sums"]
    assert told == {"failures with large.json of 1": 2}


@pytest.mark.parametrize(
    ("pause", "limit", "length", "grade"),
    [
        (0.0, None, 2.5, "fail"),
        (0.6, None, 2.5, "pass"),
        (0.4, None, 2.5, "fail"),
        (1.0, 1.0, 2.0, "pass"),
        (1.0, 0.9, 2.0, "fail"),
    ],
)
def test_a_pause_of_the_schedule_is_no_gap_of_the_service(
    pause: float, limit: float | None, length: float, grade: str
) -> None:
    run = rollouts.good()
    gap = {"seconds": length, "start": START, "end": START + length}
    run.own.update(longest_success_gap=gap, longest_pause=pause)
    assert claim(verdict(run, Thresholds(max_gap=limit)), "gap_short") == grade


@pytest.mark.parametrize(("pause", "grade"), [(0.0, "fail"), (1.0, "pass")])
def test_the_same_of_one_kind_of_connection(pause: float, grade: str) -> None:
    run = rollouts.good()
    gap = {"seconds": 2.5, "start": START, "end": START + 2.5}
    run.own["connection_modes"]["new"]["longest_success_gap"] = gap
    run.own["longest_mode_pause"] = pause
    assert claim(verdict(run), "gap_short") == grade


def test_the_page_tells_losses_by_payload_and_the_id_that_was_sent(tmp_path: Path) -> None:
    run = mixed({"large.json": 2})
    run.own["ledger"][0].update(request_id="gateways-own", sent_id="ab12-0000000017")
    text = page_text(runs.judged(run, tmp_path))
    assert "Payload Requests Lost large.json 900 2" in text
    assert "gateways-own, sent as ab12-0000000017 large.json" in text


def test_the_page_of_one_payload_has_no_column_for_it(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 20)
    assert "Payload" not in page_text(runs.judged(run, tmp_path))
