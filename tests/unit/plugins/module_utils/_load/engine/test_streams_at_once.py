# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of many streams that come at one time, as from a server that computes the streams together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.exchange import Exchange
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.poller import IN, OUT
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.states import (
    READING,
    WAITING,
    WRITING,
)

WORK = 80_000


class Machine:
    """A clock that only work moves on; `taken` is what was read, in order, and how it was dated."""

    def __init__(self) -> None:
        self.now = 0
        self.taken: list[tuple[str, bytes, int]] = []
        self.failed_at: list[int] = []

    def received(self, conn: Any, data: bytes, now: int) -> None:
        self.taken.append((conn.name, data, now))
        self.now += WORK

    begun = received

    def failed(self, _conn: Any, _error: OSError) -> None:
        self.failed_at.append(self.now)


def stream(name: str, state: Any = READING, error: bool = False, tls: bool = False) -> SimpleNamespace:
    def recv(_most: int) -> bytes:
        if error:
            raise ConnectionResetError
        return name.encode()

    return SimpleNamespace(name=name, state=state, tls=tls, recv=recv, mode=SimpleNamespace(reach=4096))


def serve(*conns: SimpleNamespace, event: int = IN) -> tuple[Machine, list[str]]:
    """What becomes of these when all are readable at once, and which of them are no common case."""
    machine, others = Machine(), []
    exchange: Any = object.__new__(Exchange)
    exchange._options = SimpleNamespace(stream="sse")
    exchange._pool = SimpleNamespace(by_fd=dict(enumerate(conns)))
    exchange._reader, exchange._clock = machine, lambda: machine.now
    exchange._event = lambda conn, _event: others.append(conn.name)
    exchange.serve([(fd, event) for fd in range(len(conns) + 1)])
    return machine, others


def test_each_is_dated_before_any_is_read() -> None:
    machine, others = serve(stream("a"), stream("b", WAITING), stream("c"))
    assert machine.taken == [("a", b"a", 0), ("b", b"b", 0), ("c", b"c", 0)]
    assert others == []


def test_one_that_fails_keeps_no_other_from_being_read() -> None:
    machine, _others = serve(stream("a"), stream("b", error=True), stream("c"))
    assert [name for name, _data, _now in machine.taken] == ["a", "c"]
    assert machine.failed_at == [0]


def test_what_has_more_to_it_is_left_to_its_own_way() -> None:
    machine, others = serve(stream("a"), stream("b", WRITING), stream("c", tls=True))
    assert [name for name, _data, _now in machine.taken] == ["a"]
    assert others == ["b", "c"]
    assert serve(stream("a"), event=IN | OUT)[1] == ["a"]
