# SPDX-License-Identifier: GPL-3.0-or-later
"""The model server over real sockets on loopback, each within one short event loop."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import faults
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.model_server import server

ENV = {
    "POD_IP": "127.0.0.1",
    "MODEL_NAME": "my-model",
    "STORAGE_URI": "gs://models/one",
    "K_REVISION": "rev-1",
    "POD_NAME": "pod-1",
    "POD_NAMESPACE": "default",
    "MODEL_LOAD_SECONDS": "0",
    "TERMINATION_DRAIN_SECONDS": "0",
}
BODY = json.dumps({"instances": [{"image_bytes": {"b64": base64.b64encode(b"x").decode()}, "key": "1"}]})
PREDICT = "/v1/models/my-model:predict"
STATUS = "/v1/models/my-model"


@dataclasses.dataclass
class Running:
    http: aiohttp.ClientSession
    base: str
    metrics: str
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def ask(self, method: str, path: str, body: str = "") -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self.http.request(method, self.base + path, data=body or None) as response:
            return response.status, await response.json(), response


Scenario = Callable[[Running], Awaitable[None]]


def play(scenario: Scenario, **extra: str) -> None:
    """Run a scenario against a server; bounded, and the server always ends."""

    async def main() -> None:
        ports = {"PORT": str(unused_port()), "METRICS_PORT": str(unused_port())}
        settings = server.Settings.from_environment({**ENV, **ports, **extra})
        stop = asyncio.Event()
        task = asyncio.create_task(server.ModelServer(settings).run(stop))
        base, metrics = (
            f"http://127.0.0.1:{settings.port}",
            f"http://127.0.0.1:{settings.metrics_port}/metrics",
        )
        async with aiohttp.ClientSession() as http:
            running = Running(http, base, metrics, stop, task)
            await until_listening(running)
            await scenario(running)
            stop.set()
            await task

    asyncio.run(asyncio.wait_for(main(), 10))


async def until_listening(running: Running) -> None:
    while True:
        try:
            await running.ask("GET", STATUS)
            return
        except aiohttp.ClientConnectionError:
            assert not running.task.done()
            await asyncio.sleep(0.005)


def test_predicts_and_names_its_revision() -> None:
    async def scenario(running: Running) -> None:
        status, answer, response = await running.ask("POST", PREDICT, BODY)
        assert status == 200
        assert response.headers["X-Revision"] == "rev-1"
        (entry,) = answer["predictions"]
        assert set(entry) == {"scores", "prediction", "key"}
        status, answer, _unused = await running.ask("GET", STATUS)
        assert (status, answer["ready"]) == (200, True)
        assert answer["model_version_status"][0]["state"] == "AVAILABLE"

    play(scenario)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", PREDICT, "{", 400),
        ("POST", PREDICT, "{}", 400),
        ("POST", "/v1/models/other:predict", BODY, 404),
        ("GET", "/v1/models/other", "", 404),
        ("GET", PREDICT, "", 400),
        ("GET", "/", "", 400),
    ],
)
def test_wrong_requests_get_an_error_and_the_revision(method: str, path: str, body: str, status: int) -> None:
    async def scenario(running: Running) -> None:
        found, answer, response = await running.ask(method, path, body)
        assert found == status
        assert list(answer) == ["error"]
        assert response.headers["X-Revision"] == "rev-1"

    play(scenario)


def test_body_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_BODY_BYTES", 100)

    async def scenario(running: Running) -> None:
        assert (await running.ask("POST", PREDICT, "x" * 101))[0] == 413

    play(scenario)


def test_metrics_count_predictions_and_not_probes() -> None:
    async def scenario(running: Running) -> None:
        for body in (BODY, BODY, "{"):
            await running.ask("POST", PREDICT, body)
        async with running.http.get(running.metrics) as response:
            text = await response.text()
        lines = [
            line for line in text.splitlines() if line.startswith("revision_app_request_latencies_count")
        ]
        assert [(line.split('response_code="')[1][:3], line.split()[-1]) for line in lines] == [
            ("200", "2"),
            ("400", "1"),
        ]
        for label in ('revision_name="rev-1"', 'pod_name="pod-1"', 'namespace_name="default"'):
            assert label in lines[0]

    play(scenario)


def test_not_ready_while_it_loads() -> None:
    async def scenario(running: Running) -> None:
        status, answer, _unused = await running.ask("GET", STATUS)
        assert (status, answer["ready"]) == (503, False)
        assert (await running.ask("POST", PREDICT, BODY))[0] == 503

    play(scenario, MODEL_LOAD_SECONDS="3600")


def test_drain_serves_on_closes_connections_and_finishes_what_is_in_flight() -> None:
    async def scenario(running: Running) -> None:
        slow = asyncio.create_task(running.ask("POST", PREDICT, BODY))
        await asyncio.sleep(0.05)
        running.stop.set()
        await asyncio.sleep(0.05)
        status, answer, response = await running.ask("GET", STATUS)
        assert (status, answer["model_version_status"][0]["state"]) == (503, "UNLOADING")
        assert response.headers["Connection"] == "close"
        late = asyncio.create_task(running.ask("POST", PREDICT, BODY))
        assert (await slow)[0] == 200
        assert (await late)[0] == 200
        await running.task
        with pytest.raises(aiohttp.ClientConnectionError):
            await running.ask("GET", STATUS)

    slow = {faults.ENVIRONMENT: '{"canary-slow": {"seconds": 0.3}}'}
    play(scenario, TERMINATION_DRAIN_SECONDS="0.2", **slow)


def test_fault_5xx_hits_its_share() -> None:
    async def scenario(running: Running) -> None:
        codes = [(await running.ask("POST", PREDICT, BODY))[0] for _unused in range(10)]
        assert codes == [200, 200, 200, 500, 200, 200, 500, 200, 200, 500]

    play(scenario, **{faults.ENVIRONMENT: '{"canary-5xx": {"share": 0.3}}'})


def test_fault_truncated_promises_more_than_it_sends() -> None:
    async def scenario(running: Running) -> None:
        _unused, whole, _unused = await running.ask("POST", PREDICT, BODY)
        async with running.http.post(running.base + PREDICT, data=BODY) as response:
            assert response.status == 200
            assert response.headers["X-Revision"] == "rev-1"
            promised = int(response.headers["Content-Length"])
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert promised == len(json.dumps(whole))
        assert (await running.ask("POST", PREDICT, BODY))[1] == whole

    play(scenario, **{faults.ENVIRONMENT: '{"canary-truncated": {"share": 0.5}}'})


def test_fault_never_ready() -> None:
    async def scenario(running: Running) -> None:
        await asyncio.sleep(0.05)
        assert (await running.ask("GET", STATUS))[0] == 503

    play(scenario, **{faults.ENVIRONMENT: '{"canary-never-ready": {}}'})


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 1 / 3, 0.5, 0.99, 1.0])
def test_share_is_exact_over_many(share: float) -> None:
    hits = sum(server.due(number, share) for number in range(1, 10001))
    assert abs(hits - 10000 * share) < 1


@pytest.mark.parametrize("name", ["POD_IP", "MODEL_NAME", "STORAGE_URI", "K_REVISION"])
def test_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is not set"):
        server.Settings.from_environment({**ENV, "POD_NAME": "", name: ""})


def test_without_a_revision_it_is_the_pods_replica_set() -> None:
    env = {**ENV, "K_REVISION": "", "POD_NAME": "m-predictor-59b769fb6f-kgg4b"}
    settings = server.Settings.from_environment(env)
    assert settings.revision == settings.labels["revision_name"] == "m-predictor-59b769fb6f"
