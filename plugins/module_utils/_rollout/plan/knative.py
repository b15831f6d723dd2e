# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative mode: model and percent in one patch, revisions told apart by name, never by tag or percent.

What each order of patches does was measured on a real cluster; so was that KServe's status tells of the past
for a while after a patch. The canary is created at 0 %: until its revision is ready, whatever share is asked
for goes to the latest one that is, which may be a canary that was rejected. Also KFServing 0.5 and 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..objects.events import State
from ..objects.inferenceservice import assess, read
from ..objects.snapshot import PERCENT, spell
from .merge import between, contains, merged
from .moves import Missing, Move
from .plan import KNATIVE, Plan
from .seen import Seen, Start

CREATE, ZERO, OLD_MODEL, RESTORE, REAPPLY = "create", "0 %", "old model", "restore", "reapply"


class KnativeMode:
    """Steps by canaryTrafficPercent."""

    def start(self, plan: Plan, seen: Seen, earlier: Start | None) -> Start:
        now = read(seen.inferenceservice).revisions
        predictor = {key: value for key, value in seen.predictor.items() if key != PERCENT}
        named = {now.created, now.ready, now.rolledout, now.previous} - {""}
        created, old, known = now.created, predictor, now.created == now.serving
        if earlier is not None and earlier.undo is not None and earlier.baseline == now.serving:
            # What stands in the spec is a canary that was rolled back, and no version to begin from.
            old, known = dict(earlier.predictor), True
        wanted = merged(old, plan.change)
        apply = between(predictor, wanted)
        # Webhooks may have added to it.
        same = earlier is not None and earlier.wanted == wanted and contains(predictor, wanted)
        if (same or not apply) and now.created != now.serving:
            # That very version is there, without traffic: it is tried again.
            named, created, apply = named - {now.created}, now.serving, {}
        return Start(
            mode=KNATIVE,
            uid=seen.uid,
            baseline=now.serving,
            created=created,
            known=tuple(sorted(named)),
            predictor=old,
            wanted=wanted,
            apply=apply,
            undo=between(wanted, old) if known else None,
            answered=seen.answered,
        )

    def forward(self, plan: Plan, start: Start) -> list[Move]:
        moves = [
            Move(CREATE, "create the canary without traffic", _patch({**start.apply, PERCENT: 0}), 0),
        ]
        for number, step in enumerate(plan.steps):
            promotes = step.percent == 100
            what = "promote the canary" if promotes else f"give the canary {step.percent} %"
            moves.append(
                Move(
                    f"{step.percent} %",
                    what,
                    _patch({PERCENT: step.percent}),
                    step.percent,
                    number,
                    promotes,
                )
            )
        if not moves[-1].promotes:
            moves.append(Move("100 %", "promote the canary", _patch({PERCENT: 100}), 100, promotes=True))
        return moves

    def back(
        self, plan: Plan, start: Start, forward: Sequence[Move], baseline_there: bool | None
    ) -> list[Move] | None:
        promoted = any(move.promotes for move in forward)
        if promoted and baseline_there is False:
            if start.undo is None:
                return None
            # The canary has everything until the old model is ready again; nobody else could have it.
            what = "apply the old model, since its revision is gone"
            return [Move(REAPPLY, what, _patch({**start.undo, PERCENT: 100}), 0)]
        moves = [Move(ZERO, "take all traffic from the canary", _patch({PERCENT: 0}), 0)]
        if promoted and start.undo is not None:
            # With the canary's spec kept until here: KServe would take the old model for the rolled-out one's
            # successor and pin everything to the canary.
            what = "apply the old model without traffic"
            moves.append(Move(OLD_MODEL, what, _patch({**start.undo, PERCENT: 0}), 0))
            moves.append(Move(RESTORE, "give the old model everything", _patch({PERCENT: 100}), 0))
        return moves if forward else []

    def missing(self, plan: Plan, start: Start, move: Move, seen: Seen, canary: str) -> Missing | None:
        if move.name == ZERO:
            # Whether the canary is ready no longer matters, so neither does Ready.
            now = read(seen.inferenceservice).traffic
            why = f"the traffic is {spell(now)}, not yet all on {start.baseline}"
            return None if now == {start.baseline: 100} else Missing(why)
        if move.name in (REAPPLY, RESTORE):
            return _problem(seen, {"latest": 100}, canary)
        if move.name in (CREATE, OLD_MODEL):
            return _problem(seen, {start.baseline: 100}, start.created if move.name == CREATE else canary)
        wanted = {canary: move.percent, start.baseline: 100 - move.percent}
        problem = _problem(
            seen, {name: percent for name, percent in wanted.items() if percent}, start.created
        )
        rolledout = read(seen.inferenceservice).revisions.rolledout
        if problem is None and move.promotes and rolledout and rolledout != canary:
            return Missing(f"{rolledout} is still the rolled-out revision")
        return problem

    def canary(self, plan: Plan, start: Start, seen: Seen) -> str:
        created = read(seen.inferenceservice).revisions.created
        return "" if created in start.known else created


def _patch(predictor: dict[str, object]) -> dict[str, object]:
    return {"spec": {"predictor": predictor}}


def _problem(seen: Seen, traffic: dict[str, int], before: str) -> Missing | None:
    """What is missing until a revision other than `before` is ready and the traffic is as wanted, by name."""
    outcome = assess(seen.inferenceservice, before, traffic, new_revision=True)
    if outcome.state is State.SUCCEEDED:
        return None
    return Missing(outcome.message, outcome.state is State.FAILED)
