# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module `load_merge` does with the files of several generators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.together import ensure_merged
from ansible_collections.iter8.kfserving.tests.support.loads import Request, result


@pytest.fixture
def generators(tmp_path: Path) -> list[dict[str, Any]]:
    rows = []
    for part in range(2):
        path = tmp_path / f"{part}.json"
        made = result([Request(0, 1_000_000)] * 20, 10, part, 2)
        made["LoadTest"]["part"]["clock_ahead"] = 3.0
        path.write_text(json.dumps(made))
        offsets = [{"low": 2.99, "high": 3.01}, {"low": 2.98, "high": 3.005}]
        rows.append({"name": f"host-{part}", "path": str(path), "clock_offsets": offsets})
    return rows


def test_they_are_put_together_once(generators: list[dict[str, Any]], tmp_path: Path) -> None:
    arguments = {"generators": generators, "dest": str(tmp_path / "load.json")}
    foreseen = ensure_merged(arguments, check_mode=True)
    assert (foreseen["changed"], (tmp_path / "load.json").exists()) == (True, False)
    told = ensure_merged(arguments, check_mode=False)
    assert told == foreseen
    assert (told["requests"], told["failed"], told["status"]) == (20, 0, "stopped")
    # What remains of both comparisons once the times are corrected.
    assert {str(row["clock_offset"]) for row in told["generators"]} == {"{'low': -0.02, 'high': 0.01}"}
    written = json.loads((tmp_path / "load.json").read_text())["LoadTest"]
    assert written["generators"] == told["generators"]
    assert ensure_merged(arguments, check_mode=False)["changed"] is False


def test_one_that_left_nothing_is_told(generators: list[dict[str, Any]], tmp_path: Path) -> None:
    gone = {"name": "host-1", "problem": "unreachable"}
    told = ensure_merged({"generators": [generators[0], gone], "dest": str(tmp_path / "load.json")}, False)
    assert (told["requests"], told["status"]) == (10, "interrupted")
    assert [row["state"] for row in told["generators"]] == ["stopped", "missing"]
    assert told["generators"][1]["clock_offset"] is None


@pytest.mark.parametrize(
    ("bent", "text"),
    [
        ({"path": "/nowhere/x.json"}, "The result of host-0, /nowhere/x.json, cannot be read: No such file"),
        ({"clock_offsets": [{"low": 1}]}, "A clock offset of host-0 lacks low or high"),
        ({"path": "a\0b"}, "has a NUL byte"),
    ],
)
def test_what_makes_no_sense_is_refused(
    generators: list[dict[str, Any]], tmp_path: Path, bent: dict[str, Any], text: str
) -> None:
    generators[0].update(bent)
    with pytest.raises(LoadError, match=text):
        ensure_merged({"generators": generators, "dest": str(tmp_path / "load.json")}, False)
    assert not (tmp_path / "load.json").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "is not that of a load"),
        ('{"LoadTest": {}}', "Are they of this version?"),
    ],
)
def test_a_file_that_is_no_result_is_named(
    generators: list[dict[str, Any]], tmp_path: Path, text: str, why: str
) -> None:
    Path(generators[0]["path"]).write_text(text)
    with pytest.raises(LoadError, match=why):
        ensure_merged({"generators": generators, "dest": str(tmp_path / "load.json")}, False)
