# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts of whole runs on disk, for the tests of what reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run

NASTY = (
    "<script>alert('x')</script> & \"quoted\" \x00 | `code` \x1b[2K\r\x1b[32mPASS\n\x9b1m \u202e\u2028 \ud800"
)


def store(run: Run, folder: Path) -> dict[str, Any]:
    """Write the run's files and return the parameters that name them, `dest` included."""
    if run.load is not None:
        (folder / "load.json").write_text(json.dumps(run.load))
    if run.timeline is not None:
        (folder / "timeline.jsonl").write_text("".join(json.dumps(line) + "\n" for line in run.timeline))
    for name in ("experiment", "inferenceservice"):
        if getattr(run, name) is not None:
            (folder / f"{name}.json").write_text(json.dumps(getattr(run, name)))
    return {
        "load": str(folder / "load.json"),
        "timeline": str(folder / "timeline.jsonl"),
        "experiment": str(folder / "experiment.json"),
        "inferenceservice": str(folder / "inferenceservice.json"),
        "dest": str(folder),
    }


def judged(run: Run, folder: Path, **more: Any) -> dict[str, Any]:
    """`store`, and the verdict written beside it."""
    params = store(run, folder)
    judge({**params, **more, "dest": str(folder / "verdict.json")})
    return {**params, "verdict": str(folder / "verdict.json")}


def lossy() -> Run:
    """Losses of three classes, two of them in one outage."""
    run = rollouts.good(rate=20)
    for i in range(9):
        rollouts.lose(run, 25.3 + i * 0.9)
    for i in range(14):
        rollouts.lose(run, 75.4 + i * 0.05, kind="reset", revision="", status=None)
    for i in range(4):
        rollouts.lose(run, 76.0 + i * 0.05, status=503)
    times = {"last_success": START + 75.38, "first_failed_send": START + 75.4, "recovered": START + 76.25}
    run.own["outages"] = [{"connection_mode": "keep-alive", **times, "failed": 18, "longest_wait": 0.5}]
    run.experiment = builders.finished(
        metrics={
            "mean-latency": {"default": "12.5", "canary": "14.1"},
            "error-rate": {"default": "0", "canary": "8m"},
        }
    )
    return run


def hostile() -> Run:
    """Every text that comes from outside is markup and rubbish."""
    run = lossy()
    assert run.timeline is not None
    for line in run.timeline:
        line["text"] = NASTY
    for row in run.own["ledger"]:
        row.update(peer=NASTY, request_id=NASTY, detail=NASTY, errno=NASTY)
    run.own["classes"][NASTY] = 1
    run.own["revisions"][NASTY] = {"requests": 3, "failed": 1}
    obj = builders.finished(NASTY, winner="default")
    obj["spec"]["criteria"]["objectives"][0]["metric"] = NASTY
    run.experiment = obj
    return run


def nothing() -> Run:
    """The play was killed before anything was kept."""
    return Run(None, None, None, None)


def broken() -> Run:
    """A load test's result of another tool, and a timeline that is not one."""
    run = rollouts.good()
    run.load = {"RunType": "HTTP"}
    run.timeline = [{"x": 1}]
    return run


def long() -> Run:
    """A run of an hour and a half, with one loss in it."""
    run = rollouts.good(rate=20)
    run.load = rollouts.load(20, seconds=5400)
    rollouts.lose(run, 3000.0)
    return run


RUNS = {
    "good": lambda: rollouts.good(20),
    "rolled back": rollouts.rolled_back,
    "lossy": lossy,
    "hostile": hostile,
    "nothing": nothing,
    "broken": broken,
    "long": long,
}
