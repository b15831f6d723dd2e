# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a load's generators, as far as they can be had; what happened to the others is named.

A result comes by the pod's log. It counts if it came whole; if it did not, it is said again. Of a generator
that died there is what it had told of itself before, where its log still is.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod import heard
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.lines import Log
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.generators import GeneratorResult

from ..client.api import Json
from ..client.errors import ClusterError, Unreachable
from . import clocks
from .pods import GONE, Pod
from .run import LoadRun

_POLL_SECONDS = 0.5
_LAST_LINES = 5
_TIMES = 3  # that a result is asked for again
_ROUNDS = 3
_ANSWER_SECONDS = 30.0  # what is not answered by then is not waited for: the load is over


@dataclass
class PodPart:
    """What is known of one generator: its pod as it is last, its result, and what is wrong."""

    pod: Optional[Pod]
    result: Optional[dict[str, Any]] = None
    problem: str = ""
    done: bool = False
    asked_again: int = 0


class Collection:
    """Gets the result of each generator of a load."""

    def __init__(self, run: LoadRun, job: Json) -> None:
        self._run = run
        self._job = job
        self._talk = run.talk
        self.parts = [PodPart(pod) for pod in run.talk.pods(job)]

    @property
    def running(self) -> list[Pod]:
        """The pods whose generators were not told to stop, and could still be."""
        pods = [part.pod for part in self.parts]
        return [pod for pod in pods if pod is not None and not pod.over and not pod.control.get("stop")]

    def stop(self) -> None:
        """Tell all that send to stop; what they have sent is waited for by them."""
        for part in self.parts:
            if part.pod is not None and part.pod in self.running:
                self._tell(part, stop=True)

    def collect(self, seconds: Optional[float]) -> None:
        """Wait until each has said its result, or cannot any more; at most so long (None: for ever)."""
        deadline = None if seconds is None else self._run.clock.now() + seconds
        while True:
            pods = self._pods()
            for index, part in enumerate(self.parts):
                if not part.done:
                    self._look(part, pods[index] if pods is not None else part.pod)
            if all(part.done for part in self.parts):
                return
            if deadline is not None and self._run.clock.now() >= deadline:
                break
            self._run.clock.sleep(_POLL_SECONDS)
        for part in self.parts:
            if not part.done:
                self._bury(part, f"it did not say its result within {seconds:.0f} s")

    def compare_clocks(self) -> None:
        """Once more, now that the load is over: of those that can still answer."""
        alive = [part for part in self.parts if part.result is not None and _can_answer(part.pod)]
        if not alive:
            return
        pods = [part.pod for part in alive if part.pod is not None]
        asked = clocks.compare(self._talk, pods, _ROUNDS, _ANSWER_SECONDS)
        for part, (pod, bounds, _longest) in zip(alive, asked):
            part.pod = pod
            if bounds is not None:
                self._tell(part, after=list(bounds))

    def release(self) -> None:
        """Tell those that are still there that all was heard: they end."""
        for part in self.parts:
            if _can_answer(part.pod):
                self._tell(part, done=True)

    def generators(self) -> list[GeneratorResult]:
        """As they are put together."""
        return [
            GeneratorResult(
                name=self._talk.generator(index),
                index=index,
                read=functools.partial(_given, part.result),
                clock=_clock(part.pod),
                problem=part.problem,
            )
            for index, part in enumerate(self.parts)
        ]

    def _pods(self) -> Optional[list[Optional[Pod]]]:
        try:
            return self._talk.pods(self._job)
        except Unreachable:
            return None

    def _tell(self, part: PodPart, **told: Any) -> None:
        """One that cannot be told any more is seen for what it is at the next look."""
        with contextlib.suppress(ClusterError):
            if part.pod is not None:
                part.pod = self._talk.tell(part.pod, **told)

    def _look(self, part: PodPart, pod: Optional[Pod]) -> None:
        if pod is None or part.pod is None or pod.uid != part.pod.uid:
            self._bury(part, part.pod.problem or GONE if part.pod is not None else GONE)
            return
        part.pod = pod
        if not pod.control.get("start"):
            if pod.over or pod.control.get("stop"):
                self._bury(part, pod.problem or "it was never told to begin")
            return
        try:
            ended = self._talk.hear(pod, _LAST_LINES).last("ended")
            if ended is None and not pod.over:
                return
            log = self._talk.hear(pod)
        except Unreachable as error:
            # The API server may come back; a node that is gone does not.
            part.problem = f"its log cannot be read: {error}"
            return
        self._take(part, pod, log, ended)

    def _take(self, part: PodPart, pod: Pod, log: Log, ended: Optional[Mapping[str, Any]]) -> None:
        found = heard.result(log)
        if found is not None:
            part.result, part.problem, part.done = found, "", True
            if not pod.control.get("stop") and (log.last("ended") or {}).get("terminated"):
                # It says itself that it was stopped, but by whom it cannot know.
                found["LoadTest"]["state"] = heard.INTERRUPTED
                part.problem = pod.problem or "its pod was ended by somebody else"
        elif pod.over:
            said = (log.last("failed") or {}).get("problem")
            self._bury(part, pod.problem or said or "its result did not come whole", log)
        elif part.asked_again < _TIMES and ended is not None:
            part.asked_again += 1
            self._tell(part, again=int(ended["number"]) + 1)
        elif part.asked_again:
            number = int(ended["number"]) if ended is not None else 0
            if number >= int(pod.control.get("again") or 0):
                self._bury(part, "its result did not come whole, however often it was said", log)

    def _bury(self, part: PodPart, problem: str, log: Optional[Log] = None) -> None:
        """It has ended without a result: what it had told of itself is kept."""
        if log is None:
            log = Log()
            with contextlib.suppress(ClusterError):
                log = self._talk.hear(part.pod) if part.pod is not None else log
        said = (log.last("failed") or {}).get("problem")
        part.result = heard.result(log) or heard.remains(log)
        part.problem, part.done = (f"{problem}: {said}" if said and said not in problem else problem), True


def _can_answer(pod: Optional[Pod]) -> bool:
    return pod is not None and not pod.over and not pod.control.get("done")


def _given(result: Optional[dict[str, Any]]) -> Optional[dict[str, Any]]:
    return result


def _clock(pod: Optional[Pod]) -> Optional[clocks.Interval]:
    """What holds both comparisons of its node's clock; None where there is none."""
    if pod is None:
        return None
    found = [(pod.control.get("start") or {}).get("offset"), pod.control.get("after")]
    bounds = [(float(each[0]), float(each[1])) for each in found if each]
    return (min(low for low, _high in bounds), max(high for _low, high in bounds)) if bounds else None
