# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's date says of the time."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.plugin_utils.clock import read_time


def test_a_date_with_nanoseconds_is_told_to_the_microsecond() -> None:
    assert read_time("1795844291.153000001\n") == (pytest.approx(1795844291.153), 1e-6)


@pytest.mark.parametrize("text", ["1795844291.N\n", "1795844291.%N\n", "1795844291.\n", "1795844291.N\r\n"])
def test_one_that_knows_no_nanoseconds_is_told_to_the_second(text: str) -> None:
    """BSD's, busybox's, and both behind a terminal."""
    assert read_time(text) == (1795844291.0, 1.0)


def test_what_a_shell_says_before_is_left_out() -> None:
    assert read_time("Welcome to host 42\n1795844291.500000000\nbye\n") == (1795844291.5, 1e-6)


@pytest.mark.parametrize("text", ["", "Sat Nov 28 12:00:00 UTC 2026\n", "date: not found\n", "12.5\n"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"'date \+%s.%N' told"):
        read_time(text)
