# SPDX-License-Identifier: GPL-3.0-or-later
"""List, then watch: keeps its owner informed of every object of a kind, whatever happens in between.

For programs that must know how things are, not how they became so: one thread for each kind, and callbacks
for the whole state and for a change. What happened while there was no connection is not reported.
The evidence of a rollout needs more (each object's history, how long nothing was seen, when to give up) and
comes over kubernetes.core's connection: see `_cluster/client/watch.py`.
"""

from __future__ import annotations

import threading
from typing import Callable

from .client import ApiError, Json, KubeClient

# How long the server keeps one watch open; a quiet one is given a little longer before it counts as dead.
_WATCH_SECONDS = 300
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Reflector(threading.Thread):
    """A thread that calls `listed(items)` with all objects, then `changed(type, object)` for each change.

    A lost connection, an expired resourceVersion (410) or any other refusal lists anew, after a pause that
    grows to two seconds. `listed` and `changed` are called from this thread.
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        listed: Callable[[list[Json]], None],
        changed: Callable[[str, Json], None],
        log: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"watch {path}", daemon=True)
        self._client = client
        self._path = path
        self._listed = listed
        self._changed = changed
        self._log = log
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Report nothing more. The thread itself ends with its connection, or with the process."""
        self._stopped.set()

    def run(self) -> None:
        """List and watch until stopped."""
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                version = self._list()
                pause = _FIRST_PAUSE
                while not self._stopped.is_set():
                    version = self._watch(version)
            except ApiError as error:
                expired = error.status == 410
                self._log(f"watch of {self._path} ended, listing anew: {error}")
                self._stopped.wait(0 if expired and pause == _FIRST_PAUSE else pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _list(self) -> str:
        answer = self._client.get(self._path)
        items = answer.get("items") or []
        if not self._stopped.is_set():
            self._listed(items)
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Report changes since `version` until the server ends the watch; returns the version reached."""
        query = {
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        for event in self._client.watch(self._path, query, quiet_seconds=_WATCH_SECONDS + 30):
            if self._stopped.is_set():
                break
            kind, item = event["type"], event["object"]
            if kind == "ERROR":
                raise ApiError(
                    int(item.get("code", 500)), str(item.get("reason", "")), str(item.get("message", ""))
                )
            version = item["metadata"]["resourceVersion"]
            if kind != "BOOKMARK":
                self._changed(kind, item)
        return version
