# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several payloads a request carries, and what they may be called."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from .errors import LoadError

MAX_PAYLOADS = 100_000
MAX_NAME = 200  # characters
MAX_TOLD = 1000  # payloads that are counted each by itself
OTHERS = "(others)"  # all beyond that number
_BLOCK = 128  # draws made at once: few enough that they hold up no request


class WeightedChoice:
    """Draws by weight. The one of a request depends on its number and the seed alone, on every Python."""

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self._sums = list(accumulate(weights))
        self._last = max(k for k, weight in enumerate(weights) if weight > 0)
        self._seed = seed
        self._block = -1
        self._drawn: list[int] = []

    def __call__(self, sequence: int) -> int:
        """Which payload, by its index, the request with this number carries."""
        block, at = divmod(sequence, _BLOCK)
        if block != self._block:
            draw, sums = random.Random(f"payloads:{self._seed}:{block}").random, self._sums
            self._drawn = [
                min(self._last, bisect_right(sums, draw() * sums[-1])) for _unused in range(_BLOCK)
            ]
            self._block = block
        return self._drawn[at]


class Mix:
    """Which of several payloads each request carries: by weight where there are weights, else in turn.

    `modes` is how many connection modes requests take in turn; on each of them every payload comes.
    `names` is what each is called, `counted_as` by what it is counted; empty texts where it is the only one.
    `part` is how a generator's own requests are numbered (`Options.numbering`): several together send the
    payloads that one would.
    """

    def __init__(
        self,
        count: int,
        given: Sequence[str],
        weights: Sequence[float],
        *,
        seed: int,
        modes: int,
        part: tuple[int, int, int] = (0, 1, 0),
    ) -> None:
        self._part, self._parts, self._warmup = part
        self.count = count
        self.names = list(given) or [f"payload {number}" for number in range(1, count + 1)]
        self.counted_as = names(count, given)
        if count < 2:
            self.names = self.counted_as = [""]
        self._modes = modes
        self._drawn = WeightedChoice(weights, seed) if weights else None

    def index(self, sequence: int) -> int:
        """Which payload the request with this number of the generator's own carries."""
        counted = sequence - self._warmup
        if self._parts > 1 and counted > 0:
            sequence = (counted - 1) * self._parts + self._part + 1
        if self._drawn is not None:
            return self._drawn(sequence)
        return sequence // self._modes % self.count


def names(count: int, given: Sequence[str]) -> list[str]:
    """What each of the payloads is counted as: by its name, or its number, and by `OTHERS` beyond a limit."""
    own = given or [f"payload {number}" for number in range(1, count + 1)]
    return [*own[:MAX_TOLD], *[OTHERS] * (count - MAX_TOLD)]


def check(count: int, given: Sequence[str], weights: Sequence[float]) -> None:
    """Raise LoadError for names and weights that do not go with so many payloads; empty ones always do."""
    if count > MAX_PAYLOADS:
        raise LoadError(f"There are {count} payloads, and at most {MAX_PAYLOADS} can be sent.")
    if weights and len(weights) != count:
        raise LoadError("There must be one weight for each payload.")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise LoadError("A payload's weight must be a finite number of 0 or more.")
    if weights and not sum(weights) > 0:
        raise LoadError("One payload at least must have a weight above 0.")
    if given and len(given) != count:
        raise LoadError("There must be one name for each payload.")
    seen: set[str] = set()
    for name in given:
        if not name.isprintable() or not 0 < len(name) <= MAX_NAME:
            raise LoadError(
                f"The payload's name {name[:MAX_NAME]!r} must be 1 to {MAX_NAME} printable characters."
            )
        if name in seen:
            raise LoadError(f"Two payloads are named {name!r}: give each a name of its own.")
        seen.add(name)
