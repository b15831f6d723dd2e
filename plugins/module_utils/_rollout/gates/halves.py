# SPDX-License-Identifier: GPL-3.0-or-later
"""The later half of a step's samples, which a bad beginning is not in.

What slowed everybody for the first minutes of a step, such as a node that was starting twenty models, stays
in all its samples: with the slow answers more than the quantile leaves room for, the limits on both sides
reach from the quick to the slow ones until as many answers again have outweighed them, which may take hours.
The later half knows nothing of it. Where it begins follows from the number of samples alone, and not from
what they say, so a look at both costs what two looks cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .window import Sides, Window

# Fewer show nothing by themselves.
FIRST_HALF = 16


@dataclass(frozen=True)
class Halves:
    """What there was when the samples had doubled, the last two times: `marks` are pairs of how many samples
    there were, and the answers. The older one lies a half to a quarter of the way."""

    marks: tuple[tuple[int, Sides], ...] = ()

    def after(self, window: Window, samples: int) -> Halves:
        """With what there is now, if the samples have doubled."""
        least = 2 * self.marks[-1][0] if self.marks else FIRST_HALF
        if samples < least:
            return self
        now = Sides(window.seconds, window.canary, window.baseline)
        return Halves((*self.marks[-1:], (samples, now)))

    def of(self, window: Window, samples: int) -> Window:
        """The window with its later part: the last half of its samples, up to three quarters of them."""
        behind = [sides for number, sides in self.marks if 2 * number <= samples]
        return replace(window, later=window.since(behind[-1]) if behind else None)

    def to_json(self) -> list[dict[str, Any]]:
        """As the state keeps it."""
        return [{"samples": samples, **sides.to_json()} for samples, sides in self.marks]

    @classmethod
    def from_json(cls, data: list[Mapping[str, Any]]) -> Halves:
        """The reverse of `to_json`."""
        return cls(tuple((int(one["samples"]), Sides.from_json(one)) for one in data))
