# SPDX-License-Identifier: GPL-3.0-or-later
"""Several requests to an API server at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# Enough to hide the network's latency, too few to trouble an API server.
PARALLEL = 8

In = TypeVar("In")
Out = TypeVar("Out")


def at_once(call: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """``call`` for each item, several at a time, answers in order; the first error is raised."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(call, items))
