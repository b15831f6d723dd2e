# SPDX-License-Identifier: GPL-3.0-or-later
"""Every recording of real KServe, snapshot by snapshot, against what the load of that rollout saw.

The load knows who answered. Whatever is called a success must be true of its answers from then on, until the
next change; what can come to an end must be called one; and what cannot must not.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import inferenceservice
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import State
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.inferenceservice import (
    Stability,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.snapshot import (
    STANDARD,
    mode_of,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View
from ansible_collections.iter8.kfserving.tests.support.recordings import NAMES, Stretch, seen, stretches

# What was done makes a new revision; the percent alone changes; nothing is changed.
NEW, SAME, NOTHING = True, False, None
# By mark: whether a new revision comes of it. Those that differ by recording are named with it.
DONE: dict[str, bool | None] = {
    "create": NEW,
    "load_started": NOTHING,
    "load_stopped": NOTHING,
    "promote": SAME,
    "reject": SAME,
    "roll back by 0": SAME,
    "double the stable": SAME,
    "rename": SAME,
    "remove the canary": SAME,
    "promote in one patch": SAME,
    "promote to 100": SAME,
    "v2 at once": NEW,
    "stable to v2": SAME,
    "canary 10": NEW,
    "canary 20": NEW,
    "canary 25": NEW,
    "canary 25, 2 pods": NEW,
    "canary 30": NEW,
    "canary 50": NEW,
    "canary 100": SAME,
    "canary 0": NEW,
    "next canary 0": NEW,
    "next canary 30": NEW,
    "old model at 0": NEW,
    "old model at 100": NEW,
    "roll back": NEW,
    "10": SAME,
    "30": SAME,
    "50": SAME,
    "100": SAME,
    ("knative-promote", "canary 50"): SAME,
    ("standard-careful", "canary 50"): SAME,
    ("standard-careful-drain", "canary 50"): SAME,
    ("standard-inplace", "canary 0"): SAME,
    ("standard-rollback-by-0", "canary 0"): SAME,
    ("standard-rollback-by-0-drain", "canary 0"): SAME,
}  # type: ignore[dict-item]
# What never came to be what its own spec asks for.
NEVER = {
    ("knative-never-ready", "canary 20"),
    ("knative-image-not-there", "canary 20"),
    ("knative-image-not-there", "load_stopped"),
    # KServe 0.20.0 says that the canary is ready and has 25 %, and sends it nothing.
    ("standard-canary-in-0.20.0", "canary 25"),
    ("standard-canary-in-0.20.0", "load_stopped"),
}
# Seconds in which the gateway may still do what it did before.
PROPAGATION = 1.0


def makes_new(name: str, mark: str) -> bool | None:
    return DONE.get((name, mark), DONE.get(mark, "?"))  # type: ignore[arg-type, return-value, call-overload]


def share_asked(view: View) -> tuple[str, float]:
    """Who the load is to see with which share, from nothing but the spec and who was created."""
    obj: Any = view.inferenceservice
    if mode_of(obj) == STANDARD:
        canaries = obj["spec"].get("canary", [])
        version = obj["spec"]["predictor"]["model"]["storageUri"].rpartition("/")[2]
        share = 1.0 - sum(
            each["trafficPercent"] / 100
            for each in canaries
            if each["predictor"]["model"]["storageUri"].rpartition("/")[2] != version
        )
        return version, share
    predictor = obj["status"]["components"]["predictor"]
    return predictor["latestCreatedRevision"], obj["spec"]["predictor"].get("canaryTrafficPercent", 100) / 100


def contradicted(stretch: Stretch, since: float, who: str, share: float) -> list[str]:
    """The seconds of the load that say otherwise."""
    found = []
    for row in stretch.rows:
        if "load" not in row or row["at"] - 1 < since + PROPAGATION:
            continue
        counts = {name: n for name, n in row["load"]["revisions"].items() if name}
        total, mine = sum(counts.values()), counts.get(who, 0)
        # Six standard deviations: not once in all the seconds of all the recordings by chance.
        if total and abs(mine - total * share) > 6 * math.sqrt(total * share * (1 - share)):
            found.append(f"{row['at']}: {mine} of {total} by {who}, whose share is {share:.0%}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_a_success_is_what_the_load_sees_from_then_on(name: str) -> None:
    view = View()
    wrong, ended = [], {}
    baseline: str | None = None
    for stretch in stretches(name):
        new = makes_new(name, stretch.mark)
        assert new != "?", f"what does the mark {stretch.mark} do?"
        ended[stretch.mark] = False
        for row in seen(view, stretch.rows):
            outcome = inferenceservice.assess(
                view.inferenceservice, baseline, None, new is NEW, children=view.children
            )
            assert outcome.state is not State.FAILED, f"{row['at']}: {outcome.reason} {outcome.message}"
            if outcome.state is State.SUCCEEDED:
                ended[stretch.mark] = True
                wrong += contradicted(stretch, row["at"], *share_asked(view))
        baseline = view.snapshot.revisions.created or baseline
    assert wrong == []
    changed = {mark for mark in ended if makes_new(name, mark) is not NOTHING}
    assert {mark for mark in changed if not ended[mark]} == {
        mark for each, mark in NEVER if each == name
    } & changed


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_for_holds_until_the_next_change(name: str) -> None:
    """Fed as a wait feeds it: what has held for two seconds is not taken back before the next change."""
    view = View()
    baseline: str | None = None
    for stretch in stretches(name):
        new = makes_new(name, stretch.mark)
        stability = Stability(baseline, None, new is NEW)
        states = []
        moments = iter(row["at"] for row in seen(view, stretch.rows))
        now = stretch.begin
        for at in [*moments, stretch.until]:
            while now < at:
                now = min(at, now + 0.5)
                states.append(stability.feed(now, view.inferenceservice, view.children).state)
        if State.SUCCEEDED in states and new is not NOTHING:
            assert set(states[states.index(State.SUCCEEDED) :]) == {State.SUCCEEDED}, stretch.mark
        baseline = view.snapshot.revisions.created or baseline
