# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import (
    ArtefactError,
    as_json,
    read_evidence,
    write_whole,
)


def paths(folder: Path) -> dict[str, str | None]:
    return {name: str(folder / name) for name in ("load", "timeline", "experiment", "inferenceservice")}


def test_files_are_read_as_evidence(tmp_path: Path) -> None:
    (tmp_path / "load").write_text('{"a": 1}')
    (tmp_path / "timeline").write_text('{"time": 1}\n\n{"time": 2}\n')
    (tmp_path / "experiment").write_text('{"kind": "Experiment"}')
    (tmp_path / "inferenceservice").write_text("{}")
    found = read_evidence(paths(tmp_path))
    assert found.load == {"a": 1}
    assert found.timeline == [{"time": 1}, {"time": 2}]
    assert found.experiment == {"kind": "Experiment"}
    assert found.problems == {}


def test_a_line_that_was_cut_off_while_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "timeline").write_text('{"time": 1}\n{"time": 2')
    assert read_evidence({"timeline": str(tmp_path / "timeline")}).timeline == [{"time": 1}]


def test_half_a_line_that_was_written_anew_is_left_out(tmp_path: Path) -> None:
    """As an observer leaves it on a disk that was full for a while, where others wrote in between."""
    half = '{"time": 2, "source": "insec'
    (tmp_path / "timeline").write_text(f'{{"time": 1}}\n{half}\n{{"time": 3}}\n\n{half}t"}}\n')
    found = read_evidence({"timeline": str(tmp_path / "timeline")})
    assert found.timeline == [{"time": 1}, {"time": 3}, {"time": 2, "source": "insect"}]
    (tmp_path / "timeline").write_text(f'{{"time": 1}}\n{half}\n{{"time": 3}}\n')
    found = read_evidence({"timeline": str(tmp_path / "timeline")})
    assert "line 2 is not JSON" in found.problems["timeline"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("load", None, "cannot be read: No such file"),
        ("load", b"{", "is damaged"),
        ("load", b"[1]", "is damaged: it does not hold a JSON object"),
        ("load", b"\xff\xfe", "is damaged"),
        ("timeline", b"{}\nnonsense\n{}\n", "is damaged: line 2 is not JSON"),
        ("experiment", b"", "is damaged"),
        ("inferenceservice", b'"x"', "is damaged: it does not hold a JSON object"),
    ],
)
def test_what_is_missing_or_damaged_is_a_problem(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found = read_evidence({name: str(tmp_path / name)})
    assert words in found.problems[name]
    assert str(tmp_path / name) in found.problems[name]
    assert getattr(found, name) is None


def test_what_was_not_named_is_not_a_problem_of_a_file() -> None:
    assert read_evidence({"load": None}).problems == {}


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="timeline: .* is a folder"):
        read_evidence({"timeline": str(tmp_path)})


def test_writing_replaces_the_whole_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "verdict.json"
    assert write_whole(str(target), "one ü") is True
    before = target.stat().st_ino
    assert write_whole(str(target), "one ü") is False
    assert write_whole(str(target), "two") is True
    assert target.read_text() == "two"
    assert target.stat().st_ino != before, "a reader that holds the old file must keep it whole"
    assert target.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["verdict.json"]


def test_writing_over_bytes_that_are_no_text(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"\xff\xff")
    assert write_whole(str(target), "new") is True
    assert target.read_text() == "new"


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="none/x cannot be written: No such file or directory"):
        write_whole(str(tmp_path / "none" / "x"), "")


def test_a_failed_replacement_leaves_no_scratch_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ArtefactError, match="cannot be written"):
        write_whole(str(tmp_path / "x"), "content")
    assert os.listdir(tmp_path) == ["x"]


def test_json_is_stable_and_readable() -> None:
    assert as_json({"b": "ü", "a": [1]}) == '{\n  "b": "ü",\n  "a": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_holds_no_number_that_json_does_not_know(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"gap": [number]})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": NaN}', "NaN is no number that JSON knows"),
        ('{"a": [-Infinity]}', "-Infinity is no number that JSON knows"),
        ('{"a": 1e999}', "1e999 is no number that JSON knows"),
        ("[" * 200_000, "it is nested too deeply"),
        ('{"a": {"failed": 5, "ok": 1, "failed": 0}}', "it tells 'failed' twice in one object"),
    ],
)
def test_what_only_python_takes_for_json_is_damaged(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "load.json"
    path.write_text(content)
    found = read_evidence({"load": str(path)})
    assert found.load is None
    assert found.problems == {"load": f"the file {path} is damaged: {problem}"}


def test_a_line_that_tells_one_thing_twice_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_text('{"time": 1}\n{"time": 2, "time": 3}\n')
    found = read_evidence({"timeline": str(path)})
    assert found.problems["timeline"].endswith("is damaged: line 2: it tells 'time' twice in one object")


def test_texts_of_servers_are_read_as_they_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text(r'{"revisions": {"\ud800": "\u001b[2J", "ü": "a\nb"}}')
    (tmp_path / "timeline.jsonl").write_text('{"text": "\\u009b1m\\r"}\n')
    found = read_evidence({"load": str(tmp_path / "load.json"), "timeline": str(tmp_path / "timeline.jsonl")})
    assert found.load == {"revisions": {r"\ud800": r"\x1b[2J", "ü": r"a\nb"}}
    assert found.timeline == [{"text": r"\x9b1m\r"}]


def test_evidence_is_not_put_where_others_can_change_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ArtefactError) as caught:
        write_whole(str(tmp_path / "x"), "content")
    assert str(caught.value) == (
        f"{tmp_path}/x cannot be written: everybody can write to the folder {tmp_path} (chmod go-w), "
        "so that someone else could change what is put there."
    )
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_user_who_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(ArtefactError, match="there is no such user, or no such home, as ~nosuchuser"):
        write_whole("~nosuchuser/x", "content")
