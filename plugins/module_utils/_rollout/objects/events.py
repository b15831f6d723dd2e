# SPDX-License-Identifier: GPL-3.0-or-later
"""What every watcher of a rollout speaks: the three states of a wait and one event of the timeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class State(str, Enum):
    """A wait is over (`SUCCEEDED`, `FAILED`) or it is not (`PENDING`); nothing else ends it."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Event:
    """One line of timeline.jsonl without its time, which the caller stamps.

    `text` is one line for people; `data` is what programs read, by event name.
    """

    source: str
    event: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)
