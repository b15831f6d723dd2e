# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is asked to do: one plain record, checked whole before anything starts."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import Any

from .duration import SECOND
from .errors import LoadError, refuse_nul

CONNECTION_MODES = ("keep-alive", "new", "both")
PACING = ("open", "closed")
MAX_CONNECTIONS = 10000
MAX_RATE = 1_000_000  # no process comes near it
MAX_HEAD = (
    1024 * 1024
)  # bytes read of a head; Envoy and nginx send no more than 64 KiB, Go's client reads 1 MiB
MAX_INTERIM = 100
MIN_HEAD, LARGEST_HEAD = 1024, 64 * 1024 * 1024
_JSON_TYPES = {
    "str": ("str",), "bool": ("bool",), "int": ("int",), "float": ("int", "float"), "list": ("list",),
}  # fmt: skip
_NOT_NEGATIVE = (
    "duration", "calls", "warmup", "abort_failures", "ledger_limit", "stop_at", "max_interim", "max_duration",
)  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass
class Options:
    """Times in nanoseconds. `rate` is requests a second, 0 for as fast as possible.

    `duration` and `calls` of 0 set no end; `stop_at` is seconds since the epoch, 0 for none. A run that has
    neither `duration` nor `stop_at` ends after `max_duration` all the same (0: never, which is for runs that
    somebody watches).
    `max_head` (bytes) and `max_interim` bound what is read of an answer before its body. `pacing` is `open`
    (an absolute schedule that no slow answer delays, on up to `max_connections`) or `closed` (as Fortio's:
    each of `connections` sends its next request when due and not before the last was answered).
    Over gRPC, which the URL's scheme says, each kept connection carries up to `streams` requests at once, and
    `grpc_method` is what is called, which answers with several messages if `grpc_stream`.
    `connection_modes` says whether connections are kept (`keep-alive`), made for each request (`new`), or
    both in turn.
    """

    url: str
    name: str = "load"
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    rate: float = 0
    pacing: str = "open"
    catch_up: bool = True
    duration: int = 0
    calls: int = 0
    stop_at: float = 0
    connections: int = 4
    max_connections: int = 0
    timeout: int = 3 * SECOND
    connection_modes: str = "keep-alive"
    warmup: int = 0
    abort_failures: int = 0
    revision_header: str = ""
    revision_field: str = ""
    expect_status: list[int] = field(default_factory=list)
    expect_body: str = ""
    request_ids: bool = True
    grpc_method: str = "ModelInfer"
    grpc_stream: bool = False
    streams: int = 100
    address: str = ""
    unix_socket: str = ""
    server_name: str = ""
    verify: bool = True
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    ledger_limit: int = 10000
    max_head: int = MAX_HEAD
    max_interim: int = MAX_INTERIM
    max_duration: int = 4 * 3600 * SECOND
    labels: str = ""

    @property
    def exact_rate(self) -> Fraction:
        """The rate as written in decimal: 0.1 is one tenth."""
        return Fraction(str(self.rate))

    @property
    def grpc(self) -> bool:
        """Whether gRPC over HTTP/2 is spoken."""
        return self.url.startswith(("grpc://", "grpcs://"))

    @property
    def verb(self) -> str:
        """The method: POST where there is a payload and none is named, as Fortio does."""
        return self.method.upper() or ("POST" if self.payloads or self.grpc else "GET")

    @property
    def pool(self) -> int:
        """How many requests may be in flight at once, which is how many connections may be open.

        An open loop must not wait for answers, so unless it is bounded it may have as many requests in flight
        as fall due within one time-out, up to 1,000.
        """
        if self.rate == 0 or self.pacing == "closed":
            return self.connections * (self.streams if self.grpc and self.connection_modes != "new" else 1)
        if self.max_connections:
            return max(self.connections, self.max_connections)
        due = math.ceil(self.exact_rate * self.timeout / SECOND)
        return max(self.connections, min(1000, due + self.connections))

    @property
    def planned(self) -> int:
        """How many requests the run will send at most; 0 where only time or a stop ends it."""
        planned = math.floor(self.exact_rate * self.duration / SECOND) if self.rate and self.duration else 0
        return min(planned, self.calls) if planned and self.calls else planned or self.calls

    def check(self) -> None:
        """Raise LoadError for the first option that makes no sense."""
        self._check_numbers()
        self._check_choices()
        self._check_request()

    def _check_numbers(self) -> None:
        if not 0 <= self.rate <= MAX_RATE:
            raise LoadError(
                f"The rate {self.rate} must be a number from 0 to {MAX_RATE} (0 is as fast as possible)."
            )
        if not 1 <= self.connections <= MAX_CONNECTIONS:
            raise LoadError(
                f"The number of connections {self.connections} must be from 1 to {MAX_CONNECTIONS}."
            )
        if not 0 <= self.max_connections <= MAX_CONNECTIONS:
            raise LoadError(f"max_connections {self.max_connections} must be from 0 to {MAX_CONNECTIONS}.")
        if not 1 <= self.streams <= MAX_CONNECTIONS:
            raise LoadError(f"The number of streams {self.streams} must be from 1 to {MAX_CONNECTIONS}.")
        if not MIN_HEAD <= self.max_head <= LARGEST_HEAD:
            raise LoadError(f"max_head {self.max_head} must be from {MIN_HEAD} to {LARGEST_HEAD} bytes.")
        if self.timeout < 1_000_000:
            raise LoadError("The timeout must be at least one millisecond.")
        for what in _NOT_NEGATIVE:
            value = getattr(self, what)
            if value < 0:
                raise LoadError(f"{what} must not be negative.")
            if not math.isfinite(value):
                raise LoadError(f"{what} must be a finite number, not {value}.")
        if self.rate and self.duration and not self.planned:
            raise LoadError("The duration is too short for one request at this rate.")

    def _check_choices(self) -> None:
        if self.connection_modes not in CONNECTION_MODES:
            raise LoadError(
                f"connection_modes must be one of {', '.join(CONNECTION_MODES)}, "
                f"not {self.connection_modes!r}."
            )
        if self.pacing not in PACING:
            raise LoadError(f"pacing must be one of {', '.join(PACING)}, not {self.pacing!r}.")
        if bool(self.client_key) and not self.client_cert:
            raise LoadError("client_key needs client_cert.")
        for what in ("ca_file", "client_cert", "client_key", "unix_socket"):
            refuse_nul(getattr(self, what), what)
        for status in self.expect_status:
            if not 200 <= status <= 999:
                raise LoadError(f"The expected status {status} is not a final HTTP status.")

    def _check_request(self) -> None:
        if self.grpc and (self.method or self.expect_status):
            raise LoadError(
                "A gRPC call is always a POST, and right with the status 200 and grpc-status 0: "
                "leave out method and expect_status."
            )
        if not self.grpc and (self.grpc_method != "ModelInfer" or self.grpc_stream):
            raise LoadError("grpc_method and grpc_stream need a URL that begins with grpc:// or grpcs://.")
        if self.method and not _TOKEN.fullmatch(self.method):
            raise LoadError(f"The method {self.method!r} is not an HTTP method.")
        names = [name.lower() for name, _value in self.headers]
        for name, value in self.headers:
            if not _TOKEN.fullmatch(name):
                raise LoadError(f"The header name {name!r} is not valid in HTTP.")
            if any(ord(c) > 255 or ord(c) == 127 or (ord(c) < 32 and c != "\t") for c in value):
                raise LoadError(f"The value of header {name!r} has a character that HTTP does not allow.")
            if name.lower() in ("content-length", "transfer-encoding", "connection"):
                raise LoadError(f"The header {name!r} is set by the engine and cannot be given.")
            if names.count(name.lower()) > 1:
                raise LoadError(f"The header {name!r} is given twice.")

    def to_json(self) -> dict[str, Any]:
        """All of it, payloads in base64: it may hold credentials, so it is only ever piped, not stored."""
        return {**asdict(self), "payloads": [base64.b64encode(payload).decode() for payload in self.payloads]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Options:
        """The reverse of `to_json`; unknown names are an error."""
        if not isinstance(data, dict):
            raise LoadError("The options must be an object, with at least a url.")
        known = {item.name: str(item.type).partition("[")[0] for item in fields(cls)}
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise LoadError(f"Unknown options: {', '.join(unknown)}.")
        if "url" not in data:
            raise LoadError("The options name no url.")
        for name, value in data.items():
            if type(value).__name__ not in _JSON_TYPES[known[name]]:
                raise LoadError(f"The option {name} must be of type {known[name]}.")
        if not all(type(status) is int for status in data.get("expect_status", [])):
            raise LoadError("The option expect_status must list whole numbers.")
        given = dict(data)
        try:
            given["payloads"] = [base64.b64decode(text, validate=True) for text in data.get("payloads", [])]
        except (ValueError, TypeError):
            raise LoadError("The option payloads must list texts in base64.") from None
        try:
            given["headers"] = [(str(name), str(value)) for name, value in data.get("headers", [])]
        except (ValueError, TypeError):
            raise LoadError("The option headers must list pairs of a name and a value.") from None
        return cls(**given)

    def fingerprint(self) -> str:
        """A digest that tells whether two runs were asked for alike, without storing what was asked."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
