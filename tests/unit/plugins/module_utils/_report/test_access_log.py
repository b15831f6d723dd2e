# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's log as a file: fetched as it may be, or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report import files
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def log_lines(run: Run) -> list[str]:
    """A gateway's log of the run, between others' lines. A failed request keeps its id of the ledger."""
    ids = iter(range(1, run.own["requests"] + 1))
    lines = ["[info] Envoy was started", json.dumps({"request_id": "other-0000000001", "response_code": 503})]
    for row in run.own["timeline"]:
        names = [name for name, n in row["revisions"].items() for _unused in range(n)]
        for place, name in enumerate(names):
            entry = {"start_time": row["second"] + place / len(names), "duration": 20, "response_code": 200}
            entry["upstream_cluster"] = f"outbound|80||{name}.default.svc.cluster.local"
            lines.append(json.dumps({**entry, "request_id": f"ab12-{next(ids):010d}"}))
    return lines


def judged(run: Run, folder: Path, lines: list[str], **more: Any) -> Any:
    (folder / "access.log").write_text("".join(f"{line}\n" for line in lines))
    params = {**runs.store(run, folder), "access_log": {"path": str(folder / "access.log"), **more}}
    return judge({**params, "dest": str(folder / "verdict.json")})["verdict"]


def test_the_log_names_who_answered(tmp_path: Path) -> None:
    run = rollouts.good(rate=20)
    lines = log_lines(run)
    rollouts.unnamed(run)
    found = judged(run, tmp_path, lines)
    assert (found["verdict"], found["reasons"], found["named_by"]) == ("pass", [], "access_log")
    assert (found["gateway"]["lines"], found["gateway"]["requests"]) == (1802, 1800)


@pytest.mark.parametrize("keep", [slice(900, None), slice(None, 900), slice(2, 1801)])
def test_a_log_that_was_rotated_proves_nothing(tmp_path: Path, keep: slice) -> None:
    run = rollouts.good(rate=20)
    found = judged(run, tmp_path, log_lines(run)[keep])
    assert found["verdict"] == "inconclusive"
    assert [r["rule"] for r in found["reasons"]] == ["log_whole"]


def test_a_log_without_line_ends_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LONGEST_LINE", 100)
    run = rollouts.good(rate=20)
    found = judged(run, tmp_path, ["x" * 1000])
    assert found["gateway"]["lines"] == 11


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda path: path.unlink(), "access.log cannot be read: No such file or directory"),
        (lambda path: None, "the load test gave its requests no ids of its own"),
    ],
)
def test_a_log_that_cannot_be_searched_is_a_reason_and_no_error(
    tmp_path: Path, bend: Any, words: str
) -> None:
    run = rollouts.good(rate=20)
    if "ids" in words:
        run.own["request_ids"] = []
    path = tmp_path / "access.log"
    path.write_text("")
    bend(path)
    params = {**runs.store(run, tmp_path), "access_log": {"path": str(path)}}
    found = judge({**params, "dest": None})["verdict"]
    assert found["verdict"] == "inconclusive"
    assert [r["rule"] for r in found["reasons"]] == ["evidence_complete"]
    assert words in found["reasons"][0]["text"]


def test_without_a_load_the_log_is_no_other_reason(tmp_path: Path) -> None:
    run = rollouts.good(rate=20)
    run.load = None
    params = {**runs.store(run, tmp_path), "access_log": {"path": str(tmp_path / "none")}}
    found = judge({**params, "dest": None})["verdict"]
    assert not any("gateway" in reason["text"] for reason in found["reasons"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "{folder}"}, "access_log: .* is a folder"),
        ({"revision_pattern": "("}, "access_log: revision_pattern is not a regular expression"),
        ({"revision_pattern": "x"}, "access_log: revision_pattern has no group"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, given: dict[str, str], words: str) -> None:
    told = {name: value.format(folder=tmp_path) for name, value in given.items()}
    with pytest.raises(ArtefactError, match=words):
        judge({**runs.store(rollouts.good(rate=20), tmp_path), "dest": None, "access_log": told})


def test_the_report_shows_what_the_gateway_says_of_a_failure(tmp_path: Path) -> None:
    run = rollouts.good(rate=20)
    rollouts.lose(run, 26.5, status=503)
    rollouts.lose(run, 27.5, kind="connect", revision="")
    failed = {"request_id": "r-0", "response_code": 503, "response_flags": "UH", "start_time": START + 26.5}
    lines = [*log_lines(run), json.dumps(failed)]
    judged(run, tmp_path, lines)
    params = {**runs.store(run, tmp_path), "verdict": str(tmp_path / "verdict.json")}
    publish({**params, "access_log": {"path": str(tmp_path / "access.log")}})
    page = (tmp_path / "report.html").read_text()
    assert "status 503 UH" in page
    assert "the gateway: UH, no healthy endpoint" in page
    assert "not in the gateway&#x27;s log" in page
