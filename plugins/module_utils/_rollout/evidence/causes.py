# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened around each window of losses, from what the observer saw: around it, not because of it.

A window is a run of losses with no more than a second between two sends. What happened is read from the
observations: pods that end, restart or are no longer ready, traffic that moves, revisions that are not ready
when it does, warnings about any of these, and nodes. The nearest comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..fields import is_moment
from ..messages import elapsed
from ..objects import pod
from ..objects.snapshot import spell
from ..objects.tree import mapping, text
from ..objects.view import View
from .load import Lost

APART_SECONDS = 1.0
BEFORE_SECONDS = 30.0
"""How long before a window something may have happened to be told with it: a pod's grace, a slow answer."""
AFTER_SECONDS = 5.0
"""Statuses are written after the fact."""
MOST = 8
MOST_ALIKE = 3
"""Of one kind, so that moves of the traffic, of which there are many, do not crowd out a pod's end."""
MOST_WINDOWS = 50
# What a pod does when all is well is around no loss.
_QUIET = "ready"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Happening:
    """Something that was seen at `time` (epoch seconds); `revision` is empty where it is about none."""

    time: float
    what: str
    kind: str
    revision: str = ""


@dataclass(frozen=True)
class LossWindow:
    """Losses that were sent from `begin` to `end`, epoch seconds."""

    begin: float
    end: float
    lost: tuple[Lost, ...]

    @property
    def revisions(self) -> list[str]:
        """Who was asked, as far as it is known."""
        return sorted({each.revision for each in self.lost if each.revision})


def causes(ledger: Sequence[Lost], observations: Iterable[Row]) -> list[dict[str, Any]]:
    """For each window of losses what happened around it, nearest first, as verdict.json has it.

    `seconds` of each happening is its distance from the window: negative before it, 0 within, positive after.
    """
    seen = sorted(happenings(observations), key=lambda each: each.time)
    return [_cause(window, seen) for window in windows(ledger)[:MOST_WINDOWS]]


def windows(ledger: Sequence[Lost]) -> list[LossWindow]:
    """The losses, in the order in which they were sent, cut where none was for more than a second."""
    found: list[list[Lost]] = []
    for lost in sorted(ledger, key=lambda each: each.at):
        if found and lost.at - found[-1][-1].at <= APART_SECONDS:
            found[-1].append(lost)
        else:
            found.append([lost])
    return [LossWindow(group[0].at, group[-1].at, tuple(group)) for group in found]


def _cause(window: LossWindow, seen: Sequence[Happening]) -> dict[str, Any]:
    near = [
        (distance, each)
        for each in seen
        if -BEFORE_SECONDS <= (distance := _distance(each.time, window)) <= AFTER_SECONDS
        and (not each.revision or not window.revisions or each.revision in window.revisions)
    ]
    near.sort(key=lambda pair: (abs(pair[0]), pair[1].time))
    flags = Counter(each.flags for each in window.lost if each.flags)
    return {
        "from": window.begin,
        "to": window.end,
        "lost": len(window.lost),
        "classes": dict(Counter(each.label for each in window.lost)),
        "revisions": window.revisions,
        "flags": dict(flags.most_common()),
        "around": [{**asdict(each), "seconds": round(distance, 3)} for distance, each in _varied(near)],
    }


def _varied(near: Sequence[tuple[float, Happening]]) -> list[tuple[float, Happening]]:
    """The first of them, few of each kind."""
    alike: Counter[str] = Counter()
    chosen = []
    for distance, each in near:
        alike[each.kind] += 1
        if alike[each.kind] <= MOST_ALIKE:
            chosen.append((distance, each))
    return chosen[:MOST]


def _distance(time: float, window: LossWindow) -> float:
    if time < window.begin:
        return time - window.begin
    return max(0.0, time - window.end)


def sentence(cause: Mapping[str, Any]) -> str:
    """A cause in words: how many were lost, and what happened around it."""
    around = [f"{each['what']} ({_when(each['seconds'])})" for each in cause["around"][:3]]
    flags = ", ".join(cause["flags"])
    shown = [*around, *([f"the gateway's flags: {flags}"] if flags else [])]
    if not shown:
        return f"{cause['lost']} lost: nothing was seen to happen around it"
    return f"{cause['lost']} lost, around: {'; '.join(shown)}"


def _when(distance: float) -> str:
    if distance == 0:
        return "meanwhile"
    return f"{elapsed(abs(distance))} {'before' if distance < 0 else 'after'}"


def happenings(observations: Iterable[Row]) -> Iterator[Happening]:
    """What the observer saw happen, in the order of its rows."""
    last: dict[tuple[str, str], Row] = {}
    view, traffic = View(), None
    for row in observations:
        at, obj = row.get("time"), mapping(row, "object")
        if at is None or not is_moment(at) or not obj:
            continue
        key = (text(obj, "kind"), text(mapping(obj, "metadata"), "name"))
        previous = last.get(key)
        gone = row.get("type") == "deleted"
        for event in view.take(obj, gone):
            if event.event == "traffic":
                if traffic is not None:
                    yield from _traffic(float(at), traffic, event.data["traffic"], last)
                traffic = event.data["traffic"]
        # What was found so when the observer came may have happened long before.
        if row.get("listed") is not True:
            yield from _happened(float(at), key, previous, None if gone else obj)
        if gone:
            last.pop(key, None)
        else:
            last[key] = obj


def _happened(
    at: float,
    key: tuple[str, str],
    previous: Row | None,
    current: Row | None,
) -> Iterator[Happening]:
    kind, name = key
    if kind == "Pod":
        for event in pod.transitions(previous, current):
            if event.event != _QUIET:
                yield Happening(at, f"pod {event.text}", event.event, str(event.data.get("revision", "")))
    elif kind == "Event" and current is not None and text(current, "type") == "Warning":
        about = mapping(current, "involvedObject")
        said = ": ".join(filter(None, (text(current, "reason"), text(current, "message"))))
        what = f"{text(about, 'kind')} {text(about, 'name')}: {said}"
        yield Happening(at, what, "node" if text(about, "kind") == "Node" else "warning")
    elif kind == "HTTPRoute" and previous is not None and current is not None:
        if mapping(previous, "spec") == mapping(current, "spec"):
            return
        yield Happening(at, f"HTTPRoute {name} was rewritten", "route")


def _traffic(
    at: float, before: Mapping[str, int], now: Mapping[str, int], known: Mapping[tuple[str, str], Row]
) -> Iterator[Happening]:
    yield Happening(at, f"traffic moved: {spell(now)}", "traffic")
    for name, percent in sorted(now.items()):
        if percent > before.get(name, 0) and name and not _any_ready(name, known):
            yield Happening(at, f"{name} got {percent} % while no pod of it was ready", "not_ready", name)


def _any_ready(revision: str, known: Mapping[tuple[str, str], Row]) -> bool:
    """Whether a pod of the revision was ready; also where its pods were never seen, which proves nothing."""
    own = [obj for (kind, _name), obj in known.items() if kind == "Pod" and pod.revision_of(obj) == revision]
    return not own or any(pod.is_ready(each) for each in own)
