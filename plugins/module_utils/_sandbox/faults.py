# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that the sandbox can inject: a pure catalogue, and how they are named in a ConfigMap.

The ConfigMap ``sandbox-faults`` in namespace ``kfserving-system`` switches faults on: each key is a fault's
name, each value its parameters as a JSON object (empty: the defaults). A fault is one entry of
:data:`CATALOGUE`; the part of the sandbox that it disturbs looks for its name among the active ones. To add
one, add the entry and the line of code that acts on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

CONFIG_MAP = "sandbox-faults"
"""Name of the ConfigMap, in the namespace of the serving controller."""

ENVIRONMENT = "SANDBOX_FAULTS"
"""The variable with a model server's faults, as one JSON object ``{name: {parameter: value}}``."""

CANARY = "canary"
"""Where a fault acts: in the model server of a canary, a revision made while another one was rolled out."""

KSERVE = "kserve"
"""Where a fault acts: in KServe's controller, and so on the sandbox that serves KServe only."""


class FaultError(ValueError):
    """An unknown fault, or parameters that the fault does not take; the message says which."""


@dataclass(frozen=True)
class Parameter:
    """A number that shapes a fault: its default, and the most that it may be; the least is 0."""

    name: str
    default: float
    maximum: float
    meaning: str


@dataclass(frozen=True)
class Fault:
    """One way to go wrong."""

    name: str
    summary: str
    target: str
    parameters: tuple[Parameter, ...] = ()


Active = Mapping[str, Mapping[str, float]]
"""Active faults with every parameter filled in."""

_FAULTS = (
    Fault(
        "canary-5xx",
        "The canary answers 500 to a share of its predictions.",
        CANARY,
        (Parameter("share", 0.3, 1.0, "share of the predictions, evenly spread"),),
    ),
    Fault(
        "canary-slow",
        "The canary answers each prediction late, above the quickstart's mean-latency objective of 1000 ms.",
        CANARY,
        (Parameter("seconds", 1.2, 3600.0, "delay of each prediction"),),
    ),
    Fault(
        "canary-truncated",
        "The canary breaks off in the middle of a share of its answers, and closes the connection.",
        CANARY,
        (Parameter("share", 0.3, 1.0, "share of the predictions, evenly spread"),),
    ),
    Fault("canary-never-ready", "The canary never finishes loading its model.", CANARY),
    Fault(
        "kserve-conflict",
        "KServe's update of its Knative Service meets a newer one: Ready is False for a moment. Harmless.",
        KSERVE,
    ),
    Fault(
        "kserve-unweighted",
        "Standard mode as in KServe 0.20.0: a canary is reported, the stable shrunk, but it gets no request.",
        KSERVE,
    ),
)

CATALOGUE: Mapping[str, Fault] = {fault.name: fault for fault in _FAULTS}


def parse(data: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Read a ConfigMap's data.

    :returns: active faults by name, each with all its parameters.
    :raises FaultError: for a name that is not in the catalogue, text that is not a JSON object, an unknown
        parameter, or a value out of range.
    """
    active = {}
    for name in sorted(data):
        text = data[name].strip()
        try:
            given = json.loads(text) if text else {}
        except ValueError as error:
            raise FaultError(f"Fault {name}: its parameters are not JSON ({error}).") from None
        active[name] = _complete(name, given)
    return active


def _complete(name: str, given: object) -> dict[str, float]:
    if name not in CATALOGUE:
        raise FaultError(f"Unknown fault {name}. Known faults: {', '.join(sorted(CATALOGUE))}.")
    if not isinstance(given, dict):
        raise FaultError(f"Fault {name}: its parameters must be a JSON object such as {{}}.")
    parameters = {parameter.name: parameter for parameter in CATALOGUE[name].parameters}
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        known = ", ".join(sorted(parameters)) or "none"
        raise FaultError(f"Fault {name} has no parameter {unknown[0]}. It takes: {known}.")
    return {key: _value(name, parameter, given) for key, parameter in parameters.items()}


def _value(fault: str, parameter: Parameter, given: Mapping[str, object]) -> float:
    value = given.get(parameter.name, parameter.default)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= float(value) <= parameter.maximum:  # type: ignore[arg-type]
        raise FaultError(
            f"Fault {fault}: {parameter.name} ({parameter.meaning}) must be a number from "
            f"0 to {parameter.maximum:g}, not {json.dumps(value)}."
        )
    return float(value)  # type: ignore[arg-type]


def revision_environment(active: Active, canary: bool) -> dict[str, str]:
    """Return the variables that a new revision's container gets; none if no fault concerns it."""
    chosen = {name: dict(active[name]) for name in active if canary and CATALOGUE[name].target == CANARY}
    return {ENVIRONMENT: json.dumps(chosen, sort_keys=True)} if chosen else {}


def from_environment(text: str) -> dict[str, dict[str, float]]:
    """Read what :func:`revision_environment` wrote (the value of :data:`ENVIRONMENT`, maybe empty).

    :raises FaultError: as :func:`parse`.
    """
    given = json.loads(text) if text else {}
    return {name: _complete(name, given[name]) for name in given}
