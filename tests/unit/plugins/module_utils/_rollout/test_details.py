# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import details
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    loss_rate_upper_bound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Facts, study
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run


def facts(run: Run) -> Facts:
    return study(run.evidence())


def test_failures_are_counted_by_class_revision_and_phase() -> None:
    run = rollouts.good()
    for after in (26.0, 27.0):
        rollouts.lose(run, after)
    rollouts.lose(run, 31.0)
    rollouts.lose(run, 26.5, kind="reset", status=None)
    rollouts.lose(run, 3.0, revision=BASELINE)
    found = [
        (row["class"], row["status"], row["revision"], row["phase"], row["failed"])
        for row in details.failures(facts(run))
    ]
    assert found == [
        ("status", 500, CANARY, "canary at 15 %", 2),
        ("status", 500, CANARY, "canary at 25 %", 1),
        ("reset", None, CANARY, "canary at 15 %", 1),
        ("status", 500, BASELINE, "before the canary", 1),
    ]
    assert {row["connection_mode"] for row in details.failures(facts(run))} == {"keep-alive"}


def test_each_mode_has_a_bound_and_a_gap_of_its_own() -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.0)
    found = details.connection_modes(facts(run))
    assert found["keep-alive"]["loss_rate_upper_bound_95"] == loss_rate_upper_bound(1, 4500)
    assert found["new"]["loss_rate_upper_bound_95"] == loss_rate_upper_bound(0, 4500)
    gaps = {name: row["longest_success_gap_seconds"] for name, row in found.items()}
    assert gaps == {"keep-alive": 0.22, "new": 0.23}
    run.own["connection_modes"]["new"] = {"requests": 0, "failed": 0, "longest_success_gap": None}
    run.own["connection_modes"]["keep-alive"] = {"requests": 5, "failed": 9}
    bounds = [row["loss_rate_upper_bound_95"] for row in details.connection_modes(facts(run)).values()]
    assert bounds == [1.0, 1.0]
    assert details.connection_modes(facts(run))["new"]["longest_success_gap_seconds"] is None


def window(first: Any, recovered: Any, mode: str = "keep-alive") -> dict[str, Any]:
    times = {"last_success": START + 25.0, "first_failed_send": first, "recovered": recovered}
    return {"connection_mode": mode, **times, "failed": 2}


@pytest.mark.parametrize(
    ("first", "recovered", "classes"),
    [
        (START + 26.0, START + 27.0, {"status 500": 1, "reset": 1}),
        (START + 26.0, START + 26.9, {"status 500": 1}),
        (START + 26.1, START + 27.0, {"reset": 1}),
        (START + 26.0, None, {"status 500": 1, "reset": 1, "timeout": 1}),
    ],
)
def test_an_outage_is_told_with_its_phase_and_what_failed_in_it(
    first: float, recovered: float | None, classes: dict[str, int]
) -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.0)
    rollouts.lose(run, 27.0, kind="reset")
    rollouts.lose(run, 40.0, kind="timeout")
    run.own["outages"] = [window(first, recovered)]
    assert details.outages(facts(run)) == [
        {**window(first, recovered), "phase": "canary at 15 %", "classes": classes}
    ]


def test_an_outage_has_what_failed_on_its_own_kind_of_connection() -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.0)
    rollouts.lose(run, 26.5, kind="connect")
    run.own["ledger"][1]["connection_mode"] = "new"
    run.own["outages"] = [window(START + 26.0, START + 27.0, mode) for mode in ("keep-alive", "new")]
    classes = {row["connection_mode"]: row["classes"] for row in details.outages(facts(run))}
    assert classes == {"keep-alive": {"status 500": 1}, "new": {"connect": 1}}


def test_an_outage_without_a_beginning_has_no_phase() -> None:
    run = rollouts.good()
    run.own["outages"] = [window(None, None)]
    assert details.outages(facts(run)) == [{**window(None, None), "phase": None, "classes": {}}]


def test_how_the_generator_did() -> None:
    run = rollouts.good()
    stalls = [{"start": START + 1.0, "seconds": 0.5}, {"start": START + 9.0, "seconds": 0.25}]
    run.own.update(stalls=stalls, client_faults=3, rate_kept=False, actual_rate=99.5)
    found = details.generator(facts(run))
    assert found is not None
    assert (found["stalls"], found["longest_stall_seconds"], found["client_faults"]) == (2, 0.5, 3)
    assert (found["rate_kept"], found["asked_rate"], found["actual_rate"]) == (False, 100.0, 99.5)


def test_without_a_load_there_is_nothing_to_tell() -> None:
    nothing = facts(Run(None, None, None, None))
    assert details.failures(nothing) == details.outages(nothing) == []
    assert details.connection_modes(nothing) == {}
    assert details.generator(nothing) is details.gateway(nothing) is None


def test_a_log_without_a_load_is_told_by_itself() -> None:
    run = rollouts.good()
    log = rollouts.log_of(run)
    found = details.gateway(facts(Run(None, None, None, None, access_log=log)))
    assert found is not None
    assert (found["requests"], found["failures"], found["not_in_log"]) == (9000, [], 0)
