# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer against a real API server that is cut off, held up, restarted; and killed itself."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes as identities
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import inferenceservice
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from kubernetes import client

from ...support.cluster_playbook import Tasks
from ...support.places import ROOT
from ...support.proxy import Proxy
from ...support.sandbox import Home, Running
from ...support.stage import GROUP, HANDLERS, NAMESPACE, Stage, crd, patiently, remove_crd
from ...support.waiting import until

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

# How far an interval may be off: what the observer promises.
EXACT = 0.2
ROUTES = "gateway.networking.k8s.io"


def _created(obj: dict[str, Any]) -> str:
    return inferenceservice.read(obj).revisions.created


class Observing:
    """An observer through a proxy, in a process of its own or the one that `shared` names; what it wrote."""

    def __init__(self, sandbox: Running, folder: Path, shared: str = "") -> None:
        self.folder = folder
        self.shared = {"shared": shared} if shared else {}
        self.proxy = Proxy("127.0.0.1", sandbox.description.ports["api"])
        self._kubeconfig = folder / "kubeconfig"
        known = yaml.safe_load(sandbox.kubeconfig.read_text())
        for cluster in known["clusters"]:
            cluster["cluster"]["server"] = f"https://127.0.0.1:{self.proxy.port}"
        self._kubeconfig.write_text(yaml.safe_dump(known))
        self._cluster = {"kubeconfig": str(self._kubeconfig), "context": sandbox.context}
        self.state_dir = folder / "observers"
        self.timeline = folder / "timeline.jsonl"

    def module(self, before: Callable[[], None] | None = None, **arguments: Any) -> dict[str, Any]:
        """Run the module as Ansible does, without Ansible."""
        given = {**self._cluster, "name": "o", "state_dir": str(self.state_dir), **arguments}
        done = subprocess.run(
            [sys.executable, str(ROOT / "plugins/modules/rollout_observer.py")],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
            capture_output=True, text=True, check=False, timeout=60, preexec_fn=before,
        )  # fmt: skip
        assert done.stdout.strip(), done.stderr
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def start(self, before: Callable[[], None] | None = None, **arguments: Any) -> dict[str, Any]:
        wanted = {
            "inferenceservice": "my-model", "namespace": NAMESPACE, "api_version": f"{GROUP}/v1beta1",
            "experiment": "experiment-1", "experiment_api_version": f"{GROUP}/v2alpha1",
            "handler_namespace": HANDLERS, "timeline": str(self.timeline), "duration": "3m", **self.shared,
        }  # fmt: skip
        result = self.module(before, **{**wanted, **arguments})
        assert not result.get("failed"), result
        return result

    def stop(self) -> dict[str, Any]:
        return self.module(state="stopped", dest=str(self.folder / "observations.jsonl"))

    @property
    def process(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state_dir / "o/process.json").read_text())
        return found

    def rows(self, **wanted: Any) -> list[dict[str, Any]]:
        """Lines of the observations so far, with these values."""
        lines = (self.state_dir / "o/observations.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]

    def events(self, event: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.timeline.read_text().splitlines()]
        return [row for row in rows if row["event"] == event]

    def saw(self, created: str) -> float:
        """When it saw that this revision was created, waiting for it."""

        def seen() -> list[float]:
            rows = self.rows(feed="inferenceservice", type="present")
            return [row["time"] for row in rows if _created(row["object"]) == created]

        return until(seen, 20, f"the observer sees revision {created}")[0]

    def unobserved(self, feed: str = "inferenceservice") -> list[tuple[float, float]]:
        return [(row["from"], row["to"]) for row in self.rows(feed=feed, type="unobserved")]

    def wait_unobserved(self) -> tuple[float, float]:
        return until(self.unobserved, 20, "an unobserved interval is written")[0]

    def end(self) -> None:
        """Leave nothing running, the shared process included."""
        for name in ("o", "p", *self.shared.values()):
            self.module(state="absent", name=name)
        self.proxy.close()


# What is promised of one is promised of each of several.
@pytest.fixture(params=["", "several"], ids=["own process", "shared process"])
def observing(
    request: pytest.FixtureRequest, sandbox: Running, stage: Stage, tmp_path: Path
) -> Iterator[Observing]:
    found = Observing(sandbox, tmp_path, request.param)
    yield found
    found.end()
    assert not found.state_dir.exists() or not list(found.state_dir.iterdir())


def test_every_version_is_seen_in_time_and_no_second_is_missed(stage: Stage, observing: Observing) -> None:
    result = observing.start()
    assert (result["changed"], result["status"]) == (True, "running")
    assert observing.start()["changed"] is False
    for number in range(5):
        began = time.time()
        stage.model(f"r{number}", {f"r{number}": 100})
        assert observing.saw(f"r{number}") - began < 5
    stage.iterate(1)
    job = stage.launch()
    stage.end_job(job, "Complete")
    until(lambda: len(observing.events("handler")) == 2, 20, "the handler's end is seen")
    time_of_clock = until(lambda: observing.events("clock"), 20, "the API server's clock is compared")[-1]
    assert observing.stop()["status"] == "stopped"
    assert observing.stop()["changed"] is False
    for feed in ("inferenceservice", "experiment"):
        assert sum(end - start for start, end in observing.unobserved(feed)) < 1
    # One machine, one clock.
    low, high = observing.events("clock")[-1]["data"]["low"], observing.events("clock")[-1]["data"]["high"]
    assert low <= 0 <= high
    assert high - low <= time_of_clock["data"]["high"] - time_of_clock["data"]["low"]
    kept = (observing.folder / "observations.jsonl").read_text().splitlines()
    assert len(kept) == len(observing.rows())
    assert [row["event"] for row in map(json.loads, observing.timeline.read_text().splitlines())][
        -1
    ] == "stopped"


def test_a_connection_that_is_cut_and_refused_while_the_cluster_goes_on(
    stage: Stage, observing: Observing
) -> None:
    observing.start()
    stage.model("b", {"b": 100})
    observing.saw("b")
    observing.proxy.refusing = True
    observing.proxy.cut()
    cut = time.time()
    stage.model("c", {"c": 100})
    time.sleep(2)
    observing.proxy.refusing = False
    back = time.time()
    observing.saw("c")
    observing.wait_unobserved()
    observing.stop()
    # On a machine with much to do what follows the cut may take a second interval.
    start, end = observing.unobserved()[0][0], observing.unobserved()[-1][1]
    assert abs(start - cut) <= EXACT
    # It is opened again within its pause, and until then the change in between is not known.
    assert back - EXACT <= end <= back + 1.5


def test_a_connection_that_dies_without_a_word(stage: Stage, observing: Observing) -> None:
    """Nothing is closed, nothing comes: silence that is blindness."""
    observing.start()
    stage.model("b", {"b": 100})
    observing.saw("b")
    observing.proxy.still = True
    stopped = time.time()
    time.sleep(2)
    observing.proxy.still = False
    resumed = time.time()
    start, end = observing.wait_unobserved()
    observing.stop()
    assert abs(start - stopped) <= EXACT
    assert resumed - EXACT <= end <= resumed + 1


@pytest.fixture
def route(stage: Stage) -> Iterator[Callable[[int], None]]:
    """An HTTPRoute of the InferenceService's, as in Standard mode; called, it gives a canary a weight."""
    kind = crd("HTTPRoute", "httproutes", "v1")
    # Kubernetes asks for this of each group that ends as its own do.
    approved = {"api-approved.kubernetes.io": "unapproved, of a test"}
    kind["metadata"] = {"name": f"httproutes.{ROUTES}", "annotations": approved}
    kind["spec"]["group"] = ROUTES
    crds = client.ApiextensionsV1Api(stage.api)
    crds.create_custom_resource_definition(kind)
    routes = client.CustomObjectsApi(stage.api)
    place = (ROUTES, "v1", NAMESPACE, "httproutes")
    model = routes.get_namespaced_custom_object(GROUP, "v1beta1", NAMESPACE, "inferenceservices", "my-model")
    owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "controller": True}
    owner |= {"name": "my-model", "uid": model["metadata"]["uid"]}
    metadata = {"name": "my-model", "ownerReferences": [owner]}
    body = {"apiVersion": f"{ROUTES}/v1", "kind": "HTTPRoute", "metadata": metadata}
    patiently(lambda: routes.create_namespaced_custom_object(*place, body))

    def weigh(weight: int) -> None:
        backends = [{"name": "a", "weight": 100 - weight}, {"name": "b", "weight": weight}]
        spec = {"rules": [{"backendRefs": backends}]}
        routes.patch_namespaced_custom_object(*place, "my-model", {"spec": spec})

    yield weigh
    remove_crd(stage.api, f"httproutes.{ROUTES}")


def test_routes_are_proved_as_well_where_the_traffic_stands_in_them(
    observing: Observing, route: Callable[[int], None]
) -> None:
    observing.start()
    route(10)
    until(lambda: len(observing.rows(feed="httproute", type="present")) == 2, 20, "the change is seen")
    assert observing.unobserved("httproute") == []
    observing.proxy.still = True
    stopped = time.time()
    # What the proxy has in its hands at that moment it still passes on.
    time.sleep(0.5)
    route(50)
    time.sleep(1.5)
    observing.proxy.still = False
    resumed = time.time()
    until(lambda: observing.unobserved("httproute"), 20, "an unobserved interval is written")
    observing.stop()
    (missed,) = observing.rows(feed="httproute", type="unobserved")
    assert not missed.get("unchanged")
    assert abs(missed["from"] - stopped) <= EXACT
    assert resumed - EXACT <= missed["to"] <= resumed + 1


def test_silence_is_not_blindness(stage: Stage, observing: Observing) -> None:
    observing.start()
    heartbeat = observing.start()["progress"]["heartbeat"]
    until(lambda: time.time() > heartbeat + 3, 10, "three silent seconds have passed")
    observing.stop()
    assert observing.unobserved() == []


def test_its_own_stall_is_told(stage: Stage, observing: Observing) -> None:
    observing.start()
    identities.send(observing.process, signal.SIGSTOP)
    stopped = time.time()
    time.sleep(1.5)
    identities.send(observing.process, signal.SIGCONT)
    resumed = time.time()
    start, end = observing.wait_unobserved()
    observing.stop()
    assert abs(start - stopped) <= EXACT
    assert resumed - EXACT <= end <= resumed + 1


def test_a_slow_api_server_is_told(stage: Stage, observing: Observing) -> None:
    observing.start()
    observing.proxy.seconds_late = 1.0
    until(lambda: len(observing.unobserved()) >= 2, 30, "answers that are late are no proofs in time")
    observing.proxy.seconds_late = 0.0
    observing.stop()
    assert sum(end - start for start, end in observing.unobserved()) > 1


def test_one_that_is_killed_leaves_what_it_saw_and_when_it_ended(stage: Stage, observing: Observing) -> None:
    observing.start()
    stage.model("b", {"b": 100})
    observing.saw("b")
    assert observing.start()["progress"]["heartbeat"]
    identities.send(observing.process, signal.SIGKILL)
    killed = time.time()
    result = observing.module(
        state="stopped", dest=str(observing.folder / "observations.jsonl"), timeline=str(observing.timeline)
    )
    assert result["status"] == "interrupted"
    rows = [json.loads(line) for line in (observing.folder / "observations.jsonl").read_text().splitlines()]
    assert rows[-1]["type"] == "killed"
    assert killed - 1 <= rows[-1]["from"] <= killed
    (ended,) = observing.events("stopped")
    assert ended["data"] == {"killed": True}
    assert ended["time"] == pytest.approx(rows[-1]["from"], abs=0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, 0])
def test_what_it_saw_is_kept_when_it_is_removed(observing: Observing, stage: Stage, number: int) -> None:
    """As teardown removes it, where the playbook that was to stop it was killed."""
    dest = observing.folder / "kept.jsonl"
    observing.start(dest=str(dest))
    stage.model("r1", {"r1": 100})
    observing.saw("r1")
    killed = time.time()
    if number:
        os.kill(observing.process["pid"], number)
    assert observing.module(state="absent")["status"] == "absent"
    rows = [json.loads(line) for line in dest.read_text().splitlines()]
    assert "r1" in [_created(row["object"]) for row in rows if row.get("feed") == "inferenceservice"]
    assert (rows[-1]["type"] == "killed") == bool(number)
    if number:
        assert killed - 1 <= rows[-1]["from"] <= killed
    ended = observing.events("stopped")[-1]
    assert ended["data"].get("killed", False) == bool(number)


def test_a_full_disk_costs_no_evidence(stage: Stage, observing: Observing) -> None:
    """Files may grow no further, then may again: what was seen meanwhile is written with its own time."""
    observing.start()
    pid = int(observing.process["pid"])
    size = max(
        (observing.state_dir / "o/observations.jsonl").stat().st_size, observing.timeline.stat().st_size
    )
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    before = time.time()
    stage.model("b", {"b": 100})
    time.sleep(1.0)
    stage.model("c", {"c": 100})
    time.sleep(0.5)
    after = time.time()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    first, second = observing.saw("b"), observing.saw("c")
    assert before <= first <= after
    assert second - first == pytest.approx(1.0, abs=0.5)
    observing.stop()
    assert [row["data"]["traffic"] for row in observing.events("traffic")][-2:] == [{"b": 100}, {"c": 100}]


def test_a_kind_that_is_not_there_is_said_before_anything_runs(stage: Stage, observing: Observing) -> None:
    result = observing.module(
        inferenceservice="my-model", namespace=NAMESPACE, api_version="nothing.example.com/v1"
    )
    assert result["failed"]
    assert "does not serve InferenceService" in result["msg"]
    assert not (observing.state_dir / "o").exists()


def test_check_mode_starts_nothing(stage: Stage, observing: Observing) -> None:
    result = observing.module(
        inferenceservice="my-model",
        namespace=NAMESPACE,
        api_version=f"{GROUP}/v1beta1",
        _ansible_check_mode=True,
    )
    assert (result["changed"], result["status"]) == (True, "absent")
    assert not observing.state_dir.exists()


def test_it_ends_by_itself(stage: Stage, observing: Observing) -> None:
    observing.start(duration="2s")
    until(lambda: observing.events("stopped"), 20, "its bound ends it")
    assert observing.stop()["status"] == "stopped"
    if not observing.shared:
        assert not identities.alive(observing.process)


def test_several_share_their_connections_and_nothing_else(
    sandbox: Running, stage: Stage, tmp_path: Path
) -> None:
    one, other = Observing(sandbox, tmp_path, "several"), {"name": "p", "timeline": str(tmp_path / "p.jsonl")}
    try:
        one.start()
        alone = one.proxy.connections
        one.start(**other, inferenceservice="another-model", experiment="another")
        # Who asks about a kind in a namespace is answered by the same watch; polls may have one of their own.
        assert one.proxy.connections <= alone + 1
        assert json.loads((one.state_dir / "p/process.json").read_text())["pid"] == one.process["pid"]
        stage.model("b", {"b": 100})
        one.saw("b")
        ended = one.module(**{**other, "state": "stopped"}, dest=str(tmp_path / "p-observations.jsonl"))
        assert ended["status"] == "stopped"
        rows = [json.loads(line) for line in (tmp_path / "p-observations.jsonl").read_text().splitlines()]
        # The other's model and what belongs to it; the clock and what may not be read are nobody's.
        assert [row for row in rows if row["type"] in ("present", "deleted")] == []
        stage.model("c", {"c": 100})
        one.saw("c")
        assert one.stop()["status"] == "stopped"
        process = one.process["pid"]
        assert one.start()["changed"] is True
        assert one.process["pid"] == process
        assert one.module(state="absent", name="several")["status"] == "absent"
        assert not identities.alive(one.process)
        # Its end was theirs, with all that they had seen.
        assert one.module(state="stopped")["status"] == "stopped"
    finally:
        one.end()


def test_one_process_looks_at_one_cluster(sandbox: Running, stage: Stage, tmp_path: Path) -> None:
    one = Observing(sandbox, tmp_path, "several")
    try:
        one.start()
        result = one.module(
            name="p", inferenceservice="my-model", context="elsewhere", shared="several", duration="1m"
        )
        assert "choose another name" in result["msg"], result
        assert not (one.state_dir / "p").exists()
    finally:
        one.end()


def test_the_waits_follow_a_running_observer(
    stage: Stage, observing: Observing, sandbox: Running, tmp_path: Path
) -> None:
    """And need no API server of their own: theirs does not answer at all."""
    observing.start()
    tasks = Tasks(sandbox, tmp_path)
    following = {"observer": "o", "observer_state_dir": str(observing.state_dir), "namespace": NAMESPACE}
    wait = {
        "name": "experiment-1", "api_version": f"{GROUP}/v2alpha1", "inferenceservice": "my-model",
        "inferenceservice_api_version": f"{GROUP}/v1beta1", "handler_namespace": HANDLERS, "timeout": 60,
        "stable_seconds": 1, "host": "https://127.0.0.1:9", "api_key": "none", **following,
    }  # fmt: skip
    tasks.start({"iter8.kfserving.experiment_wait": wait})
    stage.iterate(1)
    tasks.until("iteration 1/3")
    job = stage.launch()
    stage.iterate(3)
    stage.say("ExperimentCompleted", "Experiment completed successfully", completed=True,
              completedIterations=3, recommendedBaseline="canary")  # fmt: skip
    stage.end_job(job, "Complete")
    stage.model("b", {"b": 100})
    result = tasks.finish()
    assert result["outcome"] == "succeeded", result
    other = {**following, "name": "other", "api_version": f"{GROUP}/v1beta1"}
    result = tasks.run({"iter8.kfserving.inferenceservice_wait": other})
    assert "does not follow inferenceservice other" in result["msg"]
    observing.stop()
    mine = {**following, "name": "my-model", "api_version": f"{GROUP}/v1beta1"}
    result = tasks.run({"iter8.kfserving.inferenceservice_wait": mine})
    assert "cannot be followed: it has ended" in result["msg"]


def test_a_restart_of_the_api_server(home: Home, tmp_path: Path) -> None:
    running = home.up("observed")
    stage = Stage(running)
    stage.set_up()
    stage.create_experiment()
    observing = Observing(running, tmp_path)
    try:
        observing.start()
        stage.model("b", {"b": 100})
        observing.saw("b")
        server = records.read(running.where.processes / "kube-apiserver.json")
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        killed = time.time()
        home.up("observed")
        patiently(lambda: stage.model("c", {"c": 100}))
        seen = observing.saw("c")
        until(observing.unobserved, 20, "the time without an API server is told")
        start, end = observing.unobserved()[0][0], observing.unobserved()[-1][1]
        assert abs(start - killed) <= EXACT
        # It is over once the server answers that nothing has changed, or with the change.
        assert killed + 0.5 < end <= seen + EXACT
    finally:
        observing.end()
        home.down("observed")
