# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common import quantity
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity


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
        (float("nan"), None),
        (float("-inf"), None),
        ("1e999", None),
        ("-9e308k", None),
        pytest.param(10**400, None, id="beyond any float"),
    ],
)
def test_parse(value: Any, expected: float | None) -> None:
    assert quantity.parse(value) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("value", "expected"), [("9m", 0.009), ("19u", 0.000019), ("13n", 0.000000013)])
def test_small_quantities_are_exact(value: str, expected: float) -> None:
    assert quantity.parse(value) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("0", "0"),
        ("0.0", "0"),
        ("1", "1"),
        ("1000.0", "1k"),
        ("1500", "1500"),
        ("0.01", "10m"),
        ("0.0125", "12500u"),
        ("-2.5", "-2500m"),
        ("1e-05", "10u"),
        ("1.0000000001", "1000000001n"),
        ("3e21", "3000E"),
    ],
)
def test_quantities_are_canonical(number: str, expected: str) -> None:
    assert quantity.canonical(number) == expected


@given(st.integers(-(10**15), 10**15), st.integers(-9, 3))
def test_a_quantity_keeps_its_value(digits: int, exponent: int) -> None:
    number = Decimal(digits).scaleb(exponent)
    assert parse_quantity(quantity.canonical(str(number))) == number
