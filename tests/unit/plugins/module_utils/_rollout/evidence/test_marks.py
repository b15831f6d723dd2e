# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.intervals import Intervals
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.marks import Marks, marks
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.timeline import Moment
from ansible_collections.iter8.kfserving.tests.support.moments import (
    APPLIED,
    COMPLETED,
    EXPERIMENT_CREATED,
    moment,
    traffic,
)


def test_marks_of_nothing() -> None:
    assert marks([]) == Marks()


def test_events_may_come_in_any_order() -> None:
    found = marks([COMPLETED, traffic(60, b=100), APPLIED, traffic(20, a=99, b=1)])
    assert [time for time, _unused in found.traffic] == [20, 60]
    assert (found.canary_applied, found.shift_ended) == (10, 60)


@pytest.mark.parametrize(
    ("events", "created"),
    [
        ([APPLIED, moment(12, "inferenceservice", "revision_created", revision="b")], "b"),
        ([APPLIED, moment(10, "inferenceservice", "revision_created", revision="b")], "b"),
        ([APPLIED, moment(9, "inferenceservice", "revision_created", revision="b")], ""),
        ([APPLIED, moment(12, "inferenceservice", "revision_created", revision="a")], ""),
        ([moment(12, "inferenceservice", "revision_created", revision="b")], ""),
        (
            [
                APPLIED,
                *(
                    moment(t, "inferenceservice", "revision_created", revision=r)
                    for t, r in ((12, "b"), (13, "c"))
                ),
            ],
            "b",
        ),
    ],
)
def test_the_canary_is_the_first_other_revision_created_after_it_was_applied(
    events: list[Moment], created: str
) -> None:
    assert marks(events).created_revision == created


def test_who_the_baseline_was() -> None:
    assert marks([APPLIED]).baseline_revision == "a"
    assert marks([moment(10, "playbook", "canary_applied")]).baseline_revision == ""


@pytest.mark.parametrize(
    ("splits", "ended"),
    [
        ([traffic(40, a=5, b=95), traffic(60, b=100)], 60),
        ([traffic(50, b=100)], 50),
        ([traffic(45, b=100), traffic(70, b=100)], 50),
        ([traffic(45, b=100), traffic(48, a=5, b=95), traffic(70, b=100), traffic(80, a=100)], 80),
        ([traffic(60, b=100), traffic(65, b=100)], 60),
        ([traffic(60, b=100), traffic(65, a=100), traffic(70, b=100)], 70),
        ([traffic(40, a=5, b=95)], None),
        ([traffic(40, a=5, b=95), traffic(60, a=50, b=50)], None),
        ([], None),
    ],
)
def test_when_the_shift_ended(splits: list[Moment], ended: float | None) -> None:
    assert marks([*splits, COMPLETED]).shift_ended == ended
    assert marks(splits).shift_ended is None


def test_percentages_that_are_none_are_left_out() -> None:
    found = marks(
        [traffic(1, a=100, b=0, c="x", d=-1), moment(2, "inferenceservice", "traffic", traffic=None)]
    )
    assert found.traffic == ((1, {"a": 100}), (2, {}))


def test_the_completion_has_its_message_or_its_text() -> None:
    found = marks([COMPLETED]).completion
    assert found is not None
    assert (found.time, found.winner, found.failed, found.message) == (50, "canary", False, "done")
    other = marks([moment(50, "experiment", "completed", winner=None, failed=True)]).completion
    assert other is not None
    assert (other.winner, other.failed, other.message) == (None, True, "completed at 50")


def test_failed_handlers_deletions_and_the_stop() -> None:
    handlers = [
        moment(t, "experiment", "handler", name="x", status=s) for t, s in ((1, "failed"), (2, "succeeded"))
    ]
    gone = [moment(3, "experiment", "deleted"), moment(4, "inferenceservice", "deleted")]
    stop = moment(5, "playbook", "stopped", task="Wait")
    found = marks([*handlers, *gone, stop])
    assert [m.time for m in found.failed_handlers] == [1]
    assert [m.source for m in found.deletions] == ["experiment", "inferenceservice"]
    assert found.stopped == stop


@pytest.mark.parametrize(
    ("events", "unobserved"),
    [
        ([APPLIED, traffic(20, b=1), traffic(30, b=5)], ()),
        ([APPLIED, moment(20, "inferenceservice", "traffic", traffic={"b": 1}, first=True)], ((10, 20),)),
        (
            [
                APPLIED,
                traffic(20, b=1),
                moment(30, "inferenceservice", "revision_created", revision="b"),
                moment(30, "inferenceservice", "traffic", traffic={"b": 15}, first=True),
                traffic(40, b=25),
            ],
            ((20, 30),),
        ),
        ([moment(5, "inferenceservice", "traffic", traffic={"a": 100}, first=True), APPLIED], ()),
        ([moment(5, "inferenceservice", "traffic", traffic={"a": 100}, first=True)], ()),
        ([APPLIED, moment(10, "inferenceservice", "traffic", traffic={"a": 100}, first=True)], ()),
        ([APPLIED, moment(15, "experiment", "iteration", first=True)], ()),
    ],
)
def test_what_lies_between_two_watches_is_unobserved(
    events: list[Moment], unobserved: tuple[tuple[float, float], ...]
) -> None:
    assert tuple(marks(events).unobserved) == unobserved


@pytest.mark.parametrize(
    ("events", "since"),
    [
        ([APPLIED, traffic(20, a=99, b=1)], None),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT_CREATED, traffic(26, a=95, b=5)], None),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT_CREATED, traffic(25, a=95, b=5)], None),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT_CREATED], 20),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT_CREATED, COMPLETED], 20),
        (
            [
                APPLIED,
                traffic(20, a=99, b=1),
                moment(22, "inferenceservice", "ready"),
                EXPERIMENT_CREATED,
                moment(26, "inferenceservice", "ready"),
            ],
            22,
        ),
        ([APPLIED], 10),
        ([traffic(5, a=100), APPLIED], 10),
        ([traffic(5, a=100)], None),
        ([moment(5, "playbook", "experiment_created"), APPLIED, traffic(20, a=99, b=1)], None),
    ],
)
def test_since_when_nothing_bears_out_the_split(events: list[Moment], since: float | None) -> None:
    """The wait for the Experiment ended before it observed any."""
    assert marks(events).unobserved_since == since


def test_when_a_watch_observed_something_last() -> None:
    assert (
        marks([APPLIED, traffic(20, b=1), moment(22, "inferenceservice", "ready"), COMPLETED]).last_observed
        == 22
    )
    assert marks([traffic(5, a=100), APPLIED]).last_observed == 10
    assert marks([traffic(5, a=100)]).last_observed is None


def test_all_that_was_unobserved_up_to_the_end_of_the_load() -> None:
    first = moment(20, "inferenceservice", "traffic", traffic={"b": 1}, first=True)
    found = marks([APPLIED, first, EXPERIMENT_CREATED])
    assert list(found.unobserved_until(100)) == [(10, 20), (20, 100)]
    assert list(found.unobserved_until(20)) == [(10, 20)]
    assert marks([APPLIED, first]).unobserved_until(100) == Intervals([(10, 20)])
