# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rollout is: all that another driver needs to go on from here, on whatever machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..gates.halves import Marks
from ..gates.judge import GateProgress
from ..gates.window import Counted
from .seen import Start

FORWARD, BACK = "forward", "back"
PROMOTED, ROLLED_BACK, ABANDONED = "promoted", "rolled_back", "abandoned"
# What a person may ask of a rollout that another terminal drives.
PAUSED, RESUMED, PROMOTE, ABORT = "paused", "resumed", "promoted", "aborted"


@dataclass(frozen=True)
class RolloutState:
    """Times are seconds since the epoch.

    - `move` is the index of the present move on the present track; `furthest` that of the last one on the way
      forward whose patch may have been sent: it is noted before.
    - `begun` is when the present move was begun; `sent` is whether its patch is known to be in place, and
      `generation` that of the InferenceService then: with another one somebody else has changed it.
    - `seen_since` is since when its split has been seen without a break, `reached` when that had lasted long
      enough, `since` what the load had counted when its evidence began, and `marks` where its later half may
      begin.
    - `canary` is the revision's name once it is known.
    - `gates` are their progress within the present step.
    - `paused` is a person's wish, `hold` why the driver itself does not go on; `waived` is whether a person
      has said that the gates no longer count, `approved` that a pause is over. The deadline counts from
      `counts_from`, which moves on while it stands still.
      `stopped_at` is when it stood still for either.
    - `cause` is why it goes back, `baseline_there` whether the old revision was there when it turned back.
      `outcome` ends it.
    - `playbook` is whose rollout it is, until that has been told of its end.
    - `handled` is the id of the last request of a person that was taken up.
    - `history` tells what was done and decided, for the verdict.
    """

    start: Start
    started: float
    counts_from: float
    track: str = FORWARD
    move: int = 0
    furthest: int = -1
    begun: float | None = None
    sent: bool = False
    generation: int = 0
    seen_since: float | None = None
    reached: float | None = None
    since: Counted | None = None
    marks: Marks = ()
    canary: str = ""
    gates: Mapping[str, GateProgress] = field(default_factory=dict)
    paused: bool = False
    hold: str = ""
    waived: bool = False
    approved: bool = False
    stopped_at: float | None = None
    baseline_there: bool | None = None
    cause: str = ""
    outcome: str = ""
    handled: str = ""
    playbook: str = ""
    history: tuple[Mapping[str, Any], ...] = ()

    def noting(self, now: float, what: str, **more: Any) -> RolloutState:
        """With one more line of its history."""
        return replace(self, history=(*self.history, {"at": round(now, 3), "what": what, **more}))

    def to_json(self) -> dict[str, Any]:
        """As the cluster keeps it."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "start": self.start.to_json(),
            "since": self.since.to_json() if self.since else None,
            "marks": [mark.to_json() for mark in self.marks],
            "gates": {name: one.to_json() for name, one in self.gates.items()},
            "history": list(self.history),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RolloutState:
        """The reverse of `to_json`. Raises KeyError, TypeError or ValueError for what is none."""
        return cls(
            **{name: data[name] for name in _PLAIN},
            start=Start.from_json(data["start"]),
            since=Counted.from_json(data["since"]) if data.get("since") else None,
            marks=tuple(Counted.from_json(mark) for mark in data["marks"]),
            gates={name: GateProgress.from_json(one) for name, one in data["gates"].items()},
            history=tuple(data["history"]),
        )


_PLAIN = (
    "started", "counts_from", "track", "move", "furthest", "begun", "sent", "generation", "seen_since",
    "reached", "canary", "paused", "hold", "waived", "approved", "stopped_at", "baseline_there", "cause",
    "outcome", "handled", "playbook",
)  # fmt: skip
