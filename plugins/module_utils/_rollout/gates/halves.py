# SPDX-License-Identifier: GPL-3.0-or-later
"""The later half of a step's samples, which a bad beginning is not in.

What slowed everybody for the first minutes of a step, such as a node that was starting twenty models, stays
in all its samples: with the slow answers more than the quantile leaves room for, the limits on both sides
reach from the quick to the slow ones until as many answers again have outweighed them, which may take hours.
The later half knows nothing of it. Where it begins follows from the number of samples alone, and not from
what they say, so a look at both costs what two looks cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .window import Counted, Window, window

# Fewer show nothing by themselves.
FIRST_HALF = 16
# What the load had counted when the samples of a step had doubled, the last two times: the older one lies a
# half to a quarter of the way.
Marks = tuple[Counted, ...]


def with_later(
    percent: int, since: Counted, now: Counted, role: Callable[[str], str], marks: Sequence[Counted]
) -> tuple[Window | None, Marks]:
    """The window as `window` gives it, with its later part: the last half of its samples, up to three
    quarters of them. And the marks with what there is now, if the samples have doubled; those of another
    load or of before `since` are none."""
    found = window(percent, since, now, role)
    if found is None:
        return None, ()
    own = [(_samples(window(percent, since, mark, role)), mark) for mark in marks if mark.at > since.at]
    own = [(number, mark) for number, mark in own if number]
    samples = _samples(found)
    behind = [mark for number, mark in own if 2 * number <= samples]
    later = window(percent, behind[-1], now, role) if behind else None
    doubled = samples >= (2 * own[-1][0] if own else FIRST_HALF)
    kept = [mark for _number, mark in own]
    return replace(found, later=later), (*kept[-1:], now) if doubled else tuple(kept)


def _samples(found: Window | None) -> int:
    """How many there are of the side that has fewer; 0 for another load's."""
    if found is None:
        return 0
    sides = [found.canary.requests, *([found.baseline.requests] if found.percent < 100 else [])]
    return min(sides)
