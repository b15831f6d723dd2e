# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster in memory that runs a load's Job: what its controller and the kubelets do stands here, in the
place of the real ones, and each container's own command runs as a process of this machine.

Volumes are folders, so the one path that a container has, `objects.FOLDER`, is replaced in its command.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Optional

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.objects import (
    CONTROL,
    FOLDER,
    INDEX,
)

from .cluster import Cluster

Json = dict[str, Any]


class LoadPods(Cluster):
    """Kubernetes as far as a load from pods sees it. Close it to end what runs.

    `waits` are parts whose pod never gets a node, `log` changes what is read of a pod's log, `shows` tells in
    how many seconds an annotation is shown, `proxied` is whether the user may connect to pods, and
    `environment` what else a part's container finds in its own.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.version = {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
        self.shows = 0.05
        self.log: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
        self.waits: set[int] = set()
        self.proxied = True
        self.environment: Callable[[int], dict[str, str]] = lambda _index: {}
        self.nodes = ("node-a", "node-b")
        self.told: list[tuple[str, Json]] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._root = folder
        self._numbers = itertools.count()
        self._timers: list[threading.Timer] = []
        self._showing = threading.Lock()

    # -- what the API offers

    def get(self, path: str, query: Any = None, *, metadata_only: bool = False) -> Json:
        if path == "/version":
            return self.version
        asked = re.search(r"/pods/[^/]+:(\d+)/proxy/$", path)
        if asked:
            return self._through(int(asked[1]))
        self._look()
        return super().get(path, query, metadata_only=metadata_only)

    def with_time_limit(self, _seconds: float) -> LoadPods:
        return self

    def _through(self, port: int) -> Json:
        """As the API server connects to a pod, where the user may have that."""
        if not self.proxied:
            raise Forbidden("the user may not get pods/proxy")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/", headers={"X-Forwarded-For": "127.0.0.1"})
            answer: Json = json.loads(connection.getresponse().read())
            return answer
        except OSError as error:
            raise Unreachable(str(error)) from error
        finally:
            connection.close()

    def apply(self, path: str, definition: Json, field_manager: str, *, dry_run: bool = False) -> Json:
        made = super().apply(path, definition, field_manager, dry_run=dry_run)
        if definition["kind"] == "Job" and not dry_run:
            for index in range(definition["spec"]["completions"]):
                self._make_pod(made, index)
        return made

    def merge(self, path: str, patch: Json) -> Json:
        pod = super().get(path)
        metadata = pod["metadata"]
        if patch["metadata"]["uid"] != metadata["uid"]:
            raise Conflict("the UID in the precondition does not match")
        metadata["annotations"].update(patch["metadata"]["annotations"])
        self.told.append((metadata["name"], json.loads(metadata["annotations"][CONTROL])))
        timer = threading.Timer(self.shows, self._show, (metadata,))
        self._timers.append(timer)
        timer.start()
        return pod

    def lines(
        self, path: str, query: Any, silence_seconds: float, *, accept: str = "*/*"
    ) -> Generator[bytes, None, None]:
        name = path.split("/")[-2]
        if path.rpartition("/")[0] not in self.objects:
            raise NotFound(path)
        if name not in self.processes:
            raise BadRequest("container is waiting to start: ContainerCreating")
        found = self.log(self._folder(name).joinpath("log").read_bytes().splitlines())
        last = int(query.get("tailLines") or 0)
        return (line for line in (found[-last:] if last else found))

    def delete(self, path: str, options: Json) -> Json:
        found = self.objects.get(path) or {}
        super().delete(path, options)
        if found.get("kind") == "Job":
            for pod in [each for each in self.objects.values() if each["kind"] == "Pod"]:
                self.end(pod["metadata"]["name"])
                self.remove(pod)
        return {}

    # -- what happens to pods

    def pod_of(self, index: int) -> Json:
        """The pod of a part."""
        pods = [each for each in self.objects.values() if each["kind"] == "Pod"]
        return next(each for each in pods if each["metadata"]["annotations"][INDEX] == str(index))

    def kill(self, index: int) -> None:
        """As the kernel does where memory is short: all of the container, at once."""
        name = self.pod_of(index)["metadata"]["name"]
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        for record in self._folder(name).glob("state/loads/load/process.json"):
            os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
        self.processes[name].wait(10)

    def evict(self, index: int) -> None:
        """As a node does that lacks something: the container is asked to end, and the pod says why."""
        pod = self.pod_of(index)
        self.end(pod["metadata"]["name"])
        pod["status"].update(
            phase="Failed", reason="Evicted", message="The node was low on resource: memory."
        )

    def lose(self, index: int) -> None:
        """The pod's object goes, as after its node."""
        pod = self.pod_of(index)
        self.kill(index)
        self.remove(pod)

    def end(self, name: str) -> None:
        """Ask a pod's container to end, and wait until it has."""
        process: Optional[subprocess.Popen[bytes]] = self.processes.get(name)
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(60)

    def close(self) -> None:
        """End what runs."""
        for timer in self._timers:
            timer.cancel()
        for name in self.processes:
            self.end(name)

    # -- the controller of Jobs, and kubelets

    def _make_pod(self, job: Json, index: int) -> None:
        template, meta = job["spec"]["template"], job["metadata"]
        name = f"{meta['name']}-{index}-{next(self._numbers):05}"
        node = "" if index in self.waits else self.nodes[index % len(self.nodes)]
        self.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": meta["namespace"],
                    "labels": dict(template["metadata"]["labels"]),
                    "annotations": {INDEX: str(index)},
                    "ownerReferences": [{"uid": meta["uid"], "kind": "Job"}],
                },
                "spec": {"nodeName": node},
                "status": {"phase": "Running" if node else "Pending"},
            }
        )
        if not node:
            no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2"}
            self.pod_of(index)["status"]["conditions"] = [no_node]
            return
        folder = self._folder(name)
        for volume in template["spec"]["volumes"]:
            self._fill(folder / volume["name"], volume, meta["namespace"])
        (container,) = template["spec"]["containers"]
        program, *arguments = (each.replace(FOLDER, str(folder)) for each in container["command"])
        assert program == "python3"
        with open(folder / "log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *arguments], stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={"JOB_COMPLETION_INDEX": str(index), **self.environment(index)}, cwd="/",
            )  # fmt: skip

    def _fill(self, folder: Path, volume: Json, namespace: str) -> None:
        folder.mkdir(parents=True)
        if "configMap" in volume:
            found = self.resource("v1", "ConfigMap").path(namespace, volume["configMap"]["name"])
            data = self.objects[found]["binaryData"]
            items = [{"key": key, "path": key} for key in data]
        elif "secret" in volume:
            found = self.resource("v1", "Secret").path(namespace, volume["secret"]["secretName"])
            data, items = self.objects[found]["data"], volume["secret"]["items"]
        else:
            return
        for item in items:
            (folder / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))

    def _show(self, metadata: Json) -> None:
        """A kubelet shows the newest, however quickly one came after the other."""
        with self._showing:
            new = self._folder(metadata["name"]) / "control/.new"
            new.write_text(metadata["annotations"][CONTROL])
            new.rename(new.with_name("control"))

    def _look(self) -> None:
        """Bring the pods' statuses up to what became of their processes."""
        for each in list(self.objects.values()):
            process = self.processes.get(each["metadata"]["name"])
            code = process.poll() if process is not None else None
            if code is None or each["status"].get("phase") == "Failed":
                continue
            ended = {"exitCode": code if code >= 0 else 128 - code}
            if code == -signal.SIGKILL:
                ended["reason"] = "OOMKilled"
            each["status"]["phase"] = "Failed" if code else "Succeeded"
            each["status"]["containerStatuses"] = [{"state": {"terminated": ended}}]

    def _folder(self, name: str) -> Path:
        return self._root / name
