# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that a cluster or a server says does anything to a terminal, and everything can be written."""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import (
    plain,
    printable,
    printable_lines,
)

EVERYTHING = "".join(map(chr, range(0x110000)))
# What Unicode's bidirectional algorithm calls what turns the direction of the text that follows.
TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("boom\x1b[2K\r\x1b[32mPASS\x1b[0m", r"boom\x1b[2K\r\x1b[32mPASS\x1b[0m"),
        ("one\ntwo\r\nthree\tfour", r"one\ntwo\r\nthree\tfour"),
        ("bell\x07 back\x08\x08 nul\0 del\x7f", r"bell\x07 back\x08\x08 nul\x00 del\x7f"),
        ("csi\x9b31m osc\x9d0;title\x9c nel\x85", r"csi\x9b31m osc\x9d0;title\x9c nel\x85"),
        ("\u202edessap\u202c \u2066x\u2069 \u200f \u061c", r"\u202edessap\u202c \u2066x\u2069 \u200f \u061c"),
        ("line\u2028separator\u2029", r"line\u2028separator\u2029"),
        ("half \ud800 other half \udfff", r"half \ud800 other half \udfff"),
        ("\ufeff\uffff\U0001fffe\U000e0041", r"\ufeff\uffff\U0001fffe\U000e0041"),
        ("Größe, 日本語, 🙂, a\u200db, back\\slash", "Größe, 日本語, 🙂, a\u200db, back\\slash"),
    ],
)
def test_what_is_not_to_be_sent_is_shown(given: str, shown: str) -> None:
    assert printable(given) == shown


def test_of_all_characters_none_that_is_left_controls_anything() -> None:
    for character in set(printable(EVERYTHING)):
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), ascii(character)
        assert unicodedata.bidirectional(character) not in TURNING, ascii(character)


def test_whatever_the_text_it_can_be_written_and_read_again() -> None:
    shown = printable_lines(EVERYTHING)
    assert shown.encode().decode() == shown
    ElementTree.fromstring(f"<a>{escape(shown)}</a>")  # noqa: S314


def test_lines_stay_lines_where_they_are_asked_for() -> None:
    assert printable_lines("one\x1b[A\n\ttwo\r\n") == "one\\x1b[A\n\ttwo\\r\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a\x1b": ["b\x9b", ("c\nd", 1)]}, {"a\\x1b": ["b\\x9b", ["c\\nd", 1]]}),
        ({"gap": float("nan"), "low": -float("inf")}, {"gap": None, "low": None}),
        ([1.5, True, None, 10**40], [1.5, True, None, 10**40]),
    ],
)  # fmt: skip
def test_values_are_plain_all_the_way_down(given: Any, expected: Any) -> None:
    assert plain(given) == expected
    json.dumps(plain(given), ensure_ascii=False, allow_nan=False).encode()


def test_lines_within_values_stay_where_they_are_asked_for() -> None:
    given = {"message": "one\ntwo\x1b", "n": float("inf")}
    assert plain(given, printable_lines) == {"message": "one\ntwo\\x1b", "n": None}
