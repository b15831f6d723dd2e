# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of the observer: every watch in a thread of its own, the polls in one more, one recorder.

What the threads find is queued with the time at which they found it, so that a loop that is held up, by its
disk for instance, dates nothing wrongly.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import (
    Estimate,
    from_stamp,
)

from ..client.api import Api, Json, Resource
from ..client.errors import ClusterError, NotFound
from ..client.watch import Clock, Notice, Watch
from .coverage import POLL_SECONDS, Coverage, Poll, Unobserved
from .recorder import DECISIVE, Recorder

TICK_SECONDS = 0.2
RECONNECT_SECONDS = 0.5
"""The longest pause before a watch is opened again: here every moment counts, and it is one client."""
POLL_READ_SECONDS = 2.0
"""A poll that is not answered by then is worth nothing."""
CLOCK_SECONDS = 60.0
"""How often the API server's offset is written down."""
BESIDE_SECONDS = 2.0
"""How long the end waits for what runs beside."""
ABSENT = "absent"
Beside = Callable[[threading.Event], None]


@dataclass(frozen=True)
class Target:
    """A kind to follow. `name` of None is all objects of the namespace; `needed` ones end the observer where
    they cannot be listed at all, the others are said once and left out."""

    feed: str
    resource: Resource
    namespace: str | None
    name: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class Polled:
    """The answer to a poll: its version (`absent` where the object is not there), None where none came."""

    feed: str
    sent: float
    version: str | None


Item = tuple[float, "Notice | Polled | Failed | Compared"]


@dataclass(frozen=True)
class Failed:
    """A watch that ended for good."""

    target: Target
    error: ClusterError


@dataclass(frozen=True)
class Compared:
    """The API server's own time, whole seconds, told between two moments of ours."""

    stamp: float
    sent: float
    received: float


class Observer:
    """Follows the targets until it is stopped, and tells the recorder.

    `wall` gives epoch seconds, `clock` is for the watches. What is `beside` runs in a thread of its own until
    the event that it is given is set. Raises ClusterError if a needed kind cannot be listed.
    """

    def __init__(
        self,
        api: Api,
        targets: Sequence[Target],
        wall: Callable[[], float],
        clock: Clock,
        beside: Sequence[Beside] = (),
    ) -> None:
        self._api = api
        self._targets = targets
        self._wall = wall
        self._ended = threading.Event()
        self._clock = clock
        self._beside = [threading.Thread(target=each, args=(self._ended,), daemon=True) for each in beside]
        self._queue: queue.Queue[Item] = queue.Queue()
        self._coverage: dict[str, Coverage] = {}
        self._polls: dict[str, Poll] = {}
        self._lost: dict[str, tuple[float, str]] = {}
        self._unsynced = {target.feed for target in targets}
        self._changed: set[str] = set()
        self._offset = Estimate()
        self._clock_told = 0.0

    def run(
        self,
        recorder: Recorder,
        deadline: float,
        stopped: Callable[[], bool],
        ready: Callable[[], None],
        tick: Callable[[dict[str, Unobserved]], None],
    ) -> None:
        """Follow until `stopped` or the `deadline` (of `clock`). `ready` is called once everything has
        been listed, or refused, `tick` several times a second with what is unobserved as of now."""
        for target in self._targets:
            threading.Thread(target=self._follow, args=(target, deadline), daemon=True).start()
        for thread in self._beside:
            thread.start()
        begun = False
        while not stopped() and self._clock.now() < deadline:
            self._drain(recorder)
            if not begun and not self._unsynced:
                begun = True
                self._begin(recorder)
                ready()
            now = self._wall()
            if begun:
                tick({feed: gap for feed, gap in self._open(now)})
                self._tell_clock(recorder, now, CLOCK_SECONDS)
        self._ended.set()
        for thread in self._beside:
            thread.join(BESIDE_SECONDS)
        self._drain(recorder, wait=False)
        now = self._wall()
        for feed, gap in self._open(now):
            recorder.unobserved(feed, gap, now)
        self._tell_clock(recorder, now, 0.0)
        recorder.ended(now)

    def _open(self, now: float) -> list[tuple[str, Unobserved]]:
        found = [(feed, coverage.open(now)) for feed, coverage in self._coverage.items()]
        return [(feed, gap) for feed, gap in found if gap is not None]

    def _begin(self, recorder: Recorder) -> None:
        now = self._wall()
        recorder.began(now)
        for target in self._targets:
            if target.feed in DECISIVE and target.name:
                self._coverage[target.feed] = Coverage(now)
                threading.Thread(target=self._poll, args=(target,), daemon=True).start()

    # -- the threads

    def _follow(self, target: Target, deadline: float) -> None:
        watch = Watch(
            self._api, target.feed, target.resource, namespace=target.namespace, name=target.name,
            clock=self._clock, longest_pause=RECONNECT_SECONDS, tell_cuts=True,
        )  # fmt: skip
        try:
            for notice in watch.notices(deadline):
                self._put(notice)
                if self._ended.is_set():
                    return
        except ClusterError as error:
            self._put(Failed(target, error))
        except Exception as error:  # noqa: BLE001  A thread that dies unseen would be silence taken for peace.
            self._put(Failed(target, ClusterError(f"The watch broke: {type(error).__name__}: {error}")))

    def _poll(self, target: Target) -> None:
        """Ask for the version of the object over and over, at a pace of its own."""
        path = target.resource.path(target.namespace, target.name)
        api = self._api.with_time_limit(POLL_READ_SECONDS)
        due = self._clock.now()
        while not self._ended.is_set():
            sent = self._wall()
            version: str | None
            try:
                version = _version(api.get(path))
            except NotFound:
                version = ABSENT
            except ClusterError:
                version = None
            self._put(Polled(target.feed, sent, version))
            if version is not None:
                self._heard(api.date, sent, self._wall())
            due = max(due + POLL_SECONDS, self._clock.now())
            self._clock.sleep(max(0.0, due - self._clock.now()) or POLL_SECONDS / 3)

    def _heard(self, date: str, sent: float, received: float) -> None:
        """The Date header of an answer of the API server, between two moments of `wall`."""
        try:
            stamp = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return
        self._put(Compared(stamp, sent, received))

    def _put(self, item: Notice | Polled | Failed | Compared) -> None:
        self._queue.put((self._wall(), item))

    # -- the loop

    def _drain(self, recorder: Recorder, wait: bool = True) -> None:
        """Take in what has come; waits for the first for as long as a tick."""
        try:
            at, item = self._queue.get(timeout=TICK_SECONDS) if wait else self._queue.get_nowait()
            while True:
                self._take(recorder, at, item)
                at, item = self._queue.get_nowait()
        except queue.Empty:
            return

    def _take(self, recorder: Recorder, at: float, item: Notice | Polled | Failed | Compared) -> None:
        if isinstance(item, Notice):
            self._notice(recorder, at, item)
        elif isinstance(item, Polled):
            self._polled(recorder, at, item)
        elif isinstance(item, Compared):
            self._offset.add(from_stamp(item.stamp, 1.0, item.sent, item.received), at)
        else:
            if item.target.needed:
                raise item.error
            self._unsynced.discard(item.target.feed)
            recorder.refused(item.target.feed, str(item.error), at)

    def _notice(self, recorder: Recorder, at: float, notice: Notice) -> None:
        feed = notice.feed
        if notice.kind in ("present", "deleted"):
            recorder.take(notice, at)
            if feed in DECISIVE:
                self._changed.add(feed)
                version = ABSENT if notice.kind == "deleted" else _version(notice.object or {})
                proved = self._polls.setdefault(feed, Poll()).told(version)
                # What was in flight when it was asked for is proved by its coming, then and there.
                self._prove(recorder, feed, at if proved is not None else None, at)
        elif notice.kind == "synced":
            self._unsynced.discard(feed)
            if feed in DECISIVE and feed not in self._polls:
                self._polls.setdefault(feed, Poll()).told(ABSENT)
        elif notice.kind == "cut" and feed in self._coverage:
            self._coverage[feed].lost(at, notice.message)
        elif notice.kind == "lost":
            self._lost.setdefault(feed, (at, notice.message))
            if feed in self._coverage:
                self._coverage[feed].lost(self._coverage[feed].until, notice.message)
        elif notice.kind in ("back", "expired"):
            start, why = self._lost.pop(feed, (at, notice.message))
            if feed not in DECISIVE:
                recorder.unobserved(feed, Unobserved(start, at, why), at)

    def _polled(self, recorder: Recorder, at: float, polled: Polled) -> None:
        if polled.version is None:
            return
        poll = self._polls.setdefault(polled.feed, Poll())
        self._prove(recorder, polled.feed, poll.answered(polled.sent, polled.version), at)

    def _prove(self, recorder: Recorder, feed: str, proved: float | None, at: float) -> None:
        coverage = self._coverage.get(feed)
        if coverage is None or proved is None:
            return
        missed = coverage.proved(proved, changed=feed in self._changed)
        self._changed.discard(feed)
        if missed is not None:
            recorder.unobserved(feed, missed, at)

    def _tell_clock(self, recorder: Recorder, now: float, every: float) -> None:
        offset = self._offset.offset
        if offset is not None and now - self._clock_told >= every:
            self._clock_told = now
            recorder.clock(round(offset.low, 3), round(offset.high, 3), now)


def _version(obj: Json) -> str:
    return str((obj.get("metadata") or {}).get("resourceVersion") or "")
