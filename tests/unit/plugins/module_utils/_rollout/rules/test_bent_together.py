# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence whose pieces are right by themselves, and not together: never a pass, and never an error."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import (
    AccessLog,
    Format,
    Ids,
    LogReader,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support import builders, generators, rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.histories import STANDARD, history
from ansible_collections.iter8.kfserving.tests.support.rollouts import ENDED, START, Run, event

HUGE = 10**400
Bend = Callable[[Run], Any]


def verdict(evidence: Evidence) -> str:
    return decide(evidence).grade.value


def row(run: Run, second: int) -> dict[str, Any]:
    found: dict[str, Any] = run.own["timeline"][second]
    return found


def predictor(run: Run) -> dict[str, Any]:
    assert run.inferenceservice is not None
    found: dict[str, Any] = run.inferenceservice["status"]["components"]["predictor"]
    return found


def tell(run: Run, line: dict[str, Any]) -> None:
    """The timeline tells of it, too, in its place."""
    assert run.timeline is not None
    run.timeline = sorted([*run.timeline, line], key=lambda each: float(each["time"]))


def seen(run: Run, obj: dict[str, Any], **metadata: Any) -> None:
    """It was observed last."""
    obj = copy.deepcopy(obj)
    obj["metadata"].update(metadata)
    run.observations = [{"time": START + 88.0, "feed": "x", "type": "present", "object": obj}]


def ended_as(run: Run, **more: Any) -> None:
    """The Experiment was observed to end so."""
    made = builders.finished(**more)
    seen(run, made)


def blind_before_any_beginning(run: Run) -> None:
    times = {"from": START + 52.0, "to": START + 57.5}
    tell(run, event(57.5, "observer", "unobserved", feed="inferenceservice", **times))


BENDS: list[tuple[str, Bend]] = [
    ("an answer of a second that was slower than all", lambda r: row(r, 70).update(p99=1.4, max=1.5)),
    ("parts of the whole that are not those of counts", lambda r: percent_of(r, 12.5)),
    ("answers that came before they were asked for", lambda r: sent_late(r, 7, 44)),
    ("an end of the Experiment after its end", lambda r: tell(r, completed(76.2, failed=True))),
    ("an end with another winner", lambda r: tell(r, completed(75.9, winner="baseline"))),
    (
        "a failure of the Experiment that succeeded",
        lambda r: tell(r, event(61.0, "experiment", "condition", type="Failed", status="True")),
    ),
    ("blind, and the observer never began", blind_before_any_beginning),
    ("an Experiment that was observed to fail", lambda r: ended_as(r, message="Experiment failed")),
    ("an Experiment that was observed without a winner", lambda r: ended_as(r, winner=None)),
    ("an Experiment that was observed with more iterations", lambda r: ended_as(r, iterations=15)),
    ("an InferenceService of a later generation", lambda r: seen(r, builders.promoted(), generation=6)),
    (
        "a winner that is no version",
        lambda r: r.experiment["spec"]["versionInfo"]["candidates"][0].update(name="v2"),
    ),
]


def percent_of(run: Run, percent: float) -> None:
    run.own["response_time"]["Data"][0]["Percent"] = percent


def sent_late(run: Run, early: int, late: int) -> None:
    row(run, late)["sent"] += row(run, early)["sent"]
    row(run, early)["sent"] = 0


def completed(after: float, **data: Any) -> dict[str, Any]:
    told = {"winner": "canary", "failed": False, "message": "done", **data}
    return event(after, "experiment", "completed", **told)


def offset(after: float, low: Any, high: Any) -> dict[str, Any]:
    return event(after, "observer", "clock", whose="api_server", low=low, high=high)


@pytest.mark.parametrize("bend", [bend for _what, bend in BENDS], ids=[what for what, _bend in BENDS])
def test_no_pass_of_what_does_not_go_together(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    assert verdict(run.evidence()) in ("inconclusive", "fail")


@pytest.mark.parametrize(
    "bend",
    [
        lambda r: rollouts.slow(r, 70, 1.5),
        lambda r: sent_late(r, 44, 7),
        lambda r: tell(r, completed(75.0)),
        lambda r: tell(r, completed(2.0, failed=True)),
        lambda r: tell(r, event(61.0, "experiment", "condition", type="Failed", status="False")),
        ended_as,
        lambda r: ended_as(r, iterations=11),
        lambda r: seen(r, builders.experiment(3)),
        lambda r: seen(r, builders.promoted()),
        lambda r: tell(r, offset(30.0, -HUGE, HUGE)),
    ],
)
def test_what_goes_together_is_a_pass(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    assert verdict(run.evidence()) == "pass"


def part(number: int, **values: Any) -> Bend:
    return lambda run: run.own["generators"][number].update(values)


def idle(run: Run) -> None:
    """One of them sent nothing, and the others all."""
    for each, requests in zip(run.own["generators"], (4500, 0, 4500)):
        mode = {"requests": requests // 2, "failed": 0, "longest_success_gap": rollouts.gap(0.4)}
        each.update(requests=requests, connection_modes={"new": dict(mode), "keep-alive": dict(mode)})


def traded(run: Run) -> None:
    """What one did on new connections, another one tells of."""
    for number, requests in ((0, 900), (2, 2100)):
        run.own["generators"][number]["connection_modes"]["new"]["requests"] = requests


@pytest.mark.parametrize(
    "bend",
    [
        idle,
        traded,
        lambda run: run.own["generators"][1]["connection_modes"]["new"].update(failed=2),
        part(0, started=START - 40.0),
        part(2, ended=START + ENDED + 40.0),
        part(1, clock_offset={"low": 16.0, "high": 16.1}),
        lambda run: [part(n, clock_offset={"low": 700.0, "high": 700.1})(run) for n in range(3)],
    ],
)
def test_each_generator_is_held_to_its_own_part_and_clock(bend: Bend) -> None:
    run = generators.three()
    bend(run)
    assert verdict(run.evidence()) == "inconclusive"


THIRD = "my-model-predictor-default-qqp7d"


def latest(after: float, name: str, what: str = "created") -> Bend:
    return lambda run: tell(run, event(after, "inferenceservice", f"revision_{what}", revision=name))


def observed_as(*made: dict[str, Any]) -> Bend:
    """The InferenceService was observed in these states, one after the other."""
    rows = [{"time": START + 3.0 + n, "type": "present", "object": obj} for n, obj in enumerate(made)]
    return lambda run: setattr(run, "observations", rows)


def by_observer(run: Run) -> None:
    """The waits, which have told of the canary last, were not alone: an observer, which is behind."""
    line = event(9.5, "inferenceservice", "revision_created", revision=BASELINE)
    tell(run, {**line, "resource_version": "41"})
    tell(run, {**line, "time": START + 9.7, "data": {"revision": CANARY}, "resource_version": "43"})


@pytest.mark.parametrize(
    ("bend", "texts"),
    [
        (
            latest(41.5, THIRD),
            [
                f"the InferenceService's latest revision is {CANARY}, "
                f"and by the timeline {THIRD} was after that"
            ],
        ),
        (
            latest(71.0, THIRD, "ready"),
            [
                f"the InferenceService's latest ready revision is {CANARY}, "
                f"and by the timeline {THIRD} was after that"
            ],
        ),
        (
            observed_as(builders.isvc(), builders.isvc(created=THIRD, ready=CANARY), builders.promoted()),
            [
                f"the InferenceService's latest revision is {CANARY}, "
                f"and as it was observed {THIRD} was after that"
            ],
        ),
        (
            lambda run: predictor(run).update(latestCreatedRevision=THIRD, latestReadyRevision=THIRD),
            [
                f"the InferenceService's latest {what} is {THIRD}, and by the timeline it is {CANARY}"
                for what in ("revision", "ready revision")
            ],
        ),
        (
            lambda run: run.event("experiment", "iteration")["data"]["weights"].update(v7=3),
            ["by the timeline v7 had a weight, and the Experiment has baseline and canary"],
        ),
    ],
)
@pytest.mark.parametrize("driver", ["iter8", "observe"])
def test_a_third_revision_that_only_some_tell_of(bend: Bend, texts: list[str], driver: str) -> None:
    run = rollouts.good()
    bend(run)
    if driver == "observe":
        rollouts.observed(run)
    found = decide(run.evidence()).as_dict()
    said = [] if driver == "observe" and "v7" in texts[0] else texts
    assert [(r["rule"], r["text"]) for r in found["reasons"]] == [("views_agree", text) for text in said]
    assert found["verdict"] == ("inconclusive" if said else "pass")


@pytest.mark.parametrize(
    "bend",
    [
        # What was rolled back before is the latest one until the canary comes.
        latest(1.5, THIRD),
        lambda run: (latest(0.2, BASELINE)(run), latest(0.2, BASELINE, "ready")(run)),
        # The next rollout's.
        latest(90.4, THIRD),
        by_observer,
        observed_as(builders.stale(), builders.isvc(), builders.promoted()),
        lambda run: run.event("experiment", "iteration")["data"]["weights"].update(v7=0),
        lambda run: run.event("experiment", "iteration")["data"].update(weights=[3]),
    ],
)
def test_a_revision_that_was_there_before_or_came_later_is_no_third(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    assert verdict(run.evidence()) == "pass"


STEP = {"percent": 45, "passed": True, "gates": {"losses": "pass"}, "began": START + 40.0}
GATE = {"at": START + 42.0, "what": "gate", "gate": "losses", "percent": 45, "verdict": "pass"}
GATE |= {"message": "none of 300 lost", "samples": 300, "low": 0.0, "high": 0.01}
ACCOUNT = {"mode": "knative", "outcome": "promoted", "cause": "", "baseline": BASELINE, "canary": CANARY}
ACCOUNT |= {"started": START + 5.0, "ended": START + 80.0, "rollback_seconds": None}
ACCOUNT |= {"steps": [STEP], "gates": [GATE], "requests_of_people": []}
ACCOUNT |= {"patches": [{"at": START + 39.0, "text": "canary at 45 %", "move": "45 %"}]}


def driven(**given: Any) -> Evidence:
    made = rollouts.observed(rollouts.good(), "progressive").evidence()
    return replace(made, driver={**ACCOUNT, **given})


@pytest.mark.parametrize(
    "given",
    [
        {"steps": [{**STEP, "gates": {"losses": "fail"}}], "gates": [{**GATE, "verdict": "fail"}]},
        {"steps": [{**STEP, "gates": {"losses": "inconclusive"}}], "gates": []},
        {"steps": [{**STEP, "passed": False}]},
        {"rollback_seconds": 3.5},
    ],
)
def test_a_promotion_that_the_drivers_own_account_speaks_against(given: dict[str, Any]) -> None:
    assert verdict(driven(**given)) == "inconclusive"
    # Whoever was asked to promote all the same did as it was told.
    asked = [{"at": START + 41.0, "what": "asked", "asked": "promote", "by": "ann"}]
    assert verdict(driven(**given, requests_of_people=asked)) == "pass"
    assert verdict(driven()) == "pass"


def asked(*words: str) -> list[dict[str, Any]]:
    return [
        {"at": START + 41.0 + n, "what": "asked", "asked": word, "by": "ann"} for n, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"mode": "standard"},
            "the driver moved the traffic in the mode standard, "
            "and the InferenceService is in the mode knative",
        ),
        (
            {"gates": [GATE, {**GATE, "at": START + 44.0, "verdict": "fail"}]},
            "by the driver's step at 45 % the gate losses ended with pass, and by its gates with fail",
        ),
        (
            {"gates": [{**GATE, "percent": 65, "gate": "latency", "verdict": "fail"}]},
            "the driver promoted the canary, though its gate latency failed at 65 %",
        ),
        (
            {"steps": [{**STEP, "began": START - 900.0}]},
            "the driver was at work from 08:00:05.000 UTC to 08:01:20.000 UTC, "
            "and the driver acted at 07:45:00.000 UTC",
        ),
        (
            {"requests_of_people": asked("paused", "aborted")},
            "the driver promoted the canary, and was asked last to roll it back",
        ),
        (
            {"requests_of_people": asked("paused"), "steps": [{**STEP, "passed": False}]},
            "the driver promoted the canary beyond the step at 45 %, though it was not passed",
        ),
    ],
)
def test_an_account_of_the_driver_that_contradicts_itself_or_the_model(
    given: dict[str, Any], text: str
) -> None:
    found = decide(driven(**given)).as_dict()
    assert [(r["rule"], r["text"]) for r in found["reasons"]] == [("views_agree", text)]
    assert found["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    "given",
    [
        {"gates": [{**GATE, "verdict": "fail"}, {**GATE, "at": START + 44.0}]},
        {"gates": []},
        {"steps": [{**STEP, "began": "early", "ended": None}]},
        {"requests_of_people": asked("paused", "resumed")},
        {"requests_of_people": asked("aborted", "promoted")},
        {"requests_of_people": "ann"},
        {"requests_of_people": asked("promoted"), "steps": [{**STEP, "passed": False}]},
    ],
)
def test_what_an_account_may_say_beside_a_promotion(given: dict[str, Any]) -> None:
    assert verdict(driven(**given)) == "pass"


def test_one_rollout_has_one_driver() -> None:
    run = rollouts.observed(rollouts.good())
    tell(run, event(3.5, "playbook", "change_awaited", baseline=BASELINE, driver="observe"))
    assert verdict(run.evidence()) == "pass"
    tell(run, event(4.5, "playbook", "change_awaited", baseline=BASELINE, driver="progressive"))
    found = decide(run.evidence()).as_dict()
    assert [r["text"] for r in found["reasons"]] == [
        "the timeline tells of several drivers: observe and progressive"
    ]


@pytest.mark.parametrize(
    "odd", [-HUGE, HUGE, 1e300, float("nan"), "text", True, None, [], [3], 7], ids=lambda odd: f"{odd!r:.9}"
)
@pytest.mark.parametrize(
    "path",
    [
        ("started",), ("ended",), ("rollback_seconds",), ("steps",), ("steps", 0), ("gates", 0),
        ("steps", 0, "percent"), ("steps", 0, "gates"), ("steps", 0, "gates", "losses"),
        ("gates", 0, "at"), ("patches", 0, "at"),
    ],
    ids=str,
)  # fmt: skip
def test_nothing_odd_in_an_account_of_the_driver_is_an_error(path: tuple[Any, ...], odd: Any) -> None:
    account = copy.deepcopy(ACCOUNT)
    node: Any = account
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = odd
    # What can be of an account: nothing rolled back, and no steps.
    known = (path[-1], odd) in [("rollback_seconds", None), ("steps", [])]
    assert verdict(driven(**account)) == ("pass" if known else "inconclusive")


def logged(number: int, **fields: Any) -> AccessLog:
    """The log of ten requests, of which one has these fields."""
    reader = LogReader(Format(), [Ids("x-", 0, 9)], [])
    for each in range(10):
        line = {"request_id": f"x-{each:010d}", "start_time": START + each, "duration": 20}
        line |= {"response_code": 200, **(fields if each == number else {})}
        reader.add(repr(line).replace("'", '"').encode())
    return reader.log()


@pytest.mark.parametrize(
    "fields",
    [
        {"start_time": 8e11},
        {"start_time": -3e10},
        {"start_time": "0001-01-01T00:00:00+14:00"},
        {"duration": -40},
        {"start_time": 2.53e11, "duration": 9e11},
    ],
)
def test_a_time_of_the_log_that_no_calendar_has_is_none(fields: dict[str, Any]) -> None:
    log = logged(4, **fields)
    assert (log.requests, sum(sum(names.values()) for names in log.seconds.values())) == (10, 9)
    assert (log.first, log.last) == (START, START + 9.02)
    run = rollouts.good()
    run.access_log = log
    assert verdict(run.evidence()) == "inconclusive"


@pytest.mark.parametrize(
    ("kind", "bend", "text"),
    [
        ("Deployment", lambda o: o["status"].update(availableReplicas=0), "has no pod available"),
        (
            "HTTPRoute",
            lambda o: o["status"]["parents"][0]["conditions"][0].update(status="False", reason="NoHost"),
            "HTTPRoute m is not Accepted: NoHost",
        ),
        (
            "HTTPRoute",
            lambda o: o["metadata"].update(generation=4),
            "HTTPRoute m has not been taken up since it was changed",
        ),
        # What an autoscaler has just asked for is on its way.
        ("Deployment", lambda o: (o["spec"].update(replicas=3), o["status"].update(replicas=3)), ""),
    ],
)
def test_in_standard_mode_ready_is_held_to_what_is_to_answer(kind: str, bend: Bend, text: str) -> None:
    made = history(3, STANDARD)
    (found,) = [r["object"] for r in made.run.observations or [] if r["object"]["kind"] == kind]
    bend(found)
    reasons = [
        (rule.name, finding.grade.value, text in finding.text)
        for rule, finding in decide(made.run.evidence(), made.thresholds).reasons()
    ]
    assert reasons == ([("ready_at_end", "inconclusive", True)] if text else [])


def of_routes(kind: str, **more: Any) -> dict[str, Any]:
    return {"time": START + 1.0, "feed": "httproute", "type": kind, **more}


@pytest.mark.parametrize(
    ("line", "grade"),
    [
        (
            of_routes("unobserved", **{"from": START + 13.0, "to": START + 18.5, "why": "lost"}),
            "inconclusive",
        ),
        (of_routes("unobserved", **{"from": START + 13.0, "to": START + 13.5, "why": "lost"}), "pass"),
        (
            of_routes(
                "unobserved", **{"from": START + 13.0, "to": START + 18.5, "why": "late", "unchanged": True}
            ),
            "pass",
        ),
        (of_routes("unobserved", **{"from": START - 9.0, "to": START - 1.0, "why": "lost"}), "pass"),
        (of_routes("refused", message="forbidden"), "inconclusive"),
        ({**of_routes("refused", message="forbidden"), "feed": "event"}, "pass"),
        (of_routes("unobserved", **{"from": HUGE, "to": "later", "why": "lost"}), "pass"),
    ],
)
def test_in_standard_mode_the_traffic_is_seen_where_its_routes_are(line: dict[str, Any], grade: str) -> None:
    made = history(3, STANDARD)
    assert not made.tags
    assert made.run.observations is not None
    made.run.observations.append(line)
    assert decide(made.run.evidence(), made.thresholds).grade.value == grade
