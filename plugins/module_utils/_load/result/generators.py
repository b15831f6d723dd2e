# SPDX-License-Identifier: GPL-3.0-or-later
"""A load that several generators sent together: their results as one, and how each of them fared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ..errors import LoadError
from ..options import MAX_PARTS
from .merge import Merger

MISSING = "missing"
_OWN = (
    "started", "ended", "requests", "failed", "unsent", "client_faults", "rate_kept", "lateness",
    "stall_count", "wall_clock_drift", "longest_success_gap", "connection_modes",
)  # fmt: skip


@dataclass(frozen=True)
class GeneratorResult:
    """One of several, by the name of its host or pod. `index` is its part, from 0.

    `read` gives its result, None where it left none. `clock` is by how many seconds its host's clock was
    found to be ahead of the control host's, at least and at most; None where nothing compared them. `problem`
    is why it left no result, or what befell its host.
    """

    name: str
    index: int
    read: Callable[[], Mapping[str, Any] | None]
    clock: tuple[float, float] | None = None
    problem: str = ""


def merge_generators(generators: Iterable[GeneratorResult]) -> dict[str, Any]:
    """load.json of all, with `generators`. Raises LoadError if none left a result, or if one is not that of
    its part."""
    given = sorted(generators, key=lambda one: one.index)
    if [one.index for one in given] != list(range(len(given))) or not 1 <= len(given) <= MAX_PARTS:
        raise LoadError(f"The generators' parts are {[one.index for one in given]}, not each from 0 on once.")
    merger, rows, rates = Merger(), [], set()
    for one in given:
        result = one.read()
        if result is not None:
            _check(one, result, len(given))
            merger.add(_tagged(one.name, result))
            rates.add(float(result["LoadTest"]["part"]["rate"]))
        rows.append(_row(one, result, len(given)))
    if not rates:
        raise LoadError(
            "No generator left a result: "
            + "; ".join(f"{one.name}: {one.problem or MISSING}" for one in given)
        )
    merged = merger.result()
    own = merged["LoadTest"]
    if len(rates) > 1:
        raise LoadError(f"The parts are of loads with different rates, {sorted(rates)}.")
    rate = rates.pop()
    for row in rows:
        row.update(phase=row["index"] / rate if rate else 0.0, asked_rate=rate / len(given))
    own["generators"] = rows
    if any(row["state"] == MISSING for row in rows):
        own["state"], own["rate_kept"] = "interrupted", False
    return merged


def _check(one: GeneratorResult, result: Mapping[str, Any], of: int) -> None:
    part = result["LoadTest"]["part"]
    if part is None or (part["index"], part["of"]) != (one.index, of):
        raise LoadError(
            f"The result of the generator {one.name} is not that of part {one.index} of {of}, but of {part}."
        )


def _tagged(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """The result, in which what stands by itself says whose it is."""
    own = dict(result["LoadTest"])
    for listed in ("ledger", "outages", "stalls"):
        own[listed] = [{**row, "generator": name} for row in own[listed]]
    return {**result, "LoadTest": own}


def _row(one: GeneratorResult, result: Mapping[str, Any] | None, of: int) -> dict[str, Any]:
    own: dict[str, Any] = result["LoadTest"] if result is not None else dict.fromkeys(_OWN)
    stalls = [stall["seconds"] for stall in own.get("stalls", ())]
    ahead = own["part"]["clock_ahead"] if result is not None else 0.0
    return {
        "name": one.name,
        "index": one.index,
        "of": of,
        "clock_ahead": ahead,
        "clock_offset": _uncertain(one.clock, ahead),
        "state": own.get("state", MISSING),
        "problem": one.problem,
        "connections": None if result is None else result["NumConnections"],
        "longest_stall": None if result is None else max(stalls, default=0.0),
        **{name: own[name] for name in _OWN},
    }


def _uncertain(clock: tuple[float, float] | None, corrected: float) -> dict[str, float] | None:
    """What remains of a clock's offset once its times are corrected."""
    if clock is None:
        return None
    return {"low": round(clock[0] - corrected, 6), "high": round(clock[1] - corrected, 6)}
