# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of the V2 protocol: a request from the JSON of V2 REST, and answers checked and read.

Numbers of fields: grpc_predict_v2.proto of KServe; what ModelStreamInfer answers with is Triton's
ModelStreamInferResponse (an error's text, and a ModelInferResponse) or, with MLServer, a ModelInferResponse.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .protobuf import (
    BYTES,
    FIXED64,
    Unreadable,
    delimited,
    double,
    fields,
    packed,
    signed,
    text,
    varints,
    whole,
)
from .tensors import (
    DATATYPES,
    BadTensor,
    contents,
    count_of,
    count_raw,
    elements,
    flat,
    raw,
    values_of,
    values_raw,
)

_ERROR, _ANSWER = 1, 2  # of ModelStreamInferResponse
_NAME, _VERSION, _ID, _PARAMETERS, _TENSORS, _OUTPUTS, _RAW_INPUT = range(1, 8)  # of ModelInferRequest
_RAW_OUTPUT = 6  # of ModelInferResponse, whose other fields are numbered alike
_T_NAME, _T_DATATYPE, _T_SHAPE, _T_PARAMETERS, _T_CONTENTS = range(1, 6)  # of a tensor
_BOOL, _INT64, _STRING, _DOUBLE, _UINT64 = range(1, 6)  # of InferParameter
_FINAL = "triton_final_response"


class BadPayload(Exception):
    """The JSON is no request of the V2 protocol."""


class Encoded(NamedTuple):
    """A ModelInferRequest, and where in it the bytes of its id stand (empty without one)."""

    data: bytes
    id_at: slice


# A request from JSON


def request(payload: Mapping[str, Any], name: str, version: str) -> Encoded:
    """The message of a V2 REST payload, for a model where the payload names none. Raises BadPayload."""
    known = {"model_name", "model_version", "id", "parameters", "inputs", "outputs"}
    unknown = sorted(set(payload) - known)
    if unknown:
        raise BadPayload(f"the V2 protocol has no {unknown[0]!r} in a request")
    name, version, ident = (
        _text(payload.get(key, default), key)
        for key, default in (("model_name", name), ("model_version", version), ("id", ""))
    )
    if not name:
        raise BadPayload("neither the URL (grpc://HOST:PORT/v2/models/NAME) nor the payload names the model")
    head = b"".join(
        delimited(number, value.encode()) for number, value in ((_NAME, name), (_VERSION, version)) if value
    )
    if ident:
        head += delimited(_ID, ident.encode())
    id_at = slice(len(head) - len(ident.encode()), len(head))
    inputs = _list(payload.get("inputs"), "inputs")
    if not inputs:
        raise BadPayload("it has no inputs")
    data = head + _parameters(_PARAMETERS, payload)
    as_raw = any(isinstance(one, Mapping) and one.get("datatype") in ("FP16", "BF16") for one in inputs)
    read = [_input(one, as_raw) for one in inputs]
    data += b"".join(delimited(_TENSORS, tensor) for tensor, _raw in read)
    data += b"".join(
        delimited(_OUTPUTS, _tensor_head(one, "outputs") + _parameters(2, one))
        for one in _list(payload.get("outputs", []), "outputs")
    )
    return Encoded(data + b"".join(delimited(_RAW_INPUT, each) for _t, each in read if as_raw), id_at)


def _input(one: Any, as_raw: bool) -> tuple[bytes, bytes]:
    """A tensor, and its raw bytes if it is to be sent so."""
    head = _tensor_head(one, "inputs")
    name, datatype, shape = one["name"], one.get("datatype"), _list(one.get("shape"), "shape")
    if datatype not in DATATYPES:
        raise BadPayload(f"the input {name!r} has no datatype of {', '.join(DATATYPES)}")
    if not all(type(length) is int for length in shape) or "data" not in one:
        raise BadPayload(f"the input {name!r} needs a shape of whole numbers, and data")
    values = list(flat(one["data"]))
    try:
        if elements(shape) != len(values):
            raise BadTensor(f"its shape asks for {elements(shape)} elements, and it has {len(values)}")
        raw_bytes = raw(datatype, values) if as_raw else b""
        held = b"" if as_raw else contents(datatype, values)
    except BadTensor as problem:
        raise BadPayload(f"the input {name!r}: {problem}") from None
    tensor = head + delimited(_T_DATATYPE, datatype.encode()) + packed(_T_SHAPE, shape)
    tensor += _parameters(_T_PARAMETERS, one)
    return tensor + (delimited(_T_CONTENTS, held) if held else b""), raw_bytes


def _tensor_head(one: Any, what: str) -> bytes:
    if not isinstance(one, Mapping) or not one.get("name"):
        raise BadPayload(f"one of its {what} is none with a name")
    return delimited(_T_NAME, _text(one["name"], "name").encode())


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadPayload(f"its {what} is no text")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadPayload(f"its {what} is no list")
    return value


def _parameters(number: int, owner: Mapping[str, Any]) -> bytes:
    """A map of parameters as its entries."""
    given = owner.get("parameters") or {}
    if not isinstance(given, Mapping):
        raise BadPayload("its parameters are no mapping")
    return b"".join(
        delimited(number, delimited(1, str(name).encode()) + delimited(2, _parameter(name, value)))
        for name, value in given.items()
    )


def _parameter(name: str, value: Any) -> bytes:
    if isinstance(value, bool):
        return whole(_BOOL, value)
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return whole(_INT64 if value < 1 << 63 else _UINT64, value)
    if isinstance(value, float):
        return double(_DOUBLE, struct.pack("<d", value))
    if isinstance(value, str):
        return delimited(_STRING, value.encode())
    raise BadPayload(f"the parameter {name!r} is neither a text, a number nor true or false")


def is_request(data: bytes) -> bool:
    """Whether bytes can be a ModelInferRequest: a model's name, and an input."""
    try:
        found = {number for number, wire, _value in fields(data) if wire == BYTES}
    except Unreadable:
        return False
    return {_NAME, _TENSORS} <= found <= set(range(_NAME, _RAW_INPUT + 1))


class Asked(NamedTuple):
    """What an answer has to repeat of its request; empty where that says nothing."""

    ident: str = ""
    model: str = ""


def asked_by(data: bytes) -> Asked:
    """What a ModelInferRequest says. Raises Unreadable."""
    found = {number: text(value) for number, _wire, value in fields(data) if number in (_NAME, _ID)}
    return Asked(found.get(_ID, ""), found.get(_NAME, ""))


# Answers


def answer_of(data: bytes) -> tuple[bytes, bool]:
    """The ModelInferResponse that a message of a stream holds or is, and whether it tells of an error.

    Where both are possible, by the fields 1 and 2 alone, an answer without outputs is none either way.
    """
    error, answer, other = False, b"", False
    for number, wire, value in fields(data):
        if number == _ERROR and wire == BYTES:
            error = bool(value)
        elif number == _ANSWER and isinstance(value, bytes):
            answer = value
        else:
            other = True
    return (data, False) if other else (answer, error)


def problem(data: bytes, asked: Asked) -> str:
    """What is wrong with a ModelInferResponse, empty if nothing is. Raises Unreadable."""
    tensors: list[bytes] = []
    raws: list[bytes] = []
    ident = model = ""
    for number, _wire, value in fields(data):
        if number == _ID:
            ident = text(value)
        elif number == _NAME:
            model = text(value)
        elif isinstance(value, bytes) and number in (_TENSORS, _RAW_OUTPUT):
            (tensors if number == _TENSORS else raws).append(value)
        elif number == _VERSION:
            text(value)
    if asked.ident and ident != asked.ident:
        return "the answer does not have the request's id"
    if asked.model and model not in ("", asked.model):
        return f"the answer is another model's than {asked.model}"
    if not tensors:
        return "the answer has no outputs"
    if raws and len(raws) != len(tensors):
        return f"the answer has {len(tensors)} outputs, and raw contents of {len(raws)}"
    try:
        for place, tensor in enumerate(tensors):
            _check_output(tensor, raws[place] if raws else None)
    except BadTensor as wrong:
        return f"an output of the answer is not whole: {wrong}"
    return ""


class _Output(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any]
    held: list[tuple[int, int, Any]]  # the fields of its contents


def _output(data: bytes) -> _Output:
    name = datatype = ""
    shape: list[int] = []
    parameters: dict[str, Any] = {}
    held: list[tuple[int, int, Any]] = []
    for number, _wire, value in fields(data):
        if number == _T_NAME:
            name = text(value)
        elif number == _T_DATATYPE:
            datatype = text(value)
        elif number == _T_SHAPE:
            shape += [signed(each) for each in (varints(value) if isinstance(value, bytes) else [value])]
        elif number == _T_PARAMETERS:
            parameters.update(_entry(value))
        elif number == _T_CONTENTS and isinstance(value, bytes):
            held += fields(value)
    return _Output(name, datatype, shape, parameters, held)


def _check_output(data: bytes, raw_bytes: bytes | None) -> None:
    """Raise BadTensor unless there are as many elements as the shape says."""
    output = _output(data)
    kind = DATATYPES.get(output.datatype)
    if kind is None:
        raise BadTensor("its datatype is none of the V2 protocol")
    if raw_bytes is not None and output.held:
        raise BadTensor("it has contents twice, as fields and raw")
    if any(number != kind.field for number, _wire, _value in output.held):
        raise BadTensor(f"its contents are not those of {output.datatype}")
    have = count_raw(output.datatype, raw_bytes) if raw_bytes is not None else sum(
        count_of(*field) for field in output.held
    )  # fmt: skip
    if have != elements(output.shape):
        raise BadTensor(f"its shape has {elements(output.shape)} elements, and there are {have}")


def as_json(data: bytes) -> dict[str, Any]:
    """A ModelInferResponse as V2 REST would have answered. Raises Unreadable, BadTensor."""
    made: dict[str, Any] = {"model_name": "", "model_version": "", "id": "", "parameters": {}, "outputs": []}
    names = {_NAME: "model_name", _VERSION: "model_version", _ID: "id"}
    raws: list[bytes] = []
    for number, _wire, value in fields(data):
        if number in names:
            made[names[number]] = text(value)
        elif number == _PARAMETERS:
            made["parameters"].update(_entry(value))
        elif number == _TENSORS and isinstance(value, bytes):
            made["outputs"].append(_output(value))
        elif number == _RAW_OUTPUT and isinstance(value, bytes):
            raws.append(value)
    made["outputs"] = [
        {**output._asdict(), "data": _values(output, raws[place] if place < len(raws) else None)}
        for place, output in enumerate(made["outputs"])
    ]
    for output in made["outputs"]:
        del output["held"]
    return made


def _values(output: _Output, raw_bytes: bytes | None) -> list[Any]:
    if raw_bytes is not None and output.datatype in DATATYPES:
        return values_raw(output.datatype, raw_bytes)
    return [value for field in output.held for value in values_of(*field)]


def _entry(data: int | bytes) -> Iterator[tuple[str, Any]]:
    """An entry of a map of parameters."""
    name, value = "", None
    for number, _wire, part in fields(data) if isinstance(data, bytes) else ():
        if number == 1:
            name = text(part)
        elif number == 2 and isinstance(part, bytes):
            value = _choice(part)
    yield name, value


def _choice(data: bytes) -> Any:
    value: Any = None
    for number, wire, part in fields(data):
        if number == _STRING:
            value = text(part)
        elif wire == FIXED64 and isinstance(part, bytes):
            value = struct.unpack("<d", part)[0]
        elif isinstance(part, int):
            value = {_BOOL: bool(part), _INT64: signed(part)}.get(number, part)
    return value


def final_of(data: bytes) -> bool | None:
    """Whether an answer of a stream says that it is the last (Triton), None if it says nothing of that."""
    for number, _wire, value in fields(data):
        if number == _PARAMETERS:
            for name, told in _entry(value):
                if name == _FINAL:
                    return told is True
    return None
