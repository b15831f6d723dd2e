# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load sends and when, read from the arguments and files that a user names. No payload is shown."""

from __future__ import annotations

import codecs
import datetime
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..._common.files import expanded
from .. import duration
from ..arrivals import MAX_TIMES, Stretch
from ..errors import LoadError, refuse_nul
from ..payloads import MAX_PAYLOADS

_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_ZONE = re.compile(r"Z$")


def payload_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options `payloads`, `payload_names` and `payload_weights` of a run. Raises LoadError."""
    if arguments.get("payload") is not None:
        return {"payloads": [_encoded(arguments["payload"])]}
    if arguments.get("payloads"):
        return _weighted(arguments["payloads"])
    if arguments.get("payload_lines"):
        return _lines(arguments["payload_lines"])
    paths = arguments.get("payload_files") or list(filter(None, [arguments.get("payload_file")]))
    names = [Path(path).name for path in paths]
    return {
        "payloads": [_read(path, "payload file") for path in paths],
        # A file that is named twice goes out twice as often, and is told by its place in the list.
        "payload_names": names if len(set(names)) == len(names) else [],
    }


def is_json(arguments: Mapping[str, Any]) -> bool:
    """Whether every payload is JSON by the way in which it is given."""
    if arguments.get("payload_lines"):
        return True
    given = [arguments.get("payload"), *(row.get("payload") for row in arguments.get("payloads") or [])]
    given = [one for one in given if one is not None]
    files = any(row.get("payload_file") for row in arguments.get("payloads") or [])
    return bool(given) and not files and not any(isinstance(one, str) for one in given)


def _encoded(given: Any) -> bytes:
    """A text as it is, anything else (a mapping, a list) as JSON."""
    try:
        return (given if isinstance(given, str) else json.dumps(given, allow_nan=False)).encode()
    except (TypeError, ValueError):  # not shown: it may be secret
        raise LoadError("The payload holds what neither UTF-8 nor JSON can carry.") from None


def _weighted(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    payloads: list[bytes] = []
    names: list[str] = []
    weights: list[float] = []
    for number, row in enumerate(rows, 1):
        file = row.get("payload_file")
        if (row.get("payload") is None) == (not file):
            raise LoadError(f"Payload {number} of the list must have either payload or payload_file.")
        payloads.append(_read(file, "payload file") if file else _encoded(row["payload"]))
        names.append(row.get("name") or (Path(file).name if file else f"payload {number}"))
        weights.append(1.0 if row.get("weight") is None else float(row["weight"]))
    return {"payloads": payloads, "payload_names": names, "payload_weights": weights}


def _lines(path: str) -> dict[str, Any]:
    payloads: list[bytes] = []
    names: list[str] = []
    data = _read(path, "file of payloads")
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]  # the file's own: no JSON that is sent may begin with it
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        if len(payloads) == MAX_PAYLOADS:
            raise LoadError(f"The file of payloads {path} has more than {MAX_PAYLOADS} lines.")
        try:
            json.loads(line.decode())
        except (ValueError, RecursionError):  # not shown: it may be secret
            raise LoadError(f"Line {number} of the file of payloads {path} is not JSON.") from None
        payloads.append(line.strip())
        names.append(f"line {number}")
    if not payloads:
        raise LoadError(f"The file of payloads {path} has no payload.")
    return {"payloads": payloads, "payload_names": names, "payload_weights": [1.0] * len(payloads)}


def _read(path: str, what: str) -> bytes:
    refuse_nul(path, what)
    try:
        file = Path(expanded(path))
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise LoadError(f"The {what} {path} is not a regular file.")
        return file.read_bytes()
    except OSError as error:
        raise LoadError(f"The {what} {path} cannot be read: {error.strerror}.") from None


def profile(rows: list[Mapping[str, Any]]) -> list[Stretch]:
    """The steps of a profile: each a `rate`, or `from` one `to` another, for a `duration`."""
    return [_step(number, row) for number, row in enumerate(rows, 1)]


def _step(number: int, row: Mapping[str, Any]) -> Stretch:
    where = f"Step {number} of the profile"
    rate, begin, end = (row.get(name) for name in ("rate", "from", "to"))
    if (rate is None) == (begin is None and end is None):
        raise LoadError(f"{where} must have either a rate, or from and to.")
    if rate is None and (begin is None or end is None):
        raise LoadError(f"{where} must have both from and to.")
    if row.get("duration") is None:
        raise LoadError(f"{where} must have a duration.")
    first, last = (begin, end) if rate is None else (rate, rate)
    return Stretch(_rate(first), _rate(last), duration.parse(row["duration"], f"duration of step {number}"))


def _rate(given: Any) -> float:
    return float(given)


def send_times(path: str) -> list[int]:
    """When requests are due by the first column of a CSV file, in nanoseconds from its first row.

    A time is a number of seconds, or a date and time as `2023-11-16 18:17:03.9799600` (without a zone, UTC).
    A first row that is neither is a head. Raises LoadError for any other.
    """
    try:
        text = _read(path, "file of send times").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LoadError(f"The file of send times {path} is not UTF-8.") from None
    times: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        cell = line.partition(",")[0].strip().strip('"')
        if not line.strip():
            continue
        time, where = _time(cell), f"Line {number} of the file of send times {path}"
        if time is None and not times and number == 1:
            continue
        if time is None:
            raise LoadError(f"{where} begins with no time: {cell[:40]!r}.")
        if times and time < times[-1]:
            raise LoadError(f"{where} is earlier than the one before it.")
        if len(times) == MAX_TIMES:
            raise LoadError(f"The file of send times {path} has more than {MAX_TIMES} rows.")
        times.append(time)
    if not times:
        raise LoadError(f"The file of send times {path} has no time.")
    return [time - times[0] for time in times]


def _time(cell: str) -> int | None:
    """Nanoseconds, None for what is no time."""
    try:
        seconds = float(cell)
    except ValueError:
        try:
            # Python 3.9 reads neither a Z nor more than six digits, which public traces have.
            moment = datetime.datetime.fromisoformat(_ZONE.sub("+00:00", _FRACTION.sub(r"\1", cell)))
        except ValueError:
            return None
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
        seconds = zoned.timestamp()
    return round(seconds * duration.SECOND) if math.isfinite(seconds) else None
