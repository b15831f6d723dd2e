# SPDX-License-Identifier: GPL-3.0-or-later
"""Knative's revision metrics in Prometheus' text format: what its queue proxy counts around a container.

Names, labels, unit (milliseconds) and bucket bounds are Knative 0.18's, so that its queries work. They are
written by hand since prometheus_client would not have them: it ends a counter's name in `_total`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

BOUNDS_MS = (
    *(5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900, 1000),
    *(2000, 5000, 10000, 20000, 50000, 100000),
)
"""Upper bounds of the latency buckets, inclusive."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNT = "revision_app_request_count"
_LATENCY = "revision_app_request_latencies"


class _Series:
    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0


class RevisionMetrics:
    """Counts answered requests by response code. Used from one thread.

    A series appears with its first request, as Knative's do.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = ",".join(f'{key}="{_escape(labels[key])}"' for key in sorted(labels))
        self._series: dict[int, _Series] = {}

    def observe(self, code: int, milliseconds: float) -> None:
        """Count one answer."""
        series = self._series.setdefault(code, _Series())
        series.buckets[bisect_left(BOUNDS_MS, milliseconds)] += 1
        series.sum_ms += milliseconds

    def exposition(self) -> str:
        """Return the text that Prometheus scrapes."""
        counts = [
            f"# HELP {_COUNT} The number of requests that are routed to user-container",
            f"# TYPE {_COUNT} counter",
        ]
        latencies = [
            f"# HELP {_LATENCY} The response time in millisecond",
            f"# TYPE {_LATENCY} histogram",
        ]
        for code in sorted(self._series):
            labels = f'{self._labels},response_code="{code}",response_code_class="{code // 100}xx"'
            counts.append(f"{_COUNT}{{{labels}}} {sum(self._series[code].buckets)}")
            latencies.extend(_histogram(labels, self._series[code]))
        return "\n".join([*counts, *latencies, ""])


def _histogram(labels: str, series: _Series) -> list[str]:
    lines = []
    cumulative = 0
    for bound, count in zip((*map(str, BOUNDS_MS), "+Inf"), series.buckets):
        cumulative += count
        lines.append(f'{_LATENCY}_bucket{{{labels},le="{bound}"}} {cumulative}')
    lines.append(f"{_LATENCY}_sum{{{labels}}} {series.sum_ms!r}")
    lines.append(f"{_LATENCY}_count{{{labels}}} {cumulative}")
    return lines


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
