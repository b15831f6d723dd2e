# SPDX-License-Identifier: GPL-3.0-or-later
"""One look of the driver's: what it makes of what it sees, given how far the rollout is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from ..gates.halves import with_later
from ..gates.judge import GateEvidence, GateProgress, begin_anew, judge
from ..gates.result import GateResult, GateVerdict
from ..gates.window import OTHER, UNNAMED, Window, window
from ..objects.tree import mapping, text
from ..roles import BASELINE, CANARY
from .knative import KnativeMode
from .merge import contains
from .moves import Missing, Mode, Move, first_whole
from .plan import KNATIVE, STANDARD, Plan, Step
from .seen import Seen
from .standard import StandardMode
from .state import ABANDONED, BACK, FORWARD, PROMOTED, ROLLED_BACK, RolloutState

MODES: dict[str, Mode] = {KNATIVE: KnativeMode(), STANDARD: StandardMode()}


@dataclass(frozen=True)
class Patch:
    """Send this move's patch, if the object is still the one that was seen."""

    move: Move


@dataclass(frozen=True)
class Wait:
    """Look again soon. `why` is a clause."""

    why: str


@dataclass(frozen=True)
class Hold:
    """A person is needed; the split stays as it is, which is a stable one."""

    why: str


@dataclass(frozen=True)
class Done:
    """It is over."""

    outcome: str


Action = Union[Patch, Wait, Hold, Done]
NEXT = Wait("the next move")
NOT_BACK = "the canary is the predictor by now, so the way back is a rollout of the old one"
# A ConfigMap holds 1 MiB; a line has about 250 bytes.
MOST_NOTED = 2000
# What no waiting mends of what KServe warns of (components/predictor.go, reconcileModel; GetServingRuntime).
_FOR_GOOD = (
    "does not support specified framework",
    "does not support specified protocol",
    "no runtime found to support",
    "No ServingRuntimes or ClusterServingRuntimes with the name",
)


class Turn:
    """`state` is how far it is, before and after. `move` is the present one, None once all are done."""

    def __init__(self, plan: Plan, state: RolloutState, move: Move | None, seen: Seen, now: float) -> None:
        self.state = state
        self._plan = plan
        self._mode = MODES[state.start.mode]
        self._move = move
        self._seen = seen
        self._now = now

    def act(self) -> Action:
        """What to do, once `state` is stored."""
        gone = "" if self.state.outcome else self._gone()
        if gone:
            self._note("abandoned", why=gone)
            self._set(outcome=ABANDONED, cause=gone)
        if self.state.outcome:
            return Done(self.state.outcome)
        if self._move is None:
            outcome = PROMOTED if self.state.track == FORWARD else ROLLED_BACK
            self._note(outcome)
            self._set(outcome=outcome)
            return Done(outcome)
        return self._forward(self._move) if self.state.track == FORWARD else self._back(self._move)

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def _note(self, what: str, **more: Any) -> None:
        self.state = self.state.noting(self._now, what, **more)

    def _gone(self) -> str:
        metadata = mapping(self._seen.inferenceservice, "metadata")
        if self._seen.inferenceservice is None or text(metadata, "deletionTimestamp"):
            return "the InferenceService was deleted"
        if self._seen.uid != self.state.start.uid:
            return "the InferenceService was replaced by another one of the same name"
        return ""

    # The way to the promotion.

    def _forward(self, move: Move) -> Action:
        stopped = self._stopped(move)
        if stopped is not None:
            return stopped
        if self.state.begun is None:
            return self._begin_forward(move)
        if not self.state.sent:
            return self._send(move)
        if not self.state.canary:
            self._set(canary=self._mode.canary(self._plan, self.state.start, self._seen))
        missing = self._missing(move)
        if self.state.reached is None:
            if missing is not None:
                return self._unreached(move, self._explained(missing))
            if not self._settled():
                return Wait("is the split stable?")
        return self._at_split(move, missing.why if missing else "")

    def _stopped(self, move: Move) -> Action | None:
        """Where nothing may go on as it was meant to."""
        if self.state.hold:
            return Hold(self.state.hold)
        over = self._now - self.state.counts_from > self._plan.deadline
        if over and self.state.stopped_at is None:
            return self._fail(f"not over after {self._plan.deadline:g} s")
        generation = self._seen.generation
        if generation == self.state.generation:
            return None
        begun = self.state.begun is not None and not self.state.sent
        if begun and contains(self._seen.inferenceservice, move.patch):
            # Ours, sent by a driver that did not live to tell.
            return None
        return self._hold(
            f"somebody else changed the InferenceService's spec (it has generation {generation}, and had "
            f"{self.state.generation} after the last patch)"
        )

    def _begin_forward(self, move: Move) -> Action:
        if self.state.paused:
            return Hold("paused by a person")
        forward = self._mode.forward(self._plan, self.state.start)
        by_hand = self._plan.promote == "manual" and self.state.move == first_whole(forward)
        if by_hand and forward[self.state.move - 1].step is None:
            # Else it was asked for at the end of the step, where the gates are asked as long as it waits.
            waits = self._for_a_person("the promotion")
            if waits is not None:
                return waits
        self._set(furthest=max(self.state.furthest, self.state.move))
        return self._begin(move)

    def _begin(self, move: Move) -> Action:
        self._set(begun=self._now, sent=False)
        self._note("patch", move=move.name, text=move.text, patch=move.patch)
        return Patch(move)

    def _send(self, move: Move) -> Action:
        """The patch was to be sent, and nothing tells whether it was."""
        if not contains(self._seen.inferenceservice, move.patch):
            return Hold("paused by a person") if self.state.paused else Patch(move)
        self._set(sent=True, generation=self._seen.generation)
        return Wait("the patch is in place")

    def _missing(self, move: Move) -> Missing | None:
        if self._seen.unseen:
            return Missing(self._seen.unseen)
        return self._mode.missing(self._plan, self.state.start, move, self._seen, self.state.canary)

    def _explained(self, missing: Missing) -> Missing:
        """With what KServe says of it, which for a canary in Standard mode stands in an event alone."""
        said = self._seen.warnings
        if not said:
            return missing
        for_good = next((each for each in said if any(message in each for message in _FOR_GOOD)), "")
        return Missing(
            f"{missing.why}; KServe says: {for_good or said[-1]}", missing.for_good or bool(for_good)
        )

    def _unreached(self, move: Move, missing: Missing) -> Action:
        self._set(seen_since=None)
        why = missing.why
        if missing.for_good:
            return self._fail(f"{move.text}: {why}")
        if self._now - (self.state.begun or self._now) > self._plan.ready_timeout:
            return self._fail(f"{move.text}: {why}, after {self._plan.ready_timeout:g} s")
        return Wait(why)

    def _settled(self) -> bool:
        """Reached once the split has been seen for long enough; the evidence begins then."""
        since = self._now if self.state.seen_since is None else self.state.seen_since
        self._set(seen_since=since)
        if self._now - since < self._plan.settle:
            return False
        self._set(reached=self._now, gates={}, since=self._seen.counted)
        self._note("reached")
        return True

    def _at_split(self, move: Move, missing: str) -> Action:
        """At the wanted split: what do the gates say, and is the step over?"""
        if move.step is None:
            self._next_move()
            return NEXT
        step = self._plan.steps[move.step]
        evidence = self._evidence(step)
        progress = judge(self._plan.judges, self.state.gates, step.percent, evidence, self._plan.errors)
        self._keep(progress, step)
        results = [one.last for one in progress.values() if one.last is not None]
        failed = [f"{one.gate}: {one.message}" for one in results if one.verdict is GateVerdict.FAIL]
        if failed and not self.state.waived:
            return self._fail(f"at {step.percent} %, {'; '.join(failed)}")
        waits = self._waits(step, evidence.window, results)
        if missing:
            waits.insert(0, missing)
        if waits and not self.state.waived:
            return self._undecided(step, waits)
        return self._pass(step)

    def _evidence(self, step: Step) -> GateEvidence:
        counted, found = self._seen.counted, None
        if counted is not None and counted.running:
            if self.state.since is None or self.state.since.load != counted.load:
                # Another load, or the first one: what an earlier one showed is over.
                again = begin_anew(self.state.gates, self._plan.judges, step.percent, self._plan.errors)
                self._set(since=counted, gates={**self.state.gates, **again})
            since = self.state.since or counted
            found, marks = with_later(step.percent, since, counted, self.role, self.state.marks)
            self._set(marks=marks)
        return GateEvidence(self._now, found, self._seen.pods, self._seen.measured, self._late(step))

    def _late(self, step: Step) -> bool:
        """Whether its deadline has passed, which does not run while a person is waited for."""
        return self.state.stopped_at is None and self._now - (self.state.reached or self._now) > step.deadline

    def role(self, name: str) -> str:
        """Whose answer it is that gives this name."""
        start, names = self.state.start, self._plan.names
        if not name:
            return UNNAMED
        for one in (BASELINE, CANARY):
            if names.get(one) == name:
                return one
        if start.mode == KNATIVE:
            return {start.baseline: BASELINE, self.state.canary: CANARY}.get(name, OTHER)
        # Without revisions, whoever did not answer before is the canary.
        if name in start.answered:
            return BASELINE
        return OTHER if CANARY in names or self._nobody_known() else CANARY

    def _nobody_known(self) -> bool:
        """Whether an answer's name cannot tell who gave it: none had come when the rollout began."""
        start, names = self.state.start, self._plan.names
        return start.mode == STANDARD and not start.answered and not {BASELINE, CANARY} & names.keys()

    def _keep(self, progress: dict[str, Any], step: Step) -> None:
        """The progress, and a line of history for each verdict that is another one than before, as long as
        there is room: one may change every few seconds for days, until a person comes."""
        for name, one in progress.items():
            before, last = self.state.gates.get(name, GateProgress()).last, one.last
            verdict = before.verdict if before else GateVerdict.INCONCLUSIVE
            room = len(self.state.history) < MOST_NOTED or (last and last.verdict is GateVerdict.FAIL)
            if last and room and verdict is not last.verdict:
                self._note("gate", percent=step.percent, **last.to_json())
        self._set(gates=progress)

    def _waits(self, step: Step, found: Window | None, results: Sequence[GateResult]) -> list[str]:
        """What the step still waits for, as clauses."""
        waits = []
        left = step.seconds - (self._now - (self.state.reached or self._now))
        if left > 0:
            waits.append(f"{left:.0f} s of {step.seconds:g} s left")
        answers = found.canary.requests if found else 0
        if answers < step.answers:
            waits.append(f"{answers} of {step.answers} answers of the canary's")
        for one in results:
            if one.verdict is GateVerdict.INCONCLUSIVE:
                few = f" ({one.samples} of {one.needed} samples)" if one.samples < one.needed else ""
                waits.append(f"{one.gate}: {one.message}{few}")
        # Nothing else may ask who answers: answers without names, and gates of pods and queries, never do.
        if waits and found and found.other.requests and self._nobody_known():
            waits.append("who answers cannot be told, since nobody did before the rollout: give names")
        return waits

    def _undecided(self, step: Step, waits: Sequence[str]) -> Action:
        what = "; ".join(waits)
        if self.state.stopped_at is not None:
            return Hold("paused by a person" if self.state.paused else f"waits for a person; {what}")
        if not self._late(step):
            return Wait(what)
        why = f"at {step.percent} % nothing was decided within {step.deadline:g} s: {what}"
        return self._fail(why) if self._plan.on_inconclusive == "fail" else self._hold(why)

    def _pass(self, step: Step) -> Action:
        if self.state.paused:
            return Hold("paused by a person")
        pause = f"the pause after {step.percent} %" if step.pause else ""
        whole = first_whole(self._mode.forward(self._plan, self.state.start))
        by_hand = self._plan.promote == "manual" and self.state.move + 1 == whole
        waits = self._for_a_person(" and ".join(filter(None, (pause, "the promotion" if by_hand else ""))))
        if waits is not None:
            return waits
        self._note("passed", percent=step.percent)
        self._next_move()
        return NEXT

    def _for_a_person(self, what: str) -> Hold | None:
        """That it waits for one, who has not said yet that it may go on."""
        if not what or self.state.approved or self.state.waived:
            return None
        self._set(stopped_at=self.state.stopped_at or self._now)
        return Hold(f"{what} wait{'' if ' and ' in what else 's'} for a person")

    def _next_move(self) -> None:
        self._set(move=self.state.move + 1, begun=None, sent=False, approved=False, stopped_at=None)
        self._set(seen_since=None, reached=None, since=None, marks=(), gates={})

    def _fail(self, cause: str) -> Action:
        if self._plan.on_failure == "hold":
            self._set(cause=cause)
            return self._hold(cause)
        self.turn_back(cause)
        return Hold(self.state.hold) if self.state.hold else Wait("the way back")

    def _hold(self, why: str) -> Action:
        self._note("held", why=why)
        self._set(hold=why, stopped_at=self.state.stopped_at or self._now)
        return Hold(why)

    # The way back.

    def turn_back(self, cause: str) -> None:
        """From now on the state is on the way back; held where there is none."""
        there = self._seen.baseline_there
        self._set(cause=cause)
        if self._begun_in_vain():
            self._set(furthest=self.state.furthest - 1)
        forward = self._mode.forward(self._plan, self.state.start)[: self.state.furthest + 1]
        if self._mode.back(self._plan, self.state.start, forward, there) is None:
            self._hold(f"{cause}; {NOT_BACK}")
            return
        self._next_move()
        self._set(track=BACK, move=0, baseline_there=there, paused=False, hold="")
        self._note("turned back", cause=cause)

    def _begun_in_vain(self) -> bool:
        """Whether the last patch was noted and is not in place, so that it is not to be taken back. After the
        first one of Knative mode 0 % would do harm then: on the version that serves it gives everything to
        the one before. And in Standard mode there is a way back until the predictor is the new one."""
        last, known = self.state.furthest, self._seen.generation == self.state.generation
        if last < 0 or self.state.move != last or self.state.sent or not known:
            return False
        return not contains(
            self._seen.inferenceservice, self._mode.forward(self._plan, self.state.start)[last].patch
        )

    def _back(self, move: Move) -> Action:
        if self.state.begun is None:
            return self._begin(move)
        if not self.state.sent:
            return self._send(move)
        missing = self._missing(move)
        why = missing.why if missing else "" if self._canary_quiet() else "the canary still answers"
        if missing and not contains(self._seen.inferenceservice, move.patch):
            # They may have a reason, so that is for a person to say.
            why += "; somebody else changed the InferenceService on the way back: ask for aborted once more"
        if why:
            self._set(seen_since=None)
            return Wait(why)
        since = self._now if self.state.seen_since is None else self.state.seen_since
        self._set(seen_since=since)
        if self._now - since < self._plan.settle:
            return Wait("is the split stable?")
        self._note("reached")
        self._next_move()
        return NEXT

    def _canary_quiet(self) -> bool:
        """Whether the load has had no answer of the canary's since it was looked last."""
        counted = self._seen.counted
        if counted is None or not counted.running:
            return True
        since = self.state.since or counted
        self._set(since=counted)
        came = window(0, since, counted, self.role)
        return came is None or came.canary.requests == 0
