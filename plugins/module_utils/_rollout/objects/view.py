# SPDX-License-Identifier: GPL-3.0-or-later
"""An InferenceService and what it led to, as they were seen last, and what each news of them changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import inferenceservice
from .events import Event
from .pod import revision_of, trouble
from .snapshot import STANDARD, Children, Object, Snapshot, mode_of
from .standard import DEPLOYMENT, HTTPROUTE, POD, REPLICASET
from .tree import mapping, name_of, text, uid_of

INFERENCESERVICE = "InferenceService"
CHILDREN = (DEPLOYMENT, REPLICASET, HTTPROUTE, POD)
"""The kinds below an InferenceService of which something is read."""


class View:
    """Takes objects in the order in which they are seen, of whatever kind; all must belong together."""

    def __init__(self) -> None:
        self.inferenceservice: Object | None = None
        self._children: dict[str, dict[str, Object]] = {}
        self._snapshot: Snapshot | None = None
        self._reported: set[str] = set()

    @property
    def children(self) -> Children:
        """By kind, then by name."""
        return self._children

    @property
    def snapshot(self) -> Snapshot:
        """As it is now; also of one that was not seen yet."""
        return inferenceservice.read(self.inferenceservice, self._children)

    def take(self, obj: Object, gone: bool = False) -> list[Event]:
        """An object as it is now, or as it was when it went. Returns what this changes of the whole."""
        kind, name = text(obj, "kind"), name_of(obj)
        if kind == INFERENCESERVICE:
            return self._take_service(obj, gone)
        if kind not in CHILDREN:
            return []
        own = self._children.setdefault(kind, {})
        if gone:
            own.pop(name, None)
        else:
            own[name] = obj
        if self.inferenceservice is None or mode_of(self.inferenceservice) != STANDARD:
            return []
        return self._changes()

    def _take_service(self, obj: Object, gone: bool) -> list[Event]:
        was = self.inferenceservice
        if gone:
            self.inferenceservice = self._snapshot = None
            return [] if was is None else [inferenceservice.deleted()]
        if was is not None and uid_of(was) != uid_of(obj):
            self._snapshot = None
        self.inferenceservice = obj
        return self._changes()

    def _changes(self) -> list[Event]:
        before, self._snapshot = self._snapshot, self.snapshot
        return [each for each in inferenceservice.changes(before, self._snapshot) if self._is_news(each)]

    def _is_news(self, event: Event) -> bool:
        """In Standard mode the latest revision is an older one again once the canary is removed."""
        if event.event != "revision_created":
            return True
        name = str(event.data["revision"])
        new = name not in self._reported
        self._reported.add(name)
        return new

    def trouble(self, revision: str) -> str:
        """What keeps a pod of the revision from becoming ready, as a clause; empty where nothing is known."""
        pods = self._children.get(POD, {})
        clauses = (trouble(pod) for _name, pod in sorted(pods.items()) if revision_of(pod) == revision)
        return next((clause for clause in clauses if clause), "")


def view_of(rows: Iterable[Mapping[str, Any]]) -> View:
    """What an observer's rows, in their order, leave in view."""
    view = View()
    for row in rows:
        if row.get("type") in ("present", "deleted"):
            view.take(mapping(row, "object"), gone=row.get("type") == "deleted")
    return view
