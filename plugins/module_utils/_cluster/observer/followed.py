# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running observer sees, as the notices that a wait takes: the same decisions, no second watch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ..client.errors import ClusterError
from ..client.watch import Clock, Notice
from . import job
from .plan import ObserverStore
from .recorder import DECISIVE

LOOK_SECONDS = 0.05


class Followed:
    """Follows the file of an observer from its beginning: first how things stand, then what changes.

    Raises ClusterError if there is no such observer, if it observes something else, or once it has ended.
    """

    def __init__(self, state_dir: str | None, name: str, feeds: Sequence[str], clock: Clock) -> None:
        self._state_dir = state_dir
        self._name = name
        self._feeds = set(feeds)
        self._clock = clock
        self._store = ObserverStore(state_dir, name)
        self._offset = 0
        self._began = time.time()
        self._unsynced = set(feeds)
        self._lost: set[str] = set()
        self._require_running()
        self._waiting = iter(self._as_things_stand())

    @property
    def synced(self) -> bool:
        """Whether everything from before the wait began has been taken in."""
        return not self._unsynced

    @property
    def unobserved(self) -> bool:
        """Whether something is unobserved as of now, so that nothing may be decided."""
        return bool(self._lost)

    def next(self, seconds: float) -> Notice | None:
        """The next notice, or None after `seconds`."""
        deadline = self._clock.now() + max(0.0, seconds)
        while True:
            for notice in self._waiting:
                return notice
            self._waiting = iter([*self._changes(), *self._state()])
            for notice in self._waiting:
                return notice
            if self._clock.now() >= deadline:
                return None
            self._clock.sleep(LOOK_SECONDS)

    def _require_running(self) -> None:
        now = job.state(self._state_dir, self._name)
        if now != "running":
            known = {"absent": "there is none of this name", "interrupted": "it was killed"}.get(
                now, "it has ended"
            )
            raise ClusterError(f"The observer {self._name!r} cannot be followed: {known}. Start it first.")

    def _rows(self) -> Iterator[dict[str, Any]]:
        try:
            with open(self._store.observations, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise ClusterError(f"The observer's file cannot be read: {error.strerror}.") from None
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            row = json.loads(line)
            if row.get("feed") in self._feeds and row.get("type") in ("present", "deleted", "refused"):
                yield row

    def _as_things_stand(self) -> list[Notice]:
        """The last version of each object that is there."""
        last: dict[tuple[str, str], dict[str, Any]] = {}
        for row in self._rows():
            key = (row["feed"], _name_of(row))
            last.pop(key, None)
            last[key] = row
        return [self._notice(row) for row in last.values() if row["type"] != "deleted"]

    def _changes(self) -> list[Notice]:
        return [self._notice(row) for row in self._rows()]

    def _notice(self, row: dict[str, Any]) -> Notice:
        now = self._clock.now()
        return Notice(
            row["feed"], row["type"], now, _name_of(row), row.get("object"), str(row.get("message", ""))
        )

    def _state(self) -> list[Notice]:
        """What the observer's heartbeat tells: that all from before is there, or that something is lost."""
        self._require_running()
        progress = job.progress(self._state_dir, self._name)
        now, found = self._clock.now(), []
        unobserved = progress["unobserved"]
        for feed in sorted(self._feeds & set(DECISIVE)):
            if feed in unobserved and feed not in self._lost:
                self._lost.add(feed)
                found.append(Notice(feed, "lost", now, message=str(unobserved[feed].get("why"))))
            elif feed not in unobserved and feed in self._lost:
                self._lost.discard(feed)
                found.append(Notice(feed, "back", now, message="the observer sees again"))
        # A heartbeat is written after what was seen before it.
        if self._unsynced and (progress["heartbeat"] or 0.0) > self._began and not self._lost:
            found += [Notice(feed, "synced", now) for feed in sorted(self._unsynced)]
            self._unsynced = set()
        return found


def _name_of(row: dict[str, Any]) -> str:
    """Of the row's object; a kind that is refused has none."""
    return str(row["object"]["metadata"]["name"]) if "object" in row else ""
