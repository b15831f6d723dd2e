# SPDX-License-Identifier: GPL-3.0-or-later
"""The process behind a revision: a model server that speaks the V1 protocol of KFServing and KServe.

Run as ``python3 -m …_sandbox.model_server.main`` in a pod. Its environment:

``POD_IP``, ``PORT`` (8080), ``METRICS_PORT`` (9090)
    where it listens;
``MODEL_NAME``, ``STORAGE_URI``
    what it serves;
``K_REVISION``, ``K_CONFIGURATION``, ``K_SERVICE``, ``POD_NAME``, ``POD_NAMESPACE``
    as whom: the labels of its metrics and the header ``X-Revision``. Without ``K_REVISION``, in KServe's
    Standard mode, the revision is the pod's ReplicaSet: its own name without the last part;
``MODEL_LOAD_SECONDS`` (1)
    how long loading takes, so that the time before readiness can be seen;
``TERMINATION_DRAIN_SECONDS`` (2)
    how long it keeps serving after SIGTERM;
``SANDBOX_FAULTS``
    see :mod:`faults`.

On SIGTERM it reports itself not ready but goes on serving, with ``Connection: close``, until the gateway has
stopped sending; then it finishes what is in flight and exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import faults
from .metrics import CONTENT_TYPE, RevisionMetrics
from .model import BadPredictionRequest, Classifier, predict

with contextlib.suppress(ImportError):  # The module `sandbox` reports kopf, which brings it.
    from aiohttp import web
    from aiohttp.typedefs import Handler

# The gateway drops an idle upstream connection after 30 s. Keeping it longer here means that the gateway
# always closes first, so no request can meet a connection that this side is just closing.
KEEPALIVE_SECONDS = 90.0
MAX_BODY_BYTES = 16 * 1024 * 1024
BREAK_OFF_SECONDS = 0.02
IN_FLIGHT_SECONDS = 20.0
"""How long requests in flight may take once the drain is over; the pod's grace period is 30 s."""


@dataclass(frozen=True)
class Settings:
    """What the environment says; see the module's text."""

    ip: str
    port: int
    metrics_port: int
    model: str
    storage_uri: str
    revision: str
    labels: Mapping[str, str]
    load_seconds: float
    drain_seconds: float
    faults: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the environment.

        :raises ValueError: a variable is missing or is not a number.
        """
        missing = [name for name in ("POD_IP", "MODEL_NAME", "STORAGE_URI") if not env.get(name)]
        revision = env.get("K_REVISION") or env.get("POD_NAME", "").rpartition("-")[0]
        if not revision:
            missing.append("K_REVISION")
        if missing:
            raise ValueError(f"{missing[0]} is not set. The model server is started by its Deployment.")
        labels = {
            "revision_name": revision,
            "configuration_name": env.get("K_CONFIGURATION", ""),
            "service_name": env.get("K_SERVICE", ""),
            "namespace_name": env.get("POD_NAMESPACE", ""),
            "pod_name": env.get("POD_NAME", ""),
            "container_name": "kfserving-container",
        }
        return cls(
            ip=env["POD_IP"],
            port=int(env.get("PORT", "8080")),
            metrics_port=int(env.get("METRICS_PORT", "9090")),
            model=env["MODEL_NAME"],
            storage_uri=env["STORAGE_URI"],
            revision=revision,
            labels=labels,
            load_seconds=float(env.get("MODEL_LOAD_SECONDS", "1")),
            drain_seconds=float(env.get("TERMINATION_DRAIN_SECONDS", "2")),
            faults=faults.from_environment(env.get(faults.ENVIRONMENT, "")),
        )


class ModelServer:
    """The two HTTP applications of a model server, and the state that they share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._classifier = Classifier(settings.storage_uri)
        self._metrics = RevisionMetrics(settings.labels)
        self._loaded = False
        self._draining = False
        self._predictions = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Listen, load the model, serve until ``stop`` is set, drain, close."""
        settings = self._settings
        runners = []
        for app, port in ((self.model_app(), settings.port), (self.metrics_app(), settings.metrics_port)):
            runner = web.AppRunner(
                app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS, shutdown_timeout=IN_FLIGHT_SECONDS
            )
            await runner.setup()
            await web.TCPSite(runner, settings.ip, port).start()
            runners.append(runner)
        if "canary-never-ready" not in settings.faults:
            await _first(stop, settings.load_seconds)
            self._loaded = True
            _say(f"model {settings.model} loaded from {settings.storage_uri} as {settings.revision}")
        await stop.wait()
        self._draining = True
        _say(f"draining for {settings.drain_seconds:g} s")
        await asyncio.sleep(settings.drain_seconds)
        for runner in runners:
            await runner.cleanup()
        _say("stopped")

    def model_app(self) -> web.Application:
        """The V1 protocol; anything else is 400, as TensorFlow Serving answers a malformed request."""

        @web.middleware
        async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._around(request, handler)

        app = web.Application(middlewares=[around], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/v1/models/{model:[^/:]+}", self._status)
        app.router.add_post("/v1/models/{model:[^/:]+}:predict", self._predict)
        app.router.add_route("*", "/{rest:.*}", self._malformed)
        return app

    def metrics_app(self) -> web.Application:
        """``/metrics`` under Knative's names."""
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        return app

    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What Knative's queue proxy does: count and time what the model answers; name the revision."""
        started = time.perf_counter()
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = _error(error.status, error.reason)
        # Health checks are not requests of users; the queue proxy leaves them out as well.
        if request.path.endswith(":predict"):
            self._metrics.observe(response.status, (time.perf_counter() - started) * 1000)
        response.headers["X-Revision"] = self._settings.revision
        if self._draining:
            response.force_close()
        return response

    async def _status(self, request: web.Request) -> web.Response:
        """Readiness: 200 while the model is loaded and the server is not draining, else 503."""
        if request.match_info["model"] != self._settings.model:
            return self._unknown_model(request)
        ready = self._loaded and not self._draining
        state = "AVAILABLE" if ready else "UNLOADING" if self._draining else "LOADING"
        version = {"version": "1", "state": state, "status": {"error_code": "OK", "error_message": ""}}
        body = {"name": self._settings.model, "ready": ready, "model_version_status": [version]}
        return web.json_response(body, status=200 if ready else 503)

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["model"] != self._settings.model:
            return self._unknown_model(request)
        body = await request.read()
        if not self._loaded:
            return _error(503, f"Model {self._settings.model} is loading")
        self._predictions += 1
        slow = self._settings.faults.get("canary-slow")
        if slow:
            await asyncio.sleep(slow["seconds"])
        failing = self._settings.faults.get("canary-5xx")
        if failing and due(self._predictions, failing["share"]):
            return _error(500, "Fault canary-5xx")
        try:
            answer = json.dumps(predict(self._classifier, body))
        except BadPredictionRequest as error:
            return _error(400, str(error))
        truncating = self._settings.faults.get("canary-truncated")
        if truncating and due(self._predictions, truncating["share"]):
            return await self._break_off(request, answer.encode())
        return web.json_response(text=answer)

    async def _break_off(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send the head, which promises the whole body, and half of it; then close the connection."""
        headers = {"Content-Length": str(len(body)), "X-Revision": self._settings.revision}
        half = web.StreamResponse(headers=headers)
        half.content_type = "application/json"
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
        # The gateway passes on what it has before it learns that no more will come.
        await asyncio.sleep(BREAK_OFF_SECONDS)
        if request.transport is not None:
            request.transport.close()
        return half

    def _unknown_model(self, request: web.Request) -> web.Response:
        return _error(404, f"Servable not found for request: Latest({request.match_info['model']})")

    async def _malformed(self, request: web.Request) -> web.Response:
        return _error(400, f"Malformed request: {request.method} {request.path}")

    async def _scrape(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition().encode(), headers={"Content-Type": CONTENT_TYPE})


def due(number: int, share: float) -> bool:
    """Whether event ``number`` (from 1) is one of the share; evenly spread, and exact in the long run."""
    return int(number * share + 1e-9) > int((number - 1) * share + 1e-9)


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _say(text: str) -> None:
    print(text, flush=True)


async def _first(stop: asyncio.Event, seconds: float) -> None:
    """Wait for the time or for the stop, whichever comes first."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except asyncio.TimeoutError:
        return


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await ModelServer(settings).run(stop)


def main() -> None:
    """Serve until a signal ends the process."""
    try:
        asyncio.run(_serve(Settings.from_environment(os.environ)))
    except (ValueError, OSError) as problem:
        sys.exit(f"The model server cannot start: {problem}")
