# SPDX-License-Identifier: GPL-3.0-or-later
"""The module progressive_rollout, but for its documentation."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.account import foretold, way_back
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import begin
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.plan import STANDARD, Plan
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.refusals import (
    Refused,
    drains,
    mode_of,
    refuse,
    refuse_unkept,
    rolled_out,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.seen import Seen, Start
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import (
    ROLLED_BACK,
    RolloutState,
)

from ..client.errors import ClusterError
from ..module import Failed
from .asks import asked
from .driver import DriveEnd
from .run import Run, ago, by
from .store import Kept


def progressive_rollout(module: Any) -> dict[str, Any]:
    """Runs the module; Failed where the rollout does not come to what was asked."""
    run = Run(module)
    if run.params["state"] == "released":
        return _released(run)
    return _present(run) if run.params["state"] == "present" else asked(run)


def _released(run: Run) -> dict[str, Any]:
    changed = not run.check_mode and run.lease().give_up()
    message = "another playbook may go on with it" if changed else "this playbook keeps nobody from it"
    return {"changed": changed, "outcome": "released", "message": message, "driver": {}, "transitions": []}


def _present(run: Run) -> dict[str, Any]:
    plan = run.plan()
    kept = run.store.load()
    try:
        mode = mode_of(run.first)
    except Refused as refused:
        raise ClusterError(str(refused)) from None
    under_way = kept is not None and not kept.state.outcome
    if under_way and kept is not None and kept.plan.fingerprint != plan.fingerprint:
        raise ClusterError(
            f"A rollout of {run.namespace}/{run.name} with another plan was begun {ago(kept.state)} ago"
            f"{by(kept.state)}, and is not over. Nothing was changed. Give the same plan to go on with "
            "it, or end it with state aborted or promoted."
        )
    if kept is not None and kept.state.outcome and run.playbook and kept.state.playbook == run.playbook:
        # Somebody else ended it while this playbook did something between two steps.
        return _ended(run, plan, DriveEnd(kept.state.outcome, kept.state.cause, kept.state), False)
    if not under_way and _nothing_to_do(run, plan, mode):
        return run.result(
            plan, kept.state if kept else None, "promoted", "it is rolled out already", changed=False
        )
    earlier = _earlier(kept)
    if not under_way:
        _refuse_undrained(run, mode, _refuse(run, plan, mode))
    if run.check_mode:
        run.lease().refuse_if_left()
        return _foretold(run, plan, mode, kept if under_way else None, earlier)
    lease = run.lease()
    lease.acquire(run.say)
    keeps = False
    try:
        state = replace(_state(run, plan, mode, earlier), playbook=run.playbook)
        before = len(state.history)
        end = run.driver(plan, state, lease).drive(
            run.deadline, float(run.params["hold_seconds"]), run.params["until"] == "step"
        )
        if end.state.outcome:
            # It has ended, and is told, whatever becomes of this.
            with contextlib.suppress(ClusterError):
                run.store.save(replace(end.state, playbook=""))
        keeps = end.outcome in ("step", "held") and bool(run.playbook and run.params["lease_seconds"])
    finally:
        if keeps:
            lease.leave(float(run.params["lease_seconds"]))
        else:
            lease.release()
    return _ended(run, plan, end, len(end.state.history) > before)


def _nothing_to_do(run: Run, plan: Plan, mode: str) -> bool:
    """Whether it is rolled out, at two looks: the status tells of the past for a moment after a change."""
    if not rolled_out(plan, mode, run.look(mode)):
        return False
    time.sleep(plan.settle)
    return rolled_out(plan, mode, run.look(mode))


def _refuse(run: Run, plan: Plan, mode: str) -> Seen:
    """What is there now, unless the rollout is refused."""
    seen = run.look(mode)
    try:
        refuse(plan, mode, seen)
        refuse_unkept(mode, seen, run.would_be(plan))
    except Refused as refused:
        raise ClusterError(str(refused)) from None
    return seen


def _refuse_undrained(run: Run, mode: str, seen: Seen) -> None:
    if mode == STANDARD and not drains(seen):
        message = (
            "The predictor's container names no preStop hook. In Standard mode requests are lost when KServe "
            "ends pods that do not go on serving for a while, one or two of a thousand in any order"
        )
        if run.params["drain"] == "required":
            raise ClusterError(
                f"{message}. Nothing was changed. Give the container a preStop hook of some seconds, or set "
                "drain to expected where the server drains by itself, or to ignored."
            )
        if run.params["drain"] == "ignored":
            run.say(f"{message}.")


def _earlier(kept: Kept | None) -> Start | None:
    """What a rollout started from that was rolled back: its canary may still stand in the spec."""
    return kept.state.start if kept is not None and kept.state.outcome == ROLLED_BACK else None


def _state(run: Run, plan: Plan, mode: str, earlier: Start | None) -> RolloutState:
    """The state to go on from, now that nobody else changes it."""
    kept = run.store.load()
    if kept is not None and not kept.state.outcome:
        if kept.plan.fingerprint != plan.fingerprint:
            raise ClusterError("Another rollout was begun meanwhile, with another plan. Nothing was changed.")
        run.say(f"going on with the rollout that was begun {ago(kept.state)} ago{by(kept.state)}")
        return kept.state
    # Whoever held the Lease until now may have changed what was looked at before.
    seen = _refuse(run, plan, mode)
    state = begin(plan, mode, seen, time.time(), earlier)
    run.store.begin(plan, state)
    return state


def _ended(run: Run, plan: Plan, end: DriveEnd, changed: bool) -> dict[str, Any]:
    result = run.result(plan, end.state, end.outcome, end.message, changed=changed)
    accepted = (
        {"promoted", "step"} if run.params["expect"] == "promoted" else {"promoted", "step", "rolled_back"}
    )
    if end.outcome not in accepted and run.params["expect"] != "any":
        about = f"The rollout of {run.namespace}/{run.name}"
        message = {
            "rolled_back": f"{about} was rolled back: {end.message}.",
            "held": f"{about} is held, and the split stays as it is: {end.message}. Ask for state resumed, "
            "promoted or aborted.",
            "timeout": f"{about} is not over after {run.timeout:g} s ({end.message}). The split "
            "stays as it is; the same task goes on from there.",
        }.get(end.outcome, f"{about} is {end.outcome}: {end.message}.")
        raise Failed(message, result)
    return result


def _foretold(run: Run, plan: Plan, mode: str, kept: Kept | None, earlier: Start | None) -> dict[str, Any]:
    """Check mode: what would be done, patch by patch."""
    state = kept.state if kept else begin(plan, mode, run.look(mode), time.time(), earlier)
    rows = foretold(plan, state, float(run.params["rate"] or 0))
    for row in rows:
        seconds = f", at least {row['seconds']:g} s" if row.get("seconds") else ""
        beyond = "" if row.get("within_deadline", True) else ", which is more than its deadline"
        run.progress.add("driver", "foretold", f"{row['text']}{seconds}{beyond}: {row['patch']}")
    return {
        "changed": True,
        "outcome": "pending",
        "message": f"{len(rows)} patches in {mode} mode",
        "driver": {},
        "under_way": kept is not None,
        "plan": rows,
        "way_back": way_back(plan, state),
        "transitions": run.progress.entries,
    }
