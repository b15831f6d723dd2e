# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run: what it claimed, whether that existed before, and the UIDs of what it created."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    require_own_folder,
    write_atomically,
)

from ..client.api import Json
from ..client.errors import ClusterError, Refusal

LABEL = "iter8.kfserving/run-id"
SCHEMA = 1

# A label's value, and not the empty one that Kubernetes would allow: it would own everything unlabelled.
_RUN_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class ClaimedObject:
    """One claimed object. ``uid`` is empty until it was recorded after the run had created it.

    ``derived`` is one that a controller made for an object of the run, without the run's label.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    existed: bool
    uid: str = ""
    derived: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same object: its group (the version may change), kind, namespace and name."""
        return (group_of(self.api_version), self.kind, self.namespace, self.name)

    @property
    def ref(self) -> Json:
        """The object named, as results show it."""
        shown = {"api_version": self.api_version, "kind": self.kind, "name": self.name}
        return {**shown, "namespace": self.namespace} if self.namespace else shown

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def group_of(api_version: str) -> str:
    """The API group; empty for the core group."""
    return api_version.rpartition("/")[0]


def require_run_id(run_id: str) -> None:
    """Raises Refusal unless it can be a label's value, and is not empty."""
    if not _RUN_ID.fullmatch(run_id):
        raise Refusal(
            f"run_id {run_id!r} cannot own objects: it must be 1 to 63 letters, digits, '-', '_' or '.', "
            "and begin and end with a letter or digit."
        )


def belongs(obj: Mapping[str, Any], run_id: str) -> bool:
    """Whether an object carries the run's label."""
    labels = (obj.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(LABEL) == run_id)


class Record:
    """The entries of a run, in the order in which they were claimed."""

    def __init__(self, run_id: str, entries: Iterable[ClaimedObject] = (), cluster: str = "") -> None:
        """``cluster`` is the UID of its namespace kube-system, empty while unknown."""
        self.run_id = run_id
        self.cluster = cluster
        self._entries = {entry.key: entry for entry in entries}

    @property
    def entries(self) -> list[ClaimedObject]:
        """All entries, the first claimed first."""
        return list(self._entries.values())

    def get(self, entry: ClaimedObject) -> ClaimedObject | None:
        """What is recorded of the same object."""
        return self._entries.get(entry.key)

    def put(self, entry: ClaimedObject) -> None:
        """Adds or replaces an entry; a replaced one keeps its place."""
        self._entries[entry.key] = entry

    def drop(self, entry: ClaimedObject) -> None:
        """Forgets an object."""
        self._entries.pop(entry.key, None)

    @property
    def content(self) -> Json:
        """The record as it is written."""
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "cluster": self.cluster,
            "objects": [_written(entry) for entry in self.entries],
        }

    def save(self, path: str) -> None:
        """Writes the record whole, for this user alone. Raises ClusterError if it cannot be written."""
        try:
            folder = os.path.dirname(os.path.abspath(path))
            os.makedirs(folder, mode=0o700, exist_ok=True)
            require_own_folder(folder)
            write_atomically(Path(path), json.dumps(self.content, indent=1) + "\n")
        except OSError as error:
            raise ClusterError(f"The record {path} cannot be written: {error.strerror}.") from error


def load(path: str, run_id: str) -> Record | None:
    """The run's record; None where there is no file. Refusal if it is another run's, or may be another
    user's work: by what it says, objects are deleted."""
    try:
        require_own_folder(os.path.dirname(os.path.abspath(path)))
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ClusterError(f"The record {path} cannot be read: {reason}.") from error
    return parse(text, f"The record {path}", run_id)


def parse(text: str, where: str, run_id: str) -> Record:
    """The run's record as it was written; ``where`` begins the messages. Refusal if it is another run's."""
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise ClusterError(f"{where} is of schema {content['schema']}; this is {SCHEMA}.")
        found = content["run_id"]
        cluster = str(content.get("cluster") or "")
        entries = [ClaimedObject(**each) for each in content["objects"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{where} is not a record of a run: {error!r}. Name another one.") from error
    if found != run_id:
        raise Refusal(f"{where} is of run {found}, not of {run_id}. Name that run or another record.")
    return Record(run_id, entries, cluster)


def merged(here: Record | None, there: Record | None) -> Record | None:
    """One record of what two copies say: an object that is on either, with the UID that either has."""
    if here is None or there is None:
        return here or there
    both = Record(here.run_id, there.entries, here.cluster or there.cluster)
    for entry in here.entries:
        known = both.get(entry)
        if known is None or not known.uid:
            both.put(entry)
    return both


def _written(entry: ClaimedObject) -> Json:
    return {name: value for name, value in asdict(entry).items() if name != "derived" or value}


def with_uid(entry: ClaimedObject, uid: str) -> ClaimedObject:
    """The entry of an object that the run has created."""
    return replace(entry, existed=False, uid=uid)
