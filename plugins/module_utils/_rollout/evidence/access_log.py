# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's access log, read line by line: which revision each request of a load was given to, and what
the gateway says of those that failed.

Requests are found by the ids that the load gave them (`X-Request-Id`). The load keeps no record of a request
that succeeded, so those are compared by their counts, and only failures one by one.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..fields import is_moment

# Istio's names for its log in JSON.
ISTIO = {
    "request_id": "request_id",
    "time": "start_time",
    "duration": "duration",
    "status": "response_code",
    "flags": "response_flags",
    "upstream": "upstream_cluster",
}
# The last name in `outbound|80||my-revision.my-namespace.svc.cluster.local` or `my-namespace/my-revision`.
REVISION = r"([^|/.]+)(?:\.[^|/]*)?$"
_FLAGS = re.compile(r"[A-Za-z]+(,[A-Za-z]+)*")
# More requests than a bitmap of sane size could hold cannot be a load's own count.
_MOST_IDS = 100_000_000
_LONGEST = 1e12  # of a duration, in whatever unit


@dataclass(frozen=True)
class Format:
    """How to read a line: the names of its fields, and what in the upstream's name is the revision.

    `revision` is a regular expression whose first group is the revision. `time` is when the request came, in
    ISO 8601 or seconds since the epoch, `duration` how long it took, in units of `duration_ms` milliseconds.
    Where lines are text, `line` is a regular expression with a group for each field; else they are JSON.
    """

    fields: Mapping[str, str] = field(default_factory=lambda: dict(ISTIO))
    revision: str = REVISION
    line: str = ""
    duration_ms: float = 1.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.fields) - set(ISTIO))
        if unknown:
            raise ValueError(f"there is no field {unknown[0]!r}, only {', '.join(ISTIO)}.")
        try:
            groups = re.compile(self.revision).groups
        except re.error as error:
            raise ValueError(f"revision_pattern is not a regular expression: {error}.") from None
        if not groups:
            raise ValueError("revision_pattern has no group (…) that is the revision.")


@dataclass(frozen=True)
class Ids:
    """The ids of a load: `prefix` and a number of ten digits, from `first` to `last`."""

    prefix: str
    first: int
    last: int


@dataclass(frozen=True)
class LogEntry:
    """What the log says of one request. `flags` and `revision` are empty where there are none.

    `time` is when it came, by the gateway's clock.
    """

    status: int | None
    flags: str
    revision: str
    time: float | None = None


@dataclass(frozen=True)
class AccessLog:
    """The requests of one load in the log.

    `lines` is how many lines the log has, `unread` how many of those that belong to the load are torn,
    `repeated` how many requests stand in it more than once. `seconds` has the requests by revision for the
    second in which they ended; `entries` has those that were asked for, by id.
    """

    lines: int
    unread: int
    requests: int
    repeated: int
    statuses: Mapping[str, int]
    revisions: Mapping[str, int]
    seconds: Mapping[int, Mapping[str, int]]
    first: float | None
    last: float | None
    entries: Mapping[str, LogEntry]


def read_ids(result: Any) -> list[Ids]:
    """The ids that a load test's result tells of; none where the load gave its requests no ids of its own."""
    own = result.get("LoadTest") if isinstance(result, Mapping) else None
    rows = own.get("request_ids") if isinstance(own, Mapping) else None
    found = [_ids(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [ids for ids in found if ids.prefix and 0 <= ids.last - ids.first < _MOST_IDS]


def _ids(row: Mapping[str, Any]) -> Ids:
    """One row; an empty prefix where it is not one."""
    prefix, first, last = (row.get(key) for key in ("prefix", "first", "last"))
    if not isinstance(prefix, str) or type(first) is not int or type(last) is not int:
        return Ids("", 0, 0)
    return Ids(prefix, first, last)


def read_row(line: bytes, pattern: re.Pattern[str] | None) -> dict[str, Any] | None:
    """The line's fields, by the pattern's groups or, without one, of a JSON object; None where it is torn."""
    if pattern is not None:
        found = pattern.search(line.decode("utf-8", "replace"))
        return found.groupdict() if found else None
    begin = line.find(b"{")
    try:
        row = json.loads(line[begin:]) if begin >= 0 else None
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class LogReader:
    """Takes the log's lines one by one, and in the end tells what they say of a load."""

    def __init__(self, form: Format, ids: Iterable[Ids], wanted: Collection[str]) -> None:
        """`wanted` are the ids whose entries are kept."""
        self._names = dict(zip(ISTIO, ISTIO)) if form.line else {**ISTIO, **form.fields}
        self._revision = re.compile(form.revision)
        self._line = re.compile(form.line) if form.line else None
        self._duration_seconds = form.duration_ms / 1000
        self._ids = list(ids)
        # A digest of each request's line; 0 where there is none yet.
        self._seen = [array("q", bytes(8 * (one.last - one.first + 1))) for one in self._ids]
        self._wanted = frozenset(wanted)
        marks = [one.prefix.encode() for one in self._ids]
        marks += [name.encode() for name in self._wanted if not self._place(name)]
        self._marks = tuple(dict.fromkeys(marks))
        self._lines = self._unread = self._repeated = 0
        self._statuses: Counter[str] = Counter()
        self._seconds: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._revisions: Counter[str] = Counter()
        self._entries: dict[str, LogEntry] = {}
        self._times: list[float] = []

    def add(self, line: bytes) -> None:
        """Take a line. What belongs to no request of the load is only counted."""
        self._lines += 1
        # Most lines may be others' requests: those are not parsed.
        if not any(mark in line for mark in self._marks):
            return
        row = read_row(line, self._line)
        if row is None:
            self._unread += 1
            return
        name = str(row.get(self._names["request_id"]))
        place = self._place(name)
        if place is None and name not in self._wanted:
            return
        entry = self._entry(row)
        if name in self._wanted:
            self._entries.setdefault(name, entry)
        if place is not None and self._is_new(place, line):
            self._count(row, entry)

    def _place(self, name: str) -> tuple[int, int] | None:
        """Which range of ids this one belongs to, and where it stands in it."""
        for index, ids in enumerate(self._ids):
            digits = name[len(ids.prefix) :]
            if name.startswith(ids.prefix) and digits.isascii() and digits.isdigit():
                number = int(digits)
                return (index, number - ids.first) if ids.first <= number <= ids.last else None
        return None

    def _is_new(self, place: tuple[int, int], line: bytes) -> bool:
        """Whether the request was not seen before. The same line twice, as from overlapping files, is one."""
        index, number = place
        digest = hash(line.rstrip()) or 1
        before = self._seen[index][number]
        if before:
            self._repeated += before != digest
            return False
        self._seen[index][number] = digest
        return True

    def _entry(self, row: Mapping[str, Any]) -> LogEntry:
        status, flags = row.get(self._names["status"]), row.get(self._names["flags"])
        time = _time(row.get(self._names["time"]))
        found = self._revision.search(str(row.get(self._names["upstream"]) or ""))
        revision = (found.group(1) or "") if found else ""
        known = isinstance(flags, str) and _FLAGS.fullmatch(flags)
        return LogEntry(
            status=int(str(status)) if re.fullmatch("[0-9]{1,3}", str(status)) else None,
            flags=str(flags) if known else "",
            revision="" if revision == "-" else revision,
            time=time if is_moment(time) else None,
        )

    def _count(self, row: Mapping[str, Any], entry: LogEntry) -> None:
        self._statuses[str(entry.status)] += 1
        self._revisions[entry.revision] += 1
        began = entry.time
        if began is None:
            return
        duration = _time(row.get(self._names["duration"]))
        ended = began + (duration or 0.0) * self._duration_seconds
        # A request that ended before it came, or in no year, has a time that cannot be read.
        if not is_moment(ended) or ended < began:
            return
        self._seconds[int(ended)][entry.revision] += 1
        self._times = [min([began, *self._times[:1]]), max([ended, *self._times[1:]])]

    def log(self) -> AccessLog:
        """What the lines have said."""
        return AccessLog(
            lines=self._lines,
            unread=self._unread,
            requests=sum(self._statuses.values()),
            repeated=self._repeated,
            statuses=dict(self._statuses),
            revisions=dict(self._revisions),
            seconds={second: dict(counts) for second, counts in self._seconds.items()},
            first=self._times[0] if self._times else None,
            last=self._times[1] if self._times else None,
            entries=self._entries,
        )


def _time(value: Any) -> float | None:
    """Seconds since the epoch, from ISO 8601 or a number; None where it is neither."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _moment(str(value))
    return number if abs(number) < _LONGEST else None


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
