# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the clocks of the evidence are apart: the load's, the timeline's, the gateway's.

The timeline has the clock of the playbook's host, which is the load's too unless the marks of the load's
start and end contradict it: each is written after what it tells, soon where the host is not too busy. What
the timeline has from shortly before the load's start bounds it from the other side, however late the mark
is. Generators on other hosts have clocks of their own, which were compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .access_log import AccessLog
from .load import STOPPED, Load
from .marks import Marks
from .offset import SAME, Estimate, Offset

# By how much a mark may seem to be earlier than what it tells: times are rounded.
_ROUNDING_SECONDS = 0.05
# A mark is written at the latest this long after what it tells; more is taken for a clock that was set, but
# where the start of the load is bounded from both sides.
STAMP_SECONDS = 10.0
# Bounds that are farther apart would hide a clock that is off.
_BOUNDS_SECONDS = 60.0
# An answer may be logged a moment after the client has it.
_FINENESS_SECONDS = 0.001
# A driver's, an observer's and the load's host may have clocks that are this far apart.
BESIDE_SECONDS = 60.0


@dataclass(frozen=True)
class Clocks:
    """How far each clock is ahead.

    - `load`: the load's, of the timeline's. `contradicted` is whether the marks say that these are two, and
      then only the least of it is known.
    - `gateway`: the gateway's log, of the load's; None without a log that tells times, or where its times
      cannot be those of this load.
    """

    load: Offset = SAME
    contradicted: bool = False
    gateway: Offset | None = None

    @property
    def whole_seconds(self) -> int:
        """How many whole seconds the gateway's clock is ahead, by which its seconds are matched."""
        return 0 if self.gateway is None else round((self.gateway.low + self.gateway.high) / 2)


def compare(load: Load | None, marks: Marks, log: AccessLog | None) -> Clocks:
    """What the evidence tells of its clocks."""
    if load is None:
        return Clocks()
    after = list(_marks_after(load, marks))
    gateway = _gateway(load, log) if log is not None else None
    if not after:
        return Clocks(load.clock or SAME, gateway=gateway)
    slack, compared, bounds = min(after), load.clock or SAME, start_bounds(load, marks)
    if slack < -compared.high - _ROUNDING_SECONDS - abs(load.wall_clock_drift):
        latest = max(STAMP_SECONDS, bounds.width if bounds else 0.0)
        return Clocks(Offset(-slack, -slack + latest), contradicted=True, gateway=gateway)
    if load.clock is not None:
        return Clocks(load.clock, gateway=gateway)
    # On a host on which marks come late they would hide a clock that is ahead, too.
    high = bounds.high if bounds and max(after) > STAMP_SECONDS else 0.0
    return Clocks(Offset(-max(0.0, slack), max(0.0, high)), gateway=gateway)


def start_bounds(load: Load, marks: Marks) -> Offset | None:
    """How far the load's clock may be ahead of the timeline's for what both tell of the load's start: it lies
    between the mark of it and what the timeline has before that.

    None where that is too long before to tell anything, or after the start by the load's own clock: then it
    is another clock, or the load was started before what the timeline begins with.
    """
    before, written = marks.before_load, marks.load_started
    if before is None or written is None or written - before > _BOUNDS_SECONDS:
        return None
    if load.started < before - _ROUNDING_SECONDS:
        return None
    return Offset(load.started - written, load.started - before)


def _marks_after(load: Load, marks: Marks) -> Iterator[float]:
    """How long after what they tell the marks were written, if both clocks are one."""
    if marks.load_started is not None:
        yield marks.load_started - load.started
    if marks.load_stopped is not None and load.state == STOPPED:
        yield marks.load_stopped - load.ended


def _gateway(load: Load, log: AccessLog) -> Offset | None:
    """All of the load's requests lie between its start and its end, and each that both know of between its
    sending and its end."""
    if log.first is None or log.last is None:
        return None
    busy = [second for second in load.seconds if second.requests]
    end = load.ended + load.last_wait
    if busy:
        end = min(end, max(load.ended, busy[-1].start + 1))
    low, high = log.last - end, log.first - load.started
    if low > high + _FINENESS_SECONDS:
        return None
    estimate = Estimate()
    estimate.add(Offset(min(low, high), high), load.started)
    for lost in load.ledger:
        entry = log.entries.get(str(lost.raw.get("request_id")))
        ended = lost.raw.get("end")
        if entry is None or entry.time is None or not isinstance(ended, (int, float)) or ended < lost.at:
            continue
        found = Offset(entry.time - ended - _FINENESS_SECONDS, entry.time - lost.at + _FINENESS_SECONDS)
        # All in one stretch: a clock that drifts as far as to matter contradicts itself in it.
        estimate.add(found, load.started)
    return estimate.offset
