# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on the way of the requests: the revisions' processes, the gateway, its routes and connections."""

from __future__ import annotations

import connections
import evidence
import routes
import strikes
from course import Course
from fault import GATEWAY, LONG, Fault, sandbox_fault
from judging import expect, losses

# Inconclusive beside the failure, where the canary never came to its Experiment.
_NO_EXPERIMENT = ("evidence_complete", "load_spans_rollout", "canary_got_traffic")
# What the observer sees of a pod whose process was killed, and of one that stands still or goes.
_KILLED = ("ended", "restarted", "unready", "stuck")
_ROLLED_BACK = {"traffic_moved": "100 % on the baseline {baseline}"}

_CANARY = (
    Fault(
        "canary-5xx",
        "The canary answers 500 to a share of its predictions.",
        expect(
            "fail",
            lost=losses("status 500", by=["canary"]),
            says={"expected_winner": "error-rate", **_ROLLED_BACK},
            also=["enough_per_revision"],
        ),
        evidence.lost,
        prepare=sandbox_fault("canary-5xx", "share", 0.3, 0.9),
        # Enough answers of the canary for Prometheus to have seen its errors before the winner is chosen.
        settings={**LONG, "rate": 100},
    ),
    Fault(
        "canary-slow",
        "The canary takes longer than the objective of 1000 ms.",
        expect(
            "fail",
            says={"expected_winner": "mean-latency", **_ROLLED_BACK},
            also=["enough_per_revision"],
        ),
        evidence.slow(1000, 3000),
        prepare=sandbox_fault("canary-slow", "seconds", 1.2, 1.8),
    ),
    Fault(
        "canary-never-ready",
        "The canary never becomes ready.",
        expect(
            "fail",
            says={"run_not_stopped": "{canary} is not ready yet", "ready_at_end": "", **_ROLLED_BACK},
            also=_NO_EXPERIMENT,
        ),
        evidence.not_ready,
        prepare=sandbox_fault("canary-never-ready"),
        settings={"canary_timeout": 8},
    ),
    Fault(
        "canary-crash-loops",
        "The canary's process is killed as often as it starts.",
        expect(
            "fail",
            says={"run_not_stopped": "CrashLoopBackOff", "ready_at_end": "", **_ROLLED_BACK},
            also=_NO_EXPERIMENT,
        ),
        evidence.noted,
        strike=strikes.crash_loop,
        settings={"canary_timeout": 12, "rate": 100},
    ),
    Fault(
        "canary-truncates",
        "The canary breaks off in the middle of some of its answers; the gateway passes on what there is.",
        expect("fail", lost=losses("truncated", by=["canary"])),
        evidence.broken_off,
        prepare=sandbox_fault("canary-truncated", "share", 0.05, 0.3),
    ),
    Fault(
        "canary-killed",
        "The canary's process is killed once, while it has traffic.",
        expect("fail", lost=losses("status 503", by=["canary"]), traces={"canary": _KILLED}),
        evidence.lost,
        strike=strikes.at_iteration(3, 5, strikes.kill_canary),
        settings=LONG,
    ),
    Fault(
        "hung-backend",
        "The canary's process stands still, with connections open.",
        expect(
            "fail",
            lost=losses("timeout", "status 503", by=["nobody", "canary"]),
            says={
                "run_not_stopped": "finish handler has not finished",
                "traffic_moved": "where 100 % on the canary {canary} was expected",
                "ready_at_end": "not ready at the end",
            },
            # With what it answered before the analytics either still has data of it, or none. Its weight may
            # grow to 95 %, and at two answers a second gaps of more than two seconds come by chance.
            also=["expected_winner", "enough_per_revision", "gap_short"],
            traces={"canary": ["unready"]},
        ),
        evidence.lost,
        strike=strikes.at_iteration(3, 5, strikes.hang_canary),
        mend=strikes.resume,
        settings={**LONG, "experiment_timeout": 30},
    ),
)

_BASELINE = (
    Fault(
        "baseline-killed",
        "The baseline's process is killed during the shift.",
        expect(
            "fail",
            lost=losses("status 503", by=["baseline"]),
            traces={"baseline": _KILLED},
            # While the canary has 5 % of the traffic all of one kind of connection may be lost for 2 s.
            also=["gap_short"],
        ),
        evidence.lost,
        strike=strikes.at_iteration(1, 3, strikes.kill_baseline),
        settings=LONG,
    ),
    Fault(
        "old-revision-killed-before-drained",
        "The old revision's process is killed at promotion, before the traffic has left it.",
        expect(
            "fail",
            lost=losses("status 503", by=["baseline"], phase="promotion"),
            # The controller may have begun to end it by then.
            traces={"baseline": [*_KILLED, "ending", "gone"]},
        ),
        evidence.lost,
        strike=strikes.at(Course.wait_completed, strikes.kill_baseline),
        # Few enough iterations that the old revision still has a good share of the traffic at their end.
        settings={"iterations": 8, "rate": 100},
    ),
)

_GATEWAY = (
    Fault(
        "gateway-restarted",
        "Envoy is killed while the weights move.",
        expect(
            "fail",
            lost=losses("connect", also=["reset", "stale_keepalive", "truncated"], by=["nobody"]),
            also=["gap_short"],
        ),
        evidence.restarted,
        strike=strikes.at_iteration(2, 4, strikes.kill_pods(*GATEWAY)),
        settings=LONG,
    ),
    Fault(
        "connections-reset-at-promotion",
        "The gateway's connections with clients are reset during the promotion, amid requests.",
        expect("fail", lost=losses("reset", also=["stale_keepalive"], by=["nobody"], phase="promotion")),
        evidence.client_gone,
        prepare=sandbox_fault("canary-slow", "seconds", 0.2, 0.4),
        strike=strikes.at(Course.wait_completed, connections.reset_all, 0.2, 0.4),
        # Long enough for the wait to see the promotion as it happens.
        settings={**LONG, "rate": 100},
    ),
    Fault(
        "stale-keep-alive",
        "The gateway ends kept connections just when a request comes on them.",
        expect("fail", lost=losses("stale_keepalive", by=["nobody"])),
        evidence.noted,
        strike=strikes.at_iteration(2, 6, connections.reset_as_a_request_comes),
        settings={**LONG, "rate": 100},
    ),
    *(
        Fault(
            f"route-gap-{milliseconds}ms",
            f"For {milliseconds} ms the gateway has no route to the model: 404.",
            expect("fail", lost=losses("status 404", by=["nobody"])),
            evidence.lost,
            strike=strikes.at_iteration(2, 6, routes.no_route(milliseconds / 1000)),
            settings={**LONG, "rate": 100},
        )
        for milliseconds in (50, 200, 1000)
    ),
    Fault(
        "endpoints-gap",
        "For 200 ms the gateway has no endpoint of either revision: 503.",
        expect("fail", lost=losses("status 503", by=["baseline"], also_by=["canary"])),
        evidence.lost,
        strike=strikes.at_iteration(2, 6, routes.no_endpoint(0.2)),
        settings={**LONG, "rate": 100},
    ),
    Fault(
        "traffic-before-ready",
        "The gateway gives the canary traffic while its process runs and is not ready.",
        expect(
            "fail",
            lost=losses("status 503", by=["canary"]),
            says={"none_at_weight_zero": "the canary {canary} answered"},
            also=["shares_as_set"],
        ),
        evidence.lost,
        prepare=strikes.slow_start(12, 14),
        strike=routes.not_ready(30, 2),
    ),
    Fault(
        "wrong-shares",
        "The gateway gives the canary far more than its weight, for seven seconds.",
        expect("fail", says={"shares_as_set": "the canary answered"}),
        routes.misrouted(Course.canary),
        strike=strikes.at(
            strikes.watched,
            routes.misroute(lambda course: {course.canary(): 95, course.baseline(): 5}, 7),
        ),
        settings={"iterations": 20},
    ),
    Fault(
        "canary-gets-traffic-at-weight-0",
        "After the roll-back of a slow canary the gateway still gives it traffic.",
        expect(
            "fail",
            says={
                "none_at_weight_zero": "the canary {canary} answered",
                "expected_winner": "mean-latency",
                **_ROLLED_BACK,
            },
            also=["shares_as_set", "enough_per_revision"],
        ),
        routes.misrouted(Course.canary),
        prepare=sandbox_fault("canary-slow", "seconds", 1.2, 1.5),
        strike=strikes.at(
            lambda course: course.wait_for_task("Let the new revision answer for a while"),
            routes.misroute(lambda course: {course.canary(): 30, course.baseline(): 70}, 6),
        ),
        settings={"settle": 10},
    ),
)

FAULTS = (*_CANARY, *_BASELINE, *_GATEWAY)
