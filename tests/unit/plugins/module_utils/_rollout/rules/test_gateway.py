# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rules import gateway
from ansible_collections.iter8.kfserving.tests.support.bends import logged
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.judging import UNSURE, Case, check, check_cover
from ansible_collections.iter8.kfserving.tests.support.rollouts import START


def figures(**changes: Any) -> dict[str, Any]:
    """What a log that has every request of a good run shows, but for these."""
    whole = {"lines": 9000, "torn": 0, "requests": 9000, "statuses": {"200": 9000}}
    return {**whole, "first": START, "last": START + 90, **changes}


CASES = [
    Case(
        "a log of another gateway",
        "log_whole",
        logged(requests=0, lines=70, statuses={}, revisions={}, seconds={}),
        UNSURE,
        figures(lines=70, requests=0, statuses={}),
        text=(
            "the gateway's log (70 lines) has no request of this load; is it this gateway's, and "
            "does that keep X-Request-Id?"
        ),
    ),
    Case(
        "a log that was rotated",
        "log_whole",
        logged(statuses={"200": 4000}),
        UNSURE,
        figures(statuses={"200": 4000}),
    ),
    Case(
        "a log that is torn",
        "log_whole",
        logged(statuses={"200": 8999}, unread=1),
        UNSURE,
        figures(torn=1, statuses={"200": 8999}),
    ),
    Case(
        "a log by another clock",
        "log_whole",
        logged(first=START + 3600.0, last=START + 3690.0),
        UNSURE,
        figures(first=START + 3600.0, last=START + 3690.0),
    ),
    Case(
        "a log without times",
        "log_whole",
        logged(first=None, last=None),
        UNSURE,
        figures(first=None, last=None),
    ),
    Case(
        "requests that came twice",
        "sent_once",
        logged(repeated=3),
        UNSURE,
        {"repeated": 3},
        text=(
            "3 requests stand in the gateway's log more than once: something repeats requests, "
            "which hides losses, or it is the log of two gateways in a row"
        ),
    ),
    Case(
        "the log names others than the answers",
        "log_agrees",
        logged(revisions={BASELINE: 4526, CANARY: 4474}),
        UNSURE,
        {"answered": {BASELINE: 4525, CANARY: 4475}, "logged": {BASELINE: 4526, CANARY: 4474}},
        text=(
            f"the answers and the gateway's log disagree on who answered: {BASELINE} 4525 and "
            f"4526, {CANARY} 4475 and 4474"
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_goes_wrong_is_said(case: Case) -> None:
    check(case)


def test_every_rule_is_refuted_by_some_case() -> None:
    check_cover(CASES, gateway.RULES)
