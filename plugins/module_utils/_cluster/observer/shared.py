# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes for several observers: one watch for each kind and namespace, one poll for all objects of it.

Each observer is told what it asked for, and nothing else, with the time at which it was found; one that comes
later is told first how things stand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..client.api import Api, Json
from ..client.errors import ClusterError, Forbidden, NotFound
from ..client.watch import Clock, Notice, version_of
from .coverage import ABSENT
from .eyes import (
    POLL_READ_SECONDS,
    Found,
    Own,
    Polled,
    Tell,
    WatchFailed,
    WatchTarget,
    at_a_pace,
    broken,
    compared,
    watched,
)

CROWDED = 20
"""Where a list has so many objects for each that is asked about, they are asked for one by one."""


@dataclass(frozen=True)
class Listener:
    """An observer's interest in a target."""

    target: WatchTarget
    tell: Tell
    ended: threading.Event
    deadline: float = 0.0

    def wants(self, notice: Notice) -> bool:
        """Whether it asked for this; what is about no object is about all."""
        return not self.ended.is_set() and self.target.name in (None, notice.name or self.target.name)


class Shared:
    """Eyes for any number of observers of one API server. `wall` gives epoch seconds, `clock` is for the
    watches."""

    def __init__(self, api: Api, wall: Callable[[], float], clock: Clock) -> None:
        self._api = api
        self._wall = wall
        self._clock = clock
        self._own = Own(api, wall, clock)
        self._lock = threading.Lock()
        self._feeds: dict[str, Feed] = {}
        self._polls: dict[str, Polls] = {}

    def follow(self, target: WatchTarget, deadline: float, tell: Tell, ended: threading.Event) -> None:
        """See Eyes."""
        with self._lock:
            feed = self._feeds.get(target.place)
            if feed is None:
                feed = self._feeds[target.place] = Feed(self._alone)
                new = replace(target, name=None)
                run = threading.Thread(target=self._watch, args=(new, feed), daemon=True)
            else:
                run = None
            feed.join(Listener(target, tell, ended, deadline), self._wall())
        if run is not None:
            run.start()

    def poll(self, target: WatchTarget, tell: Tell, ended: threading.Event) -> None:
        """See Eyes."""
        with self._lock:
            polls = self._polls.get(target.place)
            if polls is not None and polls.join(Listener(target, tell, ended)):
                return
            polls = self._polls[target.place] = Polls(
                self._api.with_time_limit(POLL_READ_SECONDS), self._wall
            )
            polls.join(Listener(target, tell, ended))
        threading.Thread(target=at_a_pace, args=(polls.once, polls.over, self._clock), daemon=True).start()

    def _watch(self, target: WatchTarget, feed: Feed) -> None:
        try:
            for notice in watched(self._api, target, self._clock).notices(float("inf")):
                feed.take(notice, self._wall())
        except Exception as error:  # noqa: BLE001  See broken.
            # Whoever comes next tries again.
            with self._lock:
                self._feeds.pop(target.place, None)
            feed.fail(broken(error), self._wall())

    def _alone(self, listener: Listener) -> None:
        """The rights may be bound to the object's name."""
        self._own.follow(listener.target, listener.deadline, listener.tell, listener.ended)


class Feed:
    """What a watch of all objects of a kind in a namespace has told so far, and who is told of it.

    `alone` is called with whoever follows one object, where all of them may not be listed.
    """

    def __init__(self, alone: Callable[[Listener], None]) -> None:
        self._alone = alone
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._known: dict[str, Notice] = {}
        self._synced: Notice | None = None
        self._lost: Notice | None = None
        self._failed: ClusterError | None = None

    def join(self, listener: Listener, at: float) -> None:
        """Tell how things stand at this moment, and from then on what happens."""
        with self._lock:
            self._listeners = [each for each in self._listeners if not each.ended.is_set()]
            self._listeners.append(listener)
            for notice in [*self._known.values(), *filter(None, (self._synced, self._lost))]:
                self._pass_on(listener, notice, at)
            if self._failed is not None:
                self._give_up(listener, self._failed, at)

    def take(self, notice: Notice, at: float) -> None:
        """News of the watch, found at this moment."""
        with self._lock:
            if notice.kind == "present":
                self._known[notice.name] = notice
            elif notice.kind == "deleted":
                self._known.pop(notice.name, None)
            elif notice.kind == "synced":
                self._synced = notice
            elif notice.kind in ("lost", "back"):
                self._lost = notice if notice.kind == "lost" else None
            for listener in self._listeners:
                self._pass_on(listener, notice, at)

    def fail(self, error: ClusterError, at: float) -> None:
        """The watch has ended for good."""
        with self._lock:
            self._failed = error
            for listener in self._listeners:
                self._give_up(listener, error, at)

    def _pass_on(self, listener: Listener, notice: Notice, at: float) -> None:
        if listener.wants(notice):
            listener.tell(at, replace(notice, feed=listener.target.feed))

    def _give_up(self, listener: Listener, error: ClusterError, at: float) -> None:
        if listener.target.name and isinstance(error, Forbidden) and self._synced is None:
            self._alone(listener)
        elif not listener.ended.is_set():
            listener.tell(at, WatchFailed(listener.target, error))


class Polls:
    """The versions of all objects of a kind in a namespace that anybody asks about, with one request."""

    def __init__(self, api: Api, wall: Callable[[], float]) -> None:
        self._api = api
        self._wall = wall
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._one_by_one = False
        self._over = False

    def join(self, listener: Listener) -> bool:
        """Tell this one as well; False if it is too late."""
        with self._lock:
            if not self._over:
                self._listeners.append(listener)
            return not self._over

    def over(self) -> bool:
        """Whether nobody listens any more; from then on nobody can join."""
        with self._lock:
            self._listeners = [each for each in self._listeners if not each.ended.is_set()]
            self._over = not self._listeners
            return self._over

    def once(self) -> None:
        """Ask once for all of them."""
        with self._lock:
            listeners = list(self._listeners)
        if len(listeners) == 1 or self._one_by_one:
            for listener in listeners:
                self._ask([listener], self._version_of)
        elif listeners:
            self._ask(listeners, self._versions)

    def _ask(self, listeners: list[Listener], ask: Callable[[list[Listener]], dict[str, str]]) -> None:
        sent = self._wall()
        try:
            versions: dict[str, str] | None = ask(listeners)
        except NotFound:
            versions = {}
        except ClusterError as error:
            versions = None
            self._one_by_one = self._one_by_one or isinstance(error, Forbidden)
        came = self._wall()
        there = compared(self._api.date, sent, came) if versions is not None else None
        for listener in listeners:
            target = listener.target
            version = None if versions is None else versions.get(target.proved_by or "", ABSENT)
            answers: list[Found] = [Polled(target.feed, sent, version), *filter(None, [there])]
            for answer in answers if not listener.ended.is_set() else ():
                listener.tell(came, answer)

    def _version_of(self, listeners: list[Listener]) -> dict[str, str]:
        target = listeners[0].target
        path = target.resource.path(target.namespace, target.proved_by)
        return {target.proved_by or "": version_of(self._api.get(path))}

    def _versions(self, listeners: list[Listener]) -> dict[str, str]:
        items: list[Json] = self._api.get(listeners[0].target.place, metadata_only=True).get("items") or []
        self._one_by_one = len(items) > CROWDED * len(listeners)
        return {str(item["metadata"]["name"]): version_of(item) for item in items}
