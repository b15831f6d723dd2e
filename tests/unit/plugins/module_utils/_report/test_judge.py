# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs


def test_judge_takes_percentiles_as_a_person_writes_them(tmp_path: Path) -> None:
    params = runs.store(rollouts.good(), tmp_path)
    for key in (99, "99", "p99"):
        result = judge({**params, "dest": None, "thresholds": {"latency": {key: "0.5"}, "max_gap": None}})
        assert result["verdict"]["thresholds"]["latency"] == {"99": 0.5}
        assert result["changed"] is False


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"latency": {"slow": 1}}, "thresholds: latency: 'slow' is not a percentile such as 99 or 99.9."),
        ({"latency": {"99": "fast"}}, "thresholds: .*'fast'"),
        ({"max_lost": -1}, "thresholds: max_lost must not be below 0, it is -1."),
    ],
)
def test_judge_refuses_thresholds_that_make_no_sense(
    thresholds: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtefactError, match=message):
        judge({"thresholds": thresholds})


def test_judge_writes_what_it_returns_once(tmp_path: Path) -> None:
    params = {**runs.store(rollouts.good(), tmp_path), "dest": str(tmp_path / "verdict.json")}
    assert judge(params, check_mode=True)["changed"] is False
    assert not (tmp_path / "verdict.json").exists()
    first = judge(params)
    assert first["changed"] is True
    assert json.loads((tmp_path / "verdict.json").read_text()) == first["verdict"]
    assert judge(params)["changed"] is False


def test_judge_passes_expectations_on(tmp_path: Path) -> None:
    params = {**runs.store(rollouts.rolled_back(), tmp_path), "dest": None, "expect_winner": "baseline"}
    assert judge(params)["verdict"]["verdict"] == "pass"
    assert judge({**params, "expect_iterations": 3})["verdict"]["verdict"] == "fail"


def test_a_revision_that_no_file_can_hold_gets_a_verdict(tmp_path: Path) -> None:
    run = rollouts.good()
    run.own["revisions"] = {
        "\ud800": run.own["revisions"].popitem()[1],
        "\x1b[32m\n": {"requests": 1, "failed": 0},
    }
    params = {**runs.store(run, tmp_path), "dest": str(tmp_path / "verdict.json")}
    verdict = judge(params)["verdict"]
    assert verdict["verdict"] != "pass"
    assert set(verdict["revisions"]) >= {r"\ud800", r"\x1b[32m\n"}
    assert json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8")) == verdict
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
