# SPDX-License-Identifier: GPL-3.0-or-later
"""Change the gateway's routes without losing a request: make before break, each step confirmed by Envoy.

The order is: new clusters; the routes that name them; then, once nothing names an old cluster and its
requests are done, its removal. What is in force is read from Envoy's files, so a controller that was
restarted goes on where the last one stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..gateway import config
from ..gateway.admin import GatewayState

DRAIN_SECONDS = 2.0
"""How long a cluster outlives its last route: Envoy's workers take new routes over within milliseconds, and a
request that chose the old route before that is given time to be sent."""

DRAIN_LIMIT_SECONDS = 60.0
"""When to stop waiting for requests in flight: no request may take longer than the route's own limit."""

CONFIRM_SECONDS = 2.0
POLL_SECONDS = 0.01

_LOG = logging.getLogger("serving.gateway")


class GatewayAdmin(Protocol):
    """One running Envoy."""

    def state(self) -> GatewayState:
        """Return what it has taken over; ``OSError`` if it does not answer."""


@dataclass(frozen=True)
class RouteState:
    """What one pass reached."""

    confirmed: bool
    """Every running gateway, and at least one, routes as wanted."""
    problem: str
    """Why it is not confirmed; empty if it is."""
    clusters: frozenset[str]
    """Clusters that may still get or hold requests: their pods must live."""
    draining: bool
    """Some of them are only there to finish their requests, so another pass is due soon."""


class GatewayWriter:
    """The only writer of the gateway's files. Its memory is the time when a cluster lost its last route."""

    def __init__(
        self, files: config.GatewayFiles, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._files = files
        self._clock = clock
        self._sleep = sleep
        self._unrouted_since: dict[str, float] = {}

    def applied(self) -> dict[str, dict[str, int]]:
        """Return the routes in force: host → cluster → weight."""
        hosts: dict[str, dict[str, int]] = config.hosts_of(self._files.read(config.RDS_FILE))
        return hosts

    def apply(
        self, hosts: config.Hosts, endpoints: config.Endpoints, admins: Sequence[GatewayAdmin]
    ) -> RouteState:
        """Move the gateways to ``hosts``, as far as that is safe now.

        :param endpoints: addresses of every cluster's ready pods; a cluster that is not named has none.
        :param admins: the running gateways. With none, the files are written for the next one to start.
        """
        existing = config.endpoints_of(self._files.read(config.CDS_FILE))
        routed = _clusters(hosts)
        in_use = routed | _clusters(self.applied())
        for name in in_use & set(self._unrouted_since):
            del self._unrouted_since[name]
        kept = {name for name in set(existing) - in_use if not self._drained(name, admins)}
        names = in_use | kept
        clusters = config.cds_document({name: endpoints.get(name, ()) for name in names})
        problem = self._put(config.CDS_FILE, clusters, admins)
        if not problem:
            problem = self._put(config.RDS_FILE, config.rds_document(hosts), admins)
        if not problem:
            self._note_unrouted(names - routed)
        if not admins:
            problem = "No gateway is ready."
        return RouteState(not problem, problem, frozenset(names), bool(names - routed))

    def _note_unrouted(self, names: set[str]) -> None:
        now = self._clock()
        self._unrouted_since = {name: self._unrouted_since.get(name, now) for name in names}

    def _drained(self, cluster: str, admins: Iterable[GatewayAdmin]) -> bool:
        if cluster not in self._unrouted_since:
            return False
        waited = self._clock() - self._unrouted_since[cluster]
        if waited < DRAIN_SECONDS:
            return False
        if waited >= DRAIN_LIMIT_SECONDS:
            return True
        try:
            return not any(admin.state().active_requests.get(cluster) for admin in admins)
        except OSError:
            return False

    def _put(self, name: str, document: Mapping[str, Any], admins: Sequence[GatewayAdmin]) -> str:
        """Write a file if a gateway, or the disk, has another version; return a problem or nothing."""
        version = document["version_info"]
        try:
            before = [admin.state() for admin in admins]
            same = all(_version(state, name) == version for state in before)
            if same and self._files.read(name)["version_info"] == version:
                return ""
            self._files.write(name, document)
            return self._confirm(name, version, admins, sum(state.rejected for state in before))
        except OSError as error:
            return f"The gateway's admin interface does not answer: {error}"

    def _confirm(self, name: str, version: str, admins: Sequence[GatewayAdmin], rejected: int) -> str:
        end = self._clock() + CONFIRM_SECONDS
        while True:
            states = [admin.state() for admin in admins]
            if all(_version(state, name) == version and not state.warming_clusters for state in states):
                _LOG.info("%s version %s is in force on %d gateways", name, version, len(admins))
                return ""
            if sum(state.rejected for state in states) > rejected:
                return f"The gateway refused version {version} of {name}; its own log says why."
            if self._clock() >= end:
                return f"The gateway did not take version {version} of {name} within {CONFIRM_SECONDS:g} s."
            self._sleep(POLL_SECONDS)


def _version(state: GatewayState, name: str) -> str:
    versions = {config.CDS_FILE: state.cds_version, config.RDS_FILE: state.rds_version}
    return str(versions[name])


def _clusters(hosts: config.Hosts) -> set[str]:
    return {name for weights in hosts.values() for name in weights if name != config.NO_BACKEND}
