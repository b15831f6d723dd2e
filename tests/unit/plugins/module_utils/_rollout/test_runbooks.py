# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to help with a verdict, or with a wait that failed."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import runbooks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.judging import verdict


def test_every_rule_has_a_page_and_no_page_is_of_a_rule_that_is_gone() -> None:
    assert set(runbooks.OF_RULES) == {rule.name for rule in RULES}


def test_a_pass_needs_none() -> None:
    assert verdict(rollouts.good())["runbooks"] == []


def test_what_helps_comes_in_the_order_of_the_reasons_and_once() -> None:
    run = rollouts.good()
    rollouts.lose(run, 26.5)
    found = verdict(run)
    assert found["runbooks"] == runbooks.of_reasons(reason["rule"] for reason in found["reasons"])
    assert found["runbooks"][0] == "docs/runbooks/requests-were-lost.md"
    assert len(set(found["runbooks"])) == len(found["runbooks"])


def test_advice_is_a_sentence_or_nothing() -> None:
    assert runbooks.advice(None) == ""
    assert runbooks.advice(runbooks.WAIT) == " What to do: docs/runbooks/wait-does-not-end.md."
