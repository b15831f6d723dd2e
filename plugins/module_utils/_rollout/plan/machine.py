# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's decisions: plan, state so far, what is seen now → the next state and what to do.

Pure, so that every order of events can be tried without a cluster. The state that comes back has to be
stored before its action is carried out: a driver that is killed between any two moments, or a second one
elsewhere, then goes on from there, since each patch may be sent again without harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..gates.judge import GateProgress
from ..objects.tree import generation_of
from .moves import Move
from .plan import Plan
from .seen import Seen, Start
from .state import ABANDONED, ABORT, BACK, FORWARD, PAUSED, PROMOTE, RolloutState
from .turn import MODES, NOT_BACK, Action, Turn


def begin(plan: Plan, mode: str, seen: Seen, now: float, earlier: Start | None = None) -> RolloutState:
    """The state of a rollout that has changed nothing yet. `earlier` is what a rollout started
    from that was rolled back: what stands in the spec may be its canary."""
    start = MODES[mode].start(plan, seen, earlier)
    state = RolloutState(start, now, now, generation=seen.generation)
    return state.noting(now, "begun", mode=mode, baseline=start.baseline)


def moves_of(plan: Plan, state: RolloutState) -> list[Move]:
    """The moves of the present track."""
    mode = MODES[state.start.mode]
    forward = mode.forward(plan, state.start)
    if state.track == FORWARD:
        return forward
    return mode.back(plan, state.start, forward[: state.furthest + 1], state.baseline_there) or []


def present_move(plan: Plan, state: RolloutState) -> Move | None:
    """The move that is under way, None once all are done."""
    moves = moves_of(plan, state)
    return moves[state.move] if state.move < len(moves) else None


def advance(plan: Plan, state: RolloutState, seen: Seen, now: float) -> tuple[RolloutState, Action]:
    """The next state, to be stored, and the action, to be carried out after that."""
    turn = Turn(plan, state, present_move(plan, state), seen, now)
    action = turn.act()
    return turn.state, action


def sent(state: RolloutState, inferenceservice: Mapping[str, Any] | None) -> RolloutState:
    """Once the API server has taken the patch: the InferenceService as it answered."""
    return replace(state, sent=True, generation=generation_of(inferenceservice))


def untouched(state: RolloutState) -> bool:
    """Whether no patch of the rollout is known to be in place, so that nothing is lost by ending here."""
    return state.track == FORWARD and state.move == 0 and not state.sent


def refused(state: RolloutState, why: str, now: float) -> RolloutState:
    """Once the API server has refused a patch on the way forward: nothing came of it, so a first one leaves
    nothing to do, and at a later one the split is a stable one."""
    if untouched(state):
        return replace(state.noting(now, "abandoned", why=why), outcome=ABANDONED, cause=why)
    return replace(state.noting(now, "held", why=why), hold=why, stopped_at=state.stopped_at or now)


def ask(plan: Plan, state: RolloutState, seen: Seen, what: str, *, who: str, now: float) -> RolloutState:
    """A person asks for something, at whatever moment. What makes no sense then is noted, and changes
    nothing."""
    state = state.noting(now, "asked", asked=what, by=who)
    if what == ABORT:
        # Also after the promotion, for as long as there is a way back.
        if state.track == BACK:
            # Where somebody else has undone the patch it is sent again.
            return replace(state, sent=False)
        why = no_way_back(plan, state, seen) if state.outcome else ""
        if why:
            return state.noting(now, "unchanged", why=why)
        turn = Turn(plan, replace(state, outcome=""), None, seen, now)
        turn.turn_back(f"aborted by {who}")
        return turn.state
    if state.outcome or state.track == BACK:
        return state
    if what == PAUSED:
        return replace(state, paused=True, stopped_at=state.stopped_at or now)
    return _resumed(plan, state, seen, what == PROMOTE, now)


def no_way_back(plan: Plan, state: RolloutState, seen: Seen) -> str:
    """Why a promotion cannot be taken back, as a clause; empty where it can."""
    if (seen.uid, seen.generation) != (state.start.uid, state.generation):
        # The version before is another one by now, and whoever changed it wants what there is.
        return (
            "somebody else changed the InferenceService after the promotion (it has generation "
            f"{seen.generation}, and had {state.generation})"
        )
    mode = MODES[state.start.mode]
    forward = mode.forward(plan, state.start)
    return "" if mode.back(plan, state.start, forward, seen.baseline_there) is not None else NOT_BACK


def _resumed(plan: Plan, state: RolloutState, seen: Seen, waived: bool, now: float) -> RolloutState:
    """Whoever resumes what was held takes the object as it is now, and evidence from now on."""
    stood_still = now - state.stopped_at if state.stopped_at is not None else 0.0
    reached = None if state.reached is None else state.reached + stood_still
    counts_from = state.counts_from + stood_still
    # Only a pause of the plan's that it stands at is over by that: not one that is still to come, as where
    # two people say it, or somebody who had paused it himself.
    at_pause = state.stopped_at is not None and not state.paused and not state.hold
    if state.hold:
        # A limit that it was held by begins anew: it would be held again at once.
        reached = None if reached is None else now
        counts_from = now if now - counts_from > plan.deadline else counts_from
        state = replace(state, begun=None if state.begun is None else now)
        # The looks that were spent stay spent: whoever resumes again and again is not wrong more often.
        gates = {
            name: GateProgress(one.confirming, one.refuting)
            for name, one in state.gates.items()
            if one.confirming is not None
        }
        state = replace(
            state, hold="", cause="", gates=gates, since=None, sent=False, generation=seen.generation
        )
    return replace(
        state,
        paused=False,
        approved=state.approved or at_pause,
        waived=state.waived or waived,
        stopped_at=None,
        counts_from=counts_from,
        reached=reached,
    )
