# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed run must leave, and what it must not: its evidence, and what is somebody else's."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes
from arena import NAMESPACE, SERVICES, Arena
from struck import MARK, Struck

EVIDENCE_SECONDS = 1.0
"""How much of the evidence before the kill may be missing."""
LATE_SECONDS = 0.25
"""How late a process that is to write every second may be on a machine with much to do."""
MAX_UNOBSERVED_SECONDS = 1.0
_NAME = "bystander"

Row = Mapping[str, Any]


# -- evidence


def short(what: str, reach: float | None, killed: float) -> str:
    """What is wrong with evidence that reaches this far (epoch seconds; None: there is none); or nothing."""
    if reach is None:
        return f"there is no evidence of the {what}"
    missing = killed - reach
    if missing <= EVIDENCE_SECONDS + LATE_SECONDS:
        return ""
    return f"the evidence of the {what} ends {missing:.2f} s before the kill"


def load_reach(load: Any) -> float | None:
    """Up to when a load.json tells."""
    return float(load["LoadTest"]["ended"]) if load else None


def observer_reach(observations: Sequence[Row] | None, timeline: Sequence[Row]) -> float | None:
    """Up to when the observer's evidence tells: its last row, or its own word that it ended then."""
    if observations is None:
        return None
    own = [row["time"] for row in timeline if row.get("source") == "observer"]
    return max([*own, *(row["time"] for row in observations)], default=None)


def false_pass(
    verdict: Any, load: Any, observations: Sequence[Row] | None, timeline: Sequence[Row], completed: bool
) -> str:
    """Why a pass is none; empty for another verdict, and for a pass that the evidence bears.

    ``completed`` says whether the run came to its own end.
    """
    if not verdict or verdict.get("verdict") != "pass":
        return ""
    if not completed:
        return "a pass of a run that was stopped"
    if not load or load["LoadTest"]["state"] != "stopped":
        return "a pass over a load that was not there to the end"
    if load["LoadTest"]["failed"]:
        return f"a pass over {load['LoadTest']['failed']} lost requests"
    missed = _longest_unobserved(observations, timeline)
    if missed is None or missed > MAX_UNOBSERVED_SECONDS:
        return (
            f"a pass over a shift of which nobody saw {'anything' if missed is None else f'{missed:.2f} s'}"
        )
    return ""


def _longest_unobserved(observations: Sequence[Row] | None, timeline: Sequence[Row]) -> float | None:
    """The longest time of the shift that the observer did not see; None where it saw no shift at all."""
    begin = next((row["time"] for row in timeline if row["event"] == "canary_applied"), None)
    end = next((row["time"] for row in reversed(timeline) if row["event"] == "traffic"), None)
    if observations is None or begin is None or end is None:
        return None
    unseen = [(row["from"], row["to"]) for row in observations if row["type"] == "unobserved"]
    unseen += [(row["from"], math.inf) for row in observations if row["type"] == "killed"]
    ended = next((row["time"] for row in reversed(timeline) if row["event"] == "load_stopped"), end)
    return max((min(to, ended) - max(since, begin) for since, to in unseen), default=0.0)


def read(path: Path) -> Any:
    """A JSON file of the artefacts; None where there is none, or half of one."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def rows(path: Path) -> list[dict[str, Any]] | None:
    """A file of JSON lines; what was being written when its writer was killed is left out."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    return [json.loads(line) for line in lines if line.endswith("\n") and line.strip()]


# -- what is left


def marked(run: str) -> list[str]:
    """The command lines of the processes that the run started and that still run."""
    return [command for _unused, command in _marked(run)]


def _marked(run: str) -> Iterator[tuple[int, str]]:
    mark = f"{MARK}={run}\0".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environment.read_bytes():
                command = (environment.parent / "cmdline").read_bytes()
                yield int(environment.parent.name), command.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def end_marked(run: str) -> None:
    """End what a failed teardown left, so that the next run of the series is its own."""
    for pid, _unused in _marked(run):
        processes.send(processes.record_of(pid), signal.SIGKILL)


def clear(arena: Arena) -> None:
    """End and remove the loads and observers that an earlier series left which was killed itself."""
    state = Path(arena.env["XDG_STATE_HOME"]) / "iter8-kfserving"
    for record in [*state.glob("loads/*/process.json"), *state.glob("observers/*/process.json")]:
        with contextlib.suppress(ValueError):
            processes.send(json.loads(record.read_text()), signal.SIGKILL)
    for kind in ("loads", "observers", "runs"):
        shutil.rmtree(state / kind, ignore_errors=True)


def files_left(course: Struck) -> list[str]:
    """The files of the run among the collection's state."""
    there = [course.state / "loads" / course.job, course.state / "observers" / course.job]
    there.append(course.state / "runs" / f"{course.job}.json")
    return [str(path.relative_to(course.state)) for path in there if path.exists()]


# -- what is somebody else's


class Bystanders:
    """Objects, a process and files beside the run that look much like its own, and are not."""

    def __init__(self, arena: Arena, folder: Path) -> None:
        self._arena = arena
        state = Path(arena.env["XDG_STATE_HOME"]) / "iter8-kfserving"
        self._files = [state / "loads" / _NAME / "job.json", state / "runs" / f"{_NAME}.json"]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[str, Any] = {}

    def create(self, sample: Path) -> None:
        """Put them there."""
        arena, body = self._arena, {"metadata": {"name": _NAME}}
        arena.core.create_namespace(body)
        arena.core.create_namespaced_config_map(NAMESPACE, {**body, "data": {"of": "somebody else"}})
        service = yaml.safe_load(sample.read_text())
        service["metadata"]["name"] = _NAME
        arena.create(SERVICES, service)
        for path in self._files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        sleeper = [sys.executable, "-c", "import time; time.sleep(86400)", str(self._files[0].parent)]
        self._process = subprocess.Popen(sleeper, env=arena.env, start_new_session=True)

    def remember(self) -> None:
        """How they are before a run."""
        self._before = self._state()

    def problems(self, settled: bool) -> list[str]:
        """What has changed. A cluster that was struck itself (not ``settled``) may have written statuses."""
        after = self._state()
        names = [name for name in self._before if settled or not name.endswith(" version")]
        return [f"{name} of somebody else: {self._before[name]} is now {after[name]}"
                for name in names if self._before[name] != after[name]]  # fmt: skip

    def _state(self) -> dict[str, Any]:
        arena = self._arena
        found: dict[str, Any] = {}
        config_map = arena.core.read_namespaced_config_map(_NAME, NAMESPACE)
        service = arena.service(_NAME)
        for kind, metadata in (
            ("Namespace", arena.core.read_namespace(_NAME).metadata.to_dict()),
            ("ConfigMap", config_map.metadata.to_dict()),
            ("InferenceService", service["metadata"]),
        ):
            found[f"{kind} UID"] = metadata["uid"]
            found[f"{kind} generation"] = metadata.get("generation")
            found[f"{kind} version"] = metadata.get("resource_version") or metadata.get("resourceVersion")
            found[f"{kind} labels"] = metadata.get("labels")
        found["process"] = self._process is not None and self._process.poll() is None
        for path in self._files:
            found[str(path)] = os.stat(path).st_mtime_ns if path.exists() else None
        return found

    def remove(self) -> None:
        """End the process; the objects go with the sandbox."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
