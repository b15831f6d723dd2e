# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence that is bent in one place, of every kind that there is: never a pass, and never an error.

What each says is tested beside its rule; here it is that nothing of the kind gets through, and that what only
looks odd does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.result_reader import read_load
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules.views import impossible
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support import builders, generators, rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import LATENCY, START, Run, event

HUGE = 10**400
Bend = Callable[[Run], Any]


def row(run: Run, second: int) -> dict[str, Any]:
    found: dict[str, Any] = run.own["timeline"][second]
    return found


def split(run: Run, number: int) -> dict[str, Any]:
    """The data of one of the splits in the timeline."""
    splits = [line for line in run.timeline or [] if line["event"] == "traffic"]
    data: dict[str, Any] = splits[number]["data"]
    return data


def tell(run: Run, line: dict[str, Any]) -> None:
    """The timeline tells of it, too, in its place."""
    assert run.timeline is not None
    run.timeline = sorted([*run.timeline, line], key=lambda each: float(each["time"]))


def predictor(run: Run) -> dict[str, Any]:
    assert run.inferenceservice is not None
    found: dict[str, Any] = run.inferenceservice["status"]["components"]["predictor"]
    return found


def seen(*objects: dict[str, Any], kind: str = "present") -> list[dict[str, Any]]:
    return [
        {"time": START + 3.0 + n, "feed": "inferenceservice", "type": kind, "object": each}
        for n, each in enumerate(objects)
    ]


def of_the_name(experiment: dict[str, Any]) -> dict[str, Any]:
    """Another one of the same name."""
    return {**experiment, "metadata": {**experiment["metadata"], "uid": "uid-0"}}


def replaced_before(run: Run) -> None:
    """It was deleted, and created again for this run."""
    assert run.experiment is not None
    old = of_the_name(run.experiment)
    run.observations = [*seen(old), *seen(old, kind="deleted"), *seen(run.experiment)]


def observer(run: Run, **interval: Any) -> None:
    """An observer wrote the timeline, and says that for a while it saw nothing."""
    assert run.timeline is not None
    run.timeline = [
        event(0.0, "observer", "started"),
        *({**line, "resource_version": "5"} for line in run.timeline),
        event(40.0, "observer", "unobserved", **{"feed": "inferenceservice", **interval}),
        event(95.0, "observer", "stopped"),
    ]


def verdict(evidence: Evidence, thresholds: Thresholds | None = None) -> str:
    return decide(evidence, thresholds).grade.value


NUMBERS: list[tuple[str, Bend]] = [
    (
        "failures of one second taken from another's",
        lambda r: (row(r, 40).update(ok=97, failed=3), row(r, 41).update(ok=103, failed=-3)),
    ),
    ("codes below 0", lambda r: r.load.update(RetCodes={"200": 9000, "503": 2, "504": -2})),
    (
        "a gap below 0",
        lambda r: r.own.update(longest_success_gap={"seconds": -5, "start": START + 30, "end": START + 25}),
    ),
    ("a stall below 0", lambda r: r.own.update(stalls=[{"start": START + 30, "seconds": -8}])),
    ("a lateness below 0", lambda r: r.own["lateness"].update(p99=-9.0)),
    ("a service time below 0", lambda r: row(r, 30).update(max=-50.0)),
    ("more than a float", lambda r: r.own.update(wall_clock_drift=HUGE)),
    ("a beginning beyond any calendar", lambda r: r.own.update(started=1e18)),
    ("a beginning beyond any float", lambda r: r.own.update(started=HUGE)),
    ("a second beyond any calendar", lambda r: row(r, 89).update(second=10**30)),
    (
        "a time of a failure beyond any float",
        lambda r: (rollouts.lose(r, 30), r.own["ledger"][0].update(sent=HUGE)),
    ),
    ("a time of the timeline beyond any float", lambda r: r.timeline.append({"time": HUGE, "event": "x"})),
    (
        "a time of the timeline beyond any calendar",
        lambda r: r.timeline.append(event(1e300, "playbook", "stopped")),
    ),
    ("more requests than can be", lambda r: r.own.update(requests=10**19)),
    ("more tokens than can be", lambda r: r.own["connection_modes"]["new"].update(requests=10**19)),
    ("generators that are a number", lambda r: r.own.update(generators=5)),
    ("statuses that are a text", lambda r: r.own.update(expect_status="200")),
    (
        "an outage of a text",
        lambda r: r.own.update(
            outages=[{"connection_mode": "new", "first_failed_send": START + 3, "failed": "3"}]
        ),
    ),
]

LOAD: list[tuple[str, Bend]] = [
    ("a second twice", lambda r: row(r, 51).update(second=START + 50)),
    ("seconds in no order", lambda r: r.own["timeline"].insert(40, r.own["timeline"].pop(60))),
    ("a second long after the load", lambda r: row(r, 89).update(second=START + 8999)),
    (
        "answers of one second under the names of another",
        lambda r: (
            row(r, 30).update(revisions={BASELINE: 75}),
            row(r, 31).update(revisions={BASELINE: 75, CANARY: 50}),
        ),
    ),
    ("a slowest answer that is older than the load", lambda r: row(r, 30).update(max=1e6)),
    ("percentiles of a second that cross", lambda r: row(r, 30).update(p50=9.0)),
    (
        "a gap of another length than its times",
        lambda r: r.own["longest_success_gap"].update(end=START + 45.0),
    ),
    ("a gap outside the load", lambda r: r.own.update(longest_success_gap=rollouts.gap(0.2, 900.0))),
    (
        "a gap that is shorter than there is time for",
        lambda r: r.own.update(longest_success_gap=rollouts.gap(0.006)),
    ),
    ("no gap at all", lambda r: r.own["longest_success_gap"].update(seconds=0.0, end=START + 30.0)),
    (
        "a gap for which nothing was due, while requests were sent",
        lambda r: r.own.update(
            longest_success_gap=rollouts.gap(7.5), longest_pause=6.0, longest_mode_pause=6.0
        ),
    ),
    ("a pause on some connections only", lambda r: r.own.update(longest_pause=0.4, longest_mode_pause=0.9)),
    ("fewer ids than requests", lambda r: r.own["request_ids"][0].update(last=8990)),
    ("a stall after the load", lambda r: r.own.update(stalls=[{"start": START + 99.0, "seconds": 0.3}])),
    (
        "stalls for longer than the load took",
        lambda r: r.own.update(stalls=[{"start": START + n, "seconds": 0.9} for n in range(5, 89)] * 2),
    ),
    (
        "no gap on connections that were used",
        lambda r: r.own["connection_modes"]["new"].update(longest_success_gap=None),
    ),
    (
        "seconds without a success and no gap",
        lambda r: (
            [row(r, n).update(ok=0, revisions={}) for n in (40, 41, 42)],
            row(r, 43).update(ok=400, revisions={BASELINE: 220, CANARY: 180}),
        ),
    ),
    ("buckets that hold less", lambda r: r.load["DurationHistogram"]["Data"][0].update(Count=17)),
    ("response times of a part", lambda r: r.own.update(response_time=rollouts.histogram(100))),
    (
        "responses that were faster than their service",
        lambda r: r.load.update(DurationHistogram=rollouts.histogram(9000, 2.0)),
    ),
    ("buckets that end before the slowest", lambda r: r.own["response_time"].update(Max=2.0)),
    ("a rate that is next to none", lambda r: r.own.update(asked_rate=5e-324)),
    ("a result of a later schema", lambda r: r.own.update(schema=2)),
    ("a result of no schema", lambda r: r.own.pop("schema")),
    (
        "the ids of half of the requests twice",
        lambda r: r.own.update(request_ids=[{"prefix": "ab12-", "first": 1, "last": 4500}] * 2),
    ),
    ("buckets below 0", lambda r: r.own["response_time"]["Data"][0].update(Start=-9.0)),
    ("a rate that was kept with a tenth of the requests", lambda r: r.own.update(asked_rate=1000)),
    ("another rate than that of the requests", lambda r: r.own.update(actual_rate=5.0)),
    ("another duration than that of its times", lambda r: r.load.update(ActualDuration=10**9)),
    ("lateness that crosses", lambda r: r.own["lateness"].update(p50=5.0)),
    ("stalls that are counted and not told", lambda r: r.own.update(stall_count=4)),
    (
        "an outage of all in a load without failures",
        lambda r: r.own.update(outages_of_all=[{"first_failed_send": START + 30.1, "failed": 3}]),
    ),
    ("answers of a second in which none was sent", lambda r: row(r, 40).update(sent=0)),
    ("more sent than ended", lambda r: row(r, 89).update(sent=110)),
]

TIMELINE: list[tuple[str, Bend]] = [
    ("a split in texts", lambda r: split(r, 6).update(traffic={BASELINE: "55", CANARY: "45"})),
    ("a split in parts", lambda r: split(r, 6).update(traffic={BASELINE: 55.0, CANARY: 45.0})),
    ("a split by a truth", lambda r: split(r, 1).update(traffic={BASELINE: 99, CANARY: True})),
    ("a split below 0", lambda r: split(r, 6).update(traffic={BASELINE: 145, CANARY: -45})),
    ("no split", lambda r: split(r, 6).update(traffic=None)),
    ("a split of less than all", lambda r: split(r, 6).update(traffic={BASELINE: 40, CANARY: 45})),
    ("a split of more than all", lambda r: split(r, 6).update(traffic={BASELINE: 95, CANARY: 45})),
    ("a last split of more than all", lambda r: split(r, -1).update(traffic={CANARY: 100, BASELINE: 100})),
    (
        "a canary over another baseline",
        lambda r: tell(r, event(40.0, "playbook", "canary_applied", baseline="other")),
    ),
    ("blind for a time in texts", lambda r: observer(r, **{"from": str(START + 31), "to": str(START + 39)})),
    ("blind without an end", lambda r: observer(r, **{"from": START + 31, "to": None})),
    ("blind from the end on", lambda r: observer(r, **{"from": START + 39, "to": START + 31})),
    ("blind at no time", observer),
    ("blind for no feed", lambda r: observer(r, feed=None, **{"from": START + 31, "to": START + 39})),
    (
        "traffic of a third that answers nothing",
        lambda r: split(r, 6).update(traffic={BASELINE: 54, CANARY: 45, "my-model-predictor-00009": 1}),
    ),
    (
        "a generation that goes back",
        lambda r: tell(r, event(30.0, "inferenceservice", "changed", generation=5)),
    ),
]

OBJECTS: list[tuple[str, Bend]] = [
    ("an InferenceService of another name", lambda r: r.inferenceservice["metadata"].update(name="other")),
    (
        "an InferenceService of another namespace",
        lambda r: r.inferenceservice["metadata"].update(namespace="other"),
    ),
    ("another kind", lambda r: r.inferenceservice.update(kind="Service")),
    (
        "an InferenceService that is being deleted",
        lambda r: r.inferenceservice["metadata"].update(deletionTimestamp="2027-01-15T08:02:00Z"),
    ),
    (
        "an InferenceService that was created again",
        lambda r: setattr(r, "observations", seen(builders.isvc(uid="uid-0"), builders.promoted())),
    ),
    (
        "another InferenceService was observed",
        lambda r: setattr(r, "observations", seen(builders.isvc(uid="uid-0"))),
    ),
    (
        "an InferenceService that was deleted",
        lambda r: setattr(r, "observations", seen(builders.stale(), kind="deleted")),
    ),
    (
        "a spec that asks for less",
        lambda r: r.inferenceservice["spec"]["predictor"].update(canaryTrafficPercent=10),
    ),
    (
        "a share in a text",
        lambda r: predictor(r)["traffic"].append({"revisionName": BASELINE, "percent": "5"}),
    ),
    ("a share below 0", lambda r: predictor(r)["traffic"].append({"revisionName": BASELINE, "percent": -5})),
    (
        "ready, and not",
        lambda r: r.inferenceservice["status"]["conditions"].append({"type": "Ready", "status": "False"}),
    ),
    (
        "assessments of more objectives than there are",
        lambda r: r.experiment["status"]["analysis"]["versionAssessments"]["data"].update(canary=[True] * 3),
    ),
    ("another Experiment's target", lambda r: r.experiment["spec"].update(target="default/other")),
    (
        "an Experiment that came after its end",
        lambda r: r.experiment["metadata"].update(creationTimestamp="2027-01-15T08:01:20Z"),
    ),
    (
        "an Experiment that promotes another",
        lambda r: r.experiment["status"].update(recommendedBaseline="default"),
    ),
    (
        "another Experiment was observed",
        lambda r: setattr(
            r, "observations", seen({**r.experiment, "metadata": {"name": "experiment-1", "uid": "uid-0"}})
        ),
    ),
    (
        "an Experiment that was replaced by another",
        lambda r: setattr(r, "observations", seen(r.experiment, of_the_name(r.experiment))),
    ),
    (
        "an Experiment that was deleted",
        lambda r: setattr(r, "observations", seen(r.experiment, kind="deleted")),
    ),
    (
        "an Experiment that is being deleted",
        lambda r: r.experiment["metadata"].update(deletionTimestamp="2027-01-15T08:02:00Z"),
    ),
    ("an Experiment that is none", lambda r: r.experiment.update(kind="ConfigMap")),
    ("an Experiment of no time", lambda r: r.experiment["metadata"].pop("creationTimestamp")),
    (
        "an Experiment of a time that is none",
        lambda r: r.experiment["metadata"].update(creationTimestamp="2027-13-45T08:02:00Z"),
    ),
    (
        "an Experiment of a time in a number",
        lambda r: r.experiment["metadata"].update(creationTimestamp=START + 15),
    ),
    (
        "completed, and not",
        lambda r: r.experiment["status"]["conditions"].append(
            {"type": "ExperimentCompleted", "status": "False"}
        ),
    ),
    (
        "failed, and not",
        lambda r: r.experiment["status"]["conditions"].append({"type": "ExperimentFailed", "status": "True"}),
    ),
]

LOGS: list[tuple[str, Bend]] = [
    (
        "a log of more than was sent",
        lambda r: setattr(r, "access_log", rollouts.log_of(r, requests=9500, statuses={"200": 9500})),
    ),
    (
        "a log without the times of some",
        lambda r: setattr(r, "access_log", replace(rollouts.log_of(r), seconds={})),
    ),
]

GENERATORS: list[tuple[str, Bend]] = [
    ("one of them is not told of", lambda r: r.own["generators"].pop()),
    (
        "one of them twice",
        lambda r: (
            r.own["generators"].append(dict(r.own["generators"].pop(0)))
            or r.own["generators"].__setitem__(0, dict(r.own["generators"][1]))
        ),
    ),
    ("two of one name", lambda r: r.own["generators"][2].update(name="load-1")),
    ("two of one part", lambda r: r.own["generators"][2].update(index=1)),
    ("a part of another load", lambda r: r.own["generators"][2].update(of=4)),
    ("fewer requests than all", lambda r: r.own["generators"][2].update(requests=10)),
    ("failures that all have not", lambda r: r.own["generators"][2].update(failed=10)),
    ("faults that all have not", lambda r: r.own["generators"][2].update(client_faults=10)),
    (
        "fewer on new connections",
        lambda r: r.own["generators"][2]["connection_modes"]["new"].update(requests=1),
    ),
    ("a stall below 0", lambda r: r.own["generators"][2].update(longest_stall=-1)),
]


def _cases(cases: list[tuple[str, Bend]]) -> Any:
    return pytest.mark.parametrize(
        "bend", [bend for _what, bend in cases], ids=[what for what, _bend in cases]
    )


@_cases([*NUMBERS, *LOAD, *TIMELINE, *OBJECTS, *LOGS])
def test_no_pass_of_bent_evidence(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    assert verdict(run.evidence()) in ("inconclusive", "fail")


def test_a_silence_that_is_longer_than_the_longest_gap_is_told_by_itself() -> None:
    """Where nothing ends at all it is a hole in a phase as well, which says the same."""
    run = rollouts.good()
    assert list(impossible(read_load(run.load))) == []
    for second in range(40, 48):
        row(run, second).update(ok=0, failed=100)
    told = dict(impossible(read_load(run.load)))
    assert told == {"seconds without a success beside the longest gap of 0.21 s": 8.0}


@_cases(GENERATORS)
def test_no_pass_of_generators_that_do_not_go_together(bend: Bend) -> None:
    run = generators.three()
    bend(run)
    assert verdict(run.evidence()) == "inconclusive"


@pytest.mark.parametrize(
    ("metadata", "later"),
    [
        ({"name": "my-model-2"}, 0.0),
        ({"namespace": "other", "uid": "uid-0"}, 0.0),
        ({"uid": "uid-0"}, -86400.0),
    ],
)
def test_observations_of_another_run_are_no_evidence_of_this_one(
    metadata: dict[str, str], later: float
) -> None:
    run = rollouts.good()
    obj = builders.promoted()
    obj["metadata"].update(metadata)
    run.observations = [{**line, "time": line["time"] + later} for line in seen(obj)]
    found = decide(run.evidence()).as_dict()
    assert [line["rule"] for line in found["reasons"]] == ["evidence_complete"]
    assert found["verdict"] == "inconclusive"


RECORDS: list[tuple[str, Bend]] = [
    ("a record twice", lambda r: r.own["ledger"][1].update(r.own["ledger"][0])),
    ("a record from long before", lambda r: r.own["ledger"][0].update(sent=START - 9999.0)),
    ("a record that ends before it began", lambda r: r.own["ledger"][0].update(end=START + 20.0)),
    (
        "a record of a time at which nothing failed",
        lambda r: r.own["ledger"][1].update(sent=START + 63.0, intended=START + 63.0, end=START + 63.1),
    ),
    ("a record of another status", lambda r: r.own["ledger"][0].update(status=404)),
]


@_cases(RECORDS)
def test_losses_that_are_allowed_have_right_records_all_the_same(bend: Bend) -> None:
    run = rollouts.good()
    rollouts.lose(run, 30)
    rollouts.lose(run, 31)
    assert verdict(run.evidence(), Thresholds(max_lost=5)) == "pass"
    bend(run)
    assert verdict(run.evidence(), Thresholds(max_lost=5)) == "inconclusive"


@_cases(
    [
        (
            "a revision twice",
            lambda r: predictor(r).update(
                traffic=[
                    {"revisionName": CANARY, "percent": 60},
                    {"revisionName": CANARY, "percent": 40, "tag": "prev"},
                ]
            ),
        ),
        (
            "a tag without a share",
            lambda r: predictor(r)["traffic"].append({"revisionName": BASELINE, "tag": "prev"}),
        ),
        (
            "the latest revision by no name",
            lambda r: predictor(r).update(traffic=[{"latestRevision": True, "percent": 100}]),
        ),
        (
            "the InferenceService that was observed",
            lambda r: setattr(r, "observations", seen(builders.stale(), builders.promoted())),
        ),
        ("events twice", lambda r: r.timeline.extend([dict(line) for line in r.timeline])),
        ("events in no order", lambda r: r.timeline.reverse()),
        (
            "a handler of an Experiment before",
            lambda r: r.timeline.insert(
                0, event(1.0, "experiment", "handler", name="finish", status="failed")
            ),
        ),
        (
            "an Experiment before that was deleted",
            lambda r: r.timeline.insert(0, event(1.0, "experiment", "deleted")),
        ),
        (
            "an InferenceService that was removed after all",
            lambda r: r.timeline.append(event(120.0, "inferenceservice", "deleted")),
        ),
        ("a pod that was deleted", lambda r: r.timeline.append(event(33.0, "pod", "deleted"))),
        ("an Experiment of the name before", replaced_before),
    ]
)
def test_no_failure_where_nothing_was_lost(bend: Bend) -> None:
    run = rollouts.good()
    bend(run)
    # A timeline in no order looks as if a clock had been set back.
    assert verdict(run.evidence()) != "fail"


ACCOUNT = {"mode": "knative", "outcome": "promoted", "cause": "", "baseline": BASELINE, "canary": CANARY}
ACCOUNT |= {
    "patches": [],
    "gates": [],
    "rollback_seconds": None,
    "steps": [{"percent": 45, "passed": True, "gates": {}}],
}
ACCOUNT |= {"started": START + 5.0, "ended": START + 80.0}


@pytest.mark.parametrize(
    "given",
    [
        {"canary": "another-00002"},
        {"baseline": "", "canary": ""},
        {"canary": CANARY.rpartition("-")[0].rpartition("-")[0]},
        {"steps": [{"percent": 33, "passed": True, "gates": {}}]},
        {"patches": [{"at": START - 5000.0, "text": "canary at 5 %", "move": "5 %"}]},
        {"started": START - 5000.0},
        {"started": START + 7000.0, "ended": START + 7080.0},
        {"started": START + 150.0, "ended": START + 5.0},
        {"ended": START - 65.0, "patches": [{"at": START + 20.0, "text": "canary at 5 %", "move": "5 %"}]},
        {"started": None},
        {"ended": "later"},
        {"ended": True},
    ],
)
def test_an_account_of_the_driver_that_is_not_this_rollouts(given: dict[str, Any]) -> None:
    made = rollouts.observed(rollouts.good(), "progressive").evidence()
    assert verdict(replace(made, driver=ACCOUNT)) == "pass"
    assert verdict(replace(made, driver={**ACCOUNT, **given})) == "inconclusive"


def test_an_account_of_a_driver_where_another_one_drove() -> None:
    made = rollouts.observed(rollouts.good()).evidence()
    assert verdict(replace(made, driver=ACCOUNT)) == "inconclusive"


def test_a_relative_tolerance_of_none_allows_none() -> None:
    run = rollouts.good(1000)
    for second in range(10, 25):
        taken = row(run, second)["revisions"].pop(CANARY, 0)
        row(run, second)["revisions"][BASELINE] = 1000
        run.own["revisions"][CANARY]["requests"] -= taken
        run.own["revisions"][BASELINE]["requests"] += taken
    assert verdict(run.evidence(), Thresholds(share_tolerance_relative=0.0)) == "fail"
    assert Thresholds(share_tolerance_relative=0.0).share_limit(0.05) == 0.0


ODD = (-1, HUGE, -HUGE, float("nan"), "text", True, None, [], {}, [None], 10**19)


def _leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to all that there is, of a list only to its first and last."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        inner = list(node.items())
    elif isinstance(node, list) and node:
        inner = [(0, node[0]), (len(node) - 1, node[-1])]
    return [path, *(leaf for key, value in inner for leaf in _leaves(value, (*path, key)))]


@pytest.mark.parametrize("odd", ODD, ids=lambda value: f"{value!r:.12}")
def test_nothing_odd_in_any_place_is_an_error(odd: Any) -> None:
    run = rollouts.stream(generators.three(), 2)
    run.own["timeline"] = run.own["timeline"][:2]
    rollouts.lose(run, 1)
    observer(run, **{"from": START + 31, "to": START + 31.5})
    run.observations = seen(builders.promoted())
    whole = [run.load, run.timeline, run.experiment, run.inferenceservice, run.observations]
    for path in _leaves(whole):
        if len(path) < 2:
            continue
        bent = copy.deepcopy(whole[path[0]])
        node: Any = bent
        for key in path[1:-1]:
            node = node[key]
        node[path[-1]] = odd
        pieces = [*whole[: path[0]], bent, *whole[path[0] + 1 :]]
        evidence = Evidence(*pieces[:4], observations=pieces[4])  # type: ignore[arg-type]
        assert verdict(evidence) in ("fail", "inconclusive"), path


def test_the_run_that_all_this_begins_with_is_whole() -> None:
    assert verdict(rollouts.good().evidence()) == verdict(generators.three().evidence()) == "pass"
    run = rollouts.good()
    observer(run, **{"from": START + 31, "to": START + 31.5})
    assert verdict(run.evidence()) == "pass"
    assert rollouts.histogram(3, LATENCY)["Count"] == 3


def test_a_second_of_answers_beyond_the_load_is_named() -> None:
    """Whatever else is said of it."""
    run = rollouts.good()
    row(run, 89).update(second=START + 8999)
    texts = [finding.text for _rule, finding in decide(run.evidence()).reasons()]
    assert any("second of answers within the load" in text for text in texts), texts


def test_an_answer_that_was_slower_than_the_load_was_old_is_told_by_itself() -> None:
    """The fourth second ended four seconds after the beginning, to the accuracy of one."""
    run = rollouts.good()
    rollouts.slow(run, 3, 4.9)
    assert list(impossible(read_load(run.load))) == []
    rollouts.slow(run, 3, 5.1)
    told = f"seconds for the slowest of second {START + 3}, since the load began"
    assert dict(impossible(read_load(run.load))) == {told: 5.1}
