# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import (
    printable,
    printable_lines,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.pages import page_text, read_page


@pytest.mark.parametrize("name", runs.RUNS)
def test_every_run_gives_four_well_formed_files(name: str, tmp_path: Path) -> None:
    params = runs.judged(runs.RUNS[name](), tmp_path)
    result = publish(params)
    assert sorted(result["files"]) == ["junit.xml", "metrics.txt", "report.html", "summary.md"]
    checker, html = read_page(params)
    assert max(checker.ids.values(), default=1) == 1
    assert checker.seen["h1"] == 1
    root = ElementTree.fromstring((tmp_path / "junit.xml").read_text())
    assert len(root.findall("./testsuite/testcase")) == len(RULES)
    metrics = (tmp_path / "metrics.txt").read_text()
    assert metrics.endswith("# EOF\n")
    assert metrics.count("# EOF") == 1
    assert (tmp_path / "summary.md").read_text().startswith("### ")
    assert len(html) < 1_500_000


@pytest.mark.parametrize("named", [True, False], ids=["verdict named", "judged anew"])
def test_what_a_server_said_is_shown_and_not_sent(tmp_path: Path, named: bool) -> None:
    judged = runs.judged(runs.hostile(), tmp_path)
    summary = publish({**judged, "verdict": judged["verdict"] if named else None})["summary"]
    assert printable(summary) == summary
    for name in ("verdict.json", "report.html", "junit.xml", "metrics.txt", "summary.md"):
        text = (tmp_path / name).read_bytes().decode()
        assert printable_lines(text) == text
        assert r"\x1b[32mPASS" in text.replace("\\\\", "\\").replace("\\[", "["), name


def test_a_missing_verdict_is_judged_anew(tmp_path: Path) -> None:
    params = runs.store(rollouts.good(), tmp_path)
    for content in (None, "{", "[]", '{"verdict": "perhaps"}', '{"verdict": ["pass"]}'):
        if content is not None:
            (tmp_path / "verdict.json").write_text(content)
        assert publish({**params, "verdict": str(tmp_path / "verdict.json")})["verdict"] == "pass"
    assert publish(params)["verdict"] == "pass"


@pytest.mark.parametrize("odd", [None, "text", [None]], ids=lambda v: f"{v!r:.9}")
def test_a_verdict_with_anything_odd_in_it_is_judged_anew_or_shown(tmp_path: Path, odd: Any) -> None:
    params = runs.judged(runs.lossy(), tmp_path)
    whole = json.loads((tmp_path / "verdict.json").read_text())
    for name in whole:
        (tmp_path / "verdict.json").write_text(json.dumps({**whole, name: odd}))
        assert publish(params)["verdict"] == "fail", name


def test_a_verdict_without_what_one_has_is_judged_anew(tmp_path: Path) -> None:
    params = runs.judged(rollouts.good(20), tmp_path)
    whole = json.loads((tmp_path / "verdict.json").read_text())
    for kept in ({"verdict": "pass"}, {**whole, "schema": 2, "verdict": "fail"}):
        (tmp_path / "verdict.json").write_text(json.dumps(kept))
        assert publish(params)["verdict"] == "pass"


@pytest.mark.parametrize(
    ("field", "odd"),
    [("Data", 3), ("Data", [7]), ("Data", [{}]), ("Data", []), ("Count", "9"), ("Max", ""), ("Min", None)],
)
def test_histograms_that_are_none_are_not_drawn(tmp_path: Path, field: str, odd: Any) -> None:
    run = rollouts.stream(rollouts.good(20), 2)
    run.own["response_time_by_revision"] = {builders.CANARY: rollouts.histogram(5)}
    for one in ("response_time_by_revision", "first_token_by_revision"):
        run.own.get(one, run.own["streamed"].get(one))[builders.CANARY][field] = odd
    run.own["response_time"][field] = odd
    assert publish(runs.store(run, tmp_path))["verdict"] == "inconclusive"


def test_a_verdict_that_an_earlier_run_left_is_not_this_ones(tmp_path: Path) -> None:
    runs.judged(rollouts.good(), tmp_path)
    params = {**runs.store(runs.lossy(), tmp_path), "verdict": str(tmp_path / "verdict.json")}
    assert publish(params)["verdict"] == "fail"
    assert "PASS" not in page_text(params)


def test_the_verdict_that_was_given_is_the_one_shown(tmp_path: Path) -> None:
    run = rollouts.good()
    rollouts.lose(run, 30.0)
    params = runs.judged(run, tmp_path, thresholds={"max_lost": 1})
    assert publish(params)["verdict"] == "pass"
    assert "1 of 9000 requests was lost; 1 may be" in page_text(params)


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


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, check_mode: bool) -> None:
    params = runs.judged(rollouts.good(20), tmp_path)
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o1777)
    with pytest.raises(
        ArtefactError, match=f"dest: everybody can write to the folder {place} .* of your own"
    ):
        publish({**params, "dest": str(place)}, check_mode)
    assert not list(place.iterdir())
