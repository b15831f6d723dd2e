# SPDX-License-Identifier: GPL-3.0-or-later
"""The moves of a rollout: each a patch, and the split that it is to bring about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .plan import Plan
from .seen import Seen, Start


@dataclass(frozen=True)
class Move:
    """`patch` is a merge patch of the InferenceService; `percent` the canary's share once it took effect.

    `step` is the index of the plan's step whose gates are asked before the next move, None where there is
    none. With `promotes` the canary is the latest rolled-out version afterwards. `text` says what is done.
    """

    name: str
    text: str
    patch: Mapping[str, Any]
    percent: int
    step: int | None = None
    promotes: bool = False


@dataclass(frozen=True)
class Missing:
    """Why a move has not taken effect yet; `for_good` where no waiting mends it."""

    why: str
    for_good: bool = False


def first_whole(forward: Sequence[Move]) -> int:
    """The number of the move that gives the canary everything: never the first, and not always the last."""
    return next(number for number, move in enumerate(forward) if move.percent == 100)


class Mode(Protocol):
    """How a split is changed in one of KServe's deployment modes, so that nothing is lost."""

    def start(self, plan: Plan, seen: Seen, earlier: Start | None) -> Start:
        """What is there now. The rollout must not have been refused. `earlier` is what a rollout
        started from that was rolled back."""

    def forward(self, plan: Plan, start: Start) -> list[Move]:
        """The way to the promotion."""

    def back(
        self, plan: Plan, start: Start, forward: Sequence[Move], baseline_there: bool | None
    ) -> list[Move] | None:
        """The way back to the baseline from where the moves `forward` were begun; None where there is none
        any more."""

    def missing(self, plan: Plan, start: Start, move: Move, seen: Seen, canary: str) -> Missing | None:
        """What keeps the move from having taken effect; None once it has. `canary` is empty until known."""

    def canary(self, plan: Plan, start: Start, seen: Seen) -> str:
        """The name of the canary that is there now, other than what was there before; empty if none."""
