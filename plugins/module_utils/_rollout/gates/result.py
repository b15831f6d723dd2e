# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate says."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class GateVerdict(enum.Enum):
    """`NOT_APPLICABLE` is for what cannot be asked at a step, as a ratio to a baseline without traffic."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class GateResult:
    """One gate at one moment.

    `value` is what was measured, `low` and `high` the interval around it in which the truth lies with the
    confidence of the last look, in the gate's own unit; None where there is none. `samples` are the
    requests (or looks, where there are no requests) that it rests on, `needed` how many it takes at least.
    """

    gate: str
    verdict: GateVerdict
    message: str
    samples: int = 0
    needed: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the state and the artefacts have it."""
        return {
            "gate": self.gate,
            "verdict": self.verdict.value,
            "message": self.message,
            "samples": self.samples,
            "needed": self.needed,
            "value": self.value,
            "low": self.low,
            "high": self.high,
        }
