# SPDX-License-Identifier: GPL-3.0-or-later
"""The module experiment_wait: what it returns, and when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait import waits
from ansible_collections.iter8.kfserving.plugins.modules import experiment_wait as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import (
    Server,
    returned,
    run_main,
)

EXPERIMENT: dict[str, Any] = {
    "apiVersion": "iter8.tools/v2alpha2",
    "metadata": {"name": "e", "uid": "a-b", "resourceVersion": "5", "managedFields": [{}]},
    "spec": {"versionInfo": {"baseline": {"name": "one"}, "candidates": [{"name": "two"}]}},
    "status": {
        "conditions": [{"type": "Completed", "status": "True", "reason": "R", "message": "done"}],
        "completedIterations": 12,
        "analysis": {"winnerAssessment": {"data": {"winnerFound": True, "winner": "two"}}},
        "versionRecommendedForPromotion": "two",
    },
}


def test_a_wait_returns_what_is_documented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server({"experiments": [EXPERIMENT], "jobs": []})
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: server)
    result = run_main(module, {"name": "e", "api_version": "iter8.tools/v2alpha2"}, capsys)
    assert returned(module) <= set(result)
    assert result["outcome"] == "succeeded"
    assert result["winner"] == "canary"
    assert result["changed"] is False
    assert "managedFields" not in result["experiment"]["metadata"]


@pytest.mark.parametrize(
    ("expect", "message", "failed"),
    [
        ("completed", "Experiment rolled back", False),
        ("promoted", "Experiment rolled back", True),
        ("any", "Experiment rolled back", False),
        ("completed", "Experiment failed", True),
        ("any", "Experiment failed", False),
    ],
)
def test_expect_says_which_endings_are_good(
    expect: str,
    message: str,
    failed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    conditions = [{"type": "Completed", "status": "True", "reason": "R", "message": message}]
    experiment = {**EXPERIMENT, "status": {**EXPERIMENT["status"], "conditions": conditions}}
    server = Server({"experiments": [experiment], "jobs": []})
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: server)
    arguments = {"name": "e", "api_version": "iter8.tools/v2alpha2", "expect": expect}
    result = run_main(module, arguments, capsys)
    assert result.get("failed", False) is failed
    assert returned(module) <= set(result), "a failure returns its values too"


def test_a_time_out_says_what_was_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = {**EXPERIMENT, "status": {"completedIterations": 3, "conditions": []}}
    monkeypatch.setattr(
        waits, "connect", lambda _module, **_options: Server({"experiments": [experiment], "jobs": []})
    )
    arguments = {"name": "e", "api_version": "iter8.tools/v2alpha2", "expect": "any", "timeout": 0}
    result = run_main(module, arguments, capsys)
    assert result["failed"] is True
    assert result["outcome"] == "timeout"
    assert result["msg"].startswith("Experiment default/e: Not over after 0 s: ")


def test_check_mode_looks_once_and_does_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "connect", lambda _module, **_options: Server({"experiments": [], "jobs": []}))
    progress = tmp_path / "none" / "progress"
    result = run_main(
        module,
        {"name": "e", "api_version": "iter8.tools/v2alpha2", "progress_file": str(progress)},
        capsys,
        check_mode=True,
    )
    assert "failed" not in result
    assert result["reason"] == "ExperimentNotFound"
