# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer as a detached process: started, looked at, stopped; its files.

The process is forked from the module that starts it, so that it has the credentials without their ever being
written down, and a token that the Kubernetes client renews is renewed here as well. It lets go of everything
else: its session, the folder, what Ansible reads.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    append_line,
    write_atomically,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import alive, send
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import (
    check_room,
    read_json,
    read_lines,
)

from ..client.errors import ClusterError
from .plan import Make, ObserverPlan, ObserverStore
from .worker import forked, observing

STOP_SECONDS = 15.0
SESSION_SECONDS = 60.0
"""Others wait for the same process, which is not to be killed for one."""


def state(state_dir: str | None, name: str) -> str:
    """`absent`, `running`, `stopped` (it ended by itself or was asked to), `interrupted` (it was killed)."""
    store = ObserverStore(state_dir, name)
    if not store.exists():
        return "absent"
    # In this order: the process writes its result before it ends.
    running = alive(read_json(store.record))
    if store.result.exists():
        return "stopped"
    if running:
        return "running"
    return "interrupted" if store.record.exists() else "absent"


def start(plan: ObserverPlan, make: Make, state_dir: str | None) -> bool:
    """Start it; True if it was started, False if it runs already with the same plan.

    Returns once everything needed has been listed. Raises ClusterError if that fails, or if one of the name
    observes something else.
    """
    return begun(plan, state_dir, lambda store: forked(store, observing(plan, make, store)))


def begun(plan: ObserverPlan, state_dir: str | None, begin: Callable[[ObserverStore], None]) -> bool:
    """Has `begin` observe the plan, in a store made ready and locked for it; what failed leaves none.

    False if the same plan is observed already. Raises ClusterError if that fails, or if one of the name
    observes something else.
    """
    store = ObserverStore(state_dir, plan.name)
    check_room(store.folder, "state folder")
    with store.locked(create=True):
        if not _prepared(plan, store):
            return False
        try:
            begin(store)
        except ClusterError:
            store.remove()
            raise
    return True


def _prepared(plan: ObserverPlan, store: ObserverStore) -> bool:
    """Makes a store ready for the plan, where that is not observed already. Raises ClusterError where another
    one is. The store must be locked."""
    if alive(read_json(store.record)) and not store.result.exists():
        if (read_json(store.description) or {}).get("plan") == plan.public:
            return False
        raise ClusterError(
            f"An observer named {plan.name!r} is running and observes something else: stop it first, or "
            "choose another name."
        )
    store.clear()
    write_atomically(store.description, json.dumps({"plan": plan.public}))
    return True


def plan_of(state_dir: str | None, name: str) -> dict[str, Any]:
    """What the observer of this name was asked to observe; empty where there is none."""
    plan: dict[str, Any] = (read_json(ObserverStore(state_dir, name).description) or {}).get("plan", {})
    return plan


def progress(state_dir: str | None, name: str) -> dict[str, Any]:
    """`state`, `heartbeat` (epoch seconds, None if there is none) and `unobserved` as of the heartbeat."""
    checkpoint = read_json(ObserverStore(state_dir, name).checkpoint) or {}
    return {
        "state": state(state_dir, name),
        "heartbeat": checkpoint.get("heartbeat"),
        "unobserved": checkpoint.get("unobserved", {}),
    }


def stop(state_dir: str | None, name: str) -> bool:
    """End it, with all that it has found written. True if it was running."""
    store = ObserverStore(state_dir, name)
    with store.locked(create=False) as there:
        record = read_json(store.record) if there else None
        if record is not None and record.get("shared"):
            return _end_session(store, record)
        if record is None or not send(record, signal.SIGTERM):
            return False
        deadline = time.monotonic() + STOP_SECONDS
        while alive(record):
            if time.monotonic() > deadline:
                send(record, signal.SIGKILL)
            time.sleep(0.05)
    return True


def _end_session(store: ObserverStore, record: dict[str, Any]) -> bool:
    """End one of several that a process serves, which goes on. Raises ClusterError where that fails."""
    if store.result.exists() or not alive(record):
        return False
    store.end.touch()
    deadline = time.monotonic() + SESSION_SECONDS
    while alive(record) and not store.result.exists():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"The observers' process {record['shared']!r} (process {record['pid']}) does not end the "
                f"observer {store.name!r}. What it saw until now is in {store.observations}."
            )
        time.sleep(0.05)
    return True


def observations(state_dir: str | None, name: str) -> list[dict[str, Any]]:
    """What it has written so far. Of one that was killed, a last row says that nothing was observed since."""
    store = ObserverStore(state_dir, name)
    rows = read_lines(store.observations, _size(store.observations))
    now = progress(state_dir, name)
    if now["state"] == "interrupted" and now["heartbeat"]:
        why = "the observer was killed"
        rows.append({"time": now["heartbeat"], "type": "killed", "from": now["heartbeat"], "why": why})
    return rows


def deliver(state_dir: str | None, name: str, dest: str) -> bool:
    """Write the observations to a file. True unless they were there already. Raises ClusterError."""
    text = "".join(json.dumps(row) + "\n" for row in observations(state_dir, name))
    path = Path(dest)
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        write_atomically(path, text, 0o644)
    except OSError as error:
        raise ClusterError(f"The observations cannot be written to {dest}: {error.strerror}.") from None
    return True


def killed_at(state_dir: str | None, name: str) -> float | None:
    """When it was seen alive last, if it was killed."""
    now = progress(state_dir, name)
    return now["heartbeat"] if now["state"] == "interrupted" else None


def mark_killed(timeline: str, at: float) -> None:
    """Write the end of an observer that could not write it itself into the run's timeline, once.

    Raises ClusterError if it cannot be written.
    """
    data = {"killed": True}
    row = {
        "time": round(at, 3),
        "source": "observer",
        "event": "stopped",
        "text": "the observer was killed",
        "data": data,
    }
    path = Path(timeline)
    try:
        if json.dumps(row) not in (path.read_text(encoding="utf-8").splitlines() if path.exists() else ()):
            append_line(path, json.dumps(row))
    except OSError as error:
        raise ClusterError(f"The timeline {timeline} cannot be written: {error.strerror}.") from None


def _keep_interrupted(state_dir: str | None, name: str) -> None:
    """Put what a killed observer saw where it would have put it itself."""
    killed = killed_at(state_dir, name)
    if killed is None:
        return
    plan = plan_of(state_dir, name)
    if plan.get("timeline"):
        mark_killed(plan["timeline"], killed)
    if plan.get("dest"):
        deliver(state_dir, name, plan["dest"])


def remove(state_dir: str | None, name: str) -> bool:
    """Stop it and remove its folder; what it saw is at its destination then. True if there was one."""
    store = ObserverStore(state_dir, name)
    if not store.exists():
        return False
    stop(state_dir, name)
    with contextlib.suppress(ClusterError):
        _keep_interrupted(state_dir, name)  # what cannot be written must not keep the folder
    with store.locked(create=False) as there:
        if there:
            store.remove()
    return there


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
