# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about a rollout that this collection drove itself: what did its gates decide?"""

from __future__ import annotations

from ..evidence.facts import Facts
from ..roles import BASELINE, CANARY
from ..thresholds import Thresholds
from .rule import Finding, Rule, failed, passed, unproven

_ENDS = {"promoted": CANARY, "rolled_back": BASELINE}


def driver_decided(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    driver = facts.driver
    if not driver:
        return []
    outcome, cause = str(driver.get("outcome")), str(driver.get("cause") or "")
    figures = {"outcome": outcome, "cause": cause, "expected": thresholds.expect_winner}
    why = f": {cause}" if cause else ""
    if outcome not in _ENDS:
        return unproven(f"the driver did not bring the rollout to an end, it is {outcome}{why}", **figures)
    did = {"promoted": "promoted the canary", "rolled_back": "rolled the canary back"}[outcome]
    if _ENDS[outcome] == thresholds.expect_winner:
        seconds = driver.get("rollback_seconds")
        took = f", the baseline had everything again after {seconds:g} s" if seconds is not None else ""
        return passed(f"the driver {did}{took}{why}", **figures)
    return failed(
        f"the driver {did}, where the {thresholds.expect_winner} was expected to win{why}", **figures
    )


RULES = (Rule("driver_decided", "The driver ended the rollout as expected", driver_decided),)
