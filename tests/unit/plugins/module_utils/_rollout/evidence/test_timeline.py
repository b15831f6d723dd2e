# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.timeline import (
    Moment,
    TimelineFormatError,
    read_timeline,
)


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
