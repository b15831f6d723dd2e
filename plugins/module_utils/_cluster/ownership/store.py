# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run's record is kept: in a file here, and in a ConfigMap on the cluster, so that the run can be
removed from another machine too."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable

from ..client.api import Api, Json
from ..client.errors import ClusterError, Conflict, Forbidden, NotFound
from .application import FIELD_MANAGER
from .record import LABEL, Record, load, merged, parse

# Tells the ConfigMaps of records from all else that carries a run's label.
RECORD_LABEL = "iter8.kfserving/record"
KEY = "record.json"


class RecordStore:
    """The two copies of a run's record. Without a namespace there is the file alone."""

    def __init__(self, path: str, namespace: str, run_id: str) -> None:
        """Reads the file. Raises Refusal where it is another run's, ClusterError where it is no record."""
        self.path = path
        self.here = load(path, run_id)
        self.namespace = namespace
        self.run_id = run_id
        # Why there is no copy on the cluster though one was asked for, as a sentence.
        self.warning = ""

    @property
    def name(self) -> str:
        """The ConfigMap's name; a run's id may hold what a name may not."""
        return f"iter8-kfserving-run-{hashlib.sha256(self.run_id.encode()).hexdigest()[:16]}"

    def load(self, api: Api) -> Record | None:
        """What both copies say; None where there is neither."""
        return merged(self.here, self._on_cluster(api))

    def _on_cluster(self, api: Api) -> Record | None:
        try:
            found = api.get(self._path(api)) if self.namespace else None
        except NotFound:
            return None
        except Forbidden as error:
            self._warn(error)
            return None
        if found is None:
            return None
        text = str((found.get("data") or {}).get(KEY) or "")
        return parse(text, f"The record in ConfigMap {self.namespace}/{self.name}", self.run_id)

    def save(self, api: Api, record: Record) -> None:
        """Writes both copies, the file first. That there may be none on the cluster is only warned of."""
        record.save(self.path)
        if not self.namespace:
            return
        labels = {LABEL: self.run_id, RECORD_LABEL: "run"}
        definition = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels},
            "data": {KEY: json.dumps(record.content)},
        }
        try:
            self._if_allowed(lambda: self._apply(api, definition))
        except NotFound as error:  # The namespace is not there.
            self._warn(error)

    def _apply(self, api: Api, definition: Json) -> None:
        """Applies the copy. Where somebody has edited it, it is the run's all the same: what they wrote was
        read with it."""
        try:
            api.apply(self._path(api), definition, FIELD_MANAGER)
        except Conflict as error:
            if not error.fields:
                raise
            api.merge(self._path(api), definition)

    def forget(self, api: Api) -> None:
        """Removes the copy on the cluster."""
        if self.namespace:
            with contextlib.suppress(NotFound):
                self._if_allowed(lambda: api.delete(self._path(api), {}))

    def runs(self, api: Api) -> list[str]:
        """The runs that are on record on the cluster, sorted; none where that may not be seen."""
        if not self.namespace:
            return []
        path = api.resource("v1", "ConfigMap").path(self.namespace)
        try:
            listed = api.get(path, {"labelSelector": RECORD_LABEL}, metadata_only=True)
        except (Forbidden, NotFound):
            return []
        labels = [(each["metadata"].get("labels") or {}) for each in listed.get("items") or []]
        return sorted(each[LABEL] for each in labels if RECORD_LABEL in each and LABEL in each)

    def _path(self, api: Api) -> str:
        return api.resource("v1", "ConfigMap").path(self.namespace, self.name)

    def _if_allowed(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Forbidden as error:
            self._warn(error)

    def _warn(self, error: ClusterError) -> None:
        self.warning = (
            "The run's record has no copy on the cluster, so that this machine alone can remove the run: "
            f"{error}"
        )
