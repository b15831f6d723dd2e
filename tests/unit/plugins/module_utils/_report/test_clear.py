# SPDX-License-Identifier: GPL-3.0-or-later
"""Only what a run wrote is deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.clear import MARKS, clear
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError

OURS = {
    "verdict.json": '{\n  "schema": 1,\n  "verdict": "pass"\n}\n',
    "load.json": '{"RunType": "HTTP", "Version": "iter8.kfserving 1.0.0"}',
    "gateway.jsonl": '{"request_id": "000000000000ab12-0000000001", "response_code": 200}\n',
    "observations.jsonl": '{"time": 1.5, "type": "clock", "low": -0.1, "high": 0.1}\n',
    "timeline.jsonl": '{"time": 1.5, "source": "playbook", "event": "e", "text": "t", "data": {}}\n',
    "experiment.json": json.dumps({"metadata": {"uid": "u"}}, indent=4),
    "inferenceservice.json": "{}\n",
    "driver.json": json.dumps({"phase": "done", "rollback_seconds": None}),
    "report.html": '<!DOCTYPE html>\n<meta name="generator" content="iter8.kfserving">',
    "junit.xml": '<?xml version="1.0"?>\n<testsuites name="iter8.kfserving.rollout">',
    "metrics.txt": "# TYPE rollout_verdict stateset\n",
    "summary.json": json.dumps({"schema": 1, "verdict": "pass"}, indent=2),
    "summary.md": "### PASS\n\nWritten by iter8.kfserving.\n",
}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content)


def test_all_that_a_run_leaves_goes_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path, {**OURS, "notes.txt": "mine"})
    result = clear(str(tmp_path))
    assert result == {"changed": True, "files": {name: str(tmp_path / name) for name in MARKS}}
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert clear(str(tmp_path)) == {"changed": False, "files": {}}


def test_check_mode_deletes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, OURS)
    assert clear(str(tmp_path), check_mode=True)["changed"] is True
    assert {path.name for path in tmp_path.iterdir()} == set(OURS)


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_file_of_somebody_elses_is_refused_and_all_stay(tmp_path: Path, name: str) -> None:
    fill(tmp_path, {**OURS, name: "kind: Experiment\n"})
    with pytest.raises(ArtefactError, match=f"has {name}, which no run of this collection wrote"):
        clear(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == set(OURS)


def test_an_empty_timeline_is_a_run_s(tmp_path: Path) -> None:
    fill(tmp_path, {"timeline.jsonl": ""})
    assert clear(str(tmp_path))["changed"] is True


def test_a_folder_that_is_not_there_has_nothing_to_clear(tmp_path: Path) -> None:
    assert clear(str(tmp_path / "none")) == {"changed": False, "files": {}}
