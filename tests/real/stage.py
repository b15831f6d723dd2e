# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test has: the cluster, and the table that it adds to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from kubernetes import client

from .rollout import Rollout, Seen

KNATIVE, STANDARD = "Knative", "Standard"


@dataclass
class Real:
    """The cluster, and what this test run leaves there: a namespace."""

    api: client.ApiClient
    namespace: str
    image: str
    gateways: dict[str, str]
    manager: str = ""
    # Of the manager that KServe has no release in a registry for.
    other_manager: bool = False
    rollouts: list[Rollout] = field(default_factory=list)


@dataclass
class Report:
    """What a test adds to the table."""

    rows: list[dict[str, Any]]
    test: str
    mode: str
    manager: str

    def add(
        self, seen: Seen, expected: str, verdict: str = "", rollback_seconds: Optional[float] = None
    ) -> None:
        """expected: the numbers of the first bring-up, in words. verdict: where the project gave one.
        rollback_seconds: from the decision until the baseline has everything again; None without one."""
        self.rows.append(
            {
                "test": self.test,
                "mode": self.mode,
                "manager": self.manager,
                "requests": seen.requests,
                "lost": seen.failed,
                "longest_gap_seconds": round(seen.gap, 3),
                "by_revision": seen.by_revision,
                "before": expected,
                "verdict": verdict,
                "rollback_seconds": None if rollback_seconds is None else round(rollback_seconds, 2),
            }
        )
