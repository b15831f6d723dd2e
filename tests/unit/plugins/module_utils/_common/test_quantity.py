# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common import quantity


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1000, 1000.0),
        (0.5, 0.5),
        ("0.01", 0.01),
        ("10m", 0.01),
        ("1e3", 1000.0),
        ("1.5E2", 150.0),
        ("5n", 5e-9),
        ("5u", 5e-6),
        ("-2k", -2000.0),
        ("3M", 3e6),
        ("3G", 3e9),
        ("3T", 3e12),
        ("3P", 3e15),
        ("3E", 3e18),
        ("2Ki", 2048.0),
        ("2Mi", 2 * 1024.0**2),
        ("2Ei", 2 * 1024.0**6),
        (".5", 0.5),
        (" 7 ", 7.0),
        ("", None),
        ("NaN", None),
        ("ms", None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_parse(value: Any, expected: float | None) -> None:
    assert quantity.parse(value) == (None if expected is None else pytest.approx(expected))
