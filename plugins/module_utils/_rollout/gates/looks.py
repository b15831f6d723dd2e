# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking again and again at evidence that grows, without being wrong more often than was agreed.

Whoever tests at 95 % and looks a hundred times at a good canary rejects it nearly surely once. Here the
permitted error is spent over the looks (the alpha spending of Lan and DeMets, Discrete sequential boundaries
for clinical trials, Biometrika 70, 1983): the k-th look may be wrong with the probability
error / (k (k + 1)), and these sum to the error however many looks there are, since
1/2 + 1/6 + 1/12 + ... = 1. By the union bound the chance that any look at all is wrong is at most the error,
whatever the dependence between the looks. That the looks lie ever further apart (each at a quarter more
samples than the last) keeps the price low: the width of the interval grows by the root of a double logarithm
of the samples only, as with the stitching of Howard, Ramdas, McAuliffe and Sekhon (Time-uniform,
nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49, 2021, section 3.1).

When a look is due depends on the number of samples alone, not on what they say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROWTH = 1.25


@dataclass(frozen=True)
class Looks:
    """The looks at one claim: how many were spent, and from how many samples on the next is due."""

    spent: int
    due: int

    def is_due(self, samples: int) -> bool:
        """Whether it may be looked with so many samples."""
        return samples >= self.due

    def doubt(self, error: float) -> float:
        """The probability with which the next look may be wrong, of the `error` permitted to all of them."""
        return error / ((self.spent + 1) * (self.spent + 2))

    def after(self, samples: int) -> Looks:
        """With one more look spent, at so many samples."""
        return Looks(self.spent + 1, math.ceil(max(samples, 1) * GROWTH))

    def again(self, due: int) -> Looks:
        """For a collection of samples that begins anew: what was spent stays spent."""
        return Looks(self.spent, due)

    def to_json(self) -> dict[str, int]:
        """As the state keeps it."""
        return {"spent": self.spent, "due": self.due}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Looks:
        """The reverse of `to_json`."""
        return cls(int(data["spent"]), int(data["due"]))
