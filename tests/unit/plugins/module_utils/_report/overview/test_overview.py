# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of several rollouts says what each was, and never better than the worst."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.clear import clear
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.overview.judged import Judged, grade
from ansible_collections.iter8.kfserving.plugins.module_utils._report.overview.publish import sum_up
from ansible_collections.iter8.kfserving.tests.support import artefacts, runs
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def three(tmp_path: Path) -> dict[str, Any]:
    """A rollout that passes, one that lost requests, and one of which nothing was kept."""
    named = {"good": runs.RUNS["good"], "lossy": runs.lossy, "nothing": runs.nothing}
    for name, run in named.items():
        (tmp_path / name).mkdir()
        runs.judged(run(), tmp_path / name)
    listed = [{"name": name, "artifacts": str(tmp_path / name)} for name in named]
    return {"rollouts": listed, "dest": str(tmp_path)}


def summary(params: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((Path(params["dest"]) / "summary.json").read_text())
    return value


def test_it_is_as_its_schema_and_its_readers_ask_for(three: dict[str, Any]) -> None:
    sum_up(three)
    assert artefacts.summary_problems(three["dest"]) == []


def test_a_loss_in_one_is_a_failure_of_the_whole(three: dict[str, Any]) -> None:
    result = sum_up(three)
    assert result["verdict"] == "fail"
    assert result["summary"] == (
        "3 rollouts: 1 fail (lossy), 1 inconclusive (nothing), 1 pass; 3600 requests, 27 failed"
    )
    found = summary(three)
    assert found["counts"] == {"pass": 1, "inconclusive": 1, "fail": 1}
    assert [(each["name"], each["verdict"], each["artifacts"]) for each in found["rollouts"]] == [
        ("good", "pass", "good"),
        ("lossy", "fail", "lossy"),
        ("nothing", "inconclusive", "nothing"),
    ]


def test_the_others_stand_in_the_way_of_nothing(three: dict[str, Any]) -> None:
    three["rollouts"] = three["rollouts"][:1]
    assert sum_up(three)["verdict"] == "pass"


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        '{"verdict": "pass"}',
        '{"verdict": "fine", "summary": ""}',
        '{"schema": 1, "verdict": ["pass"], "summary": ""}',
        '{"schema": 1, "verdict": "pass", "summary": "", "requests": "many"}',
        '{"schema": 1, "verdict": "pass", "summary": "", "phases": [{"start": 3}]}',
        '{"schema": 1, "verdict": "pass", "summary": "", "runbooks": 5}',
        '{"schema": 2, "verdict": "pass", "summary": ""}',
    ],
)
def test_a_rollout_without_a_verdict_is_not_passed(three: dict[str, Any], content: str | None) -> None:
    path = Path(three["rollouts"][0]["artifacts"]) / "verdict.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    three["rollouts"] = three["rollouts"][:1]
    result = sum_up(three)
    assert result["verdict"] == "inconclusive"
    assert "no verdict was reached" in result["rollouts"][0]["summary"]
    assert artefacts.summary_problems(three["dest"]) == []


def test_junit_has_a_case_a_rollout(three: dict[str, Any]) -> None:
    sum_up(three)
    cases = ElementTree.parse(f"{three['dest']}/junit.xml").getroot().findall("./testsuite/testcase")
    assert [(case.get("name"), [child.tag for child in case]) for case in cases] == [
        ("good", []),
        ("lossy", ["failure"]),
        ("nothing", ["error"]),
    ]


def test_the_page_and_the_comment_have_the_worst_first(three: dict[str, Any]) -> None:
    sum_up(three)
    page = (Path(three["dest"]) / "report.html").read_text()
    rows = page.partition("<tbody>")[2]
    places = [rows.index(f'<a href="{name}/report.html">{name}</a>') for name in ("lossy", "nothing", "good")]
    assert places == sorted(places)
    comment = (Path(three["dest"]) / "summary.md").read_text()
    places = [comment.index(f"\n| {name} |") for name in ("lossy", "nothing", "good")]
    assert places == sorted(places)


def test_what_a_server_said_is_shown_and_not_sent(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    runs.judged(runs.hostile(), tmp_path / "one")
    sum_up({"rollouts": [{"name": "one", "artifacts": str(tmp_path / "one")}], "dest": str(tmp_path)})
    assert artefacts.summary_problems(tmp_path) == []
    for name in artefacts.SUMMARY_CHECKS:
        assert b"\x1b" not in (tmp_path / name).read_bytes()


def test_the_same_verdicts_change_nothing_the_second_time(three: dict[str, Any]) -> None:
    assert sum_up(three, check_mode=True)["changed"] is False
    assert not (Path(three["dest"]) / "summary.json").exists()
    assert sum_up(three)["changed"] is True
    assert sum_up(three)["changed"] is False


def test_it_is_cleared_as_a_runs_own(three: dict[str, Any]) -> None:
    sum_up(three)
    assert sorted(clear(three["dest"])["files"]) == sorted(artefacts.SUMMARY_CHECKS)
    assert (Path(three["dest"]) / "good/verdict.json").exists()


def test_none_and_one_twice_are_refused(three: dict[str, Any]) -> None:
    with pytest.raises(ArtefactError, match="at least one"):
        sum_up({**three, "rollouts": []})
    with pytest.raises(ArtefactError, match="good is named twice"):
        sum_up({**three, "rollouts": [*three["rollouts"], three["rollouts"][0]]})


@given(st.lists(st.sampled_from(["pass", "fail", "inconclusive"]), min_size=1))
def test_only_all_passes_make_a_pass(grades: list[str]) -> None:
    whole = grade([Judged(str(n), "", {"verdict": one, "summary": "x"}) for n, one in enumerate(grades)])
    assert (whole == "pass") == (set(grades) == {"pass"})
    assert (whole == "fail") == ("fail" in grades)
