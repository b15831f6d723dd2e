# SPDX-License-Identifier: GPL-3.0-or-later
"""The serving controller: an operator that does for InferenceServices what KFServing or KServe does.

Run as ``python3 -m …_sandbox.serving.main`` in a pod. kopf watches and wakes; one thread does the passes, one
at a time, so no two of them ever write routes. Needs ``KUBECONFIG``, ``POD_IP``, ``POD_NAMESPACE`` and
``VOLUME_GATEWAY``; ``SERVING_STACK`` is ``kfserving`` (the default) or ``kserve``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..gateway.admin import Admin
from ..gateway.config import GatewayFiles
from ..kube.client import KubeClient, from_environment
from ..kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, KSERVE_INFERENCE_SERVICES, PODS, Kind
from ..kube.times import timestamp
from . import resources
from .api import GATEWAY_NAMESPACE, GATEWAY_SERVICE, ServingApi
from .controller import Controller
from .kfserving import KfservingStack
from .kserve.api import KserveApi
from .kserve.objects import CHILDREN, SERVICE_LABEL
from .kserve.stack import KserveStack
from .routes import GatewayWriter

with contextlib.suppress(ImportError):  # The module `sandbox` reports it.
    import kopf

LIVENESS_PORT = 8080
COALESCE_SECONDS = 0.02
"""Events come in bursts (a pod's phases, a Deployment's counters); one pass answers them all."""
RETRY_SECONDS = 1.0

_LOG = logging.getLogger("serving")


@dataclass(frozen=True)
class Watched:
    """What wakes the controller: the InferenceServices, and those objects that carry a label."""

    services: Kind
    label: str
    kinds: tuple[Kind, ...]


WATCHED = {
    "kfserving": Watched(INFERENCE_SERVICES, resources.REVISION_LABEL, (DEPLOYMENTS, PODS)),
    "kserve": Watched(KSERVE_INFERENCE_SERVICES, SERVICE_LABEL, (*CHILDREN, PODS)),
}
"""By the name of the stack."""


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


def make_registry(loop: PassLoop, watched: Watched) -> kopf.OperatorRegistry:
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

    def wake_on(kind: Kind, **options: Any) -> None:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, **options)(wake)

    wake_on(watched.services)
    for kind in watched.kinds:
        wake_on(kind, labels={watched.label: kopf.PRESENT})
    wake_on(PODS, labels={"app": GATEWAY_SERVICE}, id=f"{GATEWAY_NAMESPACE}-pods")
    return registry


def make_controller(name: str, client: KubeClient, gateway: GatewayWriter) -> Controller:
    """The controller of the stack of that name, one of :data:`WATCHED`."""
    namespace = os.environ["POD_NAMESPACE"]
    if name == "kserve":
        kserve = KserveApi(client, namespace)
        return Controller(kserve, KserveStack(kserve, _now, time.monotonic), gateway, Admin)
    api = ServingApi(client, namespace)
    return Controller(api, KfservingStack(api, _now), gateway, Admin)


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

    name = os.environ.get("SERVING_STACK", "kfserving")
    controller = make_controller(name, from_environment(), gateway)
    kopf.run(
        registry=make_registry(PassLoop(controller.run_once), WATCHED[name]),
        clusterwide=True,
        standalone=True,
        liveness_endpoint=f"http://{os.environ['POD_IP']}:{LIVENESS_PORT}/healthz",
    )


def _now() -> str:
    return timestamp(time.time())
