# SPDX-License-Identifier: GPL-3.0-or-later
"""When requests arrive other than evenly: at random, along a profile of rates, at the times of a trace.

All of it is known before the first request is sent, so such a load is as open a loop as an even one. A
profile is a list of steps; counted along it, request `u` is due where the area under the rates reaches `u`.
Even arrivals have u = 0, 1, 2 …; those of a Poisson process are the sums of exponential gaps with the mean 1,
by which any profile of rates gives the inhomogeneous process (Cinlar 1975, time-rescaling).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .duration import SECOND
from .errors import LoadError

MAX_RATE = 1_000_000  # requests a second; no process comes near it
ARRIVALS = ("uniform", "poisson")
MAX_STEPS = 10_000
MAX_TIMES = 1_000_000


class Stretch(NamedTuple):
    """A stretch of a profile: from one rate to another (requests a second), evenly; `length` in ns."""

    begin: float
    end: float
    length: int

    @property
    def requests(self) -> float:
        """How many requests fall due in it."""
        return (self.begin + self.end) / 2 * self.length / SECOND

    def time_of(self, count: float) -> float:
        """Nanoseconds from its beginning until so many requests have fallen due; at most its length."""
        seconds = self.length / SECOND
        # The root of begin·t + (end - begin)·t²/(2·seconds) = count, in the form that loses no digits.
        root = math.sqrt(max(0.0, self.begin**2 + 2 * (self.end - self.begin) * count / seconds))
        return min(float(self.length), 2 * count / (self.begin + root) * SECOND) if count else 0.0


def span(steps: Sequence[Stretch]) -> int:
    """How long a profile lasts, in nanoseconds."""
    return sum(step.length for step in steps)


def requests(steps: Sequence[Stretch]) -> float:
    """How many requests fall due along a profile."""
    return sum(step.requests for step in steps)


def period(times: Sequence[int]) -> int:
    """For how long a trace stands, in nanoseconds: from its first time to its last, and one mean gap."""
    last = times[-1]
    return last + (last // (len(times) - 1) if last else SECOND)


def even() -> Iterator[float]:
    """Arrivals that are one apart."""
    count = 0
    while True:
        yield count
        count += 1


def poisson(seed: int) -> Iterator[float]:
    """Arrivals of a Poisson process with one a unit; the same for the same seed on every Python."""
    draw, count = random.Random(f"arrivals:{seed}").random, 0.0
    while True:
        count -= math.log(1.0 - draw())
        yield count


def along_rate(counts: Iterator[float], rate: float) -> Iterator[int]:
    """When these arrivals are due at an even rate, in nanoseconds from the start."""
    for count in counts:
        yield int(count / rate * SECOND)


def along(counts: Iterator[float], steps: Sequence[Stretch], repeat: bool) -> Iterator[int]:
    """When these arrivals are due along a profile, in nanoseconds from its beginning."""
    count = next(counts)
    begun, passed = 0, 0.0  # nanoseconds and arrivals of the steps that are over
    while True:
        for step in steps:
            within = step.requests
            while count - passed < within:
                yield begun + int(step.time_of(count - passed))
                count = next(counts)
            begun, passed = begun + step.length, passed + within
        if not repeat:
            return


def along_trace(times: Sequence[int], repeat: bool) -> Iterator[int]:
    """The times of a trace, again and again if it repeats."""
    begun, lasts = 0, period(times)
    while True:
        for time in times:
            yield begun + time
        if not repeat:
            return
        begun += lasts


def most_within(times: Sequence[int], length: int) -> int:
    """The most of these times that lie within a stretch of so many nanoseconds."""
    most = first = 0
    for at, time in enumerate(times):
        while time - times[first] > length:
            first += 1
        most = max(most, at - first + 1)
    return most


def check(
    rate: float, steps: Sequence[Stretch], times: Sequence[int], *, arrival: str, repeat: bool, closed: bool
) -> None:
    """Raise LoadError where these do not say together when requests are due."""
    if arrival not in ARRIVALS:
        raise LoadError(f"arrival must be one of {', '.join(ARRIVALS)}, not {arrival!r}.")
    uneven = [what for what, given in (("profile", steps), ("send_times", times)) if given]
    named = ["rate", *uneven] if rate else uneven
    if len(named) > 1:
        raise LoadError(f"Only one of {' and '.join(named)} can say when requests are due.")
    uneven += ["arrival=poisson"] if arrival == "poisson" else []
    if uneven and closed:
        raise LoadError(f"{uneven[0]} needs pacing=open: a closed loop sends when it was answered.")
    if arrival == "poisson" and not (rate or steps):
        raise LoadError("arrival=poisson needs a rate above 0 or a profile.")
    if repeat and not (steps or times):
        raise LoadError("repeat needs a profile or send_times to repeat.")
    check_profile(steps)
    check_times(times)


def check_profile(steps: Sequence[Stretch]) -> None:
    """Raise LoadError for a profile along which no load can be sent; an empty one is none."""
    if len(steps) > MAX_STEPS:
        raise LoadError(f"The profile has {len(steps)} steps, and may have {MAX_STEPS}.")
    for number, step in enumerate(steps, 1):
        if not all(0 <= rate <= MAX_RATE for rate in (step.begin, step.end)):
            raise LoadError(
                f"Step {number} of the profile must have rates from 0 to {MAX_RATE} requests a second."
            )
        if step.length <= 0:
            raise LoadError(f"Step {number} of the profile must have a duration above 0.")
    if steps and requests(steps) < 1:
        raise LoadError("The profile is too short, or its rates too low, for one request.")


def check_times(times: Sequence[int]) -> None:
    """Raise LoadError for send times that are none; empty ones are no trace."""
    if len(times) > MAX_TIMES:
        raise LoadError(f"There are {len(times)} send times, and at most {MAX_TIMES} can be sent.")
    if times and (times[0] != 0 or any(a > b for a, b in zip(times, times[1:]))):
        raise LoadError("The send times must begin with 0 and never go back.")
