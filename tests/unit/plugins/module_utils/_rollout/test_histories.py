# SPDX-License-Identifier: GPL-3.0-or-later
"""Random whole rollouts: never a pass where something was lost, contradicted or unseen, never a fail where
nothing was.

ITER8_HISTORIES says how many there are (1,000 without it), and ITER8_HISTORIES_SEED with which they begin.
"""

from __future__ import annotations

import os

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support.histories import (
    CLOCK,
    CONTRADICTED,
    ITER8,
    LOST,
    OBSERVED,
    STANDARD,
    UNEXPECTED,
    UNSEEN,
    UNTOLD,
    history,
)

COUNT = int(os.environ.get("ITER8_HISTORIES", "1000"))
SEED = int(os.environ.get("ITER8_HISTORIES_SEED", "0"))
PARTS = 10
AGAINST_A_PASS = {LOST, CONTRADICTED, UNSEEN, UNTOLD, UNEXPECTED}
FOR_A_FAIL = {LOST, CONTRADICTED, UNEXPECTED}


# Those without an Experiment differ from the others in few rules: a fifth as many of each.
KINDS = {ITER8: 1, OBSERVED: 5, STANDARD: 5}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_verdict_is_never_better_or_worse_than_what_happened(part: int, kind: str) -> None:
    wrong = []
    for seed in range(SEED + part, SEED + COUNT, PARTS * KINDS[kind]):
        made = history(seed, kind)
        found = decide(made.run.evidence(), made.thresholds)
        grade = found.grade.value
        better = grade == "pass" and made.tags & AGAINST_A_PASS
        worse = grade == "fail" and not made.tags & FOR_A_FAIL
        # Where nothing at all was done it is a pass, and not only no fail.
        unsure = grade != "pass" and not made.tags
        if better or worse or unsure:
            reasons = [f"{rule.name}: {finding.text}" for rule, finding in found.reasons()]
            wrong.append((seed, grade, sorted(made.tags), made.done, reasons[:3]))
    assert wrong == []


def test_the_histories_are_of_every_kind() -> None:
    made = [history(seed) for seed in range(400)]
    assert {tag for each in made for tag in each.tags} == AGAINST_A_PASS | {CLOCK}
    assert sum(not each.tags for each in made) > 40
    assert len({name for each in made for name in each.done}) >= 17
    others = [history(seed, STANDARD) for seed in range(400)]
    assert {tag for each in others for tag in each.tags} == AGAINST_A_PASS | {CLOCK}
    assert len({name for each in others for name in each.done}) >= 13
