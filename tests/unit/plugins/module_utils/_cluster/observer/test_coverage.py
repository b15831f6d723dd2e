# SPDX-License-Identifier: GPL-3.0-or-later
"""What the observer did not see, from proofs of what it did."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.coverage import (
    ABSENT,
    APART_SECONDS,
    POLL_SECONDS,
    QUIET_SECONDS,
    Coverage,
    Poll,
    UnobservedInterval,
)
from hypothesis import given
from hypothesis import strategies as st


def test_proofs_at_their_pace_leave_nothing_unobserved():
    coverage = Coverage(100.0)
    for number in range(1, 1000):
        assert coverage.proved(100 + number * POLL_SECONDS) is None
    assert coverage.open(100 + 1000 * POLL_SECONDS) is None


def test_proofs_too_far_apart_leave_what_lies_between_them():
    coverage = Coverage(100.0)
    for number in range(1, 6):
        coverage.proved(100 + number * 0.2)
    found = coverage.proved(104.5)
    assert found is not None
    assert (found.start, found.end) == (101.0, 104.5)
    assert "no proof" in found.why


def test_where_nothing_changed_a_short_gap_is_only_a_busy_machine():
    coverage = Coverage(100.0)
    assert coverage.proved(100 + 0.9 * QUIET_SECONDS, changed=False) is None
    assert coverage.proved(coverage.until + 1.1 * APART_SECONDS, changed=True) is not None
    found = coverage.proved(coverage.until + 1.1 * QUIET_SECONDS, changed=False)
    assert found is not None
    assert found.unchanged


def test_a_gap_in_which_the_object_changed_or_the_watch_was_lost_proves_nothing():
    coverage = Coverage(100.0)
    found = coverage.proved(103.0)
    assert found is not None
    assert not found.unchanged
    coverage.lost(103.2, "the connection was cut")
    found = coverage.proved(105.0, changed=False)
    assert found is not None
    assert not found.unchanged


def test_a_watch_that_is_known_to_have_ended_is_unobserved_from_then_on_however_short():
    coverage = Coverage(100.0)
    coverage.proved(100.2)
    coverage.lost(100.3, "the connection was cut")
    assert coverage.proved(100.5) == UnobservedInterval(100.3, 100.5, "the connection was cut")
    assert coverage.proved(100.6) is None


def test_an_end_found_after_a_silence_without_proofs_says_nothing_of_the_silence():
    coverage = Coverage(100.0)
    coverage.proved(100.2)
    coverage.lost(135.2, "nothing came for 35 s")
    assert coverage.proved(136.0) == UnobservedInterval(100.2, 136.0, "nothing came for 35 s")


def test_a_watch_that_is_opened_again_at_once_has_missed_nothing():
    coverage = Coverage(100.0)
    coverage.lost(100.3, "its window is over")
    assert coverage.proved(100.31) is None


def test_a_second_loss_before_a_proof_is_still_the_first():
    coverage = Coverage(100.7)
    coverage.lost(101.0, "first")
    coverage.lost(102.0, "second")
    assert coverage.proved(103.0) == UnobservedInterval(101.0, 103.0, "first")


def test_what_is_unobserved_as_of_now_is_told_before_it_ends():
    coverage = Coverage(100.0)
    assert coverage.open(100 + 0.9 * QUIET_SECONDS) is None
    found = coverage.open(102.0)
    assert found is not None
    assert (found.start, found.end) == (100.0, 102.0)


def test_an_older_proof_takes_nothing_back():
    coverage = Coverage(100.0)
    coverage.proved(103.0)
    assert coverage.proved(101.0) is None
    assert coverage.until == 103.0


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40))
def test_unobserved_intervals_and_proved_stretches_make_up_the_whole(steps):
    """However the proofs come, an interval is all of what lies between two that are too far apart."""
    coverage, end = Coverage(0.0), 0.0
    for step in steps:
        before, end = coverage.until, end + step
        found = coverage.proved(end)
        if found is None:
            assert end - before <= APART_SECONDS
        else:
            assert (found.start, found.end) == (before, end)


def test_an_answer_with_the_version_told_last_is_a_proof():
    poll = Poll()
    poll.reported("7")
    assert poll.answered(10.0, "7") == 10.0


def test_an_answer_with_a_version_that_was_passed_is_a_proof():
    """It was asked for before the watch told the next one."""
    poll = Poll()
    poll.reported("7")
    poll.reported("9")
    assert poll.answered(10.0, "7") == 10.0


def test_an_answer_with_a_version_not_yet_told_waits_for_the_watch():
    poll = Poll()
    poll.reported("7")
    assert poll.answered(10.0, "9") is None
    assert poll.answered(10.2, "9") is None
    assert poll.reported("8") is None
    assert poll.reported("9") == 10.2
    assert poll.reported("11") is None


def test_an_object_that_is_gone_again_is_seen_to_be_once_the_watch_has_told_it():
    """Versions are never used twice; that there is none may come again."""
    poll = Poll()
    poll.reported(ABSENT)
    poll.reported("7")
    assert poll.answered(10.0, "7") == 10.0
    assert poll.answered(10.2, ABSENT) is None
    assert poll.reported(ABSENT) == 10.2


def test_before_the_watch_told_anything_nothing_is_a_proof():
    assert Poll().answered(10.0, "7") is None


def test_many_versions_are_remembered_for_a_while_only():
    poll = Poll()
    for number in range(5000):
        poll.reported(str(number))
    assert poll.answered(1.0, "4999") == 1.0
    assert poll.answered(1.0, "4998") == 1.0
    assert poll.answered(1.0, "17") is None
