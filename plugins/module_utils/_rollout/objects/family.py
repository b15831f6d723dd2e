# SPDX-License-Identifier: GPL-3.0-or-later
"""Which objects belong to one InferenceService, whoever made them and in whatever order they are seen.

An object belongs by the label that KFServing and KServe put on all they make, or by an owner that belongs. A
watch of each kind tells its own order, so a child may be seen before its owner: it is held until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tree import entries, mapping, text

LABELS = ("serving.kserve.io/inferenceservice", "serving.kubeflow.org/inferenceservice")
MAX_HELD = 1000
"""How many objects are held that may yet turn out to belong; the oldest go first."""

Object = Mapping[str, Any]


class Family:
    """The members seen so far, by UID. `roots` are (kind, name) of what belongs by itself."""

    def __init__(self, *roots: tuple[str, str]) -> None:
        self._roots = set(roots)
        self._names = {name for kind, name in roots if kind == "InferenceService"}
        self._members: dict[str, tuple[str, str]] = {}
        self._nodes: set[str] = set()
        self._held: dict[tuple[str, str, str], Object] = {}

    def take(self, obj: Object) -> list[Object]:
        """What is known to belong now that this was seen: nothing, this, or this and what waited for it."""
        if not self._belongs(obj):
            self._hold(obj)
            return []
        found = [obj]
        if self._add(obj):
            found += self._released()
        return found

    def _belongs(self, obj: Object) -> bool:
        kind, metadata = text(obj, "kind"), mapping(obj, "metadata")
        if kind == "Event":
            about = mapping(obj, "involvedObject")
            if text(about, "kind") == "Node":
                return text(about, "name") in self._nodes
            return text(about, "uid") in self._members or self._known(
                text(about, "kind"), text(about, "name")
            )
        if (kind, text(metadata, "name")) in self._roots or text(metadata, "uid") in self._members:
            return True
        labels = mapping(metadata, "labels")
        if any(text(labels, label) in self._names for label in LABELS):
            return True
        return any(text(owner, "uid") in self._members for owner in entries(metadata, "ownerReferences"))

    def _known(self, kind: str, name: str) -> bool:
        return (kind, name) in self._roots or (kind, name) in self._members.values()

    def _add(self, obj: Object) -> bool:
        """Whether this is a member, or a node, that was not known before."""
        kind, metadata = text(obj, "kind"), mapping(obj, "metadata")
        uid, node = text(metadata, "uid"), text(mapping(obj, "spec"), "nodeName")
        new = kind != "Event" and bool(uid) and uid not in self._members
        if new:
            self._members[uid] = (kind, text(metadata, "name"))
        if kind == "Pod" and node and node not in self._nodes:
            self._nodes.add(node)
            new = True
        return new

    def _hold(self, obj: Object) -> None:
        metadata = mapping(obj, "metadata")
        key = (text(obj, "kind"), text(metadata, "namespace"), text(metadata, "name"))
        self._held.pop(key, None)
        self._held[key] = obj
        while len(self._held) > MAX_HELD:
            self._held.pop(next(iter(self._held)))

    def _released(self) -> list[Object]:
        """Those that were held and belong now, until no further one is found."""
        found: list[Object] = []
        again = True
        while again:
            again = False
            for key, obj in list(self._held.items()):
                if self._belongs(obj):
                    del self._held[key]
                    found.append(obj)
                    again = self._add(obj) or again
        return found
