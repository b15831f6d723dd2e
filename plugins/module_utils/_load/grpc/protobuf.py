# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire format of protocol buffers, as far as the V2 protocol needs it: fields in, fields out.

https://protobuf.dev/programming-guides/encoding/. What a field means is not known here. Groups, which no
proto3 message has, are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Union

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the wire types
_SIZES = {FIXED64: 8, FIXED32: 4}
_MASK = (1 << 64) - 1
_MAX_VARINT = 10  # bytes
_GOING_ON = bytes(range(128, 256))  # the bytes of a varint but its last

# Its number, its wire type, and the number of a varint or the bytes of any other.
Field = tuple[int, int, Union[int, bytes]]


class Unreadable(Exception):
    """The bytes are no message."""


def varint(value: int) -> bytes:
    """A whole number of at most 64 bits; one below zero as its two's complement, in ten bytes."""
    value &= _MASK
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def whole(number: int, value: int) -> bytes:
    """A field that is a varint."""
    return varint(number << 3 | VARINT) + varint(value)


def double(number: int, eight: bytes) -> bytes:
    """A field of eight bytes."""
    return varint(number << 3 | FIXED64) + eight


def delimited(number: int, data: bytes) -> bytes:
    """A field that is bytes, a text in UTF-8, a message, or packed numbers."""
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def packed(number: int, values: Iterable[int]) -> bytes:
    """A repeated field of varints; nothing for none."""
    data = b"".join(map(varint, values))
    return delimited(number, data) if data else b""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at an index (unsigned, 64 bits), and where it ends. Raises Unreadable."""
    value = shift = 0
    for end in range(at, min(at + _MAX_VARINT, len(data))):
        byte = data[end]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, end + 1
        shift += 7
    raise Unreadable("a number is cut off or too long")


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in their order. Raises Unreadable where the bytes are none."""
    at, size = 0, len(data)
    while at < size:
        tag, at = read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise Unreadable("a field has a number that there cannot be")
        if wire == VARINT:
            value, at = read_varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, at = read_varint(data, at)
        elif wire in _SIZES:
            length = _SIZES[wire]
        else:
            raise Unreadable(f"a field is of the wire type {wire}")
        if at + length > size:
            raise Unreadable("a field is cut off")
        yield number, wire, data[at : at + length]
        at += length


def signed(value: int) -> int:
    """A varint's 64 bits as the signed number that int32 and int64 mean by them."""
    return value - (1 << 64) if value >> 63 else value


def varints(data: bytes) -> list[int]:
    """Packed varints, unsigned. Raises Unreadable."""
    values, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        values.append(value)
    return values


def count_varints(data: bytes) -> int:
    """How many varints are packed here, without reading them. Raises Unreadable if the last is cut off."""
    if data and data[-1] > 127:
        raise Unreadable("a number is cut off")
    return len(data.translate(None, _GOING_ON))


def text(value: int | bytes) -> str:
    """A field that is a text. Raises Unreadable where it is none."""
    if isinstance(value, int):
        raise Unreadable("a number stands where a text belongs")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unreadable("a text is not UTF-8") from None
