# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's iter8 controller: `python3 -m …_sandbox.iter8.main controller`.

A kopf operator that takes from kopf what it is best at (lists, watches, reconnecting, a liveness endpoint)
and keeps all state in the Experiments themselves: no finalizers, no annotations. Its environment: KUBECONFIG,
POD_IP, LIVENESS_PORT, ITER8_ANALYTICS_ENDPOINT, HANDLERS_DIR.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from ..kube.client import from_environment
from ..kube.resources import EXPERIMENTS
from .api import KubernetesCluster
from .steps import Reconciler

with contextlib.suppress(ImportError):  # The module `sandbox` reports it.
    import kopf

Key = tuple[str, str]

# A step that failed for a passing reason (the API server restarts, a conflict) is repeated.
_FIRST_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 2.0


class Queue:
    """One worker per Experiment that has something to do; a worker repeats steps until none is left.

    `step(namespace, name)` blocks, and returns the seconds until the next step or None if there is none.
    """

    def __init__(self, step: Callable[[str, str], Optional[float]], log: Callable[[str], None]) -> None:
        self._step = step
        self._log = log
        self._pokes: dict[Key, asyncio.Event] = {}
        self._workers: set[asyncio.Task[None]] = set()

    def poke(self, key: Key) -> None:
        """Something happened to this Experiment: look at it now."""
        if key in self._pokes:
            self._pokes[key].set()
            return
        self._pokes[key] = asyncio.Event()
        worker = asyncio.get_running_loop().create_task(self._work(key))
        # The event loop itself keeps no strong reference to a task.
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work(self, key: Key) -> None:
        poked = self._pokes[key]
        retry = _FIRST_RETRY_SECONDS
        while True:
            poked.clear()
            try:
                wait = await asyncio.to_thread(self._step, *key)
                retry = _FIRST_RETRY_SECONDS
            except Exception as error:
                self._log(f"{key[0]}/{key[1]}: will try again in {retry:.1f} s: {_brief(error)}")
                await asyncio.sleep(retry)
                retry = min(2 * retry, _LONGEST_RETRY_SECONDS)
                continue
            if wait is None and not poked.is_set():
                del self._pokes[key]
                return
            if wait:
                await _wait(poked, wait)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # Again and again, for ten minutes: an API server that restarts must not end the controller.
    settings.networking.error_backoffs = [0.2, 0.5, *[1.0] * 600]
    return settings


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stdout)
    for name in ("kopf", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    cluster = KubernetesCluster(
        from_environment(),
        Path(os.environ["HANDLERS_DIR"]),
        os.environ["ITER8_ANALYTICS_ENDPOINT"],
    )
    queue = Queue(Reconciler(cluster, time.time, _say).reconcile, _say)
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)

    @kopf.on.event(EXPERIMENTS.group, EXPERIMENTS.version, EXPERIMENTS.plural, registry=registry)
    async def _changed(namespace: Optional[str], name: Optional[str], **_unused: Any) -> None:
        queue.poke((namespace or "", name or ""))

    _say("iter8 controller: watching Experiments")
    kopf.run(
        registry=registry,
        settings=_settings(),
        standalone=True,
        clusterwide=True,
        liveness_endpoint=f"http://{os.environ['POD_IP']}:{os.environ['LIVENESS_PORT']}/healthz",
    )
