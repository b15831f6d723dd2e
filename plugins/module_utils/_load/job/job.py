# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs seen from outside: start, look at, wait for, stop and remove a load that runs detached."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from ..._common.files import expanded, require_own_folder, write_atomically
from ..._common.processes import alive, send
from ..errors import LoadError, refuse_nul
from ..grpc.method import Calls
from ..http.target import parse_url, probe, tls_context
from ..http2.library import require
from ..options import Options
from ..result import fortio
from ..result.result import build, public_options
from .package import copy_to
from .state import Store, check_room, read_json, read_lines

OTHER_ARGUMENTS = "other arguments: stop it first, or choose another name."
START_SECONDS = 60.0  # a name server that does not answer takes long
STOP_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.02


class PreparedLoad(NamedTuple):
    """A load that may be started: its options were checked."""

    options: Options
    dest: str

    @property
    def fingerprint(self) -> str:
        """Equal for loads that were asked for alike."""
        return f"{self.options.fingerprint()}:{self.dest}"


def prepare(
    options: Options, dest: str = "", state_dir: str | None = None, connect: bool = True
) -> PreparedLoad:
    """Check everything that can be wrong, before anything is started or written. Raises LoadError.

    `connect` opens one connection to the target and closes it again; no request is sent.
    """
    options.check()
    target = parse_url(options)
    tls_context(options, target)
    if options.grpc:
        require()
        Calls(options, target, "")
    store = Store(state_dir, options.name)
    dest = destination(dest)
    try:
        store.check_owner()
        if dest:
            require_own_folder(Path(dest).parent, shared=True)
    except OSError as error:
        raise LoadError(f"The load could put nothing where nobody else can: {error.strerror}.") from None
    check_room(store.folder, "state folder")
    if dest:
        check_room(Path(dest).parent, "folder of the destination")
    if connect:
        probe(target, options.timeout / 1e9)
    return PreparedLoad(options, dest)


def destination(dest: str) -> str:
    """The file to put a result in the place of, links followed. Raises LoadError if it cannot be one."""
    if not dest:
        return ""
    refuse_nul(dest, "destination")
    try:
        dest = os.path.realpath(expanded(dest))
    except OSError as error:
        raise LoadError(f"The destination {dest} cannot be used: {error.strerror}.") from None
    if os.path.isdir(dest):
        raise LoadError(f"The destination {dest} is a folder: name a file.")
    if os.path.exists(dest) and not os.path.isfile(dest):
        raise LoadError(f"The destination {dest} is not a regular file.")
    if not os.path.isdir(os.path.dirname(dest)):
        raise LoadError(f"The folder of the destination {dest} does not exist.")
    return dest


def exists(state_dir: str | None, name: str) -> bool:
    """Whether anything of a load of this name is there."""
    return Store(state_dir, name).exists()


def state(state_dir: str | None, name: str) -> str:
    """`absent`, `running`, `finished`, `stopped`, `aborted`, or `interrupted` if its process was killed."""
    store = Store(state_dir, name)
    if not store.exists():
        return "absent"
    # In this order: the process writes its result before it ends.
    running = alive(read_json(store.record))
    result = read_json(store.result)
    if result is not None:
        return str(result["LoadTest"]["state"])
    if running:
        return "running"
    return "interrupted" if store.record.exists() else "absent"


def same_arguments(prepared: PreparedLoad, state_dir: str | None) -> bool:
    """Whether the job was started with these arguments."""
    job = read_json(Store(state_dir, prepared.options.name).description)
    return job is not None and job.get("fingerprint") == prepared.fingerprint


def start(prepared: PreparedLoad, state_dir: str | None = None, python: str = sys.executable) -> bool:
    """Start the load detached. True if it was started, False if it runs with the same arguments already.

    What an earlier run of the name left is removed. Raises LoadError if one is running with other arguments.
    """
    store = Store(state_dir, prepared.options.name)
    with store.locked(create=True):
        if alive(read_json(store.record)) and read_json(store.result) is None:
            if same_arguments(prepared, state_dir):
                return False
            raise LoadError(f"A load named {store.name!r} is running with {OTHER_ARGUMENTS}")
        try:
            store.clear()
            program = copy_to(store.code, prepared.options.grpc)
            job = {
                "options": public_options(prepared.options),
                "fingerprint": prepared.fingerprint,
                "dest": prepared.dest,
            }
            write_atomically(store.description, json.dumps(job))
            _launch(prepared, store, program, python)
        except (OSError, LoadError) as error:
            store.remove()
            raise LoadError(f"The load could not be started: {error}") from None
    return True


def _launch(prepared: PreparedLoad, store: Store, program: Path, python: str) -> None:
    """Run the copied program in a session of its own and wait for its first word."""
    given = json.dumps({"options": prepared.options.to_json(), "dest": prepared.dest})
    with open(store.log, "ab") as log, subprocess.Popen(
        [python, "-I", "-S", str(program), "--job", str(store.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/", start_new_session=True,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(given.encode())
        child.stdin.close()
        ready, _unused, _unused = select.select([child.stdout], [], [], START_SECONDS)
        line = child.stdout.readline() if ready else b""
    try:
        said = json.loads(line)
    except ValueError:
        record = read_json(store.record)
        if record is not None:
            send(record, signal.SIGKILL)  # nobody would know of it
            _wait_for_end(record, STOP_GRACE_SECONDS)
        said = {"error": f"it did not come up; its log is {_tail(store.log)!r}"}
    if "error" in said:
        raise LoadError(str(said["error"]))


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-500:].strip()
    except OSError:
        return ""


def progress(state_dir: str | None, name: str) -> dict[str, Any]:
    """How far a load is, at most about a second old. Never raises for a load that is not there.

    Returns `state` (as `state` does), `requests` (ended so far), `failed`, `revisions` ({revision:
    {"requests", "failed"}}), `started` and `heartbeat` (seconds since the epoch, None if there is none).
    """
    store = Store(state_dir, name)
    now = state(state_dir, name)
    checkpoint = read_json(store.checkpoint) or {}
    snapshot = checkpoint.get("snapshot") or {}
    result = read_json(store.result) if now not in ("running", "absent") else None
    if result is not None:
        snapshot = result["LoadTest"]
    return {
        "state": now,
        "requests": snapshot.get("requests", 0),
        "failed": snapshot.get("failed", 0),
        "revisions": snapshot.get("revisions", {}),
        "started": snapshot.get("started"),
        "heartbeat": checkpoint.get("heartbeat"),
    }


def counts(state_dir: str | None, name: str) -> dict[str, Any]:
    """What a load has counted so far, at most about a second old. Never raises for a load that is not there.

    Returns `state` (as `state` does), `started` and `heartbeat` (seconds since the epoch, None if there is
    none), `revisions` (as in `progress`) and `response_times` ({revision: [[upper bound of a bucket in µs,
    how many], ...]}), of all requests that ended.
    """
    now = state(state_dir, name)
    checkpoint = read_json(Store(state_dir, name).checkpoint) or {}
    snapshot = checkpoint.get("snapshot") or {}
    histograms: dict[str, Any] = snapshot.get("response_histograms", {})
    return {
        "state": now,
        "started": snapshot.get("started"),
        "heartbeat": checkpoint.get("heartbeat"),
        "revisions": snapshot.get("revisions", {}),
        "response_times": {revision: one["counts"] for revision, one in histograms.items()},
    }


def result(state_dir: str | None, name: str) -> dict[str, Any] | None:
    """load.json of a load that ended, or as it stands of one that runs or was killed; else None."""
    store = Store(state_dir, name)
    now = state(state_dir, name)
    finished: dict[str, Any] | None = read_json(store.result)
    if finished is not None:
        return finished
    job, checkpoint = read_json(store.description), read_json(store.checkpoint)
    if job is None or checkpoint is None:
        return None
    timeline: list[dict[str, Any]] = read_lines(store.timeline, checkpoint["timeline_bytes"])
    ledger = read_lines(store.ledger, checkpoint["ledger_bytes"])
    return build(job["options"], now, checkpoint["snapshot"], timeline, ledger)


def wait(state_dir: str | None, name: str, seconds: float | None) -> bool:
    """Wait until the load's process has ended; False if it has not within `seconds`."""
    return _wait_for_end(read_json(Store(state_dir, name).record), seconds)


def _wait_for_end(record: dict[str, Any] | None, seconds: float | None) -> bool:
    """The same of the recorded process."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while alive(record):
        if deadline is not None and time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def stop(state_dir: str | None, name: str) -> bool:
    """End a running load with its full report. True if one was running.

    The process is given the time that a request may take and ten seconds, then it is killed, and the result
    says `interrupted`. Where the load had a destination, a result is there afterwards.
    """
    store = Store(state_dir, name)
    with store.locked(create=False) as there:
        if not there:
            return False
        record = read_json(store.record)
        job = read_json(store.description) or {}
        stopped = record is not None and send(record, signal.SIGTERM)
        if record is not None and stopped:
            seconds = job["options"]["longest_request"] / 1e9 + STOP_GRACE_SECONDS
            if not _wait_for_end(record, seconds):
                send(record, signal.SIGKILL)
                _wait_for_end(record, STOP_GRACE_SECONDS)
        _keep_interrupted(store, state_dir, job)
    return stopped


def _keep_interrupted(store: Store, state_dir: str | None, job: dict[str, Any]) -> None:
    """Write the result that a killed process could not."""
    if store.result.exists():
        return
    made = result(state_dir, store.name)
    if made is None:
        return
    delivered = _delivered(job.get("dest") or "", made)
    text = json.dumps(delivered or made) + "\n"
    store.give_room()
    try:
        if job.get("dest") and not delivered:
            write_atomically(Path(job["dest"]), text, 0o644)
        write_atomically(store.report, fortio.text(made))
        write_atomically(store.result, text)
    except OSError as error:
        raise LoadError(f"The load is stopped, but its result cannot be written: {error}.") from None


def _delivered(dest: str, made: dict[str, Any]) -> dict[str, Any] | None:
    """The result that the process of this very run put at its destination before it failed or was killed."""
    there = read_json(Path(dest)) if dest else None
    own = there.get("LoadTest") if isinstance(there, dict) else None
    run = made["LoadTest"]
    same = isinstance(own, dict) and (own.get("name"), own.get("started")) == (run["name"], run["started"])
    return there if same else None


def deliver(state_dir: str | None, name: str, dest: str, check_mode: bool = False) -> bool:
    """Write the result of an ended load to a file. True unless it was there with this content already."""
    store = Store(state_dir, name)
    if not dest or not store.result.exists():
        return False
    text = store.result.read_text(encoding="utf-8")
    path = Path(destination(dest))
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return False
        if not check_mode:
            write_atomically(path, text, 0o644)
    except OSError as error:
        raise LoadError(f"The destination {dest} cannot be written: {error.strerror}.") from None
    return True


def remove(state_dir: str | None, name: str) -> bool:
    """Stop the load and remove its state folder. True if there was one."""
    if not exists(state_dir, name):
        return False
    with contextlib.suppress(LoadError):
        stop(state_dir, name)  # a result that cannot be written must not keep the folder
    store = Store(state_dir, name)
    with store.locked(create=False) as there:
        if there:
            try:
                store.remove()
            except OSError as error:
                raise LoadError(
                    f"The state folder {store.folder} cannot be removed: {error.strerror}."
                ) from None
    return there
