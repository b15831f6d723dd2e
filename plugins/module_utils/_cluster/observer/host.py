# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that observes for several: asked to take up one more plan, started where there is none; it ends
with the last of them."""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable
from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import alive, own_record
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import read_json

from ..client.api import Api
from ..client.errors import ClusterError
from ..client.watch import Clock
from .job import begun
from .plan import ObserverPlan, ObserverStore
from .session import Session
from .shared import Shared
from .targets import observer_of
from .worker import Outside, forked

LOOK_SECONDS = 0.1
ANSWER_SECONDS = 120.0
IDLE_SECONDS = 20.0
"""How long it stays without a plan: the next rollout of a list may be about to begin."""


@dataclass(frozen=True)
class Sight:
    """One API server, and the eyes that all observers of it share."""

    api: Api
    eyes: Shared
    clock: Clock


class Host:
    """The process. `store` is its own; each plan has one of its name in the same folder."""

    def __init__(self, store: ObserverStore, sight: Sight, outside: Outside) -> None:
        self._store = store
        self._sight = sight
        self._outside = outside
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Until it is stopped, or nobody has asked for anything for a while."""
        write_atomically(self._store.record, json.dumps(own_record()))
        self._outside.say("ready")
        busy = time.monotonic()
        while not self._outside.stopped():
            self._take_up()
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if self._threads:
                busy = time.monotonic()
            elif time.monotonic() - busy > IDLE_SECONDS and self._store.close_when_unasked():
                return
            time.sleep(LOOK_SECONDS)
        for thread in self._threads:
            thread.join()
        write_atomically(self._store.result, json.dumps({"ended": time.time()}))

    def _take_up(self) -> None:
        for path in sorted(self._store.asked.glob("*.json")):
            plan = ObserverPlan(**(read_json(path) or {}))
            path.unlink()
            thread = threading.Thread(target=self._observe, args=(plan,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _observe(self, plan: ObserverPlan) -> None:
        store = self._store.beside(plan.name)
        session = None
        try:
            session = Session(
                plan,
                store,
                lambda: self._outside.stopped() or store.end.exists(),
                lambda: write_atomically(store.answer, ""),
            )
            # Whoever ends this one must not end the process, which has others.
            write_atomically(store.record, json.dumps({**own_record(), "shared": self._store.name}))
            session.run(lambda: observer_of(self._sight.api, self._sight.eyes, plan, self._sight.clock))
        except BaseException as error:
            if not isinstance(error, ClusterError):
                traceback.print_exc()
            # It is alive, and yet this ended: as one that was killed.
            write_atomically(store.record, json.dumps({**own_record(), "start_time": "ended"}))
            write_atomically(store.answer, printable(str(error)) or type(error).__name__)
        finally:
            if session is not None:
                session.close()


def attach(
    plan: ObserverPlan, shared: str, cluster: str, sight: Callable[[], Sight], state_dir: str | None
) -> bool:
    """Have it observed by the process of the name `shared`. True if it was begun, False if it was before.

    `sight` makes what the process sees with, in the process. Returns once everything needed has been listed.
    Raises ClusterError if that fails, if the process observes another cluster than `cluster`, or if one of
    the plan's name observes something else.
    """
    if shared == plan.name:
        raise ClusterError(
            f"shared: the process that serves several needs a name of its own, unlike {shared}."
        )
    return begun(
        plan, state_dir, lambda store: _await(store, _asked(plan, shared, cluster, sight, state_dir))
    )


def _asked(
    plan: ObserverPlan, shared: str, cluster: str, sight: Callable[[], Sight], state_dir: str | None
) -> ObserverStore:
    """Puts the plan where the process finds it; the process has begun then."""
    host = ObserverStore(state_dir, shared)
    with host.locked(create=True):
        runs = alive(read_json(host.record)) and not host.result.exists()
        if not runs:
            host.clear()
            write_atomically(host.description, json.dumps({"shared": True, "cluster": cluster}))
        served = (read_json(host.description) or {}).get("cluster")
        if served != cluster:
            raise ClusterError(
                f"The observers' process {shared!r} looks at {served or 'another cluster'}, not at "
                f"{cluster}: choose another name."
            )
        host.asked.mkdir(exist_ok=True, mode=0o700)
        write_atomically(host.asked / f"{plan.name}.json", json.dumps(asdict(plan)))
        if not runs:
            try:
                forked(host, lambda outside: Host(host, sight(), outside).run())
            except ClusterError:
                host.remove()
                raise
    return host


def _await(store: ObserverStore, host: ObserverStore) -> None:
    """Returns once it observes. Raises ClusterError with what is wrong."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not store.answer.exists():
        if not alive(read_json(host.record)):
            raise ClusterError(f"The observers' process ended before it observed; see {host.log}.")
        if time.monotonic() > deadline:
            store.end.touch()
            raise ClusterError(
                f"The observers' process {host.name!r} has not begun within {ANSWER_SECONDS:.0f} s."
            )
        time.sleep(LOOK_SECONDS)
    problem = store.answer.read_text(encoding="utf-8")
    if problem:
        raise ClusterError(problem)
