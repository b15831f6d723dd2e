# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a pod and its containers, and how it changes. Pure; times are seconds since the epoch.

The states of a container, each written by the method of `ContainerFacts` that the transition is named after:

    Waiting     refused      Waiting     the pod asks for what the sandbox does not offer: see `supported`
    Waiting     named        Waiting     its process, about to be started, has a name that the next node finds
    Waiting     started      Running     ready at once, unless a readiness probe has to say so
    Waiting     not_started  Terminated  no such program: StartError
    Waiting     lost         Terminated  a node that was killed had started it, and nobody saw its end
    Running     probed       Running     the readiness probe says so
    Running     ended        Terminated  Completed or Error, with its exit code
    Running     lost         Terminated  nobody saw its end: ContainerStatusUnknown
    Terminated  again        Waiting     it is to run again: at once, or in CrashLoopBackOff
    Waiting     pause_over   Waiting     the time of its CrashLoopBackOff is over

TRANSITIONS is that table; whatever is not in it is a fault of the node.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Mapping, Optional, Union

Json = dict[str, Any]

_BACK_OFF_FIRST = 10.0
_BACK_OFF_LONGEST = 300.0
_BACK_OFF_RESET = 600.0

CREATING = "ContainerCreating"
BACK_OFF = "CrashLoopBackOff"

# What the kubelet writes for a container whose end it did not see, and for one that could not be started.
_LOST_EXIT_CODE = 137
_LOST_REASON = "ContainerStatusUnknown"
_LOST_MESSAGE = "The process ended while nobody was there to learn its exit code."
_START_ERROR_CODE = 128


def restarts_after(policy: str, exit_code: int) -> bool:
    """Whether a pod's restartPolicy (Always, OnFailure, Never) starts a container again after `exit_code`."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def pause_after(last_pause: float, ran_seconds: float) -> float:
    """The pause in seconds before the next run: none the first time, then 10 s doubling to 5 min.

    `last_pause` is negative before the first. A run of 10 min or longer begins the count anew.
    """
    if last_pause < 0 or ran_seconds >= _BACK_OFF_RESET:
        return 0.0
    return min(last_pause * 2, _BACK_OFF_LONGEST) if last_pause else _BACK_OFF_FIRST


@dataclass(frozen=True)
class Waiting:
    """Not started, and why. `reason` is one word."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Started at `started_at`."""

    started_at: float


@dataclass(frozen=True)
class Terminated:
    """Ended. A signal's exit code is 128 + its number."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    message: str = ""


State = Union[Waiting, Running, Terminated]
_STATES: dict[str, type[State]] = {"waiting": Waiting, "running": Running, "terminated": Terminated}

TRANSITIONS: dict[tuple[type[State], str], type[State]] = {
    (Waiting, "refused"): Waiting,
    (Waiting, "named"): Waiting,
    (Waiting, "started"): Running,
    (Waiting, "not_started"): Terminated,
    (Waiting, "lost"): Terminated,
    (Running, "probed"): Running,
    (Running, "ended"): Terminated,
    (Running, "lost"): Terminated,
    (Terminated, "again"): Waiting,
    (Waiting, "pause_over"): Waiting,
}


@dataclass(frozen=True)
class ContainerFacts:
    """What is known of one container.

    last: how the run before ended. restarts: how many runs there were before the one that `state` is of (in
    CrashLoopBackOff: before the one that failed). process: the id of its process's record. pause: the last
    back-off in seconds, negative before the first.
    """

    state: State = Waiting(CREATING)
    last: Optional[Terminated] = None
    restarts: int = 0
    ready: bool = False
    process: str = ""
    pause: float = -1.0

    # -- the transitions --

    def refused(self, reason: str, message: str) -> ContainerFacts:
        """It is not started, for a reason that lies in the pod's spec."""
        return self._moved("refused", Waiting(reason, message))

    def named(self, process: str) -> ContainerFacts:
        """Its process is about to be started under this id."""
        return self._moved("named", Waiting(CREATING), process=process)

    def started(self, now: float, ready: bool) -> ContainerFacts:
        """Its process runs."""
        return self._moved("started", Running(now), ready=ready)

    def not_started(self, message: str, now: float) -> ContainerFacts:
        """Its process could not be started."""
        return self._moved("not_started", Terminated(_START_ERROR_CODE, "StartError", now, now, message))

    def probed(self, ready: bool) -> ContainerFacts:
        """Its readiness probe has spoken."""
        return self._moved("probed", self.state, ready=ready)

    def ended(self, exit_code: Optional[int], now: float) -> ContainerFacts:
        """Its process has ended; None: only its parent, a node before this one, could learn the code."""
        if exit_code is None:
            return self.lost(now)
        reason = "Completed" if exit_code == 0 else "Error"
        return self._moved("ended", Terminated(exit_code, reason, self._began(now), now))

    def lost(self, now: float) -> ContainerFacts:
        """Its process has ended, and nobody knows how."""
        ended = Terminated(_LOST_EXIT_CODE, _LOST_REASON, self._began(now), now, _LOST_MESSAGE)
        return self._moved("lost", ended)

    def again(self, whom: str) -> ContainerFacts:
        """It ended and is to run again, after the back-off's time. `whom` names it in the text."""
        if not isinstance(self.state, Terminated):
            raise RuntimeError(f"{whom} has not ended.")
        ended = self.state
        pause = pause_after(self.pause, ended.finished_at - ended.started_at)
        if pause:
            text = f"back-off {pause:g}s restarting failed {whom}"
            return self._moved("again", Waiting(BACK_OFF, text), last=ended, pause=pause)
        return self._moved("again", Waiting(CREATING), last=ended, pause=pause, restarts=self.restarts + 1)

    def pause_over(self) -> ContainerFacts:
        """It has waited long enough."""
        return self._moved("pause_over", Waiting(CREATING), restarts=self.restarts + 1)

    def _moved(self, event: str, state: State, ready: bool = False, **changes: Any) -> ContainerFacts:
        if TRANSITIONS.get((type(self.state), event)) is not type(state):
            raise RuntimeError(f"{event} is nothing that can happen to a container in {self.state}.")
        return replace(self, state=state, ready=ready, **changes)

    def _began(self, now: float) -> float:
        return self.state.started_at if isinstance(self.state, Running) else now

    # -- what follows from them --

    @property
    def pausing_until(self) -> Optional[float]:
        """When its CrashLoopBackOff is over; None if it is in none."""
        if isinstance(self.state, Waiting) and self.state.reason == BACK_OFF and self.last is not None:
            return self.last.finished_at + self.pause
        return None

    def over(self, policy: str) -> bool:
        """Whether it has ended, and the pod's restartPolicy does not start it again."""
        return isinstance(self.state, Terminated) and not restarts_after(policy, self.state.exit_code)

    # -- on disk --

    def to_json(self) -> Json:
        """For keeping on disk."""
        kind = next(name for name, cls in _STATES.items() if isinstance(self.state, cls))
        return {**asdict(self), "kind": kind}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> ContainerFacts:
        """The inverse of to_json."""
        rest = {key: value for key, value in kept.items() if key != "kind"}
        rest["state"] = _STATES[kept["kind"]](**kept["state"])
        rest["last"] = Terminated(**kept["last"]) if kept["last"] else None
        return cls(**rest)


@dataclass
class PodFacts:
    """What is known of one pod."""

    address: str
    host_address: str
    start_time: float
    containers: dict[str, ContainerFacts] = field(default_factory=dict)
    terminating: bool = False
