# SPDX-License-Identifier: GPL-3.0-or-later
"""The marks of a shift: the moments of the timeline that decide, and when nothing observed the traffic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..fields import finite
from ..objects.experiment import FAILED
from ..objects.snapshot import NOT_REPORTED
from ..roles import BASELINE, CANARY, ITER8
from .intervals import Intervals
from .observed import OBSERVER, last_observed, unobserved
from .offset import Offset
from .timeline import Moment

# Each observed split, percent by revision name, with the moment from which it was observed.
Traffic = Sequence[tuple[float, Mapping[str, int]]]
_ROUTES = "httproute"
_BEGINNINGS = {("playbook", "canary_applied"), ("playbook", "change_awaited")}
_BY_TRAFFIC = "one revision has all of the traffic"


@dataclass(frozen=True)
class Completion:
    """The rollout's end as it was observed: the Experiment's, or, without one, when the last revision got all
    of the traffic for good. `winner` is a role; None where iter8 found none."""

    time: float
    winner: str | None
    failed: bool
    message: str


@dataclass(frozen=True)
class Marks:
    """The moments that matter, in seconds since the epoch; None where the timeline does not have them.

    - `driver`: who moves the traffic, as the playbook noted it; iter8 where it did not.
    - `names_learned`: whether what the answers say is to be learned, since it is no revision's name.
    - `canary_applied`: when the playbook applied the canary, or, where another does, when the
      InferenceService was first seen changed: the shift begins.
    - `load_started`, `load_stopped`: when the playbook did that, by the clock of the timeline.
    - `before_load`, `before_stop`: what was told last before each of these by the playbook, or by an observer
      as it began: the playbook goes on to the load only then.
    - `baseline_revision`: the revision that served before, as the playbook noted it; empty if it did not.
    - `created_revision`: the canary's, which is the first other revision created at or after
      `canary_applied`, or, without an Experiment, the other one that ended with all of the traffic; empty if
      none was observed.
    - `completion`: the rollout's end; an Experiment's that came before the canary was applied is another
      run's, and one is not yet the end of the shift: promotion is still to come.
    - `traffic`: each observed split, percent by revision name, with the moment from which it was observed.
    - `moving`: the intervals from when the spec asked for another split to when the status told it. The
      gateway follows within them, seconds before the status where the control plane is busy.
    - `shift_ended`: when one revision, whichever, got all the traffic for good, at or after the rollout's
      end.
    - `unobserved`: the intervals in which nothing watched the InferenceService; the traffic may have changed
      at any moment of them.
    - `unobserved_since`: from then on nothing bears out the split that was observed last.
    - `last_observed`: the last observation of the InferenceService; `canary_applied` if none came after it.
    - `stopped`: the event with which the playbook says what error cut the run short.
    - `run_began`: when the load or an observer began, whichever was first.
    - `api_server`: how far the API server's clock is ahead of the timeline's, as the observer told last.
    - `ends`: how the Experiment was seen to end since the canary was applied, each way once; it ends once.
    - `iterations`: the most that the Experiment was seen to have completed since the canary was applied.
    - `generations`: those of the InferenceService's specification that were observed, in order.
    - `created`, `readied`: the revisions that were the latest created, and the latest ready ones, in order,
      as an observer told and as the waits did; until the load was stopped.
    - `baselines`: all that the playbook noted; of one rollout there is one.
    - `failed_handlers`, `deletions`: the events that tell of a failed handler Job and of a deleted object,
      during the rollout: an Experiment before it is another run's, and after the load all may be removed.
    """

    driver: str = ITER8
    names_learned: bool = False
    canary_applied: float | None = None
    load_started: float | None = None
    load_stopped: float | None = None
    before_load: float | None = None
    before_stop: float | None = None
    baseline_revision: str = ""
    created_revision: str = ""
    completion: Completion | None = None
    traffic: tuple[tuple[float, Mapping[str, int]], ...] = ()
    moving: Intervals = Intervals()
    shift_ended: float | None = None
    unobserved: Intervals = Intervals()
    unobserved_since: float | None = None
    last_observed: float | None = None
    stopped: Moment | None = None
    run_began: float | None = None
    api_server: Offset | None = None
    ends: tuple[str, ...] = ()
    iterations: int = 0
    generations: tuple[int, ...] = ()
    created: tuple[tuple[str, ...], ...] = ()
    readied: tuple[tuple[str, ...], ...] = ()
    baselines: tuple[str, ...] = ()
    failed_handlers: tuple[Moment, ...] = ()
    deletions: tuple[Moment, ...] = ()

    @property
    def uneven(self) -> list[tuple[float, int]]:
        """The splits that are none of the whole: from when, and how many percent they have."""
        sums = [(time, sum(split.values())) for time, split in self.traffic if split]
        return [(time, total) for time, total in sums if total != 100]

    @property
    def changed_nothing(self) -> bool:
        """Whether the run was stopped before it changed anything."""
        applied = self.canary_applied
        return self.stopped is not None and (applied is None or self.stopped.time < applied)

    def full_share(self, revision: str) -> float | None:
        """From when on this revision had all the traffic until the end, at or after the rollout's end."""
        if not self.traffic or self.traffic[-1][1] != {revision: 100}:
            return None
        return self.shift_ended

    def unobserved_until(self, end: float) -> Intervals:
        """All the intervals in which the traffic may have changed unobserved, where the last, if it is open,
        ends with the load."""
        since = self.unobserved_since
        return self.unobserved if since is None else self.unobserved.union([(since, end)])


def marks(moments: Iterable[Moment]) -> Marks:
    """The moments that matter, from the events in any order."""
    ordered = sorted(moments, key=lambda m: m.time)
    begun = _first(ordered, "playbook", "canary_applied") or _first(ordered, "playbook", "change_awaited")
    driver = str(begun.data.get("driver") or ITER8) if begun else ITER8
    started = _first(ordered, "playbook", "load_started")
    stopped = _first(ordered, "playbook", "load_stopped")
    start = _start(ordered, begun)
    name = str(begun.data.get("baseline") or "") if begun else ""
    since = unobserved(ordered, start)
    traffic = tuple(
        (m.time, _percents(m.data.get("traffic"))) for m in _all(ordered, "inferenceservice", "traffic")
    )
    own = driver == ITER8
    completion = _completion(ordered, start) if own else _end(ordered, traffic, start, name)
    return Marks(
        driver=driver,
        names_learned=_first(ordered, "playbook", "names_learned") is not None,
        canary_applied=start,
        load_started=started.time if started else None,
        load_stopped=stopped.time if stopped else None,
        before_load=_before(ordered, started),
        before_stop=_before(ordered, stopped),
        baseline_revision=name,
        created_revision=_created(ordered, start, name, completion, traffic),
        completion=completion,
        traffic=traffic,
        moving=Intervals(_moving(ordered, traffic, name)),
        shift_ended=_shift_ended(traffic, completion.time) if completion else None,
        unobserved=since.intervals,
        unobserved_since=since.since,
        last_observed=last_observed(ordered, start),
        stopped=_first(ordered, "playbook", "stopped"),
        run_began=min(
            (
                m.time
                for m in ordered
                if (m.source, m.event) in {("playbook", "load_started"), ("observer", "started")}
            ),
            default=None,
        ),
        api_server=_api_server(ordered),
        ends=tuple(dict.fromkeys(_ends(ordered, start))),
        iterations=_iterations(ordered, start),
        generations=tuple(
            m.data["generation"]
            for m in _all(ordered, "inferenceservice", "changed")
            if type(m.data.get("generation")) is int
        ),
        created=_latest(ordered, "revision_created", stopped),
        readied=_latest(ordered, "revision_ready", stopped),
        baselines=tuple(
            dict.fromkeys(
                str(m.data["baseline"])
                for m in ordered
                if (m.source, m.event) in _BEGINNINGS and m.data.get("baseline")
            )
        ),
        failed_handlers=tuple(
            m
            for m in _all(ordered, "experiment", "handler")
            if str(m.data.get("status")).lower() == "failed" and (start is None or m.time >= start)
        ),
        deletions=tuple(_deletions(ordered, start, stopped)),
    )


def routes_unseen(found: Marks, rows: Iterable[Mapping[str, Any]]) -> Marks:
    """The marks of a rollout in Standard mode, whose traffic stands in its HTTPRoutes: what the observer did
    not see of those it tells in its rows alone."""
    start, parts, since = found.canary_applied, [], []
    for row in rows:
        begin, end, at = (finite(row.get(key)) for key in ("from", "to", "time"))
        if start is None or row.get("feed") != _ROUTES or row.get("unchanged") is True:
            continue
        if row.get("type") == "unobserved" and begin is not None and end is not None:
            parts.append((max(begin, start), end))
        elif row.get("type") == "refused" and at is not None:
            since.append(max(at, start))
    since += [found.unobserved_since] if found.unobserved_since is not None else []
    unobserved = found.unobserved.union(parts)
    return replace(found, unobserved=unobserved, unobserved_since=min(since, default=None))


def _all(moments: Iterable[Moment], source: str, event: str) -> list[Moment]:
    return [m for m in moments if (m.source, m.event) == (source, event)]


def _first(moments: Iterable[Moment], source: str, event: str) -> Moment | None:
    return next(iter(_all(moments, source, event)), None)


def _before(ordered: Sequence[Moment], mark: Moment | None) -> float | None:
    """The last moment before this mark at which the host of the playbook is known to have come so far."""
    told = ordered[: ordered.index(mark)] if mark is not None else []
    own = (m.time for m in told if m.source == "playbook" or (m.source, m.event) == (OBSERVER, "started"))
    return max(own, default=None)


def _deletions(ordered: Iterable[Moment], start: float | None, stopped: Moment | None) -> Iterator[Moment]:
    for moment in ordered:
        if moment.event != "deleted" or (stopped is not None and moment.time > stopped.time):
            continue
        if (
            moment.source == "inferenceservice"
            or moment.source == "experiment"
            and (start is None or moment.time >= start)
        ):
            yield moment


def _revision(moment: Moment) -> str:
    return str(moment.data.get("revision") or "")


def _latest(ordered: Iterable[Moment], event: str, stopped: Moment | None) -> tuple[tuple[str, ...], ...]:
    """One watch may be behind another, so each has an order of its own."""
    found: dict[bool, list[str]] = {}
    for moment in _all(ordered, "inferenceservice", event):
        if _revision(moment) and (stopped is None or moment.time <= stopped.time):
            found.setdefault(bool(moment.resource_version), []).append(_revision(moment))
    return tuple(map(tuple, found.values()))


def _percents(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): percent for name, percent in value.items() if isinstance(percent, int) and percent > 0}


def _moving(ordered: Sequence[Moment], traffic: Traffic, baseline: str) -> Iterator[tuple[float, float]]:
    """From each first change that asked for another share of the canary than it had, to the next split."""
    changes = [m for m in _all(ordered, "inferenceservice", "changed") if type(m.data.get("asks")) is int]
    for (since, before), (until, _after) in zip(traffic, traffic[1:]):
        had = sum(percent for name, percent in before.items() if name != baseline)
        asked = [m.time for m in changes if since <= m.time < until and m.data["asks"] != had]
        if asked:
            yield asked[0], until


def _start(ordered: Sequence[Moment], begun: Moment | None) -> float | None:
    """When the playbook applied the canary, or when somebody else was first seen to change something."""
    if begun is None or begun.event == "canary_applied":
        return begun.time if begun else None
    changed = _first(ordered, "inferenceservice", "changed")
    return changed.time if changed else None


def _created(
    ordered: Iterable[Moment],
    applied: float | None,
    baseline: str,
    completion: Completion | None,
    traffic: Traffic,
) -> str:
    """The revision that applying the canary made; of several that a rollout without an Experiment made, the
    one that it ended with."""
    if completion is not None and completion.message == _BY_TRAFFIC and completion.winner == CANARY:
        return next(iter(traffic[-1][1]))
    for moment in _all(ordered, "inferenceservice", "revision_created"):
        if applied is not None and moment.time >= applied and _revision(moment) != baseline:
            return _revision(moment)
    return ""


def _completion(ordered: Sequence[Moment], start: float | None) -> Completion | None:
    """The Experiment's end."""
    moment = _first([m for m in ordered if start is None or m.time >= start], "experiment", "completed")
    if moment is None:
        return None
    winner = moment.data.get("winner")
    return Completion(
        time=moment.time,
        winner=winner if isinstance(winner, str) else None,
        failed=moment.data.get("failed") is True,
        message=str(moment.data.get("message") or moment.text),
    )


def _ends(ordered: Iterable[Moment], start: float | None) -> Iterator[str]:
    for moment in ordered:
        data = moment.data
        if moment.source != "experiment" or (start is not None and moment.time < start):
            continue
        if moment.event == "completed":
            yield "a failure" if data.get("failed") is True else f"{data.get('winner') or 'nobody'} as winner"
        elif moment.event == "condition" and data.get("type") in FAILED and data.get("status") == "True":
            yield "a failure"


def _end(
    ordered: Sequence[Moment], traffic: Traffic, start: float | None, baseline: str
) -> Completion | None:
    """The end of a rollout without an Experiment: since when one revision has all of the traffic.

    Where the traffic never moved, it is when the playbook found that it was over.
    """
    if start is None or not traffic or not baseline:
        return None
    since = _shift_ended(traffic, start)
    if since is None or NOT_REPORTED in traffic[-1][1]:
        return None
    if since == start:
        ended = _first(ordered, "playbook", "rollout_ended")
        if ended is None:
            return None
        since = ended.time
    winner = BASELINE if baseline in traffic[-1][1] else CANARY
    return Completion(time=since, winner=winner, failed=False, message=_BY_TRAFFIC)


def _shift_ended(traffic: Traffic, completed: float) -> float | None:
    """Traffic that goes back and comes again has ended nothing, so the last time counts."""
    if not traffic or list(traffic[-1][1].values()) != [100]:
        return None
    since = traffic[-1][0]
    for time, split in reversed(traffic):
        if split != traffic[-1][1]:
            break
        since = time
    return max(since, completed)


def _api_server(ordered: Iterable[Moment]) -> Offset | None:
    """The observer's estimate gets better, or wider where a clock was set: the last one counts."""
    found: Offset | None = None
    for moment in _all(ordered, "observer", "clock"):
        low, high = finite(moment.data.get("low")), finite(moment.data.get("high"))
        if moment.data.get("whose") != "api_server":
            continue
        if low is not None and high is not None and low <= high:
            found = Offset(low, high)
    return found


def _iterations(ordered: Iterable[Moment], applied: float | None) -> int:
    iterations = [
        m.data.get("iteration")
        for m in _all(ordered, "experiment", "iteration")
        if applied is None or m.time >= applied
    ]
    return max((n for n in iterations if isinstance(n, int)), default=0)
