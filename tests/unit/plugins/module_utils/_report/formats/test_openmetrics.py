# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs


def test_openmetrics_families(tmp_path: Path) -> None:
    publish(runs.judged(runs.lossy(), tmp_path))
    lines = (tmp_path / "metrics.txt").read_text().splitlines()
    assert 'rollout_verdict{rollout_verdict="fail"} 1' in lines
    assert 'rollout_verdict{rollout_verdict="pass"} 0' in lines
    canary = f'revision="{rollouts.CANARY}",role="canary"'
    assert f'rollout_requests_total{{{canary},outcome="ok"}} 866' in lines
    assert f'rollout_requests_total{{{canary},outcome="failed"}} 13' in lines
    assert 'rollout_failures_total{class="reset"} 14' in lines
    assert 'rollout_phase_failed_total{phase="promotion",index="13"} 18' in lines
    assert 'rollout_connection_mode_failed_total{connection_mode="keep-alive"} 27' in lines
    assert "rollout_longest_success_gap_seconds 0.21" in lines
    assert 'rollout_connection_mode_longest_success_gap_seconds{connection_mode="new"} 0.23' in lines
    assert any(line.startswith("rollout_loss_rate_upper_bound 0.0") for line in lines)
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) == 8
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [-+.e\d]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)


def test_openmetrics_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    publish(runs.judged(runs.nothing(), tmp_path))
    text = (tmp_path / "metrics.txt").read_text()
    assert "gap" not in text
    assert 'rollout_verdict{rollout_verdict="inconclusive"} 1' in text
