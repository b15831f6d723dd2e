# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict as Markdown, for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.causes import sentence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import utc

from ..material import Material
from .tables import SIGNS

_MOST_CAUSES = 5
_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|#~"} | {"\n": " ", "\r": " "})

# By it the file is known again, and no other of its name is deleted.
MARK = "Written by iter8.kfserving."


def markdown(material: Material) -> str:
    """A heading with the verdict, the summary, the reasons, and tables of revisions, phases and
    objectives."""
    verdict = material.verdict
    parts = [f"### {SIGNS[material.grade]} {material.title}", text(verdict["summary"]) + "."]
    reasons = verdict.get("reasons", [])
    if reasons:
        parts.append("\n".join(f"- **{r['verdict']}**: {text(r['text'])}" for r in reasons))
    pages = verdict.get("runbooks", [])
    if pages:
        parts.append("What to do: " + ", ".join(f"`{page}`" for page in pages))
    parts += [_causes(material), _revisions(material), _phases(material), _objectives(material), MARK]
    return printable_lines("\n\n".join(filter(None, parts)) + "\n")


def _causes(material: Material) -> str:
    """What happened around the first losses: a comment is read in passing."""
    rows = [cause for cause in material.verdict.get("causes", []) if cause["around"] or cause["flags"]]
    return "\n".join(f"- {utc(cause['from'])[:12]}: {text(sentence(cause))}" for cause in rows[:_MOST_CAUSES])


def text(value: Any) -> str:
    """A text in which nothing is taken for markup."""
    return str(value).translate(_SPECIAL)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; empty without rows. A head that ends in `#` belongs to a column of numbers."""
    body = [f"| {' | '.join(text(cell) for cell in row)} |" for row in rows]
    if not body:
        return ""
    rule = "|".join(" ---: " if head.endswith("#") else " --- " for head in heads)
    return "\n".join([f"| {' | '.join(head.rstrip('#') for head in heads)} |", f"|{rule}|", *body])


def _revisions(material: Material) -> str:
    rows = [
        (name or "(not named)", row["role"], row["requests"], row["failed"])
        for name, row in material.verdict.get("revisions", {}).items()
    ]
    return table(("Revision", "Role", "Requests#", "Lost#"), rows)


def _phases(material: Material) -> str:
    """Only the phases in which something was lost: a comment is read in passing."""
    rows = [
        (p["name"], p["requests"], p["failed"]) for p in material.verdict.get("phases", []) if p["failed"]
    ]
    return table(("Phase", "Requests#", "Lost#"), rows)


def _objectives(material: Material) -> str:
    rows = [
        (o["metric"], o["role"], "no data" if o["value"] is None else f"{o['value']:.4g}", "missed")
        for o in material.verdict.get("objectives", [])
        if o["met"] is False
    ]
    return table(("Objective", "Version", "Value#", "Outcome"), rows)
