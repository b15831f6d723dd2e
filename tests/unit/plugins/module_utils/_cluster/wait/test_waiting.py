# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of the waits, and what the modules make of its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Clock, Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed, run
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait import waits
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.waiting import End, wait
from ansible_collections.iter8.kfserving.plugins.module_utils._common.progress import (
    Progress,
    ProgressFileError,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.events import Event


class Feeds:
    """Notices at given times, on a clock that moves by waiting for them."""

    def __init__(self, notices: list[tuple[float, str]]) -> None:
        self.now = 0.0
        self.left = notices
        self.synced = False
        self.unobserved = False

    def next(self, seconds: float) -> Notice | None:
        if self.left and self.left[0][0] <= self.now + seconds:
            self.now, kind = max(self.now, self.left[0][0]), self.left.pop(0)[1]
            self.synced = self.synced or kind == "synced"
            self.unobserved = kind == "lost" or (self.unobserved and kind != "back")
            return Notice("f", kind, self.now)
        self.now += max(0.0, seconds)
        return None


class Waiter:
    def __init__(self, end_at: float) -> None:
        self.end_at = end_at
        self.looks: list[float] = []

    def feed(self, notice: Notice) -> list[Event]:
        return [Event("experiment", notice.kind, f"saw {notice.kind}", {})]

    def decide(self, now: float) -> End | None:
        self.looks.append(now)
        return End("succeeded", "R", "m") if now >= self.end_at else None

    def pending(self) -> str:
        return "nothing"


def loop(waiter: Waiter, notices: list[tuple[float, str]], progress: Progress, **options: Any) -> End | None:
    feeds = Feeds(notices)
    clock = Clock(now=lambda: feeds.now, sleep=lambda _seconds: None)
    return wait(waiter, feeds, progress, clock=clock, deadline=10.0, **options)  # type: ignore[arg-type]


def test_decisions_go_on_while_nothing_happens() -> None:
    waiter = Waiter(3.0)
    assert loop(waiter, [(1.2, "present")], Progress(None, lambda: 0.0)) is not None
    assert max(b - a for a, b in zip(waiter.looks, waiter.looks[1:], strict=False)) < 0.51


def test_the_deadline_is_kept() -> None:
    waiter = Waiter(1000.0)
    assert loop(waiter, [], Progress(None, lambda: 0.0)) is None
    assert waiter.looks[-1] == 10.0


def test_check_mode_looks_once_everything_is_listed() -> None:
    waiter = Waiter(1000.0)
    assert (
        loop(waiter, [(0.1, "present"), (0.2, "synced")], Progress(None, lambda: 0.0), look_once=True) is None
    )
    assert waiter.looks[-1] == 0.2


def test_transitions_are_added_to_the_progress(tmp_path: Path) -> None:
    progress = Progress(None, lambda: 0.0)
    loop(Waiter(1.0), [(0.3, "present")], progress)
    assert [(entry["source"], entry["text"]) for entry in progress.entries] == [("experiment", "saw present")]


@pytest.mark.parametrize(
    ("traffic", "percents"),
    [
        (None, None),
        ({}, {}),
        ({"latest": 1, "baseline": "99"}, {"latest": 1, "baseline": 99}),
        ({"latest": "5 %"}, {"latest": 5}),
    ],
)
def test_percents_are_read(traffic: dict[str, Any] | None, percents: dict[str, int] | None) -> None:
    assert waits._percents(traffic) == percents


@pytest.mark.parametrize(
    "traffic", [{"latest": "much"}, {"latest": -1}, {"latest": 101}, {"latest": 2.5}, {"a": 60, "b": 60}]
)
def test_percents_that_cannot_be_are_refused(traffic: dict[str, Any]) -> None:
    with pytest.raises(ClusterError, match="^traffic: "):
        waits._percents(traffic)


def test_nothing_is_decided_while_nothing_is_seen() -> None:
    """What was seen last may have changed since."""
    waiter = Waiter(end_at=1.0)
    notices = [(0.1, "present"), (0.6, "lost"), (5.0, "back")]
    end = loop(waiter, notices, Progress(None, lambda: 0.0))
    assert end is not None
    assert [look for look in waiter.looks if 0.6 <= look < 5.0] == []
    assert waiter.looks[-1] >= 5.0


class Module:
    def __init__(self) -> None:
        self.ended: tuple[str, dict[str, Any]] | None = None

    def exit_json(self, **result: Any) -> None:
        self.ended = ("ok", result)

    def fail_json(self, **result: Any) -> None:
        self.ended = ("failed", result)


def test_a_module_ends_with_its_result_or_one_message() -> None:
    def failing(error: Exception) -> Any:
        def execute(_module: Any) -> dict[str, Any]:
            raise error

        return execute

    module = Module()
    run(module, lambda _module: {"changed": False})
    assert module.ended == ("ok", {"changed": False})
    run(module, failing(ClusterError("one line")))
    assert module.ended == ("failed", {"msg": "one line"})
    run(module, failing(ProgressFileError(28, "No space left", "/p")))
    assert module.ended == ("failed", {"msg": "The progress file /p cannot be written: No space left."})
    run(module, failing(Failed("one line", {"outcome": "timeout"})))
    assert module.ended == ("failed", {"msg": "one line", "outcome": "timeout"})


def test_a_load_that_is_not_there_gives_no_counts(tmp_path: Path) -> None:
    assert waits.load_counts(None, None)() is None
    assert waits.load_counts("nobody", str(tmp_path))() is None
