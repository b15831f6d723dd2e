# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic split and winner of a progressive canary rollout, as iter8-analytics 1.1.0-alpha computes them.

For one baseline and one canary. The sandbox's iter8 uses it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

# A tenth of the traffic is always shared evenly, so that both versions keep being measured: the target is
# 0.1 x (50, 50) + 0.9 x (everything to the version that is exploited).
TARGET_FAVOURED = 95
TARGET_OTHER = 5


def objective_met(
    value: float | None, upper_limit: float | None = None, lower_limit: float | None = None
) -> bool:
    """Whether a measured value keeps its limits (which are included). No data (None, NaN) is not met."""
    if value is None or math.isnan(value):
        return False
    return (upper_limit is None or value <= upper_limit) and (lower_limit is None or value >= lower_limit)


def next_weights(
    old: tuple[int, int], objectives_met: bool, max_weight: int = 100, max_increment: int = 10
) -> tuple[int, int]:
    """The next (baseline, canary) weights in percent, from the present ones; they sum to 100.

    The canary moves towards 95 if it meets every objective, else towards 5, never to 0 or 100. It gains at
    most `max_increment` and stays at most `max_weight`; what it may not have goes to the baseline. It may
    lose any amount at once. All in whole percent, so nothing is ever rounded. An experiment starts from
    (100, 0).
    """
    if sum(old) != 100 or min(old) < 0:
        raise ValueError(
            f"The present weights must be percentages that sum to 100, not {old[0]} and {old[1]}."
        )
    target = TARGET_FAVOURED if objectives_met else TARGET_OTHER
    canary = min(target, old[1] + max_increment, max_weight)
    return 100 - canary, canary


def winner(assessments: Mapping[str, Sequence[bool]], baseline: str, canary: str) -> str | None:
    """The canary if it meets every objective, else the baseline if it does, else None.

    `assessments` is iter8's versionAssessments: for each version, one truth value an objective. With no
    objectives at all, every version meets them.
    """
    for version in (canary, baseline):
        if version in assessments and all(assessments[version]):
            return version
    return None
