# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ownership as a run uses it, against a cluster in memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Clock
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership import (
    ownership as module_side,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import (
    ClaimedObject,
    load,
)
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock

RUN = "r1"


class Run:
    """The module's states against a cluster in memory."""

    def __init__(self, cluster: Any, record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self.record = record
        self.clock = FakeClock()
        cluster.now = self.clock
        monkeypatch.setattr(module_side, "connect", lambda _module, **_options: cluster)
        monkeypatch.setattr(module_side, "Clock", lambda: Clock(now=self.clock, sleep=self.clock.sleep))

    def __call__(self, state: str, check_mode: bool = False, **params: Any) -> dict[str, Any]:
        module: Any = SimpleNamespace()
        module.check_mode = check_mode
        module.params = {
            "state": state,
            "run_id": RUN,
            "record": str(self.record),
            "record_namespace": "",
            "definitions": [],
            "workloads": [],
            "namespace": None,
            "timeout": 30,
            "force_contents": False,
            "progress_file": None,
            **params,
        }
        return module_side.ownership(module)

    def recorded(self) -> list[ClaimedObject]:
        """What stands in the record's file."""
        record = load(str(self.record), RUN)
        assert record is not None
        return record.entries

    def apply(self, *definitions: dict[str, Any]) -> dict[str, Any]:
        claimed = self("claimed", definitions=list(definitions))
        self.cluster.put(*claimed["definitions"])
        return claimed


def refs(entries: list[dict[str, Any]]) -> list[str]:
    """Entries of a result in words, such as "Namespace mine"."""
    return [f"{entry['kind']} {entry['name']}" for entry in entries]
