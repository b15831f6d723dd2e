# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report is made of: the verdict and, as far as they can be read, the load, the timeline, the
objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Facts, study
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import Load, Lost
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.tree import mapping, text
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import SCHEMA, decide

from .files import parse, read_evidence, refuse_folder

UNSHOWN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What is raised where something in a verdict is missing, or is not what it is to be."""

TITLES = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}


@dataclass(frozen=True)
class Material:
    """`verdict` has the shape of verdict.json, `raw` is the `LoadTest` part of load.json (or empty).

    `rerun` is the command that does it all again, `subject` the InferenceService's name; both may be empty.
    """

    verdict: Mapping[str, Any]
    facts: Facts
    raw: Mapping[str, Any]
    rerun: str = ""
    subject: str = ""

    @property
    def load(self) -> Load | None:
        """The load test's result, None where there is none."""
        return self.facts.load

    @property
    def grade(self) -> str:
        """`pass`, `fail` or `inconclusive`."""
        return str(self.verdict["verdict"])

    @property
    def title(self) -> str:
        """The verdict as one word, as it is shown."""
        return TITLES[self.grade]

    def losses(self) -> list[Lost]:
        """The recorded failures in the order in which they were sent."""
        return sorted(self.load.ledger, key=lambda lost: lost.at) if self.load else []


def gather(params: Mapping[str, Any]) -> Material:
    """The material in the files that the parameters name.

    Without a verdict that can be read, or with one of another load, the evidence is judged by the default
    thresholds, so that there is always a report; the verdict then says what was missing as any other does.

    :raises ArtefactError: where a path is a folder.
    """
    evidence = read_evidence(params)
    facts = study(evidence)
    verdict = _verdict(params.get("verdict"))
    if verdict is None or (params.get("load") and not _is_of(verdict, facts.load)):
        verdict = plain(decide(evidence, Thresholds()).as_dict())
    return Material(
        verdict,
        facts,
        mapping(evidence.load, "LoadTest"),
        rerun=params.get("rerun") or "",
        subject=text(mapping(evidence.inferenceservice, "metadata"), "name"),
    )


def _verdict(path: str | None) -> Mapping[str, Any] | None:
    """verdict.json, or None where it is missing or is not one."""
    if not path:
        return None
    refuse_folder("verdict", path)
    try:
        found = parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if is_verdict(found) else None


def is_verdict(found: Any) -> bool:
    """Whether a file's content is a verdict of the shape that this collection writes."""
    if not isinstance(found, dict) or isinstance(found.get("schema"), bool) or found.get("schema") != SCHEMA:
        return False
    return isinstance(found.get("verdict"), str) and found["verdict"] in TITLES


def _is_of(verdict: Mapping[str, Any], load: Load | None) -> bool:
    """Whether the verdict counts what the load does: else an earlier run's was left in the folder."""
    counted = (load.requests, load.failed) if load else (0, 0)
    return (verdict.get("requests"), verdict.get("failed")) == counted
