# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule of the verdict is: a claim, and a function that finds whether the facts bear it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..evidence.facts import Facts
from ..thresholds import Thresholds


class Grade(str, Enum):
    """The three verdicts, from best to worst."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


ORDER = (Grade.PASS, Grade.INCONCLUSIVE, Grade.FAIL)


def worst(grades: list[Grade]) -> Grade:
    """The worst of the grades; none at all prove nothing."""
    return max(grades, key=ORDER.index, default=Grade.INCONCLUSIVE)


@dataclass(frozen=True)
class Finding:
    """What a rule found, in one sentence, with the figures behind it (plain JSON)."""

    grade: Grade
    text: str
    figures: dict[str, Any] = field(default_factory=dict)


Check = Callable[[Facts, Thresholds], list[Finding]]


@dataclass(frozen=True)
class Rule:
    """`check` returns nothing where the rule does not apply, or where another rule tells why it cannot."""

    name: str
    claim: str
    check: Check


def passed(text: str, **figures: Any) -> list[Finding]:
    """The claim holds."""
    return [Finding(Grade.PASS, text, figures)]


def failed(text: str, **figures: Any) -> list[Finding]:
    """The claim is refuted."""
    return [Finding(Grade.FAIL, text, figures)]


def unproven(text: str, **figures: Any) -> list[Finding]:
    """The evidence neither bears the claim out nor refutes it."""
    return [Finding(Grade.INCONCLUSIVE, text, figures)]
