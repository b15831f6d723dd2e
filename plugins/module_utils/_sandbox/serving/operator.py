# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving controller: an operator that does for InferenceServices what KFServing 0.5 with Knative does.

Run as ``python3 -m …_sandbox.serving`` in a pod. kopf watches and wakes; one thread does the passes, one at a
time, so no two of them ever write routes. Needs ``KUBECONFIG``, ``POD_IP``, ``POD_NAMESPACE`` and
``VOLUME_GATEWAY``.
"""

from __future__ import annotations

import datetime
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kopf

from ..gateway.admin import Admin
from ..gateway.config import GatewayFiles
from ..kube.client import from_environment
from ..kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, PODS, Kind
from . import resources
from .api import GATEWAY_NAMESPACE, GATEWAY_SERVICE, ServingApi
from .controller import Controller
from .routes import GatewayWriter

LIVENESS_PORT = 8080
COALESCE_SECONDS = 0.02
"""Events come in bursts (a pod's phases, a Deployment's counters); one pass answers them all."""
RETRY_SECONDS = 1.0

_LOG = logging.getLogger("serving")


class PassLoop:
    """Runs passes in a thread of its own: at each wake-up, and when the last pass said it is time."""

    def __init__(self, run_once: Callable[[], float]) -> None:
        self._run_once = run_once
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="passes", daemon=True)

    def start(self) -> None:
        """Begin, with a pass at once."""
        self._thread.start()

    def wake(self) -> None:
        """Something changed: do a pass soon."""
        self._wake.set()

    def stop(self) -> None:
        """Let the pass under way finish, then end."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=10)

    @property
    def alive(self) -> bool:
        """Whether passes are being done."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                delay = self._run_once()
            # Whatever a pass met, such as an API server that restarts, the next one starts afresh.
            except Exception as error:
                text = f"{type(error).__name__}: {error}".splitlines()[0]
                _LOG.error("a pass failed, next in %g s: %s", RETRY_SECONDS, text)
                delay = RETRY_SECONDS
                self._wake.clear()
            self._wake.wait(delay)
            time.sleep(COALESCE_SECONDS)


def make_registry(loop: PassLoop) -> kopf.OperatorRegistry:
    """Return kopf's handlers: settings, the loop's life, and the events that wake it."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)

    @kopf.on.startup(registry=registry)
    def begin(settings: kopf.OperatorSettings, **_unused: Any) -> None:
        settings.posting.enabled = False
        # For ever, in seconds: an API server that restarts must not end the operator.
        settings.networking.error_backoffs = [0.2, 0.5, *[1.0] * 600]
        loop.start()

    @kopf.on.cleanup(registry=registry)
    def end(**_unused: Any) -> None:
        loop.stop()

    @kopf.on.probe(registry=registry, id="passes")
    def passes(**_unused: Any) -> str:
        if not loop.alive:
            raise RuntimeError("The passes have ended.")
        return "running"

    # Plain event handlers leave no trace on the objects: no annotation, no finalizer of kopf's own.
    async def wake(**_unused: Any) -> None:
        loop.wake()

    gateway = {"app": GATEWAY_SERVICE}
    revision = {resources.REVISION_LABEL: kopf.PRESENT}

    def wake_on(kind: Kind, **options: Any) -> None:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, **options)(wake)

    wake_on(INFERENCE_SERVICES)
    wake_on(DEPLOYMENTS, labels=revision)
    wake_on(PODS, labels=revision)
    wake_on(PODS, labels=gateway, id=f"{GATEWAY_NAMESPACE}-pods")
    return registry


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One line for each health check and each event would bury what this controller has to say.
    for noisy in ("aiohttp.access", "kopf"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    files = GatewayFiles(Path(os.environ["VOLUME_GATEWAY"]))
    files.create_if_missing()
    gateway = GatewayWriter(files, time.monotonic, time.sleep)

    api = ServingApi(from_environment(), os.environ["POD_NAMESPACE"])
    controller = Controller(api, gateway, Admin, _now)
    kopf.run(
        registry=make_registry(PassLoop(controller.run_once)),
        clusterwide=True,
        standalone=True,
        liveness_endpoint=f"http://{os.environ['POD_IP']}:{LIVENESS_PORT}/healthz",
    )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
