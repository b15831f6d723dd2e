# SPDX-License-Identifier: GPL-3.0-or-later
"""Any answer, in whatever pieces it comes, against a plain statement of what a right one is."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc.answer import (
    Answer,
    AnswerJudge,
    WrongAnswer,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc.infer import Asked
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc.method import method_of
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages
from hypothesis import given, settings
from hypothesis import strategies as st

IDENT = "7"
# What a message of an answer may be, and the class of failure of an answer that has it.
MESSAGES = {
    "right": (messages.answer(ident=IDENT).SerializeToString(), ""),
    "of another request": (messages.answer(ident="8").SerializeToString(), "validation"),
    "empty": (b"", "validation"),
    "no message": (b"\xff\xff", "malformed"),
}


class Given(NamedTuple):
    """An answer as a server may give it."""

    http: str
    content_type: str
    messages: list[str]
    flag: int
    cut: int
    grpc: str | None
    alone: bool


ANSWERS = st.builds(
    Given,
    st.sampled_from(["200", "200", "200", "503", "404"]),
    st.sampled_from(["application/grpc", "application/grpc", "application/grpc+proto", "text/html", ""]),
    st.lists(st.sampled_from([*["right"] * 6, *MESSAGES]), max_size=3),
    st.sampled_from([0, 0, 0, 0, 1, 9]),
    st.sampled_from([0, 0, 0, 1, 4]),
    st.sampled_from(["0", "0", "0", "0", "14", "x", None]),
    st.booleans(),
)


def wanted(given_: Given, stream: bool) -> str:
    """The class of failure, empty for a right answer, in the order in which one finds out."""
    ok = given_.http == "200"
    sent = [] if given_.alone else given_.messages
    # What is cut off of one message may be the flag and length before it.
    seen = len(sent) > 1 or (len(sent) == 1 and len(MESSAGES[sent[0]][0]) >= given_.cut)
    rules = [
        (ok and not given_.content_type.startswith("application/grpc"), "malformed"),
        (ok and seen and given_.flag != 0, "malformed"),
        (given_.grpc == "x", "malformed"),
        (not ok, "status"),
        (given_.grpc is None, "truncated"),
        (given_.grpc != "0", "grpc_status"),
        (bool(sent) and given_.cut > 0, "truncated"),
        (not stream and len(sent) != 1, "malformed"),
        (not sent, "validation"),
        *((MESSAGES[name][1] != "", MESSAGES[name][1]) for name in sent),
    ]
    return next((kind for holds, kind in rules if holds), "")


def judge(given_: Given, stream: bool, cuts: list[int]) -> str:
    options = Options(url="grpc://h", grpc_method="ModelStreamInfer" if stream else "ModelInfer")
    answer = Answer(AnswerJudge(options, method_of(options)), Asked(IDENT))
    first = [(b":status", given_.http.encode())]
    if given_.content_type:
        first.append((b"content-type", given_.content_type.encode()))
    last = [(b"grpc-status", given_.grpc.encode())] if given_.grpc is not None else [(b"x", b"y")]
    try:
        if given_.alone:
            answer.headers(first + last)
        else:
            answer.headers(first)
            flag = bytes([given_.flag])
            data = b"".join(
                flag + len(MESSAGES[name][0]).to_bytes(4, "big") + MESSAGES[name][0]
                for name in given_.messages
            )
            data = data[: len(data) - given_.cut] if given_.cut else data
            at = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
            for begin, end in zip(at, at[1:]):
                answer.data(data[begin:end])
            answer.headers(last)
        answer.end()
    except WrongAnswer as wrong:
        return wrong.kind if str(wrong) else "without a word"
    return ""


@settings(max_examples=1000, deadline=None)
@given(ANSWERS, st.booleans(), st.lists(st.integers(0, 500), max_size=6))
def test_an_answer_is_judged_by_what_it_lacks(given_: Given, stream: bool, cuts: list[int]) -> None:
    assert judge(given_, stream, cuts) == wanted(given_, stream)


RIGHT = Given("200", "application/grpc", ["right"], 0, 0, "0", False)


def test_the_plain_statement_takes_a_right_answer_for_right() -> None:
    assert (wanted(RIGHT, False), judge(RIGHT, False, [])) == ("", "")
    three = RIGHT._replace(messages=["right"] * 3)
    assert (wanted(three, True), judge(three, True, [1, 99])) == ("", "")
    assert (wanted(three, False), judge(three, False, [])) == ("malformed", "malformed")


@pytest.mark.parametrize("length", [0, 7])
def test_a_content_length_is_kept(length: int) -> None:
    options = Options(url="grpc://h", grpc_method="a.B/C")
    answer: Any = Answer(AnswerJudge(options, method_of(options)), Asked())
    answer.headers(
        [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"content-length", b"%d" % length)]
    )
    answer.data(b"\0\0\0\0\x02ab")
    answer.headers([(b"grpc-status", b"0")])
    if length == 7:
        answer.end()
    else:
        with pytest.raises(WrongAnswer, match="Content-Length"):
            answer.end()


def test_a_status_before_the_messages_is_no_trailer() -> None:
    """Whoever says OK before the answer does not know yet how it ends."""
    options = Options(url="grpc://127.0.0.1:1/v2/models/m")
    answer: Any = Answer(AnswerJudge(options, method_of(options)), Asked(IDENT))
    answer.headers([(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-status", b"0")])
    message = MESSAGES["right"][0]
    with pytest.raises(WrongAnswer, match="before the messages") as wrong:
        answer.data(b"\0" + len(message).to_bytes(4, "big") + message)
    assert wrong.value.kind == "malformed"
