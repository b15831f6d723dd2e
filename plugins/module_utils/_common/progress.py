# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress file: what happens, as JSON lines, appended as it happens."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from .files import expanded, require_own_folder
from .printable import plain, printable


class ProgressFileError(OSError):
    """The progress file cannot be written; its text is a whole sentence."""

    def __str__(self) -> str:
        return f"The progress file {self.filename} cannot be written: {self.strerror}."


class Progress:
    """Stamps entries with the time, keeps them in ``entries``, and appends them to a file if one is named."""

    def __init__(self, path: str | None, now: Callable[[], float] = time.time) -> None:
        """``now`` gives epoch seconds. Raises ProgressFileError if the file cannot be written."""
        self.entries: list[dict[str, Any]] = []
        self._path = path
        self._now = now
        self._open()

    def add(self, source: str, event: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Appends one entry, as a whole line, with what others said made printable. Raises
        ProgressFileError."""
        entry = {
            "time": round(self._now(), 3),
            "source": source,
            "event": event,
            "text": printable(text),
            "data": plain(data or {}),
        }
        self.entries.append(entry)
        self._append(json.dumps(entry, allow_nan=False) + "\n")

    def _open(self) -> None:
        if not self._path:
            return
        try:
            self._path = expanded(self._path)
            require_own_folder(os.path.dirname(os.path.abspath(self._path)), shared=True)
        except OSError as error:
            raise ProgressFileError(error.errno, error.strerror, self._path) from error
        self._append("")

    def _append(self, text: str) -> None:
        if not self._path:
            return
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise ProgressFileError(error.errno, error.strerror, self._path) from error
