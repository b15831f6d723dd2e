# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.timeline import (
    Marks,
    Moment,
    Phase,
    TimelineFormatError,
    marks,
    phases,
    read_timeline,
)

ROLES = {"a": "baseline", "b": "canary"}


def moment(time: float, source: str, event: str, **data: Any) -> Moment:
    return Moment(time, source, event, f"{event} at {time}", data)


def traffic(time: float, **split: Any) -> Moment:
    return moment(time, "inferenceservice", "traffic", traffic=split)


APPLIED = moment(10, "playbook", "canary_applied", baseline="a")
COMPLETED = moment(50, "experiment", "completed", winner="canary", message="done", failed=False)


def names(found: Marks, start: float = 0, end: float = 100) -> list[tuple[str, float, float]]:
    return [(phase.name, phase.start, phase.end) for phase in phases(found, ROLES, start, end)]


@pytest.mark.parametrize(
    "line",
    [
        3,
        None,
        [],
        {},
        {"time": 1},
        {"event": "x"},
        {"time": "1", "event": "x"},
        {"time": True, "event": "x"},
        {"time": float("nan"), "event": "x"},
    ],
)
def test_what_is_no_event_is_named_by_its_line(line: Any) -> None:
    with pytest.raises(TimelineFormatError, match="line 2 is not an event with a time"):
        read_timeline([{"time": 1, "event": "x"}, line])


def test_lines_are_read_as_they_stand() -> None:
    found = read_timeline(
        [{"time": 2, "source": "s", "event": "e", "text": "t", "data": {"k": 1}}, {"time": 1, "event": 3}]
    )
    assert found == (Moment(2.0, "s", "e", "t", {"k": 1}), Moment(1.0, "", "3", "", {}))


def test_marks_of_nothing() -> None:
    assert marks([]) == Marks()


def test_events_may_come_in_any_order() -> None:
    found = marks([COMPLETED, traffic(60, b=100), APPLIED, traffic(20, a=99, b=1)])
    assert [time for time, _ in found.traffic] == [20, 60]
    assert (found.canary_applied, found.settled) == (10, 60)


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
    ("splits", "settled"),
    [
        ([traffic(40, a=5, b=95), traffic(60, b=100)], 60),
        ([traffic(50, b=100)], 50),
        ([traffic(45, b=100), traffic(70, b=100)], 50),
        ([traffic(45, b=100), traffic(48, a=5, b=95), traffic(70, b=100), traffic(80, a=100)], 70),
        ([traffic(40, a=5, b=95)], None),
        ([traffic(40, a=5, b=95), traffic(60, a=50, b=50)], None),
        ([], None),
    ],
)
def test_when_the_traffic_settled(splits: list[Moment], settled: float | None) -> None:
    assert marks([*splits, COMPLETED]).settled == settled
    assert marks(splits).settled is None


def test_percentages_that_are_none_are_left_out() -> None:
    found = marks(
        [traffic(1, a=100, b=0, c="x", d=-1), moment(2, "inferenceservice", "traffic", traffic=None)]
    )
    assert found.traffic == ((1, {"a": 100}), (2, {}))


def test_the_completion_is_told_by_its_message_or_its_text() -> None:
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
    ("events", "blind"),
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
def test_the_times_without_a_watch(events: list[Moment], blind: tuple[tuple[float, float], ...]) -> None:
    assert marks(events).blind == blind


def test_without_a_canary_all_is_one_phase() -> None:
    assert phases(marks([traffic(20, b=100)]), ROLES, 1, 9) == [Phase("before the canary", 1, 9, {})]


def test_phases_from_before_to_after() -> None:
    found = marks([APPLIED, traffic(20, a=99, b=1), traffic(30, a=95, b=5), COMPLETED, traffic(60, b=100)])
    assert names(found) == [
        ("before the canary", 0, 10),
        ("canary at 0 %", 10, 20),
        ("canary at 1 %", 20, 30),
        ("canary at 5 %", 30, 50),
        ("promotion", 50, 60),
        ("after", 60, 100),
    ]
    assert [dict(p.weights) for p in phases(found, ROLES, 0, 100)][3:] == [
        {"baseline": 95, "canary": 5},
        {"baseline": 95, "canary": 5},
        {"canary": 100},
    ]


def test_phases_end_with_the_load_and_begin_with_it() -> None:
    found = marks([APPLIED, traffic(20, a=99, b=1), COMPLETED, traffic(60, b=100)])
    assert names(found, 20, 50) == [("canary at 1 %", 20, 50)]
    assert names(found, 15, 55) == [
        ("canary at 0 %", 15, 20),
        ("canary at 1 %", 20, 50),
        ("promotion", 50, 55),
    ]


def test_the_same_split_told_twice_is_one_phase() -> None:
    found = marks(
        [
            APPLIED,
            traffic(20, a=99, b=1),
            traffic(25, a=99, b=1),
            traffic(30, a=95, b=5),
            traffic(35, a=95, b=5),
        ]
    )
    assert names(found) == [
        ("before the canary", 0, 10),
        ("canary at 0 %", 10, 20),
        ("canary at 1 %", 20, 30),
        ("canary at 5 %", 30, 100),
    ]


def test_a_canary_that_lost_its_weight_again_is_at_zero() -> None:
    found = marks([APPLIED, traffic(20, a=95, b=5), traffic(30, a=100)])
    assert names(found)[2:] == [("canary at 5 %", 20, 30), ("canary at 0 %", 30, 100)]


@pytest.mark.parametrize(
    ("winner", "failed", "name"),
    [
        ("canary", False, "promotion"),
        ("baseline", False, "rollback"),
        (None, False, "rollback"),
        ("canary", True, "rollback"),
    ],
)
def test_what_follows_the_experiment_is_named_by_its_end(winner: str | None, failed: bool, name: str) -> None:
    end = moment(50, "experiment", "completed", winner=winner, failed=failed)
    assert names(marks([APPLIED, traffic(20, a=95, b=5), end]))[-1] == (name, 50, 100)


def test_a_revision_without_a_role_keeps_its_name() -> None:
    found = marks([APPLIED, traffic(20, a=50, b=20, c=30)])
    assert phases(found, ROLES, 0, 100)[-1] == Phase(
        "canary at 20 %", 20, 100, {"baseline": 50, "c": 30, "canary": 20}
    )


EXPERIMENT = moment(25, "playbook", "experiment_created")


@pytest.mark.parametrize(
    ("events", "since"),
    [
        ([APPLIED, traffic(20, a=99, b=1)], None),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT, traffic(26, a=95, b=5)], None),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT, traffic(25, a=95, b=5)], None),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT], 20),
        ([APPLIED, traffic(20, a=99, b=1), EXPERIMENT, COMPLETED], 20),
        (
            [
                APPLIED,
                traffic(20, a=99, b=1),
                moment(22, "inferenceservice", "ready"),
                EXPERIMENT,
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
def test_since_when_nothing_vouches_for_the_split(events: list[Moment], since: float | None) -> None:
    """The wait for the Experiment ended before it told any."""
    assert marks(events).unwatched_since == since


def test_when_a_watch_told_something_last() -> None:
    assert (
        marks([APPLIED, traffic(20, b=1), moment(22, "inferenceservice", "ready"), COMPLETED]).last_seen == 22
    )
    assert marks([traffic(5, a=100), APPLIED]).last_seen == 10
    assert marks([traffic(5, a=100)]).last_seen is None


def test_all_that_was_unseen_up_to_the_end_of_the_load() -> None:
    first = moment(20, "inferenceservice", "traffic", traffic={"b": 1}, first=True)
    found = marks([APPLIED, first, EXPERIMENT])
    assert found.unseen(100) == [(10, 20), (20, 100)]
    assert found.unseen(20) == [(10, 20)]
    assert marks([APPLIED, first]).unseen(100) == [(10, 20)]


def test_a_split_for_which_nothing_vouches_is_not_known() -> None:
    found = marks([APPLIED, traffic(20, a=99, b=1), EXPERIMENT, COMPLETED])
    assert names(found) == [
        ("before the canary", 0, 10),
        ("canary at 0 %", 10, 20),
        ("canary at an unknown weight", 20, 50),
        ("promotion", 50, 100),
    ]
    assert [dict(p.weights) for p in phases(found, ROLES, 0, 100)] == [
        {"baseline": 100},
        {"baseline": 100},
        {},
        {},
    ]
