# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connection a request takes: neither one about to be closed nor one that spoke unasked."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import exchange
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.engine import Engine
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.resolver import Resolver
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http import connection
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.target import (
    SocketAddress,
    parse_url,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.snapshot import snapshot
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.tally import Tally
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock
from ansible_collections.iter8.kfserving.tests.support.busy import waited_since, waits
from ansible_collections.iter8.kfserving.tests.support.ports import refusing_port
from ansible_collections.iter8.kfserving.tests.support.waiting import until

SECOND = 1_000_000_000
OK = b"HTTP/1.1 200 OK\r\n"


# Announced time-outs


def test_a_connection_idle_for_nearly_as_long_as_announced_is_not_used_again(
    serve: Any, load: Any, clock: PolledClock
) -> None:
    """A request each 1.5 s; the server keeps connections for two seconds and the load for one."""
    server = serve(lambda visit: visit.ok(headers=b"Keep-Alive: timeout=2, max=50\r\n"))
    result = load(server.url, calls=4, rate=1 / 1.5)
    own = result["LoadTest"]
    assert (own["failed"], result["SocketCount"]) == (0, 4)
    assert own["reconnects"]["keep_alive_timeout"] >= 3


def test_a_connection_in_use_within_the_announced_time_is_kept(
    serve: Any, load: Any, clock: PolledClock
) -> None:
    server = serve(lambda visit: visit.ok(headers=b"Keep-Alive: timeout=2\r\n"))
    result = load(server.url, calls=6, rate=2)
    assert (result["LoadTest"]["failed"], result["SocketCount"]) == (0, 1)
    assert result["LoadTest"]["reconnects"] == {}


def test_it_is_closed_before_the_server_does_so(serve: Any) -> None:
    """By the load, though it has nothing to send."""
    ended: list[tuple[float, float]] = []

    def tell(visit: Any) -> None:
        before, waiting = time.monotonic(), waits()  # the load counts from a later moment
        visit.ok(headers=b"Keep-Alive: timeout=1\r\n")
        if not visit.sock.recv(1):
            ended.append((time.monotonic() - before, waited_since(waiting)))
        visit.close()

    url = serve(tell).url
    options = Options(url=url, rate=0.4, calls=2, connections=1)
    tally = Engine(options, parse_url(options), "cafe", lambda row, failures, tally: None).run()
    assert tally.counts.failed == 0
    until(lambda: len(ended) == 2, 5, "the end of the connections")
    seconds, waited = ended[0]
    assert 0.4 < seconds < 1.0 + waited


# Several addresses


@pytest.fixture
def addresses_for() -> Iterator[Callable[[int], list[SocketAddress]]]:
    """For a port: two addresses that refuse, then its own."""
    with refusing_port() as first, refusing_port() as second:
        yield lambda port: [
            SocketAddress(socket.AF_INET, ("127.0.0.1", number), f"127.0.0.1:{number}")
            for number in (first, second, port)
        ]


def run_with(options: Options, found: list[SocketAddress], down: list[bool]) -> tuple[Tally, list[Any]]:
    """A run whose name has these addresses, of which all listened when it began."""
    failures: list[Any] = []
    good = found[-1]
    running = Engine(
        options,
        parse_url(options),
        "cafe",
        lambda _row, new, _tally: failures.extend(new),
        lookup=lambda: [good, *found[:-1]] if down[0] else found,
    )
    # What the start found out is undone: the addresses that refuse come first.
    running._pool.use(found, None)
    return running.run(), failures


@pytest.mark.parametrize("mode", ["new", "keep-alive"])
def test_a_connect_that_is_refused_goes_on_to_the_next_address(
    serve: Any, addresses_for: Any, mode: str
) -> None:
    server = serve(lambda visit: visit.ok())
    options = Options(url=server.url, rate=20, calls=10, connection_modes=mode)
    tally, failures = run_with(options, addresses_for(server.port), [True])
    assert (tally.counts.requests, failures) == (10, [])
    assert server.requests == 10
    # The next connections begin with the address that took one.
    assert snapshot(tally)["address_failovers"] == 2


def test_where_no_address_takes_a_connection_the_request_fails_once(serve: Any, addresses_for: Any) -> None:
    server = serve(lambda visit: visit.ok())
    options = Options(url=server.url, rate=20, calls=3, connection_modes="new")
    tally, failures = run_with(options, addresses_for(server.port)[:2], [False])
    assert [(lost.kind, lost.errno) for lost in failures] == [("connect", "ECONNREFUSED")] * 3
    assert tally.address_failovers == 3
    assert server.requests == 0


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops: half of the time-out is for each of the two."""
    server = serve(lambda visit: visit.ok())
    silent = SocketAddress(socket.AF_INET, ("127.0.0.1", 9), "silent")
    good = SocketAddress(socket.AF_INET, ("127.0.0.1", server.port), "good")
    whole = connection.Connection.open

    def connect(self: Any, address: SocketAddress) -> None:
        whole(self, good)
        self.address = address
        if address is silent:
            waits = socket.socket()
            self.sock.close()
            self.sock, self.fd = waits, waits.fileno()

    def connected(self: Any) -> None:
        if self.address is silent:
            raise AssertionError("the poller told of it")

    monkeypatch.setattr(connection.Connection, "open", connect)
    monkeypatch.setattr(connection.Connection, "connected", connected)
    monkeypatch.setattr(exchange.Exchange, "_event", skip_silent(silent))
    options = Options(url=server.url, rate=20, calls=1, connection_modes="new", timeout=SECOND)
    before = time.monotonic()
    tally, failures = run_with(options, [silent, good], [True])
    assert (failures, tally.address_failovers, server.requests) == ([], 1, 1)
    assert 0.45 < time.monotonic() - before < 1.5


def skip_silent(silent: SocketAddress) -> Any:
    whole = exchange.Exchange._event

    def event(self: Any, conn: Any, number: int) -> None:
        if conn.address is silent:
            self._pool._poller.modify(conn.fd, 0)
            return
        whole(self, conn, number)

    return event


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EADDRNOTAVAIL])
def test_what_this_machine_lacks_no_other_address_has(
    serve: Any, addresses_for: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(self: Any, address: Any) -> None:
        self.address = address
        raise OSError(code, os.strerror(code))

    server = serve(lambda visit: visit.ok())
    monkeypatch.setattr(connection.Connection, "open", refuse)
    options = Options(url=server.url, rate=20, calls=2)
    tally, failures = run_with(options, addresses_for(server.port), [True])
    assert [lost.kind for lost in failures] == ["client"] * 2
    assert tally.address_failovers == 0


def test_a_request_of_which_a_byte_was_sent_goes_nowhere_else(serve: Any) -> None:
    first, second = serve(lambda visit: visit.reset()), serve(lambda visit: visit.ok())
    found = [
        SocketAddress(socket.AF_INET, ("127.0.0.1", server.port), str(server.port))
        for server in (first, second)
    ]
    options = Options(url=first.url, rate=20, calls=3, connection_modes="new")
    tally, failures = run_with(options, found, [True])
    assert [lost.kind for lost in failures] == ["reset"] * 3
    assert (first.requests, second.requests, tally.address_failovers) == (3, 0, 0)


# What was said before it was asked for


@pytest.mark.parametrize("mode", ["new", "keep-alive"])
def test_what_a_server_says_before_it_is_asked_is_no_answer(mode: str) -> None:
    """It says it when the connection is made, before the request can be there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = SocketAddress(socket.AF_INET, ("127.0.0.1", port), "early")
        whole = connection.Connection.connected

        def connected(self: Any) -> None:
            whole(self)
            peer, _address = listener.accept()
            peer.sendall(OK + b"Content-Length: 2\r\n\r\nok")
            peers.append(peer)
            time.sleep(0.02)

        peers: list[socket.socket] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection.Connection, "connected", connected)
            options = Options(url=f"http://127.0.0.1:{port}/", calls=2, connections=1, connection_modes=mode)
            _tally, failures = run_with(options, [found], [True])
        for peer in peers:
            peer.close()
    assert [(lost.kind, lost.detail) for lost in failures] == [
        ("malformed", "bytes were there before the request was sent")
    ] * 2


@pytest.fixture
def says_more(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """What a server does that says more after each answer: while the load counts it, which waits for that."""

    def count(self: Tally, *given: Any, **more: Any) -> None:
        counted(self, *given, **more)
        answered.release()
        assert more_came.acquire(timeout=10)

    def one_more(visit: Any) -> None:
        visit.ok(headers=b"N: %d\r\n" % visit.count)  # another head each time, so that none is known
        assert answered.acquire(timeout=10)
        visit.send(OK + b"Content-Length: 0\r\n\r\n")
        more_came.release()

    answered, more_came = threading.Semaphore(0), threading.Semaphore(0)
    counted = Tally.success
    monkeypatch.setattr(Tally, "success", count)
    return one_more


def test_bytes_on_an_idle_connection_are_seen_before_it_is_used(
    serve: Any, says_more: Callable[[Any], None]
) -> None:
    """Also where the engine has not yet been told of them by the poller."""
    server = serve(says_more)
    options = Options(url=server.url, rate=20, calls=5, connections=1, max_connections=1)
    running = Engine(options, parse_url(options), "cafe", lambda row, failures, tally: None)
    running._pool.idle_event = lambda conn: None  # type: ignore[method-assign]
    tally = running.run()
    assert (tally.counts.failed, server.requests) == (0, 5)
    assert tally.reconnects["unsolicited"] == 4


def test_at_full_speed_bytes_that_are_there_before_a_request_are_looked_for(
    serve: Any, says_more: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each request here, in truth before some."""
    monkeypatch.setattr(exchange, "SPOT_CHECK", 1)
    server = serve(says_more)
    options = Options(url=server.url, calls=4, connections=1)
    tally = Engine(options, parse_url(options), "cafe", lambda row, failures, tally: None).run()
    assert (tally.counts.failed, server.requests) == (0, 4)
    assert tally.reconnects["unsolicited"] == 4


# Codings and limits


def coded(body: bytes, coding: bytes) -> bytes:
    return (
        OK + b"Transfer-Encoding: %s, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (coding, len(body), body)
    )  # fmt: skip


def test_a_coded_body_is_framed_by_its_chunks_and_read_only_where_it_is_checked(
    serve: Any, load: Any
) -> None:
    body = b'{"model": "canary-7", "predictions": [3]}'
    url = serve(lambda visit: visit.send(coded(gzip.compress(body), b"gzip"))).url
    own = load(url, calls=3, expect_body="predictions", revision_field="model")["LoadTest"]
    assert own["revisions"] == {"canary-7": {"requests": 3, "failed": 0}}
    assert load(url, calls=3, expect_body="nothing")["LoadTest"]["classes"] == {"validation": 3}
    broken = serve(lambda visit: visit.send(coded(b"no gzip", b"gzip"))).url
    assert load(broken, calls=2)["LoadTest"]["failed"] == 0
    assert load(broken, calls=2, expect_body="x")["LoadTest"]["classes"] == {"malformed": 2}
    unknown = serve(lambda visit: visit.send(coded(body, b"br"))).url
    assert load(unknown, calls=2, expect_body="x")["LoadTest"]["client_faults"] == 2


def test_the_loads_own_limits_are_named_as_its_own(serve: Any, load: Any) -> None:
    url = serve(lambda visit: visit.ok(headers=b"A: %s\r\n" % (b"x" * 100_000))).url
    assert load(url, calls=2)["LoadTest"]["failed"] == 0
    own = load(url, calls=2, max_head=65536)["LoadTest"]
    assert (own["classes"], own["client_faults"]) == ({"client": 2}, 2)
    assert "(max_head)" in own["ledger"][0]["detail"]
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + OK + b"Content-Length: 0\r\n\r\n"
    url = serve(lambda visit: visit.send(hints)).url
    assert load(url, calls=2)["LoadTest"]["failed"] == 0
    own = load(url, calls=2, max_interim=19)["LoadTest"]
    assert own["classes"] == {"client": 2}
    assert "(max_interim)" in own["ledger"][0]["detail"]


# Names and ends


def test_the_resolver_lives_on_whatever_is_raised() -> None:
    address = SocketAddress(socket.AF_INET, ("127.0.0.1", 1), "found")
    raised: list[Any] = [RuntimeError("odd"), MemoryError(), UnicodeError("label"), OSError(5, "io")]

    def lookup() -> list[SocketAddress]:
        if raised:
            raise raised.pop(0)
        return [address]

    resolver = Resolver(lookup, [], 0)
    os.set_blocking(resolver.fd, True)
    try:
        errors = []
        for asked in range(5):
            now = (2 + 2 * asked) * SECOND
            assert not resolver.fresh(now)
            resolver.take(now)
            errors.append(resolver.error)
    finally:
        resolver.close()
    assert [type(error) for error in errors] == [OSError] * 4 + [type(None)]
    assert "RuntimeError('odd')" in (errors[0].strerror or "")  # type: ignore[union-attr]
    assert resolver.addresses == [address]


def test_a_load_without_a_duration_ends_all_the_same(serve: Any, load: Any, clock: PolledClock) -> None:
    result = load(serve(lambda visit: visit.ok()).url, rate=20, max_duration=SECOND)
    assert (result["LoadTest"]["requests"], result["RequestedDuration"]) == (20, "until stop")
    result = load(serve(lambda visit: visit.ok()).url, rate=20, duration=2 * SECOND, max_duration=SECOND)
    assert result["LoadTest"]["requests"] == 40
