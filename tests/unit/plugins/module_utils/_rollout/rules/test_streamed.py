# SPDX-License-Identifier: GPL-3.0-or-later
"""Streamed answers in the verdict: their objectives, their counts, and how far a lost one had come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import claim, verdict
from ansible_collections.iter8.kfserving.tests.support.pages import page_text
from ansible_collections.iter8.kfserving.tests.support.rollouts import LATENCY, START, Run

OBJECTIVES = [
    ("first_token_kept", "max_first_token", "first token"),
    ("token_gaps_kept", "max_token_gap", "gap between tokens"),
]


def streamed() -> Run:
    return rollouts.stream(rollouts.good())


def test_a_good_run_of_streams_passes() -> None:
    found = verdict(streamed())
    assert found["verdict"] == "pass"
    assert found["streamed"]["tokens"] == 90_000
    assert found["streamed"]["first_token_p99"] == pytest.approx(LATENCY, rel=0.01)


@pytest.mark.parametrize(("rule", "name", "what"), OBJECTIVES)
def test_objectives(rule: str, name: str, what: str) -> None:
    kept = verdict(streamed(), Thresholds(**{name: {99.0: LATENCY, 50.0: 1.0}}))
    assert claim(kept, rule) == "pass"
    missed = verdict(streamed(), Thresholds(**{name: {99.0: LATENCY / 4}}))
    assert [reason["rule"] for reason in missed["reasons"]] == [rule]
    assert missed["verdict"] == "fail"
    assert f"99 % of the {what.partition(' ')[0]}" in missed["reasons"][0]["text"]
    assert missed["thresholds"][name] == {"99": LATENCY / 4}
    figures = rollouts.figures(missed, rule)
    assert (figures["percentile"], figures["limit"]) == (99.0, LATENCY / 4)


@pytest.mark.parametrize(("rule", "name", "what"), OBJECTIVES)
def test_an_objective_without_streams_is_inconclusive(rule: str, name: str, what: str) -> None:
    found = verdict(rollouts.good(), Thresholds(**{name: {99.0: 1.0}}))
    assert [reason["text"] for reason in found["reasons"]] == [f"there is no {what} at percentile 99"]
    assert found["verdict"] == "inconclusive"
    run = rollouts.good()
    run.load = None
    assert claim(verdict(run, Thresholds(**{name: {99.0: 1.0}})), rule) is None


@pytest.mark.parametrize(("rule", "name", "what"), OBJECTIVES)
def test_without_an_objective_nothing_is_claimed(rule: str, name: str, what: str) -> None:
    assert claim(verdict(streamed()), rule) is None


def set_count(name: str, by: int) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        told[name]["Count"] += by

    return change


@pytest.mark.parametrize(
    ("change", "sums"),
    [
        (
            lambda told: told["histograms"]["tokens"].update(count=8999),
            {"streams in the counts of tokens, of 9000, but": 8999},
        ),
        (
            lambda told: told["histograms"]["tokens"].update(sum=89_999),
            {"tokens in the counts of each stream, of 90000, but": 89_999},
        ),
        (
            set_count("token_gap", 1),
            {
                "first tokens and gaps between tokens, of 90000, but": 90_001,
                "token_gap by revision, of 81001, but": 81_000,
                "of 81001 in the buckets of token_gap, but": 81_000,
            },
        ),
        (
            lambda told: (set_count("token_gap", -1)(told), set_count("first_token", 1)(told)),
            {
                "first_token by revision, of 9001, but": 9000,
                "token_gap by revision, of 80999, but": 81_000,
                "of 9001 in the buckets of first_token, but": 9000,
                "of 80999 in the buckets of token_gap, but": 81_000,
                "first tokens of 9000 streams": 9001,
            },
        ),
    ],
)
def test_counts_of_tokens_that_disagree(
    change: Callable[[dict[str, Any]], Any], sums: dict[str, int]
) -> None:
    run = streamed()
    change(run.own["streamed"])
    found = verdict(run)
    assert claim(found, "counts_agree") == "inconclusive"
    assert rollouts.figures(found, "counts_agree")["sums"] == sums


def silenced(run: Run, **streams: int) -> None:
    """So many streams of the baseline or the canary had no token, and nothing else is wrong with them."""
    told = run.own["streamed"]
    for role, n in streams.items():
        name = {"baseline": BASELINE, "canary": CANARY}[role]
        for part, tokens in (("first_token", n), ("token_gap", 9 * n)):
            left = told[f"{part}_by_revision"].pop(name)["Count"] - tokens
            told[f"{part}_by_revision"] |= {name: rollouts.histogram(left)} if left else {}
            told[part] = rollouts.histogram(told[part]["Count"] - tokens)
        told["tokens"] -= 10 * n
        told["histograms"]["tokens"]["sum"] -= 10 * n


ALL_OF = {"baseline": 4525, "canary": 4475}


@pytest.mark.parametrize(
    ("streams", "silent"),
    [
        (ALL_OF, {"": 9000}),
        ({"canary": 4475}, {CANARY: 4475}),
        ({"baseline": 4525, "canary": 31}, {BASELINE: 4525}),
    ],
)
def test_streams_without_any_token_are_no_answers(streams: dict[str, int], silent: dict[str, int]) -> None:
    run = streamed()
    silenced(run, **streams)
    found = verdict(run)
    assert [(r["rule"], r["verdict"]) for r in found["reasons"]] == [("answers_whole", "inconclusive")]
    assert rollouts.figures(found, "answers_whole") == {"without_a_token": silent}


def test_a_stream_may_be_whole_without_a_token() -> None:
    run = streamed()
    silenced(run, baseline=3, canary=19)
    found = verdict(run)
    assert found["verdict"] == "pass"
    assert "22 streams ended as it should without a token, which may be an answer." in found["not_covered"]
    assert not any("without a token" in each for each in verdict(streamed())["not_covered"])


@pytest.mark.parametrize(("wanted", "grade"), [(99.7, "pass"), (99.8, "inconclusive")])
def test_a_first_token_that_never_came_was_not_in_time(wanted: float, grade: str) -> None:
    run = streamed()
    silenced(run, baseline=3, canary=19)
    found = verdict(run, Thresholds(max_first_token={50.0: 0.4, wanted: 0.4}))
    assert (claim(found, "first_token_kept"), found["verdict"]) == (grade, grade)


def test_whose_streams_never_began_is_not_known_where_first_tokens_name_nobody() -> None:
    run = streamed()
    told = run.own["streamed"]
    told["first_token_by_revision"] = {"": rollouts.histogram(9000)}
    assert verdict(run)["verdict"] == "pass"
    told["first_token_by_revision"] = {
        CANARY: rollouts.histogram(6000),
        "(others)": rollouts.histogram(3000),
    }
    found = verdict(run)
    assert rollouts.figures(found, "counts_agree")["sums"] == {
        f"first tokens of 4475 streams of {CANARY}": 6000
    }
    assert [r["rule"] for r in found["reasons"]] == ["counts_agree"]


def test_an_outage_in_which_first_tokens_came_is_longer_than_the_gap() -> None:
    outage = {
        "connection_mode": "keep-alive",
        "last_success": START + 40.0,
        "first_failed_send": START + 40.1,
        "recovered": START + 49.0,
        "failed": 1,
        "longest_wait": 0.1,
    }
    for run, grade in ((streamed(), "pass"), (rollouts.good(), "inconclusive")):
        rollouts.lose(run, 40.1)
        run.own["outages"] = [outage]
        assert claim(verdict(run), "counts_agree") == grade


def test_a_lost_stream_is_told_with_what_was_missing_and_its_tokens(tmp_path: Path) -> None:
    run = streamed()
    rollouts.lose(run, 26.5, CANARY, "stream_unfinished", 200)
    run.own["ledger"][-1].update(tokens=17, detail="no finish_reason came for choice 0 after 17 tokens")
    found = verdict(run)
    assert found["verdict"] == "fail"
    assert "1 × stream_unfinished" in found["reasons"][0]["text"]
    text = page_text(runs.judged(run, tmp_path))
    assert "Took Tokens Connection" in text
    assert "no finish_reason came for choice 0 after 17 tokens" in text
    assert "First tokens" in text
    assert "first tokens, median" in text
    assert "Gaps between tokens" in text


def test_the_page_of_whole_answers_has_nothing_of_streams(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 20)
    text = page_text(runs.judged(run, tmp_path))
    assert "Tokens" not in text
    assert "Streamed answers" not in text


@pytest.mark.parametrize("name", ["max_first_token", "max_token_gap"])
def test_objectives_that_make_no_sense(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: 0 is not a percentile"):
        Thresholds(**{name: {0.0: 1.0}})
    with pytest.raises(ValueError, match=f"{name} at percentile 99 must not be below 0"):
        Thresholds(**{name: {99.0: -1.0}})
