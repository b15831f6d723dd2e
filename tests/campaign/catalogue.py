# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults and harmless variations of the campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import routes
import strikes
from course import Course
from judging import PASS, Expectation, expect

Step = Callable[[Course], None]


def _nothing(_: Course) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """One way to go wrong, or a harmless variation (which must pass).

    ``prepare`` acts before the rollout, ``strike`` waits for its moment during it; ``took_effect`` gives the
    evidence, or raises NoEffect; ``mend`` undoes what a later run would suffer from, whatever happened.
    """

    name: str
    summary: str
    expected: Expectation
    took_effect: Callable[[Course], str]
    prepare: Step = _nothing
    strike: Step = _nothing
    mend: Step = _nothing
    settings: Mapping[str, Any] = field(default_factory=dict)


# What a canary that lost may also leave: too few requests to it, traffic back on the baseline.
_LOST = ("expected_winner", "traffic_moved", "enough_per_revision")
# What a run that was cut short leaves open.
_CUT = ("run_not_stopped", "evidence_complete", "load_spans_rollout", "experiment_succeeded", "traffic_moved")

_GATEWAY = ("istio-system", "app=istio-ingressgateway", "the gateway's Envoy")
_SERVING = ("kfserving-system", "", "the serving controller")
_ITER8 = ("iter8-system", "app=iter8-controller-manager", "iter8's controller")
_ANALYTICS = ("deployment", "iter8-system", "iter8-analytics")
_LONG = {"iterations": 12}


def _sandbox_fault(name: str, parameter: str, low: float, high: float) -> Step:
    """Switch a fault of the sandbox on, with a parameter of the seed's."""

    def prepare(course: Course) -> None:
        course.arena.set_faults({name: {parameter: round(course.random.uniform(low, high), 2)}})

    return prepare


def _slow_start(course: Course) -> None:
    seconds = course.random.randint(3, 6)
    course.notes["slow"] = seconds
    course.settings["canary_env"] = [{"name": "MODEL_LOAD_SECONDS", "value": str(seconds)}]


_FAULTS = (
    Fault(
        "canary-5xx",
        "The canary answers 500 to a share of its predictions.",
        expect("fail", "nothing_lost", "expected_winner", "traffic_moved", also=_LOST),
        strikes.lost,
        prepare=_sandbox_fault("canary-5xx", "share", 0.3, 0.9),
    ),
    Fault(
        "canary-crash-loops",
        "The canary's process is killed as often as it starts.",
        expect("fail", "run_not_stopped", also=(*_CUT, "ready_at_end", "canary_got_traffic", *_LOST)),
        strikes.noted,
        strike=strikes.crash_loop,
        settings={"canary_timeout": 12},
    ),
    Fault(
        "canary-killed",
        "The canary's process is killed once, while it has traffic.",
        expect("fail", "nothing_lost", also=(*_LOST, "ready_at_end")),
        strikes.lost,
        strike=strikes.at_iteration(3, 5, strikes.kill_canary),
        settings=_LONG,
    ),
    Fault(
        "baseline-killed",
        "The baseline's process is killed during the shift.",
        expect("fail", "nothing_lost", also=(*_LOST, "gap_short", "ready_at_end")),
        strikes.lost,
        strike=strikes.at_iteration(1, 3, strikes.kill_baseline),
        settings=_LONG,
    ),
    Fault(
        "old-revision-killed-before-drained",
        "The old revision's process is killed at promotion, before the traffic has left it.",
        expect("fail", "nothing_lost", also=(*_LOST, "ready_at_end")),
        strikes.lost,
        strike=strikes.at(Course.wait_completed, strikes.kill_baseline),
        settings={"rate": 100},
    ),
    Fault(
        "gateway-restarted",
        "Envoy is killed while the weights move.",
        expect("fail", "nothing_lost", also=("gap_short", *_LOST, "rate_kept", "run_not_stopped")),
        strikes.restarted,
        strike=strikes.at_iteration(2, 4, strikes.kill_pods(*_GATEWAY)),
        settings=_LONG,
    ),
    *(
        Fault(
            f"route-gap-{milliseconds}ms",
            f"For {milliseconds} ms the gateway has no route to the model: 404.",
            expect("fail", "nothing_lost", also=_LOST),
            strikes.lost,
            strike=strikes.at_iteration(2, 6, routes.no_route(milliseconds / 1000)),
            settings={**_LONG, "rate": 100},
        )
        for milliseconds in (50, 200, 1000)
    ),
    Fault(
        "endpoints-gap",
        "For 200 ms the gateway has no endpoint of either revision: 503.",
        expect("fail", "nothing_lost", also=_LOST),
        strikes.lost,
        strike=strikes.at_iteration(2, 6, routes.no_endpoint(0.2)),
        settings={**_LONG, "rate": 100},
    ),
    Fault(
        "wrong-shares",
        "The gateway gives the canary far more than its weight, for seven seconds.",
        expect("fail", "shares_as_set"),
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
            "fail", "none_at_weight_zero", "expected_winner", "traffic_moved", also=(*_LOST, "shares_as_set")
        ),
        routes.misrouted(Course.canary),
        prepare=_sandbox_fault("canary-slow", "seconds", 1.2, 1.5),
        strike=strikes.at(
            lambda course: course.wait_for_task("Let the new revision answer for a while"),
            routes.misroute(lambda course: {course.canary(): 30, course.baseline(): 70}, 6),
        ),
        settings={"settle": 10},
    ),
    Fault(
        "hung-backend",
        "The canary's process stands still, with connections open.",
        expect("fail", "nothing_lost", also=(*_LOST, "ready_at_end", "gap_short", "run_not_stopped")),
        strikes.lost,
        strike=strikes.at_iteration(3, 5, strikes.hang_canary),
        mend=strikes.resume,
        settings={**_LONG, "experiment_timeout": 30},
    ),
    Fault(
        "analytics-without-data",
        "Prometheus no longer scrapes the two revisions.",
        expect("fail", "expected_winner", "traffic_moved", also=_LOST),
        strikes.noted,
        strike=strikes.at(lambda course: course.wait_for("canary_applied"), strikes.stop_scraping),
    ),
    Fault(
        "analytics-down",
        "iter8's analytics service is taken away.",
        expect("fail", "experiment_succeeded", also=(*_LOST, *_CUT)),
        strikes.noted,
        strike=strikes.at_iteration(2, 4, strikes.scale_down(*_ANALYTICS)),
        mend=strikes.scale_up(*_ANALYTICS),
        settings=_LONG,
    ),
    Fault(
        "finish-handler-fails",
        "The handler that promotes the winner fails.",
        expect("fail", "handlers_succeeded", also=("run_not_stopped", *_LOST)),
        strikes.finish_handler_failed,
        prepare=strikes.break_finish_handler,
        mend=strikes.mend_finish_handler,
        settings=_LONG,
    ),
    Fault(
        "experiment-deleted",
        "The Experiment is deleted in the middle.",
        expect("fail", "nothing_deleted", also=(*_CUT, "enough_per_revision")),
        strikes.noted,
        strike=strikes.at(strikes.watched, strikes.at_iteration(4, 6, strikes.delete_experiment)),
        settings=_LONG,
    ),
    Fault(
        "inferenceservice-deleted",
        "The InferenceService is deleted in the middle.",
        expect("fail", "nothing_deleted", "nothing_lost", also=(*_CUT, *_LOST, "gap_short", "ready_at_end")),
        strikes.lost,
        strike=strikes.at(strikes.watched, strikes.at_iteration(4, 6, strikes.delete_service)),
        settings=_LONG,
    ),
    Fault(
        "wrong-revision-promoted",
        "After promotion all traffic is given back to the old revision.",
        expect("fail", "traffic_moved", also=("shares_as_set", "none_at_weight_zero")),
        strikes.noted,
        strike=strikes.take_back,
        settings={"settle": 6},
    ),
    Fault(
        "load-generator-paused",
        "The load generator is stopped for three seconds, then goes on.",
        expect("inconclusive", "generator_ran", also=("rate_kept", "generator_on_time", "gap_short")),
        strikes.silent,
        strike=strikes.at_iteration(2, 4, strikes.pause_load),
        settings=_LONG,
    ),
    Fault(
        "load-generator-killed",
        "The load generator is killed.",
        expect("inconclusive", "load_complete", also=("load_spans_rollout", "enough_per_revision")),
        strikes.silent,
        strike=strikes.at_iteration(2, 4, strikes.kill_load),
        settings=_LONG,
    ),
)

_HARMLESS = (
    Fault("plain", "Nothing is done at all.", PASS, strikes.canary_answered),
    Fault(
        "slow-start",
        "The canary takes some seconds longer to load its model.",
        PASS,
        strikes.took_its_time,
        prepare=_slow_start,
    ),
    Fault(
        "latency-within-objective",
        "The canary is slower, but faster than the objective.",
        PASS,
        strikes.slow(100, 900),
        prepare=_sandbox_fault("canary-slow", "seconds", 0.1, 0.4),
    ),
    Fault(
        "serving-controller-killed",
        "The serving controller is killed and restarted by its pod.",
        PASS,
        strikes.restarted,
        strike=strikes.at_iteration(2, 5, strikes.kill_pods(*_SERVING)),
        settings=_LONG,
    ),
    Fault(
        "iter8-controller-killed",
        "iter8's controller is killed and restarted by its pod.",
        PASS,
        strikes.restarted,
        strike=strikes.at_iteration(2, 5, strikes.kill_pods(*_ITER8)),
        settings=_LONG,
    ),
    Fault(
        "apiserver-restarted",
        "The API server is killed during the wait and comes back.",
        PASS,
        strikes.noted,
        strike=strikes.at(strikes.watched, strikes.restart_apiserver, 1.0),
        mend=lambda course: course.arena.mend_control_plane(),
        settings={"iterations": 25},
    ),
)

FAULTS = (*_FAULTS, *_HARMLESS)
