# SPDX-License-Identifier: GPL-3.0-or-later
"""What in a load test's result cannot be, or not together: times, seconds, records, several generators.

Each is told as what should be, by name, and the figure that is there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from ..evidence.load import MISSING, Generator, Load
from ..messages import elapsed, utc

Wrong = tuple[str, float]

# The class of failures by the status.
STATUS = "status"
# Times are rounded, and several generators' clocks were compared to within less than this.
_ROUNDING_SECONDS = 0.05
_ROUNDED = 0.001  # of one clock, and by the same reader
_COARSE = 1.02  # of the buckets that times are counted in
# By how much what is counted by seconds may be beside what is timed.
_SECOND = 1.0
# Of the requests that a rate asks for: the rate counts as kept by 99 % of those that were due, and requests
# at random times are fewer or more by chance (5 standard deviations).
_SHARE_SENT, _DEVIATIONS = 0.95, 5
# Of one generator's: they are stopped one after the other, and what is due may change from second to second.
_SHARE_OF_ONE = 0.5
# Of more stalls the longest so many are listed.
_MOST_STALLS = 1000


def impossible(load: Load) -> Iterator[Wrong]:
    """All of it."""
    yield from _of_the_times(load)
    yield from _of_the_rate(load)
    yield from _of_the_seconds(load)
    yield from _of_the_times_by_second(load)
    yield from _of_the_gaps(load)
    yield from _of_the_records(load)
    for name, (total, found) in load.buckets.items():
        if total != found or (name in ("DurationHistogram", "response_time") and total != load.requests):
            yield f"of {total} in the buckets of {name}", found
    if load.stall_count != len(load.stalls) < _MOST_STALLS:
        yield f"stalls listed of {load.stall_count}", len(load.stalls)
    yield from _of_the_stalls(load)
    if load.identified and load.identified < load.requests:
        yield f"ids of {load.requests} requests", load.identified
    if load.generators:
        yield from _of_the_generators(load)


def _of_the_stalls(load: Load) -> Iterator[Wrong]:
    """They excuse a gap, so they must lie where it can be."""
    if load.generators:
        return
    still = sum(stall.seconds for stall in load.stalls)
    if still > _last(load) - load.started + _SECOND:
        yield f"seconds of all stalls in a load of {elapsed(load.duration)}", round(still, 3)
    for stall in load.stalls:
        if not load.started - _SECOND <= stall.start <= _last(load):
            yield "beginning of a stall, within the load", stall.start


def _of_the_times(load: Load) -> Iterator[Wrong]:
    if abs(load.ended - load.started - load.duration) > _ROUNDING_SECONDS:
        yield f"seconds from start to end of {elapsed(load.duration)}", round(load.ended - load.started, 3)
    if not load.lateness_p50 <= load.lateness_p99 <= load.lateness_max:
        yield (
            "seconds for the 99th percentile of lateness, between the median and the most",
            load.lateness_p99,
        )


def _of_the_rate(load: Load) -> Iterator[Wrong]:
    if load.duration < 1:
        return
    actual = load.requests / load.duration
    if abs(actual - load.actual_rate) > 0.01 * actual + 1:
        yield f"requests a second of {actual:.4g}", load.actual_rate
    due = load.asked_rate * load.duration
    if load.rate_kept and load.requests < _fewest(due):
        yield f"requests at a rate that was kept, of {due:.0f}", load.requests


def _of_the_times_by_second(load: Load) -> Iterator[Wrong]:
    """A response takes as long as its service, or longer where it was sent late."""
    most = load.response_time["Max"]
    if load.slowest > _COARSE * most + _ROUNDING_SECONDS:
        yield f"seconds for the slowest by second, of {elapsed(most)} for all", load.slowest
    responses = 0
    for row in load.response_time["Data"]:
        responses += row["Count"]
        served = _served_within(load, row["End"])
        if responses > served:
            yield f"responses within {elapsed(row['End'])}, of {served} served by then", responses
            return


def _served_within(load: Load, seconds: float) -> int:
    """How many may have taken no longer from when they were sent; the first bucket holds its start, too."""
    rows = load.service_time["Data"]
    return sum(row["Count"] for row in rows if row["Start"] < seconds + (_ROUNDED if row is rows[0] else 0.0))


def _last(load: Load) -> float:
    """When the last answer may have come."""
    return load.ended + load.slowest + 2 * _SECOND


def _of_the_seconds(load: Load) -> Iterator[Wrong]:
    last, before = _last(load), -1
    sent = ended = 0
    for second in load.seconds:
        sent, ended = sent + second.sent, ended + second.requests
        if ended > sent:
            yield f"requests that ended by second {second.start}, of {sent} sent", ended
            break
    for second in load.seconds:
        if second.start <= before:
            yield f"second after second {before}", second.start
        before = max(before, second.start)
        named = sum(second.revisions.values())
        if named != second.requests:
            yield f"by revisions in second {second.start}, of {second.requests}", named
        if not second.requests:
            continue
        if not load.started - _SECOND < second.start + 1 <= last:
            yield "second of answers within the load", second.start
        elif second.start + 1 - second.slowest < load.started - _SECOND:
            yield f"seconds for the slowest of second {second.start}, since the load began", second.slowest
        times = (second.p50, second.p99, second.slowest)
        known = [time for time in times if time is not None]
        if known != sorted(known):
            yield f"seconds for the slowest of second {second.start}, beyond its percentiles", second.slowest


def _of_the_gaps(load: Load) -> Iterator[Wrong]:
    last = _last(load)
    gaps = {"all": load.gap, **load.gaps}
    for name, gap in gaps.items():
        if abs(gap.end - gap.start - gap.seconds) > _ROUNDING_SECONDS:
            yield f"seconds of the gap on {name} connections, of {elapsed(gap.seconds)}", gap.end - gap.start
        if gap.seconds and not load.started - _SECOND <= gap.start <= gap.end <= last:
            yield f"beginning of the gap on {name} connections, within the load", gap.start
    for name, mode in load.connection_modes.items():
        if mode.requests and mode.gap is None:
            yield f"gap told on {name} connections for requests", mode.requests
    yield from _of_short_gaps(load)
    # A stream's first token ends a gap, whenever its answer does.
    silent = _longest_silence(load) if load.streamed is None else 0.0
    stood_still = max((stall.seconds for stall in load.stalls), default=0.0)
    if silent > load.gap.seconds + stood_still + _SECOND:
        yield f"seconds without a success beside the longest gap of {elapsed(load.gap.seconds)}", silent


def _of_short_gaps(load: Load) -> Iterator[Wrong]:
    """So many successes leave gaps between them, of which the longest is no shorter than their mean."""
    busy = _answered(load)
    begun = sum(load.streamed.begun.values()) if load.streamed else 0
    if len(busy) > 2:
        least = (busy[-1] - busy[0] - 1) / max(1, load.ok + begun - 1)
        if load.gap.seconds + _ROUNDED < least:
            yield f"seconds of the longest gap, of {elapsed(least)} on average", load.gap.seconds
    if load.longest_mode_pause > 2 * load.longest_pause + _ROUNDED:
        most = elapsed(load.longest_pause)
        yield f"seconds of a pause on one kind of connections, of {most} on all", load.longest_mode_pause


def _longest_silence(load: Load) -> float:
    """The longest time between two seconds in which requests succeeded."""
    busy = _answered(load)
    return float(max((other - one - 1 for one, other in zip(busy, busy[1:])), default=0))


def _answered(load: Load) -> list[int]:
    """The seconds in which requests succeeded, each once and in order."""
    return sorted({second.start for second in load.seconds if second.requests > second.failed})


def _of_the_records(load: Load) -> Iterator[Wrong]:
    requests = [(row.raw.get("generator"), row.raw["seq"]) for row in load.ledger if "seq" in row.raw]
    if len(set(map(str, requests))) < len(requests):
        yield f"different requests in {len(requests)} records of failures", len(set(map(str, requests)))
    last = _last(load)
    lossy = {second.start + by for second in load.seconds if second.failed for by in (-1, 0, 1)}
    for row in load.ledger:
        end = row.raw.get("end")
        if end is not None and math.floor(end) not in lossy:
            yield "time of a failure, in a second that had one", end
        if not load.started - _SECOND <= row.at <= last or (end is not None and end < row.at):
            yield "time of a failure, within the load and before its end", row.at
    recorded = Counter(str(row.status) for row in load.ledger if row.kind == STATUS)
    for code, have in recorded.items():
        if have > load.codes.get(code, 0):
            yield f"records of status {code}, of {load.codes.get(code, 0)}", have
    lost = sum(row["failed"] for row in load.outages_of_all)
    if lost > load.failed:
        yield f"failures in outages of all connections, of {load.failed}", lost


def _of_the_generators(load: Load) -> Iterator[Wrong]:
    parts = load.generators
    if sorted(one.index for one in parts) != list(range(len(parts))):
        yield f"different parts of {len(parts)} generators", len({one.index for one in parts})
    if len({one.name for one in parts}) < len(parts):
        yield f"different names of {len(parts)} generators", len({one.name for one in parts})
    for of in sorted({one.of for one in parts if one.of != len(parts)}):
        yield f"generators of a load that {of} send", len(parts)
    if any(one.state == MISSING for one in parts):
        return
    for one in parts:
        yield from _of_a_generator(one, load.asked_rate / len(parts))
    for what, end, reported in (
        ("began", load.started, min(one.started or 0.0 for one in parts)),
        ("ended", load.ended, max(one.ended or 0.0 for one in parts)),
    ):
        if abs(reported - end) > _SECOND:
            yield f"when the generators {what}, of {utc(end)}", reported
    for what, total, wanted in (
        ("requests", sum(one.requests for one in parts), load.requests),
        ("failures", sum(one.failed for one in parts), load.failed),
        ("faults of generators", sum(one.client_faults for one in parts), load.client_faults),
    ):
        yield from unless(f"{what} of all generators, of", total, wanted)
    for name, mode in load.connection_modes.items():
        counts = [one.connection_modes[name] for one in parts if name in one.connection_modes]
        total = sum(one.requests for one in counts)
        yield from unless(f"requests on {name} connections of all generators, of", total, mode.requests)


def _of_a_generator(one: Generator, rate: float) -> Iterator[Wrong]:
    """Its part, which is to have so many requests a second."""
    modes = one.connection_modes.values()
    if sum(mode.requests for mode in modes) != one.requests:
        yield f"requests by connections of {one.name}, of {one.requests}", sum(m.requests for m in modes)
    if not sum(mode.failed for mode in modes) == one.failed <= one.requests:
        yield f"failures by connections of {one.name}, of {one.failed}", sum(m.failed for m in modes)
    if one.started is None or one.ended is None or not one.rate_kept:
        return
    due = rate * (one.ended - one.started)
    if one.requests < _fewest(due, _SHARE_OF_ONE):
        yield f"requests of {one.name} at a rate that was kept, of {due:.0f}", one.requests


def _fewest(due: float, share: float = _SHARE_SENT) -> float:
    """Of so many that were due at a rate that was kept."""
    return share * due - _DEVIATIONS * math.sqrt(max(0.0, due)) - 1


def unless(what: str, total: int, wanted: int) -> Iterator[Wrong]:
    """The total, where it is another than is wanted."""
    if total != wanted:
        yield f"{what} {wanted}", total
