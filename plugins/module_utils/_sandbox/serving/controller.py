# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass of the serving controller: look at everything, then move each InferenceService a step on.

A pass is idempotent; running it again, or in another process after a crash, only goes on. What is kept in
memory is since when something is as it is, such as a drain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from .api import ServingApi
from .routes import GatewayAdmin, GatewayWriter
from .stack import Stack

_LOG = logging.getLogger("serving")


@dataclass
class Controller:
    """Reconciles all InferenceServices of one generation of the serving stack."""

    api: ServingApi
    stack: Stack
    gateway: GatewayWriter
    admin: Callable[[str], GatewayAdmin]

    def run_once(self) -> float:
        """Do one pass; return the seconds until the next one is due without any event.

        :raises ApiError: the API server refused something; the caller tries again later.
        """
        look = self.stack.look(self.gateway.applied())
        ips = self.api.gateway_ips()
        routes = self.gateway.apply(look.hosts, look.endpoints, [self.admin(ip) for ip in ips])
        if routes.problem:
            _LOG.warning("gateway: %s", routes.problem)
        if ips:
            self.api.set_load_balancer(ips)
        return look.act(routes)
