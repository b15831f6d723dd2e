# SPDX-License-Identifier: GPL-3.0-or-later
"""The objectives of an Experiment and how each version did, from iter8's own measurements and assessments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common import quantity

from .experiment import roles
from .tree import entries, mapping, text


@dataclass(frozen=True)
class Objective:
    """One objective and one version. `met` is None before iter8's first assessment, `value` None without
    data.

    `unreadable` is a clause with what is told as the value, or as a limit, and is no finite number; empty
    where all are numbers.
    `measured` is whether the Experiment tells of the metric at all, of whichever version.
    """

    metric: str
    upper_limit: float | None
    lower_limit: float | None
    role: str
    value: float | None
    met: bool | None
    unreadable: str = ""
    measured: bool = False

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

    def as_dict(self) -> dict[str, Any]:
        """As verdict.json has it; what else there is to say of it is among the reasons."""
        names = ("metric", "upper_limit", "lower_limit", "role", "value", "met")
        return {name: getattr(self, name) for name in names}

    @property
    def unfounded(self) -> bool:
        """Whether it counts as met by a figure that is none, or by none of a metric that was measured."""
        return self.met is True and (bool(self.unreadable) or (self.measured and self.value is None))

    @property
    def text(self) -> str:
        """How the version did, for people."""
        of = f"{self.metric} of the {self.role}"
        if self.unfounded:
            return f"{self.unreadable or f'no data for {of}'}, and its objective counts as met"
        if self.value is None:
            return f"{self.unreadable or f'no data for {of}'} (objective: {self.limit})"
        verb = "was not held to" if self.met is None else "meets" if self.met else "misses"
        return f"{of} is {self.value:.4g} and {verb} its objective, {self.limit}"


def objectives(experiment: Mapping[str, Any]) -> list[Objective]:
    """Every objective of every version, objective by objective, versions in the order of the Experiment."""
    analysis = mapping(experiment, "status", "analysis")
    assessments = mapping(analysis, "versionAssessments", "data")
    found = []
    asked = entries(experiment, "spec", "criteria", "objectives")
    for index, objective in enumerate(asked):
        metric = text(objective, "metric")
        values = mapping(analysis, "aggregatedMetrics", "data", metric, "data")
        limits = [objective.get(key) for key in ("upperLimit", "lowerLimit")]
        limit = next(filter(None, (_unreadable(f"the limit of {metric}", each) for each in limits)), "")
        for name, role in roles(experiment).items():
            reported = mapping(values, name).get("value")
            found.append(
                Objective(
                    metric=metric,
                    upper_limit=quantity.parse(limits[0]),
                    lower_limit=quantity.parse(limits[1]),
                    role=role,
                    value=quantity.parse(reported),
                    met=_met(assessments.get(name), index),
                    unreadable=_unreadable(f"{metric} of the {role}", reported) or limit,
                    measured=bool(values),
                )
            )
    return [*found, *_assessed_beyond(assessments, roles(experiment), len(asked))]


def _assessed_beyond(
    assessments: Mapping[str, Any], by_name: Mapping[str, str], asked: int
) -> Iterator[Objective]:
    """What was assessed of each version, and is no objective: it cannot be known what was met or missed."""
    for name, role in by_name.items():
        row = assessments.get(name)
        if not isinstance(row, list):
            continue
        for index in range(asked, len(row)):
            why = f"the {role} was assessed by {len(row)} objectives, and there are {asked}"
            yield Objective(f"objective {index + 1}", None, None, role, None, _met(row, index), why)


def _unreadable(what: str, reported: Any) -> str:
    """That it is no number, as a clause; empty where it is one, or not told."""
    if reported is None or quantity.parse(reported) is not None:
        return ""
    return f"{what} is told as {reported!r:.20}, which is no number"


def _met(row: Any, index: int) -> bool | None:
    if not isinstance(row, list) or index >= len(row):
        return None
    return row[index] is True
