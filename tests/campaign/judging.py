# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run should have said, and whether it did: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OK, WRONG, ERROR = "ok", "WRONG", "ERROR"
NO_REVISION = "nobody"


@dataclass(frozen=True)
class Losses:
    """What the ledger must say of the lost requests.

    ``classes`` must all be among them, and nothing but these and ``also``. The same holds for who lost them,
    by role: ``by`` and ``also_by``; a request that was lost before anybody answered it was lost by nobody.
    ``phase`` is a phase in which at least one was lost.
    """

    classes: frozenset[str]
    also: frozenset[str]
    by: frozenset[str]
    also_by: frozenset[str]
    phase: str


def losses(
    *classes: str, by: Sequence[str], also: Sequence[str] = (), also_by: Sequence[str] = (), phase: str = ""
) -> Losses:
    """What the ledger must say; see :class:`Losses`."""
    return Losses(frozenset(classes), frozenset(also), frozenset(by), frozenset(also_by), phase)


@dataclass(frozen=True)
class Expectation:
    """The verdict, the rules that must be among its reasons, and those that may be there as well.

    Any other rule is a wrong reason. The rules that must be there must have the verdict's own grade. For each
    rule in ``says`` one of its reasons must hold the text; in it, ``{canary}`` and ``{baseline}`` stand for
    the names of the revisions. For each role in ``traces`` something of one of the kinds must be told to have
    happened to that revision around a window of losses. ``or_pass`` is for what may come to nothing: a pass
    is as right then.
    """

    verdict: str
    rules: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    lost: Losses | None = None
    says: Mapping[str, str] = field(default_factory=dict)
    traces: Mapping[str, frozenset[str]] = field(default_factory=dict)
    or_pass: bool = False

    def __str__(self) -> str:
        """In short: the verdict, the rules, and how requests are lost."""
        how = f": {', '.join(sorted(self.lost.classes))}" if self.lost else ""
        rules = [rule + (how if rule == "nothing_lost" else "") for rule in sorted(self.rules)]
        told = f"{self.verdict} ({'; '.join(rules)})" if rules else self.verdict
        return f"{told} or pass" if self.or_pass else told


PASS = Expectation("pass")


def expect(
    verdict: str,
    *rules: str,
    also: Sequence[str] = (),
    lost: Losses | None = None,
    says: Mapping[str, str] | None = None,
    traces: Mapping[str, Sequence[str]] | None = None,
    or_pass: bool = False,
) -> Expectation:
    """An expectation of a verdict that is not a pass. What is told of losses makes `nothing_lost` a rule."""
    named = {*rules, *(says or {}), *(["nothing_lost"] if lost else [])}
    kinds = {role: frozenset(some) for role, some in (traces or {}).items()}
    return Expectation(verdict, frozenset(named), frozenset(also) - named, lost, says or {}, kinds, or_pass)


def problem(expected: Expectation, verdict: Mapping[str, Any]) -> str:
    """What is wrong with a verdict.json; empty if it is as expected."""
    said, reasons = verdict.get("verdict"), verdict.get("reasons", [])
    if expected.or_pass and said == PASS.verdict:
        return problem(PASS, verdict)
    if said != expected.verdict:
        return f"the verdict is {said}, where {expected.verdict} was expected"
    graded = {reason["rule"] for reason in reasons if reason["verdict"] == said}
    missing = sorted(expected.rules - graded)
    if missing:
        return f"no reason of rule {', '.join(missing)}"
    others = sorted({reason["rule"] for reason in reasons} - expected.rules - expected.also)
    if others:
        return f"a reason that does not belong: {', '.join(others)}"
    wrong = _unsaid(expected.says, verdict) or (
        _wrong_losses(expected.lost, verdict) if expected.lost else ""
    )
    return wrong or _untraced(expected.traces, verdict)


def _unsaid(says: Mapping[str, str], verdict: Mapping[str, Any]) -> str:
    """The first text that no reason of its rule holds."""
    names = {row["role"]: name for name, row in verdict.get("revisions", {}).items()}
    for rule, text in says.items():
        wanted = text.format(canary=names.get("canary", "?"), baseline=names.get("baseline", "?"))
        if not any(wanted in reason["text"] for reason in verdict["reasons"] if reason["rule"] == rule):
            return f"no reason of rule {rule} says {wanted!r}"
    return ""


def _wrong_losses(lost: Losses, verdict: Mapping[str, Any]) -> str:
    """What the figures of `nothing_lost` have that was not expected, or lack."""
    figures = next(reason["figures"] for reason in verdict["reasons"] if reason["rule"] == "nothing_lost")
    roles = {name: row["role"] for name, row in verdict.get("revisions", {}).items()} | {"": NO_REVISION}
    by = {roles.get(name, name) for name in figures.get("revisions", {})}
    for what, seen, needed, allowed in (
        ("as", set(figures.get("classes", {})), lost.classes, lost.also),
        ("by", by, lost.by, lost.also_by),
    ):
        if needed - seen:
            return f"nothing was lost {what} {', '.join(sorted(needed - seen))}"
        if seen - needed - allowed:
            return f"requests were lost {what} {', '.join(sorted(seen - needed - allowed))}"
    if lost.phase and lost.phase not in figures.get("phases", {}):
        return f"nothing was lost in the phase {lost.phase!r}"
    return ""


def _untraced(traces: Mapping[str, frozenset[str]], verdict: Mapping[str, Any]) -> str:
    """The first role around whose losses nothing of what the fault did to it is told."""
    if "causes" not in verdict:
        return ""
    names = {row["role"]: name for name, row in verdict.get("revisions", {}).items()}
    around = [each for cause in verdict["causes"] for each in cause["around"]]
    for role, kinds in traces.items():
        told = {each["kind"] for each in around if each["revision"] == names.get(role, "?")}
        if not told & kinds:
            some = f"; {', '.join(sorted(told))} is" if told else ""
            return f"nothing of {', '.join(sorted(kinds))} is told of the {role} around its losses{some}"
    return ""


def reasons_of(verdict: Mapping[str, Any]) -> str:
    """The rules behind a verdict in their order, each once, and how requests were lost."""
    found: dict[str, str] = {}
    for reason in verdict.get("reasons", []):
        classes = ", ".join(reason.get("figures", {}).get("classes", {}))
        found.setdefault(reason["rule"], reason["rule"] + (f": {classes}" if classes else ""))
    return "; ".join(found.values())


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
