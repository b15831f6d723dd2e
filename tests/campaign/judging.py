# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run should have said, and whether it did: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OK, WRONG, ERROR = "ok", "WRONG", "ERROR"


@dataclass(frozen=True)
class Expectation:
    """The verdict, the rules that must be among its reasons, and those that may be there as well.

    Any other rule is a wrong reason. The rules that must be there must have the verdict's own grade.
    """

    verdict: str
    rules: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()


PASS = Expectation("pass")


def expect(verdict: str, *rules: str, also: Sequence[str] = ()) -> Expectation:
    """An expectation of a verdict that is not a pass."""
    return Expectation(verdict, frozenset(rules), frozenset(also))


def problem(expected: Expectation, verdict: Mapping[str, Any]) -> str:
    """What is wrong with a verdict.json; empty if it is as expected."""
    said, reasons = verdict.get("verdict"), verdict.get("reasons", [])
    if said != expected.verdict:
        return f"the verdict is {said}, where {expected.verdict} was expected"
    graded = {reason["rule"] for reason in reasons if reason["verdict"] == said}
    missing = sorted(expected.rules - graded)
    if missing:
        return f"no reason of rule {', '.join(missing)}"
    others = sorted({reason["rule"] for reason in reasons} - expected.rules - expected.also)
    return f"a reason that does not belong: {', '.join(others)}" if others else ""


def reasons_of(verdict: Mapping[str, Any]) -> str:
    """The rules behind a verdict in their order, each once."""
    return ", ".join(dict.fromkeys(reason["rule"] for reason in verdict.get("reasons", [])))


@dataclass(frozen=True)
class Row:
    """One run in the table. ``injected`` has the evidence that the fault took effect."""

    fault: str
    seed: int
    injected: str
    expected: str
    said: str
    outcome: str
    detail: str
    seconds: float


def table(rows: Sequence[Row]) -> str:
    """The rows as text, one block per run where something needs more than a line."""
    head = ("fault", "seed", "expected", "said", "outcome", "s")
    cells = [
        (row.fault, str(row.seed), row.expected, row.said, row.outcome, f"{row.seconds:.0f}") for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]

    def line(values: Sequence[str]) -> str:
        return "  ".join(value.ljust(width) for value, width in zip(values, widths)).rstrip()

    lines = [line(head)]
    for row, values in zip(rows, cells):
        lines.append(line(values))
        lines.append(f"    injected: {row.injected or 'nothing'}")
        if row.detail:
            lines.append(f"    {row.outcome}: {row.detail}")
    return "\n".join(lines)


def exit_code(rows: Sequence[Row]) -> int:
    """0 if there were runs and all were ok."""
    return 0 if rows and all(row.outcome == OK for row in rows) else 1
