# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults beside the way of the requests: Prometheus, iter8, the objects, the load generator, the clock."""

from __future__ import annotations

import clock
import control
import evidence
import strikes
from course import Course
from fault import ANALYTICS, LONG, PROMETHEUS, Fault
from judging import expect, losses

_NO_ANALYTICS = "Unable to contact analytics engine"
_NO_DATA = {
    "expected_winner": "no winner, where the canary was expected; no data for mean-latency of the canary",
    "traffic_moved": "ended with 100 % on the baseline {baseline}",
}
_NOT_MOVED = {"traffic_moved": "% on the baseline {baseline}"}


def _canary_applied(course: Course) -> None:
    course.wait_for("canary_applied")


_ITER8 = (
    Fault(
        "prometheus-down",
        "Prometheus is taken away before the Experiment.",
        expect(
            "fail",
            says=_NO_DATA,
            also=["enough_per_revision"],
        ),
        evidence.noted,
        strike=strikes.at(_canary_applied, control.scale_down(*PROMETHEUS)),
        mend=control.scale_up(*PROMETHEUS),
    ),
    Fault(
        "analytics-without-data",
        "Prometheus no longer scrapes the two revisions.",
        expect("fail", says=_NO_DATA, also=["enough_per_revision"]),
        evidence.noted,
        strike=strikes.at(_canary_applied, control.stop_scraping),
    ),
    Fault(
        "analytics-down",
        "iter8's analytics service is taken away.",
        expect(
            "fail",
            says={"experiment_succeeded": _NO_ANALYTICS, "run_not_stopped": _NO_ANALYTICS},
            also=["enough_per_revision", "load_spans_rollout", "traffic_moved"],
        ),
        evidence.noted,
        strike=strikes.at_iteration(2, 4, control.scale_down(*ANALYTICS)),
        mend=control.scale_up(*ANALYTICS),
        settings=LONG,
    ),
    Fault(
        "finish-handler-fails",
        "The handler that promotes the winner fails.",
        expect(
            "fail",
            says={
                "handlers_succeeded": "finish handler failed",
                "run_not_stopped": "its finish handler failed",
                **_NOT_MOVED,
            },
        ),
        control.finish_handler_failed,
        prepare=control.break_finish_handler,
        mend=control.mend_finish_handler,
        settings={"rate": 100},
    ),
    Fault(
        "wrong-revision-promoted",
        "The finish handler promotes the revision that did not win.",
        expect(
            "fail",
            says={
                "run_not_stopped": "not yet {canary} 100 %",
                "traffic_moved": "ended with 100 % on the baseline {baseline}",
            },
        ),
        control.wrong_one_promoted,
        prepare=control.invert_finish_handler,
        mend=control.mend_finish_handler,
        settings={"experiment_timeout": 60, "rate": 100},
    ),
    Fault(
        "promotion-taken-back",
        "After promotion all traffic is given back to the old revision.",
        expect(
            "fail",
            says={"traffic_moved": "ended with 100 % on the baseline {baseline}"},
        ),
        evidence.noted,
        strike=strikes.take_back,
        settings={"settle": 6},
    ),
)

_OBJECTS = (
    Fault(
        "experiment-deleted",
        "The Experiment is deleted in the middle.",
        expect(
            "fail",
            says={
                "nothing_deleted": "the Experiment was deleted",
                "run_not_stopped": "deleted",
                **_NOT_MOVED,
            },
            also=["evidence_complete", "load_spans_rollout"],
        ),
        evidence.noted,
        strike=strikes.at(strikes.watched, strikes.at_iteration(6, 9, strikes.delete_experiment)),
        settings={**LONG, "rate": 100},
    ),
    Fault(
        "inferenceservice-deleted",
        "The InferenceService is deleted in the middle.",
        expect(
            "fail",
            lost=losses("status 404", by=["nobody"], also=["status 503"], also_by=["canary", "baseline"]),
            says={"nothing_deleted": "the InferenceService was deleted", "run_not_stopped": "deleted"},
            also=["evidence_complete", "load_spans_rollout", "gap_short", "enough_per_revision"]
            + ["experiment_succeeded", "shares_as_set"],
            traces={"baseline": ["ending", "ended", "gone", "unready"]},
        ),
        evidence.lost,
        strike=strikes.at(strikes.watched, strikes.at_iteration(4, 6, strikes.delete_service)),
        settings=LONG,
    ),
)

_GENERATOR = (
    Fault(
        "load-generator-paused",
        "The load generator is stopped for three seconds, then goes on.",
        expect(
            "inconclusive",
            says={
                "generator_ran": "the load generator stood still for",
                "gap_short": "the generator itself stood still for",
                "generator_on_time": "late, more than",
            },
            also=["rate_kept"],
        ),
        evidence.silent,
        strike=strikes.at_iteration(2, 4, strikes.pause_load),
        settings=LONG,
    ),
    Fault(
        "load-generator-killed",
        "The load generator is killed.",
        expect(
            "inconclusive",
            says={"load_complete": "interrupted", "load_spans_rollout": "before the rollout did"},
            also=["enough_per_revision"],
        ),
        evidence.silent,
        # So late that what was measured before suffices for iter8's last words.
        strike=strikes.at_iteration(8, 10, strikes.kill_load),
        settings=LONG,
    ),
    Fault(
        "clock-stepped",
        "The wall clock of the playbook, the waits and the load generator is stepped by 15 to 60 s "
        "by a library before those processes; the machine's own clock and the cluster's stay as they are.",
        expect(
            "inconclusive",
            says={"clock_steady": "the clock was changed during the run"},
            # By the times as they were written, the load may well have ended before the rollout.
            # The shares cannot be judged then, which is told as such.
            # What was last seen before the step was seen long ago by the clock after it, and what was seen
            # last comes before it by its time; the Experiment may seem older than the run.
            also=[
                "evidence_complete",
                "load_spans_rollout",
                "requests_in_every_phase",
                "shares_as_set",
                "views_agree",
                "watched_throughout",
            ],
        ),
        clock.stepped,
        prepare=clock.prepare,
        strike=strikes.at(strikes.watched, strikes.at_iteration(3, 6, clock.step)),
        settings=LONG,
    ),
)

FAULTS = (*_ITER8, *_OBJECTS, *_GENERATOR)
