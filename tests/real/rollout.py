# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout on the real cluster: an InferenceService, patches of it, and the load meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, cast

from kubernetes import client

Json = dict[str, Any]

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
_LOAD = Path(__file__).resolve().parents[2] / "plugins/module_utils/_load/main.py"
_SECOND = 1_000_000_000
_POLL_SECONDS = 0.1
_MERGE = "application/merge-patch+json"


@dataclass
class Seen:
    """What the load saw, in the words of the table.

    gap: the longest time without a success, in seconds. by_revision: answers of each.
    seconds: for each second since the epoch, answers by revision; lost: those of the ledger.
    """

    requests: int
    failed: int
    gap: float
    by_revision: dict[str, int]
    seconds: dict[int, dict[str, int]]
    ledger: list[Json]
    result: Json = field(repr=False, default_factory=dict)

    def of(self, revision: str, since: float, until: float = float("inf")) -> int:
        """Answers of a revision in whole seconds from `since` to `until`, seconds since the epoch."""
        return sum(
            counts.get(revision, 0)
            for second, counts in self.seconds.items()
            if second >= since and second + 1 <= until
        )


def seen(result: Json) -> Seen:
    """Read a load.json."""
    told = result["LoadTest"]
    return Seen(
        requests=told["requests"],
        failed=told["failed"],
        gap=told["longest_success_gap"]["seconds"],
        by_revision={name: counts["requests"] for name, counts in told["revisions"].items()},
        seconds={int(row["second"]): row.get("revisions", {}) for row in told["timeline"]},
        ledger=told["ledger"],
        result=result,
    )


class Load:
    """The project's load engine in a process of its own, half on kept, half on new connections."""

    def __init__(self, folder: Path, gateway: str, host: str, path: str, rate: float) -> None:
        self._file = folder / "load.json"
        options = {
            "url": f"{gateway}{path}",
            "headers": [["Host", host], ["Content-Type", "application/json"]],
            "payloads": ["eyJpbnN0YW5jZXMiOiBbWzFdXX0="],
            "rate": rate,
            "connections": 8,
            "connection_modes": "both",
            "timeout": 10 * _SECOND,
            "revision_header": "X-Revision",
            # Whatever becomes of the test, the load ends.
            "max_duration": 600 * _SECOND,
        }
        given = folder / "load-options.json"
        given.write_text(json.dumps(options), encoding="utf-8")
        self._said = folder / "load.txt"
        argv = [sys.executable, "-I", "-S", str(_LOAD), "--options", str(given), "--json", str(self._file)]
        with open(self._said, "w", encoding="utf-8") as said:
            self.process = subprocess.Popen(argv, stdout=said, stderr=subprocess.STDOUT)

    def end(self) -> Seen:
        """Stop it and return what it saw."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        if code != 0:
            raise AssertionError(f"The load ended with {code}: {self._said.read_text('utf-8')}")
        return seen(json.loads(self._file.read_text(encoding="utf-8")))


@dataclass
class Rollout:
    """One InferenceService and what is done to it. `gateway`: where its requests go, without a path."""

    api: client.CustomObjectsApi
    namespace: str
    name: str
    gateway: str
    folder: Path
    marks: list[tuple[float, str]] = field(default_factory=list)
    load: Optional[Load] = None

    @property
    def _key(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURAL

    def get(self) -> Json:
        """The InferenceService."""
        return cast(Json, self.api.get_namespaced_custom_object(*self._key, self.name))

    def create(self, spec: Json, annotations: Mapping[str, str]) -> None:
        """Make it and wait until it is ready."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "InferenceService",
            "metadata": {"name": self.name, "namespace": self.namespace, "annotations": dict(annotations)},
            "spec": spec,
        }
        self.api.create_namespaced_custom_object(*self._key, body)
        self.mark("create")
        self.wait("the InferenceService to be ready", ready, 120)

    def delete(self) -> None:
        """Remove it, if it is there, and wait until it is gone."""
        deadline = time.monotonic() + 120
        try:
            self.api.delete_namespaced_custom_object(*self._key, self.name)
            while time.monotonic() < deadline:
                self.get()
                time.sleep(_POLL_SECONDS)
        except client.ApiException as error:
            if error.status == 404:
                return
            raise
        raise AssertionError("The InferenceService does not go.")

    def mark(self, text: str) -> float:
        """Note a moment; returns it, in seconds since the epoch."""
        now = time.time()
        self.marks.append((now, text))
        return now

    def patch(self, mark: str, spec: Json) -> float:
        """Merge-patch the spec; returns when."""
        now = self.mark(mark)
        self.api.patch_namespaced_custom_object(*self._key, self.name, {"spec": spec}, _content_type=_MERGE)
        return now

    def start_load(self, rate: float = 100, path: str = "/v1/models/m:predict") -> float:
        """Start the load; returns when a second of it has passed."""
        host = self.get()["status"]["url"].partition("://")[2].partition("/")[0]
        self.load = Load(self.folder, self.gateway, host, path, rate)
        time.sleep(1)
        return self.mark("load started")

    def end_load(self) -> Seen:
        """End it and return what it saw."""
        assert self.load is not None
        self.mark("load ended")
        seen = self.load.end()
        self.load = None
        return seen

    def wait(self, what: str, done: Callable[[Json], bool], seconds: float = 60) -> float:
        """Wait until the InferenceService is so; returns when it was seen."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get()
            if done(found):
                return self.mark(what)
            if time.monotonic() > deadline:
                raise AssertionError(f"Waited {seconds:.0f} s for {what}: {json.dumps(found.get('status'))}")
            time.sleep(_POLL_SECONDS)

    def hold(self, seconds: float) -> None:
        """Let the load go on for so long."""
        time.sleep(seconds)


# -- states of an InferenceService in Knative mode


def condition(found: Json, kind: str) -> str:
    """The status of a condition; Unknown where it is not there."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((each["status"] for each in conditions if each["type"] == kind), "Unknown")


def ready(found: Json) -> bool:
    """Whether it says so; which says nothing of what it serves."""
    return condition(found, "Ready") == "True" and bool(found.get("status", {}).get("url"))


def predictor(found: Json) -> Json:
    """The predictor's status."""
    status: Json = found.get("status", {}).get("components", {}).get("predictor", {})
    return status


def shares(found: Json) -> dict[str, int]:
    """Percent by revision name: two entries of one revision are added up, those of 0 are left out."""
    added: dict[str, int] = {}
    for entry in predictor(found).get("traffic", []):
        if entry.get("percent"):
            added[entry["revisionName"]] = added.get(entry["revisionName"], 0) + entry["percent"]
    return added


def routed(wanted: Mapping[str, int]) -> Callable[[Json], bool]:
    """Whether it is ready and its traffic is divided so, by names of revisions."""
    return lambda found: ready(found) and shares(found) == dict(wanted)


def created(revision: str) -> Callable[[Json], bool]:
    """Whether this revision is the latest, and ready."""

    def done(found: Json) -> bool:
        status = predictor(found)
        return (
            ready(found)
            and status.get("latestCreatedRevision") == status.get("latestReadyRevision") == revision
        )

    return done
