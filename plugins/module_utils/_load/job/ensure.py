# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules `load_test` and `load_test_info` do, from their arguments to what they return."""

from __future__ import annotations

import datetime
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from .. import duration
from ..errors import LoadError
from ..http.target import shown_url
from ..http2.library import require
from ..options import Options
from ..result import fortio
from . import inputs, job
from .state import Store

RATE = 2.0  # requests a second where nothing says when they are due
DURATION = "5m"  # of a load that no profile ends
_HIDDEN = "***"
# Headers that hold credentials by their name: they are hidden also where they were given as plain ones.
_CREDENTIAL = re.compile(r"auth|cookie|token|secret|passw|credential|key", re.IGNORECASE)
# Those that are refused as plain ones: fewer, since `X-Routing-Key` or `X-Author` may well be none.
_SECRET_NAME = re.compile(
    r"authori[sz]ation|(?<![a-z])auth(?![a-z])|cookie|token(?![a-z])|secret|passw|credential|bearer"
    r"|(?:api|access|account|auth|client|functions|private|secret|service|subscription)[-_]?key",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"\s*(?:basic|bearer|digest|negotiate)\s+\S", re.IGNORECASE)
_PLAIN = (
    "name", "url", "pacing", "catch_up", "arrival", "seed", "repeat", "calls", "connections",
    "connection_modes", "warmup", "abort_failures", "ledger_limit", "verify", "labels",
)  # fmt: skip
_OPTIONAL = (
    "method", "max_connections", "revision_header", "revision_field", "expect_status", "expect_body",
    "max_head", "max_interim", "grpc_method", "grpc_stream", "streams", "address", "unix_socket",
    "server_name", "ca_file", "client_cert", "client_key", "request_id_header", "stream",
)  # fmt: skip


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time (without a zone: local) or of a number of such seconds."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if not math.isfinite(seconds):
            raise LoadError(f"The time {text!r} is none.")
        return seconds
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise LoadError(f"The time {text!r} cannot be read: write it as 2026-01-31T12:00:00+00:00.") from None


def options_from(arguments: Mapping[str, Any]) -> Options:
    """The options of a run from the arguments of `load_test`; reads the payload files. Raises LoadError."""
    if not arguments.get("url"):
        raise LoadError(
            "There is no load of this name to wait for, and no url to send requests to: give a url."
        )
    given: dict[str, Any] = {name: arguments[name] for name in _PLAIN}
    given.update({name: arguments[name] for name in _OPTIONAL if arguments.get(name)})
    given["headers"] = _headers(arguments)
    given.update(inputs.payload_options(arguments))
    named = {name.lower() for name, _value in given["headers"]}
    grpc = given["url"].startswith("grpc")
    if inputs.is_json(arguments) and "content-type" not in named and not grpc:
        given["headers"].append(("Content-Type", "application/json"))
    given.update(_arrivals(arguments))
    lasts = arguments.get("duration") or ("0" if given.keys() & {"profile", "send_times"} else DURATION)
    given["duration"] = duration.parse(lasts, "duration")
    if arguments.get("max_duration") is not None:
        given["max_duration"] = duration.parse(arguments["max_duration"], "max_duration")
        if not given["max_duration"]:
            raise LoadError(
                "max_duration must not be 0: nobody may be there to end a load that runs detached."
            )
    given["timeout"] = duration.parse(arguments["timeout"], "timeout")
    if arguments.get("stream_timeout"):
        given["stream_timeout"] = duration.parse(arguments["stream_timeout"], "stream_timeout")
    for name in ("start_at", "stop_at"):
        if arguments.get(name):
            given[name] = moment(str(arguments[name]))
    given["clock_ahead"] = round((arguments.get("clock_ahead") or 0) * duration.SECOND)
    options = Options(**given)
    if options.grpc:
        require(arguments.get("http2_library") or "")
    parts = arguments.get("parts", 1)
    return options if parts == 1 else options.part_of(arguments["part"], parts)


def _headers(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    headers = {**(arguments.get("headers") or {}), **(arguments.get("secret_headers") or {})}
    for name, value in (arguments.get("headers") or {}).items():
        if _holds_credentials(str(name), str(value)):
            raise LoadError(f"The header {name!r} carries credentials: give it in secret_headers.")
    for name, value in headers.items():
        if not isinstance(value, (str, int, float)):
            raise LoadError(f"The value of header {name!r} must be a text or a number.")
    return [(str(name), str(value)) for name, value in headers.items()]


def _arrivals(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """At which rate requests are due, or along which profile, or at which times."""
    rate, steps, times = (arguments.get(name) for name in ("rate", "profile", "send_times"))
    named = [name for name in ("rate", "profile", "send_times") if arguments.get(name) is not None]
    if len(named) > 1:
        raise LoadError(f"Only one of {' and '.join(named)} can say when requests are due.")
    if steps is not None:
        if not steps:
            raise LoadError("The profile has no step.")
        return {"profile": inputs.profile(steps)}
    if times is not None:
        return {"send_times": inputs.send_times(times)}
    return {"rate": RATE if rate is None else rate}


def _holds_credentials(name: str, value: str) -> bool:
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.match(value))


def ensure_state(arguments: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the load into the wanted state, or say in check mode whether that would change anything."""
    wanted, name, state_dir = arguments["state"], arguments["name"], arguments.get("state_dir")
    before = job.state(state_dir, name)
    job.destination(arguments.get("dest") or "")
    if wanted == "absent":
        changed = job.exists(state_dir, name) if check_mode else job.remove(state_dir, name)
    elif wanted == "stopped":
        changed = before == "running" if check_mode else job.stop(state_dir, name)
        changed = job.deliver(state_dir, name, arguments.get("dest") or "", check_mode) or changed
    else:
        changed = _ensure_run(arguments, before, check_mode)
    foreseen = "running" if wanted == "started" else wanted
    after = foreseen if check_mode and changed else job.state(state_dir, name)
    return {
        "changed": changed,
        **describe(state_dir, name),
        "diff": {"before": {"state": before}, "after": {"state": after}},
    }


def _ensure_run(arguments: Mapping[str, Any], before: str, check_mode: bool) -> bool:
    """State `started` or `finished`."""
    state_dir, finish = arguments.get("state_dir"), arguments["state"] == "finished"
    if finish and before == "running" and not arguments.get("url"):
        return _wait(arguments, check_mode)
    options = options_from(arguments)
    if finish and not (options.duration or options.calls or options.stop_at or options.planned_span):
        raise LoadError(
            "A load with no duration, calls or stop_at, and with no profile or send_times that end, never "
            "finishes: set one, or use state=started."
        )
    # What is running already need not be reachable for it to be left as it is.
    prepared = job.prepare(options, arguments.get("dest") or "", state_dir, connect=False)
    same = job.same_arguments(prepared, state_dir)
    if before == "running" and not same:
        raise LoadError(f"A load named {options.name!r} is running with {job.OTHER_ARGUMENTS}")
    changed = not (same and before in (("running", "finished") if finish else ("running",)))
    if changed:
        for what in ("start", "stop"):
            at = getattr(options, f"{what}_at")
            if at and at <= time.time() - options.clock_ahead / duration.SECOND:
                raise LoadError(f"The time to {what} at, {arguments[f'{what}_at']}, has passed.")
        if arguments["connect_check"]:
            job.prepare(options, arguments.get("dest") or "", state_dir)
        if not check_mode:
            changed = job.start(prepared, state_dir)
    if finish:
        changed = _wait(arguments, check_mode) or changed
    return changed


def _wait(arguments: Mapping[str, Any], check_mode: bool) -> bool:
    """Wait for the end. True if the result was not at its destination then, and was put there."""
    state_dir, name = arguments.get("state_dir"), arguments["name"]
    if not check_mode:
        job.wait(state_dir, name, None)
    return job.deliver(state_dir, name, arguments.get("dest") or "", check_mode)


def shown(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as they may be told: no payload, no credentials in the URL or in headers."""
    public = dict(arguments)
    if public.get("url"):
        public["url"] = shown_url(str(public["url"]))
    if public.get("payload") is not None:
        public["payload"] = _HIDDEN
    if public.get("payloads"):
        hidden = {"payload": _HIDDEN}
        public["payloads"] = [
            {**row, **(hidden if row.get("payload") is not None else {})} for row in public["payloads"]
        ]
    for name in ("headers", "secret_headers"):
        secret = name == "secret_headers"
        public[name] = {
            header: _HIDDEN if secret or _CREDENTIAL.search(str(header)) else value
            for header, value in (public.get(name) or {}).items()
        }
    return public


def describe(state_dir: str | None, name: str) -> dict[str, Any]:
    """What is to be told of a load: `status`, `progress`, and once it has ended `result`, `result_file` and
    `report`."""
    progress = job.progress(state_dir, name)
    ended, store = progress["state"] not in ("running", "absent"), Store(state_dir, name)
    result = job.result(state_dir, name) if ended else None
    return {
        "status": progress["state"],
        "progress": progress,
        "result": result,
        "result_file": str(store.result) if ended and store.result.exists() else "",
        "report": fortio.text(result) if result else "",
    }
