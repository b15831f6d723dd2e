# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.generators import three
from ansible_collections.iter8.kfserving.tests.support.pages import page_text, read_page
from ansible_collections.iter8.kfserving.tests.support.rollouts import Run


@pytest.mark.parametrize("name", runs.RUNS)
def test_the_page_needs_no_network_and_runs_no_script(name: str, tmp_path: Path) -> None:
    checker, html = read_page(runs.judged(runs.RUNS[name](), tmp_path))
    assert not set(checker.seen) & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [value for key, value in checker.attributes if key in {"src", "href", "action", "data"}]
    assert not [key for key, _unused in checker.attributes if key.startswith("on")]
    assert "@import" not in html
    assert "url(" not in html


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    text = page_text(runs.judged(runs.hostile(), tmp_path))
    assert "<script>alert('x')</script> & \"quoted\"" in text
    markdown = (tmp_path / "summary.md").read_text()
    assert "<script>" not in markdown
    assert "\\<script\\>" in markdown
    metrics = (tmp_path / "metrics.txt").read_text()
    assert '\\"quoted\\"' in metrics


def test_a_failure_says_first_what_was_lost_when_and_from_which_revision(tmp_path: Path) -> None:
    text = page_text(runs.judged(runs.lossy(), tmp_path))
    head = text[: text.index("Over time")]
    assert "FAIL: rollout of my-model" in head
    assert "Rollout of my-model ✗ FAIL: 27 requests lost" in head
    assert "What was lost 27 of 1800 requests 14 × reset, 9 × status 500, 4 × status 503" in head
    assert "When (UTC) 08:00:25 to 08:01:16" in head
    assert "6 with the canary at 15 %, 3 with the canary at 25 %, 18 during promotion" in head
    assert (
        f"From which revision canary and unknown 13 by {rollouts.CANARY}; 14 by none that was named" in head
    )
    assert "Why it is not a pass" in head


def test_one_loss_is_dated_to_the_millisecond(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    text = page_text(runs.judged(run, tmp_path))
    assert "What was lost 1 of 9000 requests 1 × status 500" in text
    assert "When (UTC) 08:00:26.500 1 with the canary at 15 %" in text


def test_losses_within_a_second_are_dated_to_the_millisecond_too(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    rollouts.lose(run, 26.54)
    assert "When (UTC) 08:00:26.500 within 40 ms; 2 with the canary at 15 %" in page_text(
        runs.judged(run, tmp_path)
    )


def test_losses_that_name_no_revision_say_so(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5, revision="", kind="reset")
    assert "From which revision not named no failed request named a revision" in page_text(
        runs.judged(run, tmp_path)
    )


def test_a_failed_request_tells_its_error(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5, kind="reset")
    run.own["ledger"][0].update(errno="ECONNRESET", detail="Connection reset by peer")
    text = page_text(runs.judged(run, tmp_path))
    assert "Request id Detail 0 08:00:26.500 reset" in text
    assert "r-0 ECONNRESET Connection reset by peer" in text


def test_losses_of_two_revisions_name_both(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    rollouts.lose(run, 27.5)
    rollouts.lose(run, 3.5, revision=rollouts.BASELINE)
    text = page_text(runs.judged(run, tmp_path))
    assert f"canary and others 2 by {rollouts.CANARY}; 1 by {rollouts.BASELINE}" in text


def test_losses_without_records_are_still_losses(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    run.own.update(ledger=[], ledger_dropped=1)
    text = page_text(runs.judged(run, tmp_path))
    assert "What was lost 1 of 9000 requests" in text
    assert "there are no records of the failures" in text
    assert "1 failed request more is not shown here" in text


def test_a_pass_says_what_it_proves(tmp_path: Path) -> None:
    text = page_text(runs.judged(rollouts.good(), tmp_path))
    assert "PASS" in text
    assert "Lost requests 0 of 9000 loss rate below 0.04 % with 95 % confidence" in text
    assert "Longest gap between successes 0.21 s" in text
    assert "The rollout canary promoted after 12 iterations; traffic ended at 100 % canary" in text
    assert "Why it is not a pass" not in text
    assert "Failed requests" not in text
    assert "Load for 90 s from 2027-01-15, 08:00:00.000 UTC." in text


@pytest.mark.parametrize(
    ("run", "allowed", "words_of_it"),
    [
        (rollouts.good, 0, "✓ PASS: no request lost"),
        (runs.lossy, 30, "✓ PASS: 27 requests lost, which was allowed"),
        (rollouts.rolled_back, 0, "✗ FAIL: nothing lost, but it did not go as it should"),
        (runs.nothing, 0, "? INCONCLUSIVE: not proven"),
    ],
)
def test_the_headline_answers(run: Callable[[], Run], allowed: int, words_of_it: str, tmp_path: Path) -> None:
    params = runs.judged(run(), tmp_path, thresholds={"max_lost": allowed})
    assert words_of_it in page_text(params)


def test_a_rollback_names_the_objective(tmp_path: Path) -> None:
    text = page_text(runs.judged(rollouts.rolled_back(), tmp_path))
    assert "canary not promoted after 12 iterations; traffic ended at 100 % baseline" in text
    assert "mean-latency at most 1000 canary 1243 ✗ missed" in text
    assert "mean-latency at most 1000 baseline 12.5 ✓ met" in text


def test_every_failed_request_is_listed_up_to_a_bearable_number(tmp_path: Path) -> None:
    run = rollouts.good()
    for i in range(600):
        rollouts.lose(run, 30 + i * 0.05)
    checker, html = read_page(runs.judged(run, tmp_path))
    assert html.count("127.7.0.9:8080") == 500
    assert "100 failed requests more are not shown here" in " ".join(checker.texts)


def test_a_failed_request_shows_its_times_connection_and_revision(tmp_path: Path) -> None:
    text = page_text(runs.judged(runs.lossy(), tmp_path))
    row = "0 08:00:25.300 status 500 canary …zwjbq canary at 15 % 20 ms 3, keep-alive 17 × 127.7.0.9:8080 r-0"
    assert row in text
    assert "keep-alive 08:01:15.380 08:01:15.400 08:01:16.250 0.85 s 18" in text


def test_the_command_to_run_it_again_is_shown(tmp_path: Path) -> None:
    params = runs.judged(rollouts.good(), tmp_path)
    assert "Run it again" not in page_text(params)
    assert "Run it again make e2e FAULT=canary-5xx" in page_text(
        {**params, "rerun": "make e2e FAULT=canary-5xx"}
    )


def test_several_generators_are_told_each_by_itself_the_one_with_a_fault_first(tmp_path: Path) -> None:
    run = three()
    run.own["generators"][1].update(state="interrupted", longest_stall=1.5)
    run.own["generators"][2].update(clock_offset=None)
    text = page_text(runs.judged(run, tmp_path))
    heads = "Generator Ended Requests 99 % sent within Stood still Clock ahead"
    second = "load-2 interrupted 3000 2 ms 1.50 s -0.010 to +0.020 s"
    assert f"{heads} {second} load-1 stopped 3000 2 ms" in text
    assert "load-3 stopped 3000 2 ms 0 µs not compared" in text
    assert "Clock ahead" not in page_text(runs.judged(rollouts.good(), tmp_path))
