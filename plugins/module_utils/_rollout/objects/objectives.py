# SPDX-License-Identifier: GPL-3.0-or-later
"""The objectives of an Experiment and how each version did, from iter8's own measurements and assessments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common import quantity

from .experiment import roles
from .tree import entries, mapping, text


@dataclass(frozen=True)
class Objective:
    """One objective and one version. `met` is None before iter8's first assessment, `value` None without
    data."""

    metric: str
    upper_limit: float | None
    lower_limit: float | None
    role: str
    value: float | None
    met: bool | None

    @property
    def limit(self) -> str:
        """The limits, for people."""
        parts = []
        if self.upper_limit is not None:
            parts.append(f"at most {self.upper_limit:g}")
        if self.lower_limit is not None:
            parts.append(f"at least {self.lower_limit:g}")
        return " and ".join(parts) or "no limit"

    @property
    def beyond(self) -> bool:
        """Whether the value is outside its limits, whatever the assessment says."""
        if self.value is None:
            return False
        above = self.upper_limit is not None and self.value > self.upper_limit
        return above or (self.lower_limit is not None and self.value < self.lower_limit)

    @property
    def text(self) -> str:
        """How the version did, for people."""
        if self.value is None:
            return f"no data for {self.metric} of the {self.role} (objective: {self.limit})"
        verb = "meets" if self.met else "misses"
        return f"{self.metric} of the {self.role} is {self.value:.4g} and {verb} its objective, {self.limit}"


def objectives(experiment: Mapping[str, Any]) -> list[Objective]:
    """Every objective of every version, objective by objective, versions in the order of the Experiment."""
    analysis = mapping(experiment, "status", "analysis")
    assessments = mapping(analysis, "versionAssessments", "data")
    found = []
    for index, objective in enumerate(entries(experiment, "spec", "criteria", "objectives")):
        metric = text(objective, "metric")
        values = mapping(analysis, "aggregatedMetrics", "data", metric, "data")
        for name, role in roles(experiment).items():
            found.append(
                Objective(
                    metric=metric,
                    upper_limit=quantity.parse(objective.get("upperLimit")),
                    lower_limit=quantity.parse(objective.get("lowerLimit")),
                    role=role,
                    value=quantity.parse(mapping(values, name).get("value")),
                    met=_met(assessments.get(name), index),
                )
            )
    return found


def _met(row: Any, index: int) -> bool | None:
    if not isinstance(row, list) or index >= len(row):
        return None
    return row[index] is True
