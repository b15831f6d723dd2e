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
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.eyes import (
    Polled,
    WatchTarget,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.observer import Observer

ROUTES, NAME = "httproutes", "my-model"
WHY = "connection refused"


class Eyes:
    """All that is found is found at once."""

    def __init__(self, notices: Sequence[Notice]) -> None:
        self._notices = notices

    def follow(self, _target: WatchTarget, _deadline: float, found: Any, _ended: Any) -> None:
        for notice in self._notices:
            found(notice.time, notice)


class Asked(Eyes):
    """Eyes whose polls, sent half a second apart from 2 on, find this version of the object; or that find
    this, with the time at which it came, once they are to poll."""

    def __init__(
        self, notices: Sequence[Notice], version: str, found: Sequence[tuple[float, Any]] = ()
    ) -> None:
        super().__init__(notices)
        halves = [half / 2 for half in range(4, 201)]
        self._found = found or [(at, Polled(ROUTES, at, version)) for at in halves]
        self.polled: list[str] = []

    def poll(self, target: WatchTarget, tell: Any, _ended: Any) -> None:
        self.polled.append(target.feed)
        for at, item in self._found:
            tell(at, item)


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


def told(name: str, version: str, at: float, kind: str = "present") -> Notice:
    return Notice(ROUTES, kind, at, name, {"metadata": {"name": name, "resourceVersion": version}})


def proved(
    version: str, *notices: Notice, found: Sequence[tuple[float, Any]] = ()
) -> tuple[Asked, list[tuple[float, float]]]:
    """The eyes, and what was unobserved from 2 to 100 of a watch of all routes that one of them proves."""
    eyes: Any = Asked([*notices, news("synced", 1.0)], version, found)
    recorder: Any = Kept()
    resource: Any = None
    looks: list[float] = []
    clock = Clock(now=lambda: 0.0, sleep=lambda _seconds: None)
    target = WatchTarget(ROUTES, resource, "default", proved_by=NAME)
    observer = Observer(eyes, [target], lambda: 100.0 if looks else 2.0, clock)
    # Once to begin, once to take in what was asked for.
    observer.run(recorder, 1.0, lambda: len(looks) > 1, lambda: None, lambda _open: looks.append(0.0))
    return eyes, [(gap.start, gap.end) for _feed, gap in recorder.unseen if not gap.unchanged]


def test_a_watch_of_all_that_is_silent_is_proved_by_the_version_of_one() -> None:
    assert proved("7", told(NAME, "7", 1.0), told("other", "9", 1.0))[1] == []


def test_a_watch_that_has_fallen_behind_without_a_word_is_told() -> None:
    assert proved("8", told(NAME, "7", 1.0), told("other", "8", 1.0))[1] == [(2.0, 100.0)]


def test_one_that_is_not_there_is_not_asked_for() -> None:
    eyes, unseen = proved("absent", told("other", "9", 1.0))
    assert (eyes.polled, unseen) == ([], [])


def test_since_the_watch_told_what_a_late_proof_finds_it_was_that() -> None:
    before, told_at = [(2.0, Polled(ROUTES, 2.0, "7"))], (4.0, told(NAME, "8", 4.0))
    late = [(at / 2, Polled(ROUTES, at / 2, "8")) for at in range(26, 201)]
    _eyes, unseen = proved("", told(NAME, "7", 1.0), found=[*before, told_at, *late])
    assert unseen == [(2.0, 4.0)]


def test_what_an_answer_finds_before_the_watch_tells_it_has_been_so_since_the_answer_came() -> None:
    """The watch is four seconds behind: at 3 the answer says 8, and at 7 the watch does."""
    found = [(at / 2, Polled(ROUTES, at / 2, "7" if at < 6 else "8")) for at in range(4, 201)]
    found.insert(11, (7.1, told(NAME, "8", 7.1)))
    assert proved("", told(NAME, "7", 1.0), found=found)[1] == [(2.5, 3.0)]


def test_an_answer_that_was_held_up_tells_that_nothing_had_changed_when_it_was_asked_for() -> None:
    held = [(2.0, Polled(ROUTES, 2.0, "7")), (6.5, told(NAME, "8", 6.5)), (7.0, Polled(ROUTES, 6.0, "7"))]
    late = [(at / 2, Polled(ROUTES, at / 2, "8")) for at in range(15, 201)]
    assert proved("", told(NAME, "7", 1.0), found=[*held, *late])[1] == [(6.0, 6.5)]


@pytest.mark.parametrize("sent", [2.0, 2.1], ids=["proves nothing new", "proves a little"])
def test_an_answer_that_was_held_up_does_not_tell_that_nothing_changed_since(sent: float) -> None:
    before = [(2.0, Polled(ROUTES, 2.0, "7"))]
    held = [(12.0, told(NAME, "8", 12.0)), (12.0, Polled(ROUTES, sent, "7"))]
    after = [(at / 2, Polled(ROUTES, at / 2, "8")) for at in range(25, 201)]
    _eyes, unseen = proved("", told(NAME, "7", 1.0), found=[*before, *held, *after])
    assert unseen == [(sent, 12.0)]
