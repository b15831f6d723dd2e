# SPDX-License-Identifier: GPL-3.0-or-later
"""Bent evidence that once got a wrong verdict, with the values of then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run, event

UNSURE = ("inconclusive",)
NO_PASS = ("inconclusive", "fail")
SPLIT = "inferenceservice", "traffic"


def tell(run: Run, *lines: dict[str, Any]) -> None:
    run.timeline = sorted([*(run.timeline or []), *lines], key=lambda line: float(line["time"]))


def failures_of_some_views(run: Run) -> None:
    run.own["connection_modes"]["new"]["failed"] = 77
    run.own["revisions"][CANARY]["failed"] = 77
    run.own["timeline"][40].update(ok=23, failed=77)


def outage(run: Run) -> None:
    times = {"last_success": START + 40.0, "first_failed_send": START + 40.1, "recovered": START + 60.0}
    run.own["outages"] = [{"connection_mode": "new", "failed": 200, **times}]


def back_to_the_baseline(run: Run) -> None:
    tell(run, event(95, *SPLIT, traffic={CANARY: 100}))
    (last,) = [line for line in run.timeline or [] if line["time"] == START + 77]
    last["data"]["traffic"] = {BASELINE: 100}
    run.load = rollouts.load(100, lambda second: 0 if second >= 77 else rollouts.weight_at(second))


def rolled_back_after_the_load(run: Run) -> None:
    failing = {"default": [True, True], "canary": [False, True]}
    run.experiment = builders.finished(winner="default", assessments=failing)
    run.inferenceservice = builders.isvc(traffic={BASELINE: 100})
    run.timeline = rollouts.timeline(final=100, winner="default")
    for line in run.timeline:
        if line["event"] == "traffic" and line["time"] == START + 77:
            line["time"] = START + 70
    tell(run, event(97, *SPLIT, traffic={BASELINE: 100}))
    run.load = rollouts.load(100, lambda second: 100 if second >= 70 else rollouts.weight_at(second))


def an_old_completion(run: Run) -> None:
    run.drop_events("experiment", "completed")
    tell(run, event(1.0, "experiment", "completed", winner="canary", message="done", failed=False))
    run.load = rollouts.load(100, rollouts.weight_at, seconds=60)
    run.event("playbook", "load_stopped")["time"] = START + 60
    tell(run)


def failing_winner(run: Run) -> None:
    run.experiment = builders.finished(
        assessments={"default": [True, True], "canary": [False, False]},
        metrics={
            "mean-latency": {"default": "12", "canary": "4000"},
            "error-rate": {"default": 0, "canary": "0.5"},
        },
    )


def unseen_for_64_seconds(run: Run) -> None:
    run.timeline = [line for line in run.timeline or [] if line["source"] != "inferenceservice"]
    tell(
        run,
        event(10, "inferenceservice", "revision_created", revision=CANARY, first=True),
        event(10, *SPLIT, traffic={BASELINE: 99, CANARY: 1}, first=True),
        event(74, *SPLIT, traffic={BASELINE: 5, CANARY: 95}, first=True),
        event(77, *SPLIT, traffic={CANARY: 100}),
    )
    run.load = rollouts.load(100, lambda second: 0 if second < 73 else 100 if second >= 77 else 95)


def cut_watch(run: Run) -> None:
    run.timeline = [
        line
        for line in run.timeline or []
        if not (line["event"] == "traffic" and START + 35 <= line["time"] <= START + 55)
        and not (line["event"] == "iteration" and START + 31 < line["time"] < START + 58)
    ]
    tell(
        run,
        event(32, "experiment", "connection", lost=True),
        event(58, "experiment", "connection", lost=False),
        event(58, *SPLIT, traffic={BASELINE: 25, CANARY: 75}),
    )


def split_not_told(run: Run) -> None:
    assert run.inferenceservice is not None
    predictor = run.inferenceservice["status"]["components"]["predictor"]
    predictor.pop("traffic")
    predictor["trafficPercent"] = 100


def five_seconds_ahead(run: Run) -> None:
    run.own["started"] += 5
    run.own["ended"] += 5
    for row in run.own["timeline"]:
        row["second"] += 5


def stood_still(run: Run) -> None:
    run.load = rollouts.load(20)
    run.own.update(longest_success_gap=rollouts.gap(3.02), stalls=[], rate_kept=False)
    run.own["lateness"] = {"p50": 3e-5, "p99": 0.3, "max": 2.97}


CASES: list[tuple[str, Callable[[Run], Any], tuple[str, ...]]] = [
    ("codes of failures", lambda r: r.load.update(RetCodes={"200": 8000, "503": 900, "-1": 100}), NO_PASS),
    ("a class of failures", lambda r: r.own.update(classes={"reset": 50}), NO_PASS),
    ("failures by mode, revision and second", failures_of_some_views, NO_PASS),
    ("an outage of 20 s", outage, NO_PASS),
    ("nobody named", lambda r: [row.update(revisions={}) for row in r.own["timeline"]], UNSURE),
    ("all went back while the load ran out", back_to_the_baseline, NO_PASS),
    ("an old completion, and the load ends in the shift", an_old_completion, UNSURE),
    (
        "a failure in the timeline alone",
        lambda r: r.event("experiment", "completed")["data"].update(
            failed=True, winner="default", message="Experiment failed"
        ),
        NO_PASS,
    ),
    ("a winner that misses its objectives", failing_winner, NO_PASS),
    ("64 s of the shift unseen", unseen_for_64_seconds, UNSURE),
    ("answers without a body", lambda r: r.load.update(RetCodes={"204": 9000}), NO_PASS),
    ("no plan of iterations", lambda r: r.experiment["spec"]["duration"].pop("maxIterations"), ("pass",)),
    ("a watch that was cut", cut_watch, UNSURE),
    ("no split in the status", split_not_told, UNSURE),
    ("a load whose clock is 5 s ahead", five_seconds_ahead, ("pass", "inconclusive")),
    ("a generator that stood still", stood_still, UNSURE),
]


@pytest.mark.parametrize(("bend", "right"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_evidence_that_was_judged_wrongly_once(bend: Callable[[Run], Any], right: tuple[str, ...]) -> None:
    run = rollouts.good()
    bend(run)
    assert decide(run.evidence()).grade.value in right


def test_a_roll_back_after_the_end_of_the_load_was_judged_wrongly_once() -> None:
    run = rollouts.good()
    rolled_back_after_the_load(run)
    assert decide(run.evidence(), Thresholds(expect_winner="baseline")).grade.value in NO_PASS
