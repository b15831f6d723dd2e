# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube import times


def test_times_are_whole_seconds_and_can_be_read_back() -> None:
    assert times.timestamp(1_800_000_000.75) == "2027-01-15T08:00:00Z"
    assert times.seconds("2027-01-15T08:00:00Z") == 1_800_000_000.0
