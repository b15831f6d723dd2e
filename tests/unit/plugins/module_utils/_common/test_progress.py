# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress file: whole lines, after what stands there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import (
    Progress,
    ProgressFileError,
)


def test_entries_are_stamped_kept_and_appended(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_text('{"earlier": true}\n')
    progress = Progress(str(path), lambda: 1606082025.12345)
    progress.add("experiment", "present", "a\nb \x1b[2K\x9b \ud800", {"n": 1, "m": ["\r"], "x": float("nan")})
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    expected = {
        "time": 1606082025.123, "source": "experiment", "event": "present",
        "text": r"a\nb \x1b[2K\x9b \ud800", "data": {"n": 1, "m": [r"\r"], "x": None},
    }  # fmt: skip
    assert lines == [{"earlier": True}, expected]
    assert progress.entries == [expected]


def test_without_a_file_entries_are_only_kept() -> None:
    progress = Progress(None, lambda: 1.0)
    progress.add("experiment", "present", "text")
    assert [entry["data"] for entry in progress.entries] == [{}]


def test_a_file_that_cannot_be_written_is_reported_before_anything_happens(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "folder"
    with pytest.raises(ProgressFileError) as caught:
        Progress(str(path))
    assert str(caught.value) == f"The progress file {path} cannot be written: No such file or directory."
    assert caught.value.filename == str(path)


OPEN = (
    "everybody can write to the folder {open} (chmod go-w), "
    "so that someone else could change what is put there"
)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("~nosuchuser/timeline.jsonl", "there is no such user, or no such home, as ~nosuchuser"),
        ("{open}/timeline.jsonl", OPEN),
    ],
)
def test_a_place_that_cannot_be_meant_is_one_clear_error(tmp_path: Path, path: str, why: str) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(ProgressFileError) as caught:
        Progress(path.format(open=place))
    named = path.format(open=place)
    assert str(caught.value) == f"The progress file {named} cannot be written: {why.format(open=place)}."
    assert not list(place.iterdir())
