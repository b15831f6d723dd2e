# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign's own judgement: what it calls right, wrong, and an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

CAMPAIGN = Path(__file__).resolve().parents[1] / "campaign"
sys.path.insert(0, str(CAMPAIGN))

import catalogue  # noqa: E402
import judging  # noqa: E402
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import verdict as verdicts  # noqa: E402
from course import Course, NoEffect, name_of  # noqa: E402


def said(verdict: str, *reasons: tuple[str, str]) -> dict[str, Any]:
    return {"verdict": verdict, "reasons": [{"rule": rule, "verdict": grade} for rule, grade in reasons]}


EXPECTED = judging.expect("fail", "nothing_lost", also=("gap_short",))


@pytest.mark.parametrize(
    ("expected", "verdict", "problem"),
    [
        (judging.PASS, said("pass"), ""),
        (EXPECTED, said("fail", ("nothing_lost", "fail")), ""),
        (EXPECTED, said("fail", ("nothing_lost", "fail"), ("gap_short", "inconclusive")), ""),
        (
            judging.PASS,
            said("fail", ("nothing_lost", "fail")),
            "the verdict is fail, where pass was expected",
        ),
        (EXPECTED, said("pass"), "the verdict is pass, where fail was expected"),
        (EXPECTED, said("fail", ("gap_short", "fail")), "no reason of rule nothing_lost"),
        (
            EXPECTED,
            said("fail", ("gap_short", "fail"), ("nothing_lost", "inconclusive")),
            "no reason of rule nothing_lost",
        ),
        (
            EXPECTED,
            said("fail", ("nothing_lost", "fail"), ("traffic_moved", "fail")),
            "a reason that does not belong: traffic_moved",
        ),
        (EXPECTED, {}, "the verdict is None, where fail was expected"),
    ],
)
def test_problem(expected: judging.Expectation, verdict: dict[str, Any], problem: str) -> None:
    assert judging.problem(expected, verdict) == problem


def row(outcome: str, detail: str = "") -> judging.Row:
    return judging.Row("a-fault", 2, "a signal", "pass", "pass ()", outcome, detail, 12.3)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 1),
        ([judging.OK], 0),
        ([judging.OK, judging.WRONG], 1),
        ([judging.ERROR, judging.OK], 1),
    ],
)
def test_exit_code(outcomes: list[str], code: int) -> None:
    assert judging.exit_code([row(outcome) for outcome in outcomes]) == code


def test_table_has_the_evidence_and_what_is_wrong() -> None:
    text = judging.table([row(judging.OK), row(judging.WRONG, "the verdict is pass")])
    assert text.splitlines() == [
        "fault    seed  expected  said     outcome  s",
        "a-fault  2     pass      pass ()  ok       12",
        "    injected: a signal",
        "a-fault  2     pass      pass ()  WRONG    12",
        "    injected: a signal",
        "    WRONG: the verdict is pass",
    ]


def test_reasons_are_told_once() -> None:
    found = said("fail", ("traffic_moved", "fail"), ("nothing_lost", "fail"), ("traffic_moved", "fail"))
    assert judging.reasons_of(found) == "traffic_moved, nothing_lost"


def test_every_fault_expects_rules_that_there_are() -> None:
    rules = {rule.name for rule in verdicts.RULES}
    for fault in catalogue.FAULTS:
        assert fault.expected.rules | fault.expected.also <= rules, fault.name
        # A fault that may end in any reason proves nothing.
        assert (fault.expected == judging.PASS) == (not fault.expected.rules), fault.name


def test_names_are_unique_and_fit_into_a_label() -> None:
    names = [name_of(fault.name, 999) for fault in catalogue.FAULTS]
    assert len(set(names)) == len(names)
    assert max(len(f"finish-handler-{name}-0123456789ab") for name in names) <= 63


def course(seed: int, folder: Path) -> Course:
    return Course(None, "a-fault", seed, folder, {})  # type: ignore[arg-type]


def test_a_seed_gives_the_same_run_again_and_another_another(tmp_path: Path) -> None:
    numbers = [course(seed, tmp_path).random.random() for seed in (1, 1, 2)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_a_strike_that_was_not_carried_out_is_no_evidence(tmp_path: Path) -> None:
    run = course(1, tmp_path)
    with pytest.raises(NoEffect):
        catalogue.strikes.noted(run)
    run.notes["done"] = "it was"
    assert catalogue.strikes.noted(run) == "it was"


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    run = course(1, tmp_path)
    assert run.timeline() == []
    run.artifacts.mkdir()
    (run.artifacts / "timeline.jsonl").write_text('{"event": "a"}\n{"eve')
    assert run.timeline() == [{"event": "a"}]
