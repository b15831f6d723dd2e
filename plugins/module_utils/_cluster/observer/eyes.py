# SPDX-License-Identifier: GPL-3.0-or-later
"""What an observer sees with: watches, each in a thread of its own, and polls beside them.

What the threads find is told with the time at which they found it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol, Union

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import (
    Offset,
    from_stamp,
)

from ..client.api import Api, Resource
from ..client.errors import ClusterError, NotFound
from ..client.watch import Clock, Notice, Watch, version_of
from .coverage import ABSENT, POLL_SECONDS

RECONNECT_SECONDS = 0.5
"""The longest pause before a watch is opened again: here every moment counts, and it is one client."""
POLL_READ_SECONDS = 2.0
"""A poll that is not answered by then is worth nothing."""


@dataclass(frozen=True)
class WatchTarget:
    """A kind to follow. `name` of None is all objects of the namespace; `needed` ones end the observer where
    they cannot be listed at all, the others are said once and left out. `proved_by` names the object whose
    version is asked for beside the watch, and so proves what it tells; none is where that is None."""

    feed: str
    resource: Resource
    namespace: str | None
    name: str | None = None
    needed: bool = False
    proved_by: str | None = None

    @property
    def place(self) -> str:
        """The path of all objects among which this is."""
        return self.resource.path(self.namespace)


@dataclass(frozen=True)
class Polled:
    """The answer to a poll: its version (`absent` where the object is not there), None where none came."""

    feed: str
    sent: float
    version: str | None


@dataclass(frozen=True)
class WatchFailed:
    """A watch that ended for good."""

    target: WatchTarget
    error: ClusterError


@dataclass(frozen=True)
class Compared:
    """By how much the API server's clock is ahead of ours, as its Date bounds it."""

    offset: Offset


Found = Union[Notice, Polled, WatchFailed, Compared]
# Takes what was found, and when (epoch seconds).
Tell = Callable[[float, Found], None]


class Eyes(Protocol):
    """Whoever looks for an observer. Both return at once; they go on until `ended` is set."""

    def follow(self, target: WatchTarget, deadline: float, tell: Tell, ended: threading.Event) -> None:
        """Tell each Notice of the target until `deadline` (of the clock), or that it Failed for good."""

    def poll(self, target: WatchTarget, tell: Tell, ended: threading.Event) -> None:
        """Tell over and over which version the object that proves the target has (Polled), and what time it
        is there."""


def compared(date: str, sent: float, received: float) -> Compared | None:
    """What the Date header of an answer says, in whole seconds; None where that bounds nothing."""
    try:
        offset = from_stamp(parsedate_to_datetime(date).timestamp(), 1.0, sent, received)
    except (TypeError, ValueError):
        return None
    return Compared(offset) if offset is not None else None


def watched(api: Api, target: WatchTarget, clock: Clock) -> Watch:
    """The watch of a target."""
    return Watch(
        api, target.feed, target.resource, namespace=target.namespace, name=target.name,
        clock=clock, longest_pause=RECONNECT_SECONDS, tell_cuts=True,
    )  # fmt: skip


def broken(error: Exception) -> ClusterError:
    """What ended a watch; a thread that died unseen would be silence taken for peace."""
    if isinstance(error, ClusterError):
        return error
    return ClusterError(f"The watch broke: {type(error).__name__}: {error}")


class Own:
    """Eyes for one observer alone. `wall` gives epoch seconds, `clock` is for the watches."""

    def __init__(self, api: Api, wall: Callable[[], float], clock: Clock) -> None:
        self._api = api
        self._wall = wall
        self._clock = clock

    def follow(self, target: WatchTarget, deadline: float, tell: Tell, ended: threading.Event) -> None:
        """See Eyes."""

        def run() -> None:
            try:
                for notice in watched(self._api, target, self._clock).notices(deadline):
                    tell(self._wall(), notice)
                    if ended.is_set():
                        return
            except Exception as error:  # noqa: BLE001  See broken.
                tell(self._wall(), WatchFailed(target, broken(error)))

        threading.Thread(target=run, daemon=True).start()

    def poll(self, target: WatchTarget, tell: Tell, ended: threading.Event) -> None:
        """See Eyes."""
        path = target.resource.path(target.namespace, target.proved_by)
        api = self._api.with_time_limit(POLL_READ_SECONDS)

        def once() -> None:
            sent = self._wall()
            try:
                version: str | None = version_of(api.get(path))
            except NotFound:
                version = ABSENT
            except ClusterError:
                version = None
            tell(self._wall(), Polled(target.feed, sent, version))
            there = compared(api.date, sent, self._wall()) if version is not None else None
            if there is not None:
                tell(self._wall(), there)

        threading.Thread(target=at_a_pace, args=(once, ended.is_set, self._clock), daemon=True).start()


def at_a_pace(once: Callable[[], None], ended: Callable[[], bool], clock: Clock) -> None:
    """Call it every POLL_SECONDS, or as soon after as it is done."""
    due = clock.now()
    while not ended():
        once()
        due = max(due + POLL_SECONDS, clock.now())
        clock.sleep(max(0.0, due - clock.now()) or POLL_SECONDS / 3)
