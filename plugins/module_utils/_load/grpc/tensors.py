# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensors of the V2 protocol: which numbers a datatype holds, and how JSON, fields and raw bytes carry them.

The datatypes are those of https://github.com/kserve/open-inference-protocol, the fields those of its
InferTensorContents. FP16 and BF16 have no field and go as raw bytes alone: little-endian, a text with its
length (four bytes) before it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from .protobuf import BYTES, VARINT, Unreadable, count_varints, delimited, packed, signed, varints

_LENGTH = struct.Struct("<I")


class BadTensor(Exception):
    """The data are not what datatype and shape say."""


class Datatype(NamedTuple):
    """`field` is its number in InferTensorContents (0: none), `code` what struct calls one element."""

    field: int
    code: str

    @property
    def size(self) -> int:
        """The bytes of one element as raw bytes; 0 for texts."""
        return struct.calcsize("<" + self.code) if self.code else 0


DATATYPES = {
    "BOOL": Datatype(1, "?"), "INT8": Datatype(2, "b"), "INT16": Datatype(2, "h"), "INT32": Datatype(2, "i"),
    "INT64": Datatype(3, "q"), "UINT8": Datatype(4, "B"), "UINT16": Datatype(4, "H"),
    "UINT32": Datatype(4, "I"), "UINT64": Datatype(5, "Q"), "FP16": Datatype(0, "e"),
    "BF16": Datatype(0, "H"), "FP32": Datatype(6, "f"), "FP64": Datatype(7, "d"), "BYTES": Datatype(8, ""),
}  # fmt: skip
_FLOATS = ("FP16", "BF16", "FP32", "FP64")
_OF_FIELD = {6: 4, 7: 8}  # the bytes of one element in the fields of floating numbers


def flat(data: Any) -> Iterator[Any]:
    """The elements of nested lists, row by row."""
    if isinstance(data, list):
        for one in data:
            yield from flat(one)
    else:
        yield data


def elements(shape: list[int]) -> int:
    """How many elements a tensor of this shape has. Raises BadTensor."""
    if any(length < 0 for length in shape):
        raise BadTensor("a length of its shape is below zero")
    return math.prod(shape)


def contents(name: str, values: list[Any]) -> bytes:
    """InferTensorContents with these values. Raises BadTensor for what the datatype cannot hold."""
    kind = DATATYPES[name]
    if name == "BYTES":
        return b"".join(delimited(kind.field, text) for text in _texts(values))
    raw_bytes = raw(name, values)  # which also checks them
    if kind.field in _OF_FIELD:
        return delimited(kind.field, raw_bytes) if values else b""
    return packed(kind.field, map(int, values))


def raw(name: str, values: list[Any]) -> bytes:
    """The values as raw bytes. Raises BadTensor for what the datatype cannot hold."""
    kind = DATATYPES[name]
    if name == "BYTES":
        return b"".join(_LENGTH.pack(len(text)) + text for text in _texts(values))
    allowed = (int, float) if name in _FLOATS else (int,)
    if any(
        not isinstance(value, allowed) or (isinstance(value, bool) and name != "BOOL") for value in values
    ):
        raise BadTensor(f"it has an element that is none of {name}")
    if name == "BOOL" and any(value not in (0, 1) for value in values):
        raise BadTensor("it has an element that is neither true nor false")
    try:
        if name == "BF16":
            return b"".join(_bfloat(value) for value in values)
        return struct.pack(f"<{len(values)}{kind.code}", *values)
    except (struct.error, OverflowError):
        raise BadTensor(f"it has an element that is beyond {name}") from None


def _bfloat(value: float) -> bytes:
    """The upper half of the FP32, rounded to the nearest, to the even one of two."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return struct.pack("<H", (bits if math.isnan(value) else bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def _texts(values: list[Any]) -> Iterator[bytes]:
    for value in values:
        if not isinstance(value, str):
            raise BadTensor("it has an element that is no text")
        yield value.encode()


def count_of(field: int, wire: int, value: int | bytes) -> int:
    """How many elements a field of InferTensorContents adds: packed, or one. Raises Unreadable."""
    if field == DATATYPES["BYTES"].field or wire != BYTES or isinstance(value, int):
        return 1
    size = _OF_FIELD.get(field)
    if size is None:
        return count_varints(value)
    if len(value) % size:
        raise Unreadable("a number is cut off")
    return len(value) // size


def values_of(field: int, wire: int, value: int | bytes) -> list[Any]:
    """The elements themselves; texts that are not UTF-8 as Latin-1. Raises Unreadable."""
    if field == DATATYPES["BYTES"].field:
        return [_shown(value)] if isinstance(value, bytes) else []
    if isinstance(value, int):
        numbers = [value]
    elif field in _OF_FIELD:
        code = "f" if field == DATATYPES["FP32"].field else "d"
        count_of(field, wire, value)
        return list(struct.unpack(f"<{len(value) // _OF_FIELD[field]}{code}", value))
    else:
        numbers = varints(value) if wire != VARINT else []
    if field == DATATYPES["BOOL"].field:
        return [bool(number) for number in numbers]
    unsigned = field in (DATATYPES["UINT32"].field, DATATYPES["UINT64"].field)
    return numbers if unsigned else [signed(number) for number in numbers]


def count_raw(name: str, data: bytes) -> int:
    """How many elements raw bytes hold. Raises BadTensor if the last is cut off."""
    size = DATATYPES[name].size
    if not size:
        return len(list(_raw_texts(data)))
    if len(data) % size:
        raise BadTensor("its raw bytes end in the middle of an element")
    return len(data) // size


def values_raw(name: str, data: bytes) -> list[Any]:
    """The elements that raw bytes hold. Raises BadTensor."""
    count = count_raw(name, data)
    if name == "BYTES":
        return [_shown(text) for text in _raw_texts(data)]
    values = list(struct.unpack(f"<{count}{DATATYPES[name].code}", data))
    if name == "BF16":
        return [struct.unpack("<f", struct.pack("<I", value << 16))[0] for value in values]
    return values


def _raw_texts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        begin = at + _LENGTH.size
        at = begin + (_LENGTH.unpack_from(data, at)[0] if begin <= len(data) else 0)
        if at > len(data) or begin > len(data):
            raise BadTensor("its raw bytes end in the middle of an element")
        yield data[begin:at]


def _shown(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
