# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the timeline: what each second adds to the counts of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .counts import Counts
from .histogram import quantile

Row = dict[str, Any]  # one second of the timeline


class Timeline:
    """Holds what was counted until the last row, from which the next one differs."""

    def __init__(self) -> None:
        self._requests = self._failed = self._sent = 0
        self._revisions: dict[str, int] = {}

    def row(self, second: int, counts: Counts, sent: int, service: Mapping[int, int]) -> Row:
        """The row of the second that has just ended.

        `second` is its beginning (epoch), `counts` and `sent` are the run's so far, `service` the service
        times of this second alone (µs → how often). In the row times are seconds, `sent`, `ok`, `failed` and
        `revisions` (name → requests that ended, without those that had none) numbers of requests.
        """
        requests, failed = counts.requests - self._requests, counts.failed - self._failed
        ended = {name: row[0] - self._revisions.get(name, 0) for name, row in counts.revisions.items()}
        total, highest = sum(service.values()), max(service, default=0)
        row = {
            "second": second,
            "sent": sent - self._sent,
            "ok": requests - failed,
            "failed": failed,
            "revisions": {name: times for name, times in ended.items() if times},
            "p50": quantile(service, total, 0.5, highest) / 1e6,
            "p99": quantile(service, total, 0.99, highest) / 1e6,
            "max": highest / 1e6,
        }
        self._requests, self._failed, self._sent = counts.requests, counts.failed, sent
        self._revisions = {name: row[0] for name, row in counts.revisions.items()}
        return row
