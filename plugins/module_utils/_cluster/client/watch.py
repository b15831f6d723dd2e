# SPDX-License-Identifier: GPL-3.0-or-later
"""Following objects of one kind: list, then watch from that resourceVersion, for as long as the caller
has time.

A watch ends for many reasons that are not news: the server's own time limit, a restart of the API server, an
expired resourceVersion (410), a connection that died without a word. Each is mended here, by a new list
or a new watch, so that the caller sees objects only: present, changed, deleted, replaced by another of
the same name.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from .api import Json, Resource
from .errors import ClusterError, Forbidden, Gone, NotFound, Unauthorized, UnknownKind, Unreachable

# The server ends each watch after this long, and a silence some seconds longer means a dead connection.
WINDOW_SECONDS = 30.0
SILENCE_MARGIN_SECONDS = 5.0
# A restarting API server answers 401, 403 and 404 for a moment, until its caches are filled. After a
# first good answer these count only when they last.
DOUBT_SECONDS = 20.0
# A watch that ends sooner is not worth opening at once again.
SHORT_WATCH_SECONDS = 1.0
BACKOFF_FIRST_SECONDS = 0.2
BACKOFF_MOST_SECONDS = 5.0


class WatchedApi(Protocol):
    """What is used of ``api.Api``."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """The list at ``path``."""

    def stream(
        self, path: str, query: Mapping[str, str], silence_seconds: float
    ) -> Generator[Json, None, None]:
        """The events of a watch, once the server has accepted it."""


@dataclass(frozen=True)
class Notice:
    """News of a watched kind. ``kind`` is one of

    - ``present``: the object, new, changed, or seen again by a new list;
    - ``deleted``: the object is gone (``object`` is its last version);
    - ``synced``: the first list is complete: what was not present is not there;
    - ``expired``: the server no longer knew the version from which the watch was to go on, so everything is
      listed anew, and what came and went between the two was not seen;
    - ``cut``: a watch ended with an error, and was told everything until then (only where it is asked for);
    - ``lost``, ``back``: the API server does not answer (``message`` says why), or answers again;
    - ``refused``: this kind cannot be listed, and the rest goes on without it (``message`` says why).
    """

    feed: str
    kind: str
    time: float
    name: str = ""
    object: Json | None = None
    message: str = ""


@dataclass
class Clock:
    """Time (seconds, never going back), sleep, and the dice for jitter: injected, so that tests need none."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    dice: Callable[[], float] = random.random


class Watch:
    """One kind in one namespace, or one object of it when ``name`` is given."""

    def __init__(
        self,
        source: WatchedApi,
        feed: str,
        resource: Resource,
        *,
        namespace: str | None,
        name: str | None,
        labels: str = "",
        clock: Clock,
        longest_pause: float = BACKOFF_MOST_SECONDS,
        tell_cuts: bool = False,
    ) -> None:
        """``labels`` is a label selector; empty for all objects.

        ``longest_pause`` bounds the seconds before it is tried again, however often it has failed.

        With ``tell_cuts`` each failure is told at once, as ``cut``, before it is known whether it lasts.
        """
        self._source = source
        self.feed = feed
        self._path = resource.path(namespace)
        self._kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        self._select = {"fieldSelector": f"metadata.name={name}"} if name else {}
        self._select |= {"labelSelector": labels} if labels else {}
        self._what = f"{resource.kind} ({resource.api_version})"
        self._clock = clock
        self._longest_pause = longest_pause
        self._tell_cuts = tell_cuts
        self._known: dict[str, Json] = {}
        self._synced = False
        self._failures = 0
        self._lost_since: float | None = None
        self._doubt_since: float | None = None

    def notices(self, deadline: float) -> Iterator[Notice]:
        """News until ``deadline`` (of the clock). Raises ClusterError if the first list fails, or if
        the rights or the kind itself stay away later on."""
        version = ""
        while self._clock.now() < deadline:
            try:
                if not version:
                    listed = self._source.get(self._path, self._select)
                    version = version_of(listed)
                    yield from self._relisted(listed)
                with closing(self._open(version, deadline)) as events:
                    yield from self._answered()
                    opened = self._clock.now()
                    try:
                        for event in events:
                            self._refuse(event)
                            version = version_of(event.get("object") or {}) or version
                            yield from self._happened(event)
                    finally:
                        if self._clock.now() - opened >= SHORT_WATCH_SECONDS:
                            self._failures = 0
            except Gone as gone:
                version = ""
                yield Notice(self.feed, "expired", self._clock.now(), message=str(gone))
                self._pause(deadline)
            except (Unreachable, Unauthorized, Forbidden, NotFound) as error:
                if self._tell_cuts and self._synced:
                    yield Notice(self.feed, "cut", self._clock.now(), message=str(error))
                yield from self._failed(error)
                self._pause(deadline, getattr(error, "retry_after", None) or 0.0)
                if self._failures > 2:
                    # A server that came back with an older history would refuse our version for ever.
                    version = ""
            else:
                if self._clock.now() - opened < SHORT_WATCH_SECONDS:
                    self._pause(deadline)

    def _open(self, version: str, deadline: float) -> Generator[Json, None, None]:
        window = max(1.0, min(WINDOW_SECONDS, deadline - self._clock.now()))
        query = {
            **self._select,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(window)),
        }
        return self._source.stream(self._path, query, window + SILENCE_MARGIN_SECONDS)

    def _refuse(self, event: Json) -> None:
        if event.get("type") == "ERROR":
            status = event.get("object") or {}
            # 410 mostly; whatever it is, this watch cannot go on, and a new list mends it.
            raise Gone(f"The watch of {self._what} was ended: {status.get('message')}")

    def _relisted(self, listed: Json) -> Iterator[Notice]:
        # The items of a list are without a kind of their own.
        items = {_name_of(item): {**self._kind, **item} for item in listed.get("items") or []}
        for name in [name for name in self._known if name not in items]:
            yield self._gone(name, self._known[name])
        for item in items.values():
            yield from self._seen(item)
        if not self._synced:
            self._synced = True
            yield Notice(self.feed, "synced", self._clock.now())

    def _happened(self, event: Json) -> Iterator[Notice]:
        item = event.get("object") or {}
        if event.get("type") in ("ADDED", "MODIFIED"):
            yield from self._seen(item)
        elif event.get("type") == "DELETED":
            yield self._gone(_name_of(item), item)

    def _seen(self, item: Json) -> Iterator[Notice]:
        name = _name_of(item)
        known = self._known.get(name)
        if known is not None and _metadata(known, "uid") != _metadata(item, "uid"):
            # Deleted and created anew while nobody watched.
            yield self._gone(name, known)
            known = None
        if known is None or version_of(known) != version_of(item):
            self._known[name] = item
            yield Notice(self.feed, "present", self._clock.now(), name, item)

    def _gone(self, name: str, item: Json) -> Notice:
        self._known.pop(name, None)
        return Notice(self.feed, "deleted", self._clock.now(), name, item)

    def _answered(self) -> Iterator[Notice]:
        self._doubt_since = None
        if self._lost_since is not None:
            seconds = self._clock.now() - self._lost_since
            self._lost_since = None
            message = f"the API server answers again after {seconds:.1f} s"
            yield Notice(self.feed, "back", self._clock.now(), message=message)

    def _failed(self, error: ClusterError) -> Iterator[Notice]:
        now = self._clock.now()
        if not self._synced:
            raise self._first_error(error) from error
        if not isinstance(error, Unreachable):
            self._doubt_since = now if self._doubt_since is None else self._doubt_since
            if now - self._doubt_since >= DOUBT_SECONDS:
                raise self._first_error(error) from error
        if self._lost_since is None and self._failures:
            # One cut watch is daily bread; a second failure in a row is an outage worth a line.
            self._lost_since = now
            yield Notice(self.feed, "lost", now, message=f"no answer from the API server: {error}")

    def _first_error(self, error: ClusterError) -> ClusterError:
        if isinstance(error, NotFound):
            return UnknownKind(
                f"The API server does not serve {self._what}. Install its CustomResourceDefinition first."
            )
        return error

    def _pause(self, deadline: float, least: float = 0.0) -> None:
        """Sleeps, longer with each failure in a row, ``least`` or more, and never past the deadline."""
        most = min(self._longest_pause, BACKOFF_FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        seconds = max(least, most * (0.5 + self._clock.dice() / 2))
        seconds = min(seconds, deadline - self._clock.now())
        if seconds > 0:
            self._clock.sleep(seconds)


def _name_of(item: Json) -> str:
    return _metadata(item, "name")


def version_of(item: Json) -> str:
    """The resourceVersion of an object, or of a list."""
    return _metadata(item, "resourceVersion")


def _metadata(item: Json, field: str) -> str:
    return str((item.get("metadata") or {}).get(field) or "")


class Feeds:
    """Several watches at once, each of a feed of its own and in a thread, their notices in one queue."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._queue: queue.Queue[Notice | ClusterError] = queue.Queue()
        self._watches = 0
        self._lost: set[str] = set()
        # Of which the first list is complete, or will never be.
        self._listed: set[str] = set()

    @property
    def unobserved(self) -> bool:
        """Whether a watch has told that it is lost, and not yet that it is back."""
        return bool(self._lost)

    @property
    def synced(self) -> bool:
        """Whether the first list of every watch has been taken in by ``next``."""
        return len(self._listed) == self._watches

    def follow(self, watch: Watch, needed: bool = True) -> None:
        """Starts a watch. Its thread ends with the deadline or the process.

        One that is not needed ends with the notice ``refused`` where the kind cannot be listed.
        """

        def run() -> None:
            try:
                for notice in watch.notices(self._deadline):
                    self._queue.put(notice)
            except ClusterError as error:
                refused = Notice(watch.feed, "refused", 0.0, message=str(error))
                self._queue.put(error if needed else refused)
            except Exception as error:  # noqa: BLE001  A thread that dies unseen would be a wait for nothing.
                self._queue.put(ClusterError(f"The watch broke: {type(error).__name__}: {error}"))

        self._watches += 1
        threading.Thread(target=run, name="watch", daemon=True).start()

    def refuse(self, feed: str, why: str) -> None:
        """Tells of a kind that will not be followed at all."""
        self._watches += 1
        self._queue.put(Notice(feed, "refused", 0.0, message=why))

    def next(self, seconds: float) -> Notice | None:
        """The next notice, or None after ``seconds``; raises what ended a watch."""
        try:
            item: Any = self._queue.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if isinstance(item, ClusterError):
            raise item
        if item.kind in ("synced", "refused"):
            self._listed.add(item.feed)
        if item.kind == "lost":
            self._lost.add(item.feed)
        elif item.kind in ("back", "refused"):
            # One that is refused will not come back: the rest goes on without it.
            self._lost.discard(item.feed)
        return item  # type: ignore[no-any-return]
