# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes quantities (`1000`, `10m`, `1e3`, `2Ki`), as iter8 writes limits and metric values."""

from __future__ import annotations

import re
from typing import Any

_SHAPE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    **{letter: 10.0 ** (6 + 3 * i) for i, letter in enumerate("MGTPE")},
    **{f"{letter}i": 1024.0 ** (1 + i) for i, letter in enumerate("KMGTPE")},
}


def parse(value: Any) -> float | None:
    """The quantity as a number; None for what is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    found = _SHAPE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found.group(1)) * _FACTORS[found.group(2) or ""] if found else None
