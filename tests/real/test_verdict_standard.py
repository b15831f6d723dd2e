# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on plain rolling updates of Standard mode, where the model's version tells who answered."""

from __future__ import annotations

import pytest

from .judged import BY_LOG, Judge
from .rollout import Rollout
from .stage import Real
from .standard import DRAINING, PLAIN, create, create_runtimes, model


@pytest.fixture(scope="module", autouse=True)
def _runtimes(real: Real) -> None:
    create_runtimes(real)


@pytest.mark.quick
def test_rolling_update_of_servers_that_drain(rollout: Rollout, judge: Judge) -> None:
    create(rollout, DRAINING)
    judged = judge.observe(
        "replace",
        {"model": model("v2", DRAINING)},
        rollout_revision_learned=True,
        before="0 of 4,999 (Envoy Gateway)",
    )
    assert judged.verdict["verdict"] == "pass", judged.reasons


def test_rolling_update_where_the_gateways_log_alone_tells_who_answered(
    rollout: Rollout, judge: Judge
) -> None:
    create(rollout, DRAINING)
    judged = judge.observe("replace", {"model": model("v2", DRAINING)}, before="-", **BY_LOG)
    assert judged.verdict["verdict"] == "pass", judged.reasons
    assert judged.verdict["named_by"] == "access_log"


def test_rolling_update_of_servers_that_do_not(rollout: Rollout, judge: Judge) -> None:
    """What it loses differs from run to run; the verdict is fail for one lost request, and pass for none."""
    create(rollout, PLAIN)
    judged = judge.observe(
        "replace",
        {"model": model("v2", PLAIN)},
        rollout_revision_learned=True,
        before="6 of 4,993 (Envoy Gateway)",
    )
    assert judged.verdict["verdict"] == ("fail" if judged.verdict["failed"] else "pass"), judged.reasons
    if judged.verdict["failed"]:
        kinds = {cause["kind"] for window in judged.verdict["causes"] for cause in window["around"]}
        assert kinds, judged.verdict["causes"]
