# SPDX-License-Identifier: GPL-3.0-or-later
"""Random whole rollouts for the property test: first what really happened, then what the evidence has of it.

Nothing here knows the rules of the verdict. A history says what it did to the rollout and to its evidence:
`LOST` requests, parts that `CONTRADICTED` each other, what stayed `UNSEEN` or was `UNTOLD`, an `UNEXPECTED`
end; `CLOCK` is for what alone makes neither a pass nor a failure wrong, as a clock that was off.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from random import Random
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts, standard
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import LATENCY, START, Run

LOST, CONTRADICTED, UNSEEN, UNTOLD = "lost", "contradicted", "unseen", "untold"
CLOCK, UNEXPECTED = "clock", "unexpected"
RATE = 60


@dataclass
class World:
    """What really happened, in seconds since the start of the load.

    `splits` are the canary's weights with the moments from which they held; `ahead` is by how much the
    load's clock is ahead of everybody else's; `late` is how late the marks of its start and end are written.
    """

    applied: float
    splits: list[tuple[float, int]]
    completed: float
    settled: float
    ended: int
    promoted: bool
    ahead: float = 0.0
    late: float = 0.0
    lost: list[float] = field(default_factory=list)

    def weight(self, time: float) -> int:
        """The canary's at this moment."""
        return next((weight for at, weight in reversed(self.splits) if at <= time), 0)


@dataclass
class History:
    """A run, what was done to it, and by what it is judged."""

    run: Run
    world: World
    thresholds: Thresholds
    tags: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)


ITER8, OBSERVED, STANDARD = "iter8", "observed", "standard mode"
"""The kinds: driven by iter8; by something else, in Knative mode; and so in KServe's Standard mode."""


def history(seed: int, kind: str = ITER8) -> History:
    """The history with this number and of this kind, always the same."""
    dice = Random(seed)
    # Dice of its own: what else happens in the history with this number stays what it was.
    busy = Random(f"busy {seed}")
    late = busy.uniform(5.0, 25.0) if busy.random() < 0.1 else 0.0
    world = _world(dice, late)
    clock = dice.random() < 0.15
    if clock:
        world.ahead = dice.choice((dice.uniform(0.7, 60.0), -dice.uniform(0.1, 8.0)))
    if dice.random() < 0.15:
        world.lost = [dice.uniform(0.5, world.ended - 0.5) for _unused in range(dice.randint(1, 40))]
    expected = world.promoted if dice.random() < 0.95 else not world.promoted
    run = Run(_load(world, dice), _timeline(world, dice), _experiment(world), _service(world))
    thresholds = Thresholds(expect_winner="canary" if expected else "baseline", min_requests_per_revision=1)
    made = History(run, world, thresholds)
    if kind != ITER8:
        _without_experiment(made)
    if kind == STANDARD:
        _in_standard_mode(made)
    bends = [each for each in BENDS if kind == ITER8 or each[2] not in OF_EXPERIMENTS]
    bends += [OBSERVATIONS] if kind == STANDARD else []
    # Without an observer nothing tells a late mark from a clock that is off.
    made.tags |= {CLOCK} if clock or (late and not _observer(made)) else set()
    made.tags |= {LOST} if world.lost else set()
    made.tags |= set() if expected is world.promoted else {UNEXPECTED}
    for _unused in range(dice.choice((0, 0, 1, 1, 1, 2))):
        name, tag, bend = dice.choice(bends)
        if bend(made, dice):
            made.tags.add(tag)
            made.done.append(name)
    return made


def _world(dice: Random, late: float) -> World:
    applied = dice.uniform(4.0, 8.0) + late
    at = applied + dice.uniform(3.0, 6.0)
    promoted = dice.random() < 0.7
    weight, splits = dice.choice((3, 5, 10)), []
    for _unused in range(dice.randint(2, 7)):
        splits.append((at, weight))
        at += dice.uniform(4.0, 9.0)
        weight = min(95, weight + dice.choice((4, 10, 20))) if promoted else weight
    completed = at
    settled = completed + dice.uniform(0.5, 4.0)
    splits.append((settled, 100 if promoted else 0))
    ended = math.ceil(settled + dice.uniform(5.0, 12.0))
    return World(applied, splits, completed, settled, ended, promoted, late=late)


def _load(world: World, dice: Random) -> dict[str, Any]:
    """Each request drawn by the weight at the moment at which the gateway had it."""
    late = dice.uniform(0.0, 0.4)  # until a change of weight has reached the gateway
    rows: dict[int, Counter[str]] = {}
    for number in range(world.ended * RATE):
        sent = number / RATE
        name = CANARY if dice.random() * 100 < world.weight(sent - late) else BASELINE
        rows.setdefault(math.floor(START + sent + world.ahead + LATENCY), Counter())[name] += 1
    loaded = rollouts.load(RATE, seconds=world.ended)
    own = loaded["LoadTest"]
    own.update(
        started=START + world.ahead,
        ended=START + world.ended - 0.5 / RATE + world.ahead,
        timeline=[
            {"second": second, "sent": sum(names.values()), "ok": sum(names.values()), "failed": 0}
            | {"revisions": dict(names), "p50": LATENCY / 2, "p99": LATENCY, "max": LATENCY}
            for second, names in sorted(rows.items())
        ],
    )
    total = sum(rows.values(), Counter())
    own["revisions"] = {name: {"requests": n, "failed": 0} for name, n in total.items()}
    run = Run(loaded, None, None, None)
    first = own["timeline"][0]["second"]
    for at in world.lost:
        after = min(math.floor(START + at + world.ahead) - first, len(own["timeline"]) - 1)
        names = own["timeline"][after]["revisions"]
        revision = dice.choice([name for name in (BASELINE, CANARY) if names.get(name)])
        rollouts.lose(run, after, revision, dice.choice(("status", "reset", "timeout")), 503)
    return loaded


def _timeline(world: World, dice: Random) -> list[dict[str, Any]]:
    """As an observer writes it, or waits whose watches follow each other without a pause."""
    observed = dice.random() < 0.7
    told = [_of(0.0, "inferenceservice", "traffic", traffic={BASELINE: 100})]
    told += [_of(world.applied + 1, "inferenceservice", "revision_created", revision=CANARY)]
    for number, (at, weight) in enumerate(world.splits):
        split = {name: n for name, n in ((BASELINE, 100 - weight), (CANARY, weight)) if n}
        told.append(_of(at + dice.uniform(0.0, 0.1), "inferenceservice", "traffic", traffic=split))
        if 0 < number < len(world.splits) - 1:
            told.append(_of(at - 0.1, "experiment", "iteration", iteration=number, winner=None))
    winner = "canary" if world.promoted else "baseline"
    message = "Experiment completed successfully"
    told.append(_of(world.completed, "experiment", "completed", winner=winner, message=message, failed=False))
    if observed:
        told = [{**line, "resource_version": str(10 + n)} for n, line in enumerate(told)]
        told.append(_of(-0.5, "observer", "started"))
        told.append(_of(9.0, "observer", "clock", whose="api_server", low=-0.02, high=0.03))
        told.append(_of(world.ended + world.late + 1.0, "observer", "stopped"))
    told += [
        _of(0.2 + world.late, "playbook", "load_started"),
        _of(world.applied, "playbook", "canary_applied", baseline=BASELINE),
        _of(world.applied + 2.5, "playbook", "experiment_created"),
        _of(world.ended + world.late + 0.3, "playbook", "load_stopped"),
    ]
    return sorted(told, key=lambda line: float(line["time"]))


def _of(after: float, source: str, event: str, **data: Any) -> dict[str, Any]:
    return rollouts.event(after, source, event, **data)


def _experiment(world: World) -> dict[str, Any]:
    obj = builders.finished(
        winner="canary" if world.promoted else "default",
        assessments={"default": [True, True], "canary": [world.promoted, True]},
    )
    obj["metadata"]["creationTimestamp"] = _stamp(world.applied + 2.6)
    return obj


def _stamp(after: float) -> str:
    moment = datetime.fromtimestamp(math.floor(START + after), tz=timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _service(world: World) -> dict[str, Any]:
    return builders.promoted() if world.promoted else builders.isvc(traffic={BASELINE: 100})


def _without_experiment(made: History) -> None:
    """The same rollout, where something else than iter8 moved the traffic."""
    world = made.world
    gone = ("canary_applied", "experiment_created")
    kept = [
        line
        for line in made.run.timeline or []
        if line["source"] != "experiment" and line["event"] not in gone
    ]
    version = {"resource_version": "8"} if _observer(made) else {}
    kept += [
        _of(world.applied - 2.0, "playbook", "change_awaited", baseline=BASELINE, driver="observe"),
        {**_of(world.applied, "inferenceservice", "changed", generation=2), **version},
        _of(world.settled + 1.0, "playbook", "rollout_ended"),
    ]
    made.run.timeline = sorted(kept, key=lambda line: float(line["time"]))
    made.run.experiment = None


def _in_standard_mode(made: History) -> None:
    """Revisions are ReplicaSets, and only what the InferenceService led to says how the traffic ended."""
    name = "my-model-v2-predictor" if made.world.promoted else "my-model-predictor"
    revision = CANARY if made.world.promoted else BASELINE
    owned = {"ownerReferences": [{"kind": "Deployment", "name": name}]}
    replicaset = {**standard.replicaset("x-y"), "metadata": {"name": revision, **owned}}
    route = standard.route({name: None})
    made.run.observations = [
        {"time": START + made.world.settled, "feed": "x", "type": "present", "object": each}
        for each in (standard.deployment(name), replicaset, route)
    ]
    spec = {"predictor": {"name": "v2"} if made.world.promoted else {}}
    made.run.inferenceservice = {
        **standard.service(),
        "metadata": {"name": "my-model", "uid": "u"},
        "spec": spec,
    }


def observations_lost(made: History, dice: Random) -> bool:
    made.run.observations = None
    return made.run.inferenceservice is not None


Bend = Callable[[History, Random], bool]


def _observer(made: History) -> bool:
    return any(line["source"] == "observer" for line in made.run.timeline or [])


def _cut(made: History, begin: float, end: float) -> None:
    """What was told of the cluster within this time was not seen; what is there at its end is, then."""
    lines = made.run.timeline or []
    inside = [
        line
        for line in lines
        if line["source"] in ("inferenceservice", "experiment") and begin < line["time"] - START <= end
    ]
    last = [
        [one for one in inside if one["event"] == "traffic"][-1:],
        [one for one in inside if one["event"] != "traffic"],
    ]
    kept = [{**line, "time": START + end} for group in last for line in group]
    made.run.timeline = sorted(
        [*(line for line in lines if line not in inside), *kept], key=lambda line: float(line["time"])
    )


def _blind(made: History, dice: Random, seconds: float) -> bool:
    """For so long within the shift nothing is seen of the cluster."""
    world = made.world
    begin = dice.uniform(world.applied + 0.2, max(world.applied + 0.3, world.settled - seconds - 0.5))
    end = begin + seconds
    if end >= world.settled - 0.2:
        return False
    _cut(made, begin, end)
    if _observer(made):
        data = {"feed": "inferenceservice", "from": START + begin, "to": START + end, "why": "cut"}
        more = [_of(end, "observer", "unobserved", **data)]
    else:
        more = [
            _of(begin, "experiment", "connection", lost=True),
            _of(end, "experiment", "connection", lost=False),
        ]
    made.run.timeline = sorted([*(made.run.timeline or []), *more], key=lambda line: float(line["time"]))
    return True


def blind(made: History, dice: Random) -> bool:
    return _blind(made, dice, dice.uniform(1.2, 15.0))


def blinked(made: History, dice: Random) -> bool:
    return not made.done and _blind(made, dice, dice.uniform(0.1, 0.9))


def observer_killed(made: History, dice: Random) -> bool:
    if not _observer(made):
        return False
    at = dice.uniform(made.world.applied, made.world.settled - 1.5)
    if at <= made.world.applied:
        return False
    made.run.timeline = [
        line for line in made.run.timeline or [] if line["source"] == "playbook" or line["time"] <= START + at
    ]
    if dice.random() < 0.5:
        made.run.timeline.append(_of(at, "observer", "stopped", killed=True))
    made.run.timeline.sort(key=lambda line: float(line["time"]))
    return True


def observer_late(made: History, dice: Random) -> bool:
    """It was started only when the canary had been applied for a while."""
    if not _observer(made):
        return False
    lines = made.run.timeline or []
    late = dice.uniform(made.world.applied + 1.3, made.world.splits[0][0] + 1.0)
    for line in lines:
        if (line["source"], line["event"]) == ("observer", "started"):
            line["time"] = START + late
    lines.sort(key=lambda line: float(line["time"]))
    return True


def unnamed(made: History, dice: Random) -> bool:
    rollouts.unnamed(made.run)
    return True


def pods_named(made: History, dice: Random) -> bool:
    """The names are those of pods."""
    own = made.run.own
    for row in [*own["timeline"], own]:
        row["revisions"] = {f"{name}-pod": n for name, n in row["revisions"].items()}
    for row in own["ledger"]:
        row["revision"] = f"{row['revision']}-pod"
    return True


def split_untold(made: History, dice: Random) -> bool:
    if made.run.inferenceservice is None or made.run.observations is not None:
        return False
    predictor = made.run.inferenceservice["status"].get("components", {}).get("predictor")
    if predictor is None:
        return False
    if dice.random() < 0.5:
        predictor.pop("traffic", None)
    else:
        for entry in predictor.get("traffic", []):
            entry.pop("revisionName", None)
            entry["latestRevision"] = False
    return True


def iterations_unplanned(made: History, dice: Random) -> bool:
    if made.run.experiment is None:
        return False
    made.run.experiment["spec"]["duration"].pop("maxIterations", None)
    return True


def counts_bent(made: History, dice: Random) -> bool:
    """One view of the counts has more or less than the others."""
    assert made.run.load is not None
    own, by = made.run.own, dice.randint(1, 300)
    row = dice.choice(own["timeline"])
    mode = own["connection_modes"][dice.choice(("new", "keep-alive"))]
    views: list[tuple[dict[str, Any], str]] = [
        (made.run.load["RetCodes"], dice.choice(("200", "503", "-1"))),
        (own, dice.choice(("ok", "failed", "requests", "ledger_dropped", "client_faults"))),
        (own["classes"], dice.choice(("status", "reset", "client"))),
        (mode, dice.choice(("requests", "failed"))),
        (dice.choice(list(own["revisions"].values())), dice.choice(("requests", "failed"))),
        (row, dice.choice(("ok", "failed"))),
        (row["revisions"], dice.choice(list(row["revisions"]))),
        (made.run.load["DurationHistogram"], "Count"),
    ]
    view, key = dice.choice(views)
    view[key] = view.get(key, 0) + by
    return True


def outage_made_up(made: History, dice: Random) -> bool:
    begin = START + dice.uniform(1.0, made.world.ended - 1.0)
    times = {"last_success": begin - 0.1, "first_failed_send": begin, "recovered": begin + 0.5}
    lost = 1000 + dice.randint(0, 300)
    made.run.own["outages"] = [{"connection_mode": "new", **times, "failed": lost, "longest_wait": 0.1}]
    return True


def ledger_emptied(made: History, dice: Random) -> bool:
    if not made.run.own["ledger"]:
        return False
    made.run.own["ledger"].clear()
    return True


def old_experiment(made: History, dice: Random) -> bool:
    if made.run.experiment is None:
        return False
    made.run.experiment["metadata"]["creationTimestamp"] = _stamp(-dice.uniform(3.0, 9000.0))
    return True


def other_end(made: History, dice: Random) -> bool:
    """The timeline has the Experiment end otherwise than the Experiment."""
    done = made.run.event("experiment", "completed")["data"] if _has_end(made) else None
    if done is None or made.run.experiment is None or UNEXPECTED in made.tags:
        return False
    done.update(dice.choice(({"failed": True}, {"winner": None}, {"winner": "stranger"})))
    return True


def _has_end(made: History) -> bool:
    return any(line["event"] == "completed" for line in made.run.timeline or [])


def winner_failed(made: History, dice: Random) -> bool:
    if made.run.experiment is None:
        return False
    name = "canary" if made.world.promoted else "default"
    rows = made.run.experiment["status"]["analysis"]["versionAssessments"]["data"]
    rows[name] = dice.choice(([False, True], [True, False], [False, False]))
    return True


def early_end(made: History, dice: Random) -> bool:
    """The only end of an Experiment in the timeline is that of an earlier one."""
    if not _has_end(made):
        return False
    made.run.event("experiment", "completed")["time"] = START + dice.uniform(0.3, made.world.applied - 0.5)
    (made.run.timeline or []).sort(key=lambda line: float(line["time"]))
    return True


def went_back(made: History, dice: Random) -> bool:
    """Before the load ended the timeline has the traffic go back, and where it belongs only afterwards."""
    world = made.world
    if UNEXPECTED in made.tags or CLOCK in made.tags:
        return False
    if made.run.experiment is not None and not _has_end(made):
        return False
    there, back = (CANARY, BASELINE) if world.promoted else (BASELINE, CANARY)
    more = [
        _of(world.settled + 1.0, "inferenceservice", "traffic", traffic={back: 100}),
        _of(world.ended + 0.9, "inferenceservice", "traffic", traffic={there: 100}),
    ]
    if _observer(made):
        more = [{**line, "resource_version": "9"} for line in more]
    made.run.timeline = sorted([*(made.run.timeline or []), *more], key=lambda line: float(line["time"]))
    return True


def without(piece: str) -> Bend:
    def bend(made: History, dice: Random) -> bool:
        setattr(made.run, piece, None)
        return True

    return bend


no_experiment = without("experiment")


def stopped_early(made: History, dice: Random) -> bool:
    """An error ended the run before the canary was applied."""
    world = made.world
    stop = _of(world.applied - 0.5, "playbook", "stopped", task="Check the names")
    made.run.timeline = [
        *(line for line in made.run.timeline or [] if line["time"] < START + world.applied - 0.5),
        stop,
    ]
    made.run.inferenceservice = builders.stale()
    made.run.experiment = None
    made.tags.discard(UNEXPECTED)
    return True


BENDS: tuple[tuple[str, str, Bend], ...] = (
    ("blind", UNSEEN, blind),
    ("blinked", CLOCK, blinked),
    ("observer killed", UNSEEN, observer_killed),
    ("observer late", UNSEEN, observer_late),
    ("unnamed", UNTOLD, unnamed),
    ("pods named", UNTOLD, pods_named),
    ("split untold", UNTOLD, split_untold),
    ("iterations unplanned", CLOCK, iterations_unplanned),
    ("counts bent", CONTRADICTED, counts_bent),
    ("an outage made up", CONTRADICTED, outage_made_up),
    ("ledger emptied", CONTRADICTED, ledger_emptied),
    ("old experiment", UNTOLD, old_experiment),
    ("other end", CONTRADICTED, other_end),
    ("winner failed", CONTRADICTED, winner_failed),
    ("early end", UNTOLD, early_end),
    ("went back", CONTRADICTED, went_back),
    ("no experiment", UNTOLD, no_experiment),
    ("no service", UNTOLD, without("inferenceservice")),
    ("stopped early", UNSEEN, stopped_early),
)
OBSERVATIONS = ("observations lost", UNTOLD, observations_lost)
# What there is none of where something else moves the traffic.
OF_EXPERIMENTS = (iterations_unplanned, old_experiment, other_end, winner_failed, early_end, no_experiment)
