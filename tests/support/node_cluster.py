# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox whose parts the tests may kill, and a namespace of it, seen through the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    ApiError,
    Json,
    KubeClient,
    read_kubeconfig,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import absent, present
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records

from . import waiting

IMAGE = "sandbox.iter8.kfserving/runtime"
NAME = "node-test"

SERVER = ["python3", "-m", "http.server", "8080", "--bind", "$(POD_IP)"]
SLEEPER = ["python3", "-c", "import time; print('up'); time.sleep(600)"]
DEAF_TO_TERM = [
    "python3",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)",
]


class Cluster:
    """A sandbox whose parts the tests may kill; `up` mends it."""

    def __init__(self, home: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(home), "HOME": str(home)}
        self.where = paths.layout(NAME, self.env)

    def up(self) -> None:
        """Bring up what does not run."""
        options = present.SandboxOptions(source=present.default_source(), cache=paths.cache_dir())
        present.up(NAME, options, print, env=self.env)
        self.api = KubeClient(read_kubeconfig(self.where.kubeconfig))

    def down(self) -> None:
        """Remove all of it."""
        absent.down(NAME, print, cache_dir=paths.cache_dir(), env=self.env)

    def end(self, part: str, number: int) -> None:
        """Send a part a signal and wait for its end."""
        process = records.read(self.where.processes / f"{part}.json")
        assert process is not None
        records.send(process, number)
        until(lambda: not records.alive(process), f"{part} to end")

    def pod_processes(self) -> dict[str, int]:
        """The living processes of pods: record id → pid."""
        found = records.read_all(self.where.processes)
        return {one.id: one.pid for one in found if one.role in ("pod", "exec") and records.alive(one)}


class Space:
    """One namespace of it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.api = cluster.api
        self.shared = cluster.where.shared

    def path(self, kind: str, name: str = "") -> str:
        group = {"deployments": "/apis/apps/v1", "jobs": "/apis/batch/v1"}.get(kind, "/api/v1")
        return f"{group}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    def make(self, kind: str, name: str, content: Json) -> Json:
        return self.api.call("POST", self.path(kind), {**content, "metadata": {"name": name}})

    def get(self, kind: str, name: str) -> Json:
        return self.api.call("GET", self.path(kind, name))

    def pods(self) -> list[Json]:
        return list(self.api.call("GET", self.path("pods"))["items"])

    def delete(self, kind: str, name: str, **options: Any) -> None:
        self.api.call("DELETE", self.path(kind, name), options)

    def pod(self, name: str, command: list[str], spec: Optional[Json] = None, **container: Any) -> None:
        one = {"name": "main", "image": IMAGE, "command": command, **container}
        spec = {"terminationGracePeriodSeconds": 3, **(spec or {}), "containers": [one]}
        self.make("pods", name, {"spec": spec})

    def version(self, pod: str) -> str:
        """The state of the cluster when the pod was last changed: where `history` may begin."""
        return str(self.get("pods", pod)["metadata"]["resourceVersion"])

    def history(self, pod: str, since: str) -> list[Json]:
        """The pod as it was after each change from then on, its deletion included."""
        query = {"fieldSelector": f"metadata.name={pod}", "resourceVersion": since, "timeoutSeconds": "1"}
        return [event["object"] for event in self.api.watch(self.path("pods"), query, 30.0)]

    def container(self, pod: str) -> Json:
        return dict((self.get("pods", pod).get("status", {}).get("containerStatuses") or [{}])[0])

    def condition(self, pod: str, kind: str = "Ready") -> Json:
        conditions = self.get("pods", pod).get("status", {}).get("conditions") or []
        return next((one for one in conditions if one["type"] == kind), {})

    def ready(self, pod: str) -> bool:
        return self.condition(pod).get("status") == "True"

    def log(self, pod: str) -> str:
        return Path(
            self.get("pods", pod)["metadata"]["annotations"]["sandbox.iter8.kfserving/log"]
        ).read_text()

    def gone(self, pod: str) -> bool:
        try:
            self.get("pods", pod)
        except ApiError as error:
            return error.status == 404
        return False

    def pid(self, pod: str) -> int:
        uid = self.get("pods", pod)["metadata"]["uid"]
        found = [
            pid for name, pid in self.cluster.pod_processes().items() if name.startswith(f"pod-{uid}-main")
        ]
        return found[0] if found else 0


def until(done: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """Wait for what a node does by itself, which takes it a few seconds."""
    return waiting.until(done, seconds, what)
