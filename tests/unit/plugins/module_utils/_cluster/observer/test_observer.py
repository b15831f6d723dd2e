# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer's loop, with eyes that find what the test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Clock, Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.coverage import (
    UnobservedInterval,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.eyes import WatchTarget
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.observer import Observer

ROUTES = "httproutes"
WHY = "connection refused"


class Eyes:
    """All that is found is found at once."""

    def __init__(self, notices: Sequence[Notice]) -> None:
        self._notices = notices

    def follow(self, _target: WatchTarget, _deadline: float, found: Any, _ended: Any) -> None:
        for notice in self._notices:
            found(notice.time, notice)


class Kept:
    """A recorder that keeps what it is told was unobserved."""

    def __init__(self) -> None:
        self.unseen: list[tuple[str, UnobservedInterval]] = []

    def unobserved(self, feed: str, gap: UnobservedInterval, _at: float) -> None:
        self.unseen.append((feed, gap))

    def __getattr__(self, _name: str) -> Any:
        return lambda *_given: None


def observe(*notices: Notice) -> list[tuple[str, UnobservedInterval]]:
    """What is on record of a follower whose end is at 100."""
    eyes: Any = Eyes(notices)
    recorder: Any = Kept()
    resource: Any = None
    over: list[bool] = []
    clock = Clock(now=lambda: 0.0, sleep=lambda _seconds: None)
    observer = Observer(eyes, [WatchTarget(ROUTES, resource, "default")], lambda: 100.0, clock)
    observer.run(recorder, 1.0, lambda: bool(over), lambda: None, lambda _open: over.append(True))
    return recorder.unseen


def news(kind: str, at: float) -> Notice:
    return Notice(ROUTES, kind, at, message=WHY if kind == "lost" else "")


@pytest.mark.parametrize(
    ("notices", "expected"),
    [
        ([], []),
        ([news("lost", 40.0)], [(ROUTES, UnobservedInterval(40.0, 100.0, WHY))]),
        ([news("lost", 40.0), news("lost", 50.0)], [(ROUTES, UnobservedInterval(40.0, 100.0, WHY))]),
        ([news("lost", 40.0), news("back", 60.0)], [(ROUTES, UnobservedInterval(40.0, 60.0, WHY))]),
    ],
    ids=["never lost", "lost for good", "lost twice for good", "lost for a while"],
)
def test_a_watch_that_was_lost_is_on_record_though_it_never_came_back(
    notices: list[Notice], expected: list[tuple[str, UnobservedInterval]]
) -> None:
    assert observe(news("synced", 1.0), *notices) == expected
