# SPDX-License-Identifier: GPL-3.0-or-later
"""Which method is called, of which model, and what each call sends."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from ..duration import SECOND
from ..errors import LoadError
from ..http.request import UUID_MARK
from ..http.target import Target
from ..options import Options
from ..order import Order
from . import infer
from .protobuf import Unreadable

_SERVICE = "inference.GRPCInferenceService"
UNARY, STREAM = f"/{_SERVICE}/ModelInfer", f"/{_SERVICE}/ModelStreamInfer"
_METHOD = re.compile(r"/?([A-Za-z_][\w.]*)/([A-Za-z_]\w*)")
_MODEL = re.compile(r"/v2/models/([^/?]+)(?:/versions/([^/?]+))?(?:/infer)?/?")
_SET_BY_ENGINE = ("te", "content-type", "keep-alive", "proxy-connection", "upgrade")
# What the timeout is written in (at most eight digits), with how many nanoseconds each has.
_UNITS = (("n", 1), ("u", 1000), ("m", 1_000_000), ("S", SECOND))
_CLOSE = 1_000_000  # ns by which less than the whole time-out may be left without being told anew
_ID = b"x-request-id"
_CREDENTIALS = (b"authorization", b"proxy-authorization", b"cookie")  # as RFC 7541, 7.1.3 asks for


class Method(NamedTuple):
    """What is called. `v2`: its messages are those of the V2 protocol; `stream`: it answers with several."""

    path: str
    v2: bool
    stream: bool


def method_of(options: Options) -> Method:
    """The method that the options name. Raises LoadError."""
    given = options.grpc_method
    names = {"ModelInfer": UNARY, "ModelStreamInfer": STREAM}
    path = names.get(given, given)
    shape = _METHOD.fullmatch(path)
    if shape is None:
        raise LoadError(
            f"grpc_method {given!r} must be ModelInfer, ModelStreamInfer, or be written as "
            "package.Service/Method."
        )
    path = f"/{shape[1]}/{shape[2]}"
    return Method(path, path in (UNARY, STREAM), options.grpc_stream or path == STREAM)


class Message(NamedTuple):
    """One request's message with the five bytes before it.

    `uuid_at` is where fresh UUIDs go. The answer has to repeat the id, which stands at `id_at` (empty: none),
    and the model.
    """

    data: bytearray
    uuid_at: list[int]
    id_at: slice
    model: str


class Sent(NamedTuple):
    """What a call sends, and what its answer has to repeat.

    `fields` are the same for every call, `own` are this one's, or nothing for a table of the connection's.
    """

    fields: list[tuple[bytes, bytes]]
    own: list[tuple[bytes, bytes]]
    body: bytes
    asked: infer.Asked


def messages(options: Options, target: Target, method: Method) -> list[Message]:
    """One message for each payload, to be sent in turn. Raises LoadError."""
    path = target.path.partition("?")[0]
    model = _MODEL.fullmatch(path)
    if path != "/" and (model is None or not method.v2):
        raise LoadError(
            f"The path {path!r} of a grpc:// URL must be /v2/models/NAME (and /versions/VERSION) or empty; "
            "another service's method goes into grpc_method."
        )
    if not method.v2:
        return [_framed(payload, slice(0, 0), [], "") for payload in options.payloads or [b""]]
    if not options.payloads:
        raise LoadError("A gRPC inference needs a payload: the JSON of a V2 REST request, or a message.")
    name, version = (unquote(part or "") for part in (model.groups() if model else ("", "")))
    return [_inference(payload, name, version) for payload in options.payloads]


def _inference(payload: bytes, name: str, version: str) -> Message:
    """From JSON, or from a message that is serialised already."""
    place = str(uuid.uuid4()).encode()  # as long as what comes there, and found nowhere else
    try:
        given = json.loads(payload.replace(UUID_MARK, place))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, Mapping):
        if not infer.is_request(payload):
            raise LoadError(
                "The payload of a gRPC inference is neither a JSON object nor a serialised ModelInferRequest."
            )
        return _framed(payload, _id_in(payload), [], infer.asked_by(payload).model)
    try:
        data, id_at = infer.request(given, name, version)
    except infer.BadPayload as problem:
        raise LoadError(f"The payload is no inference request of the V2 protocol: {problem}.") from None
    places = [found.start() for found in re.finditer(re.escape(place), data)]
    return _framed(data, id_at, places, infer.asked_by(data).model)


def _id_in(data: bytes) -> slice:
    try:
        wanted = infer.asked_by(data).ident.encode()
    except Unreadable:
        raise LoadError("The id or the model in the serialised ModelInferRequest is no text.") from None
    at = data.find(wanted)
    return slice(at, at + len(wanted))


def _framed(data: bytes, id_at: slice, uuid_at: list[int], model: str) -> Message:
    head = b"\0" + len(data).to_bytes(4, "big")
    moved = slice(id_at.start + len(head), id_at.stop + len(head))
    return Message(bytearray(head + data), [at + len(head) for at in uuid_at], moved, model)


def timeout_text(nanoseconds: int) -> bytes:
    """A duration as the header grpc-timeout has it, exact as far as eight digits go."""
    unit, size = next(each for each in _UNITS if nanoseconds < 10**8 * each[1] or each == _UNITS[-1])
    return f"{max(1, min(nanoseconds // size, 10**8 - 1))}{unit}".encode()


class Calls(Order):
    """What each call of a run sends, and by which mode."""

    def __init__(self, options: Options, target: Target, run_id: str) -> None:
        self.method = method_of(options)
        self._messages = messages(options, target, self.method)
        super().__init__(options, len(self._messages))
        self._timeout = options.timeout
        named = {name.lower() for name, _value in options.headers}
        for name in named:
            if name in _SET_BY_ENGINE or name.startswith("grpc-"):
                raise LoadError(f"The header {name!r} is set by the engine in gRPC and cannot be given.")
        authority = next(
            (value for name, value in options.headers if name.lower() == "host"), target.authority
        )
        fields = [
            (":method", "POST"),
            (":scheme", "https" if target.secure else "http"),
            (":path", self.method.path),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *([] if "user-agent" in named else [("user-agent", "grpc-iter8.kfserving")]),
            *((name.lower(), value) for name, value in options.headers if name.lower() != "host"),
        ]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields]
        self._fields = [field for field in encoded if field[0] not in _CREDENTIALS]
        self._credentials = [field for field in encoded if field[0] in _CREDENTIALS]
        self._run = f"{run_id}-"
        self.id_prefix = self._run if _ID.decode() not in named else ""
        also = options.request_id_header.lower().encode()
        self._id_fields = [_ID] * bool(self.id_prefix)
        self._id_fields += [also] * bool(also and also not in self._id_fields)
        self._whole = timeout_text(options.timeout)

    def request_id(self, sequence: int) -> str | None:
        """The x-request-id that is sent with this number, None where the engine sends none."""
        return self._id(sequence) if self.id_prefix else None

    def sent_id(self, sequence: int) -> str | None:
        """The id that is sent with this number in whichever header, None where none is."""
        return self._id(sequence) if self._id_fields else None

    def _id(self, sequence: int) -> str:
        return f"{self._run}{sequence:010d}"

    def make(self, sequence: int, left: int) -> Sent:
        """What the call sends; `left` nanoseconds of its time are left."""
        message = self._messages[self.mix.index(sequence)]
        for at in message.uuid_at:
            message.data[at : at + 36] = str(uuid.uuid4()).encode()
        timeout = self._whole if self._timeout - left < _CLOSE else timeout_text(left)
        ident = self._id(sequence).encode()
        asked = infer.Asked(message.data[message.id_at].decode(), message.model)
        own = [*self._credentials, (b"grpc-timeout", timeout), *((name, ident) for name in self._id_fields)]
        return Sent(self._fields, own, bytes(message.data), asked)
