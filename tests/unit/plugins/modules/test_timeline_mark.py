# SPDX-License-Identifier: GPL-3.0-or-later
"""The module timeline_mark: one line for each event, by this host's clock."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import append_line
from ansible_collections.iter8.kfserving.plugins.modules import timeline_mark as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    documented,
    returned,
    run_main,
)

ARGUMENTS: dict[str, Any] = {"event": "canary_applied", "text": "The canary is applied"}


def test_the_documentation_tells_what_is_declared() -> None:
    options = documented(module)
    assert set(options) == set(module.ARGUMENTS)
    for name, declared in module.ARGUMENTS.items():
        told = {key: options[name].get(key) for key in declared}
        assert told == declared, name
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task["iter8.kfserving.timeline_mark"]) <= set(options)


def test_an_event_is_one_line_with_the_time_of_its_writing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "timeline.jsonl"
    before = time.time()
    first = run_main(module, {**ARGUMENTS, "path": str(path), "data": {"baseline": "m-1"}}, capsys)
    second = run_main(module, {**ARGUMENTS, "path": str(path), "text": "two\nlines ü"}, capsys)
    lines = path.read_bytes().decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [first["entry"], second["entry"]]
    assert lines[-1] == ""
    assert before - 0.001 <= first["entry"]["time"] <= second["entry"]["time"] <= time.time() + 0.001
    entry = {**ARGUMENTS, "source": "playbook", "data": {"baseline": "m-1"}}
    assert {**first["entry"], "time": 0} == {**entry, "time": 0}
    assert first["changed"]
    assert second["changed"]
    assert set(first) - {"changed", "invocation"} <= returned(module)


def test_what_a_cluster_said_is_printable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "timeline.jsonl"
    said = {"text": "boom\x1b[32m\r", "data": {"revision": "\x9b\u202e"}}
    entry = run_main(module, {**ARGUMENTS, **said, "path": str(path)}, capsys)["entry"]
    assert (entry["text"], entry["data"]) == (r"boom\x1b[32m\r", {"revision": r"\x9b\u202e"})
    assert json.loads(path.read_text()) == entry


def test_check_mode_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "timeline.jsonl"
    result = run_main(module, {**ARGUMENTS, "path": str(path)}, capsys, check_mode=True)
    assert result["changed"]
    assert result["entry"]["event"] == "canary_applied"
    assert not path.parent.exists()


def test_a_file_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_main(module, {**ARGUMENTS, "path": str(tmp_path)}, capsys)
    assert result["failed"]
    assert result["msg"] == f"The timeline {tmp_path} cannot be written: Is a directory."


def test_lines_of_many_writers_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    lines = [str(number) * 20_000 for number in range(10)]

    def write(line: str) -> None:
        for _unused in range(20):
            append_line(path, line)

    with ThreadPoolExecutor(10) as writers:
        list(writers.map(write, lines))
    assert sorted(path.read_text().splitlines()) == sorted(lines * 20)


def test_a_path_that_cannot_be_meant_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_main(module, {**ARGUMENTS, "path": "~nosuchuser/timeline.jsonl"}, capsys)
    assert result["msg"] == (
        "The timeline ~nosuchuser/timeline.jsonl cannot be written: "
        "there is no such user, or no such home, as ~nosuchuser."
    )
    assert not list(tmp_path.iterdir())
    tmp_path.chmod(0o777)
    result = run_main(module, {**ARGUMENTS, "path": str(tmp_path / "timeline.jsonl")}, capsys)
    assert "everybody can write to the folder" in result["msg"]
    assert not list(tmp_path.iterdir())


def test_a_line_after_half_a_line_stands_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_text('{"time": 1}\n{"time": 2, "sou')
    for line in ('{"time": 3}', '{"time": 4}'):
        append_line(path, line)
    assert path.read_text() == '{"time": 1}\n{"time": 2, "sou\n{"time": 3}\n{"time": 4}\n'
