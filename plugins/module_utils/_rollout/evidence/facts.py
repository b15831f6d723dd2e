# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence, put together: who is who, what happened when, and which request belongs to which phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..fields import LoadFormatError
from ..messages import utc
from ..naming.aliases import OWN, Naming, deployments_of, learn, pods_of, renamed, renamed_log
from ..objects import experiment as experiments
from ..objects import inferenceservice as services
from ..objects.objectives import Objective, objectives
from ..objects.snapshot import STANDARD, Snapshot, mode_of
from ..objects.view import view_of
from ..plan.account import SummaryFormatError, read_summary
from ..result_reader import read_load
from ..roles import BASELINE, CANARY, ITER8, OBSERVE
from ..same_objects import Reported, contradictions, of_another, replaced
from ..thresholds import Thresholds
from .access_log import AccessLog
from .causes import causes
from .clocks import Clocks, compare
from .gateway import named_by_answers, named_by_log
from .load import Load
from .marks import Marks, marks, routes_unseen
from .offset import SAME, Offset
from .phases import Phase, phases
from .timeline import Moment, TimelineFormatError, read_timeline

_PIECES = {
    "load": "result of a load test",
    "timeline": "timeline",
    "experiment": "Experiment",
    "inferenceservice": "InferenceService",
}
# More than clocks that are compared are apart, changes take to reach the gateway, and answers to come.
_BEYOND_SECONDS = 60.0
# Who names the revisions that answered.
ANSWERS, ACCESS_LOG = "answers", "access_log"


@dataclass(frozen=True)
class Evidence:
    """What a run left behind; None or empty for what is missing, with the reason in `problems` under the
    same name. The access log and the observer's `observations` are evidence only where they were asked for,
    and what the `driver` did only where this collection's own drove."""

    load: Mapping[str, Any] | None = None
    timeline: Sequence[Any] | None = None
    experiment: Mapping[str, Any] | None = None
    inferenceservice: Mapping[str, Any] | None = None
    access_log: AccessLog | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    observations: Sequence[Any] | None = None
    driver: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PhaseCount:
    """A phase with its requests (by whole seconds, as they ended) and losses (to the microsecond, as
    sent)."""

    phase: Phase
    requests: int
    failed: int


@dataclass(frozen=True)
class Facts:
    """Everything the rules look at. Revision names are empty where they are not known.

    `answered_load` is the load as its own answers have it, `load` that with what the access log adds;
    `named_by` says whose names the load has. `problems` has, by the name of the evidence, why it is missing.
    `stretches` are the phases beyond both ends of the load, which a clock that is off may reach.
    `causes` has what happened around each window of losses, as verdict.json has it; `driver` what this
    collection's own driver did and why, empty where it did not drive. `naming` is what the names that answers
    gave were learned to stand for. `replaced` is how the InferenceService ceased to be the one that
    it was, and `contradictions` what does not go together of the objects, by the revision that is to have
    everything.
    """

    load: Load | None
    answered_load: Load | None
    log: AccessLog | None
    named_by: str
    moments: tuple[Moment, ...]
    marks: Marks
    experiment: experiments.ExperimentOutcome | None
    objectives: tuple[Objective, ...]
    service: Snapshot | None
    baseline: str
    canary: str
    compared: Mapping[str, str]
    phases: tuple[PhaseCount, ...]
    problems: Mapping[str, str]
    stretches: tuple[Phase, ...] = ()
    clocks: Clocks = Clocks()
    causes: tuple[Mapping[str, Any], ...] = ()
    driver: Mapping[str, Any] = field(default_factory=dict)
    naming: Naming = OWN
    replaced: str = ""
    contradictions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def by_experiment(self) -> bool:
        """Whether an Experiment of iter8 decides the rollout, and there are rules about it."""
        return self.marks.driver == ITER8

    @property
    def given_traffic(self) -> set[str]:
        """The revisions that were ever seen to be given traffic."""
        return {name for _time, split in self.marks.traffic for name, percent in split.items() if percent}

    @property
    def roles(self) -> dict[str, str]:
        """Revision name -> role."""
        return _roles(self.baseline, self.canary)

    def expected(self, thresholds: Thresholds) -> str:
        """The revision that is to end with all the traffic; empty where it is not known."""
        return self.canary if thresholds.expect_winner == CANARY else self.baseline

    def requests_of(self, revision: str) -> int:
        """How many requests named this revision."""
        return self.load.revisions.get(revision, (0, 0))[0] if self.load else 0

    @property
    def names_before(self) -> tuple[str, ...]:
        """What the answers named before the canary was applied, when only the baseline served."""
        if self.load is None:
            return ()
        return _names_before(self.load, self.marks.canary_applied, self.names_ahead)

    @property
    def names_proven(self) -> bool:
        """Whether one of these was the baseline, so that names are those of revisions.

        The canary's name proves nothing then. What cannot be known is not asked for: which moment was before
        the canary, and who the baseline was.
        """
        known = self.marks.canary_applied is not None and self.baseline
        return not known or self.baseline in self.names_before

    @property
    def names_tell(self) -> bool:
        """Whether the answers name revisions at all, so that rules about who answered can be applied."""
        return self.load is not None and any(self.load.revisions) and self.names_proven

    @property
    def names_ahead(self) -> Offset:
        """How far the clock by which the names of a second are counted is ahead of the timeline's."""
        ahead, gateway = self.clocks.load, self.clocks.gateway
        if self.named_by != ACCESS_LOG or gateway is None:
            return ahead
        rest = -self.clocks.whole_seconds
        return Offset(ahead.low + gateway.low + rest, ahead.high + gateway.high + rest)

    def name_of(self, revision: str) -> str:
        """The revision for people: with its role where it has one."""
        role = self.roles.get(revision)
        return f"the {role} {revision}" if role else (revision or "no named revision")

    def phase_of(self, time: float) -> str:
        """The name of the phase in which this moment lies; the first has all before it, the last all
        after."""
        begun = [count.phase.name for count in self.phases if count.phase.start <= time]
        return (begun[-1:] or [count.phase.name for count in self.phases[:1]] or ["the load"])[0]


def study(evidence: Evidence) -> Facts:
    """The facts behind the evidence. What cannot be read becomes a problem, never an error."""
    problems = {
        name: evidence.problems.get(name, f"there is no {what}")
        for name, what in _PIECES.items()
        if not getattr(evidence, name)
    }
    for asked in ("access_log", "observations", "driver"):
        if asked in evidence.problems:
            problems[asked] = evidence.problems[asked]
    answered_load = _load(evidence.load, problems)
    moments = _moments(evidence.timeline, problems)
    rows = _rows(evidence, answered_load, problems)
    service = None
    if evidence.inferenceservice:
        # Of what it led to, the observer saw the last.
        service = services.read(evidence.inferenceservice, view_of(rows).children)
    found = _borne_out(marks(moments), service)
    if mode_of(evidence.inferenceservice) == STANDARD:
        found = routes_unseen(found, rows)
    # An object that was gone when it was to be kept is an empty one.
    experiment = None
    if found.driver == ITER8:
        if evidence.experiment:
            experiment = _of_this_run(evidence.experiment, found, problems)
    else:
        problems.pop("experiment", None)
    driver = _driver(evidence.driver, found, problems)
    found = _by_roles(found, experiment)
    compared = experiments.revisions(experiment) if experiment else {}
    baseline = found.baseline_revision or compared.get(BASELINE, "")
    canary = found.created_revision or compared.get(CANARY, "")
    roles = _roles(baseline, canary)
    pods = pods_of(rows)
    log = evidence.access_log
    if log is not None:
        log = renamed_log(log, {**deployments_of(rows), **pods})
    clocks = compare(answered_load, found, log)
    naming = OWN
    if answered_load is not None:
        answered_load = renamed(answered_load, pods, known_only=False)
        naming = _learned(answered_load, found, baseline, canary, clocks)
        if naming is not OWN:
            answered_load = renamed(answered_load, naming.revisions, known_only=True)
    load, named_by = _named(answered_load, log, found.canary_applied, baseline, clocks)
    if naming.revisions:
        # What tells the versions apart tells no third one: all that is not the baseline counts as the canary.
        roles = {**dict.fromkeys((name for _at, split in found.traffic for name in split), CANARY), **roles}
    cuts = phases(found, roles, load.started, load.ended) if load else []
    reported = Reported(found.generations, found.created, found.readied)
    return Facts(
        load=load,
        answered_load=answered_load,
        log=log,
        named_by=named_by,
        moments=moments,
        marks=found,
        experiment=experiments.assess(experiment) if experiment else None,
        objectives=tuple(objectives(experiment)) if experiment else (),
        service=service,
        baseline=baseline,
        canary=canary,
        compared=compared,
        phases=tuple(_count(load, cuts)) if load else (),
        problems=problems,
        stretches=tuple(phases(found, roles, load.started - _BEYOND_SECONDS, load.ended + _BEYOND_SECONDS))
        if load
        else (),
        clocks=clocks,
        causes=tuple(causes(load.ledger, rows)) if load else (),
        driver=driver,
        naming=naming,
        replaced=replaced(evidence.inferenceservice, rows),
        contradictions={
            name: tuple(contradictions(evidence.inferenceservice, experiment, rows, reported, name))
            for name in (baseline, canary)
        },
    )


def _driver(account: Mapping[str, Any] | None, found: Marks, problems: dict[str, str]) -> Mapping[str, Any]:
    """What the driver did; empty where another one drove, or, with a problem, where it is not known."""
    if not account:
        if found.driver not in (ITER8, OBSERVE):
            problems.setdefault("driver", f"there is no account of what the driver ({found.driver}) did")
        return {}
    try:
        return read_summary(account)
    except SummaryFormatError as error:
        problems["driver"] = f"the account of what the driver did cannot be read: {error}"
        return {}


def _learned(load: Load, found: Marks, baseline: str, canary: str, clocks: Clocks) -> Naming:
    """What the answers' names stand for, where the playbook said that this is to be learned."""
    before = _names_before(load, found.canary_applied, clocks.load)
    if not found.names_learned or not baseline or not canary or baseline in before:
        return OWN
    since = found.full_share(canary)
    return learn(load, baseline, canary, before, None if since is None else since + clocks.load.high)


def _rows(evidence: Evidence, load: Load | None, problems: dict[str, str]) -> list[Mapping[str, Any]]:
    rows = [row for row in evidence.observations or () if isinstance(row, Mapping)]
    why = of_another(evidence.inferenceservice, rows, load.started, load.ended) if load else ""
    if why:
        problems["observations"] = f"the observations are not this run's: {why}"
    return [] if why else rows


def _of_this_run(
    experiment: Mapping[str, Any], found: Marks, problems: dict[str, str]
) -> Mapping[str, Any] | None:
    """The Experiment, unless it is older than the run, and then no evidence of it.

    Its creationTimestamp is the API server's, in whole seconds.
    """
    created = experiments.created(experiment)
    if created is None:
        problems["experiment"] = "the Experiment does not tell when it was created"
        return None
    if found.run_began is None:
        return experiment
    offset = found.api_server or SAME
    done = found.completion
    if done is not None and created - offset.high > done.time:
        problems["experiment"] = (
            f"the Experiment was created at {utc(created)}, after the one that the timeline tells of "
            f"had ended at {utc(done.time)}"
        )
        return None
    if created - offset.high >= found.run_began:
        return experiment
    sure = created + 1 - offset.low < found.run_began
    if not sure and found.api_server is None:
        return experiment
    how = "is" if sure else "may be, for all that is known of the API server's clock,"
    began = f"which began at {utc(found.run_began)}"
    problems["experiment"] = f"the Experiment {how} older than this run: created at {utc(created)}, {began}"
    return None


def _by_roles(found: Marks, experiment: Mapping[str, Any] | None) -> Marks:
    """The marks, where the timeline has the winner by the name of its version."""
    done = found.completion
    if done is None or done.winner is None or experiment is None:
        return found
    winner = experiments.roles(experiment).get(done.winner, done.winner)
    return replace(found, completion=replace(done, winner=winner))


def _borne_out(found: Marks, service: Snapshot | None) -> Marks:
    """The marks, where the InferenceService ended with another split than the one observed last: it changed
    after the last watch, at a time that is not known."""
    reported = service is not None and service.traffic_reported
    if service is None or not reported or not found.traffic or service.traffic == found.traffic[-1][1]:
        return found
    since = found.last_observed if found.unobserved_since is None else found.unobserved_since
    return replace(found, unobserved_since=since)


def _roles(baseline: str, canary: str) -> dict[str, str]:
    return {name: role for name, role in ((canary, CANARY), (baseline, BASELINE)) if name}


def _named(
    load: Load | None, log: AccessLog | None, applied: float | None, baseline: str, clocks: Clocks
) -> tuple[Load | None, str]:
    """The load with the names that are relied on, and whose they are: the answers' own, or the log's where
    those are none, or not revisions."""
    if load is None or log is None:
        return load, ANSWERS
    before = _names_before(load, applied, clocks.load)
    if any(load.revisions) and (not before or not baseline or baseline in before):
        return named_by_answers(load, log), ANSWERS
    return named_by_log(load, log, clocks.whole_seconds), ACCESS_LOG


def _names_before(load: Load, applied: float | None, ahead: Offset) -> tuple[str, ...]:
    """The names in the seconds that surely were over when the canary was applied, by a clock that is so far
    ahead of the timeline's."""
    if applied is None:
        return ()
    before = [second for second in load.seconds if second.start + 1 - ahead.low <= applied]
    return tuple(sorted({name for second in before for name, n in second.revisions.items() if n and name}))


def _load(result: Mapping[str, Any] | None, problems: dict[str, str]) -> Load | None:
    if not result:
        return None
    try:
        return read_load(result)
    except LoadFormatError as error:
        problems["load"] = f"the load test's result cannot be read: {error}"
        return None


def _moments(lines: Sequence[Any] | None, problems: dict[str, str]) -> tuple[Moment, ...]:
    if lines is None:
        return ()
    try:
        return read_timeline(lines)
    except TimelineFormatError as error:
        problems["timeline"] = f"the timeline cannot be read: {error}"
        return ()


def _count(load: Load, cuts: list[Phase]) -> list[PhaseCount]:
    """Requests and losses by phase. Every second belongs to the phase in which its middle lies."""
    requests = [0] * len(cuts)
    failed = [0] * len(cuts)
    for second in load.seconds:
        _add(cuts, requests, second.start + 0.5, second.requests)
    for lost in load.ledger:
        _add(cuts, failed, lost.at, 1)
    return [PhaseCount(phase, n, k) for phase, n, k in zip(cuts, requests, failed)]


def _add(cuts: list[Phase], counts: list[int], time: float, count: int) -> None:
    """Add to the phase of this moment, to the first or last where it lies outside all."""
    for index, phase in enumerate(cuts):
        if time < phase.end or index == len(cuts) - 1:
            counts[index] += count
            return
