# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    loss_rate_upper_bound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import gateway
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules.rule import Grade, worst
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES, decide
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run
from hypothesis import given, settings
from hypothesis import strategies as st

Bend = Callable[[Run], None]


def own(**changes: Any) -> Bend:
    """Change fields of `LoadTest`."""
    return lambda run: run.own.update(changes)


def at(source: str, name: str, after: float) -> Bend:
    """Move the first event of this name."""
    return lambda run: run.event(source, name).update(time=START + after)


def without(source: str, name: str) -> Bend:
    return lambda run: run.drop_events(source, name)


def adding(*events: dict[str, Any]) -> Bend:
    return lambda run: run.timeline.extend(events)  # type: ignore[union-attr]


def losing(*losses: dict[str, Any]) -> Bend:
    def bend(run: Run) -> None:
        for loss in losses:
            rollouts.lose(run, **loss)

    return bend


def experiment(obj: dict[str, Any] | None) -> Bend:
    return lambda run: setattr(run, "experiment", obj)


def service(obj: dict[str, Any] | None) -> Bend:
    return lambda run: setattr(run, "inferenceservice", obj)


def damaged(name: str, words: str) -> Bend:
    def bend(run: Run) -> None:
        setattr(run, name, None)
        run.problems[name] = words

    return bend


def answered(first: int, last: int, **requests: int) -> Bend:
    """From second `first` up to `last`, this many requests a second by `baseline`, `canary` and
    `stranger`."""

    def bend(run: Run) -> None:
        names = {"baseline": BASELINE, "canary": CANARY, "unnamed": ""}
        for row in run.own["timeline"][first:last]:
            for name, n in row["revisions"].items():
                run.own["revisions"][name]["requests"] -= n
            row["revisions"] = {names.get(name, name): n for name, n in requests.items()}
            for name, n in row["revisions"].items():
                run.own["revisions"].setdefault(name, {"requests": 0, "failed": 0})["requests"] += n

    return bend


def logged(**changes: Any) -> Bend:
    """The gateway's log is given, and says what the answers do but for these changes."""
    return lambda run: setattr(run, "access_log", rollouts.log_of(run, **changes))


def both(*bends: Bend) -> Bend:
    def bend(run: Run) -> None:
        for one in bends:
            one(run)

    return bend


def unready(**words: str) -> list[dict[str, str]]:
    return [{"type": "Ready", "status": "False", **words}]


def unplanned(run: Run) -> None:
    assert run.experiment is not None
    run.experiment["status"]["completedIterations"] = 7


def emptied(run: Run) -> None:
    assert run.timeline is not None
    run.timeline.clear()


def compared(role: str, revision: str) -> Bend:
    def bend(run: Run) -> None:
        assert run.experiment is not None
        info = run.experiment["spec"]["versionInfo"]
        version = info["baseline"] if role == "baseline" else info["candidates"][0]
        version["tags"]["revision"] = revision

    return bend


def codes(run: Run) -> None:
    assert run.load is not None
    run.load["RetCodes"]["200"] -= 1


def counted(run: Run) -> None:
    assert run.load is not None
    run.load["DurationHistogram"]["Count"] += 1


FAIL, UNSURE = Grade.FAIL, Grade.INCONCLUSIVE
STALL = {"start": START + 30.0, "seconds": 4.0}
GAP = {"seconds": 5.0, "start": START + 29.5, "end": START + 34.5}

# What is wrong with an otherwise good run -> the verdict, the rule that says so, and what it says.
CASES: list[tuple[str, Bend, Grade, str, str]] = [
    (
        "one request lost",
        losing({"after": 26.5}),
        FAIL,
        "nothing_lost",
        "1 of 9000 requests was lost at 08:00:26.500 UTC: 1 × status 500; 1 by the canary "
        f"{CANARY}; 1 with the canary at 15 %",
    ),
    (
        "several requests lost",
        losing(
            {"after": 8.2, "revision": BASELINE, "kind": "reset"},
            {"after": 76.0, "revision": "", "kind": "timeout"},
            {"after": 76.5, "status": 503},
            {"after": 80.0},
            {"after": 2.0, "revision": BASELINE},
        ),
        FAIL,
        "nothing_lost",
        "5 of 9000 requests were lost from 08:00:02.000 UTC to 08:01:20.000 UTC: 2 × status 500, 1 × reset, "
        f"1 × status 503, 1 × timeout; 2 by the baseline {BASELINE}, 1 by no named revision, 2 by the canary "
        f"{CANARY}; 1 before the canary, 1 with the canary at 0 %, 2 during promotion, 1 after the rollout",
    ),
    ("a long gap", own(longest_success_gap=GAP), FAIL, "gap_short", "no request succeeded for 5.00 s"),
    (
        "a long gap in which the generator stood still",
        own(longest_success_gap=GAP, stalls=[STALL]),
        UNSURE,
        "gap_short",
        "the generator itself stood still for 4.00 s of it",
    ),
    (
        "a gap too long even without the stall",
        own(longest_success_gap={**GAP, "seconds": 7.0, "end": START + 36.5}, stalls=[STALL]),
        FAIL,
        "gap_short",
        "no request succeeded for 7.00 s",
    ),
    ("the load was killed", own(state="interrupted"), UNSURE, "load_complete", "it is interrupted"),
    ("the load was aborted", own(state="aborted"), UNSURE, "load_complete", "it is aborted"),
    ("the load still runs", own(state="running"), UNSURE, "load_complete", "it is running"),
    ("no state", own(state=""), UNSURE, "load_complete", "it is in no known state"),
    ("RetCodes disagree", codes, UNSURE, "counts_agree", "RetCodes 8999"),
    ("the histogram disagrees", counted, UNSURE, "counts_agree", "DurationHistogram 9001"),
    ("ok disagrees", own(ok=8000), UNSURE, "counts_agree", "ok and failed 8000"),
    ("the ledger disagrees", own(ledger_dropped=2), UNSURE, "counts_agree", "records of failures 2"),
    (
        "the revisions disagree",
        own(revisions={BASELINE: {"requests": 4525, "failed": 0}, CANARY: {"requests": 4000, "failed": 0}}),
        UNSURE,
        "counts_agree",
        "revisions 8525",
    ),
    (
        "the seconds disagree",
        lambda run: run.own["timeline"][50].update(ok=50),
        UNSURE,
        "counts_agree",
        "timeline 8950",
    ),
    (
        "the rate was not kept",
        own(rate_kept=False, actual_rate=61.25),
        UNSURE,
        "rate_kept",
        "only 61.25 of the 100 requests a second asked for were sent",
    ),
    (
        "the rate was kept only on average",
        own(rate_kept=False, actual_rate=100.0, lateness={"p50": 0.0, "p99": 0.133, "max": 0.2}),
        UNSURE,
        "rate_kept",
        "but not evenly: 1 % of them were sent 0.13 s late or more",
    ),
    (
        "the generator stood still",
        own(stalls=[{"start": START + 3.0, "seconds": 0.4}, STALL]),
        UNSURE,
        "generator_ran",
        "stood still for 4.00 s at 08:00:30.000 UTC: an outage",
    ),
    (
        "the generator stood still twice",
        own(stalls=[{"start": START + 3.0, "seconds": 1.4}, STALL]),
        UNSURE,
        "generator_ran",
        "at 08:00:30.000 UTC, and 1 times more for over 1.00 s",
    ),
    (
        "the generator was late",
        own(lateness={"p50": 0.3, "p99": 0.6, "max": 0.7}),
        UNSURE,
        "generator_on_time",
        "at most 0.60 s late, more than the 0.50 s allowed",
    ),
    (
        "the generator's own faults",
        losing({"after": 40.0, "kind": "client"}, {"after": 41.0, "kind": "client"}),
        UNSURE,
        "generator_healthy",
        "2 requests failed by a fault or a limit of the load generator itself",
    ),
    (
        "the clock was set back",
        at("experiment", "completed", 63.0),
        UNSURE,
        "clock_steady",
        "the timeline goes back by 1.90 s at 08:01:03.000 UTC",
    ),
    (
        "the clock was set forward",
        at("playbook", "load_stopped", 3690.0),
        UNSURE,
        "clock_steady",
        "the load test ended at 08:01:30.000 UTC, and 09:01:30.000 UTC by the timeline",
    ),
    (
        "the clock was set before the load began",
        own(started=START - 60.0),
        UNSURE,
        "clock_steady",
        "the load test began at 07:59:00.000 UTC, and 08:00:00.100 UTC by the timeline",
    ),
    (
        "the load began too late",
        at("playbook", "canary_applied", -1.0),
        UNSURE,
        "load_spans_rollout",
        "the load began 1.00 s after the canary was applied",
    ),
    (
        "the load ended too early",
        own(ended=START + 76.0),
        UNSURE,
        "load_spans_rollout",
        "the load ended 1.00 s before the rollout did at 08:01:17.000 UTC",
    ),
    (
        "no mark of the canary",
        without("playbook", "canary_applied"),
        UNSURE,
        "load_spans_rollout",
        "does not tell when the canary was applied",
    ),
    (
        "no mark of the end",
        without("experiment", "completed"),
        UNSURE,
        "load_spans_rollout",
        "does not tell when the Experiment ended",
    ),
    (
        "a phase without requests",
        lambda run: [row.update(ok=0, revisions={}) for row in run.own["timeline"][30:35]] and None,
        UNSURE,
        "requests_in_every_phase",
        "no request ended during: canary at 25 %",
    ),
    (
        "two loads in a row, with nothing between them",
        lambda run: [row.update(ok=0, revisions={}) for row in run.own["timeline"][31:34]] and None,
        UNSURE,
        "requests_in_every_phase",
        "no request ended from 08:00:31.000 UTC to 08:00:34.000 UTC, and no gap of the load tells why",
    ),
    (
        "a timeline without a traffic split",
        without("inferenceservice", "traffic"),
        UNSURE,
        "shares_as_set",
        "the timeline tells no traffic split",
    ),
    (
        "a traffic split that nobody watched",
        lambda run: setattr(
            run,
            "timeline",
            [e for e in run.timeline or [] if e["source"] != "inferenceservice" or e["time"] <= START + 10],
        ),
        UNSURE,
        "shares_as_set",
        "nothing watched the traffic split from 08:00:10.000 UTC on",
    ),
    (
        "answers without a name",
        answered(30, 31, baseline=75, unnamed=25),
        UNSURE,
        "answers_named",
        "25 answers did not name the revision",
    ),
    (
        "a stranger answers",
        answered(30, 31, baseline=75, canary=24, stranger=1),
        FAIL,
        "known_revisions_only",
        "neither baseline nor canary answered: 1 × stranger",
    ),
    (
        "the canary never got traffic",
        answered(0, 90, baseline=100),
        UNSURE,
        "canary_got_traffic",
        f"the canary {CANARY} never answered a request",
    ),
    (
        "the canary got too little",
        lambda run: setattr(run, "load", rollouts.load(rate=1)),
        UNSURE,
        "enough_per_revision",
        f"the baseline {BASELINE} answered only 45 requests, fewer than the 50",
    ),
    (
        "the baseline got nothing",
        answered(0, 90, canary=100),
        UNSURE,
        "enough_per_revision",
        f"the baseline {BASELINE} answered only 0 requests",
    ),
    (
        "too few requests",
        lambda run: setattr(run, "load", rollouts.load(rate=3)),
        UNSURE,
        "enough_requests",
        "only 270 requests were sent, fewer than the 300",
    ),
    (
        "the canary answers before it has weight",
        answered(3, 4, baseline=99, canary=1),
        FAIL,
        "none_at_weight_zero",
        f"the canary {CANARY} answered 1 request while its weight was 0, first at 08:00:03.000 UTC",
    ),
    (
        "the baseline answers after promotion",
        answered(80, 82, baseline=2, canary=98),
        FAIL,
        "none_at_weight_zero",
        f"the baseline {BASELINE} answered 4 requests while its weight was 0",
    ),
    (
        "the canary answers too much at one weight",
        answered(10, 20, baseline=70, canary=30),
        FAIL,
        "shares_as_set",
        "during canary at 1 % the canary answered 30.0% of 1000 requests",
    ),
    (
        "the canary answers too little throughout",
        answered(25, 77, baseline=85, canary=15),
        FAIL,
        "shares_as_set",
        "during the whole load the canary answered",
    ),
    (
        "nothing changed",
        both(service(builders.stale()), experiment(None), without("inferenceservice", "revision_created")),
        FAIL,
        "change_happened",
        f"nothing was rolled out: {BASELINE} is the baseline and the canary",
    ),
    (
        "the Experiment compared the baseline with itself",
        both(compared("canary", BASELINE), without("inferenceservice", "revision_created")),
        FAIL,
        "change_happened",
        "nothing was rolled out",
    ),
    (
        "the Experiment compared another canary",
        compared("canary", "other"),
        FAIL,
        "change_happened",
        f"the Experiment took other for the canary, which was {CANARY}",
    ),
    (
        "the Experiment compared with another baseline",
        compared("baseline", "other"),
        FAIL,
        "change_happened",
        f"the Experiment took other for the baseline, which was {BASELINE}",
    ),
    (
        "nobody knows the canary",
        both(experiment(None), without("inferenceservice", "revision_created")),
        UNSURE,
        "change_happened",
        "it is not known which revision the canary was",
    ),
    (
        "nobody knows the baseline",
        both(experiment(None), lambda run: run.event("playbook", "canary_applied")["data"].clear()),
        UNSURE,
        "change_happened",
        "it is not known which revision the baseline was",
    ),
    (
        "the Experiment failed",
        experiment(
            builders.experiment(
                iterations=3,
                completed=("True", "ExperimentCompleted", "Experiment failed"),
                failed=("True", "AnalyticsServiceError", "Unable to contact analytics engine"),
            )
        ),
        FAIL,
        "experiment_succeeded",
        "the Experiment did not succeed (AnalyticsServiceError: Unable to contact analytics engine)",
    ),
    (
        "the Experiment did not end",
        experiment(builders.running(5, 45)),
        FAIL,
        "experiment_succeeded",
        "did not end; after 5 iterations it stands at IterationUpdate: Completed Iteration 5",
    ),
    (
        "no winner, no data",
        experiment(
            builders.finished(winner=None, assessments={"default": [False] * 2, "canary": [False] * 2})
        ),
        FAIL,
        "expected_winner",
        "there is no winner, where the canary was expected; no data for mean-latency of the canary "
        "(objective: at most 1000); no data for error-rate of the canary (objective: at most 0.01)",
    ),
    (
        "iterations are missing",
        unplanned,
        FAIL,
        "iterations_done",
        "7 iterations were done, where 12 were expected",
    ),
    (
        "the traffic was not moved",
        service(builders.isvc(traffic={BASELINE: 5, CANARY: 95})),
        FAIL,
        "traffic_moved",
        f"ended with 5 % on the baseline {BASELINE}, 95 % on the canary {CANARY}, where 100 % on the canary",
    ),
    (
        "the wrong revision was promoted",
        service(builders.isvc(traffic={"stranger": 100})),
        FAIL,
        "traffic_moved",
        "the traffic ended with 100 % on stranger, where",
    ),
    (
        "no traffic at the end",
        service(builders.isvc(traffic={})),
        FAIL,
        "traffic_moved",
        "the traffic ended with no revision",
    ),
    (
        "not ready at the end",
        service(builders.isvc(traffic={CANARY: 100}, ready_status="False")),
        FAIL,
        "ready_at_end",
        "not ready at the end: Ready is False",
    ),
    (
        "not ready at the end, with a message",
        service(
            builders.isvc(traffic={CANARY: 100}, conditions=unready(message="Configuration is not ready"))
        ),
        FAIL,
        "ready_at_end",
        "Ready is False (Configuration is not ready)",
    ),
    (
        "not ready at the end, with a reason",
        service(builders.isvc(traffic={CANARY: 100}, conditions=unready(reason="RevisionMissing"))),
        FAIL,
        "ready_at_end",
        "Ready is False (RevisionMissing)",
    ),
    (
        "the finish handler failed",
        lambda run: run.event("experiment", "handler")["data"].update(status="Failed"),
        FAIL,
        "handlers_succeeded",
        "the Experiment's finish handler failed at 08:01:16.500 UTC",
    ),
    (
        "the Experiment was deleted",
        adding(rollouts.event(76.0, "experiment", "deleted")),
        FAIL,
        "nothing_deleted",
        "the Experiment was deleted during the rollout, at 08:01:16.000 UTC",
    ),
    (
        "the InferenceService was deleted",
        adding(rollouts.event(78.0, "inferenceservice", "deleted")),
        FAIL,
        "nothing_deleted",
        "the InferenceService was deleted",
    ),
    (
        "the run was cut short",
        adding(
            {"time": START + 50, "source": "playbook", "event": "stopped", "data": {"task": "Wait"}}
            | {"text": "Stopped at 'Wait': the canary is not ready"}
        ),
        FAIL,
        "run_not_stopped",
        "the run was cut short: Stopped at 'Wait': the canary is not ready",
    ),
    ("an Experiment that was gone", experiment({}), UNSURE, "evidence_complete", "there is no Experiment"),
    ("a timeline without a line", emptied, UNSURE, "evidence_complete", "there is no timeline"),
    ("no Experiment", experiment(None), UNSURE, "evidence_complete", "there is no Experiment"),
    ("no InferenceService", service(None), UNSURE, "evidence_complete", "there is no InferenceService"),
    ("a damaged timeline", damaged("timeline", "it is torn"), UNSURE, "evidence_complete", "it is torn"),
    ("no load", damaged("load", "it is gone"), UNSURE, "evidence_complete", "it is gone"),
    (
        "a log of another gateway",
        logged(requests=0, lines=70, statuses={}, revisions={}, seconds={}),
        UNSURE,
        "log_whole",
        "the gateway's log (70 lines) has no request of this load",
    ),
    (
        "a log that was rotated",
        logged(statuses={"200": 4000}),
        UNSURE,
        "log_whole",
        "the gateway's log has 4000 answers with status 200, where the load test counted 9000",
    ),
    (
        "a log that is torn",
        logged(statuses={"200": 8999}, unread=1),
        UNSURE,
        "log_whole",
        "has 8999 answers with status 200 (1 torn line), where",
    ),
    (
        "a log by another clock",
        logged(first=START + 3600.0, last=START + 3690.0),
        UNSURE,
        "log_whole",
        "by the gateway's log the load ran from 09:00:00.000 UTC to 09:01:30.000 UTC, by its own from",
    ),
    (
        "a log without times",
        logged(first=None, last=None),
        UNSURE,
        "log_whole",
        "no line of the gateway's log tells a time",
    ),
    (
        "requests that came twice",
        logged(repeated=3),
        UNSURE,
        "sent_once",
        "3 requests stand in the gateway's log more than once",
    ),
    (
        "the log names others than the answers",
        logged(revisions={BASELINE: 4526, CANARY: 4474}),
        UNSURE,
        "log_agrees",
        f"disagree on who answered: {BASELINE} 4525 and 4526, {CANARY} 4475 and 4474",
    ),
    (
        "a log that cannot be read",
        lambda run: run.problems.update(access_log="the gateway's log x cannot be read: No such file"),
        UNSURE,
        "evidence_complete",
        "the gateway's log x cannot be read",
    ),
    (
        "an event without a time",
        lambda run: run.event("playbook", "canary_applied").pop("time"),
        UNSURE,
        "evidence_complete",
        "the timeline cannot be read: line 3 is not an event with a time",
    ),
    (
        "a load result of another tool",
        lambda run: setattr(run, "load", {"RunType": "HTTP"}),
        UNSURE,
        "evidence_complete",
        "the load test's result cannot be read: LoadTest is not an object",
    ),
]


def verdict(run: Run, thresholds: Thresholds | None = None) -> dict[str, Any]:
    found = decide(run.evidence(), thresholds).as_dict()
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.mark.parametrize(
    ("bend", "grade", "rule", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_goes_wrong_is_said(bend: Bend, grade: Grade, rule: str, words: str) -> None:
    run = rollouts.good()
    bend(run)
    found = verdict(run)
    said = [(r["verdict"], r["text"]) for r in found["reasons"] if r["rule"] == rule]
    assert said, [r["rule"] for r in found["reasons"]]
    assert said[0][0] == grade.value
    assert words in said[0][1]
    assert found["verdict"] == grade.value or found["verdict"] == "fail"


def test_every_rule_is_refuted_by_some_case() -> None:
    """`latency_kept` has a threshold to be given, and tests of its own."""
    assert {case[3] for case in CASES} == {rule.name for rule in RULES} - {"latency_kept"}


def test_a_good_run_passes_on_every_count() -> None:
    found = verdict(rollouts.good())
    texts = {c["rule"]: [f["text"] for f in c["findings"]] for c in found["claims"]}
    assert texts["experiment_succeeded"] == ["Experiment completed successfully"]
    assert texts["load_spans_rollout"] == [
        "the load began 5.00 s before the canary was applied and ended 13 s after the rollout"
    ]
    assert texts["gap_short"] == [
        "the longest gap between successes on keep-alive connections is 0.22 s",
        "the longest gap between successes on new connections is 0.23 s",
    ]
    assert texts["generator_ran"] == ["the load generator never stood still"]
    assert (found["verdict"], found["reasons"]) == ("pass", [])
    asked = {"latency_kept", *(rule.name for rule in gateway.RULES)}
    assert [c["rule"] for c in found["claims"]] == [r.name for r in RULES if r.name not in asked]
    assert {c["verdict"] for c in found["claims"]} == {"pass"}
    assert all(f["text"] and f["verdict"] == "pass" for c in found["claims"] for f in c["findings"])
    assert found["summary"] == (
        "9000 requests, none lost (loss rate below 0.04 % with 95 % confidence); "
        "longest gap between successes 0.21 s (0.22 s on keep-alive, 0.23 s on new connections); "
        "canary promoted after 12 iterations"
    )
    assert (found["requests"], found["failed"]) == (9000, 0)
    assert found["loss_rate_upper_bound_95"] == loss_rate_upper_bound(0, 9000)
    assert found["longest_success_gap_seconds"] == 0.21
    assert found["revisions"] == {
        BASELINE: {"requests": 4525, "failed": 0, "role": "baseline"},
        CANARY: {"requests": 4475, "failed": 0, "role": "canary"},
    }
    bound = loss_rate_upper_bound(0, 4500)
    assert found["connection_modes"]["new"] == {
        "requests": 4500,
        "failed": 0,
        "loss_rate_upper_bound_95": bound,
        "longest_success_gap_seconds": 0.23,
    }
    assert (found["failures"], found["gateway"], found["named_by"]) == ([], None, "answers")
    assert found["generator"] == {
        "state": "stopped",
        "asked_rate": 100.0,
        "actual_rate": 100.0,
        "rate_kept": True,
        "lateness_p99": 0.002,
        "stalls": 0,
        "longest_stall_seconds": 0.0,
        "client_faults": 0,
    }
    assert found["thresholds"]["min_requests"] == 300
    assert found["schema"] == 1


def test_phases_cover_the_load_and_count_every_request() -> None:
    run = rollouts.good()
    rollouts.lose(run, 24.999)
    rollouts.lose(run, 25.0)
    phases = verdict(run)["phases"]
    weights = [1, 5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    names = [
        "before the canary",
        "canary at 0 %",
        *(f"canary at {n} %" for n in weights),
        "promotion",
        "after",
    ]
    assert [p["name"] for p in phases] == names
    assert (phases[0]["start"], phases[-1]["end"]) == (START, START + 90)
    assert all(a["end"] == b["start"] for a, b in zip(phases, phases[1:]))
    assert sum(p["requests"] for p in phases) == 9000
    assert [p["failed"] for p in phases if p["failed"]] == [1, 1]
    assert phases[3] == {
        "name": "canary at 5 %",
        "start": START + 20.0,
        "end": START + 25.0,
        "requests": 500,
        "failed": 1,
        "weights": {"baseline": 95, "canary": 5},
    }
    assert phases[0]["weights"] == {"baseline": 100}
    assert phases[-1]["weights"] == {"canary": 100}


def test_a_rollback_is_a_failure_that_names_the_objective() -> None:
    found = verdict(rollouts.rolled_back())
    assert found["verdict"] == "fail"
    assert [r["rule"] for r in found["reasons"]] == ["expected_winner", "traffic_moved"]
    missed = "mean-latency of the canary is 1243 and misses its objective, at most 1000"
    assert (
        found["reasons"][0]["text"] == f"the winner is the baseline, where the canary was expected; {missed}"
    )
    assert found["summary"].endswith(f"; canary rolled back after 12 iterations: {missed}")
    assert [p["name"] for p in found["phases"]][-2:] == ["rollback", "after"]
    assert rollouts.figures(found, "expected_winner")["missed"] == [
        {"metric": "mean-latency", "value": 1243.4, "upper_limit": 1000.0, "lower_limit": None}
    ]
    assert {(o["metric"], o["role"], o["met"]) for o in found["objectives"]} == {
        ("mean-latency", "baseline", True),
        ("mean-latency", "canary", False),
        ("error-rate", "baseline", True),
        ("error-rate", "canary", True),
    }


def test_a_rollback_that_was_expected_passes() -> None:
    found = verdict(rollouts.rolled_back(), Thresholds(expect_winner="baseline"))
    assert (found["verdict"], found["reasons"]) == ("pass", [])


def test_a_promotion_that_was_not_expected_fails() -> None:
    found = verdict(rollouts.good(), Thresholds(expect_winner="baseline"))
    assert [r["rule"] for r in found["reasons"]] == ["expected_winner", "traffic_moved"]


def test_the_experiment_that_iter8_rolled_back_says_so() -> None:
    run = rollouts.rolled_back()
    run.experiment = builders.finished("Experiment rolled back", winner="default", iterations=4)
    found = verdict(run)
    assert "Experiment rolled back after 4 iterations" in found["summary"]
    assert (
        found["reasons"][0]["text"]
        == "the Experiment did not succeed (ExperimentCompleted: Experiment rolled back)"
    )


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (
            losing({"after": 26.5}, {"after": 27.5}, {"after": 4, "revision": BASELINE}),
            f"9000 requests, 3 lost, 2 of them by the canary {CANARY} (loss rate below 0.09 % with",
        ),
        (
            losing({"after": 26.5, "revision": "", "kind": "reset"}),
            "9000 requests, 1 lost (loss rate below 0.06 %",
        ),
        (
            own(state="aborted"),
            "after 12 iterations; but the load test did not end properly: it is aborted\n",
        ),
        (
            own(state="aborted", rate_kept=False),
            "; but the load test did not end properly: it is aborted (and 1 more)",
        ),
        (experiment(builders.running(5, 45)), "; the Experiment did not end after 5 iterations"),
        (
            service(builders.isvc(traffic={CANARY: 95, BASELINE: 5})),
            "; canary not promoted after 12 iterations",
        ),
        (damaged("load", "it is gone"), "no load test; canary promoted after 12 iterations; but it is gone"),
    ],
)
def test_the_summary_says_what_matters(bend: Bend, words: str) -> None:
    run = rollouts.good()
    bend(run)
    assert words in verdict(run)["summary"] + "\n"


def test_no_evidence_at_all_is_inconclusive() -> None:
    found = verdict(Run(None, None, None, None))
    assert found["verdict"] == "inconclusive"
    assert [r["text"] for r in found["reasons"][:4]] == [
        "there is no result of a load test",
        "there is no timeline",
        "there is no Experiment",
        "there is no InferenceService",
    ]
    assert found["summary"] == "no load test; but there is no result of a load test (and 4 more)"
    assert found["loss_rate_upper_bound_95"] == 1.0
    assert found["longest_success_gap_seconds"] is None
    assert (found["requests"], found["failed"]) == (0, 0)
    assert claim(found, "clock_steady") is None
    assert found["not_covered"] == ["Without a load test nothing is known about lost requests."]
    assert worst([]) is Grade.INCONCLUSIVE


def test_losses_that_are_allowed_pass_and_still_count() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30)
    rollouts.lose(run, 31)
    found = verdict(run, Thresholds(max_lost=2))
    assert found["verdict"] == "pass"
    assert found["claims"][0]["findings"][0]["text"] == "2 of 9000 requests were lost; 2 may be"
    assert found["failed"] == 2
    assert verdict(run, Thresholds(max_lost=1))["verdict"] == "fail"


def test_the_generators_own_failures_are_not_losses() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30, kind="client")
    assert claim(verdict(run), "nothing_lost") == "pass"
    rollouts.lose(run, 31)
    found = verdict(run)
    assert found["summary"].startswith(
        f"9000 requests, 1 lost by the canary {CANARY} (loss rate below 0.06 %"
    )
    assert rollouts.figures(found, "nothing_lost")["lost"] == 1
    assert rollouts.figures(found, "nothing_lost")["classes"] == {"status 500": 1}
    assert found["loss_rate_upper_bound_95"] == loss_rate_upper_bound(1, 8999)


@pytest.mark.parametrize(
    ("latency", "found"),
    [
        ({99.0: 0.05}, ["pass"]),
        ({99.0: 0.02}, ["pass"]),
        ({99.0: 0.015}, ["fail"]),
        ({50.0: 0.016, 99.9: 0.001}, ["pass", "fail"]),
    ],
)
def test_latency_objectives(latency: dict[float, float], found: list[str]) -> None:
    claims = verdict(rollouts.good(), Thresholds(latency=latency))["claims"]
    claim = next(c for c in claims if c["rule"] == "latency_kept")
    assert [f["verdict"] for f in claim["findings"]] == found


def test_latency_words() -> None:
    found = verdict(rollouts.good(), Thresholds(latency={99.0: 0.015}))
    assert found["reasons"][0]["text"] == "99 % of the requests took up to 19.9 ms, longer than 15 ms"


def test_a_latency_objective_without_data_is_inconclusive() -> None:
    run = rollouts.good()
    run.own["response_time"] = rollouts.histogram(0)
    found = verdict(run, Thresholds(latency={99.9: 1.0}))
    assert found["reasons"][0]["text"] == "there is no response time at percentile 99.9"
    assert found["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("limit", "rate", "length", "grade"),
    [
        (None, 100, 2.0, "pass"),
        (None, 100, 2.01, "fail"),
        (None, 4, 2.0, "pass"),
        (None, 1, 3.0, "pass"),
        (None, 1, 3.01, "fail"),
        (None, 0, 2.01, "fail"),
        (0.1, 100, 0.11, "fail"),
        (5.0, 100, 4.9, "pass"),
    ],
)
def test_the_gap_limit_follows_the_rate_unless_given(
    limit: float | None, rate: int, length: float, grade: str
) -> None:
    run = rollouts.good()
    run.own.update(
        asked_rate=rate, longest_success_gap={"seconds": length, "start": START, "end": START + length}
    )
    claims = verdict(run, Thresholds(max_gap=limit))["claims"]
    assert next(c["verdict"] for c in claims if c["rule"] == "gap_short") == grade


def on_mode(mode: str, **changes: Any) -> Bend:
    return lambda run: run.own["connection_modes"][mode].update(changes)


def gap_findings(run: Run, thresholds: Thresholds | None = None) -> list[tuple[str, str]]:
    """What the rule about gaps found: the verdict and the words of each finding."""
    claims = verdict(run, thresholds)["claims"]
    found = next(c["findings"] for c in claims if c["rule"] == "gap_short")
    return [(f["verdict"], f["text"]) for f in found]


NO_NEW = "no request on new connections succeeded for 5.00 s from 08:00:29.500 UTC, longer than 2.00 s"


@pytest.mark.parametrize(
    ("bend", "found"),
    [
        (own(), [("fail", NO_NEW)]),
        (
            own(stalls=[STALL]),
            [("inconclusive", f"{NO_NEW}; the generator itself stood still for 4.00 s of it")],
        ),
        (
            # All requests at once: the modes tell it.
            both(own(longest_success_gap=GAP), on_mode("keep-alive", longest_success_gap=GAP)),
            [("fail", NO_NEW.replace("new", "keep-alive")), ("fail", NO_NEW)],
        ),
    ],
)
def test_a_gap_on_one_kind_of_connection_is_not_hidden_by_the_other(
    bend: Bend, found: list[tuple[str, str]]
) -> None:
    run = rollouts.good()
    on_mode("new", longest_success_gap=GAP)(run)
    bend(run)
    assert [row for row in gap_findings(run) if row[0] != "pass"] == found
    told = verdict(run)
    assert rollouts.figures(told, "gap_short")["connection_mode"] in {"new", "keep-alive"}
    assert "longest gap between successes" in told["summary"]
    assert "5.00 s on new connections" in told["summary"]


@pytest.mark.parametrize(
    ("limit", "rate", "requests", "length", "grade"),
    [
        (None, 100, 4500, 2.0, "pass"),
        (None, 100, 4500, 2.01, "fail"),
        (None, 1, 4500, 6.0, "pass"),  # every other request, so one in two seconds
        (None, 1, 4500, 6.01, "fail"),
        (None, 1, 1500, 12.0, "pass"),  # every fourth
        (None, 1, 1500, 12.01, "fail"),
        (None, 0, 4500, 2.01, "fail"),
        (5.0, 100, 4500, 5.01, "fail"),
        (0.05, 100, 4500, 0.06, "pass"),  # three intervals, whatever all requests together must keep
        (0.05, 100, 4500, 0.061, "fail"),
    ],
)
def test_the_gap_limit_of_a_mode_follows_its_own_rate(
    limit: float | None, rate: int, requests: int, length: float, grade: str
) -> None:
    run = rollouts.good()
    short = rollouts.gap(0.01)
    run.own.update(asked_rate=rate, longest_success_gap=short)
    on_mode("keep-alive", longest_success_gap=short)(run)
    on_mode("new", requests=requests, longest_success_gap=rollouts.gap(length))(run)
    assert {row[0] for row in gap_findings(run, Thresholds(max_gap=limit))} == {"pass", grade}


def test_a_gap_of_all_requests_that_each_mode_is_allowed_is_told_all_the_same() -> None:
    run = rollouts.good()
    run.own.update(asked_rate=1, longest_success_gap=rollouts.gap(3.5))
    for mode in ("keep-alive", "new"):
        on_mode(mode, longest_success_gap=rollouts.gap(4.5))(run)
    grades = [row[0] for row in gap_findings(run)]
    assert grades == ["pass", "pass", "fail"]
    assert gap_findings(run)[2][1].startswith("no request succeeded for 3.50 s")


def test_where_one_kind_of_connection_is_used_there_is_one_gap() -> None:
    run = rollouts.good()
    on_mode("new", requests=0, longest_success_gap=None)(run)
    assert gap_findings(run) == [("pass", "the longest gap between successes is 0.21 s")]
    assert "longest gap between successes 0.21 s;" in verdict(run)["summary"]


@pytest.mark.parametrize(
    ("thresholds", "bend", "grade"),
    [
        (Thresholds(min_requests=9000), own(), "pass"),
        (Thresholds(min_requests=9001), own(), "inconclusive"),
        (Thresholds(min_requests_per_revision=4475), own(), "pass"),
        (Thresholds(min_requests_per_revision=4476), own(), "inconclusive"),
        (Thresholds(max_stall_seconds=4.0), own(stalls=[STALL]), "pass"),
        (Thresholds(max_stall_seconds=3.9), own(stalls=[STALL]), "inconclusive"),
        (Thresholds(max_lateness_p99=0.002), own(), "pass"),
        (Thresholds(max_lateness_p99=0.0019), own(), "inconclusive"),
        (Thresholds(expect_iterations=7), unplanned, "pass"),
        (Thresholds(expect_iterations=6), unplanned, "fail"),
        (Thresholds(share_tolerance=0.3), answered(10, 20, baseline=70, canary=30), "pass"),
        (Thresholds(propagation_seconds=4.0), answered(7, 8, baseline=99, canary=1), "pass"),
        (Thresholds(propagation_seconds=1.0), answered(7, 8, baseline=99, canary=1), "fail"),
    ],
)
def test_each_threshold_is_where_it_says(thresholds: Thresholds, bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert verdict(run, thresholds)["verdict"] == grade


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_lost": -1}, "max_lost must not be below 0"),
        ({"min_requests": -1}, "min_requests must not be below 0"),
        ({"max_gap": -0.5}, "max_gap must not be below 0, it is -0.5"),
        ({"expect_iterations": -1}, "expect_iterations"),
        ({"share_tolerance": 1.5}, "share_tolerance must be from 0 to 1"),
        ({"share_tolerance": -0.5}, "share_tolerance must be from 0 to 1"),
        ({"expect_winner": "both"}, "expect_winner must be canary or baseline, not 'both'"),
        ({"latency": {0.0: 1.0}}, "0 is not a percentile"),
        ({"latency": {101.0: 1.0}}, "101 is not a percentile"),
        ({"latency": {99.0: -1.0}}, "latency at percentile 99 must not be below 0"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Thresholds(**wrong)


def test_thresholds_may_be_at_their_edges() -> None:
    edges = [
        Thresholds(share_tolerance=0.0, max_lost=0, min_requests=0, propagation_seconds=0.0, max_gap=0.0),
        Thresholds(share_tolerance=1.0, latency={100.0: 0.0, 0.5: 1.0}, expect_iterations=0),
    ]
    assert [edge.gap_limit(100) for edge in edges] == [0.0, 2.0]
    assert (Thresholds().gap_limit(0), Thresholds().gap_limit(0.5)) == (2.0, 6.0)
    assert edges[1].as_dict()["latency"] == {"100": 0.0, "0.5": 1.0}


def test_losses_outside_every_phase_belong_to_the_nearest() -> None:
    run = rollouts.good()
    rollouts.lose(run, 30.0)
    rollouts.lose(run, 31.0)
    early, late = run.own["ledger"]
    early.update(sent=START - 3.0)
    late.update(sent=START + 95.0)
    found = verdict(run)
    phases = {p["name"]: p["failed"] for p in found["phases"] if p["failed"]}
    assert phases == {"before the canary": 1, "after": 1}
    assert rollouts.figures(found, "nothing_lost")["phases"] == phases


def test_a_loss_at_a_change_belongs_to_the_phase_that_begins() -> None:
    run = rollouts.good()
    rollouts.lose(run, 25.0)
    assert rollouts.figures(verdict(run), "nothing_lost")["phases"] == {"canary at 15 %": 1}


def test_as_fast_as_possible_has_no_rate_to_keep() -> None:
    run = rollouts.good()
    run.own.update(asked_rate=0, rate_kept=False, lateness={"p50": 9, "p99": 9, "max": 9})
    found = verdict(run)
    assert found["verdict"] == "pass"
    assert not {"rate_kept", "generator_on_time"} & {c["rule"] for c in found["claims"]}
    assert not any("An outage shorter" in words for words in found["not_covered"])


def test_what_is_not_covered_is_said() -> None:
    run = rollouts.good()
    run.own["connection_modes"]["new"].update(requests=0, longest_success_gap=None)
    run.own.update(ledger_dropped=3)
    run.drop_events("inferenceservice", "traffic")
    said = "\n".join(verdict(run)["not_covered"])
    assert "Loss rates below 0.04 % are not excluded" in said
    assert "An outage shorter than the 10 ms between two requests may have passed unseen.\n" in said
    assert "No request was sent on a new connection." in said
    assert "3 failures were counted without a record" in said
    assert "tells no traffic split" in said
    good = "\n".join(verdict(rollouts.good())["not_covered"])
    assert "unseen; on new or on keep-alive connections alone, one shorter than 20 ms." in good
    assert "No request was sent" not in good
    assert "record" not in good
    assert "split" not in good


def test_without_a_told_split_nothing_is_held_against_a_revision() -> None:
    run = rollouts.good()
    run.drop_events("inferenceservice", "traffic")
    found = verdict(run)
    assert (claim(found, "none_at_weight_zero"), claim(found, "shares_as_set")) == (None, "inconclusive")
    rollouts.unnamed(run)
    assert claim(verdict(run), "shares_as_set") is None


@pytest.mark.parametrize(("length", "gap", "found"), [(2, 0.2, False), (3, 0.2, True), (3, 3.0, False)])
def test_a_hole_in_the_load_is_one_that_no_gap_explains(length: int, gap: float, found: bool) -> None:
    run = rollouts.good()
    run.own["longest_success_gap"] = {"seconds": gap, "start": START + 81.0, "end": START + 81.0 + gap}
    for row in run.own["timeline"][81 : 81 + length]:
        row.update(ok=0, revisions={})
    assert (claim(verdict(run), "requests_in_every_phase") == "inconclusive") is found


def test_small_numbers_may_stray_from_the_weights() -> None:
    """Six of ten where one is expected is too few requests to call it wrong."""
    run = rollouts.good(rate=5)
    answered(60, 62, baseline=3, canary=2)(run)
    assert verdict(run)["verdict"] == "pass"


def test_a_slow_request_counts_for_the_weight_that_routed_it() -> None:
    """It ended in a second in which its revision had no weight any more."""
    run = rollouts.good()
    answered(80, 81, baseline=1, canary=99)(run)
    assert verdict(run)["verdict"] == "fail"
    run.own["timeline"][80]["max"] = 1.5
    assert verdict(run)["verdict"] == "pass"


def test_reasons_begin_with_the_worst() -> None:
    run = rollouts.good()
    run.own.update(state="aborted")
    run.inferenceservice = builders.isvc(traffic={CANARY: 100}, ready_status="False")
    run.experiment = None
    grades = [r["verdict"] for r in verdict(run)["reasons"]]
    assert grades == ["fail", "inconclusive", "inconclusive"]


LOSS_TIMES = st.lists(st.floats(0, 89.9, allow_nan=False), max_size=8)


@settings(max_examples=40, deadline=None)
@given(times=LOSS_TIMES, more=st.floats(0, 89.9), allowed=st.integers(0, 9))
def test_one_more_loss_never_makes_it_better(times: list[float], more: float, allowed: int) -> None:
    run = rollouts.good(rate=20)
    for time in times:
        rollouts.lose(run, time, revision=CANARY if time > 10 else BASELINE)
    before = verdict(run, Thresholds(max_lost=allowed))
    assert (before["verdict"] == "pass") == (len(times) <= allowed)
    rollouts.lose(run, more, revision=CANARY if more > 10 else BASELINE)
    after = verdict(run, Thresholds(max_lost=allowed))
    order = [grade.value for grade in (Grade.PASS, Grade.INCONCLUSIVE, Grade.FAIL)]
    assert order.index(after["verdict"]) >= order.index(before["verdict"])
    assert after["loss_rate_upper_bound_95"] > before["loss_rate_upper_bound_95"]
    assert sum(p["failed"] for p in after["phases"]) == after["failed"] == len(times) + 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_rubbish_gives_a_verdict(data: st.DataObject) -> None:
    """Evidence with one field replaced by nonsense of another type is survived."""
    run = rollouts.good(rate=5)
    name = data.draw(st.sampled_from(sorted(run.own)))
    rubbish = data.draw(st.sampled_from([None, "x", -1.5, [], {}, [3], {"a": 3}, True]))
    run.own[name] = rubbish
    assert verdict(run)["verdict"] in {"pass", "inconclusive", "fail"}


def test_the_mark_of_the_canary_tells_the_baseline() -> None:
    run = rollouts.good()
    run.experiment = None
    assert verdict(run)["revisions"][BASELINE]["role"] == "baseline"


def test_what_happened_between_two_watches_is_not_held_against_anyone() -> None:
    """The second watch sees 55 % first, at 45 s; the canary had reached 25 % and more from 30 s on."""
    run = rollouts.good()
    assert run.timeline is not None
    unseen = {START + at for at in (30, 35, 40)}
    run.timeline = [e for e in run.timeline if e["event"] != "traffic" or e["time"] not in unseen]
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"shares_as_set"}
    seen = next(e for e in run.timeline if e["event"] == "traffic" and e["time"] == START + 45)
    seen["data"]["first"] = True
    # A first snapshot tells the revisions again, at the same time.
    again = rollouts.event(45, "inferenceservice", "revision_ready", revision=CANARY)
    run.timeline.insert(run.timeline.index(seen), again)
    found = verdict(run)
    assert (found["verdict"], found["reasons"]) == ("pass", [])
    blind = "Nothing watched the traffic from 08:00:25.000 UTC to 08:00:45.000 UTC"
    assert any(words.startswith(blind) for words in found["not_covered"])


def unwatched(run: Run) -> None:
    """The wait for the Experiment ended before it told any split: the API server was away, say."""
    assert run.timeline is not None
    run.timeline = [e for e in run.timeline if e["source"] != "inferenceservice" or e["time"] <= START + 10]
    adding({"time": START + 91.0, "source": "playbook", "event": "stopped", "text": "Stopped at 'Wait'"})(run)


def test_a_wait_that_told_no_split_leaves_none_standing() -> None:
    """The canary had 1 % when the first wait ended, and went on to 100 %."""
    run = rollouts.good()
    unwatched(run)
    found = verdict(run)
    assert [r["rule"] for r in found["reasons"]] == ["run_not_stopped"]
    assert [p["name"] for p in found["phases"]] == [
        "before the canary",
        "canary at 0 %",
        "canary at an unknown weight",
        "promotion",
    ]
    blind = "Nothing watched the traffic from 08:00:10.000 UTC to 08:01:30.000 UTC"
    assert any(words.startswith(blind) for words in found["not_covered"])
    answered(3, 4, baseline=99, canary=1)(run)
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"run_not_stopped", "none_at_weight_zero"}


def test_a_loss_while_nobody_watched_is_dated_by_that() -> None:
    run = rollouts.good()
    unwatched(run)
    rollouts.lose(run, 30.0)
    assert "; 1 with the canary at an unknown weight" in verdict(run)["reasons"][0]["text"]


def test_a_split_that_changed_after_the_last_watch_is_held_against_nobody() -> None:
    """Somebody took the traffic back once the wait was over."""
    run = rollouts.good()
    answered(80, 90, baseline=100)(run)
    assert {r["rule"] for r in verdict(run)["reasons"]} == {"none_at_weight_zero", "shares_as_set"}
    run.inferenceservice = builders.isvc(traffic={BASELINE: 100})
    found = verdict(run)
    assert [r["rule"] for r in found["reasons"]] == ["traffic_moved"]
    assert found["phases"][-1]["name"] == "after"
    assert found["phases"][-1]["weights"] == {}


def test_the_split_told_last_stands_where_the_end_bears_it_out() -> None:
    run = rollouts.good()
    assert not any("Nothing watched" in words for words in verdict(run)["not_covered"])
    run.inferenceservice = None
    assert not any("Nothing watched" in words for words in verdict(run)["not_covered"])


def test_a_canary_that_is_ready_before_the_watch_begins_does_not_leak() -> None:
    run = rollouts.good()
    answered(5, 10, baseline=99, canary=1)(run)
    assert verdict(run)["reasons"][0]["rule"] == "none_at_weight_zero"
    assert run.timeline is not None
    run.drop_events("inferenceservice", "revision_created")
    run.drop_events("inferenceservice", "revision_ready")
    next(e for e in run.timeline if e["time"] == START + 10)["data"]["first"] = True
    assert verdict(run)["verdict"] == "pass"
    answered(1, 2, baseline=99, canary=1)(run)
    assert verdict(run)["reasons"][0]["rule"] == "none_at_weight_zero", (
        "before it was applied it had no weight"
    )


def test_the_first_watch_of_all_is_not_blind_to_the_canary() -> None:
    run = rollouts.good()
    run.event("inferenceservice", "traffic")["data"]["first"] = True
    assert not any("Nothing watched" in words for words in verdict(run)["not_covered"])


WHO = {
    "known_revisions_only",
    "canary_got_traffic",
    "enough_per_revision",
    "none_at_weight_zero",
    "shares_as_set",
}


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (
            answered(0, 90, podA=60, podB=40),
            f"before the canary, answers named podA, podB, never the baseline {BASELINE}: "
            "they do not tell revisions",
        ),
        (answered(0, 90, unnamed=100), "9000 answers did not name the revision that gave them"),
    ],
)
def test_names_that_do_not_tell_revisions_are_not_relied_on(bend: Bend, words: str) -> None:
    run = rollouts.good()
    bend(run)
    run.own["revisions"] = {name: row for name, row in run.own["revisions"].items() if row["requests"]}
    found = verdict(run)
    assert [(r["verdict"], r["text"]) for r in found["reasons"]] == [("inconclusive", words)]
    assert not WHO & {c["rule"] for c in found["claims"]}


def test_a_baseline_that_answered_before_the_canary_proves_the_names() -> None:
    run = rollouts.good()
    answered(1, 2, baseline=1, stranger=99)(run)
    assert verdict(run)["reasons"][0]["rule"] == "known_revisions_only"


def claim(found: dict[str, Any], rule: str) -> str | None:
    """What became of a rule; None where it did not apply."""
    return next((c["verdict"] for c in found["claims"] if c["rule"] == rule), None)


@pytest.mark.parametrize(
    ("bend", "grade"),
    [
        (own(started=START + 5.0), "inconclusive"),
        (own(started=START + 4.5), "pass"),
        (own(ended=START + 77.0), "inconclusive"),
        (own(ended=START + 77.5), "pass"),
    ],
)
def test_the_load_must_reach_beyond_both_ends(bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert claim(verdict(run), "load_spans_rollout") == grade


@pytest.mark.parametrize(("length", "grade"), [(1.9, "pass"), (2.0, "inconclusive"), (2.5, "inconclusive")])
def test_a_phase_too_short_to_hold_a_whole_second_may_be_empty(length: float, grade: str) -> None:
    run = rollouts.good()
    run.drop_events("inferenceservice", "traffic")
    adding(
        rollouts.event(50.0, "inferenceservice", "traffic", traffic={CANARY: 40, BASELINE: 60}),
        rollouts.event(50.0 + length, "inferenceservice", "traffic", traffic={CANARY: 60, BASELINE: 40}),
    )(run)
    for row in run.own["timeline"][50:53]:
        row.update(ok=0, revisions={})
    assert claim(verdict(run, Thresholds(max_gap=3.0)), "requests_in_every_phase") == grade


def test_failures_without_a_name_are_not_answers_without_one() -> None:
    run = rollouts.good()
    answered(30, 31, baseline=70, unnamed=30)(run)
    rollouts.lose(run, 30.5, revision="", kind="reset")
    found = verdict(run)
    assert rollouts.figures(found, "answers_named") == {"unnamed": 29}
    told = next(r["text"] for r in found["reasons"] if r["rule"] == "answers_named")
    assert told == "29 answers did not name the revision that gave them"


def test_one_lost_request_without_a_name_is_no_unnamed_answer() -> None:
    run = rollouts.good()
    run.own["revisions"][""] = {"requests": 1, "failed": 1}
    assert claim(verdict(run), "answers_named") == "pass"


def test_who_answered_is_not_judged_before_both_revisions_are_known() -> None:
    run = rollouts.good()
    run.experiment = None
    run.drop_events("inferenceservice", "revision_created")
    answered(40, 41, stranger=100)(run)
    found = verdict(run)
    for rule in ("known_revisions_only", "canary_got_traffic", "none_at_weight_zero", "shares_as_set"):
        assert claim(found, rule) is None, rule


def test_figures_are_those_of_the_text() -> None:
    run = rollouts.good()
    answered(3, 5, baseline=98, canary=2)(run)
    found = verdict(run)
    stray = rollouts.figures(found, "none_at_weight_zero")
    assert (stray["revision"], stray["answered"], stray["first"]) == (CANARY, 4, START + 3)
    never = rollouts.good()
    answered(0, 90, baseline=100)(never)
    assert rollouts.figures(verdict(never), "canary_got_traffic") == {"requests": 0}
    good = {c["rule"]: c["findings"][0]["figures"] for c in verdict(rollouts.good())["claims"]}
    assert good["answers_named"] == {"unnamed": 0}
    assert good["canary_got_traffic"] == {"requests": 4475}
    assert good["load_spans_rollout"] == {"seconds_before_canary": 5.0, "seconds_after_rollout": 13.0}
    assert good["shares_as_set"]["canary"] == 4475
    assert good["shares_as_set"]["low"] < 4475 / 9000 < good["shares_as_set"]["high"]


def test_the_weights_are_told_as_they_were() -> None:
    run = rollouts.good()
    answered(12, 17, baseline=50, canary=50)(run)
    texts = [r["text"] for r in verdict(run)["reasons"]]
    share = "during canary at 1 % the canary answered 25.5% of 1000 requests"
    assert texts == [f"{share}, where its weight was between 0.7% and 2.2%"]
    run = rollouts.good()
    run.own["timeline"] = run.own["timeline"][13:17]
    answered(0, 4, baseline=50, canary=50)(run)
    texts = [r["text"] for r in verdict(run)["reasons"] if r["rule"] == "shares_as_set"]
    assert texts[-1].endswith("the canary answered 50.0% of 400 requests, where its weight was 1.0%")


def test_a_share_must_be_far_out_and_beyond_chance() -> None:
    """12 of 40 where 5 % is set has a chance of 3e-7, and 11 of 40 one of 2e-6; there are 15 splits to look
    at."""
    for requests, rules in ((12, []), (16, ["shares_as_set"])):
        run = rollouts.good()
        answered(22, 23, baseline=40 - requests, canary=requests)(run)
        for row in (20, 21, 23, 24):
            answered(row, row + 1)(run)
        thresholds = Thresholds(propagation_seconds=0.0)
        found = verdict(run, thresholds)
        said = [r["figures"].get("phase") for r in found["reasons"] if r["rule"] == "shares_as_set"]
        assert said == ["canary at 5 %" for _ in rules]


@pytest.mark.parametrize(("drift", "words"), [(3.0, "forward by 3.00 s"), (-3.0, "back by 3.00 s")])
def test_a_clock_that_was_set_while_the_load_ran_is_told(drift: float, words: str) -> None:
    run = rollouts.good()
    own(wall_clock_drift=drift)(run)
    told = next(r["text"] for r in verdict(run)["reasons"] if r["rule"] == "clock_steady")
    assert told == f"the clock was changed during the run: while the load ran it was set {words}"


@pytest.mark.parametrize(
    ("bend", "grade"),
    [
        (own(started=START + 10.1), "pass"),
        (own(started=START + 10.2), "inconclusive"),
        (at("playbook", "load_stopped", 100.0), "pass"),
        (at("playbook", "load_stopped", 100.1), "inconclusive"),
        (both(own(state="finished"), at("playbook", "load_stopped", 300.0)), "pass"),
        (at("experiment", "completed", 64.0), "pass"),
        (at("experiment", "completed", 63.8), "inconclusive"),
        (own(wall_clock_drift=1.0), "pass"),
        (own(wall_clock_drift=-1.0), "pass"),
        (own(wall_clock_drift=1.1), "inconclusive"),
        (own(wall_clock_drift=-1.1), "inconclusive"),
        (damaged("load", "it is gone"), "pass"),
        (damaged("timeline", "it is gone"), "pass"),
    ],
)
def test_how_far_clocks_may_part(bend: Bend, grade: str) -> None:
    run = rollouts.good()
    bend(run)
    assert claim(verdict(run), "clock_steady") == grade


def test_a_step_of_the_clock_does_not_turn_a_good_split_into_a_wrong_one() -> None:
    """From the third iteration on, everything but the load is dated 42 s late."""
    run = rollouts.good()
    for moment in run.timeline:
        if moment["time"] > START + 30:
            moment["time"] += 42
    found = verdict(run)
    assert found["verdict"] == "inconclusive"
    assert {r["rule"] for r in found["reasons"]} == {"clock_steady", "load_spans_rollout"}
    assert claim(found, "shares_as_set") is claim(found, "none_at_weight_zero") is None


def test_the_first_step_of_the_clock_is_told_and_all_are_counted() -> None:
    run = rollouts.good()
    at("experiment", "completed", 60.0)(run)
    at("playbook", "load_stopped", 3690.0)(run)
    found = verdict(run)
    assert rollouts.figures(found, "clock_steady") == {"steps": 2}
    told = next(r["text"] for r in found["reasons"] if r["rule"] == "clock_steady")
    assert (
        told == "the clock was changed during the run: the timeline goes back by 4.90 s at 08:01:00.000 UTC"
    )


@pytest.mark.parametrize(
    ("stalls", "grade"),
    [
        ([(30.0, 3.0)], "inconclusive"),
        ([(30.0, 2.99)], "fail"),
        ([(28.0, 4.5)], "inconclusive"),
        ([(33.0, 9.0)], "fail"),
        ([(20.0, 5.0), (40.0, 5.0)], "fail"),
        ([(30.0, 1.5), (32.0, 1.5), (60.0, 1.0)], "inconclusive"),
    ],
)
def test_only_stalls_within_the_gap_excuse_it(stalls: list[tuple[float, float]], grade: str) -> None:
    """The gap is of 5 s from 29.5 s, 2 s are allowed."""
    run = rollouts.good()
    told = [{"start": START + start, "seconds": seconds} for start, seconds in stalls]
    run.own.update(longest_success_gap=GAP, stalls=told)
    assert claim(verdict(run), "gap_short") == grade


def test_one_request_a_second_is_a_rate_to_keep() -> None:
    run = rollouts.good()
    run.own.update(asked_rate=1, rate_kept=False, lateness={"p50": 0.0, "p99": 9.0, "max": 9.0})
    found = verdict(run)
    assert claim(found, "rate_kept") == claim(found, "generator_on_time") == "inconclusive"
    assert any("shorter than the 1.00 s between two requests" in words for words in found["not_covered"])


def test_a_response_time_at_its_limit_keeps_it() -> None:
    run = rollouts.good()
    run.own["response_time"]["Max"] = 0.02
    assert claim(verdict(run, Thresholds(latency={100.0: 0.02})), "latency_kept") == "pass"


def test_a_revision_that_never_answered_is_listed_with_zero() -> None:
    run = rollouts.good()
    answered(0, 90, baseline=100)(run)
    del run.own["revisions"][CANARY]
    found = verdict(run)
    assert found["revisions"][CANARY] == {"requests": 0, "failed": 0, "role": "canary"}
    assert claim(found, "canary_got_traffic") == "inconclusive"


def test_modes_that_are_not_told_were_not_tried() -> None:
    run = rollouts.good()
    run.own["connection_modes"] = {}
    said = verdict(run)["not_covered"]
    assert "No request was sent on a new connection." in said
    assert "No request was sent on a keep-alive connection." in said


def test_the_summary_names_the_canarys_first_missed_objective() -> None:
    run = rollouts.rolled_back()
    assert run.experiment is not None
    assessments = run.experiment["status"]["analysis"]["versionAssessments"]["data"]
    assessments |= {"default": [False, False], "canary": [False, False]}
    missed = "mean-latency of the canary is 1243 and misses its objective, at most 1000"
    assert verdict(run)["summary"].endswith(f"after 12 iterations: {missed}")


@pytest.mark.parametrize(
    "bend",
    [
        own(failed=10**6),
        own(client_faults=10**6),
        own(requests=0),
        own(failed=-5),
        own(requests=0, client_faults=5),
    ],
)
def test_counts_that_cannot_be_are_inconclusive_at_best(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    found = verdict(run)
    assert found["verdict"] != "pass"
    assert 0 < found["loss_rate_upper_bound_95"] <= 1
    assert claim(found, "counts_agree") == "inconclusive"


def test_strange_counts_of_objectives_are_not_assessed() -> None:
    run = rollouts.rolled_back()
    assert run.experiment is not None
    assessments = run.experiment["status"]["analysis"]["versionAssessments"]["data"]
    assessments |= {"default": "yes", "canary": [True]}
    met = {(o["metric"], o["role"]): o["met"] for o in verdict(run)["objectives"]}
    assert met == {
        ("mean-latency", "baseline"): None,
        ("mean-latency", "canary"): True,
        ("error-rate", "baseline"): None,
        ("error-rate", "canary"): None,
    }


@pytest.mark.parametrize(("seconds", "told"), [(1.9, False), (2.0, True)])
def test_a_moment_without_a_watch_is_not_worth_telling(seconds: float, told: bool) -> None:
    run = rollouts.good()
    assert run.timeline is not None
    split = {CANARY: 55, BASELINE: 45}
    again = rollouts.event(45 + seconds, "inferenceservice", "traffic", traffic=split, first=True)
    run.timeline.append(again)
    assert any("Nothing watched" in words for words in verdict(run)["not_covered"]) is told


@pytest.mark.parametrize(
    ("baseline_seconds", "strange"),
    [((0, 1), False), ((4, 5), False), ((5, 6), True), ((20, 30), True)],
)
def test_only_whole_seconds_before_the_canary_prove_the_names(
    baseline_seconds: tuple[int, int], strange: bool
) -> None:
    """The canary is applied at 5 s."""
    run = rollouts.good()
    answered(0, 90, podA=100)(run)
    answered(*baseline_seconds, baseline=100)(run)
    found = verdict(run)
    assert (claim(found, "answers_named") == "inconclusive") is strange
    assert (claim(found, "known_revisions_only") is None) is strange
