# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module rollout_verdict does: evidence from files, the verdict, verdict.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import (
    PERCENTILES,
    Thresholds,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide

from .files import ArtefactError, as_json, read_evidence, write_whole


def judge(params: Mapping[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """The module's result. `params` are the module's parameters.

    :raises ArtefactError: for a threshold that makes no sense, or a path that cannot be meant.
    """
    expectations = {name: params.get(name) for name in ("expect_winner", "expect_iterations")}
    thresholds = _thresholds({**(params.get("thresholds") or {}), **expectations})
    verdict = plain(decide(read_evidence(params), thresholds).as_dict())
    changed = False
    if params.get("dest") and not check_mode:
        changed = write_whole(params["dest"], as_json(verdict))
    return {"changed": changed, "verdict": verdict}


def _thresholds(given: Mapping[str, Any]) -> Thresholds:
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        for name in PERCENTILES:
            if name in chosen:
                chosen[name] = _limits(name, chosen[name])
        return Thresholds(**chosen)
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"thresholds: {error}") from None


def _limits(name: str, given: Mapping[Any, Any]) -> dict[float, float]:
    """Seconds by percentile; a text that is a number will do."""
    found: dict[float, float] = {}
    for key, value in given.items():
        percentile = _percentile(name, key)
        if percentile in found:
            raise ValueError(f"{name} has the percentile {percentile:g} twice.")
        try:
            found[percentile] = float(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(f"{name} at percentile {percentile:g}: {value!r} is not a number.") from None
    return found


def _percentile(name: str, key: Any) -> float:
    """`99`, `"99.9"` and `p99` all name a percentile."""
    try:
        return float(str(key).removeprefix("p"))
    except ValueError:
        raise ValueError(f"{name}: {key!r} is not a percentile such as 99 or 99.9.") from None
