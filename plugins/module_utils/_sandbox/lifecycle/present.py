# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a sandbox up: create it, mend it, or find that there is nothing to do."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from .. import paths
from ..control_plane import components, pki
from ..control_plane.components import ControlPlane, ControlPlaneError, PortTaken
from ..processes import exclusive, records
from ..programs import cache, find
from . import absent, library, parts

Report = Callable[[str], None]

_PACKAGE = "ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.main"
_ATTEMPTS = 3
# etcd takes 130 MB from the start; the rest is for logs and what pods write.
_ROOM_MEGABYTES = 500


@dataclass(frozen=True)
class Up:
    """The outcome of `up`.

    started: the parts that were not running. created: whether it began anew, with an empty cluster.
    """

    where: paths.Layout
    changed: bool
    sandbox: Optional[paths.Sandbox] = None
    started: Sequence[str] = ()
    created: bool = False


@dataclass(frozen=True)
class SandboxOptions:
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


def _is_up(where: paths.Layout, sandbox: paths.Sandbox) -> bool:
    return (
        all(parts.running(where, part) for part in parts.PARTS)
        and where.kubeconfig.is_file()
        and components.administrator(where, sandbox.ports["api"]).healthy("/readyz")
    )


def would_change(name: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether `up` would have anything to do."""
    where = paths.layout(name, env)
    sandbox = paths.read_sandbox(where)
    return sandbox is None or where.closed_processes.exists() or not _is_up(where, sandbox)


def check(name: str, options: SandboxOptions, env: Mapping[str, str] = os.environ) -> None:
    """Raise what `up` would raise for reasons that can be known without changing anything.

    What it cannot know is whether a download or a build, if one is needed, succeeds.
    """
    where = paths.layout(name, env)
    find.architecture(sys.platform, os.uname().machine)
    _refuse_if_taken(where, name, options)
    sandbox = paths.read_sandbox(where)
    if sandbox is not None and not exclusive.left_by_its_owner(where, options.owner):
        _refuse_other_port(sandbox, options)
        return
    components.choose_ports(options.api_port)
    there = next(folder for folder in (where.root, *where.root.parents) if folder.exists())
    _require_room(there)
    find.check(options.cache, binaries_dir=options.binaries_dir)


def _refuse_if_taken(where: paths.Layout, name: str, options: SandboxOptions) -> None:
    other = exclusive.owned_by_another(where, options.owner)
    if other is not None:
        raise parts.SandboxError(
            f"The sandbox {name} belongs to a playbook that still runs (process {other}). "
            "Wait for its end, or name another sandbox: -e iter8_kfserving_sandbox=NAME."
        )


def _refuse_other_port(sandbox: paths.Sandbox, options: SandboxOptions) -> None:
    if options.api_port not in (None, sandbox.ports["api"]):
        raise parts.SandboxError(
            f"The sandbox {sandbox.name} has its API server on port {sandbox.ports['api']}, not "
            f"{options.api_port}: remove it first (state: absent)."
        )


def _require_room(folder: Path) -> None:
    cache.require_room(
        folder, _ROOM_MEGABYTES, "run a sandbox", "set XDG_STATE_HOME to a folder on another disk"
    )


def _networks(sandboxes: Path) -> set[int]:
    """The networks of this user's sandboxes, running or not."""
    found = (paths.read_sandbox(paths.Layout(record.parent)) for record in sandboxes.glob("*/sandbox.json"))
    return {sandbox.network for sandbox in found if sandbox is not None}


def _start_node(where: paths.Layout) -> None:
    records.start(
        where.processes,
        parts.NODE,
        [sys.executable, "-m", _PACKAGE, "--state-dir", str(where.root)],
        role=parts.NODE,
        log=where.logs / "node.log",
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(where.root),
            "PYTHONPATH": str(where.lib),
            "PYTHONUNBUFFERED": "1",
        },
        cwd=where.root,
    )


def _boot(where: paths.Layout, sandbox: paths.Sandbox, report: Report) -> list[str]:
    """Start what does not run, the node beside the controllers; returns the names of what was started."""
    plane = ControlPlane(where, sandbox.programs, sandbox.ports, sandbox.network)
    report("starting etcd, kube-apiserver and kube-controller-manager")
    started = plane.boot()
    plane.allow_node()
    since = time.time()
    if not parts.running(where, parts.NODE):
        report("starting the node")
        _start_node(where)
        started.append(parts.NODE)
    plane.wait_for_controllers()
    if parts.NODE in started:
        plane.wait_for_node(parts.NODE, since, where.logs / "node.log")
    return started


def _prepare(
    where: paths.Layout, name: str, options: SandboxOptions, programs: find.Programs
) -> paths.Sandbox:
    """Everything but processes: ports, network, keys, and last the record."""
    network = components.choose_network(_networks(where.root.parent))
    ports = components.choose_ports(options.api_port)
    for folder in (where.pki, where.etcd):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (where.logs, where.pods, where.shared):
        folder.mkdir(exist_ok=True)
    where.etcd.mkdir(mode=0o700)
    pki.create(where, name, components.etcd_peer(network))
    sandbox = paths.Sandbox(
        name=name,
        network=network,
        api_server=f"https://127.0.0.1:{ports['api']}",
        created=time.time(),
        ports=ports,
        programs=_places(programs),
        versions=programs.versions,
    )
    pki.write_kubeconfigs(where, sandbox.api_server, sandbox.context)
    paths.write_sandbox(where, sandbox)
    return sandbox


def _places(programs: find.Programs) -> dict[str, str]:
    return {**{name: str(path) for name, path in programs.paths.items()}, "python3": sys.executable}


def _create(where: paths.Layout, name: str, options: SandboxOptions, report: Report) -> Up:
    try:
        # A port that is taken is told before minutes are spent on the programs.
        components.choose_ports(options.api_port)
        _require_room(where.root)
        library.copy(where, options.source)
        programs = find.obtain(options.cache, report, binaries_dir=options.binaries_dir)
    except parts.ERRORS:
        # Nothing has started: leave nothing.
        shutil.rmtree(where.root, ignore_errors=True)
        raise
    for attempt in range(_ATTEMPTS):
        sandbox = _prepare(where, name, options, programs)
        try:
            return Up(where, True, sandbox, _boot(where, sandbox, report), created=True)
        except ControlPlaneError as error:
            # The logs stay for whoever reads the message.
            absent.end_parts(where)
            again = isinstance(error, PortTaken) and options.api_port is None
            if not again or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _mend(where: paths.Layout, sandbox: paths.Sandbox, options: SandboxOptions, report: Report) -> Up:
    _refuse_other_port(sandbox, options)
    if _is_up(where, sandbox):
        return Up(where, False, sandbox)
    dead = [part for part in parts.PARTS if not parts.running(where, part)]
    report(f"not running: {', '.join(dead) or 'nothing, but the API server is not ready'}; mending")
    if not all(Path(program).is_file() for program in sandbox.programs.values()):
        programs = find.obtain(options.cache, report, binaries_dir=options.binaries_dir)
        sandbox = dataclasses.replace(sandbox, programs=_places(programs), versions=programs.versions)
        paths.write_sandbox(where, sandbox)
    library.copy(where, options.source)
    pki.write_kubeconfigs(where, sandbox.api_server, sandbox.context)
    return Up(where, True, sandbox, _boot(where, sandbox, report))


def up(
    name: str,
    options: SandboxOptions,
    report: Report,
    *,
    env: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
) -> Up:
    """Make the sandbox run: create it, mend it, or find that there is nothing to do.

    report: told each step. Raises one of parts.ERRORS.
    """
    find.architecture(sys.platform, os.uname().machine)
    where = paths.layout(name, env)
    waiting = _Once(lambda: report(f"waiting for another run that works on the sandbox {name}"))
    with exclusive.locked(where, waiting, sleep):
        _refuse_if_taken(where, name, options)
        whole = not where.closed_processes.exists() and not exclusive.left_by_its_owner(where, options.owner)
        sandbox = paths.read_sandbox(where) if whole else None
        if sandbox is None and where.root.exists():
            report("removing what an interrupted run left")
            absent.remove(where)
        where.processes.mkdir(parents=True, exist_ok=True)
        where.root.chmod(0o700)
        if options.owner is not None:
            exclusive.own(where, options.owner)
        with exclusive.recorded(where):
            if sandbox is not None:
                return _mend(where, sandbox, options, report)
            return _create(where, name, options, report)


class _Once:
    """Calls a function the first time only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Optional[Callable[[], None]] = function

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function()
