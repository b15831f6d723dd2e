# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as a histogram over a logarithmic axis, one row a revision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import percentile_of
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.fields import (
    LoadFormatError,
    buckets,
    whole,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import count, elapsed

from ..material import Material
from . import svg

if TYPE_CHECKING:
    from typing import TypeGuard  # Python 3.9 has none

_ROW_HEIGHT = 90
_HEAD = 22
_AXIS = 22
_SHORTEST = 1e-6

Histogram = Mapping[str, Any]


def histograms(material: Material, times: Any, name_of_times: str) -> list[tuple[str, str, Histogram]]:
    """(title, class, histogram) of each revision that has one among the load's `times` (such as
    `response_time`, beside which stands what is by revision), else of all together."""
    found: list[tuple[str, str, Histogram]] = []
    if not isinstance(times, Mapping):
        return found
    revisions = times.get(f"{name_of_times}_by_revision")
    for name, histogram in revisions.items() if isinstance(revisions, Mapping) else ():
        if _usable(histogram):
            look = material.facts.roles.get(name, "answers")
            found.append((_capital(material.facts.name_of(name)), look, histogram))
    whole = times.get(name_of_times)
    if not found and _usable(whole):
        found.append(("All revisions together", "answers", whole))
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _usable(histogram: Any) -> TypeGuard[Histogram]:
    """Whether there is something to draw. What stands by revision is judged by nobody, so it may be
    anything."""
    try:
        return isinstance(histogram, Mapping) and 0 < whole(histogram, "Count") == buckets(histogram, "")
    except LoadFormatError:
        return False


def summary(histogram: Histogram, what: str) -> str:
    """Count and percentiles, for people; `what` is one of what is counted."""
    parts = [count(int(histogram["Count"]), what)]
    for wanted, name in ((50, "median"), (99, "99th percentile"), (99.9, "99.9th")):
        value = percentile_of(histogram, wanted)
        if value is not None:
            parts.append(f"{name} {elapsed(value)}")
    parts.append(f"longest {elapsed(float(histogram['Max']))}")
    return ", ".join(parts)


def histogram_chart(
    histograms: list[tuple[str, str, Histogram]], width: float, title_of_all: str, what: str
) -> str:
    """The histograms as SVG, one above the other on the same axis; empty without any."""
    if not histograms:
        return ""
    low = min(max(float(h["Min"]), _SHORTEST) for _unused, _unused, h in histograms)
    high = max(float(h["Max"]) for _unused, _unused, h in histograms)
    first, last = math.floor(math.log10(low) * 3) / 3, math.ceil(math.log10(max(high, low * 1.01)) * 3) / 3
    left, right = 8, width - 8

    def x(value: float) -> float:
        place = (math.log10(max(value, 10**first)) - first) / (last - first)
        return left + min(1.0, place) * (right - left)

    parts = []
    y = 0.0
    for title, look, histogram in histograms:
        parts.append(svg.text(0, y + 14, title, "title"))
        rows = [row for row in histogram["Data"] if row["Count"]]
        densest = max(row["Count"] / _breadth(row) for row in rows)
        base = y + _HEAD + _ROW_HEIGHT
        for row in rows:
            x1, x2 = x(row["Start"]), x(row["End"])
            # The area tells the count; a bar that would be too low to see is drawn one pixel high.
            height = max(1.0, _ROW_HEIGHT * row["Count"] / _breadth(row) / densest)
            tip = f"{elapsed(row['Start'])} to {elapsed(row['End'])}: {count(row['Count'], what)}"
            parts.append(svg.rect(x1, base - height, (max(x2 - x1, 1), height), look, tip))
        parts.append(svg.line(left, base, right, base, "base"))
        y = base + 10
    power = math.ceil(first - 1e-9)
    steps = [(p, m) for p in range(power - 1, math.floor(last + 1e-9) + 1) for m in (1, 2, 5)]
    used = -100.0
    for p, m in steps:
        value = m * 10.0**p
        if not 10**first * 0.999 <= value <= 10**last * 1.001 or x(value) - used < 52:
            continue
        used = x(value)
        parts.append(svg.line(used, y - 10, used, y - 5, "base"))
        anchor = "start" if used < 24 else "end" if used > width - 24 else "middle"
        parts.append(svg.text(used, y + 8, _plain(value), "scale", anchor))
    described = "; ".join(f"{title}: {summary(h, what)}" for title, _unused, h in histograms)
    return svg.picture((width, y + _AXIS - 8), "histogram", title_of_all, described + ".", parts)


def _plain(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= factor * 0.999:
            return f"{value / factor:.0f} {unit}"
    return f"{value:g} s"


def _breadth(row: Mapping[str, Any]) -> float:
    """The breadth of a bar on the logarithmic axis."""
    start, end = max(float(row["Start"]), _SHORTEST), max(float(row["End"]), _SHORTEST)
    return max(math.log10(end / start) if end > start else 0.0, 0.005)
