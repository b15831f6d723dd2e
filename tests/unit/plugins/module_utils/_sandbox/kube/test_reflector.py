# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, Iterator, Mapping, Union

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    ApiError,
    ApiUnreachable,
    Json,
    KubeClient,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.reflector import Reflector

Step = Union[Exception, list[Any]]


def item(name: str, version: int) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Json:
    return {"type": kind, "object": item(name, version)}


EXPIRED = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}


class Scripted(KubeClient):
    """An API server that follows a script: what each list and each watch gives."""

    def __init__(self, lists: list[Step], watches: list[Step]) -> None:
        self.lists = lists
        self.watches = watches
        self.asked: list[str] = []
        self.reflector: Any = None

    def get(self, path: str) -> Json:
        self.asked.append("list")
        step = self.lists.pop(0)
        if isinstance(step, Exception):
            raise step
        return {"metadata": {"resourceVersion": "10"}, "items": step}

    def watch(self, path: str, query: Mapping[str, str], quiet_seconds: float) -> Iterator[Json]:
        self.asked.append(f"watch {query['resourceVersion']}")
        step = self.watches.pop(0)
        if not self.watches:
            self.reflector.stop()
        if isinstance(step, Exception):
            raise step
        for one in step:
            if isinstance(one, Exception):
                raise one
            yield one


def run(api: Scripted, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[float]]:
    """Run a reflector in this thread until the script is over; what it reported, and its pauses."""
    reported: list[Any] = []
    pauses: list[float] = []
    reflector = Reflector(
        api,
        "/things",
        lambda items: reported.append(sorted(one["metadata"]["name"] for one in items)),
        lambda kind, one: reported.append((kind, one["metadata"]["name"])),
        lambda text: None,
    )
    api.reflector = reflector
    monkeypatch.setattr(reflector._stopped, "wait", pauses.append)
    reflector.run()
    return reported, pauses


def test_lists_then_watches_on(monkeypatch: pytest.MonkeyPatch) -> None:
    watches: list[Step] = [
        [event("ADDED", "b", 11)],
        [event("BOOKMARK", "", 15)],
        [event("DELETED", "a", 16)],
        [],
    ]
    api = Scripted([[item("a", 1)]], watches)
    reported, pauses = run(api, monkeypatch)
    assert reported == [["a"], ("ADDED", "b"), ("DELETED", "a")]
    assert api.asked == ["list", "watch 10", "watch 11", "watch 15", "watch 16"]
    assert pauses == []


@pytest.mark.parametrize(
    "broken",
    [
        [event("ADDED", "b", 11), EXPIRED],
        ApiError(410, "Expired", "too old"),
        [event("ADDED", "b", 11), ApiUnreachable("reset")],
        ApiUnreachable("refused"),
    ],
)
def test_lists_anew_when_the_watch_breaks(broken: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Scripted([[item("a", 1)], [item("a", 1), item("c", 9)]], [broken, []])
    reported, pauses = run(api, monkeypatch)
    assert reported[0] == ["a"]
    assert reported[-1] == ["a", "c"]
    assert api.asked.count("list") == 2
    assert len(pauses) == 1


def test_pauses_grow_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away: list[Step] = [ApiUnreachable("refused")] * 7
    reported, pauses = run(Scripted([*away, [item("a", 1)]], [[]]), monkeypatch)
    assert reported == [["a"]]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_an_expired_version_is_listed_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _told, pauses = run(Scripted([[], []], [[EXPIRED], []]), monkeypatch)
    assert pauses == [0]
