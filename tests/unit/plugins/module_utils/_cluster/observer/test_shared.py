# SPDX-License-Identifier: GPL-3.0-or-later
"""Several observers with the same eyes: each is told its own, with one request for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Forbidden,
    NotFound,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.eyes import (
    Compared,
    Found,
    Polled,
    WatchFailed,
    WatchTarget,
    compared,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.shared import (
    CROWDED,
    Feed,
    Listener,
    Polls,
)

KIND = Resource("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices", True)
DATE = "Sat, 28 Nov 2026 13:00:00 GMT"


class Told:
    """A listener, and what it was told."""

    def __init__(self, name: str | None, feed: str = "inferenceservice") -> None:
        self.found: list[tuple[float, Found]] = []
        self.ended = threading.Event()
        self.target = WatchTarget(feed, KIND, "default", name, needed=True, proved_by=name)
        self.listener = Listener(self.target, lambda at, item: self.found.append((at, item)), self.ended, 9.0)

    @property
    def notices(self) -> list[tuple[float, str, str, str]]:
        return [(at, one.feed, one.kind, one.name) for at, one in self.found if isinstance(one, Notice)]

    @property
    def versions(self) -> list[str | None]:
        return [one.version for _at, one in self.found if isinstance(one, Polled)]


class Server:
    """Objects with versions, or an error; what was asked for."""

    def __init__(self, versions: Mapping[str, str], error: ClusterError | None = None) -> None:
        self.versions = versions
        self.error = error
        self.asked: list[str] = []
        self.date = DATE

    def get(self, path: str, query: Any = None, *, metadata_only: bool = False) -> dict[str, Any]:
        self.asked.append(path)
        name = path.removeprefix(KIND.path("default")).lstrip("/")
        if self.error is not None and not (isinstance(self.error, Forbidden) and name):
            raise self.error
        if not name:
            return {"items": [meta(each) for each in self.versions.items()]}
        if name not in self.versions:
            raise NotFound("there is none")
        return meta((name, self.versions[name]))


def meta(item: tuple[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": item[0], "resourceVersion": item[1]}}


def present(name: str) -> Notice:
    return Notice("any", "present", 0.0, name, {"metadata": {"name": name}})


def synced() -> Notice:
    return Notice("any", "synced", 0.0)


def alone(_listener: Listener) -> None:
    raise AssertionError("nobody is to be left alone")


def test_each_is_told_its_own_object_under_its_own_feed() -> None:
    feed, one, other, all_of_them = Feed(alone), Told("a"), Told("b"), Told(None, "everything")
    for told in (one, other, all_of_them):
        feed.join(told.listener, 1.0)
    for at, notice in enumerate((present("a"), present("b"), synced()), start=2):
        feed.take(notice, float(at))
    assert one.notices == [(2.0, "inferenceservice", "present", "a"), (4.0, "inferenceservice", "synced", "")]
    assert other.notices == [
        (3.0, "inferenceservice", "present", "b"),
        (4.0, "inferenceservice", "synced", ""),
    ]
    assert [name for _at, feed_name, _kind, name in all_of_them.notices] == ["a", "b", ""]
    assert {feed_name for _at, feed_name, _kind, _name in all_of_them.notices} == {"everything"}


def test_one_that_comes_later_is_told_how_things_stand() -> None:
    feed, late = Feed(alone), Told(None)
    gone = Notice("any", "deleted", 0.0, "b", {})
    lost = Notice("any", "lost", 0.0, message="no answer")
    for notice in (present("a"), present("b"), synced(), gone, lost):
        feed.take(notice, 1.0)
    feed.join(late.listener, 5.0)
    assert [(at, kind, name) for at, _feed, kind, name in late.notices] == [
        (5.0, "present", "a"),
        (5.0, "synced", ""),
        (5.0, "lost", ""),
    ]
    feed.take(Notice("any", "back", 0.0), 6.0)
    last = Told(None)
    feed.join(last.listener, 7.0)
    assert [kind for _at, _feed, kind, _name in last.notices] == ["present", "synced"]


def test_one_that_has_ended_is_told_no_more() -> None:
    feed, told = Feed(alone), Told(None)
    feed.join(told.listener, 1.0)
    told.ended.set()
    feed.take(present("a"), 2.0)
    feed.fail(ClusterError("gone"), 3.0)
    assert told.found == []


def test_what_ends_for_good_is_told_each_with_its_own_target() -> None:
    feed, one, late = Feed(alone), Told("a"), Told(None)
    feed.join(one.listener, 1.0)
    error = ClusterError("not served")
    feed.fail(error, 2.0)
    feed.join(late.listener, 3.0)
    assert one.found == [(2.0, WatchFailed(one.target, error))]
    assert late.found == [(3.0, WatchFailed(late.target, error))]


def test_rights_that_are_bound_to_a_name_are_enough_for_it() -> None:
    left: list[Listener] = []
    feed, named, unnamed, late = Feed(left.append), Told("a"), Told(None), Told("b")
    feed.join(named.listener, 1.0)
    feed.join(unnamed.listener, 1.0)
    feed.fail(Forbidden("may not list"), 2.0)
    feed.join(late.listener, 3.0)
    assert left == [named.listener, late.listener]
    assert [type(item) for _at, item in unnamed.found] == [WatchFailed]


def test_rights_that_are_taken_away_later_are_no_reason_to_look_alone() -> None:
    feed, told = Feed(alone), Told("a")
    feed.join(told.listener, 1.0)
    feed.take(synced(), 2.0)
    feed.fail(Forbidden("may no longer list"), 3.0)
    assert isinstance(told.found[-1][1], WatchFailed)


def polls(server: Server, *listeners: Told, wall: Callable[[], float] = lambda: 1.0) -> Polls:
    found = Polls(server, wall)  # type: ignore[arg-type]
    assert all(found.join(each.listener) for each in listeners)
    return found


def test_one_request_tells_the_versions_of_all() -> None:
    server, one, other, gone = Server({"a": "5", "b": "7", "c": "1"}), Told("a"), Told("b"), Told("z")
    polls(server, one, other, gone).once()
    assert server.asked == [KIND.path("default")]
    assert (one.versions, other.versions, gone.versions) == (["5"], ["7"], ["absent"])
    assert [type(item) for _at, item in one.found] == [Polled, Compared]


def test_a_clock_that_is_set_back_while_an_answer_is_awaited_compares_nothing() -> None:
    """By 22 s, as the campaign's clock: an interval that ends before it begins ended the observer."""
    server, one = Server({"a": "5"}), Told("a")
    polls(server, one, wall=iter([100.0, 78.01]).__next__).once()
    assert [type(item) for _at, item in one.found] == [Polled]
    assert one.versions == ["5"]


@pytest.mark.parametrize(
    ("received", "counts"), [(100.0, True), (100.5, True), (99.99, False), (78.0, False)]
)
def test_what_took_less_than_no_time_bounds_nothing(received: float, counts: bool) -> None:
    assert (compared(DATE, 100.0, received) is not None) == counts


def test_one_alone_is_asked_for_by_name() -> None:
    server, one, gone = Server({"a": "5"}), Told("a"), Told("z")
    polls(server, one).once()
    polls(server, gone).once()
    assert server.asked == [KIND.path("default", "a"), KIND.path("default", "z")]
    assert (one.versions, gone.versions) == (["5"], ["absent"])


@pytest.mark.parametrize(
    "server",
    [
        Server({"a": "5", "b": "7"}, Forbidden("may not list")),
        Server({"a": "5", "b": "7", **{f"x{n}": "1" for n in range(2 * CROWDED)}}),
    ],
    ids=["forbidden", "crowded"],
)
def test_where_a_list_will_not_do_each_is_asked_for(server: Server) -> None:
    one, other = Told("a"), Told("b")
    both = polls(server, one, other)
    both.once()
    both.once()
    assert server.asked == [KIND.path("default"), KIND.path("default", "a"), KIND.path("default", "b")]
    assert (one.versions[-1], other.versions[-1]) == ("5", "7")


def test_no_answer_proves_nothing() -> None:
    one, other = Told("a"), Told("b")
    polls(Server({}, Unreachable("no answer")), one, other).once()
    assert (one.versions, other.versions) == ([None], [None])
    assert [type(item) for _at, item in one.found] == [Polled]


def test_once_nobody_listens_nobody_can_join() -> None:
    one, late = Told("a"), Told("b")
    found = polls(Server({"a": "5"}), one)
    assert not found.over()
    one.ended.set()
    assert found.over()
    assert not found.join(late.listener)
