# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a series of kills may strike, and when: every process of a run, at a moment of the seed's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import parts
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support.descent import below, children
from fault import GATEWAY, ITER8, SERVING
from struck import Struck

Record = dict[str, Any]
WAIT_TASK = "Wait for the experiment and the promotion"


@dataclass(frozen=True)
class Victim:
    """A process of a run. ``find`` gives the records of those that run now, of which one is struck.

    It is struck up to ``span`` seconds after it is there in a run that has begun to change something, which
    takes some 30 s.
    ``sandbox`` says that it stands for the cluster, which is mended whatever the playbook does then.
    """

    name: str
    find: Callable[[Struck], list[Record]]
    span: float
    sandbox: bool = False


@dataclass(frozen=True)
class Kill:
    """One of a series: after how many seconds which victim is struck, and which of several processes."""

    number: int
    victim: Victim
    delay: float
    random: random.Random


def _recorded(pids: list[int]) -> list[Record]:
    known = (processes.record_of(pid) for pid in pids)
    return [one for one in known if one["start_time"] is not None]


def _playbook(course: Struck) -> list[Record]:
    return _recorded([course.pid] if course.pid else [])


def _modules(course: Struck) -> list[Record]:
    """The playbook's workers and the processes of its modules."""
    return _recorded(below(course.pid) if course.pid else [])


def _wait(course: Struck) -> list[Record]:
    """The process of the module that waits for the Experiment: it has none below it."""
    if not course.pid or course.task() != WAIT_TASK:
        return []
    return _recorded([pid for pid in below(course.pid) if not children(pid)])


def job_of(kind: str) -> Callable[[Struck], list[Record]]:
    """The process of the run's load or observer, by its own record."""

    def find(course: Struck) -> list[Record]:
        try:
            record = json.loads((course.state / kind / course.job / "process.json").read_text())
        except (OSError, ValueError):
            return []
        return [record] if processes.alive(record) else []

    return find


def _part(name: str) -> Callable[[Struck], list[Record]]:
    def find(course: Struck) -> list[Record]:
        found = course.arena.part(name)
        return [found.identity] if found else []

    return find


def _pods(namespace: str, selector: str) -> Callable[[Struck], list[Record]]:
    def find(course: Struck) -> list[Record]:
        pods = course.arena.pods(namespace, selector.format(name=course.name))
        return [one.identity for one in course.arena.processes_of(pods) if records.alive(one)]

    return find


# In this order, so that a short series has the processes of the run itself.
VICTIMS = (
    Victim("playbook", _playbook, 24),
    Victim("load", job_of("loads"), 14),
    Victim("observer", job_of("observers"), 14),
    Victim("wait", _wait, 5),
    Victim("module", _modules, 24),
    Victim("envoy", _pods(*GATEWAY[:2]), 24, sandbox=True),
    Victim("api-server", _part(components.APISERVER), 24, sandbox=True),
    Victim("node", _part(parts.NODE), 24, sandbox=True),
    Victim("serving-controller", _pods(*SERVING[:2]), 24, sandbox=True),
    Victim("iter8-controller", _pods(*ITER8[:2]), 24, sandbox=True),
    Victim("etcd", _part(components.ETCD), 24, sandbox=True),
    Victim("controller-manager", _part(components.CONTROLLER_MANAGER), 24, sandbox=True),
    Victim(
        "model-server", _pods("default", "serving.kubeflow.org/inferenceservice={name}"), 20, sandbox=True
    ),
    Victim("prometheus", _pods("kfserving-monitoring", ""), 24, sandbox=True),
    Victim("analytics", _pods("iter8-system", "app=iter8-analytics"), 24, sandbox=True),
)


def plan(seed: int, kills: int, victims: tuple[Victim, ...] = VICTIMS) -> list[Kill]:
    """A series: the victims in turn, each at a moment of the seed's. The same seed gives the same again."""
    found = []
    for number in range(kills):
        victim = victims[number % len(victims)]
        chance = random.Random(f"{seed} {number} {victim.name}")
        found.append(Kill(number + 1, victim, chance.uniform(0, victim.span), chance))
    return found
