# SPDX-License-Identifier: GPL-3.0-or-later
"""The node under a real control plane: what a kubelet's users see of it, and what it survives."""

from __future__ import annotations

import os
import signal
from typing import Iterator

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    MERGE,
    ApiError,
    Json,
)

from ...support.node_cluster import DEAF_TO_TERM, IMAGE, SERVER, SLEEPER, Cluster, Space, until

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("node"))
    try:
        made.up()
        yield made
    finally:
        log = made.where.logs / "node.log"
        if log.exists():
            print(log.read_text())
        made.down()


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    name = request.node.name.replace("test_", "").replace("_", "-")[:40].strip("-")
    cluster.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    one = Space(cluster, name)

    def admitted() -> bool:
        """Pods are refused until the service account is there, and up to Kubernetes 1.23 its token."""
        spec = {"containers": [{"name": "main", "image": IMAGE, "command": SLEEPER}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "admitted"}, "spec": spec}
        try:
            cluster.api.call("POST", f"/api/v1/namespaces/{name}/pods", pod, query={"dryRun": "All"})
        except ApiError as error:
            if not error.passing:
                raise
            return False
        return True

    until(admitted, "the namespace's service account")
    yield one
    cluster.api.call("DELETE", f"/api/v1/namespaces/{name}")


def deployment(replicas: int, marker: str) -> Json:
    container = {
        "name": "main",
        "image": IMAGE,
        "command": SERVER,
        "env": [{"name": "MARKER", "value": marker}],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
    }
    return {
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        }
    }


def test_a_deployment_becomes_available_and_is_updated_without_a_gap(space: Space) -> None:
    space.make("deployments", "web", deployment(2, "old"))

    def available() -> int:
        return int(space.get("deployments", "web").get("status", {}).get("availableReplicas", 0))

    until(lambda: available() == 2, "two available replicas")
    old = {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in space.pods()}
    assert len(set(old.values())) == 2
    assert all(address.startswith("127.") for address in old.values())

    change = {"spec": {"template": deployment(2, "new")["spec"]["template"]}}
    space.api.call("PATCH", space.path("deployments", "web"), change, MERGE)
    least = 2

    def replaced() -> bool:
        nonlocal least
        least = min(least, available())
        return not old.keys() & {pod["metadata"]["uid"] for pod in space.pods()} and available() == 2

    until(replaced, "the new replicas")
    assert least == 2
    assert not set(old.values()) & {pod["status"]["podIP"] for pod in space.pods()}


def test_readiness_follows_the_probe(space: Space) -> None:
    volume = {"name": "state", "emptyDir": {}}
    probe = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    serves = [*SERVER, "--directory", "$(VOLUME_STATE)"]
    space.pod("shy", serves, {"volumes": [volume]}, readinessProbe=probe)
    until(lambda: space.container("shy").get("state", {}).get("running"), "the container to run")
    assert space.condition("shy")["reason"] == "ContainersNotReady"

    flag = next(space.cluster.where.pods.glob(f"{space.name}_shy_*")) / "volumes" / "state" / "ready"
    flag.touch()
    until(lambda: space.ready("shy"), "the pod to be ready")
    assert "reason" not in space.condition("shy")

    flag.unlink()
    until(lambda: not space.ready("shy"), "the pod to be unready")
    assert space.container("shy")["restartCount"] == 0


def test_termination_runs_prestop_then_term_then_kill(space: Space) -> None:
    note = (
        "import os, time; notes = open(os.environ['VOLUME_NOTES'] + '/notes', 'a'); "
        "notes.write('{} ' + str(time.time()) + '\\n'); notes.close()"
    )
    stubborn = (
        "import signal, time\n"
        f"def term(*_): exec({note.format('term')!r})\n"
        "signal.signal(signal.SIGTERM, term)\n"
        "print('up')\n"
        "while True: time.sleep(1)\n"
    )
    volume = {"name": "notes", "hostPath": {"path": "/sandbox/notes", "type": "DirectoryOrCreate"}}
    hook = {"preStop": {"exec": {"command": ["python3", "-c", note.format("prestop") + "; time.sleep(1)"]}}}
    space.pod("stubborn", ["python3", "-c", stubborn], {"volumes": [volume]}, lifecycle=hook)
    until(lambda: space.ready("stubborn") and "up" in space.log("stubborn"), "the pod to be ready")
    pid, since = space.pid("stubborn"), space.version("stubborn")

    space.delete("pods", "stubborn")
    until(lambda: space.gone("stubborn"), "the pod to be gone")

    assert not os.path.exists(f"/proc/{pid}")
    notes = [line.split() for line in (space.shared / "notes" / "notes").read_text().splitlines()]
    assert [name for name, _when in notes] == ["prestop", "term"]
    assert float(notes[1][1]) - float(notes[0][1]) >= 1.0
    history = [state_of(pod) for pod in space.history("stubborn", since)]
    # Unready while it still runs, so that nobody sends to it when it ends; then killed: it ignored SIGTERM.
    assert list(dict.fromkeys(history)) == ["ready", "unready, running", "unready, ended with 137"]
    last = space.history("stubborn", since)[-1]
    finished = last["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
    assert finished >= last["metadata"]["deletionTimestamp"]


def state_of(pod: Json) -> str:
    """Whether the pod is ready, else what of its container that is due to."""
    status = pod["status"]
    if any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"]):
        return "ready"
    state = status["containerStatuses"][0]["state"]
    ended = state.get("terminated")
    return f"unready, ended with {ended['exitCode']}" if ended else f"unready, {next(iter(state))}"


def test_a_forced_delete_ends_the_process(space: Space) -> None:
    space.pod("doomed", DEAF_TO_TERM, {"terminationGracePeriodSeconds": 60})
    until(lambda: space.ready("doomed") and "up" in space.log("doomed"), "the pod to be ready")
    pid = space.pid("doomed")
    space.delete("pods", "doomed")
    until(lambda: not space.ready("doomed"), "the termination to begin")
    space.delete("pods", "doomed", gracePeriodSeconds=0)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the process to end long before its 60 s", 30.0)


def test_a_crashing_container_backs_off_and_a_killed_one_is_restarted(space: Space) -> None:
    space.pod("crashing", ["python3", "-c", "raise SystemExit(3)"])
    space.pod("killed", SLEEPER)
    until(lambda: space.ready("killed"), "the pod to be ready")
    os.kill(space.pid("killed"), signal.SIGKILL)
    until(lambda: space.container("killed")["restartCount"] == 1 and space.ready("killed"), "a new process")
    assert space.container("killed")["lastState"]["terminated"]["exitCode"] == 137

    waiting = until(
        lambda: (
            space.container("crashing").get("state", {}).get("waiting", {}).get("reason")
            == "CrashLoopBackOff"
            and space.container("crashing")
        ),
        "the back-off",
    )
    assert waiting["restartCount"] == 1
    assert waiting["lastState"]["terminated"]["exitCode"] == 3
    assert "back-off 10s" in waiting["state"]["waiting"]["message"]
    assert space.get("pods", "crashing")["status"]["phase"] == "Running"
    # The pause is long; its end must not be waited for when the pod is deleted.
    since = space.version("crashing")
    space.delete("pods", "crashing")
    until(lambda: space.gone("crashing"), "the pod to be gone")
    last = space.history("crashing", since)[-1]["status"]["containerStatuses"][0]
    assert (last["restartCount"], last["state"]["waiting"]["reason"]) == (1, "CrashLoopBackOff")


def test_a_failed_liveness_probe_restarts(space: Space) -> None:
    probe = {"httpGet": {"port": 1}, "periodSeconds": 1, "failureThreshold": 2}
    space.pod("deaf", SLEEPER, livenessProbe=probe)
    until(lambda: space.container("deaf").get("restartCount", 0) >= 1, "a restart")
    assert space.container("deaf")["lastState"]["terminated"]["exitCode"] == 143


def test_jobs_succeed_and_fail(space: Space) -> None:
    def job(name: str, code: int, limit: int) -> None:
        container = {
            "name": "main",
            "image": IMAGE,
            "command": ["python3", "-c", f"print('ran'); raise SystemExit({code})"],
        }
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        space.make("jobs", name, {"spec": {"backoffLimit": limit, "template": template}})

    def finished(name: str, kind: str) -> bool:
        conditions = space.get("jobs", name).get("status", {}).get("conditions") or []
        return any(one["type"] == kind and one["status"] == "True" for one in conditions)

    job("good", 0, 0)
    job("bad", 7, 1)
    until(lambda: finished("good", "Complete"), "the job to complete")
    until(lambda: finished("bad", "Failed"), "the job to fail", 30.0)
    phases = {}
    for pod in space.pods():
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        phases.setdefault(pod["metadata"]["labels"]["job-name"], []).append(
            (pod["status"]["phase"], ended["exitCode"], ended["reason"])
        )
    assert phases == {"good": [("Succeeded", 0, "Completed")], "bad": [("Failed", 7, "Error")] * 2}


def test_an_unknown_image_says_what_to_do(space: Space) -> None:
    space.make("pods", "strange", {"spec": {"containers": [{"name": "main", "image": "nginx"}]}})
    waiting = until(lambda: space.container("strange").get("state", {}).get("waiting"), "the state")
    waiting = until(
        lambda: (
            space.container("strange")["state"]["waiting"]["reason"] == "ErrImagePull"
            and space.container("strange")["state"]["waiting"]
        ),
        "ErrImagePull",
    )
    assert IMAGE in waiting["message"]
    assert space.get("pods", "strange")["status"]["phase"] == "Pending"


def test_what_the_node_cannot_do_is_refused_and_said(space: Space) -> None:
    init = [{"name": "first", "image": IMAGE, "command": SLEEPER}]
    env = [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    space.pod("wishful", SLEEPER, {"initContainers": init}, env=env)
    waiting = until(lambda: space.container("wishful").get("state", {}).get("waiting"), "the state")
    assert waiting["reason"] == "CreateContainerConfigError"
    for field in ("spec.containers[main].env[V].valueFrom", "spec.initContainers"):
        assert field in waiting["message"]

    def told() -> bool:
        events = space.api.call("GET", space.path("events"))["items"]
        return any(one["reason"] == "Failed" and waiting["message"] in one["message"] for one in events)

    until(told, "the event")
    assert space.get("pods", "wishful")["status"]["phase"] == "Pending"
    assert space.pid("wishful") == 0


def test_configmaps_reach_the_pod_and_change_live(space: Space) -> None:
    space.make("configmaps", "settings", {"data": {"word": "one"}})
    shows = (
        "import os, time\n"
        "print('env', os.environ['SELF'])\n"
        "seen = None\n"
        "while True:\n"
        "    now = open(os.environ['VOLUME_MY_SETTINGS'] + '/word').read()\n"
        "    if now != seen: print('word', now)\n"
        "    seen = now\n"
        "    time.sleep(0.02)\n"
    )
    env = [{"name": "SELF", "value": "$(POD_NAME)@$(POD_NAMESPACE)"}]
    volume = {"name": "my-settings", "configMap": {"name": "settings"}}
    space.pod("reader", ["python3", "-c", shows], {"volumes": [volume]}, env=env)
    until(lambda: space.ready("reader") and "word one" in space.log("reader"), "the first word")
    space.api.call("PATCH", space.path("configmaps", "settings"), {"data": {"word": "two"}}, MERGE)
    until(lambda: "word two" in space.log("reader"), "the second word")
    assert space.log("reader").split("\n")[0] == f"env reader@{space.name}"
    assert space.container("reader")["restartCount"] == 0


def test_a_pod_has_the_identity_of_its_service_account(space: Space) -> None:
    asks = (
        "import json, os, ssl, urllib.error, urllib.request\n"
        "config = json.load(open(os.environ['KUBECONFIG']))\n"
        "cluster, user = config['clusters'][0]['cluster'], config['users'][0]['user']\n"
        "trust = ssl.create_default_context(cafile=cluster['certificate-authority'])\n"
        "token = open(user['tokenFile']).read()\n"
        "bearer = {'Authorization': 'Bearer ' + token}\n"
        "request = urllib.request.Request(cluster['server'] + '/api/v1/nodes', headers=bearer)\n"
        "try: urllib.request.urlopen(request, context=trust)\n"
        "except urllib.error.HTTPError as error: print(error.read().decode())\n"
    )
    space.pod("asker", ["python3", "-c", asks], {"restartPolicy": "Never"})
    until(lambda: space.get("pods", "asker")["status"].get("phase") == "Succeeded", "the pod to end")
    assert f"system:serviceaccount:{space.name}:default" in space.log("asker")


def test_a_new_node_adopts_what_an_old_one_left(space: Space) -> None:
    cluster = space.cluster
    for name in ("kept", "lost", "deleted"):
        space.pod(name, SLEEPER)
    for name in ("kept", "lost", "deleted"):
        until(lambda name=name: space.ready(name), f"{name} to be ready")  # type: ignore[misc]
    pids = {name: space.pid(name) for name in ("kept", "lost", "deleted")}
    began = space.condition("kept")["lastTransitionTime"]
    started = space.container("kept")["state"]

    cluster.end("node", signal.SIGKILL)
    os.kill(pids["lost"], signal.SIGKILL)
    space.delete("pods", "deleted", gracePeriodSeconds=0)
    cluster.up()

    until(lambda: not os.path.exists(f"/proc/{pids['deleted']}"), "the deleted pod's process to end")
    until(
        lambda: space.container("lost")["restartCount"] == 1 and space.ready("lost"), "the lost one's restart"
    )
    assert space.container("lost")["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert space.pid("kept") == pids["kept"]
    assert space.container("kept")["restartCount"] == 0
    assert space.container("kept")["state"] == started
    assert space.condition("kept")["lastTransitionTime"] == began
    # It is not this node's child: its end is seen nevertheless.
    os.kill(pids["kept"], signal.SIGKILL)
    until(
        lambda: space.container("kept")["restartCount"] == 1 and space.ready("kept"),
        "the adopted one's restart",
    )


def test_an_api_server_that_restarts_disturbs_nothing(space: Space) -> None:
    for name in ("steady", "shot"):
        space.pod(name, SLEEPER)
    until(lambda: space.ready("steady") and space.ready("shot"), "the pods to be ready")
    steady, shot = space.pid("steady"), space.pid("shot")
    space.cluster.end("kube-apiserver", signal.SIGKILL)
    port = int(space.api.access.server.rpartition(":")[2])
    until(lambda: components.port_is_free(port), "the API server's port to be free")
    os.kill(shot, signal.SIGKILL)
    space.cluster.up()

    until(
        lambda: space.container("shot")["restartCount"] == 1 and space.ready("shot"), "the restart to be told"
    )
    assert space.pid("steady") == steady
    assert space.ready("steady")
    space.pod("later", SLEEPER)
    until(lambda: space.ready("later"), "a new pod")


def test_the_nodes_end_leaves_no_process(space: Space) -> None:
    space.pod("willing", SLEEPER)
    space.pod("stubborn", DEAF_TO_TERM, {"terminationGracePeriodSeconds": 1})
    until(lambda: space.ready("willing") and space.ready("stubborn"), "the pods to be ready")
    until(lambda: "up" in space.log("stubborn"), "the pod to be deaf to the signal")
    space.cluster.end("node", signal.SIGTERM)
    assert space.cluster.pod_processes() == {}
    space.cluster.up()
    for name, code in (("willing", 143), ("stubborn", 137)):
        until(
            lambda name=name: space.ready(name) and space.container(name)["restartCount"] == 1,  # type: ignore[misc]
            "the pod's return",
        )
        assert space.container(name)["lastState"]["terminated"]["exitCode"] == code
