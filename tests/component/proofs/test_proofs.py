# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verdict is trusted for, shown on real loads against a real server, and judged by that server's own
stamps: one request lost among 100,000, and an outage of 50 ms at 200 requests a second."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.command import run
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import utc
from ansible_collections.iter8.kfserving.tests.support import builders, rollouts, runs

BASELINE, CANARY = "model-00001", "model-00002"
# What a machine that is busy with other things adds of its own, and the proofs are not about.
BUSY = {"generator_ran", "generator_on_time", "rate_kept", "gap_short"}

pytestmark = pytest.mark.timeout(150)


class Server:
    """The server as a process of its own, so that it and the load do not share an interpreter."""

    def __init__(self, **told: int) -> None:
        program = Path(__file__).with_name("server.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = self._read()["port"]
        self.stamps: dict[str, Any] = {}

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def finish(self) -> dict[str, Any]:
        """End it, and return what it stamped."""
        if not self.stamps:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self.stamps = self._read()
            self._process.wait(10)
        return self.stamps

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; all are ended with the test."""
    servers: list[Server] = []

    def start(**told: int) -> Server:
        servers.append(Server(**told))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def rollout(load: dict[str, Any], switched: float, stopped: float) -> rollouts.Run:
    """The evidence of a rollout in which the canary got all the traffic when the server says that it did."""
    own = load["LoadTest"]
    # Names are proven by a whole second of the clock before the canary: with two seconds there is always one.
    applied = switched - 0.01
    assert applied - own["started"] >= 2

    def event(time: float, source: str, kind: str, **data: Any) -> dict[str, Any]:
        return {"time": time, "source": source, "event": kind, "text": kind, "data": data}

    timeline = [
        event(own["started"], "playbook", "load_started"),
        event(own["started"], "playbook", "baseline", revision=BASELINE),
        event(applied, "playbook", "canary_applied", baseline=BASELINE),
        event(applied, "inferenceservice", "revision_created", revision=CANARY),
        event(applied, "inferenceservice", "traffic", traffic={BASELINE: 100}),
        event(switched, "inferenceservice", "traffic", traffic={CANARY: 100}),
        event(switched + 0.001, "experiment", "completed", winner="canary", message="done", failed=False),
        event(stopped, "playbook", "load_stopped"),
    ]
    experiment = builders.finished()
    created = datetime.fromtimestamp(int(applied), timezone.utc)
    experiment["metadata"]["creationTimestamp"] = created.isoformat()
    info = experiment["spec"]["versionInfo"]
    info["baseline"]["tags"]["revision"] = BASELINE
    info["candidates"][0]["tags"]["revision"] = CANARY
    service = builders.isvc(created=CANARY, rolledout=CANARY, traffic={CANARY: 100}, percent=100)
    return rollouts.Run(load, timeline, experiment, service)


def judged(load: dict[str, Any], stamps: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str, str]:
    """The verdict, and the report as HTML and as XML for CI."""
    params = runs.judged(rollout(load, stamps["switched"], time.time()), folder)
    publish(params)
    verdict = json.loads((folder / "verdict.json").read_text())
    return verdict, (folder / "report.html").read_text(), (folder / "junit.xml").read_text()


def together(outages: list[dict[str, Any]], answered_from: float) -> Iterator[dict[str, Any]]:
    """The outage on each kind of connection, from its first failure to its last.

    A busy kernel delivers a SYN late: a request that was sent while nobody listened is then answered by who
    listens next, and the outage, told in the order of sending, is two. Only one that was sent late enough to
    have waited until then can be such a success.
    """
    for mode in ("new", "keep-alive"):
        first, *others = (outage for outage in outages if outage["connection_mode"] == mode)
        whole = dict(first)
        for outage in others:
            assert outage["last_success"] == whole["recovered"] > answered_from
            whole["recovered"] = outage["recovered"]
        yield whole


def test_one_request_lost_among_100000_is_found_dated_and_shown(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    # The baseline's last for two seconds at least, however fast the machine.
    server = serve(switch=65_000, slow=2_100, drop=70_001)
    options = Options(
        url=f"http://127.0.0.1:{server.port}/",
        calls=100_000,
        connections=1,
        timeout=60_000_000_000,
        revision_header="X-Revision",
    )
    load = run(options, handle_signals=False)
    stamps = server.finish()
    assert (stamps["requests"], stamps["answered"]) == (100_000, 99_999)
    verdict, page, junit = judged(load, stamps, tmp_path)

    assert (verdict["verdict"], verdict["requests"], verdict["failed"]) == ("fail", 100_000, 1)
    assert {r["rule"] for r in verdict["reasons"]} - BUSY == {"nothing_lost"}
    # Sent before the server had read it, ended after: both clocks are this machine's.
    (lost,) = load["LoadTest"]["ledger"]
    assert lost["sent"] - 0.001 <= stamps["dropped"] <= lost["end"] + 0.001
    when = utc(lost["sent"])
    said = verdict["reasons"][0]["text"]
    assert said.startswith(f"1 of 100000 requests was lost at {when}: 1 × stale_keepalive; ")
    assert said.endswith("; 1 after the rollout")
    assert 1e-5 < verdict["loss_rate_upper_bound_95"] < 5e-5
    assert verdict["phases"][-1]["failed"] == 1

    assert f"1 of 100000 requests was lost at {when}" in page
    assert lost["request_id"] in page
    assert len(re.findall(r'class="mark"', page)) == 2
    assert f"1 of 100000 requests was lost at {when}" in junit


def test_an_outage_of_50_ms_at_200_a_second_is_found_and_dated_to_10_ms(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(switch=500, outage=700, milliseconds=50)
    options = Options(
        url=f"http://127.0.0.1:{server.port}/",
        rate=200,
        duration=5_000_000_000,
        connection_modes="both",
        connections=4,
        timeout=10_000_000_000,
        revision_header="X-Revision",
    )
    load = run(options, handle_signals=False)
    stamps = server.finish()
    verdict, page, _unused = judged(load, stamps, tmp_path)

    # On a machine that is busy the load and the server run late, and the load says by how much.
    waited = max(second["max"] for second in load["LoadTest"]["timeline"][3:])  # request 700 is in the fourth
    late = load["LoadTest"]["lateness"]["max"] + waited
    exact = 0.010 + late
    # One of each kind of connection, each of which has every other request.
    outages = verdict["outages"]
    assert {outage["connection_mode"] for outage in outages} == {"new", "keep-alive"}
    down = stamps["up"] - stamps["down"]
    for whole in together(outages, answered_from=stamps["up"] - waited):
        # Of the last request before, the client knows the sending and the server the answer.
        assert abs(whole["last_success"] - stamps["last_answer"]) < exact
        assert abs(whole["first_failed_send"] - stamps["down"]) < exact
        assert abs(whole["recovered"] - stamps["first_answer"]) < exact
        assert abs((whole["recovered"] - whole["first_failed_send"]) - down) < 2 * exact
    # Ten were due in it, and the one with which it began is lost as well.
    lost = sum(outage["failed"] for outage in outages)
    assert abs(lost - (1 + down * 200)) <= 1 + late * 200

    assert verdict["verdict"] == "fail"
    assert {r["rule"] for r in verdict["reasons"]} - BUSY == {"nothing_lost"}
    assert verdict["failed"] == lost
    for outage in outages:
        assert outage["failed"] == sum(outage["classes"].values())
        assert "connect" in outage["classes"]
        assert outage["phase"] == "after"
        times = f"from {utc(outage['first_failed_send'])} to {utc(outage['recovered'])}."
        assert f"Outage on {outage['connection_mode']} connections {times}" in page
