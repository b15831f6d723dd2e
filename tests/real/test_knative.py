# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative mode: what each way of rolling out loses, and who answers meanwhile.

A revision is always meant by its name; percents and tags say which part, not which revision.
"""

from __future__ import annotations

import pytest

from .knative import FOLLOW, canary, model, percent, start
from .rollout import Rollout, created, ready, routed, shares
from .stage import Real, Report


@pytest.mark.quick
def test_promoted_in_steps_and_the_old_revision_goes(rollout: Rollout, real: Real, report: Report) -> None:
    old, new, _third = start(rollout, real)
    began = canary(rollout, "canary 10 %", 10, model(real, "v2"))
    rollout.wait("10 % routed", routed({new: 10, old: 90}))
    rollout.hold(5)
    percent(rollout, 50)
    half = rollout.wait("50 % routed", routed({new: 50, old: 50}))
    rollout.hold(5)
    until = percent(rollout, None)
    full = rollout.wait("promoted", routed({new: 100}))
    rollout.hold(75)  # within it the old revision is scaled to nothing
    seen = rollout.end_load()
    report.add(seen, "0 of 11,704, gap 0.04 to 0.10 s")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of(new, 0, began) == 0
    assert seen.of(old, full + FOLLOW) == 0
    share = seen.of(new, half + FOLLOW, until) / (100 * (int(until) - int(half + FOLLOW) - 1))
    assert 0.3 < share < 0.7
    assert seen.gap < 1.0


@pytest.mark.quick
def test_rejected(rollout: Rollout, real: Real, report: Report) -> None:
    old, new, _third = start(rollout, real)
    canary(rollout, "canary 20 %", 20, model(real, "v2"))
    rollout.wait("20 % routed", routed({new: 20, old: 80}))
    rollout.hold(5)
    decided = percent(rollout, 0)
    gone = rollout.wait("rejected", routed({old: 100}))
    rollout.hold(10)
    seen = rollout.end_load()
    report.add(seen, "0 of 7,950 (with the next canary)", rollback_seconds=gone - decided)
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.by_revision[new] > 0
    assert seen.of(new, gone + FOLLOW) == 0


def test_the_next_canary_with_a_percent_gives_its_share_to_the_rejected_one(
    rollout: Rollout, real: Real, report: Report
) -> None:
    """Why the next one is created at 0 %: KServe's issue 2130."""
    old, rejected, third = start(rollout, real)
    canary(rollout, "canary 20 %", 20, model(real, "v2"))
    rollout.wait("20 % routed", routed({rejected: 20, old: 80}))
    percent(rollout, 0)
    gone = rollout.wait("rejected", routed({old: 100}))
    rollout.hold(5)
    again = canary(rollout, "next canary 30 %", 30, model(real, "v3", start_seconds="8"))
    settled = rollout.wait("30 % to the third", routed({third: 30, old: 70}))
    rollout.hold(5)
    seen = rollout.end_load()
    report.add(seen, "0 of 7,950; 30 % to the rejected one for 12 s")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of(rejected, gone + FOLLOW, again) == 0
    assert seen.of(rejected, again, settled) > 0
    assert seen.of(rejected, settled + FOLLOW) == 0


def test_canaries_created_at_zero_and_stepped_when_ready(
    rollout: Rollout, real: Real, report: Report
) -> None:
    old, rejected, third = start(rollout, real)
    canary(rollout, "canary 0 %", 0, model(real, "v2"))
    rollout.wait("the canary is ready", created(rejected))
    for share in (10, 50):
        percent(rollout, share)
        rollout.wait(f"{share} % routed", routed({rejected: share, old: 100 - share}))
        rollout.hold(4)
    percent(rollout, 0)
    gone = rollout.wait("rejected", routed({old: 100}))
    rollout.hold(4)
    canary(rollout, "next canary 0 %", 0, model(real, "v3", start_seconds="6"))
    rollout.wait("the next is ready", created(third))
    percent(rollout, 30)
    rollout.wait("30 % routed", routed({third: 30, old: 70}))
    rollout.hold(4)
    percent(rollout, 100)
    full = rollout.wait("promoted", routed({third: 100}))
    rollout.hold(6)
    seen = rollout.end_load()
    report.add(seen, "0 of 18,147; the rejected one gets nothing more")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of(rejected, gone + FOLLOW) == 0
    assert seen.of(old, full + FOLLOW) == 0


def test_rolled_back_after_promotion(rollout: Rollout, real: Real, report: Report) -> None:
    """0 % first; then the old model at 0, and at 100 when its new revision is ready."""
    old, bad, third = start(rollout, real)
    canary(rollout, "canary 20 %", 20, model(real, "v2"))
    rollout.wait("20 % routed", routed({bad: 20, old: 80}))
    rollout.hold(3)
    percent(rollout, 100)
    rollout.wait("promoted", routed({bad: 100}))
    rollout.hold(5)
    percent(rollout, 0)
    back = rollout.wait("rolled back", routed({old: 100}))
    rollout.hold(5)
    canary(rollout, "the old model at 0 %", 0, model(real, "v1"))
    rollout.wait("its revision is ready", created(third))
    percent(rollout, 100)
    rollout.wait("the old model at 100 %", routed({third: 100}))
    rollout.hold(6)
    seen = rollout.end_load()
    report.add(seen, "0 of 5,608; the bad one is not asked again")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of(bad, back + FOLLOW) == 0


def test_an_image_that_is_not_there(rollout: Rollout, real: Real, report: Report) -> None:
    old, _new, third = start(rollout, real)
    missing = model(real, "v2")
    missing["containers"][0]["image"] = "dev.local/not-there:1"
    canary(rollout, "canary 20 % without image", 20, missing)
    rollout.hold(20)
    assert not ready(rollout.get())
    assert shares(rollout.get()) == {old: 100}
    canary(rollout, "the old model at 0 %", 0, model(real, "v1"))
    rollout.hold(10)
    seen = rollout.end_load()
    report.add(seen, "0 lost; all from the baseline")
    assert seen.failed == 0, seen.ledger[:3]
    assert {old} <= set(seen.by_revision) <= {old, third}


def test_a_canary_that_errs(rollout: Rollout, real: Real, report: Report) -> None:
    old, new, _third = start(rollout, real)
    canary(rollout, "canary 30 %", 30, model(real, "v2", error_share="0.3"))
    rollout.wait("30 % routed", routed({new: 30, old: 70}))
    rollout.hold(10)
    percent(rollout, 0)
    gone = rollout.wait("rejected", routed({old: 100}))
    rollout.hold(6)
    seen = rollout.end_load()
    report.add(seen, "121 of the canary's 474 answers were 500")
    assert seen.failed > 0
    assert {loss["revision"] for loss in seen.ledger} == {new}
    assert {loss["status"] for loss in seen.ledger} == {500}
    assert all(loss["sent"] < gone + FOLLOW for loss in seen.ledger)


def test_a_new_model_without_a_percent(rollout: Rollout, real: Real, report: Report) -> None:
    old, new, _third = start(rollout, real)
    began = rollout.patch("v2 at once", {"predictor": model(real, "v2", start_seconds="4")})
    full = rollout.wait("it has all", routed({new: 100}))
    rollout.hold(75)
    seen = rollout.end_load()
    report.add(seen, "0 of 20,810 at 200 a second")
    assert seen.failed == 0, seen.ledger[:3]
    assert seen.of(new, 0, began + 4) == 0
    assert seen.of(old, full + FOLLOW) == 0


def test_servers_that_end_at_once(rollout: Rollout, real: Real, report: Report) -> None:
    """Knative's queue-proxy drains for them."""
    old, new, _third = start(rollout, real, abrupt="1")
    canary(rollout, "canary 30 %", 30, model(real, "v2", abrupt="1"))
    rollout.wait("30 % routed", routed({new: 30, old: 70}))
    rollout.hold(4)
    percent(rollout, 100)
    rollout.wait("promoted", routed({new: 100}))
    rollout.hold(75)
    seen = rollout.end_load()
    report.add(seen, "0 of 20,849 at 200 a second")
    assert seen.failed == 0, seen.ledger[:3]
