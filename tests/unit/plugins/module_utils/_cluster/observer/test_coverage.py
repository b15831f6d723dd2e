# SPDX-License-Identifier: GPL-3.0-or-later
"""What the observer did not see, from proofs of what it did."""

from __future__ import annotations

import math

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.coverage import (
    ABSENT,
    APART_SECONDS,
    POLL_SECONDS,
    QUIET_SECONDS,
    Coverage,
    Poll,
    Proof,
    UnobservedInterval,
)
from hypothesis import given
from hypothesis import strategies as st


def test_proofs_at_their_pace_leave_nothing_unobserved():
    coverage = Coverage(100.0)
    for number in range(1, 1000):
        assert coverage.proved(Proof(100 + number * POLL_SECONDS, math.inf)) == []
    assert coverage.open(100 + 1000 * POLL_SECONDS) is None


def test_proofs_too_far_apart_leave_what_lies_between_them():
    coverage = Coverage(100.0)
    for number in range(1, 6):
        coverage.proved(Proof(100 + number * 0.2, math.inf))
    (found,) = coverage.proved(Proof(104.5, math.inf))
    assert (found.start, found.end) == (101.0, 104.5)
    assert "no proof" in found.why


def test_where_nothing_changed_a_short_gap_is_only_a_busy_machine():
    coverage = Coverage(100.0)
    assert coverage.proved(Proof(100 + 0.9 * QUIET_SECONDS, 99.0)) == []
    assert coverage.proved(Proof(coverage.until + 1.1 * APART_SECONDS, math.inf)) != []
    (found,) = coverage.proved(Proof(coverage.until + 1.1 * QUIET_SECONDS, 99.0))
    assert found.unchanged


def test_what_the_watch_told_within_a_gap_has_not_changed_since():
    coverage = Coverage(100.0)
    before, after = coverage.proved(Proof(103.0, 100.7))
    assert (before.start, before.end, before.unchanged) == (100.0, 100.7, False)
    assert (after.start, after.end, after.unchanged) == (100.7, 103.0, True)
    (before,) = coverage.proved(Proof(104.0, 103.6))
    assert (before.start, before.end, before.unchanged) == (103.0, 103.6, False)
    assert coverage.proved(Proof(105.0, 104.0 + 0.9 * APART_SECONDS)) == []


def test_what_is_absent_may_have_been_there_in_between():
    coverage = Coverage(100.0)
    (found,) = coverage.proved(Proof(103.0, 100.7, lasting=False))
    assert (found.start, found.end, found.unchanged) == (100.0, 103.0, False)
    (found,) = coverage.proved(Proof(105.0, 100.7, lasting=False))
    assert found.unchanged, "nothing was told since the last proof"


def test_a_gap_in_which_the_object_changed_or_the_watch_was_lost_proves_nothing():
    coverage = Coverage(100.0)
    (found,) = coverage.proved(Proof(103.0, math.inf))
    assert not found.unchanged
    for told in (99.0, 103.5):
        coverage.lost(coverage.until + 0.2, "the connection was cut")
        (found,) = coverage.proved(Proof(coverage.until + 2.0, told))
        assert not found.unchanged
        assert found.end == coverage.until


def test_a_watch_that_is_known_to_have_ended_is_unobserved_from_then_on_however_short():
    coverage = Coverage(100.0)
    coverage.proved(Proof(100.2, math.inf))
    coverage.lost(100.3, "the connection was cut")
    assert coverage.proved(Proof(100.5, math.inf)) == [
        UnobservedInterval(100.3, 100.5, "the connection was cut")
    ]
    assert coverage.proved(Proof(100.6, math.inf)) == []


def test_an_end_found_after_a_silence_without_proofs_says_nothing_of_the_silence():
    coverage = Coverage(100.0)
    coverage.proved(Proof(100.2, math.inf))
    coverage.lost(135.2, "nothing came for 35 s")
    assert coverage.proved(Proof(136.0, math.inf)) == [
        UnobservedInterval(100.2, 136.0, "nothing came for 35 s")
    ]


def test_a_watch_that_is_opened_again_at_once_has_missed_nothing():
    coverage = Coverage(100.0)
    coverage.lost(100.3, "its window is over")
    assert coverage.proved(Proof(100.31, math.inf)) == []


def test_a_second_loss_before_a_proof_is_still_the_first():
    coverage = Coverage(100.7)
    coverage.lost(101.0, "first")
    coverage.lost(102.0, "second")
    assert coverage.proved(Proof(103.0, math.inf)) == [UnobservedInterval(101.0, 103.0, "first")]


def test_what_is_unobserved_as_of_now_is_told_before_it_ends():
    coverage = Coverage(100.0)
    assert coverage.open(100 + 0.9 * QUIET_SECONDS) is None
    found = coverage.open(102.0)
    assert found is not None
    assert (found.start, found.end) == (100.0, 102.0)


def test_an_older_proof_takes_nothing_back():
    coverage = Coverage(100.0)
    coverage.proved(Proof(103.0, math.inf))
    assert coverage.proved(Proof(101.0, math.inf)) == []
    assert coverage.until == 103.0


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(-1, 60)), min_size=1, max_size=40))
def test_unobserved_intervals_and_proved_stretches_make_up_the_whole(steps):
    """However the proofs come: what is not told is short, and what is told lies between two proofs; since the
    watch told what the second found, it was that."""
    coverage, end = Coverage(0.0), 0.0
    for step, later in steps:
        before, end = coverage.until, end + step
        told = before + later
        found = coverage.proved(Proof(end, told))
        known = min(max(before, told), end)
        changed, quiet = ([gap for gap in found if gap.unchanged is each] for each in (False, True))
        assert [(gap.start, gap.end) for gap in changed] in ([], [(before, known)])
        assert [(gap.start, gap.end) for gap in quiet] in ([], [(known, end)])
        assert changed or known - before <= APART_SECONDS
        assert quiet or end - known <= QUIET_SECONDS


def test_an_answer_with_the_version_that_the_watch_told_is_a_proof():
    poll = Poll()
    poll.reported("7", 1.0)
    assert poll.answered(10.0, 10.1, "7") == Proof(10.0, 1.0)


def test_an_answer_with_a_version_that_was_passed_is_a_proof():
    """It was asked for before the watch told the next one."""
    poll = Poll()
    poll.reported("7", 1.0)
    poll.reported("9", 10.2)
    assert poll.answered(10.0, 10.3, "7") == Proof(10.0, 1.0)


def test_an_answer_with_a_version_not_yet_told_waits_for_the_watch():
    """It has been that since the first answer came, and not since it was asked for."""
    poll = Poll()
    poll.reported("7", 1.0)
    assert poll.answered(10.0, 10.1, "9") is None
    assert poll.answered(10.2, 10.3, "9") is None
    assert poll.reported("8", 10.4) is None
    assert poll.reported("9", 10.5) == Proof(10.2, 10.1)
    assert poll.reported("11", 10.6) is None


def test_an_object_that_is_gone_again_is_seen_to_be_once_the_watch_has_told_it():
    """Versions are never used twice; that there is none may come again."""
    poll = Poll()
    poll.reported(ABSENT, 1.0)
    poll.reported("7", 2.0)
    assert poll.answered(10.0, 10.1, "7") == Proof(10.0, 2.0)
    assert poll.answered(10.2, 10.3, ABSENT) is None
    assert poll.reported(ABSENT, 10.4) == Proof(10.2, 10.4, lasting=False)
    assert poll.answered(11.0, 11.1, ABSENT) == Proof(11.0, 10.4, lasting=False)


def test_before_the_watch_told_anything_nothing_is_a_proof():
    assert Poll().answered(10.0, 10.1, "7") is None


def test_many_versions_are_remembered_for_a_while_only():
    poll = Poll()
    for number in range(5000):
        poll.reported(str(number), float(number))
    assert poll.answered(5000.0, 5000.1, "4999") == Proof(5000.0, 4999.0)
    assert poll.answered(5000.2, 5000.3, "4998") == Proof(5000.2, 4998.0)
    assert poll.answered(5000.4, 5000.5, "17") is None


LATE = st.floats(0, 5)


@given(
    st.lists(st.tuples(st.floats(0.01, 3), LATE), max_size=12),
    st.lists(st.tuples(st.floats(0.05, 3), LATE, LATE), min_size=1, max_size=30),
)
def test_nothing_ever_changed_in_what_is_told_as_unchanged(changes, polls):
    """However late the watch tells of a change, and however long an answer takes; what it says was true at
    some moment on the way."""
    history, told, at = [(0.0, "0")], [], 0.0
    for number, (after, late) in enumerate(changes, 1):
        at += after
        history.append((at, str(number)))
        told.append((max(at + late, told[-1][0] if told else 0.0), "watch", (str(number), 0.0)))
    answers, at = [], 0.0
    for after, forth, back in polls:
        at += after
        version = [version for since, version in history if since <= at + forth][-1]
        answers.append((at + forth + back, "answer", (version, at)))
    coverage, poll = Coverage(0.0), Poll()
    poll.reported("0", 0.0)
    for moment, kind, (version, sent) in sorted([*told, *answers], key=lambda each: each[0]):
        found = poll.reported(version, moment) if kind == "watch" else poll.answered(sent, moment, version)
        for gap in coverage.proved(found) if found else []:
            assert not gap.unchanged or not [since for since, _v in history if gap.start < since < gap.end]
