# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of every wait: notices in, transitions out, a decision after each and in the quiet between
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import Progress
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event

from ..client.watch import Clock, Notice

# Between notices a decision is due now and then: stability is a matter of time passing without news. So much
# longer than it was asked to a wait may take.
TICK_SECONDS = 0.1


@dataclass(frozen=True)
class End:
    """How a wait ended: ``outcome`` and ``reason`` are for programs, ``message`` is a sentence."""

    outcome: str
    reason: str
    message: str


class NoticeSource(Protocol):
    """Where notices come from: watches of the wait's own, or a running observer."""

    @property
    def synced(self) -> bool:
        """Whether all that was there when the wait began has been taken in."""

    @property
    def unobserved(self) -> bool:
        """Whether something is not seen at the moment."""

    def next(self, seconds: float) -> Notice | None:
        """The next notice, or None after ``seconds``."""


class Waiter(Protocol):
    """The decisions of one wait, without I/O or clock."""

    def feed(self, notice: Notice) -> list[Event]:
        """Takes in a notice; returns the transitions that it shows."""

    def decide(self, now: float) -> End | None:
        """The end, if this is it. ``now`` is in seconds of a clock that never goes back."""

    def pending(self) -> str:
        """What is still missing, as a clause."""


def wait(
    waiter: Waiter,
    feeds: NoticeSource,
    progress: Progress,
    *,
    clock: Clock,
    deadline: float,
    look_once: bool = False,
) -> End | None:
    """Runs the wait to its end; None when the deadline came first.

    With ``look_once`` (check mode) it decides on what is there, as soon as every first list is complete.
    """
    while True:
        left = deadline - clock.now()
        notice = feeds.next(min(TICK_SECONDS, left))
        if notice is not None:
            for event in waiter.feed(notice):
                progress.add(event.source, event.event, event.text, event.data)
        # What was seen last may have changed since, where nobody sees: it decides nothing.
        end = None if feeds.unobserved else waiter.decide(clock.now())
        if end is not None:
            return end
        if left <= 0 or (look_once and feeds.synced):
            return None


CONNECTION = ("lost", "back", "expired")
"""The kinds of notices that are about the API server itself."""


def connection_event(notice: Notice, source: str, name: str) -> list[Event]:
    """The transition for a lost or regained API server, or a watch that it could not go on with."""
    if notice.kind == "lost":
        return [Event(source, "connection", f"{name}  {notice.message} Trying again.", {"lost": True})]
    if notice.kind == "back":
        return [Event(source, "connection", f"{name}  {notice.message}", {"lost": False})]
    if notice.kind == "expired":
        text = f"{name}  {notice.message}; everything is listed anew"
        return [Event(source, "connection", text, {"expired": True})]
    return []


def named(name: str, events: list[Event]) -> list[Event]:
    """The events with the object's name before their texts."""
    return [Event(event.source, event.event, f"{name}  {event.text}", event.data) for event in events]
