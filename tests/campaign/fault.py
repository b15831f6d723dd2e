# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fault of the campaign is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from course import Course
from judging import Expectation

Step = Callable[[Course], None]


def _nothing(_course: Course) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """One way to go wrong, or a harmless variation (which must pass).

    ``prepare`` acts before the rollout, ``strike`` waits for its moment during it; ``took_effect`` gives the
    evidence, or raises NoEffect; ``mend`` undoes what a later run would suffer from, whatever happened.
    """

    name: str
    summary: str
    expected: Expectation
    took_effect: Callable[[Course], str]
    prepare: Step = _nothing
    strike: Step = _nothing
    mend: Step = _nothing
    settings: Mapping[str, Any] = field(default_factory=dict)


LONG = {"iterations": 12}

GATEWAY = ("istio-system", "app=istio-ingressgateway", "the gateway's Envoy")
SERVING = ("kfserving-system", "", "the serving controller")
ITER8 = ("iter8-system", "app=iter8-controller-manager", "iter8's controller")
ANALYTICS = ("deployment", "iter8-system", "iter8-analytics")
PROMETHEUS = ("stateful_set", "kfserving-monitoring", "prometheus-prometheus")


def sandbox_fault(name: str, parameter: str = "", low: float = 0, high: float = 0) -> Step:
    """Switch a fault of the sandbox on, with a parameter of the seed's."""

    def prepare(course: Course) -> None:
        given = {parameter: round(course.random.uniform(low, high), 2)} if parameter else {}
        course.arena.set_faults({name: given})

    return prepare
