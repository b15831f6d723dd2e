# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller and a generation of the serving stack (KFServing of 2021, KServe of today) agree on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..gateway import config
from .routes import RouteState

RESYNC_SECONDS = 30.0
SOON_SECONDS = 0.25
"""Until the next pass while something drains or the gateway has not confirmed."""

REFUSED = (400, 403, 422)
"""The API server's answers to what it does not take: a matter of that InferenceService and no other."""


@dataclass(frozen=True)
class Look:
    """What one look at the cluster found."""

    hosts: config.Hosts
    """What the gateway is to route now."""
    endpoints: config.Endpoints
    act: Callable[[RouteState], float]
    """Given what the gateway took: write what follows; the seconds until the next pass without any event.

    May raise ApiError.
    """


class Stack(Protocol):
    """One generation of the serving stack."""

    def look(self, applied: config.Hosts) -> Look:
        """Look at the cluster, once in each pass.

        :param applied: the routes in force.
        :raises ApiError: the API server refused something.
        """
