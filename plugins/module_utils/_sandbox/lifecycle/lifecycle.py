# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a sandbox up, mend it, and remove it without a trace."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths as state
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components, pki
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane.components import (
    ControlPlane,
    ControlPlaneError,
    PortTaken,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import library
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import exclusive, records
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache, find

Report = Callable[[str], None]

_NODE = "node"
_PACKAGE = "ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node"
_ATTEMPTS = 3
# etcd takes 130 MB from the start; the rest is for logs and what pods write.
_ROOM_MEGABYTES = 500
# The node ends its pods before itself; each pod gets at most 8 s for that.
_NODE_GRACE, _POD_GRACE, _CONTROL_PLANE_GRACE, _STARTER_GRACE = 20.0, 5.0, 2.0, 2.0
_PARTS = (components.ETCD, components.APISERVER, components.CONTROLLER_MANAGER, _NODE)


class SandboxError(Exception):
    """A sandbox cannot be brought up or removed; the text says why and what to do."""


# All that `up` and `down` may raise for reasons of the user's or the machine's.
ERRORS = (
    SandboxError,
    state.StateError,
    records.ProcessError,
    cache.BinariesError,
    ControlPlaneError,
    OSError,
)


@dataclass(frozen=True)
class Up:
    """The outcome of `up`.

    started: the parts that were not running. created: whether it began anew, with an empty cluster.
    """

    where: state.Layout
    changed: bool
    sandbox: Optional[state.Sandbox] = None
    started: Sequence[str] = ()
    created: bool = False


@dataclass(frozen=True)
class Down:
    """The outcome of `down`. `ended`: ids of the processes that were running."""

    where: state.Layout
    changed: bool
    ended: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wishes:
    """What the user may choose.

    source: the collection's plugins/module_utils, as a folder.
    owner: the process id of the playbook that the sandbox shall belong to, if it shall belong to one alone.
    """

    source: Path
    cache: Path
    binaries_dir: Optional[Path] = None
    api_port: Optional[int] = None
    owner: Optional[int] = None


def default_source() -> Path:
    """The module_utils this module itself lies in, where it lies in a folder."""
    return Path(__file__).resolve().parents[2]


# -- up


def _running(where: state.Layout, name: str) -> bool:
    process = records.read(where.processes / f"{name}.json")
    return process is not None and records.alive(process)


def _is_up(where: state.Layout, sandbox: state.Sandbox) -> bool:
    return (
        all(_running(where, part) for part in _PARTS)
        and where.kubeconfig.is_file()
        and components.Client(where, sandbox.ports["api"]).found("/readyz")
    )


def would_change(name: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether `up` would have anything to do."""
    where = state.layout(name, env)
    sandbox = state.read_sandbox(where)
    return sandbox is None or where.closed_processes.exists() or not _is_up(where, sandbox)


def check(name: str, wishes: Wishes, env: Mapping[str, str] = os.environ) -> None:
    """Raise what `up` would raise for reasons that can be known without changing anything.

    What it cannot know is whether a download or a build, if one is needed, succeeds.
    """
    where = state.layout(name, env)
    find.architecture(sys.platform, os.uname().machine)
    _refuse_if_taken(where, name, wishes)
    sandbox = state.read_sandbox(where)
    if sandbox is not None and not exclusive.left_by_its_owner(where, wishes.owner):
        _refuse_other_port(sandbox, wishes)
        return
    components.choose_ports(wishes.api_port)
    there = next(folder for folder in (where.root, *where.root.parents) if folder.exists())
    _require_room(there)
    find.check(wishes.cache, binaries_dir=wishes.binaries_dir)


def _refuse_if_taken(where: state.Layout, name: str, wishes: Wishes) -> None:
    other = exclusive.owned_by_another(where, wishes.owner)
    if other is not None:
        raise SandboxError(
            f"The sandbox {name} belongs to a playbook that still runs (process {other}). "
            "Wait for its end, or name another sandbox: -e sandbox_name=NAME."
        )


def _refuse_other_port(sandbox: state.Sandbox, wishes: Wishes) -> None:
    if wishes.api_port not in (None, sandbox.ports["api"]):
        raise SandboxError(
            f"The sandbox {sandbox.name} has its API server on port {sandbox.ports['api']}, not "
            f"{wishes.api_port}: remove it first (state: absent)."
        )


def _require_room(folder: Path) -> None:
    cache.require_room(
        folder, _ROOM_MEGABYTES, "run a sandbox", "set XDG_STATE_HOME to a folder on another disk"
    )


def _networks(sandboxes: Path) -> set[int]:
    """The networks of this user's sandboxes, running or not."""
    found = (state.read_sandbox(state.Layout(record.parent)) for record in sandboxes.glob("*/sandbox.json"))
    return {sandbox.network for sandbox in found if sandbox is not None}


def _start_node(where: state.Layout, plane: ControlPlane) -> list[str]:
    if _running(where, _NODE):
        return []
    log = where.logs / "node.log"
    since = time.time()
    records.start(
        where.processes,
        _NODE,
        [sys.executable, "-m", _PACKAGE, "--state-dir", str(where.root)],
        role=_NODE,
        log=log,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(where.root),
            "PYTHONPATH": str(where.lib),
            "PYTHONUNBUFFERED": "1",
        },
        cwd=where.root,
    )
    plane.wait_for_node(_NODE, since, log)
    return [_NODE]


def _boot(where: state.Layout, sandbox: state.Sandbox, report: Report) -> list[str]:
    plane = ControlPlane(where, sandbox.programs, sandbox.ports, sandbox.network)
    report("starting etcd, kube-apiserver and kube-controller-manager")
    started = plane.boot()
    plane.allow_node()
    report("starting the node")
    return started + _start_node(where, plane)


def _prepare(where: state.Layout, name: str, wishes: Wishes, programs: find.Programs) -> state.Sandbox:
    """Everything but processes: ports, network, keys, and last the record."""
    network = components.choose_network(_networks(where.root.parent))
    ports = components.choose_ports(wishes.api_port)
    for folder in (where.pki, where.etcd):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (where.logs, where.pods, where.shared):
        folder.mkdir(exist_ok=True)
    where.etcd.mkdir(mode=0o700)
    pki.create(where, name, components.etcd_peer(network))
    sandbox = state.Sandbox(
        name=name,
        network=network,
        api_server=f"https://127.0.0.1:{ports['api']}",
        created=time.time(),
        ports=ports,
        programs={**_paths(programs), "python3": sys.executable},
        versions=programs.versions,
    )
    pki.write_kubeconfigs(where, sandbox.api_server, sandbox.context)
    state.write_sandbox(where, sandbox)
    return sandbox


def _paths(programs: find.Programs) -> dict[str, str]:
    return {name: str(path) for name, path in programs.paths.items()}


def _create(where: state.Layout, name: str, wishes: Wishes, report: Report) -> Up:
    try:
        # A port that is taken is told before minutes are spent on the programs.
        components.choose_ports(wishes.api_port)
        _require_room(where.root)
        library.copy(where, wishes.source)
        programs = find.obtain(wishes.cache, report, binaries_dir=wishes.binaries_dir)
    except ERRORS:
        # Nothing has started: leave nothing.
        shutil.rmtree(where.root, ignore_errors=True)
        raise
    for attempt in range(_ATTEMPTS):
        sandbox = _prepare(where, name, wishes, programs)
        try:
            return Up(where, True, sandbox, _boot(where, sandbox, report), created=True)
        except ControlPlaneError as error:
            # The logs stay for whoever reads the message.
            _end_parts(where)
            again = isinstance(error, PortTaken) and wishes.api_port is None
            if not again or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _end_parts(where: state.Layout) -> None:
    parts = [each for each in records.read_all(where.processes) if each.role != exclusive.PRESENT]
    records.end_all(parts, _CONTROL_PLANE_GRACE)


def _mend(where: state.Layout, sandbox: state.Sandbox, wishes: Wishes, report: Report) -> Up:
    _refuse_other_port(sandbox, wishes)
    if _is_up(where, sandbox):
        return Up(where, False, sandbox)
    dead = [part for part in _PARTS if not _running(where, part)]
    report(f"not running: {', '.join(dead) or 'nothing, but the API server is not ready'}; mending")
    if not all(Path(program).is_file() for program in sandbox.programs.values()):
        programs = find.obtain(wishes.cache, report, binaries_dir=wishes.binaries_dir)
        paths = {**_paths(programs), "python3": sys.executable}
        sandbox = dataclasses.replace(sandbox, programs=paths, versions=programs.versions)
        state.write_sandbox(where, sandbox)
    library.copy(where, wishes.source)
    pki.write_kubeconfigs(where, sandbox.api_server, sandbox.context)
    return Up(where, True, sandbox, _boot(where, sandbox, report))


def up(
    name: str,
    wishes: Wishes,
    report: Report,
    *,
    env: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
) -> Up:
    """Make the sandbox run: create it, mend it, or find that there is nothing to do.

    report: told each step. Raises one of ERRORS.
    """
    find.architecture(sys.platform, os.uname().machine)
    where = state.layout(name, env)
    waiting = _Once(lambda: report(f"waiting for another run that works on the sandbox {name}"))
    with exclusive.locked(where, waiting, sleep):
        _refuse_if_taken(where, name, wishes)
        whole = not where.closed_processes.exists() and not exclusive.left_by_its_owner(where, wishes.owner)
        sandbox = state.read_sandbox(where) if whole else None
        if sandbox is None and where.root.exists():
            report("removing what an interrupted run left")
            _remove(where)
        where.processes.mkdir(parents=True, exist_ok=True)
        where.root.chmod(0o700)
        if wishes.owner is not None:
            exclusive.own(where, wishes.owner)
        with exclusive.recorded(where):
            if sandbox is not None:
                return _mend(where, sandbox, wishes, report)
            return _create(where, name, wishes, report)


class _Once:
    """Calls a function the first time only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Optional[Callable[[], None]] = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()


# -- down


def _close(where: state.Layout) -> None:
    """Move the records away: from now on nothing can start in this sandbox, and all that runs is recorded."""
    if where.closed_processes.exists() and where.processes.exists():
        for record in where.processes.iterdir():
            record.rename(where.closed_processes / record.name)
        where.processes.rmdir()
    elif where.processes.exists():
        where.processes.rename(where.closed_processes)


def _remove(where: state.Layout) -> list[str]:
    """End every process and remove every file; returns the ids of what was running. The lock is held."""
    _close(where)
    recorded = [each for each in records.read_all(where.closed_processes) if each.pid != os.getpid()]
    node = [each for each in recorded if each.role == _NODE]
    plane = [each for each in recorded if each.role == components.ROLE]
    pods = [each for each in recorded if each not in node and each not in plane]
    ended = []
    for group, grace in ((node, _NODE_GRACE), (pods, _POD_GRACE), (plane, _CONTROL_PLANE_GRACE)):
        ended += records.end_all(group, grace)
    # Whoever left its session, or whose record somebody deleted.
    ended += records.end_all(records.marked(where.root), 1)
    if where.root.exists():
        shutil.rmtree(where.root)
    return [process.id for process in ended]


def would_remove(name: str, env: Mapping[str, str] = os.environ) -> list[str]:
    """The ids of the processes `down` would end; raises nothing. Empty if there is nothing at all."""
    where = state.layout(name, env)
    folders = (where.processes, where.closed_processes)
    found = [process for folder in folders for process in records.read_all(folder)]
    return [process.id for process in found if records.alive(process)]


def down(
    name: str,
    report: Report,
    *,
    cache_dir: Path,
    env: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
) -> Down:
    """Remove the sandbox, whatever state it is in: whoever is bringing it up, the node, its pods, the rest.

    Raises one of ERRORS.
    """
    where = state.layout(name, env)
    ended: list[str] = []
    there = where.root.exists() or bool(records.marked(where.root))
    if there:

        def end_present() -> None:
            busy = records.read(where.processes / f"{exclusive.PRESENT}.json")
            if busy is not None and busy.pid != os.getpid():
                report("ending the run that is bringing it up")
                ended.extend(each.id for each in records.end_all([busy], _STARTER_GRACE))

        with exclusive.locked(where, end_present, sleep):
            report("ending the node, its pods and the control plane")
            ended += _remove(where)
    ended += [each.id for each in cache.clean(cache_dir)]
    return Down(where, there or bool(ended), ended)
