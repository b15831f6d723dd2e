# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's log as it is followed: each line once, whatever becomes of connection, pod and container."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Forbidden,
    NotFound,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer import gateway_log
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.gateway_log import (
    GatewayLog,
    LogPlace,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.formats import FORMATS

START = datetime(2026, 11, 28, 8, 0, 0, tzinfo=timezone.utc).timestamp()
PLACE = LogPlace("gateways", "app=gateway", "proxy")


def line(number: int, stamp: str) -> bytes:
    said = {
        "request_id": f"000000000000ab12-{number:010}",
        "response_code": 200,
        "upstream_cluster": "models/m-1",
    }
    return stamp.encode() + b" " + json.dumps(said).encode()


class Server:
    """An API server with pods; `scripts` says for each what each of its answers is: lines, or an error."""

    def __init__(self, scripts: dict[str, list[Any]], ended: threading.Event) -> None:
        self.scripts = scripts
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._ended = ended
        self._open: list[str] = []  # the pods whose lines are being read

    def resource(self, api_version: str, kind: str) -> Resource:
        return Resource(api_version, kind, "pods", True)

    def get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        assert (path, query) == ("/api/v1/namespaces/gateways/pods", {"labelSelector": "app=gateway"})
        return {
            "items": [{"metadata": {"name": name}, "status": {"phase": "Running"}} for name in self.scripts]
        }

    def lines(self, path: str, query: dict[str, str], silence: float) -> Generator[bytes, None, None]:
        self.asked.append((path, query))
        pod = path.split("/")[-2]
        if query["follow"] == "false":
            return self._lines([])
        script = self.scripts[pod]
        if not script:
            # All has been told, and taken: whoever asks again is the last to.
            if not any(self.scripts.values()) and not self._open:
                self._ended.set()
            raise NotFound("the pod is gone")
        self._open.append(pod)
        return self._told(pod, script.pop(0))

    def _told(self, pod: str, script: list[Any]) -> Generator[bytes, None, None]:
        try:
            yield from self._lines(script)
        finally:
            self._open.remove(pod)

    @staticmethod
    def _lines(script: list[Any]) -> Generator[bytes, None, None]:
        for each in script:
            if isinstance(each, Exception):
                raise each
            yield each


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(gateway_log, name, 0.001)


def followed(tmp_path: Path, scripts: dict[str, list[Any]]) -> tuple[list[int], Server]:
    """The numbers of the requests that were kept, in their order."""
    ended = threading.Event()
    server = Server(scripts, ended)
    log = GatewayLog(server, PLACE, FORMATS["istio"], tmp_path / "log", lambda: START)  # type: ignore[arg-type]
    log.run(ended)
    rows = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]
    return [int(row["request_id"].partition("-")[2]) for row in rows], server


def test_lines_that_come_again_after_a_cut_are_taken_once(tmp_path: Path) -> None:
    first = [line(1, "2026-11-28T08:00:01.1Z"), line(2, "2026-11-28T08:00:01.100000001Z")]
    again = [*first, line(3, "2026-11-28T08:00:01.25Z"), line(4, "2026-11-28T09:00:02+01:00")]
    kept, server = followed(tmp_path, {"a": [[*first, Unreachable("cut")], again]})
    assert kept == [1, 2, 3, 4]
    since = [query["sinceTime"] for _path, query in server.asked if query["follow"] == "true"]
    assert since[1:] == ["2026-11-28T08:00:01Z", "2026-11-28T08:00:02Z"]
    assert all(query["container"] == "proxy" for _path, query in server.asked)


def test_each_pod_and_each_of_a_containers_lives_is_followed(tmp_path: Path) -> None:
    one = [[line(1, "2026-11-28T08:00:01Z")], [line(2, "2026-11-28T08:00:05Z")]]
    other = [[line(3, "2026-11-28T08:00:02Z")]]
    kept, _server = followed(tmp_path, {"a": one, "b": other})
    assert sorted(kept) == [1, 2, 3]


def test_what_is_no_line_of_a_log_is_left_out(tmp_path: Path) -> None:
    odd = [b"", b"unable to retrieve", b"2026-11-28 nothing", line(1, "2026-11-28T08:00:01Z") + b"}"]
    assert followed(tmp_path, {"a": [[*odd, line(2, "2026-11-28T08:00:02.5Z")]]})[0] == [2]


def test_where_there_is_no_pod_or_no_right_it_does_not_start(tmp_path: Path) -> None:
    ended = threading.Event()
    with pytest.raises(ClusterError, match="no running pods app=gateway in namespace gateways"):
        GatewayLog(Server({}, ended), PLACE, FORMATS["istio"], tmp_path / "log")  # type: ignore[arg-type]
    server = Server({"a": []}, ended)
    forbidden = [Forbidden("may not get pods/log")]
    server._lines = lambda _script: Server._lines(forbidden)  # type: ignore[method-assign]
    with pytest.raises(Forbidden):
        GatewayLog(server, PLACE, FORMATS["istio"], tmp_path / "log")  # type: ignore[arg-type]
