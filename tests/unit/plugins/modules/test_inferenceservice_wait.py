# SPDX-License-Identifier: GPL-3.0-or-later
"""The module inferenceservice_wait: what it returns, and when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait import waits
from ansible_collections.iter8.kfserving.plugins.modules import inferenceservice_wait as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    Server,
    returned,
    run_main,
)

MODEL: dict[str, Any] = {
    "metadata": {"name": "m", "uid": "u", "resourceVersion": "5"},
    "status": {
        "url": "http://m.default.example.com",
        "conditions": [{"type": "Ready", "status": "True"}],
        "components": {
            "predictor": {
                "latestCreatedRevision": "a",
                "latestReadyRevision": "a",
                "traffic": [{"revisionName": "a", "percent": 100}],
            }
        },
    },
}


def test_a_wait_returns_what_is_documented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: Server({"inferenceservices": [MODEL]}))
    result = run_main(module, {"name": "m", "stable_seconds": 0}, capsys)
    assert returned(module) <= set(result)
    assert result["outcome"] == "succeeded"
    revisions = {"created": "a", "ready": "a", "rolledout": "", "previous": "", "serving": "a"}
    assert result["revisions"] == revisions
    assert result["traffic"] == {"a": 100}
    assert result["url"] == "http://m.default.example.com"


def test_a_time_out_says_what_was_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: Server({"inferenceservices": [MODEL]}))
    result = run_main(module, {"name": "m", "baseline_revision": "a", "timeout": 1}, capsys)
    assert result["failed"] is True
    assert result["msg"] == (
        "InferenceService default/m: Not over after 1 s: the latest revision is still the baseline a."
        " What to do: docs/runbooks/wait-does-not-end.md."
    )
    assert returned(module) <= set(result)


def test_percentages_are_read_before_a_cluster_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: pytest.fail("connected"))
    result = run_main(module, {"name": "m", "traffic": {"latest": "much"}}, capsys)
    assert "is not a percentage" in result["msg"]


def test_check_mode_leaves_an_earlier_runs_timeline_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: Server({"inferenceservices": [MODEL]}))
    timeline = tmp_path / "timeline.jsonl"
    timeline.write_text('{"time": 1, "source": "playbook", "event": "load_stopped"}\n')
    before = timeline.read_bytes()
    asked = {"name": "m", "stable_seconds": 0, "progress_file": str(timeline)}
    run_main(module, asked, capsys, check_mode=True)
    assert (timeline.read_bytes(), [each.name for each in tmp_path.iterdir()]) == (before, ["timeline.jsonl"])
    run_main(module, asked, capsys)
    assert timeline.read_bytes().startswith(before)
    assert timeline.stat().st_size > len(before)


def test_check_mode_looks_once_and_does_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: Server({"inferenceservices": [MODEL]}))
    progress = tmp_path / "none" / "progress"
    result = run_main(
        module,
        {"name": "m", "baseline_revision": "a", "progress_file": str(progress)},
        capsys,
        check_mode=True,
    )
    assert "failed" not in result
    assert (result["outcome"], result["message"]) == (
        "pending",
        "the latest revision is still the baseline a",
    )
