# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress file: transitions as JSON lines, appended as they happen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError

Entry = dict[str, Any]


class Progress:
    """Stamps transitions with the time, keeps them, and appends them to a file if one is named."""

    def __init__(self, path: str | None, now: Callable[[], float]) -> None:
        """``now`` gives epoch seconds. Raises ClusterError if the file cannot be written."""
        self.entries: list[Entry] = []
        self._path = path
        self._now = now
        if path:
            self._append("")

    def add(self, source: str, event: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Appends one entry; whole lines only, so that a reader never sees half of one with a newline."""
        entry: Entry = {
            "time": round(self._now(), 3),
            "source": source,
            "event": event,
            "text": text,
            "data": dict(data or {}),
        }
        self.entries.append(entry)
        if self._path:
            self._append(json.dumps(entry) + "\n")

    def _append(self, text: str) -> None:
        try:
            with open(str(self._path), "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            words = f"The progress file {self._path} cannot be written: {error.strerror}."
            raise ClusterError(words) from error
