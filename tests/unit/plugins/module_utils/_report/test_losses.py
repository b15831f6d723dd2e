# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses in the report: outages as a client would call them, waits, and what happened around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.builders import CANARY
from ansible_collections.iter8.kfserving.tests.support.pages import page_text, read_page
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def slow() -> Run:
    """Four requests fail, each after 8 s, while all others are answered."""
    run = rollouts.good(rate=20)
    for after in (31.2, 31.9, 33.4, 36.1):
        rollouts.lose(run, after, revision="", status=503)
        run.own["ledger"][-1]["end"] = START + after + 8.0
        times = {"first_failed_send": START + after, "recovered": START + after + 0.05}
        run.own["outages"].append(
            {"connection_mode": "keep-alive", "last_success": START + after - 0.05, **times}
            | {"failed": 1, "longest_wait": 8.0}
        )
    return run


def mixed_up(run: Run) -> None:
    """As an earlier version told it: dated by the ends of answers."""
    times = {"last_success": START + 39.1, "first_failed_send": START + 31.2, "recovered": START + 39.2}
    run.own["outages"] = [{"connection_mode": "keep-alive", **times, "failed": 4}]


def test_slow_losses_among_answers_are_no_outage(tmp_path: Path) -> None:
    run = slow()
    for bend in (lambda _run: None, mixed_up):
        bend(run)
        params = runs.judged(run, tmp_path)
        _checker, html = read_page(params)
        assert 'class="outage"' not in html
        assert "outage on" not in html.lower()
        text = page_text(params)
        assert "4 between requests that were answered; their clients waited from 8.00 s to 8.00 s." in text


def test_an_outage_is_told_with_its_longest_wait(tmp_path: Path) -> None:
    run = runs.lossy()
    run.own["outages"][0]["longest_wait"] = 3.25
    params = runs.judged(run, tmp_path)
    text = page_text(params)
    assert (
        "18 of them in 1 outage; 9 between requests that were answered; their clients waited from 20 ms"
        in text
    )
    assert "3.25 s" in text


def observations() -> list[dict[str, Any]]:
    def pod(at: float, ready: str, *words: str) -> dict[str, Any]:
        obj = {
            "kind": "Pod",
            "metadata": {"name": f"{CANARY}-x", "labels": {"serving.knative.dev/revision": CANARY}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }
        return {"time": START + at, "feed": "pod", "type": "present", "object": obj}

    event = {
        "kind": "Event",
        "metadata": {"name": "e1"},
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe <failed>",
        "involvedObject": {"kind": "Pod", "name": f"{CANARY}-x"},
    }
    return [
        pod(20.0, "True"),
        pod(26.0, "False"),
        {"time": START + 26.2, "feed": "event", "type": "present", "object": event},
    ]


def test_what_happened_around_losses_is_told_everywhere(tmp_path: Path) -> None:
    run = rollouts.good(rate=20)
    rollouts.lose(run, 26.5)
    rollouts.lose(run, 26.9)
    path = tmp_path / "observations.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in observations()) + "\n")
    params = {**runs.store(run, tmp_path), "observations": str(path)}
    found = judge({**params, "dest": str(tmp_path / "verdict.json")})["verdict"]
    assert [(c["from"], c["to"], c["lost"]) for c in found["causes"]] == [(START + 26.5, START + 26.9, 2)]
    around = found["causes"][0]["around"]
    assert [(row["kind"], row["seconds"]) for row in around][0] == ("warning", -0.3)
    assert len(around) == 2
    params["verdict"] = str(tmp_path / "verdict.json")
    text = page_text(params)
    assert "What happened around them 08:00:26.500: 2 lost, around: Pod" in text
    assert "Readiness probe <failed> (0.30 s before)" in text
    assert "need not be why" in text
    assert "\\<failed\\>" in (tmp_path / "summary.md").read_text()


def test_without_observations_nothing_is_made_up(tmp_path: Path) -> None:
    run = rollouts.good(rate=20)
    rollouts.lose(run, 26.5)
    params = {**runs.store(run, tmp_path), "observations": str(tmp_path / "none.jsonl")}
    found = judge({**params, "dest": str(tmp_path / "verdict.json")})["verdict"]
    assert [cause["around"] for cause in found["causes"]] == [[]]
    assert {r["rule"] for r in found["reasons"]} == {"nothing_lost"}


def test_observations_that_are_damaged_are_evidence_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "observations.jsonl"
    path.write_text("{nothing\n")
    params = {**runs.store(rollouts.good(20), tmp_path), "observations": str(path)}
    found = judge({**params, "dest": None})["verdict"]
    assert [r["rule"] for r in found["reasons"]] == ["evidence_complete"]
    path.write_text('["no object"]\n{"time": 1}\n')
    assert judge({**params, "dest": None})["verdict"]["verdict"] == "pass"
