# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a pod with real processes, an API server that is a dictionary, and time that is a number."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterator, Mapping, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    Access,
    ApiError,
    ApiUnreachable,
    Json,
    KubeClient,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.context import Context
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.life import PodLife
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.pod_object import (
    LOG_ANNOTATION,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod.supported import RUNTIME_IMAGE
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.store import Addresses, PodFolder
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.paths import Layout
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support import waiting
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock

POD = "/api/v1/namespaces/n/pods/p"
SLEEPER = ["python3", "-c", "import time; time.sleep(600)"]


class Server(KubeClient):
    """Keeps the status and what it was asked. `troubles` are raised first, by the start of the call."""

    def __init__(self) -> None:
        self.access = Access("https://127.0.0.1:1", "CA")
        self.calls: list[tuple[str, str, Optional[Json]]] = []
        self.events: list[Json] = []
        self.objects: dict[str, Json] = {}
        self.status: Json = {}
        self.troubles: list[tuple[str, Exception]] = []
        self.deleted: Callable[[], None] = lambda: None

    def call(
        self,
        method: str,
        path: str,
        body: Optional[Json] = None,
        content_type: str = "application/json",
        query: Optional[Mapping[str, str]] = None,
    ) -> Json:
        if "/events" in path:
            self.events.append(body or {})
            return {}
        self.calls.append((method, path, body))
        for trouble in self.troubles:
            if f"{method} {path}".startswith(trouble[0]):
                self.troubles.remove(trouble)
                raise trouble[1]
        if path.endswith("/token"):
            return {"status": {"token": "t0ken", "expirationTimestamp": "2030-01-01T00:00:00Z"}}
        if method == "PATCH":
            assert body is not None
            self.status = body["status"]
            return {"status": self.status}
        if method == "DELETE":
            self.deleted()
            return {}
        if path not in self.objects:
            raise ApiError(404, "NotFound", path)
        return self.objects[path]

    def asked(self, method: str) -> list[Json]:
        return [body or {} for called, _path, body in self.calls if called == method]

    def container(self) -> Json:
        return dict((self.status.get("containerStatuses") or [{}])[0])

    def ready(self) -> bool:
        return any(
            one["type"] == "Ready" and one["status"] == "True" for one in self.status.get("conditions", ())
        )


class World:
    """A state folder, its API server and its time."""

    def __init__(self, root: Path) -> None:
        self.where = Layout(root)
        for folder in (self.where.pods, self.where.processes, self.where.shared):
            folder.mkdir()
        self.server = Server()
        self.time = FakeClock(1000.0)
        self.folder = PodFolder(self.where.pod("n", "p", "uid"))

    def life(self, pod: Json) -> PodLife:
        """The pod's life on a node that has just started. To be called in a running loop."""
        context = Context(
            self.server,
            self.where,
            9,
            {"python3": sys.executable},
            Addresses(self.where, 9),
            clock=self.time,
            monotonic=self.time,
            sleep=self.time.sleep_async,
        )
        life = PodLife(context, pod, self.folder)
        loop = asyncio.get_running_loop()
        self.server.deleted = lambda: loop.call_soon_threadsafe(life.removed)
        return life

    def running(self) -> list[int]:
        return [one.pid for one in records.read_all(self.where.processes) if records.alive(one)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    records.end_all(records.read_all(made.where.processes), 0)


def pod(command: Optional[list[str]] = None, spec: Optional[Json] = None, **container: Any) -> Json:
    one = {"name": "main", "image": RUNTIME_IMAGE, "command": command or SLEEPER, **container}
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "uid"},
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            **(spec or {}),
            "containers": [one],
        },
        "status": {"phase": "Pending"},
    }


def deleted(one: Json, grace: int = 5) -> Json:
    stamp = {"deletionTimestamp": "1970-01-01T00:16:45Z", "deletionGracePeriodSeconds": grace}
    return {**one, "metadata": {**one["metadata"], **stamp}}


async def until(done: Callable[[], Any], what: str = "what must come soon") -> None:
    """Wait (in real time) for something that a real process or thread does."""
    await waiting.until_async(done, 10.0, what)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 30))  # type: ignore[arg-type]


async def finish(life: PodLife, task: asyncio.Task[None], one: Json) -> None:
    life.update(deleted(one))
    await task


def test_a_pod_is_run_reported_and_ended(world: World) -> None:
    async def scene() -> None:
        one = pod()
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        assert world.server.status["podIP"] == "127.9.1.1"
        assert len(world.running()) == 1
        await finish(life, task, one)

    play(scene)
    statuses = world.server.asked("PATCH")
    assert statuses[0]["metadata"]["uid"] == "uid"
    assert statuses[0]["metadata"]["annotations"] == {LOG_ANNOTATION: str(world.folder.log("main"))}
    last = statuses[-1]["status"]["containerStatuses"][0]
    assert last["state"]["terminated"]["exitCode"] == 128 + signal.SIGTERM
    assert not last["ready"]
    assert world.server.asked("DELETE") == [
        {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "uid"},
        }
    ]
    # The last status comes before the object goes.
    assert [method for method, _path, _body in world.server.calls][-1] == "DELETE"
    assert world.running() == []


def test_a_pod_with_several_containers_says_where_each_log_is(world: World) -> None:
    async def scene() -> None:
        one = pod()
        for name in ("second", "x" * 63):
            one["spec"]["containers"].append({**one["spec"]["containers"][0], "name": name})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        await finish(life, task, one)

    play(scene)
    assert world.server.asked("PATCH")[0]["metadata"]["annotations"] == {
        LOG_ANNOTATION: str(world.folder.log("main")),
        f"{LOG_ANNOTATION}-main": str(world.folder.log("main")),
        f"{LOG_ANNOTATION}-second": str(world.folder.log("second")),
    }


def test_a_crash_loop_backs_off_as_kubernetes_does(world: World) -> None:
    async def scene() -> None:
        one = pod(["python3", "-c", "raise SystemExit(3)"], {"automountServiceAccountToken": False})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(lambda: life.facts.containers["main"].restarts >= 7)
        await finish(life, task, one)

    play(scene)
    pauses = [seconds for seconds in world.time.slept if seconds >= 10]
    assert pauses[:6] == [10, 20, 40, 80, 160, 300]


def test_the_status_is_written_again_when_the_api_server_is_back(world: World) -> None:
    away = [
        ApiUnreachable("refused"),
        ApiError(503, "", "starting"),
        ApiError(403, "Forbidden", "roles not loaded"),
    ]
    world.server.troubles = [(f"PATCH {POD}", error) for error in away]

    async def scene() -> None:
        one = pod()
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        assert len(world.running()) == 1
        await finish(life, task, one)

    play(scene)
    assert world.server.troubles == []


@pytest.mark.parametrize("status", [404, 409])
def test_a_pod_that_is_no_more_is_not_insisted_on(status: int, world: World) -> None:
    world.server.troubles = [(f"DELETE {POD}", ApiError(status, "", "not that one"))]

    async def scene() -> None:
        one = pod()
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        life.update(deleted(one))
        await until(lambda: world.server.asked("DELETE"))
        # What the node is still told of it must not be the start of another life.
        assert not task.done()
        life.removed()
        await task

    play(scene)
    assert len(world.server.asked("DELETE")) == 1


async def left_running(world: World, one: Json) -> None:
    """The pod is ready, and the node that ran it is gone."""
    task = asyncio.ensure_future(world.life(one).run())
    await until(world.server.ready)
    task.cancel()
    await asyncio.wait({task})


def test_the_next_node_adopts_and_writes_nothing_that_holds(world: World) -> None:
    one = pod()

    async def scene() -> None:
        await left_running(world, one)
        before = world.running()
        seen = {**one, "status": world.server.status}
        seen["metadata"] = {**one["metadata"], "annotations": {LOG_ANNOTATION: str(world.folder.log("main"))}}
        world.server.calls.clear()
        world.time.now += 100

        life = world.life(seen)
        task = asyncio.ensure_future(life.run())
        await until(lambda: world.server.asked("POST"))
        assert world.running() == before
        await asyncio.wait({task}, timeout=0.1)
        assert world.server.asked("PATCH") == []
        # Not a child of this node: its end is seen all the same, if not its exit code.
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: world.server.container().get("restartCount") == 1 and world.server.ready())
        ended = world.server.container()["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
        await finish(life, task, seen)

    # The first node's handle must not reap: as far as the second one knows, it never was a parent.
    play(scene)


def test_a_pod_deleted_while_no_node_was_there_is_ended(world: World) -> None:
    one = pod()

    async def scene() -> None:
        await left_running(world, one)
        assert len(world.running()) == 1
        await world.life(deleted(one)).run()

    play(scene)
    assert world.running() == []
    assert len(world.server.asked("DELETE")) == 1


def test_a_forced_delete_does_not_wait_for_the_grace_period(world: World) -> None:
    deaf = [
        "python3",
        "-c",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)",
    ]

    async def scene() -> None:
        one = pod(deaf, {"terminationGracePeriodSeconds": 3600})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(
            lambda: world.folder.log("main").exists() and world.folder.log("main").read_text() == "up\n"
        )
        life.update(deleted(one, 3600))
        await until(lambda: world.server.status and not world.server.ready())
        life.removed()
        await task

    play(scene)
    assert world.running() == []
    assert world.server.asked("DELETE") == []


def test_an_image_that_is_put_right_is_run(world: World) -> None:
    async def scene() -> None:
        one = pod(image="nginx")
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(
            lambda: (
                world.server.container().get("state", {}).get("waiting", {}).get("reason") == "ErrImagePull"
            )
        )
        assert RUNTIME_IMAGE in world.server.container()["state"]["waiting"]["message"]
        life.update(pod())
        await until(world.server.ready)
        await finish(life, task, one)

    play(scene)


def test_a_pod_waits_for_its_configmap(world: World) -> None:
    reads = [
        "python3",
        "-c",
        "import os, time; print(open(os.environ['VOLUME_V'] + '/k').read()); time.sleep(600)",
    ]

    async def scene() -> None:
        one = pod(reads, {"volumes": [{"name": "v", "configMap": {"name": "c"}}]})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(lambda: world.time.slept.count(5.0) > 1)
        assert world.server.container()["state"] == {"waiting": {"reason": "ContainerCreating"}}
        found = {"metadata": {"name": "c", "namespace": "n", "resourceVersion": "5"}, "data": {"k": "value"}}
        world.server.objects["/api/v1/namespaces/n/configmaps/c"] = found
        await until(lambda: world.server.ready() and "value" in world.folder.log("main").read_text())
        await finish(life, task, one)

    play(scene)


def test_a_configmap_that_changes_is_shown_to_who_is_in_its_namespace(world: World) -> None:
    path = "/api/v1/namespaces/n/configmaps/c"
    world.server.objects[path] = configmap("5", "one")

    async def scene() -> None:
        one = pod(spec={"volumes": [{"name": "v", "configMap": {"name": "c"}}]})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        shown = world.folder.volumes / "v" / "k"
        assert shown.read_text() == "one"
        life._context.configmaps.keep(configmap("6", "two"))
        life.configmap_changed("other", "c")
        await asyncio.sleep(0.05)
        assert shown.read_text() == "one"
        life.configmap_changed("n", "c")
        await until(lambda: shown.read_text() == "two")
        await finish(life, task, one)

    play(scene)


def configmap(version: str, value: str) -> Json:
    meta = {"name": "c", "namespace": "n", "resourceVersion": version}
    return {"metadata": meta, "data": {"k": value}}


def test_a_container_that_is_not_alive_is_ended_in_order_and_started_again(world: World) -> None:
    notes = world.where.root / "notes"
    says = f"open({str(notes)!r}, 'a').write('{{}}\\n')"
    code = (
        "import signal, sys, time\n"
        f"def term(*_unused): {says.format('term')}; sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, term)\n"
        "print('up')\n"
        "time.sleep(600)\n"
    )
    hook = {"preStop": {"exec": {"command": ["python3", "-c", says.format("prestop")]}}}

    async def scene() -> None:
        probe = {"httpGet": {"port": 1}, "periodSeconds": 200, "failureThreshold": 2}
        one = pod(["python3", "-c", code], lifecycle=hook, livenessProbe=probe)
        # Not asked before the program listens to SIGTERM.
        log = world.folder.log("main")
        world.time.on_sleep.append(lambda _now: waiting.until(lambda: "up" in log.read_text(), 10.0, "up"))
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(lambda: world.server.container().get("restartCount", 0) >= 1)
        await finish(life, task, one)

    play(scene)
    assert notes.read_text().splitlines()[:2] == ["prestop", "term"]
    ended = [one["message"] for one in world.server.events if one.get("reason") == "Unhealthy"]
    assert any(text.startswith("Liveness probe failed: ") for text in ended)


def test_a_pod_that_asks_for_what_there_is_not_says_so_and_starts_nothing(world: World) -> None:
    async def scene() -> None:
        one = pod(spec={"initContainers": [{"name": "first", "image": RUNTIME_IMAGE}]})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(lambda: "waiting" in world.server.container().get("state", {}))
        state = world.server.container()["state"]["waiting"]
        assert state["reason"] == "CreateContainerConfigError"
        assert "does not offer spec.initContainers" in state["message"]
        assert world.server.status["phase"] == "Pending"
        # It is looked at again and again, and said once.
        await until(lambda: len(world.time.slept) > 3)
        await until(lambda: world.server.events)
        (event,) = world.server.events
        assert (event["type"], event["reason"]) == ("Warning", "Failed")
        assert state["message"] in event["message"]
        assert records.read_all(world.where.processes) == []
        await finish(life, task, one)

    play(scene)
    assert len(world.server.asked("DELETE")) == 1


def test_a_program_that_is_not_there_fails_the_pod(world: World) -> None:
    async def scene() -> None:
        one = pod(["/no/such/program"], {"restartPolicy": "Never"})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(lambda: world.server.status.get("phase") == "Failed")
        ended = world.server.container()["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert "/no/such/program" in ended["message"]
        await finish(life, task, one)

    play(scene)


def test_a_pod_without_identity_asks_for_no_token(world: World) -> None:
    async def scene() -> None:
        says = ["python3", "-c", "import os, time; print(os.environ.get('KUBECONFIG')); time.sleep(600)"]
        one = pod(says, {"automountServiceAccountToken": False})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(lambda: world.server.ready() and world.folder.log("main").read_text() == "None\n")
        await finish(life, task, one)

    play(scene)
    assert not [path for _method, path, _body in world.server.calls if path.endswith("/token")]


def test_a_token_is_bound_to_the_pod_and_kept_from_others(world: World) -> None:
    async def scene() -> None:
        one = pod(spec={"serviceAccountName": "sa"})
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        assert (world.folder.service_account / "token").read_text() == "t0ken"
        for path in (world.folder.service_account / "token", world.folder.kubeconfig):
            assert path.stat().st_mode & 0o077 == 0
        await finish(life, task, one)

    play(scene)
    path, body = next((path, body) for _method, path, body in world.server.calls if path.endswith("/token"))
    assert path == "/api/v1/namespaces/n/serviceaccounts/sa/token"
    assert body is not None
    assert body["spec"]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid"}


def test_a_pod_that_was_over_before_is_left_as_it_is(world: World) -> None:
    async def scene() -> None:
        one = pod()
        one["status"]["phase"] = "Succeeded"
        life = world.life(one)
        task = asyncio.ensure_future(life.run())
        await asyncio.wait({task}, timeout=0.1)
        assert world.server.calls == []
        await finish(life, task, one)

    play(scene)
    assert world.running() == []


def test_the_nodes_end_ends_the_process_and_keeps_the_object(world: World) -> None:
    async def scene() -> None:
        life = world.life(pod())
        task = asyncio.ensure_future(life.run())
        await until(world.server.ready)
        life.shut_down(2.0)
        await task

    play(scene)
    assert world.running() == []
    assert world.server.asked("DELETE") == []
    assert not world.server.ready()
