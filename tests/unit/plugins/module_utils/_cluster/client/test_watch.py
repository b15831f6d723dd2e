# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch against a scripted API server, with a clock that moves only when somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client import watch as watching
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Forbidden,
    Gone,
    NotFound,
    Unauthorized,
    UnknownKind,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import (
    Clock,
    Feeds,
    Notice,
    Watch,
)
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock

KIND = Resource("iter8.tools/v2alpha1", "Experiment", "experiments", True)


def obj(version: int, uid: str = "u1", name: str = "x") -> dict[str, Any]:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "iter8.tools/v2alpha1", "kind": "Experiment", "metadata": metadata}


def listing(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    """Its items are without a kind, as the API server leaves it out of lists of its own kinds."""
    bare = [
        {key: each[key] for key in each if key == "metadata"} if isinstance(each, dict) else each
        for each in items
    ]
    return {"metadata": {"resourceVersion": str(version)}, "items": bare}


def event(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": item}


def error_event(code: int) -> dict[str, Any]:
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "said so"}}


def clock_of(time: FakeClock) -> Clock:
    return Clock(now=time, sleep=time.sleep, dice=lambda: 1.0)


class Server:
    """Answers each list and each watch with the next step of its script; the last step is repeated."""

    def __init__(self, time: FakeClock, lists: list[Any], watches: list[Any]) -> None:
        self.time = time
        self.lists = lists
        self.watches = watches
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    @staticmethod
    def _step(script: list[Any]) -> Any:
        return script.pop(0) if len(script) > 1 else script[0]

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.asked.append(("list", dict(query or {})))
        step = self._step(self.lists)
        if isinstance(step, Exception):
            raise step
        return dict(step)

    def stream(
        self, path: str, query: Mapping[str, str], silence_seconds: float
    ) -> Generator[dict[str, Any], None, None]:
        self.asked.append(("watch", dict(query)))
        assert silence_seconds > float(query["timeoutSeconds"])
        step = self._step(self.watches)
        if isinstance(step, Exception):
            raise step
        return self._events(step)

    def _events(self, step: list[Any]) -> Generator[dict[str, Any], None, None]:
        for item in step:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                self.time.now += item
            else:
                yield item

    def versions(self) -> list[str]:
        return [query["resourceVersion"] for kind, query in self.asked if kind == "watch"]


QUIET: list[Any] = [30.0]


def follow(
    lists: list[Any], watches: list[Any], seconds: float = 100.0
) -> tuple[list[Notice], Server, FakeClock]:
    time = FakeClock()
    server = Server(time, lists, watches)
    watch = Watch(server, "experiment", KIND, namespace="ns", name="x", clock=clock_of(time))
    return list(watch.notices(seconds)), server, time


def kinds(notices: list[Notice]) -> list[str]:
    return [notice.kind for notice in notices]


def test_the_list_comes_first_and_the_watch_goes_on_from_its_version() -> None:
    notices, server, _time = follow([listing(7, obj(5))], [[event("MODIFIED", obj(8)), 30.0], QUIET])
    assert kinds(notices) == ["present", "synced", "present"]
    assert server.asked[0] == ("list", {"fieldSelector": "metadata.name=x"})
    assert server.versions()[:2] == ["7", "8"]
    assert server.asked[1][1]["allowWatchBookmarks"] == "true"


def test_nothing_there_shows_in_synced_alone() -> None:
    notices, _server, _time = follow([listing(7)], [QUIET])
    assert kinds(notices) == ["synced"]


def test_a_bookmark_moves_the_version_and_is_no_news() -> None:
    notices, server, _time = follow([listing(7, obj(5))], [[event("BOOKMARK", obj(50)), 30.0], QUIET])
    assert kinds(notices) == ["present", "synced"]
    assert server.versions()[1] == "50"


def test_deletion_is_news_with_the_last_version_of_the_object() -> None:
    notices, _server, _time = follow([listing(7, obj(5))], [[event("DELETED", obj(9)), 30.0], QUIET])
    assert kinds(notices) == ["present", "synced", "deleted"]
    assert notices[-1].object == obj(9)


@pytest.mark.parametrize(
    "gone", [[error_event(410)], [error_event(500)], Gone("410")], ids=["410", "500", "answer"]
)
def test_an_expired_version_brings_a_new_list(gone: Any) -> None:
    lists = [listing(7, obj(5)), listing(90, obj(88))]
    notices, server, _time = follow(lists, [gone, QUIET])
    assert kinds(notices) == ["present", "synced", "expired", "present"]
    assert notices[-1].object == obj(88)
    assert server.versions() == ["7", "90", "90", "90", "90"]


def test_what_a_new_list_lacks_was_deleted_meanwhile() -> None:
    notices, _server, _time = follow([listing(7, obj(5)), listing(90)], [Gone("410"), QUIET])
    assert kinds(notices) == ["present", "synced", "expired", "deleted"]


def test_the_same_name_with_another_uid_was_deleted_first() -> None:
    lists = [listing(7, obj(5)), listing(90, obj(88, "u2"))]
    notices, _server, _time = follow(lists, [Gone("410"), QUIET])
    assert kinds(notices) == ["present", "synced", "expired", "deleted", "present"]
    assert notices[3].object == obj(5)


def test_an_object_seen_again_unchanged_is_no_news() -> None:
    notices, _server, _time = follow([listing(7, obj(5)), listing(90, obj(5))], [Gone("410"), QUIET])
    assert kinds(notices) == ["present", "synced", "expired"]
    assert notices[2].message == "410"


def test_a_cut_watch_is_opened_again_from_the_last_version_without_a_word() -> None:
    watches = [[event("MODIFIED", obj(8)), 5.0, Unreachable("cut")], QUIET]
    notices, server, _time = follow([listing(7, obj(5))], watches)
    assert kinds(notices) == ["present", "synced", "present"]
    assert server.versions()[:2] == ["7", "8"]
    assert [kind for kind, _query in server.asked].count("list") == 1


def test_a_restart_of_the_api_server_is_reported_once_and_survived() -> None:
    down = Unreachable("connection refused")
    watches = [[5.0, Unreachable("cut")], down, down, [event("MODIFIED", obj(9)), 30.0], QUIET]
    lists = [listing(7, obj(5)), down, listing(9, obj(8))]
    notices, _server, time = follow(lists, watches)
    assert kinds(notices) == ["present", "synced", "lost", "present", "back", "present"]
    assert "connection refused" in notices[2].message
    assert time.slept == sorted(time.slept)
    assert max(time.slept) <= watching.BACKOFF_MOST_SECONDS


def test_an_outage_to_the_end_keeps_to_the_deadline() -> None:
    notices, server, time = follow([listing(7, obj(5)), Unreachable("down")], [Unreachable("down")], 60.0)
    assert kinds(notices) == ["present", "synced", "lost"]
    assert time.now == pytest.approx(60.0)
    # Backed off: not a flood.
    assert len(server.asked) < 40


def test_a_server_that_says_when_to_come_again_is_left_alone_until_then() -> None:
    busy = Unreachable("429")
    busy.retry_after = 7.0
    notices, _server, time = follow([listing(7, obj(5))], [busy, [event("MODIFIED", obj(8)), 30.0], QUIET])
    assert kinds(notices) == ["present", "synced", "present"]
    assert time.slept[0] == 7.0


def test_a_watch_that_ends_at_once_does_not_spin() -> None:
    _notices, server, time = follow([listing(7, obj(5))], [[]], 60.0)
    assert len(server.asked) < 40
    assert time.now == pytest.approx(60.0)


def test_the_servers_time_limit_fits_into_what_is_left() -> None:
    _notices, server, _time = follow([listing(7)], [[12.0]], 50.0)
    limits = [int(query["timeoutSeconds"]) for kind, query in server.asked if kind == "watch"]
    assert limits == [30, 30, 26, 14, 2]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Unauthorized("401"), Unauthorized),
        (Forbidden("403"), Forbidden),
        (NotFound("404"), UnknownKind),
        (Unreachable("no route"), Unreachable),
    ],
)
def test_a_fault_at_the_start_is_raised_at_once(error: ClusterError, raised: type[ClusterError]) -> None:
    time = FakeClock()
    watch = Watch(
        Server(time, [error], [QUIET]), "experiment", KIND, namespace="ns", name="x", clock=clock_of(time)
    )
    with pytest.raises(raised):
        list(watch.notices(1000.0))
    assert time.now == 0.0


@pytest.mark.parametrize("doubt", [Unauthorized("401"), Forbidden("403"), NotFound("404")])
def test_doubtful_answers_of_a_starting_server_are_waited_out(doubt: ClusterError) -> None:
    watches = [doubt, doubt, [event("MODIFIED", obj(9)), 30.0], QUIET]
    notices, _server, _time = follow([listing(7, obj(5))], watches)
    assert kinds(notices)[-1] == "present"
    assert notices[-1].object == obj(9)


@pytest.mark.parametrize(("doubt", "raised"), [(Forbidden("403"), Forbidden), (NotFound("404"), UnknownKind)])
def test_doubtful_answers_that_last_are_believed(doubt: ClusterError, raised: type[ClusterError]) -> None:
    time = FakeClock()
    server = Server(time, [listing(7, obj(5)), doubt], [doubt])
    watch = Watch(server, "experiment", KIND, namespace="ns", name="x", clock=clock_of(time))
    with pytest.raises(raised):
        list(watch.notices(1000.0))
    assert watching.DOUBT_SECONDS <= time.now < watching.DOUBT_SECONDS + 10


def test_a_history_that_went_back_is_listed_anew() -> None:
    # A server restored from a backup refuses a version of the future, for ever.
    lists = [listing(700, obj(5)), listing(40, obj(39))]
    refused = Unreachable("504: Too large resource version")
    notices, server, _time = follow(lists, [refused, refused, refused, QUIET])
    assert [notice.object for notice in notices if notice.kind == "present"] == [obj(5), obj(39)]
    assert server.versions()[-1] == "40"


def drain(feeds: Feeds, until: Callable[[], bool]) -> list[Notice]:
    found = []
    for _unused in range(100):
        notice = feeds.next(1.0)
        if notice is not None:
            found.append(notice)
        if until():
            break
    return found


def test_feeds_bring_several_watches_into_one_queue() -> None:
    feeds = Feeds(10.0)
    for feed in ("experiment", "jobs"):
        time = FakeClock()
        server = Server(time, [listing(7, obj(5))], [[30.0]])
        feeds.follow(Watch(server, feed, KIND, namespace="ns", name=None, clock=clock_of(time)))
    assert not feeds.synced
    found = drain(feeds, lambda: feeds.synced)
    assert {notice.feed for notice in found} == {"experiment", "jobs"}


def test_feeds_raise_what_ended_a_watch() -> None:
    time = FakeClock()
    feeds = Feeds(10.0)
    server = Server(time, [Forbidden("may not list")], [QUIET])
    feeds.follow(Watch(server, "jobs", KIND, namespace="ns", name=None, clock=clock_of(time)))
    with pytest.raises(Forbidden, match="may not list"):
        feeds.next(5.0)


def test_feeds_turn_a_broken_watch_into_an_error_not_into_silence() -> None:
    time = FakeClock()
    feeds = Feeds(10.0)
    server = Server(time, [{"items": [5]}], [QUIET])
    feeds.follow(Watch(server, "jobs", KIND, namespace="ns", name=None, clock=clock_of(time)))
    with pytest.raises(ClusterError, match="The watch broke"):
        feeds.next(5.0)


def test_a_kind_that_is_not_needed_is_refused_once_and_counts_as_listed() -> None:
    time = FakeClock()
    feeds = Feeds(10.0)
    server = Server(time, [Forbidden("may not list")], [QUIET])
    feeds.follow(Watch(server, "pod", KIND, namespace="ns", name=None, clock=clock_of(time)), needed=False)
    feeds.refuse("httproute", "is not served")
    found = drain(feeds, lambda: feeds.synced)
    assert sorted((notice.kind, notice.feed, notice.message) for notice in found) == [
        ("refused", "httproute", "is not served"),
        ("refused", "pod", "may not list"),
    ]


def test_a_kind_that_is_not_needed_and_goes_later_on_blinds_nobody() -> None:
    time = FakeClock()
    feeds = Feeds(1000.0)
    server = Server(time, [listing(7, obj(5)), Forbidden("no more")], [Forbidden("no more")])
    feeds.follow(Watch(server, "pod", KIND, namespace="ns", name=None, clock=clock_of(time)), needed=False)
    drain(feeds, lambda: feeds.synced)
    assert drain(feeds, lambda: feeds.unobserved)[-1].kind == "lost"
    last = feeds.next(5.0)
    assert last is not None
    assert (last.kind, last.message) == ("refused", "no more")
    assert (feeds.unobserved, feeds.synced) == (False, True)


def test_objects_are_chosen_by_their_labels() -> None:
    time = FakeClock()
    server = Server(time, [listing(7, obj(5))], [QUIET])
    watch = Watch(server, "pod", KIND, namespace="ns", name=None, labels="a=b", clock=clock_of(time))
    list(watch.notices(20.0))
    assert [query["labelSelector"] for _how, query in server.asked] == ["a=b"] * len(server.asked)
