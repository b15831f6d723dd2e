# SPDX-License-Identifier: GPL-3.0-or-later
"""What people ask of a rollout from whatever terminal: paused, resumed, promoted, aborted."""

from __future__ import annotations

import secrets
import time
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.machine import no_way_back
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.state import (
    ABORT,
    BACK,
    PROMOTE,
    PROMOTED,
    ROLLED_BACK,
    RolloutState,
)

from ..client.errors import ClusterError, Unreachable
from ..module import Failed
from .lease import HeldByAnother, Lease
from .run import Run
from .store import Kept, Request

# Between looks at whether the driver has taken a request up.
LOOK_SECONDS = 1.0


def asked(run: Run) -> dict[str, Any]:
    """The states that a person asks for, from whatever terminal."""
    what = str(run.params["state"])
    kept = run.store.load()
    if kept is None:
        raise ClusterError(
            f"There is no rollout of {run.namespace}/{run.name} that could be {what}. Nothing was changed."
        )
    _refuse_in_vain(run, kept, what)
    if _holds_already(kept.state, what):
        return run.result(
            kept.plan, kept.state, kept.state.outcome or what, f"it is {what} already", changed=False
        )
    if kept.state.outcome and not (what == ABORT and kept.state.outcome == PROMOTED):
        raise ClusterError(
            f"The rollout of {run.namespace}/{run.name} has ended: {kept.state.outcome}. Nothing was changed."
        )
    if run.check_mode:
        return run.result(kept.plan, kept.state, what, f"would be {what}", changed=True)
    request = Request(secrets.token_hex(8), what, run.holder)
    run.store.ask(request)
    try:
        return _see_to(run, request)
    except (Failed, HeldByAnother, _Told):
        raise
    except ClusterError as error:
        raise ClusterError(
            f"{error} The rollout was asked to be {what} all the same: whoever drives it takes that up. "
            "Where nobody does, ask again."
        ) from None


def _refuse_in_vain(run: Run, kept: Kept, what: str) -> None:
    """Raises ClusterError for what would come to nothing: the way back knows no pause, and a promotion cannot
    always be taken back."""
    state, about = kept.state, f"The rollout of {run.namespace}/{run.name}"
    if state.track == BACK and not state.outcome and what != ABORT:
        raise ClusterError(
            f"{about} goes back to {state.start.baseline} ({state.cause}), and cannot be {what} any more. "
            "Nothing was changed. Where nobody drives it, ask for aborted."
        )
    if state.outcome == PROMOTED and what == ABORT:
        seen = run.looker.look(state.start.mode, state.canary, state.start.baseline)
        why = no_way_back(kept.plan, state, seen)
        if why:
            raise ClusterError(f"{about} has ended, and cannot be aborted: {why}. Nothing was changed.")


class _Told(ClusterError):
    """What became of the request is told."""


def _see_to(run: Run, request: Request) -> dict[str, Any]:
    """It is taken up by whoever drives, or else done here."""
    what, lease = request.what, run.lease()
    while True:
        try:
            lease.acquire(lambda _text: None, by_a_person=True)
        except HeldByAnother as other:
            result = _wait_for(run, request, other.holder, lease)
            if result is None:
                continue
            return result
        try:
            return _do(run, request, lease)
        finally:
            lease.release(give_back=what not in (ABORT, PROMOTE))


def _holds_already(state: RolloutState, what: str) -> bool:
    if what == ABORT:
        return state.outcome == ROLLED_BACK
    if what == PROMOTE:
        return state.outcome == PROMOTED
    if state.outcome:
        return False
    return state.paused if what == "paused" else not state.paused and not state.hold and not state.stopped_at


def _do(run: Run, request: Request, lease: Lease) -> dict[str, Any]:
    """Nobody drives, so it is done here."""
    kept = run.store.load()
    if kept is None:
        raise _Told("The rollout's ConfigMap was deleted meanwhile. Nothing was changed.")
    driver = run.driver(kept.plan, kept.state, lease)
    if kept.state.handled != request.id:
        driver.take_up(request, driver.look())
    if request.what not in (ABORT, PROMOTE) or driver.state.hold:
        message = driver.state.hold or f"it is {request.what}; nobody drives it at the moment"
        return run.result(kept.plan, driver.state, request.what, message, changed=True)
    end = driver.drive(run.deadline, 0.0, False)
    wanted = ROLLED_BACK if request.what == ABORT else PROMOTED
    result = run.result(kept.plan, end.state, end.outcome, end.message, changed=True)
    if end.outcome != wanted:
        raise Failed(f"The rollout of {run.namespace}/{run.name} is {end.outcome}: {end.message}.", result)
    return result


def _wait_for(run: Run, request: Request, holder: str, lease: Lease) -> dict[str, Any] | None:
    """Another driver takes it up; for an end that is asked for, it is waited for. None once nobody drives."""
    final = request.what in (ABORT, PROMOTE)
    while time.monotonic() < run.deadline:
        try:
            kept = run.store.load()
            nobody = lease.nobody_drives()
        except Unreachable:
            time.sleep(LOOK_SECONDS)
            continue
        if kept is None:
            raise _Told("The rollout's ConfigMap was deleted meanwhile, and the request with it.")
        taken = kept.state.handled == request.id
        if taken and (not final or kept.state.outcome or kept.state.hold):
            message = f"{holder} has taken it up"
            return run.result(
                kept.plan, kept.state, kept.state.outcome or request.what, message, changed=True
            )
        if not taken and kept.request != request:
            raise _Told(f"The request to be {request.what} was lost or replaced by a later one. Ask again.")
        if nobody:
            return None
        time.sleep(LOOK_SECONDS)
    raise _Told(
        f"{holder} has not come to {request.what} within {run.params['timeout']} s. The request stays, and "
        "whoever drives takes it up."
    )
