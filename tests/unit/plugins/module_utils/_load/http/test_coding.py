# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer codings taken off a body, and what cannot be."""

from __future__ import annotations

import gzip
import zlib

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http import parser
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.coding import Undecoded, decoded

TEXT = b'{"predictions": [0.25, 0.75]}' * 40


def test_codings_are_taken_off_in_the_reverse_order() -> None:
    assert decoded(bytearray(gzip.compress(TEXT)), ("gzip",)) == TEXT
    assert decoded(bytearray(gzip.compress(zlib.compress(TEXT))), ("deflate", "x-gzip")) == TEXT
    assert decoded(bytearray(TEXT), ()) == TEXT


@pytest.mark.parametrize(
    ("body", "codings", "kind"),
    [
        (TEXT, ("gzip",), "malformed"),
        (gzip.compress(TEXT, mtime=0)[:-9], ("gzip",), "malformed"),
        (gzip.compress(TEXT, mtime=0) + b"more", ("gzip",), "malformed"),
        (b"", ("gzip",), "malformed"),
        (TEXT, ("br",), "client"),
        (TEXT, ("compress", "gzip"), "malformed"),
    ],
    ids=["not gzip", "cut off", "with more", "nothing", "unknown", "not the outer one"],
)
def test_what_cannot_be_read_says_whose_fault_it_is(body: bytes, codings: tuple[str, ...], kind: str) -> None:
    with pytest.raises(Undecoded) as failed:
        decoded(bytearray(body), codings)
    assert failed.value.kind == kind


def test_a_small_body_that_becomes_a_huge_one_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_COLLECTED_BODY", 1 << 20)
    assert len(decoded(bytearray(gzip.compress(b"x" * (1 << 20))), ("gzip",))) == 1 << 20
    with pytest.raises(Undecoded, match="longer than the 1 MiB") as failed:
        decoded(bytearray(gzip.compress(b"x" * ((1 << 20) + 1))), ("gzip",))
    assert failed.value.kind == "client"
