# SPDX-License-Identifier: GPL-3.0-or-later
"""The V2 messages, held against the protobuf package: what one writes the other reads, and what is wrong is
told.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc import infer, protobuf
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc.tensors import BadTensor
from ansible_collections.iter8.kfserving.tests.support import inference_messages as official
from hypothesis import given
from hypothesis import strategies as st

FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
BITS = {
    "INT8": 8,
    "INT16": 16,
    "INT32": 32,
    "INT64": 64,
    "UINT8": 8,
    "UINT16": 16,
    "UINT32": 32,
    "UINT64": 64,
}


def whole_numbers(datatype: str) -> Any:
    bits = BITS[datatype]
    low, high = (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(low, high)


VALUES = {
    **{name: whole_numbers(name) for name in BITS},
    "BOOL": st.booleans(),
    "FP32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "FP64": st.floats(allow_nan=False, allow_infinity=False),
    "BYTES": st.text(max_size=20),
}
PARAMETERS = st.dictionaries(
    st.text(max_size=5),
    st.one_of(
        st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=9), st.floats(allow_nan=False)
    ),
    max_size=3,
)


@st.composite
def tensors(draw: Any) -> dict[str, Any]:
    datatype = draw(st.sampled_from(sorted(VALUES)))
    values = draw(st.lists(VALUES[datatype], max_size=8))
    return {
        "name": draw(st.text(min_size=1, max_size=5)), "datatype": datatype, "shape": [1, len(values)],
        "data": [values] if draw(st.booleans()) else values, "parameters": draw(PARAMETERS),
    }  # fmt: skip


PAYLOADS = st.fixed_dictionaries(
    {
        "id": st.text(max_size=9),
        "model_name": st.text(min_size=1, max_size=9),
        "parameters": PARAMETERS,
        "inputs": st.lists(tensors(), min_size=1, max_size=3),
        "outputs": st.lists(
            st.fixed_dictionaries({"name": st.text(min_size=1, max_size=5), "parameters": PARAMETERS}),
            max_size=2,
        ),
    }
)


def told(parameters: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("parameter_choice")) for one in parameters}


@given(PAYLOADS)
def test_protobuf_reads_what_is_written(payload: dict[str, Any]) -> None:
    data, id_at = infer.request(payload, "", "7")
    read = official.ModelInferRequest.FromString(data)
    assert (read.model_name, read.model_version, read.id) == (payload["model_name"], "7", payload["id"])
    assert data[id_at].decode() == payload["id"] == infer.asked_by(data).ident
    assert told(read.parameters) == payload["parameters"]
    assert [(one.name, told(one.parameters)) for one in read.outputs] == [
        (one["name"], one["parameters"]) for one in payload["outputs"]
    ]
    assert len(read.inputs) == len(payload["inputs"])
    for one, wanted in zip(read.inputs, payload["inputs"]):
        assert (one.name, one.datatype, list(one.shape)) == (
            wanted["name"],
            wanted["datatype"],
            wanted["shape"],
        )
        assert told(one.parameters) == wanted["parameters"]
        values = list(infer.flat(wanted["data"]))
        held = list(getattr(one.contents, FIELDS[wanted["datatype"]]))
        assert held == ([value.encode() for value in values] if wanted["datatype"] == "BYTES" else values)
    assert infer.is_request(data)


@given(PAYLOADS)
def test_what_protobuf_writes_is_read(payload: dict[str, Any]) -> None:
    """An answer with the tensors of the payload: right as it is, wrong once an element is missing or too
    many.
    """
    made = official.ModelInferResponse(model_name="m", model_version="2", id=payload["id"])
    for one in payload["inputs"]:
        values = list(infer.flat(one["data"]))
        output = made.outputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        held = [value.encode() for value in values] if one["datatype"] == "BYTES" else values
        getattr(output.contents, FIELDS[one["datatype"]]).extend(held)
        if not values:
            output.ClearField("contents")
    data = made.SerializeToString()
    assert infer.problem(data, infer.Asked(payload["id"])) == ""
    read = infer.as_json(data)
    assert (read["model_name"], read["model_version"], read["id"]) == ("m", "2", payload["id"])
    for one, wanted in zip(read["outputs"], payload["inputs"]):
        assert one["data"] == list(infer.flat(wanted["data"]))
        assert (one["name"], one["shape"], one["datatype"]) == (
            wanted["name"],
            wanted["shape"],
            wanted["datatype"],
        )
    if payload["id"]:
        assert "id" in infer.problem(data, infer.Asked(payload["id"] + "x"))
    made.outputs[0].shape[:] = [made.outputs[0].shape[1] + 1]
    assert "elements" in infer.problem(made.SerializeToString(), infer.Asked(""))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """What the protobuf package refuses is refused, but for what it looks into deeper; nothing else is
    raised.
    """
    try:
        found = infer.problem(data, infer.Asked(""))
    except protobuf.Unreadable:
        return
    if found == "":
        assert official.ModelInferResponse.FromString(data).outputs


@given(PAYLOADS, st.data())
def test_a_changed_answer_is_never_taken_for_a_whole_one_that_protobuf_refuses(
    payload: dict[str, Any], data: st.DataObject
) -> None:
    whole = infer.request(payload, "", "").data
    at = data.draw(st.integers(0, len(whole) - 1))
    bent = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        right = infer.problem(bent, infer.Asked("")) == ""
        infer.as_json(bent)
    except (protobuf.Unreadable, BadTensor):
        return
    if right:
        assert official.ModelInferResponse.FromString(bent).outputs


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varints(value: int, rest: bytes) -> None:
    encoded = protobuf.varint(value)
    assert protobuf.read_varint(encoded + rest, 0) == (value, len(encoded))
    assert protobuf.count_varints(encoded * 3) == 3
    assert protobuf.varints(encoded * 2) == [value] * 2
    for cut in range(len(encoded)):
        with pytest.raises(protobuf.Unreadable):
            protobuf.read_varint(encoded[:cut], 0)


def test_the_examples_of_the_encoding_guide() -> None:
    """https://protobuf.dev/programming-guides/encoding/"""
    assert protobuf.whole(1, 150).hex() == "089601"
    assert protobuf.delimited(2, b"testing").hex() == "120774657374696e67"
    assert protobuf.packed(6, [3, 270, 86942]).hex() == "3206038e029ea705"
    assert protobuf.varint(-2).hex() == "feffffffffffffffff01"
    assert list(protobuf.fields(bytes.fromhex("089601120774657374696e67"))) == [
        (1, 0, 150),
        (2, 2, b"testing"),
    ]
    assert protobuf.varints(bytes.fromhex("038e029ea705")) == [3, 270, 86942]
    assert protobuf.signed(protobuf.read_varint(bytes.fromhex("feffffffffffffffff01"), 0)[0]) == -2


RAW = {
    "BOOL": [True, False], "INT8": [-128, 127], "INT16": [-32768, 1], "INT32": [-1, 2**31 - 1],
    "INT64": [-(2**63), 5], "UINT8": [0, 255], "UINT16": [1, 65535], "UINT32": [2**32 - 1],
    "UINT64": [2**64 - 1], "FP16": [1.5, -2.0], "BF16": [1.0, -0.5], "FP32": [0.25], "FP64": [1e300],
    "BYTES": ["", "größer"],
}  # fmt: skip


@pytest.mark.parametrize("datatype", RAW)
def test_raw_contents(datatype: str) -> None:
    values = RAW[datatype]
    data = infer.raw(datatype, values)
    made = official.ModelInferResponse(raw_output_contents=[data])
    made.outputs.add(name="y", datatype=datatype, shape=[len(values)])
    assert infer.problem(made.SerializeToString(), infer.Asked("")) == ""
    assert infer.as_json(made.SerializeToString())["outputs"][0]["data"] == values
    made.raw_output_contents[0] = data + b"\x01"
    assert infer.problem(made.SerializeToString(), infer.Asked("")) != ""
    made.raw_output_contents.append(data)
    assert "1 outputs, and raw contents of 2" in infer.problem(made.SerializeToString(), infer.Asked(""))


def test_half_precision_goes_raw_and_takes_all_inputs_along() -> None:
    payload = {
        "inputs": [
            {"name": "a", "datatype": "FP16", "shape": [2], "data": [1, -0.5]},
            {"name": "b", "datatype": "INT32", "shape": [1], "data": [7]},
        ]
    }
    read = official.ModelInferRequest.FromString(infer.request(payload, "m", "").data)
    assert list(read.raw_input_contents) == [struct.pack("<2e", 1, -0.5), struct.pack("<i", 7)]
    assert not any(one.HasField("contents") for one in read.inputs)


def test_bfloat_is_rounded_to_even_and_keeps_what_is_no_number() -> None:
    assert infer.raw("BF16", [1.00390625]) == b"\x80\x3f"  # half way, to the even one below
    assert infer.raw("BF16", [1.01171875]) == b"\x82\x3f"  # half way, to the even one above
    assert math.isnan(struct.unpack("<f", b"\0\0" + infer.raw("BF16", [math.nan]))[0])


GOOD: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
BAD = {
    "no model": ({}, "names the model"),
    "no inputs": ({"inputs": []}, "no inputs"),
    "inputs that are none": ({"inputs": {"x": 1}}, "inputs is no list"),
    "a key of V1": ({"instances": [1]}, "'instances'"),
    "an id that is a number": ({"id": 7}, "id is no text"),
    "no name": ({"inputs": [{"datatype": "FP32"}]}, "with a name"),
    "no datatype": ({"inputs": [{**GOOD["inputs"][0], "datatype": "FP8"}]}, "datatype"),
    "no data": ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2]}]}, "data"),
    "a shape of text": ({"inputs": [{**GOOD["inputs"][0], "shape": ["2"]}]}, "whole numbers"),
    "a shape below zero": ({"inputs": [{**GOOD["inputs"][0], "shape": [-1]}]}, "below zero"),
    "too few": ({"inputs": [{**GOOD["inputs"][0], "shape": [3]}]}, "3 elements, and it has 2"),
    "text in numbers": ({"inputs": [{**GOOD["inputs"][0], "data": ["1", 2]}]}, "none of FP32"),
    "true in numbers": ({"inputs": [{**GOOD["inputs"][0], "data": [True, 2]}]}, "none of FP32"),
    "a fraction in whole numbers": (
        {"inputs": [{**GOOD["inputs"][0], "datatype": "INT8", "data": [0.5, 2]}]},
        "none of INT8",
    ),
    "beyond": ({"inputs": [{**GOOD["inputs"][0], "datatype": "INT8", "data": [128, 2]}]}, "beyond INT8"),
    "beyond a float": ({"inputs": [{**GOOD["inputs"][0], "data": [1e39, 2]}]}, "beyond FP32"),
    "two as true": ({"inputs": [{**GOOD["inputs"][0], "datatype": "BOOL"}]}, "neither true nor false"),
    "numbers as text": ({"inputs": [{**GOOD["inputs"][0], "datatype": "BYTES"}]}, "no text"),
    "a parameter that is a list": ({"parameters": {"p": []}}, "'p'"),
    "parameters that are none": ({"parameters": [1]}, "no mapping"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_payload_is_refused_in_words(what: str) -> None:
    change, words = BAD[what]
    with pytest.raises(infer.BadPayload, match=words):
        infer.request({**GOOD, **change}, "" if what == "no model" else "m", "")


def test_a_message_of_a_stream_is_tritons_or_mlservers() -> None:
    own = official.answer(ident="a")
    wrapped = official.ModelStreamInferResponse(infer_response=own)
    for made in (own, wrapped):
        answer, error = infer.answer_of(made.SerializeToString())
        assert (official.ModelInferResponse.FromString(answer), error) == (own, False)
    said = official.ModelStreamInferResponse(error_message="no", infer_response=own)
    assert infer.answer_of(said.SerializeToString())[1] is True
    assert infer.answer_of(b"") == (b"", False)


@pytest.mark.parametrize("final", [True, False, None])
def test_the_last_answer_of_a_stream_may_say_so(final: bool | None) -> None:
    made = official.answer()
    if final is not None:
        made.parameters.add(key="triton_final_response").value.bool_param = final
    made.parameters.add(key="other").value.int64_param = -3
    assert infer.final_of(made.SerializeToString()) is final
    assert infer.as_json(made.SerializeToString())["parameters"]["other"] == -3


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_cut_answer_is_no_whole_one(cut: int) -> None:
    data = official.answer(ident="abc").SerializeToString()
    with contextlib.suppress(protobuf.Unreadable):
        assert infer.problem(data[:-cut], infer.Asked("abc")) != ""


def test_contents_of_another_datatype_are_wrong() -> None:
    made = official.answer()
    made.outputs[0].datatype = "FP64"
    assert "not those of FP64" in infer.problem(made.SerializeToString(), infer.Asked(""))
    made.outputs[0].datatype = "FLOAT"
    assert "none of the V2 protocol" in infer.problem(made.SerializeToString(), infer.Asked(""))
    with pytest.raises(BadTensor):
        infer.values_raw("FP32", b"\0")


def test_the_payload_may_be_the_json_of_v2_rest() -> None:
    text = '{"id": "7", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'
    read = official.ModelInferRequest.FromString(infer.request(json.loads(text), "m", "").data)
    assert (read.id, list(read.inputs[0].contents.fp32_contents)) == ("7", [1.0, 2.0])


@pytest.mark.parametrize(("named", "right"), [("iris", True), ("", True), ("Iris", False), ("iris-2", False)])
def test_an_answer_of_another_model_is_none(named: str, right: bool) -> None:
    data = official.answer(named, "1", "").SerializeToString()
    found = infer.problem(data, infer.Asked("", "iris"))
    assert found == ("" if right else "the answer is another model's than iris")
