# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs


def test_markdown_for_a_comment(tmp_path: Path) -> None:
    publish(runs.judged(runs.lossy(), tmp_path))
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("### ✗ FAIL\n\n1800 requests, 27 lost")
    assert "- **fail**: 27 of 1800 requests were lost" in text
    assert f"| {rollouts.CANARY} | canary | 879 | 13 |" in text
    assert "| promotion | 40 | 18 |" in text
    assert "before the canary" not in text
    publish(runs.judged(rollouts.rolled_back(), tmp_path))
    assert "| mean-latency | canary | 1243 | missed |" in (tmp_path / "summary.md").read_text()
