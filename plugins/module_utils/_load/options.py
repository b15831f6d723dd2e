# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is asked to do: one plain record, checked whole before anything starts."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from itertools import islice
from typing import Any

from . import arrivals
from .arrivals import MAX_RATE, Stretch
from .duration import SECOND
from .errors import LoadError, refuse_nul
from .payloads import check as check_payloads

CONNECTION_MODES = ("keep-alive", "new", "both")
PACING = ("open", "closed")
STREAMS = ("", "sse")
MAX_CONNECTIONS = 10000
MOST_UNASKED = 1000  # connections that an open loop may have without being told how many
MAX_PARTS = 1000
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
    "seed",
)  # fmt: skip
_ENGINES_OWN = ("content-length", "transfer-encoding", "connection")
_LISTED: dict[str, tuple[tuple[type, ...], str]] = {
    "expect_status": ((int,), "whole numbers"),
    "payload_names": ((str,), "texts"),
    "payload_weights": ((int, float), "numbers"),
    "send_times": ((int,), "whole numbers"),
}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def share(total: int, part: int, parts: int) -> int:
    """How many of the whole numbers below `total` leave the remainder `part` when divided by `parts`."""
    return max(0, -((part - total) // parts))


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

    `payloads` go out in turn, or where there are `payload_weights` by these, drawn with `seed`; the names are
    what a payload is told by. An open loop may be other than even (`arrivals` has the terms): `arrival` says
    how requests are spread, `profile` (steps) at which rates, and `send_times` (a trace, in order, the first
    at 0) names each time by itself. Both end the run when they are over, unless they `repeat`, and stand in
    the place of `rate`. `request_id_header` names one more header with the id of the request.

    `stream` of `sse` asks for answers that are streamed: `timeout` is then how long nothing may be heard, and
    `stream_timeout` how long the whole may take.

    `connection_modes` says whether connections are kept (`keep-alive`), made for each request (`new`), or
    both in turn.

    Several generators may send one load together: this one sends the requests whose number in the schedule
    leaves the remainder `part` when divided by `parts`. `rate`, `calls` and `duration` are the whole load's
    then, `connections`, `max_connections` and `warmup` this generator's own (`part_of`). `start_at` is when
    the schedule begins, in seconds since the epoch (0: at once), and `clock_ahead` by how many nanoseconds
    the wall clock here is ahead of the one that all times are told by, also `start_at` and `stop_at`.
    """

    url: str
    name: str = "load"
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    payload_names: list[str] = field(default_factory=list)
    payload_weights: list[float] = field(default_factory=list)
    seed: int = 0
    rate: float = 0
    arrival: str = "uniform"
    profile: list[Stretch] = field(default_factory=list)
    send_times: list[int] = field(default_factory=list)
    repeat: bool = False
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
    grpc_method: str = "ModelInfer"
    grpc_stream: bool = False
    streams: int = 100
    request_id_header: str = ""
    stream: str = ""
    stream_timeout: int = 600 * SECOND
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
    part: int = 0
    parts: int = 1
    start_at: float = 0
    clock_ahead: int = 0

    @property
    def exact_rate(self) -> Fraction:
        """The rate of the whole load as written in decimal: 0.1 is one tenth."""
        return Fraction(str(self.rate))

    @property
    def numbering(self) -> tuple[int, int, int]:
        """How its requests are numbered in the whole load: its part, of how many, and its warm-up."""
        return self.part, self.parts, self.warmup

    @property
    def mode_shift(self) -> int:
        """By how many requests its turns of connection modes are shifted: of several generators half begin
        with the other mode, and each takes both."""
        return self.part - self.warmup if self.parts > 1 else 0

    @property
    def open_loop(self) -> bool:
        """Whether no request waits for another's answer."""
        return self.paced and self.pacing == "open"

    @property
    def grpc(self) -> bool:
        """Whether gRPC over HTTP/2 is spoken."""
        return self.url.startswith(("grpc://", "grpcs://"))

    @property
    def verb(self) -> str:
        """The method: POST where there is a payload and none is named, as Fortio does."""
        return self.method.upper() or ("POST" if self.payloads or self.grpc else "GET")

    @property
    def longest_request(self) -> int:
        """How long a request may take, in nanoseconds."""
        return max(self.timeout, self.stream_timeout) if self.stream else self.timeout

    @property
    def paced(self) -> bool:
        """Whether each request has a time of its own, rather than the next being due at once."""
        return bool(self.rate or self.profile or self.send_times)

    @property
    def mean_rate(self) -> float:
        """Requests a second: `rate`, or what a profile or a trace comes to; 0 for as fast as possible."""
        if self.profile:
            return arrivals.requests(self.profile) * SECOND / arrivals.span(self.profile)
        if self.send_times:
            return len(self.send_times) * SECOND / arrivals.period(self.send_times)
        return self.rate

    @property
    def planned_span(self) -> int:
        """How long a profile or a trace lasts that does not repeat, in ns; 0 where nothing ends so."""
        if self.repeat:
            return 0
        return arrivals.period(self.send_times) if self.send_times else arrivals.span(self.profile)

    @property
    def _most_due(self) -> int:
        """How many requests fall due while one may take at most, chance left aside."""
        if self.send_times:
            enough = 2 * max(len(self.send_times), MOST_UNASKED)
            times = list(islice(arrivals.along_trace(self.send_times, self.repeat), enough))
            return arrivals.most_within(times, self.longest_request)
        peak = max((max(step.begin, step.end) for step in self.profile), default=self.rate)
        return math.ceil(Fraction(str(peak)) * self.longest_request / SECOND)

    @property
    def pool(self) -> int:
        """How many requests may be in flight at once, which is how many connections may be open.

        An open loop must not wait for answers, so unless it is bounded it may have as many requests in flight
        as fall due while one of them may take, up to `MOST_UNASKED`.
        """
        if not self.paced or self.pacing == "closed":
            return self.connections * (self.streams if self.grpc and self.connection_modes != "new" else 1)
        if self.max_connections:
            return max(self.connections, self.max_connections)
        due = math.ceil(self._most_due / self.parts)
        if self.arrival == "poisson":
            due += math.ceil(5 * math.sqrt(due))  # five standard deviations
        return max(self.connections, min(MOST_UNASKED, due + self.connections))

    @property
    def planned(self) -> int:
        """How many requests the whole load will send at most; 0 where only time, a stop or chance tells."""
        if self.arrival == "poisson" or self.profile or self.send_times:
            return self.calls
        planned = math.floor(self.exact_rate * self.duration / SECOND) if self.rate and self.duration else 0
        return min(planned, self.calls) if planned and self.calls else planned or self.calls

    def check(self) -> None:
        """Raise LoadError for the first option that makes no sense."""
        self._check_numbers()
        self._check_part()
        self._check_choices()
        arrivals.check(
            self.rate,
            self.profile,
            self.send_times,
            arrival=self.arrival,
            repeat=self.repeat,
            closed=self.pacing == "closed",
        )
        check_payloads(len(self.payloads), self.payload_names, self.payload_weights)
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
        if min(self.timeout, self.stream_timeout) < 1_000_000:
            raise LoadError("timeout and stream_timeout must be at least one millisecond.")
        for what in _NOT_NEGATIVE:
            value = getattr(self, what)
            if value < 0:
                raise LoadError(f"{what} must not be negative.")
            if not math.isfinite(value):
                raise LoadError(f"{what} must be a finite number, not {value}.")
        if self.rate and self.duration and self.arrival == "uniform" and not self.planned:
            raise LoadError("The duration is too short for one request at this rate.")

    def _check_part(self) -> None:
        if not 1 <= self.parts <= MAX_PARTS:
            raise LoadError(f"A load can be sent by 1 to {MAX_PARTS} generators, not {self.parts}.")
        if not 0 <= self.part < self.parts:
            raise LoadError(f"The part {self.part} must be from 0 to {self.parts - 1}.")
        if not 0 <= self.start_at < math.inf:
            raise LoadError(f"The time to start at, {self.start_at}, is none.")
        if self.planned and self.planned < self.parts:
            raise LoadError(
                f"{self.planned} requests are too few for {self.parts} generators: one would send none."
            )

    def _check_choices(self) -> None:
        if self.connection_modes not in CONNECTION_MODES:
            raise LoadError(
                f"connection_modes must be one of {', '.join(CONNECTION_MODES)}, "
                f"not {self.connection_modes!r}."
            )
        if self.stream not in STREAMS:
            raise LoadError(f"stream must be {' or '.join(filter(None, STREAMS))}, not {self.stream!r}.")
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
        if self.stream and self.grpc:
            raise LoadError("stream is for HTTP: what a gRPC call streams is asked for by grpc_stream.")
        if self.stream and self.expect_body:
            raise LoadError("expect_body cannot be had with stream, which has no body to search as a whole.")
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
            if name.lower() in _ENGINES_OWN:
                raise LoadError(f"The header {name!r} is set by the engine and cannot be given.")
            if names.count(name.lower()) > 1:
                raise LoadError(f"The header {name!r} is given twice.")
        if self.request_id_header:
            self._check_id_header(self.request_id_header, names)

    def _check_id_header(self, name: str, given: list[str]) -> None:
        if not _TOKEN.fullmatch(name):
            raise LoadError(f"The request_id_header {name!r} is not a name that HTTP allows.")
        if name.lower() in _ENGINES_OWN or name.lower() in ("host", "content-type", "user-agent"):
            raise LoadError(f"The request_id_header {name!r} has a meaning of its own: name another.")
        if name.lower() in given:
            raise LoadError(f"The header {name!r} is given, and cannot be the request_id_header as well.")

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
        for name, (kinds, in_words) in _LISTED.items():
            if not all(type(value) in kinds for value in data.get(name, [])):
                raise LoadError(f"The option {name} must list {in_words}.")
        given = dict(data)
        try:
            given["payloads"] = [base64.b64decode(text, validate=True) for text in data.get("payloads", [])]
        except (ValueError, TypeError):
            raise LoadError("The option payloads must list texts in base64.") from None
        try:
            given["headers"] = [(str(name), str(value)) for name, value in data.get("headers", [])]
        except (ValueError, TypeError):
            raise LoadError("The option headers must list pairs of a name and a value.") from None
        try:
            given["profile"] = [
                Stretch(float(a), float(b), int(length)) for a, b, length in data.get("profile", [])
            ]
        except (ValueError, TypeError):
            raise LoadError("The option profile must list steps: two rates and nanoseconds.") from None
        return cls(**given)

    def part_of(self, part: int, parts: int) -> Options:
        """The options of one of several generators that send this load together. Raises LoadError.

        Numbers of connections are divided as the requests are, and the first generators have one more.
        """
        if not 1 <= parts <= self.connections:
            raise LoadError(
                f"{self.connections} connections are too few for {parts} generators: each needs one at least."
            )
        most = share(self.max_connections, part, parts)
        return replace(
            self,
            connections=share(self.connections, part, parts),
            max_connections=max(1, most) if self.max_connections else 0,  # 0 would bound nothing
            warmup=share(self.warmup, part, parts),
            part=part,
            parts=parts,
        )

    def fingerprint(self) -> str:
        """A digest that tells whether two runs were asked for alike, without storing what was asked."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
