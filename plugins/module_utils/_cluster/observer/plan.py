# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be observed, and where the observer keeps its files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import Store

from .observer import Observer


class ObserverStore(Store):
    """Where an observer keeps its files."""

    kind = "observers"

    @property
    def observations(self) -> Path:
        """`observations.jsonl`, which only grows."""
        return self.folder / "observations.jsonl"

    def beside(self, name: str) -> ObserverStore:
        """The store of another observer in the same folder."""
        return ObserverStore(str(self.base), name)

    def close_when_unasked(self) -> bool:
        """Remove this store, so that nobody can ask any more, unless somebody has or is about to.

        A log with something in it stays, and the store with it, as of a process that has ended.
        """
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if any(self.asked.iterdir()):
                return False
            if self.log.exists() and self.log.stat().st_size:
                write_atomically(self.result, "{}")
            else:
                self.remove()
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(handle)

    @property
    def answer(self) -> Path:
        """What a shared process said when it was asked to observe: empty once it observes, else why not."""
        return self.folder / "answer"

    @property
    def end(self) -> Path:
        """Is there once a shared process is to end this one."""
        return self.folder / "end"

    @property
    def asked(self) -> Path:
        """Of a shared process: the folder of the plans that it was asked to take up."""
        return self.folder / "asked"


@dataclass(frozen=True)
class ObserverPlan:
    """What is to be observed, for whom, and for how long at the most (seconds).

    `dest` is the file that takes the observations at the end, whoever brings that about; empty for none.
    `gateway_log` is where the gateway's access log is, and the file that takes it; empty for none. An empty
    `api_version` is the one that is served.
    """

    name: str
    inferenceservice: str
    namespace: str
    experiment: str
    handler_namespace: str
    timeline: str
    duration: float
    dest: str = ""
    gateway_log: Mapping[str, str] = field(default_factory=dict)
    api_version: str = ""
    experiment_api_version: str = ""

    @property
    def public(self) -> dict[str, Any]:
        """What may be written down of it."""
        return asdict(self)


# Makes the observer of a forked process: its own connections, never those of the process it came from.
Make = Callable[[], Observer]
