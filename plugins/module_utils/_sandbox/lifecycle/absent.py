# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove a sandbox without a trace, whatever state it is in."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping

from .. import paths
from ..control_plane import components
from ..processes import exclusive, records
from ..programs import cache
from . import parts

Report = Callable[[str], None]

# How long each group may take to end by itself, in seconds. The node ends its pods before itself; each pod
# gets half a second for that. The control plane gets none: nobody uses it any more, and its data is removed.
_NODE_GRACE, _POD_GRACE, _CONTROL_PLANE_GRACE, _STARTER_GRACE = 20.0, 5.0, 0.0, 2.0
# Those of a boot that failed may still write in their logs why.
_FAILED_GRACE = 2.0


@dataclass(frozen=True)
class Down:
    """The outcome of `down`. `ended`: ids of the processes that were running."""

    where: paths.Layout
    changed: bool
    ended: list[str] = field(default_factory=list)


def end_parts(where: paths.Layout) -> None:
    """End what a boot that failed has started, but for the process that brings the sandbox up."""
    started = [each for each in records.read_all(where.processes) if each.role != exclusive.PRESENT]
    records.end_all(started, _FAILED_GRACE)


def close(where: paths.Layout) -> None:
    """Move the records away: from now on nothing can start in this sandbox, and all that runs is recorded."""
    if where.closed_processes.exists() and where.processes.exists():
        for record in where.processes.iterdir():
            record.rename(where.closed_processes / record.name)
        where.processes.rmdir()
    elif where.processes.exists():
        where.processes.rename(where.closed_processes)


def remove(where: paths.Layout) -> list[str]:
    """End every process and remove every file; returns the ids of what was running. The lock is held."""
    close(where)
    recorded = [each for each in records.read_all(where.closed_processes) if each.pid != os.getpid()]
    node = [each for each in recorded if each.role == parts.NODE]
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
    where = paths.layout(name, env)
    folders = (where.processes, where.closed_processes)
    found = [process for folder in folders for process in records.read_all(folder)]
    return [process.id for process in found if records.alive(process)]


def down(name: str, report: Report, *, cache_dir: Path, env: Mapping[str, str] = os.environ) -> Down:
    """Remove the sandbox, whatever state it is in: whoever is bringing it up, the node, its pods, the rest.

    Raises one of ERRORS.
    """
    where = paths.layout(name, env)
    ended: list[str] = []
    there = where.root.exists() or bool(records.marked(where.root))
    if there:

        def end_present() -> None:
            busy = records.read(where.processes / f"{exclusive.PRESENT}.json")
            if busy is not None and busy.pid != os.getpid():
                report("ending the run that is bringing it up")
                ended.extend(each.id for each in records.end_all([busy], _STARTER_GRACE))

        with exclusive.locked(where, end_present, time.sleep):
            report("ending the node, its pods and the control plane")
            ended += remove(where)
    ended += [each.id for each in cache.clean(cache_dir)]
    return Down(where, there or bool(ended), ended)
