# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.rollouts import Run

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Checker(HTMLParser):
    """Elements opened and closed in order, ids used once, and every word that a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids.update(value or "" for name, value in attrs if name == "id")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(params: dict[str, Any]) -> tuple[Checker, str]:
    publish(params)
    html = (Path(params["dest"]) / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker, html


def words(params: dict[str, Any]) -> str:
    return " ".join(" ".join(read(params)[0].words).split())


@pytest.mark.parametrize("name", runs.RUNS)
def test_every_run_gives_four_well_formed_files(name: str, tmp_path: Path) -> None:
    params = runs.judged(runs.RUNS[name](), tmp_path)
    result = publish(params)
    assert sorted(result["files"]) == ["junit.xml", "metrics.txt", "report.html", "summary.md"]
    checker, html = read(params)
    assert max(checker.ids.values(), default=1) == 1
    assert checker.seen["h1"] == 1
    root = ElementTree.fromstring((tmp_path / "junit.xml").read_text())
    assert len(root.findall("./testsuite/testcase")) == len(RULES)
    metrics = (tmp_path / "metrics.txt").read_text()
    assert metrics.endswith("# EOF\n")
    assert metrics.count("# EOF") == 1
    assert (tmp_path / "summary.md").read_text().startswith("### ")
    assert len(html) < 1_500_000


@pytest.mark.parametrize("name", runs.RUNS)
def test_the_page_needs_no_network_and_runs_no_script(name: str, tmp_path: Path) -> None:
    checker, html = read(runs.judged(runs.RUNS[name](), tmp_path))
    assert not set(checker.seen) & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [value for key, value in checker.attributes if key in {"src", "href", "action", "data"}]
    assert not [key for key, _ in checker.attributes if key.startswith("on")]
    assert "@import" not in html
    assert "url(" not in html


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    text = words(runs.judged(runs.hostile(), tmp_path))
    assert "<script>alert('x')</script> & \"quoted\"" in text
    markdown = (tmp_path / "summary.md").read_text()
    assert "<script>" not in markdown
    assert "\\<script\\>" in markdown
    metrics = (tmp_path / "metrics.txt").read_text()
    assert '\\"quoted\\"' in metrics


def test_a_failure_says_first_what_was_lost_when_and_from_which_revision(tmp_path: Path) -> None:
    text = words(runs.judged(runs.lossy(), tmp_path))
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
    text = words(runs.judged(run, tmp_path))
    assert "What was lost 1 of 9000 requests 1 × status 500" in text
    assert "When (UTC) 08:00:26.500 1 with the canary at 15 %" in text


def test_losses_within_a_second_are_dated_to_the_millisecond_too(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    rollouts.lose(run, 26.54)
    assert "When (UTC) 08:00:26.500 within 40 ms; 2 with the canary at 15 %" in words(
        runs.judged(run, tmp_path)
    )


def test_losses_that_name_no_revision_say_so(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5, revision="", kind="reset")
    assert "From which revision not named no failed request named a revision" in words(
        runs.judged(run, tmp_path)
    )


def test_a_failed_request_tells_its_error(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5, kind="reset")
    run.own["ledger"][0].update(errno="ECONNRESET", detail="Connection reset by peer")
    text = words(runs.judged(run, tmp_path))
    assert "Request id Detail 0 08:00:26.500 reset" in text
    assert "r-0 ECONNRESET Connection reset by peer" in text


def test_losses_of_two_revisions_name_both(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    rollouts.lose(run, 27.5)
    rollouts.lose(run, 3.5, revision=rollouts.BASELINE)
    text = words(runs.judged(run, tmp_path))
    assert f"canary and others 2 by {rollouts.CANARY}; 1 by {rollouts.BASELINE}" in text


def test_losses_without_records_are_still_losses(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    run.own.update(ledger=[], ledger_dropped=1)
    text = words(runs.judged(run, tmp_path))
    assert "What was lost 1 of 9000 requests" in text
    assert "there are no records of the failures" in text
    assert "1 failed request more is not shown here" in text


def test_a_pass_says_what_it_proves(tmp_path: Path) -> None:
    text = words(runs.judged(rollouts.good(), tmp_path))
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
    assert words_of_it in words(params)


def test_a_rollback_names_the_objective(tmp_path: Path) -> None:
    text = words(runs.judged(rollouts.rolled_back(), tmp_path))
    assert "canary not promoted after 12 iterations; traffic ended at 100 % baseline" in text
    assert "mean-latency at most 1000 canary 1243 ✗ missed" in text
    assert "mean-latency at most 1000 baseline 12.5 ✓ met" in text


def test_every_failed_request_is_listed_up_to_a_bearable_number(tmp_path: Path) -> None:
    run = rollouts.good()
    for i in range(600):
        rollouts.lose(run, 30 + i * 0.05)
    checker, html = read(runs.judged(run, tmp_path))
    assert html.count("127.7.0.9:8080") == 500
    assert "100 failed requests more are not shown here" in " ".join(checker.words)


def test_a_failed_request_shows_its_times_connection_and_revision(tmp_path: Path) -> None:
    text = words(runs.judged(runs.lossy(), tmp_path))
    row = "0 08:00:25.300 status 500 canary …zwjbq canary at 15 % 20 ms 3, keep-alive 17 × 127.7.0.9:8080 r-0"
    assert row in text
    assert "keep-alive 08:01:15.380 08:01:15.400 08:01:16.250 0.85 s 18" in text


def test_charts_carry_their_text_alternative_and_marks(tmp_path: Path) -> None:
    checker, html = read(runs.judged(runs.lossy(), tmp_path))
    assert checker.seen["svg"] == 4
    assert checker.attributes.count(("role", "img")) == 4
    descriptions = re.findall(r"<desc [^>]*>(.*?)</desc>", html)
    assert "promotion from 08:01:15.000 UTC, 40 requests and 18 lost" in descriptions[0]
    assert "Outage on keep-alive connections from 08:01:15.400 UTC to 08:01:16.250 UTC." in descriptions[0]
    assert html.count('class="mark"') == 2 * 27
    assert html.count('class="outage"') == 2
    assert "status 503 at 08:01:16.000 UTC, the canary" in html


def test_an_outage_without_end_reaches_to_the_end(tmp_path: Path) -> None:
    run = runs.lossy()
    run.own["outages"][0]["recovered"] = None
    _, html = read(runs.judged(run, tmp_path))
    assert "Outage on keep-alive connections from 08:01:15.400 UTC to the end." in html
    assert "outage of 15 s on keep-alive connections from" in html
    assert "not recovered" in html


def test_each_kind_of_connection_shows_its_gap(tmp_path: Path) -> None:
    run = rollouts.good()
    text = words(runs.judged(run, tmp_path))
    assert "longest gap between successes 0.21 s (0.22 s on keep-alive, 0.23 s on new connections);" in text
    assert "Connections Requests Lost Longest gap keep-alive 4500 0 0.22 s new 4500 0 0.23 s" in text
    run.own["connection_modes"]["new"].update(requests=0, longest_success_gap=None)
    text = words(runs.judged(run, tmp_path))
    assert "new 0 0 –" in text


def test_a_time_without_a_watch_is_shown_pale(tmp_path: Path) -> None:
    run = rollouts.good()
    assert run.timeline is not None
    assert 'class="unobserved"' not in read(runs.judged(run, tmp_path))[1]
    next(e for e in run.timeline if e["time"] == rollouts.START + 45)["data"]["first"] = True
    _, html = read(runs.judged(run, tmp_path))
    assert html.count('class="unobserved"') == 2
    assert "not watched from 08:00:40.000 UTC to 08:00:45.000 UTC" in html
    assert "Pale: nothing watched the traffic then." in html


def test_a_time_in_which_the_generator_stood_still_is_shown(tmp_path: Path) -> None:
    run = rollouts.good()
    assert 'class="stall"' not in read(runs.judged(run, tmp_path))[1]
    run.own["stalls"] = [{"start": rollouts.START + 33.0, "seconds": 3.2}]
    _, html = read(runs.judged(run, tmp_path))
    assert html.count('class="stall"') == 2, "one chart for the desk, one for the phone"
    assert "The load generator stood still for 3.20 s from 08:00:33.000 UTC." in html
    assert "load generator stood still. All times" in words(runs.judged(run, tmp_path))


def test_histograms_by_revision_are_shown_where_there_are_any(tmp_path: Path) -> None:
    run = rollouts.good()
    run.own["response_time_by_revision"] = {rollouts.CANARY: rollouts.histogram(4475)}
    assert f"The canary {rollouts.CANARY}: 4475 requests, median" in words(runs.judged(run, tmp_path))
    assert "All revisions together: 9000 requests, median" in words(runs.judged(rollouts.good(), tmp_path))


def test_a_missing_verdict_is_judged_anew(tmp_path: Path) -> None:
    params = runs.store(rollouts.good(), tmp_path)
    for content in (None, "{", "[]", '{"verdict": "perhaps"}'):
        if content is not None:
            (tmp_path / "verdict.json").write_text(content)
        assert publish({**params, "verdict": str(tmp_path / "verdict.json")})["verdict"] == "pass"
    assert publish(params)["verdict"] == "pass"


def test_the_verdict_that_was_given_is_the_one_shown(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 30.0)
    params = runs.judged(run, tmp_path, thresholds={"max_lost": 1})
    assert publish(params)["verdict"] == "pass"
    assert "1 of 9000 requests was lost; 1 may be" in words(params)


def test_the_command_to_run_it_again_is_shown(tmp_path: Path) -> None:
    params = runs.judged(rollouts.good(), tmp_path)
    assert "Run it again" not in words(params)
    assert "Run it again make e2e FAULT=canary-5xx" in words({**params, "rerun": "make e2e FAULT=canary-5xx"})


def test_the_same_evidence_changes_nothing_the_second_time(tmp_path: Path) -> None:
    params = runs.judged(runs.lossy(), tmp_path)
    assert publish(params)["changed"] is True
    assert publish(params)["changed"] is False


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    params = runs.judged(rollouts.good(), tmp_path)
    assert publish(params, check_mode=True) == {
        "changed": False,
        "files": {n: str(tmp_path / n) for n in ("report.html", "junit.xml", "metrics.txt", "summary.md")},
        "verdict": "pass",
        "summary": json.loads((tmp_path / "verdict.json").read_text())["summary"],
    }
    assert not (tmp_path / "report.html").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    params = runs.store(rollouts.good(), tmp_path)
    with pytest.raises(ArtefactError, match="dest: .*none is not a folder"):
        publish({**params, "dest": str(tmp_path / "none")})
    with pytest.raises(ArtefactError, match="verdict: .* is a folder"):
        publish({**params, "verdict": str(tmp_path)})


def cases(folder: Path) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring((folder / "junit.xml").read_text())
    return {str(case.get("classname")).rpartition(".")[2]: case for case in root.iter("testcase")}


def test_junit_has_one_case_a_claim(tmp_path: Path) -> None:
    run = runs.lossy()
    run.own.update(state="aborted")
    publish(runs.judged(run, tmp_path))
    found = cases(tmp_path)
    assert list(found) == [rule.name for rule in RULES]
    failure = found["nothing_lost"].find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("27 of 1800 requests were lost")
    error = found["load_complete"].find("error")
    assert error is not None
    assert (error.get("type"), error.text) == (
        "inconclusive",
        "the load test did not end properly: it is aborted",
    )
    assert found["latency_kept"].find("skipped") is not None
    assert len(found["expected_winner"]) == 0
    root = ElementTree.fromstring((tmp_path / "junit.xml").read_text())
    suite = root[0]
    # Neither a latency nor the gateway's log was asked for.
    wanted = {"tests": str(len(RULES)), "failures": "1", "errors": "1", "skipped": "4", "time": "90.000"}
    assert {key: suite.get(key) for key in wanted} == wanted
    assert (root.get("failures"), root.get("errors")) == ("1", "1")
    assert suite.get("timestamp") == "2027-01-15T08:00:00"
    assert [child.tag for child in suite if child.tag != "testcase"] == [
        "properties",
        "system-out",
        "system-err",
    ]


def test_junit_puts_all_findings_of_a_claim_into_one_case(tmp_path: Path) -> None:
    publish(runs.judged(runs.nothing(), tmp_path))
    error = cases(tmp_path)["evidence_complete"].find("error")
    assert error is not None
    assert str(error.text).count("\n") == 3


def test_openmetrics_families(tmp_path: Path) -> None:
    publish(runs.judged(runs.lossy(), tmp_path))
    lines = (tmp_path / "metrics.txt").read_text().splitlines()
    assert 'rollout_verdict{rollout_verdict="fail"} 1' in lines
    assert 'rollout_verdict{rollout_verdict="pass"} 0' in lines
    canary = f'revision="{rollouts.CANARY}",role="canary"'
    assert f'rollout_requests_total{{{canary},outcome="ok"}} 866' in lines
    assert f'rollout_requests_total{{{canary},outcome="failed"}} 13' in lines
    assert 'rollout_failures_total{class="reset"} 14' in lines
    assert 'rollout_phase_failed_total{phase="promotion",index="13"} 18' in lines
    assert 'rollout_connection_mode_failed_total{connection_mode="keep-alive"} 27' in lines
    assert "rollout_longest_success_gap_seconds 0.21" in lines
    assert 'rollout_connection_mode_longest_success_gap_seconds{connection_mode="new"} 0.23' in lines
    assert any(line.startswith("rollout_loss_rate_upper_bound 0.0") for line in lines)
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) == 8
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [-+.e\d]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)


def test_openmetrics_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    publish(runs.judged(runs.nothing(), tmp_path))
    text = (tmp_path / "metrics.txt").read_text()
    assert "gap" not in text
    assert 'rollout_verdict{rollout_verdict="inconclusive"} 1' in text


def test_markdown_for_a_comment(tmp_path: Path) -> None:
    publish(runs.judged(runs.lossy(), tmp_path))
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("### ✗ FAIL\n\n1800 requests, 27 lost")
    assert "- **fail**: 27 of 1800 requests were lost" in text
    assert f"| {rollouts.CANARY} | canary | 879 | 13 |" in text
    assert "| promotion | 40 | 18 |" in text
    assert "before the canary" not in text
    publish(runs.judged(rollouts.rolled_back(), tmp_path))
    assert "| mean-latency | canary | 1243 | missed |" in (tmp_path / "summary.md").read_text()


def test_judge_takes_percentiles_as_a_person_writes_them(tmp_path: Path) -> None:
    params = runs.store(rollouts.good(), tmp_path)
    for key in (99, "99", "p99"):
        result = judge({**params, "dest": None, "thresholds": {"latency": {key: "0.5"}, "max_gap": None}})
        assert result["verdict"]["thresholds"]["latency"] == {"99": 0.5}
        assert result["changed"] is False


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"latency": {"slow": 1}}, "thresholds: latency: 'slow' is not a percentile such as 99 or 99.9."),
        ({"latency": {"99": "fast"}}, "thresholds: .*'fast'"),
        ({"max_lost": -1}, "thresholds: max_lost must not be below 0, it is -1."),
    ],
)
def test_judge_refuses_thresholds_that_make_no_sense(
    thresholds: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtefactError, match=message):
        judge({"thresholds": thresholds})


def test_judge_writes_what_it_returns_once(tmp_path: Path) -> None:
    params = {**runs.store(rollouts.good(), tmp_path), "dest": str(tmp_path / "verdict.json")}
    assert judge(params, check_mode=True)["changed"] is False
    assert not (tmp_path / "verdict.json").exists()
    first = judge(params)
    assert first["changed"] is True
    assert json.loads((tmp_path / "verdict.json").read_text()) == first["verdict"]
    assert judge(params)["changed"] is False


def test_judge_passes_expectations_on(tmp_path: Path) -> None:
    params = {**runs.store(rollouts.rolled_back(), tmp_path), "dest": None, "expect_winner": "baseline"}
    assert judge(params)["verdict"]["verdict"] == "pass"
    assert judge({**params, "expect_iterations": 3})["verdict"]["verdict"] == "fail"
