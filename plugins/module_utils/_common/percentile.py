# SPDX-License-Identifier: GPL-3.0-or-later
"""Percentiles of a histogram of Fortio's shape: the one that judges and those that report agree."""

from __future__ import annotations

from typing import Any, Mapping


def percentile(histogram: Mapping[str, Any], wanted: float) -> float | None:
    """The value below which `wanted` percent (0 to 100) lie, interpolated within its bucket as Fortio does.

    `histogram` is Fortio's HistogramData: `Count`, `Min`, `Max`, and in `Data` the buckets that are not
    empty, in order, each from `Start` to `End` with the `Percent` of all values up to its end. The result is
    in the histogram's own unit; None if it is empty. Raises KeyError or TypeError for another shape.
    """
    if not histogram["Count"] or not histogram["Data"]:
        return None
    before = 100.0 / histogram["Count"]
    if wanted <= before:
        return float(histogram["Min"])
    for bucket in histogram["Data"]:
        if wanted <= bucket["Percent"]:
            share = (wanted - before) / (bucket["Percent"] - before)
            return float(bucket["Start"] + share * (bucket["End"] - bucket["Start"]))
        before = bucket["Percent"]
    return float(histogram["Max"])
