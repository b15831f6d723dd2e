# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be observed, and where the observer keeps its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import Store

from .observer import Observer


class ObserverStore(Store):
    """Where an observer keeps its files."""

    kind = "observers"

    @property
    def observations(self) -> Path:
        """`observations.jsonl`, which only grows."""
        return self.folder / "observations.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is to be observed, for whom, and for how long at the most (seconds).

    `dest` is the file that takes the observations at the end, whoever brings that about; empty for none.
    `gateway_log` is where the gateway's access log is, and the file that takes it; empty for none.
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

    @property
    def public(self) -> dict[str, Any]:
        """What may be written down of it."""
        return asdict(self)


# Makes the observer of a forked process: its own connections, never those of the process it came from.
Make = Callable[[], Observer]
