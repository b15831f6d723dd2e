# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of the observer: what its eyes find goes through one queue to one recorder.

It is queued with the time at which it was found, so that a loop that is held up, by its disk for instance,
dates nothing wrongly.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.offset import Estimate

from ..client.watch import Clock, Notice, version_of
from .coverage import ABSENT, Coverage, Poll, Proof, UnobservedInterval
from .eyes import Compared, Eyes, Found, Polled, WatchTarget
from .recorder import ObservationRecorder

TICK_SECONDS = 0.2
CLOCK_SECONDS = 60.0
"""How often the API server's offset is written down."""
BESIDE_SECONDS = 2.0
"""How long the end waits for what runs beside."""
Beside = Callable[[threading.Event], None]

Item = tuple[float, Found]


class Observer:
    """Follows the targets until it is stopped, and tells the recorder.

    `wall` gives epoch seconds, `clock` the time of deadlines. What is `beside` runs in a thread of its own
    until the event that it is given is set. Raises ClusterError if a needed kind cannot be listed.
    """

    def __init__(
        self,
        eyes: Eyes,
        targets: Sequence[WatchTarget],
        wall: Callable[[], float],
        clock: Clock,
        beside: Sequence[Beside] = (),
    ) -> None:
        self._eyes = eyes
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
        self._proved_by = {target.feed: target.proved_by for target in targets if target.proved_by}
        self._told: set[str] = set()
        self._offset = Estimate()
        self._clock_reported = 0.0

    def run(
        self,
        recorder: ObservationRecorder,
        deadline: float,
        stopped: Callable[[], bool],
        ready: Callable[[], None],
        tick: Callable[[dict[str, UnobservedInterval]], None],
    ) -> None:
        """Follow until `stopped` or the `deadline` (of `clock`). `ready` is called once everything has
        been listed, or refused, `tick` several times a second with what is unobserved as of now."""
        for target in self._targets:
            self._eyes.follow(target, deadline, self._found, self._ended)
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
                tick(dict(self._open(now)))
                self._tell_clock(recorder, now, CLOCK_SECONDS)
        self._ended.set()
        for thread in self._beside:
            thread.join(BESIDE_SECONDS)
        self._drain(recorder, wait=False)
        now = self._wall()
        for feed, gap in (*self._open(now), *self._still_lost(now)):
            recorder.unobserved(feed, gap, now)
        self._tell_clock(recorder, now, 0.0)
        recorder.ended(now)

    def _open(self, now: float) -> list[tuple[str, UnobservedInterval]]:
        found = [(feed, coverage.open(now)) for feed, coverage in self._coverage.items()]
        return [(feed, gap) for feed, gap in found if gap is not None]

    def _still_lost(self, now: float) -> list[tuple[str, UnobservedInterval]]:
        """The feeds that nobody asks for beside their watch, and whose watch has not come back."""
        lost = [(feed, start, why) for feed, (start, why) in self._lost.items() if feed not in self._coverage]
        return [(feed, UnobservedInterval(start, now, why)) for feed, start, why in lost]

    def _begin(self, recorder: ObservationRecorder) -> None:
        now = self._wall()
        recorder.began(now)
        for target in self._targets:
            # What is not needed may not be there at all, as HTTPRoutes in Knative mode.
            if target.proved_by and (target.needed or target.feed in self._told):
                self._coverage[target.feed] = Coverage(now)
                self._eyes.poll(target, self._found, self._ended)

    def _found(self, at: float, item: Found) -> None:
        """Called by the threads of the eyes."""
        self._queue.put((at, item))

    # -- the loop

    def _drain(self, recorder: ObservationRecorder, wait: bool = True) -> None:
        """Take in what has come; waits for the first for as long as a tick."""
        try:
            at, item = self._queue.get(timeout=TICK_SECONDS) if wait else self._queue.get_nowait()
            while True:
                self._take(recorder, at, item)
                at, item = self._queue.get_nowait()
        except queue.Empty:
            return

    def _take(self, recorder: ObservationRecorder, at: float, item: Found) -> None:
        if isinstance(item, Notice):
            self._notice(recorder, at, item)
        elif isinstance(item, Polled):
            self._polled(recorder, at, item)
        elif isinstance(item, Compared):
            self._offset.add(item.offset, at)
        else:
            if item.target.needed:
                raise item.error
            self._unsynced.discard(item.target.feed)
            recorder.refused(item.target.feed, str(item.error), at)

    def _notice(self, recorder: ObservationRecorder, at: float, notice: Notice) -> None:
        feed = notice.feed
        if notice.kind in ("present", "deleted"):
            recorder.take(notice, at)
            if notice.name == self._proved_by.get(feed):
                self._told.add(feed)
                version = ABSENT if notice.kind == "deleted" else version_of(notice.object or {})
                # What was in flight when it was asked for is proved by its coming.
                self._prove(recorder, feed, self._polls.setdefault(feed, Poll()).reported(version, at), at)
        elif notice.kind == "synced":
            self._unsynced.discard(feed)
            if feed in self._proved_by and feed not in self._polls:
                self._polls.setdefault(feed, Poll()).reported(ABSENT, at)
        elif notice.kind == "cut" and feed in self._coverage:
            self._coverage[feed].lost(at, notice.message)
        elif notice.kind == "lost":
            self._lost.setdefault(feed, (at, notice.message))
            if feed in self._coverage:
                self._coverage[feed].lost(self._coverage[feed].until, notice.message)
        elif notice.kind in ("back", "expired"):
            start, why = self._lost.pop(feed, (at, notice.message))
            if feed not in self._coverage:
                recorder.unobserved(feed, UnobservedInterval(start, at, why), at)

    def _polled(self, recorder: ObservationRecorder, at: float, polled: Polled) -> None:
        if polled.version is None:
            return
        poll = self._polls.setdefault(polled.feed, Poll())
        self._prove(recorder, polled.feed, poll.answered(polled.sent, at, polled.version), at)

    def _prove(self, recorder: ObservationRecorder, feed: str, proof: Proof | None, at: float) -> None:
        coverage = self._coverage.get(feed)
        if coverage is None or proof is None:
            return
        for missed in coverage.proved(proof):
            recorder.unobserved(feed, missed, at)

    def _tell_clock(self, recorder: ObservationRecorder, now: float, every: float) -> None:
        offset = self._offset.offset
        if offset is not None and now - self._clock_reported >= every:
            self._clock_reported = now
            recorder.clock(round(offset.low, 3), round(offset.high, 3), now)
