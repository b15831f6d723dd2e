# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of many streams that come at one time, as from a server that computes the streams together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.poller import IN, OUT
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.tokens import Tokens
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


def serve(
    *conns: SimpleNamespace, event: int = IN, later: Callable[[int], list[int]] = lambda _now: []
) -> tuple[Machine, list[str]]:
    """What becomes of these when all are readable at once, and which of them are no common case. `later` says
    which are readable at a time from then on."""
    machine: Any = Machine()
    pool: Any = SimpleNamespace(by_fd=dict(enumerate(conns)))
    poller: Any = SimpleNamespace(poll=lambda _timeout: [(fd, event) for fd in later(machine.now)])
    tokens = Tokens(pool, poller, machine, lambda: machine.now)
    others = tokens.serve([(fd, event) for fd in range(len(conns) + 1)])
    return machine, [conn.name for conn, _event in others]


def test_each_is_dated_before_any_is_read() -> None:
    machine, others = serve(stream("a"), stream("b", WAITING), stream("c"))
    assert machine.taken == [("a", b"a", 0), ("b", b"b", 0), ("c", b"c", 0)]
    assert others == []


def test_what_comes_while_others_are_read_is_dated_then_and_not_after_them() -> None:
    conns = [stream(f"s{number}") for number in range(40)]
    came: dict[int, int] = {}

    def later(now: int) -> list[int]:
        """The first three have more, once, from 300 µs on."""
        more = [fd for fd in range(3) if now >= 300_000 and fd not in came]
        came.update(dict.fromkeys(more, now))
        return more

    machine, _others = serve(*conns, later=later)
    assert [name for name, _data, _now in machine.taken] == [
        *(f"s{number}" for number in range(40)), *(f"s{number}" for number in range(3))
    ]  # fmt: skip
    assert max(now for _name, _data, now in machine.taken) < 300_000 + 200_000 + 2 * WORK


def test_one_whose_last_is_not_read_yet_keeps_what_it_has_since_until_it_is() -> None:
    """What was received once is read once, and in order."""
    sent = {name: [f"{name}.{piece}".encode() for piece in range(3)] for name in ("a", "b", "c", "d")}
    left = {name: [*pieces] for name, pieces in sent.items()}
    conns = [stream(name) for name in sent]
    for conn in conns:
        conn.recv = lambda _most, pieces=left[conn.name]: pieces.pop(0)

    def later(_now: int) -> list[int]:
        return [fd for fd, pieces in enumerate(left.values()) if pieces]

    machine, _others = serve(*conns, later=later)
    # What it says after the last look is there for the next poll.
    read = {name: [data for who, data, _now in machine.taken if who == name] for name in sent}
    assert {name: read[name] + left[name] for name in sent} == sent
    assert sum(map(len, read.values())) > len(sent), "there was no look"


def test_requests_have_their_turn_though_tokens_never_end() -> None:
    machine, _others = serve(*(stream(f"s{number}") for number in range(50)), later=lambda _now: [*range(50)])
    assert machine.now < 10_000_000 + 50 * WORK + WORK


def test_one_that_fails_keeps_no_other_from_being_read() -> None:
    machine, _others = serve(stream("a"), stream("b", error=True), stream("c"))
    assert [name for name, _data, _now in machine.taken] == ["a", "c"]
    assert machine.failed_at == [0]


def test_what_has_more_to_it_is_left_to_its_own_way() -> None:
    machine, others = serve(stream("a"), stream("b", WRITING), stream("c", tls=True))
    assert [name for name, _data, _now in machine.taken] == ["a"]
    assert others == ["b", "c"]
    assert serve(stream("a"), event=IN | OUT)[1] == ["a"]
