# SPDX-License-Identifier: GPL-3.0-or-later
"""A run bent in one way, and what the verdict must make of it: the rule, how grave it is, the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules.rule import Grade, Rule, worst
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.bends import Bend
from ansible_collections.iter8.kfserving.tests.support.rollouts import Run

FAIL, UNSURE = Grade.FAIL, Grade.INCONCLUSIVE


@dataclass(frozen=True)
class Case:
    """An otherwise good run, bent so that `rule` finds it of this `grade`, with exactly these `figures`.

    `also` are the other rules that find something against a pass, with the worst that each finds. `text` is
    the sentence: it is no contract, so one case of a rule has it, and the others leave it empty.
    """

    what: str
    rule: str
    bend: Bend
    grade: Grade
    figures: Mapping[str, Any]
    also: Mapping[str, Grade] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return self.what


def verdict(run: Run, thresholds: Thresholds | None = None) -> dict[str, Any]:
    """What verdict.json has on a run; it is plain JSON."""
    found = decide(run.evidence(), thresholds).as_dict()
    assert json.loads(json.dumps(found)) == found
    return found


def claim(found: dict[str, Any], rule: str) -> str | None:
    """What became of a rule; None where it did not apply."""
    return next((c["verdict"] for c in found["claims"] if c["rule"] == rule), None)


def check(case: Case) -> None:
    """Hold the verdict on a case to it."""
    run = rollouts.good()
    case.bend(run)
    found = verdict(run)
    against: dict[str, list[Grade]] = {}
    for reason in found["reasons"]:
        against.setdefault(reason["rule"], []).append(Grade(reason["verdict"]))
    expected = {case.rule: case.grade, **case.also}
    assert {rule: worst(grades) for rule, grades in against.items()} == expected
    assert found["verdict"] == worst(list(expected.values())).value
    assert rollouts.figures(found, case.rule) == case.figures
    if case.text:
        assert next(r["text"] for r in found["reasons"] if r["rule"] == case.rule) == case.text


def check_cover(cases: list[Case], rules: tuple[Rule, ...], elsewhere: frozenset[str] = frozenset()) -> None:
    """Every rule has a case, but for those that are tested elsewhere, and exactly one case with its
    sentence."""
    assert {case.rule for case in cases} == {rule.name for rule in rules} - elsewhere
    assert sorted(case.rule for case in cases if case.text) == sorted({case.rule for case in cases})
