# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's part about a rollout that this collection drove: patches and gates in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import elapsed, utc

from ..material import Material
from .tables import table


def steps(material: Material) -> str:
    """Tables of what was done and of what the gates said; empty where another one drove."""
    driver: Mapping[str, Any] = material.verdict.get("driver") or {}
    if not driver:
        return ""
    cause = f": {driver['cause']}" if driver.get("cause") else ""
    seconds = driver.get("rollback_seconds")
    back = f" The baseline had everything again after {elapsed(seconds)}." if seconds is not None else ""
    ending = f"{str(driver['outcome']).replace('_', ' ')} in {driver['mode']} mode{cause}"
    sentence = f"<p>{escape(ending[:1].upper() + ending[1:])}.{escape(back)}</p>"
    done = [(utc(row["at"])[:12], row["text"], row["move"]) for row in driver.get("patches", [])]
    return "\n".join(
        [
            sentence,
            table("Each change of the InferenceService", ("Time", "What", "Move"), done),
            table(
                "Each time that a gate said something else",
                ("Time", "Canary #", "Gate", "Verdict", "Found", "Samples #", "Interval"),
                _gates(driver),
            ),
        ]
    )


def _gates(driver: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for row in driver.get("gates", []):
        low, high = row.get("low"), row.get("high")
        interval = f"{low:.4g} to {high:.4g}" if low is not None and high is not None else None
        yield (
            utc(row["at"])[:12],
            f"{row['percent']} %",
            row["gate"],
            row["verdict"],
            row["message"],
            row["samples"],
            interval,
        )
