# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call sends: its message from a payload, fresh ids in it, and the time that is left."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc.method import (
    Calls,
    method_of,
    timeout_text,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.target import parse_url
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages
from hypothesis import given
from hypothesis import strategies as st

UNITS = {"n": 1, "u": 10**3, "m": 10**6, "S": 10**9}


def calls(**given: Any) -> Calls:
    options = Options(**{"url": "grpc://h/v2/models/m", **given})
    return Calls(options, parse_url(options), "run")


@given(st.integers(-(10**12), 4 * 3600 * 10**9))
def test_the_time_that_is_left_is_never_more_than_there_is(nanoseconds: int) -> None:
    """At most eight digits (gRPC over HTTP/2, Timeout), exact to what those can say."""
    text = timeout_text(nanoseconds).decode()
    assert re.fullmatch("[0-9]{1,8}[numS]", text)
    told = int(text[:-1]) * UNITS[text[-1]]
    if nanoseconds > 0:
        assert told <= nanoseconds
        assert nanoseconds - told < max(1, nanoseconds / 10**4)
    else:
        assert told == 1


def test_each_call_has_ids_of_its_own_and_the_answer_has_to_repeat_them() -> None:
    payload = (
        b'{"id": "a-{uuid}-b", "parameters": {"trace": "{uuid}"},'
        b' "inputs": [{"name": "x", "shape": [0], "datatype": "FP32", "data": []}]}'
    )
    made = calls(payloads=[payload], timeout=3 * 10**9)
    sent = [made.make(number, 3 * 10**9) for number in (1, 2)]
    read = [messages.ModelInferRequest.FromString(one.body[5:]) for one in sent]
    assert [one.asked.ident for one in sent] == [each.id for each in read]
    traces = [each.parameters[0].value.string_param for each in read]
    assert len({*traces, *(each.id[2:-2] for each in read)}) == 4
    assert all(re.fullmatch("a-[0-9a-f-]{36}-b", each.id) for each in read)
    for one in sent:
        assert one.body[:5] == b"\0" + (len(one.body) - 5).to_bytes(4, "big")
    assert dict(sent[0].own)[b"x-request-id"] == b"run-0000000001"
    assert dict(sent[0].own)[b"grpc-timeout"] == b"3000000u"
    assert dict(made.make(3, 10**9).own)[b"grpc-timeout"] == b"1000000u"


def test_a_serialised_message_goes_as_it_is() -> None:
    asked = messages.ModelInferRequest(model_name="m", id="{uuid}")
    asked.inputs.add(name="x", datatype="FP32", shape=[0])
    data = asked.SerializeToString()
    sent = calls(url="grpc://h", payloads=[data]).make(1, 1)
    assert (sent.body[5:], sent.asked) == (data, ("{uuid}", "m"))


def test_payloads_take_turns_on_each_mode() -> None:
    made = calls(payloads=[b"a", b"b"], grpc_method="x.Y/Z", connection_modes="both", url="grpc://h:1")
    told = [(made.connection_mode(number), made.make(number, 1).body[5:]) for number in range(1, 9)]
    for mode in ("keep-alive", "new"):
        assert [body for name, body in told if name == mode].count(b"a") == 2


@pytest.mark.parametrize(
    ("given", "path", "v2", "stream"),
    [
        ("ModelInfer", "/inference.GRPCInferenceService/ModelInfer", True, False),
        ("ModelStreamInfer", "/inference.GRPCInferenceService/ModelStreamInfer", True, True),
        (
            "inference.GRPCInferenceService/ModelInfer",
            "/inference.GRPCInferenceService/ModelInfer",
            True,
            False,
        ),
        ("/a.b.C/D", "/a.b.C/D", False, False),
    ],
)
def test_methods(given: str, path: str, v2: bool, stream: bool) -> None:
    assert method_of(Options(url="grpc://h", grpc_method=given)) == (path, v2, stream)


def test_the_model_s_name_may_be_percent_encoded_and_a_request_id_one_s_own() -> None:
    payload = b'{"inputs": [{"name": "x", "shape": [0], "datatype": "FP32", "data": []}]}'
    made = calls(
        url="grpcs://h/v2/models/a%20b/versions/2/infer",
        payloads=[payload],
        headers=[("X-Request-Id", "mine")],
    )
    sent = made.make(1, 1)
    asked = messages.ModelInferRequest.FromString(sent.body[5:])
    assert (asked.model_name, asked.model_version) == ("a b", "2")
    assert [value for name, value in [*sent.fields, *sent.own] if name == b"x-request-id"] == [b"mine"]
    assert made.request_id(1) is None
    assert dict(sent.fields)[b":scheme"] == b"https"
