# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes out of a log that was cut, doubled, shuffled or bent is the whole, to the byte, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod import heard, lines
from hypothesis import given, settings
from hypothesis import strategies as st

# Long enough for several chunks however well it is compressed.
CONTENT: Any = {"rows": [random.Random(number).random() for number in range(2500)]}
SAID = [text.encode() for text in lines.chunks("result", 0, CONTENT)]


def log_of(said: list[bytes]) -> lines.Log:
    log = lines.Log()
    for text in said:
        log.hear(text)
    return log


def test_a_whole_comes_back() -> None:
    assert len(SAID) > 3
    assert max(map(len, SAID)) < 16 * 1024
    assert log_of(SAID).wholes("result") == {0: CONTENT}
    assert log_of(SAID).wholes("checkpoint") == {}


@given(
    kept=st.lists(st.integers(0, len(SAID) - 1), min_size=0, max_size=3 * len(SAID)),
    noise=st.lists(st.binary(max_size=40), max_size=5),
)
def test_lost_doubled_and_shuffled_lines(kept: list[int], noise: list[bytes]) -> None:
    found = log_of([SAID[at] for at in kept] + noise).wholes("result")
    assert found == ({0: CONTENT} if set(kept) == set(range(len(SAID))) else {})


@settings(max_examples=300)
@given(
    which=st.integers(0, len(SAID) - 1),
    at=st.integers(0, 9000),
    byte=st.integers(0, 255),
    cut=st.booleans(),
    also_right=st.booleans(),
)
def test_a_bent_line_never_gives_another_whole(
    which: int, at: int, byte: int, cut: bool, also_right: bool
) -> None:
    line = SAID[which]
    at %= len(line)
    bent = line[:at] if cut else line[:at] + bytes([byte]) + line[at + 1 :]
    said = [*SAID[:which], bent, *SAID[which + 1 :], *([line] if also_right else [])]
    found = log_of(said).wholes("result")
    assert found in ({}, {0: CONTENT})
    if bent == line:
        assert found == {0: CONTENT}
    if cut and not also_right:
        assert found == {}


@given(st.binary(max_size=200))
def test_whatever_a_program_prints_is_no_fault(text: bytes) -> None:
    log = log_of([text, json.dumps({"iter8": "chunk", "name": 1}).encode(), b'{"iter8": 5}', b"[" * 100000])
    assert (log.wholes("result"), log.last("ready")) == ({}, None)


def test_what_lies_about_its_size_is_not_unpacked() -> None:
    bomb = list(lines.chunks("result", 0, " " * 10_000_000))
    said = [json.loads(text) for text in bomb]
    for each in said:
        each["size"] = 1000
    assert log_of([json.dumps(each).encode() for each in said]).wholes("result") == {}


def test_lines_of_a_kind_in_order_and_the_last() -> None:
    log = log_of([lines.line("asked", ask=number).encode() for number in (1, 2, 3)])
    assert [said["ask"] for said in log.all("asked")] == [1, 2, 3]
    assert (log.last("asked") or {})["ask"] == 3


def test_the_newest_result_counts() -> None:
    said = [*SAID, *(text.encode() for text in lines.chunks("result", 1, {"rows": []}))]
    assert heard.result(log_of(said)) == {"rows": []}
    assert heard.result(log_of([])) is None
    assert heard.remains(log_of(said)) is None
