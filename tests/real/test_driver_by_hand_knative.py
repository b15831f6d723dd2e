# SPDX-License-Identifier: GPL-3.0-or-later
"""A rejected canary and the next one, by hand as in KServe's documentation and by the driver, at one load.

By hand means: `kubectl patch` of the model together with its `canaryTrafficPercent`, 0 to take it back, and
the next model with its percent again. What a person needs to find out that the canary errs is no part of it:
it is given as long as the driver's first step lasts at least.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .judged import RATE, Judge, Judged
from .knative import FOLLOW, baseline, canary, model, percent
from .rollout import Rollout, Seen, routed
from .stage import Real, Report

_TABLE = Path(__file__).resolve().parents[2] / "build/real/by-hand.json"
# The next one needs a while, during which somebody has its share.
_BAD = {"error_share": "0.2"}
_NEXT = {"start_seconds": "8"}
_STEPS = [{"percent": 20, "seconds": 5}, {"percent": 50, "seconds": 5}]


@dataclass
class Side:
    """`asked` are requests to the rejected revision once the roll-back was in force, and `lost` those of all
    requests since then that failed. `seconds` is from the patch until the load had its last answer of that
    revision, to the second."""

    who: str
    requests: int
    asked: int
    lost: int
    seconds: float


def _last(seen: Seen, revision: str, since: float, until: float) -> float:
    """Until when a revision answered, in seconds after `since`; `until` ends what counts."""
    answered = [
        second + 1
        for second, counts in seen.seconds.items()
        if counts.get(revision) and since <= second + 1 and second <= until
    ]
    return max([0.0, *(each - since for each in answered)])


def _by_hand(rollout: Rollout, real: Real, report: Report) -> Side:
    old, bad, third = baseline(rollout, real)
    rollout.start_load(RATE)
    rollout.hold(2)
    share = _STEPS[0]["percent"]
    canary(rollout, f"canary {share} %", share, model(real, "v2", **_BAD))
    rollout.wait(f"{share} % routed", routed({bad: share, old: 100 - share}))
    rollout.hold(_STEPS[0]["seconds"])
    decided = percent(rollout, 0)
    gone = rollout.wait("rejected", routed({old: 100}))
    rollout.hold(5)
    again = canary(rollout, f"next canary {share} %", share, model(real, "v3", **_NEXT))
    rollout.wait(f"{share} % to the next one", routed({third: share, old: 100 - share}))
    rollout.hold(_STEPS[0]["seconds"])
    percent(rollout, _STEPS[1]["percent"])
    half = _STEPS[1]["percent"]
    rollout.wait(f"{half} % routed", routed({third: half, old: 100 - half}))
    rollout.hold(_STEPS[1]["seconds"])
    percent(rollout, None)
    rollout.wait("promoted", routed({third: 100}))
    rollout.hold(5)
    seen = rollout.end_load()
    report.add(seen, "-", rollback_seconds=gone - decided)
    lost = [each for each in seen.ledger if each["sent"] > gone + FOLLOW]
    return Side(
        "by hand",
        seen.requests,
        seen.of(bad, gone + FOLLOW),
        len(lost),
        round(_last(seen, bad, decided, again), 1),
    )


def _patched(judged: Judged, move: str) -> float:
    return float(next(patch["at"] for patch in judged.driver["patches"] if patch["move"] == move))


def _driven(rollout: Rollout, real: Real, judge: Judge) -> Side:
    _old, bad, _third = baseline(rollout, real)
    first = judge.drive(
        model(real, "v2", **_BAD), before="-", rollout_steps=_STEPS, rollout_expect="rolled_back"
    )
    assert first.driver["outcome"] == "rolled_back", f"{first.reasons}\n{first.driver['cause']}"
    decided = _patched(first, "0 %")
    gone = decided + first.driver["rollback_seconds"]
    again = judge.drive(model(real, "v3", **_NEXT), before="-", rollout_steps=_STEPS)
    assert again.driver["outcome"] == "promoted", f"{again.reasons}\n{again.driver['cause']}"
    lost = [each for each in first.seen.ledger if each["sent"] > gone + FOLLOW] + again.seen.ledger
    return Side(
        "by the driver",
        first.seen.requests + again.seen.requests,
        first.seen.of(bad, gone + FOLLOW) + again.seen.by_revision.get(bad, 0),
        len(lost),
        round(_last(first.seen, bad, decided, float("inf")), 1),
    )


def test_by_hand_and_by_the_driver(rollout: Rollout, real: Real, report: Report, judge: Judge) -> None:
    hand = _by_hand(rollout, real, report)
    rollout.delete()
    driven = _driven(rollout, real, judge)
    _TABLE.parent.mkdir(parents=True, exist_ok=True)
    _TABLE.write_text(json.dumps([asdict(hand), asdict(driven)], indent=2) + "\n", encoding="utf-8")
    print(f"{'':14} {'requests':>9} {'to the rejected':>16} {'lost since':>11} {'seconds back':>13}")
    for side in (hand, driven):
        print(f"{side.who:14} {side.requests:9} {side.asked:16} {side.lost:11} {side.seconds:13.1f}")
    assert (driven.asked, driven.lost) == (0, 0)
    assert hand.asked > 0
    assert hand.lost > 0
    assert driven.seconds < 30
