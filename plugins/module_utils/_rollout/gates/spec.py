# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates as a user writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .claims import Latency, Losses, SplitClaim
from .other import PodsGate, QueryGate
from .templates import TEMPLATES

_TYPES: dict[str, tuple[str, ...]] = {
    "losses": ("max_rate", "unnamed"),
    "latency": ("quantile", "max_ratio", "max_seconds"),
    "split": ("tolerance", "relative"),
    "pods": ("max_restarts",),
    "query": (
        "query", "baseline_query", "template", "max", "min", "max_ratio", "successes", "failures", "interval"
    ),
}  # fmt: skip

# What a rollout is judged by where nothing is said.
DEFAULT_GATES: tuple[Mapping[str, Any], ...] = (
    {"type": "losses", "max_rate": 0.01},
    {"type": "latency", "quantile": 0.95, "max_ratio": 1.5},
    {"type": "split"},
    {"type": "pods"},
)


class GateError(ValueError):
    """A gate makes no sense; the message says which and why."""


def parse_gates(given: Sequence[Any]) -> list[Any]:
    """The gates in order. Raises GateError."""
    gates = [_parse(row, number) for number, row in enumerate(given, 1)]
    names = [gate.name for gate in gates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise GateError(f"Two gates are called {twice[0]}: give each a name of its own.")
    return gates


def _parse(row: Any, number: int) -> Any:
    if not isinstance(row, Mapping):
        raise GateError(f"Gate {number} is not a mapping.")
    kind = str(row.get("type"))
    if kind not in _TYPES:
        raise GateError(f"Gate {number} has the type {kind!r}; there are {', '.join(_TYPES)}.")
    name = str(row.get("name") or kind)
    given = {key: value for key, value in row.items() if value is not None and key not in ("type", "name")}
    strange = sorted(set(given) - set(_TYPES[kind]))
    if strange:
        raise GateError(f"Gate {name}: {kind} takes {', '.join(_TYPES[kind])}, not {strange[0]}.")
    try:
        return _MAKERS[kind](name, given)
    except (TypeError, ValueError) as error:
        if isinstance(error, GateError):
            raise
        raise GateError(f"Gate {name}: {error}.") from None


def _number(given: Mapping[str, Any], key: str, low: float, high: float, name: str) -> float:
    value = float(given[key])
    if not low <= value <= high:
        raise GateError(f"Gate {name}: {key} must be from {low:g} to {high:g}, not {value:g}.")
    return value


def _losses(name: str, given: Mapping[str, Any]) -> Losses:
    rate = _number({"max_rate": 0.01, **given}, "max_rate", 1e-6, 0.5, name)
    return Losses(name, rate, bool(given.get("unnamed", True)))


def _latency(name: str, given: Mapping[str, Any]) -> Latency:
    quantile = _number({"quantile": 0.95, **given}, "quantile", 0.01, 0.9999, name)
    ratio = _number(given, "max_ratio", 0.01, 1000, name) if "max_ratio" in given else None
    seconds = _number(given, "max_seconds", 1e-6, 3600, name) if "max_seconds" in given else None
    if ratio is None and seconds is None:
        raise GateError(f"Gate {name}: latency needs max_ratio, max_seconds, or both.")
    return Latency(name, quantile, ratio, seconds)


def _split(name: str, given: Mapping[str, Any]) -> SplitClaim:
    values = {"tolerance": 0.05, "relative": 0.5, **given}
    return SplitClaim(
        name, _number(values, "tolerance", 0.001, 1, name), _number(values, "relative", 0.01, 1, name)
    )


def _pods(name: str, given: Mapping[str, Any]) -> PodsGate:
    return PodsGate(name, int(_number({"max_restarts": 0, **given}, "max_restarts", 0, 1000, name)))


def _query(name: str, given: Mapping[str, Any]) -> QueryGate:
    query, baseline = str(given.get("query") or ""), str(given.get("baseline_query") or "")
    template = given.get("template")
    if template is not None:
        if query or baseline:
            raise GateError(f"Gate {name}: name a template or a query, not both.")
        if template not in TEMPLATES:
            raise GateError(
                f"Gate {name}: there is no template {template}; there are {', '.join(TEMPLATES)}."
            )
        query, baseline = TEMPLATES[template]
    limits = {key: float(given[key]) for key in ("max", "min", "max_ratio") if key in given}
    if any(math.isnan(value) for value in limits.values()):
        # Nothing is more than that, so whatever is measured would pass.
        raise GateError(f"Gate {name}: max, min and max_ratio must be numbers.")
    if not query:
        raise GateError(f"Gate {name}: query is missing.")
    if not limits:
        raise GateError(f"Gate {name}: it needs max, min or max_ratio.")
    if "max_ratio" in limits and not baseline:
        raise GateError(f"Gate {name}: max_ratio needs a baseline_query.")
    rows = {"successes": 3, "failures": 2, "interval": 15.0, **given}
    return QueryGate(
        name,
        query,
        baseline,
        max=limits.get("max"),
        min=limits.get("min"),
        max_ratio=limits.get("max_ratio"),
        successes=int(_number(rows, "successes", 1, 1000, name)),
        failures=int(_number(rows, "failures", 1, 1000, name)),
        interval=_number(rows, "interval", 1, 3600, name),
    )


_MAKERS = {"losses": _losses, "latency": _latency, "split": _split, "pods": _pods, "query": _query}
