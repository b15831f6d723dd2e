# SPDX-License-Identifier: GPL-3.0-or-later
"""A load from pods, by the module's own code, the pods' own command and a server that counts.

There is no Kubernetes: `tests/support/load_pods.py` stands for the Job's controller and the kubelets, and
runs each container as a process of this machine. tests/real/test_load_job.py does the same on a cluster.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Refusal,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job import begin, collect, run
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.ensure import load_job
from ansible_collections.iter8.kfserving.plugins.modules.load_job import ARGUMENTS
from ansible_collections.iter8.kfserving.tests.support import artefacts, waiting
from ansible_collections.iter8.kfserving.tests.support.load_pods import LoadPods
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

pytestmark = pytest.mark.timeout(120)
SECRET = "s3cret-of-the-load"


class Module:
    """What the code uses of AnsibleK8SModule."""

    def __init__(self, check_mode: bool = False, **params: Any) -> None:
        self.params = {**{name: spec.get("default") for name, spec in ARGUMENTS.items()}, **params}
        self.check_mode = check_mode
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Stage:
    """A cluster, a server, and the module with its usual arguments."""

    def __init__(self, cluster: LoadPods, server: Any, folder: Path) -> None:
        self.cluster = cluster
        self.server = server
        self.folder = folder
        self.dest = folder / "load.json"
        self.arguments: dict[str, Any] = {
            "name": "mine", "namespace": "load", "count": 2, "url": server.url, "rate": 60.0,
            "connections": 4, "duration": "0", "start_seconds": 6.0, "ready_timeout": 30,
            "secret_headers": {"Authorization": f"Bearer {SECRET}"}, "payload": {"text": SECRET},
            "revision_header": "X-Revision", "run_id": "run-1", "record": str(folder / "record.json"),
            "record_namespace": "", "dest": str(self.dest),
        }  # fmt: skip

    def do(self, state: str, check_mode: bool = False, **more: Any) -> dict[str, Any]:
        self.module = Module(check_mode, state=state, **{**self.arguments, **more})
        return load_job(self.module)

    def sent(self, count: int) -> None:
        """Wait until the server was asked so often."""
        waiting.until(lambda: self.server.requests >= count, 30, f"{count} requests")

    def result(self) -> dict[str, Any]:
        text = self.dest.read_text()
        assert list(artefacts.CHECKS["load.json"](text)) == []
        told: dict[str, Any] = json.loads(text)["LoadTest"]
        return told


def ok(visit: Any) -> None:
    visit.ok(headers=b"X-Revision: rev-1\r\n")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadPods]:
    made = LoadPods(tmp_path / "pods")
    monkeypatch.setattr(run, "connect", lambda _module: made)
    monkeypatch.setattr(begin, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(collect, "_POLL_SECONDS", 0.1)
    yield made
    made.close()


@pytest.fixture
def stage(cluster: LoadPods, serve: Any, tmp_path: Path) -> Stage:
    return Stage(cluster, serve(ok), tmp_path)


def test_two_pods_send_one_load_exact_to_the_request(stage: Stage) -> None:
    before = stage.do("stopped")
    assert (before["changed"], before["status"]) == (False, "absent")
    begun = stage.do("started")
    assert (begun["changed"], begun["status"]) == (True, "running")
    assert [row["node"] for row in begun["generators"]] == ["node-a", "node-b"]
    told = len(stage.cluster.told)
    assert stage.do("started")["changed"] is False
    assert len(stage.cluster.told) == told
    stage.sent(120)
    ended = stage.do("stopped")
    own = stage.result()
    assert (ended["changed"], ended["status"]) == (True, "stopped")
    assert own["requests"] == stage.server.requests == ended["progress"]["requests"]
    assert (own["failed"], own["state"], own["asked_rate"]) == (0, "stopped", 60)
    assert [row["name"] for row in own["generators"]] == ["load-mine-0", "load-mine-1"]
    assert all(row["clock_offset"]["low"] <= 0 <= row["clock_offset"]["high"] for row in own["generators"])
    assert all(row["clock_offset"]["high"] < 0.5 for row in own["generators"])
    assert own["generators"][0]["started"] == pytest.approx(own["generators"][1]["started"], abs=0.001)
    # Once more it stays as it is, and once it is removed nothing is left.
    assert stage.do("stopped")["changed"] is False
    assert stage.do("absent")["changed"] is True
    assert stage.cluster.names() == []
    assert stage.do("absent")["changed"] is False


def test_what_is_sent_is_in_the_secret_alone(stage: Stage, tmp_path: Path) -> None:
    begun = stage.do("started")
    said = b"".join(path.read_bytes() for path in (tmp_path / "pods").glob("*/log"))
    rest = [each for each in stage.cluster.objects.values() if each["kind"] != "Secret"]
    record = (tmp_path / "record.json").read_text()
    assert SECRET not in json.dumps([rest, begun, stage.cluster.told]) + said.decode() + record
    stage.sent(2)
    stage.do("stopped")
    assert SECRET not in stage.dest.read_text()
    assert SECRET.encode() in stage.server.heads[0] + stage.server.bodies[0]


def test_nodes_whose_clocks_are_apart_send_at_one_time(stage: Stage, tmp_path: Path) -> None:
    code = "import clock; print(clock._library())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tests/campaign", capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the library that sets clocks cannot be made here: {done.stderr[-300:]}")
    library, ahead = done.stdout.split()[-1], (3, -3)

    def environment(index: int) -> dict[str, str]:
        file = tmp_path / f"clock-{index}"
        file.write_bytes(struct.pack("q", ahead[index]))
        return {"LD_PRELOAD": library, "CAMPAIGN_CLOCK": str(file)}

    stage.cluster.environment = environment
    stage.do("started")
    stage.sent(60)
    stage.do("stopped")
    own = stage.result()
    assert own["requests"] == stage.server.requests
    for row, clock in zip(own["generators"], ahead):
        assert row["clock_ahead"] == pytest.approx(clock, abs=0.5), row
        assert row["clock_offset"]["low"] <= 0.002, row
        assert row["clock_offset"]["high"] >= -0.002, row
        assert row["started"] == pytest.approx(own["started"], abs=0.001), row


@pytest.mark.parametrize("proxied", [True, False])
def test_clocks_are_known_closely_where_the_api_server_may_connect_to_the_pods(
    stage: Stage, proxied: bool
) -> None:
    stage.cluster.proxied, stage.cluster.shows = proxied, 0.4
    stage.do("started")
    stage.sent(10)
    stage.do("stopped")
    for row in stage.result()["generators"]:
        width = row["clock_offset"]["high"] - row["clock_offset"]["low"]
        assert (width < 0.3) == proxied, row


def test_a_pod_that_is_killed_is_named_with_what_it_had_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.do("started")
    stage.sent(60)
    stage.cluster.kill(1)
    ended = stage.do("stopped")
    own = stage.result()
    states = {row["name"]: row["state"] for row in own["generators"]}
    assert states == {"load-mine-0": "stopped", "load-mine-1": "interrupted"}
    assert (own["state"], ended["status"]) == ("interrupted", "interrupted")
    assert "OOMKilled" in own["generators"][1]["problem"]
    assert own["requests"] <= stage.server.requests


def test_a_pod_that_is_evicted_is_a_generator_that_died(stage: Stage) -> None:
    stage.do("started")
    stage.sent(60)
    stage.cluster.evict(0)
    stage.do("stopped")
    own = stage.result()
    assert [row["state"] for row in own["generators"]] == ["interrupted", "stopped"]
    assert "Evicted: The node was low on resource" in own["generators"][0]["problem"]
    # It could still say all that it had.
    assert own["requests"] == stage.server.requests


def test_a_pod_that_is_gone_left_nothing(stage: Stage) -> None:
    stage.do("started")
    stage.sent(60)
    stage.cluster.lose(0)
    stage.do("stopped")
    own = stage.result()
    assert [row["state"] for row in own["generators"]] == ["missing", "stopped"]
    assert (own["state"], own["generators"][0]["requests"]) == ("interrupted", None)


def test_that_no_pod_is_left_is_told_and_no_failure(stage: Stage) -> None:
    stage.do("started")
    for index in (0, 1):
        stage.cluster.lose(index)
    ended = stage.do("stopped")
    assert (ended["status"], [row["state"] for row in ended["generators"]]) == (
        "interrupted",
        ["missing"] * 2,
    )
    assert "No generator left a result" in stage.module.warnings[0]
    assert not stage.dest.exists()


def test_a_log_that_was_cut_is_said_again(stage: Stage) -> None:
    stage.do("started")
    stage.sent(60)
    reads = {"bent": 0}

    def rotated(lines: list[bytes]) -> list[bytes]:
        """Of the result that was said first, the beginning is lost."""
        first = [line for line in lines if b'"name": "result", "number": 0' in line]
        reads["bent"] += bool(first)
        return [line for line in lines if line not in first[:1]]

    stage.cluster.log = rotated
    stage.do("stopped")
    own = stage.result()
    assert own["requests"] == stage.server.requests
    assert reads["bent"] > 0
    assert any(told.get("again") for _pod, told in stage.cluster.told)


def test_a_result_that_never_comes_whole_counts_as_none(stage: Stage) -> None:
    stage.do("started")
    stage.sent(60)
    dice = random.Random(7)

    def bent(lines: list[bytes]) -> list[bytes]:
        return [bend(line) if b'"name": "result"' in line else line for line in lines]

    def bend(line: bytes) -> bytes:
        at = dice.randrange(400, 500)
        return line[:at] + (b"B" if line[at : at + 1] == b"A" else b"A") + line[at + 1 :]

    stage.cluster.log = bent
    stage.do("stopped")
    rows = stage.result()["generators"]
    assert [row["state"] for row in rows] == ["interrupted", "interrupted"]
    assert {row["problem"] for row in rows} == {"its result did not come whole, however often it was said"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"url": "http://127.0.0.1:1/"}, "load-mine-[01] cannot send its part of the load: Cannot connect"),
        ({"count": 5}, "4 connections are too few for 5 generators"),
        ({"count": 0}, "count must be 1 or more"),
        ({"image": ""}, "image must name an image"),
        ({"tls_secret": "none"}, "The Secret load/none of tls_secret is not there"),
        ({"run_id": ""}, "cannot own objects"),
    ],
)
def test_what_cannot_be_sent_is_told_and_nothing_is_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(run, "CONNECT_SECONDS", 0.5)
    with pytest.raises(ClusterError, match=says):
        stage.do("started", **more)
    assert stage.cluster.names() == []


def test_a_pod_without_a_node_is_told_with_the_schedulers_words(stage: Stage) -> None:
    stage.cluster.waits = {1}
    with pytest.raises(ClusterError, match=r"load-mine-1: its pod has no node \(Unschedulable: 0/2\)"):
        stage.do("started", ready_timeout=3)
    assert stage.cluster.names() == []


def test_an_older_kubernetes_is_refused(stage: Stage) -> None:
    stage.cluster.version = {"major": "1", "minor": "28+", "gitVersion": "v1.28.3"}
    with pytest.raises(ClusterError, match=r"v1.28.3. A load from pods needs 1.29"):
        stage.do("started")


def test_another_load_of_the_name_is_neither_replaced_nor_touched(stage: Stage) -> None:
    stage.do("started")
    with pytest.raises(ClusterError, match="running with other arguments"):
        stage.do("started", rate=61.0)
    for state in ("started", "stopped"):
        with pytest.raises(Refusal, match="was not created by run run-2"):
            stage.do(state, run_id="run-2", record=str(stage.folder / "other.json"))
    assert stage.do("absent", run_id="run-2", record=str(stage.folder / "other.json"))["changed"] is False
    assert len(stage.cluster.names()) == 5


def test_check_mode_changes_nothing(stage: Stage) -> None:
    assert stage.do("started", check_mode=True)["changed"] is True
    assert stage.cluster.names() == []
    stage.do("started")
    names, told = stage.cluster.names(), len(stage.cluster.told)
    assert stage.do("started", check_mode=True)["changed"] is False
    assert stage.do("stopped", check_mode=True)["changed"] is True
    assert stage.do("absent", check_mode=True)["changed"] is True
    assert (stage.cluster.names(), len(stage.cluster.told)) == (names, told)


def test_a_load_that_ends_by_itself_is_waited_for(stage: Stage) -> None:
    for never in ("0", "0s"):
        with pytest.raises(ClusterError, match="never finishes"):
            stage.do("finished", duration=never)
    profile = [{"rate": 60, "duration": "2s"}]  # which ends, whatever the duration says
    assert stage.do("finished", check_mode=True, rate=None, profile=profile)["changed"] is True
    ended = stage.do("finished", duration="2s", start_seconds=8.0)
    assert (ended["status"], ended["changed"]) == ("finished", True)
    assert stage.result()["requests"] == stage.server.requests == 120
    assert stage.do("finished", duration="2s", start_seconds=8.0)["changed"] is False


def test_what_an_interrupted_run_left_is_gone_on_with(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_unused: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(begin.clocks, "compare", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.do("started")
    begun = stage.do("started")
    assert (begun["changed"], begun["status"]) == (True, "running")
