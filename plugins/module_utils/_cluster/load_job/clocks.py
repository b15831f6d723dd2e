# SPDX-License-Identifier: GPL-3.0-or-later
"""By how much the clocks of the generators' nodes are ahead of the one here, as intervals.

A generator tells what time it is where the API server connects to its pod (`pods/proxy`), which takes
milliseconds. Where that is not allowed, or a network policy is in the way, it is asked by its pod's
annotation, which its kubelet shows it, and answers in its log; that takes tenths of a second. The time that
it tells lies between the moment in which it was asked and that in which the answer was here. That bounds its
clock whatever took how long on the way; the quicker, the closer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import from_stamp

from ..client.errors import ClusterError
from ..concurrently import at_once
from .pods import Pod
from .talk import Talk

ROUNDS = 5
PROXY_ROUNDS = 5
ANSWER_SECONDS = 120.0
"""How long a kubelet may take to show an annotation: by default it looks each minute at the latest."""
_POLL_SECONDS = 0.02
_ROUNDING_SECONDS = 0.001
_LAST_LINES = 20

Interval = tuple[float, float]


def compare(
    talk: Talk, pods: Sequence[Pod], rounds: int = ROUNDS, seconds: float = ANSWER_SECONDS
) -> list[tuple[Pod, Optional[Interval], float]]:
    """Each pod as it is after being asked, its clock's offset (None where it did not answer), and the longest
    that it took to answer, in seconds. Pods of one node have one clock."""
    asked = at_once(lambda pod: _ask(talk, pod, rounds, seconds), pods)
    by_node: dict[str, list[Interval]] = {}
    for pod, bounds, _longest in asked:
        by_node.setdefault(pod.node, []).extend(bounds)
    return [(pod, together(by_node[pod.node]) if bounds else None, longest) for pod, bounds, longest in asked]


def _ask(talk: Talk, pod: Pod, rounds: int, seconds: float) -> tuple[Pod, list[Interval], float]:
    """Once at least by the annotation, which tells how long that takes."""
    bounds = _by_proxy(talk, pod)
    longest = 0.0
    for _round in range(1 if bounds else rounds):
        number = int(pod.control.get("ask") or 0) + 1
        asked = talk.wall()
        try:
            pod = talk.tell(pod, ask=number)
            reported = _answer(talk, pod, number, asked + seconds)
        except ClusterError:
            break  # its pod is gone, or the API server is: what was found until then counts
        here = talk.wall()
        if reported is None:
            break
        bounds += _bound(reported, asked, here)
        longest = max(longest, here - asked)
    return pod, bounds, longest


def _by_proxy(talk: Talk, pod: Pod) -> list[Interval]:
    bounds: list[Interval] = []
    port = (pod.control.get("start") or {}).get("port") or (talk.hear(pod).last("ready") or {}).get("port")
    try:
        # Once more than counts, so that connections are there.
        for number in range(PROXY_ROUNDS + 1):
            asked = talk.wall()
            reported = talk.time_of(pod, int(port or 0))
            here = talk.wall()
            if number:
                bounds += _bound(reported, asked, here)
    except (ClusterError, KeyError, TypeError, ValueError):
        pass  # the annotation does it, too
    return bounds


def _bound(reported: float, asked: float, here: float) -> list[Interval]:
    offset = from_stamp(reported, 0.0, asked, here)
    return [(offset.low, offset.high)] if offset is not None else []


def _answer(talk: Talk, pod: Pod, number: int, deadline: float) -> Optional[float]:
    while talk.wall() < deadline:
        for said in talk.hear(pod, _LAST_LINES).all("asked"):
            if said.get("ask") == number:
                return float(said["time"])
        talk.sleep(_POLL_SECONDS)
    return None


def together(bounds: Sequence[Interval]) -> Interval:
    """What holds in all of them; where they contradict each other, a clock was set, and all that any says."""
    low, high = max(low for low, _high in bounds), min(high for _low, high in bounds)
    if low <= high + _ROUNDING_SECONDS:
        return min(low, high), max(low, high)
    return min(low for low, _high in bounds), max(high for _low, high in bounds)
