# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for the end of a rollout that somebody else drives, on what real KServe did."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.change import (
    PromotedWaiter,
    RolledBackWaiter,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.inferenceservice import (
    CHILDREN,
    FEED,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View
from ansible_collections.iter8.kfserving.tests.support.recordings import NAMES, rows_of

# When each is over: after which mark at the earliest. None is never.
PROMOTED_AFTER = {
    "knative-abrupt": "promote",
    "knative-canary-at-zero": "promote",
    "knative-no-canary": "v2 at once",
    "knative-promote": "promote",
    "knative-promote-500s": "promote",
    "knative-reject-then-next": "promote",
    "knative-rollback-after-promotion": "promote",
    "knative-rollback-after-scale-down": "promote",
    "knative-rollback-and-clean-up": "promote to 100",
    "standard-careful": "rename",
    "standard-careful-drain": "rename",
    "standard-inplace": "remove the canary",
    "standard-naive": "promote in one patch",
    "standard-naive-drain": "promote in one patch",
    "standard-rolling": "v2 at once",
    "standard-rolling-drain": "v2 at once",
}
ROLLED_BACK_AFTER = {
    "knative-canary-at-zero": "reject",
    "knative-canary-errors": "reject",
    "knative-never-ready": "roll back",
    "knative-reject-then-next": "reject",
    "knative-rollback-after-promotion": "roll back by 0",
    "knative-rollback-after-scale-down": "roll back by 0",
    "knative-rollback-and-clean-up": "roll back by 0",
    "standard-rollback": "remove the canary",
    "standard-rollback-by-0": "canary 0",
    "standard-rollback-by-0-drain": "canary 0",
}


def over_after(name: str, kind: str) -> str | None:
    """The last mark before the wait of this kind is over, fed with the recording from the load's start on."""
    rows = rows_of(name)
    begun = next(index for index, row in enumerate(rows) if row.get("mark") == "load_started")
    view = View()
    for row in rows[:begun]:
        if "object" in row:
            view.take(row["object"], row.get("gone") is True)
    baseline = view.snapshot.revisions.serving
    options = {"baseline_revision": baseline, "stable_seconds": 2.0, "children": CHILDREN}
    wait = (
        PromotedWaiter("m", stuck_seconds=60.0, **options)
        if kind == "promoted"
        else RolledBackWaiter("m", after_change=False, stuck_seconds=60.0, **options)
    )
    mark, now = None, 0.0
    for feed in (FEED, *CHILDREN):
        wait.feed(Notice(feed, "synced", 0.0))
    for index, row in enumerate(rows):
        while index > begun and now < row["at"]:
            now = min(now + 0.5, row["at"])
            end = wait.decide(now)
            if end is not None:
                return mark if end.outcome == "succeeded" else f"{mark}: {end.reason}"
        now = row["at"]
        mark = row.get("mark", mark)
        if "object" in row:
            kind_of = "deleted" if row.get("gone") else "present"
            feed = row["object"]["kind"].lower()
            wait.feed(Notice(feed, kind_of, now, row["object"]["metadata"]["name"], row["object"]))
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_promotion_is_over_when_it_is(name: str) -> None:
    assert over_after(name, "promoted") == PROMOTED_AFTER.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_roll_back_is_over_when_it_is(name: str) -> None:
    assert over_after(name, "rolled_back") == ROLLED_BACK_AFTER.get(name)
