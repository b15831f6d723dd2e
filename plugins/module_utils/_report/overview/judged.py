# SPDX-License-Identifier: GPL-3.0-or-later
"""Several rollouts as they were judged, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import count, rate_below
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import entries

from ..files import parse
from ..material import is_verdict

WORST_FIRST = ("fail", "inconclusive", "pass")


@dataclass(frozen=True)
class Judged:
    """A rollout's verdict, of the shape of verdict.json, and the folder in which it lies; relative to the
    summary's where it is below that. One that was never reached is inconclusive."""

    name: str
    folder: str
    verdict: Mapping[str, Any]

    @property
    def grade(self) -> str:
        """`pass`, `fail` or `inconclusive`."""
        return str(self.verdict["verdict"])

    @property
    def requests(self) -> int:
        """How many were sent."""
        return int(self.verdict.get("requests") or 0)

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return int(self.verdict.get("failed") or 0)

    @property
    def bound(self) -> str:
        """What the loss rate is below, with 95 % confidence; `–` where nothing is known."""
        value = self.verdict.get("loss_rate_upper_bound_95")
        return "–" if value is None else rate_below(value)

    @property
    def span(self) -> tuple[float, float]:
        """From when to when it was under load, in epoch seconds; zeros where that is not known."""
        phases = list(entries(self.verdict, "phases"))
        begun = [float(phase["start"]) for phase in phases]
        ended = [float(phase["end"]) for phase in phases]
        return (min(begun), max(ended)) if phases else (0.0, 0.0)

    @property
    def why(self) -> list[str]:
        """Why it is no pass, or else what it comes to, as clauses."""
        reasons = [str(reason["text"]) for reason in entries(self.verdict, "reasons")]
        return reasons or [str(self.verdict["summary"])]

    def as_dict(self) -> dict[str, Any]:
        """As summary.json has it."""
        kept = ("requests", "failed", "loss_rate_upper_bound_95", "longest_success_gap_seconds")
        return {
            "name": self.name,
            "verdict": self.grade,
            "summary": str(self.verdict["summary"]),
            **{name: self.verdict.get(name) for name in kept},
            "reasons": [dict(reason) for reason in entries(self.verdict, "reasons")],
            "artifacts": self.folder,
        }


def read(name: str, folder: str, dest: str) -> Judged:
    """The verdict in a rollout's folder, for a summary in `dest`."""
    below = os.path.relpath(folder, dest)
    shown = folder if below.startswith(os.pardir) else below
    path = Path(folder) / "verdict.json"
    try:
        found = parse(path.read_text(encoding="utf-8"))
        if not is_verdict(found):
            raise ValueError("it holds no verdict")
    except OSError as error:
        return Judged(name, shown, unreached(f"{path} cannot be read: {error.strerror}"))
    except ValueError as error:
        return Judged(name, shown, unreached(f"{path} is damaged: {error}"))
    return Judged(name, shown, found)


def unreached(reason: str) -> dict[str, Any]:
    """A verdict that says why there is none."""
    why = f"no verdict was reached: {reason}"
    return {
        "verdict": "inconclusive",
        "summary": why,
        "reasons": [{"verdict": "inconclusive", "text": why}],
    }


def grade(rollouts: Sequence[Judged]) -> str:
    """The worst of them: a single loss is a failure of the whole, and what is not proven passes nowhere."""
    grades = {each.grade for each in rollouts}
    return next(one for one in WORST_FIRST if one in grades)


def sentence(rollouts: Sequence[Judged]) -> str:
    """How many there are of each verdict, by name but for those that pass, and what was lost in all."""
    parts = []
    for one in WORST_FIRST:
        names = [each.name for each in rollouts if each.grade == one]
        if names:
            parts.append(f"{len(names)} {one}" + ("" if one == "pass" else f" ({', '.join(names)})"))
    requests, failed = sum(each.requests for each in rollouts), sum(each.failed for each in rollouts)
    what = f"{count(len(rollouts), 'rollout')}: {', '.join(parts)}"
    return f"{what}; {count(requests, 'request')}, {failed} failed"
