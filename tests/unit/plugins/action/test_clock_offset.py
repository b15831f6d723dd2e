# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's clock is compared by what its shell says; the connection and this clock are the test's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.action import clock_offset


def compared(monkeypatch: pytest.MonkeyPatch, ours: Sequence[float], said: str = "1000.000000000\n") -> Any:
    """The result where this clock tells these times, two a round and the last for ever."""
    times = chain(ours, repeat(ours[-1]))
    monkeypatch.setattr(clock_offset.time, "time", lambda: next(times))
    monkeypatch.setattr(clock_offset.ActionBase, "run", lambda *_given: {})
    action = object.__new__(clock_offset.ActionModule)
    monkeypatch.setattr(action, "validate_argument_spec", lambda _spec: (None, {"rounds": 2}), raising=False)
    answer = {"rc": 0, "stdout": said.replace("1000", "1795844291"), "stderr": ""}
    monkeypatch.setattr(action, "_low_level_execute_command", lambda *_given, **_more: answer, raising=False)
    return action.run()


def test_the_quickest_round_tells_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clock stands still here, so what it is ahead by is 0.7 s when ours says 290.3."""
    ours = [1795844290.0 + at for at in (0, 0, 0.1, 0.9, 0.2, 0.3)]
    result = compared(monkeypatch, ours)
    assert (result["low"], result["high"]) == (pytest.approx(0.7), pytest.approx(0.8 + 1e-6))


@pytest.mark.parametrize("back", [0.02, 22.0])
def test_rounds_over_which_our_clock_is_set_back_say_nothing(
    monkeypatch: pytest.MonkeyPatch, back: float
) -> None:
    begun = 1795844291.0
    result = compared(monkeypatch, [begun, begun, begun, begun - back, begun - 0.25, begun + 0.25])
    assert (result["low"], result["high"]) == (pytest.approx(-0.25), pytest.approx(0.25 + 1e-6))


def test_without_any_round_that_says_something_it_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 1795844291.0
    result = compared(monkeypatch, [begun, begun, begun, begun - 1, begun, begun - 1])
    assert result["failed"]
    assert result["msg"] == (
        "The clocks cannot be compared: the controller's was set back each time. Run it again."
    )


def test_a_shell_that_tells_no_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = compared(monkeypatch, [1795844291.0], "date: not found\n")
    assert result["failed"]
    assert result["msg"].startswith("The clock of this host cannot be read: 'date +%s.%N' told")
