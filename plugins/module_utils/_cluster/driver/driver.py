# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: take up requests, look, decide, store, act. All decisions are _rollout.plan's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.account import line
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import (
    advance,
    ask,
    present_move,
    refused,
    sent,
    untouched,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.moves import Move
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import Plan
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import (
    ABANDONED,
    BACK,
    FORWARD,
    RolloutState,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import (
    NEXT,
    Done,
    Hold,
    Patch,
)

from ..client.api import Api, Json
from ..client.errors import BadRequest, ClusterError, Conflict, Forbidden, NotFound, Unauthorized, Unreachable
from .evidence import Queries
from .lease import HeldByAnother, Lease
from .looker import Looker
from .store import Request, RolloutStore

TICK_SECONDS = 1.0
# What changes at each look is kept this often; what decides is kept before it takes effect.
SAVE_SECONDS = 5.0
SAY_SECONDS = 20.0
# A patch on the way forward that is refused may be let through in a moment (a quota, a policy that has not
# been told of everything yet); what is refused for longer needs a person.
REFUSED_SECONDS = 60.0
_FRESH = (
    "The split stays as it is meanwhile. Fresh credentials in the kubeconfig are taken up; with others, end "
    "this task and run it again: it goes on from there."
)


@dataclass(frozen=True)
class DriveEnd:
    """How a drive ended: `outcome` is promoted, rolled_back, abandoned, held, step or timeout."""

    outcome: str
    message: str
    state: RolloutState


class Driver:
    """Drives one rollout while the Lease is held. `now` tells seconds since the epoch, `clock` never goes
    back."""

    def __init__(
        self,
        *,
        api: Api,
        plan: Plan,
        state: RolloutState,
        store: RolloutStore,
        lease: Lease,
        looker: Looker,
        queries: Queries,
        progress: Progress,
        clock: Callable[[], float],
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self.state = state
        self._api, self._plan, self._store, self._lease = api, plan, store, lease
        self._looker, self._queries, self._progress = looker, queries, progress
        self._clock, self._now, self._sleep = clock, now, sleep
        self._saved: Any = None
        self._saved_at = self._said_at = clock()
        # Of what an earlier driver did nothing is told again.
        self._reported = len(state.history) if len(state.history) > 1 else 0
        self._lost = False
        # Why the last turn came to nothing, and the patch that was refused since then.
        self._trouble = self._refusal = ""
        self._refused_since: float | None = None

    def drive(self, deadline: float, hold_seconds: float, until_step: bool) -> DriveEnd:
        """To the end of the rollout, to a hold that lasts so long, or (`until_step`) to the end of a step;
        `deadline` is of `clock`. HeldByAnother where the Lease was lost: then another one drives."""
        held_since: float | None = None
        passed = _passed(self.state)
        while True:
            action: Any = None
            try:
                action = self._turn()
                self._answered()
            except HeldByAnother:
                raise
            except ClusterError as error:
                self._not_now(error)
            if isinstance(action, Done):
                return DriveEnd(action.outcome, self.state.cause or action.outcome, self.state)
            if until_step and action is not None and _passed(self.state) > passed:
                return DriveEnd("step", "the step is passed", self.state)
            held_since = (held_since or self._clock()) if isinstance(action, Hold) else None
            if held_since is not None and self._clock() - held_since >= hold_seconds:
                return DriveEnd("held", action.why if isinstance(action, Hold) else "", self.state)
            if self._clock() >= deadline:
                move = present_move(self._plan, self.state)
                why = (
                    self._trouble
                    or self._refusal
                    or getattr(action, "why", "")
                    or (move.text if move else "")
                )
                return DriveEnd("timeout", why, self.state)
            if action is not NEXT:
                self._sleep(TICK_SECONDS)

    def _turn(self) -> Any:
        self._lease.keep()
        seen = self.look()
        self._take_up_requests(seen)
        self.state, action = advance(self._plan, self.state, seen, self._now())
        self._keep(force=isinstance(action, (Patch, Done)))
        self._tell(action)
        if isinstance(action, Patch):
            self._patch(action.move, seen)
        return action

    def look(self) -> Seen:
        """What there is now, answers to queries included."""
        start = self.state.start
        names = {
            "canary": self.state.canary,
            "baseline": start.baseline,
            "name": self._plan.name,
            "namespace": self._plan.namespace,
        }
        measured = self._queries.due(names) if self.state.reached is not None else {}
        waits = self.state.track == FORWARD and self.state.sent and self.state.reached is None
        seen = self._looker.look(start.mode, self.state.canary, start.baseline, measured, waits)
        self._refuse_the_past(seen)
        return seen

    def _refuse_the_past(self, seen: Seen) -> None:
        """What was true before the last patch may look like what a later one is to bring about."""
        known = self.state.generation
        if seen.uid == self.state.start.uid and seen.generation < known:
            raise Unreachable(
                f"The API server shows the InferenceService as it was (generation {seen.generation}, and it "
                f"had {known}). If it was restored from a backup, bring the traffic where you want it, then "
                f"delete the ConfigMap {self._store.name}."
            )

    def _take_up_requests(self, seen: Seen) -> None:
        request = self._store.request()
        if request is not None and request.id != self.state.handled:
            self.take_up(request, seen)

    def take_up(self, request: Request, seen: Seen) -> None:
        """Does what a person asks, and keeps that it was done."""
        state = ask(self._plan, self.state, seen, request.what, who=request.who, now=self._now())
        self.state = replace(state, handled=request.id)
        self._keep(force=True)

    def _patch(self, move: Move, seen: Seen) -> None:
        """Sends it, if we still hold the Lease and the object is still what was seen."""
        self._looker.forget_warnings()
        self._lease.renew()
        metadata: Json = (seen.inferenceservice or {}).get("metadata") or {}
        body = {**move.patch, "metadata": {"resourceVersion": metadata.get("resourceVersion")}}
        try:
            self.state = sent(self.state, self._api.merge(self._looker.path, body))
        except (BadRequest, Forbidden) as error:
            if self._tried_again(str(error)):
                return
            self.state = refused(self.state, str(error), self._now())
        self._refusal, self._refused_since = "", None
        self._keep(force=True)

    def _tried_again(self, refusal: str) -> bool:
        """Whether a patch that was refused is sent again. The way back is tried until it is taken: nobody is
        helped by a canary that keeps its share because a webhook said no once. The way forward for a while,
        but for the first patch: of that nothing comes, and whoever gave it is there."""
        now, back = self._clock(), self.state.track == BACK
        since = self._refused_since = now if self._refused_since is None else self._refused_since
        if not back and (untouched(self.state) or now - since >= REFUSED_SECONDS):
            return False
        if refusal != self._refusal:
            what = "the way back" if back else "the patch"
            self._progress.add("driver", "refused", f"{what} was refused: {refusal} Trying again.")
        self._refusal = refusal
        return True

    def _keep(self, force: bool) -> None:
        """Stores the state where something in it decides, and else now and then."""
        mark = _mark(self.state)
        due = self._clock() - self._saved_at >= SAVE_SECONDS
        if mark != self._saved or due or (force and self._saved is None):
            self._save()
            self._saved, self._saved_at = mark, self._clock()

    def _save(self) -> None:
        """Keeps the state, if we still hold the Lease: a machine that was suspended may have lost it, and its
        clock, which tells when to renew it, may have stood still."""
        self._lease.renew()
        try:
            self._store.save(self.state)
        except NotFound:
            # With the InferenceService it goes as well; else somebody deleted it, and the next driver needs
            # it.
            if self.state.outcome != ABANDONED:
                self._store.begin(self._plan, self.state)

    def _tell(self, action: Any) -> None:
        for entry in self.state.history[self._reported :]:
            self._progress.add("driver", str(entry["what"]), line(entry, self.state.started), dict(entry))
            self._said_at = self._clock()
        self._reported = len(self.state.history)
        why = getattr(action, "why", "")
        if why and self._clock() - self._said_at >= SAY_SECONDS:
            self._progress.add("driver", "waiting", f"waiting: {why}")
            self._said_at = self._clock()

    def _not_now(self, error: ClusterError) -> None:
        """The split stays as it is; whoever else comes may take over once the Lease has run out.

        Whatever the answer was, it may be another one in a moment (a restarting API server says 401, 403 and
        404, too), and without a driver nobody looks after the canary. Where nothing was changed yet, the
        error is raised: that is told at once."""
        self._trouble = str(error)
        if isinstance(error, Conflict):
            # Somebody else wrote in between: look again.
            return
        if not isinstance(error, Unreachable) and untouched(self.state):
            raise error
        if not self._lost:
            advice = f" {_FRESH}" if isinstance(error, Unauthorized) else ""
            self._progress.add("driver", "connection", f"{error} Trying again.{advice}", {"lost": True})
        self._lost = True

    def _answered(self) -> None:
        self._trouble = ""
        if self._lost:
            self._progress.add("driver", "connection", "the API server answers again", {"lost": False})
        self._lost = False


def _passed(state: RolloutState) -> int:
    return sum(entry["what"] == "passed" for entry in state.history)


def _mark(state: RolloutState) -> Any:
    """What of a state has to be stored before anything follows from it."""
    spent = [
        (one.confirming.spent if one.confirming else 0, one.refuting.spent if one.refuting else 0, one.passed)
        for one in state.gates.values()
    ]
    plain = (state.track, state.move, state.begun, state.sent, state.reached, state.hold, state.paused)
    return (*plain, state.outcome, state.handled, state.stopped_at, len(state.history), spent)
