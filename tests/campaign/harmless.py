# SPDX-License-Identifier: GPL-3.0-or-later
"""Variations that cost no request: the verdict must be pass, or where nobody could see, inconclusive."""

from __future__ import annotations

import control
import evidence
import strikes
from fault import ITER8, LONG, SERVING, Fault, sandbox_fault
from judging import PASS, expect

# The traffic may have moved while the API server was away, or not.
_UNSEEN = expect(
    "inconclusive", says={"watched_throughout": "within the shift nothing watched the traffic"}, or_pass=True
)

VARIATIONS = (
    Fault("plain", "Nothing is done at all.", PASS, evidence.canary_answered),
    Fault(
        "slow-start",
        "The canary takes some seconds longer to load its model.",
        PASS,
        evidence.took_its_time,
        prepare=strikes.slow_start(3, 6),
    ),
    Fault(
        "latency-within-objective",
        "The canary is slower, but faster than the objective.",
        PASS,
        evidence.slow(100, 900),
        prepare=sandbox_fault("canary-slow", "seconds", 0.1, 0.4),
    ),
    Fault(
        "serving-controller-killed",
        "The serving controller is killed and restarted by its pod.",
        PASS,
        evidence.restarted,
        strike=strikes.at_iteration(2, 5, strikes.kill_pods(*SERVING)),
        settings=LONG,
    ),
    Fault(
        "iter8-controller-killed",
        "iter8's controller is killed and restarted by its pod.",
        PASS,
        evidence.restarted,
        strike=strikes.at_iteration(2, 5, strikes.kill_pods(*ITER8)),
        settings=LONG,
    ),
    Fault(
        "apiserver-restarted",
        "The API server is killed during the wait and comes back after up to two seconds.",
        _UNSEEN,
        evidence.noted,
        strike=strikes.at(strikes.watched, control.restart_apiserver, 0, 1),
        mend=lambda course: course.arena.mend_control_plane(),
        settings=LONG,
    ),
    Fault(
        "watch-expired",
        "The API server no longer knows the version from which the observer would go on: 410 Gone.",
        _UNSEEN,
        control.watch_expired,
        strike=strikes.at(strikes.watched, control.expire_watch, 0, 1),
        mend=control.forget,
        settings=LONG,
    ),
)
