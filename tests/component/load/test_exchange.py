# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that misbehaves in every way: each has its class, nothing is retried, nothing hangs."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load import command
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http import connection, parser
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats import modes
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock
from ansible_collections.iter8.kfserving.tests.support.ports import refusing_port

OK = b"HTTP/1.1 200 OK\r\n"


def say(data: bytes) -> Callable[[Any], None]:
    def behave(visit: Any) -> None:
        visit.send(data)
        visit.close()

    return behave


def say_and_hang(data: bytes) -> Callable[[Any], None]:
    def behave(visit: Any) -> None:
        visit.send(data)
        visit.hang()

    return behave


def say_and_reset(data: bytes) -> Callable[[Any], None]:
    def behave(visit: Any) -> None:
        visit.send(data)
        time.sleep(0.01)  # or the reset overtakes the bytes
        visit.reset()

    return behave


def one_piece_at_a_time(visit: Any) -> None:
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nA: b\r\n\r\n"
    for at in range(0, len(data), 7):
        visit.send(data[at : at + 7])
        time.sleep(0.001)


def then_close(visit: Any) -> None:
    visit.ok()
    visit.close()


ALL_OK = [
    ("plain", lambda visit: visit.ok()),
    ("large", lambda visit: visit.ok(b"x" * 300_000)),
    ("in pieces", one_piece_at_a_time),
    ("announced close", lambda visit: visit.ok(headers=b"Connection: close\r\n")),
    ("HTTP/1.0", say(b"HTTP/1.0 200 OK\r\n\r\nall")),
    ("until the end", say(OK + b"\r\nall")),
    ("interim", lambda visit: visit.send(b"HTTP/1.1 103 Early\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n")),
    ("204", lambda visit: visit.send(b"HTTP/1.1 204 No Content\r\n\r\n")),
    ("another head each time", lambda visit: visit.ok(headers=b"A: %d\r\n" % visit.number)),
]

# What the server does on a fresh connection, the class, the status on record, the errno.
EACH_FAILS = [
    ("closed at once", lambda visit: visit.close(), "reset", None, None),
    ("reset at once", lambda visit: visit.reset(), "reset", None, "ECONNRESET"),
    ("reset in the head", say_and_reset(OK), "reset", None, "ECONNRESET"),
    ("reset in the body", say_and_reset(OK + b"Content-Length: 9\r\n\r\nx"), "reset", 200, "ECONNRESET"),
    ("reset at the end of the connection", say_and_reset(OK + b"\r\nx"), "reset", 200, "ECONNRESET"),
    ("four bytes", say(b"HTTP"), "truncated", None, None),
    ("in the head", say(OK), "truncated", None, None),
    ("in the body", say(OK + b"Content-Length: 9\r\n\r\nhello"), "truncated", 200, None),
    ("in a chunk", say(OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello"), "truncated", 200, None),
    (
        "without the last chunk",
        say(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
        "truncated",
        200,
        None,
    ),
    ("only interim", say(b"HTTP/1.1 100 Continue\r\n\r\n"), "truncated", None, None),
    ("says nothing", lambda visit: visit.hang(), "timeout", None, "ETIMEDOUT"),
    ("stops in the head", say_and_hang(OK), "timeout", None, "ETIMEDOUT"),
    ("stops in the body", say_and_hang(OK + b"Content-Length: 9\r\n\r\nx"), "timeout", 200, "ETIMEDOUT"),
    ("never ends", say_and_hang(OK + b"\r\nx"), "timeout", 200, "ETIMEDOUT"),
    ("not HTTP", say(b"SSH-2.0-x\r\n"), "malformed", None, None),
    ("bare line feeds", say(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "malformed", None, None),
    ("two lengths", say(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), "malformed", None, None),
    ("more than it said", say(OK + b"Content-Length: 1\r\n\r\nxyz"), "malformed", 200, None),
    (
        "two answers",
        lambda visit: visit.send((OK + b"Content-Length: 1\r\n\r\nx") * 2),
        "malformed",
        200,
        None,
    ),
    ("503", lambda visit: visit.send(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"), "status", 503, None),
    ("404 and close", say(b"HTTP/1.1 404 No\r\n\r\nno"), "status", 404, None),
    (
        "302",
        lambda visit: visit.send(b"HTTP/1.1 302 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        "status",
        302,
        None,
    ),
]


def ids(table: list) -> list:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


@pytest.mark.parametrize("connection_modes", ["keep-alive", "new", "both"])
@pytest.mark.parametrize("rate", [0, 200])
@pytest.mark.parametrize("behaviour", ids(ALL_OK))
def test_right_answers(serve: Any, load: Any, behaviour: Any, rate: float, connection_modes: str) -> None:
    server = serve(behaviour)
    result = load(server.url, calls=8, rate=rate, connection_modes=connection_modes)
    assert result["LoadTest"]["ledger"] == []
    assert result["LoadTest"]["requests"] == server.requests == 8


@pytest.mark.parametrize("rate", [0, 100])
@pytest.mark.parametrize(("behaviour", "kind", "status", "errno_name"), ids(EACH_FAILS))
def test_wrong_answers(
    *,
    serve: Any,
    load: Any,
    behaviour: Any,
    kind: str,
    status: int | None,
    errno_name: str | None,
    rate: float,
) -> None:
    server = serve(behaviour)
    timeout = 300_000_000 if errno_name == "ETIMEDOUT" else 5_000_000_000
    result = load(server.url, calls=3, rate=rate, connections=2, timeout=timeout)
    own = result["LoadTest"]
    assert own["classes"] == {kind: 3}
    assert server.requests == 3
    assert result["RetCodes"] == ({str(status): 3} if kind == "status" else {"-1": 3})
    for record in own["ledger"]:
        assert (record["class"], record["status"], record["errno"]) == (kind, status, errno_name)
        assert record["peer"] == f"127.0.0.1:{server.port}"
        assert record["intended"] <= record["sent"] <= record["end"]
        assert record["detail"]
    if kind == "status":
        assert own["longest_success_gap"]["seconds"] > 0


def test_answers_longer_than_those_before_are_read_whole(serve: Any, load: Any) -> None:
    """What is received at once goes by the answers known so far."""
    lengths = (10, 10, 200_000, 10, 3000, 10, 70_000, 10)
    server = serve(lambda visit: visit.ok(b"x" * lengths[visit.number % len(lengths)]))
    result = load(server.url, calls=len(lengths) * 3)
    assert (result["LoadTest"]["failed"], result["SocketCount"]) == (0, 1)
    heads = sum(len(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length) for length in lengths)
    assert result["Sizes"]["Sum"] == 3 * (sum(lengths) + heads)


def test_a_byte_too_many_shows_after_many_right_answers(serve: Any, load: Any) -> None:
    answer = OK + b"Content-Length: 2\r\n\r\nok"
    server = serve(lambda visit: visit.send(answer + (b"!" if visit.number == 9 else b"")))
    own = load(server.url, calls=12)["LoadTest"]
    assert (own["classes"], [row["seq"] for row in own["ledger"]]) == ({"malformed": 1}, [10])
    assert server.requests == 12


def test_a_kept_connection_serves_on_after_a_wrong_status(serve: Any, load: Any) -> None:
    server = serve(lambda visit: visit.send(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"))
    own = load(server.url, calls=4)["LoadTest"]
    assert [record["reuse"] for record in own["ledger"]] == [0, 1, 2, 3]
    assert {record["connection"] for record in own["ledger"]} == {1}


STALE = {
    "closed": lambda visit: visit.ok() if visit.number == 0 else visit.close(),
    "reset": lambda visit: visit.ok() if visit.number == 0 else visit.reset(),
}


@pytest.mark.parametrize("how", STALE)
def test_stale_keepalive_is_not_sent_again(serve: Any, load: Any, how: str) -> None:
    """Fortio reports this as all OK: it sends the second request of each connection twice."""
    server = serve(STALE[how])
    result = load(server.url, calls=16)
    own = result["LoadTest"]
    assert own["classes"] == {"stale_keepalive": 8}
    assert result["RetCodes"] == {"-1": 8, "200": 8}
    assert server.requests == 16
    assert {record["reuse"] for record in own["ledger"]} == {1}
    assert own["reconnects"] == {"stale_keepalive": 8}


def test_an_idle_connection_that_was_closed_is_not_used(serve: Any, load: Any, clock: PolledClock) -> None:
    server = serve(then_close)
    own = load(server.url, calls=5, rate=50)["LoadTest"]
    assert own["failed"] == 0
    assert own["reconnects"]["idle_close"] >= 4


def test_an_idle_connection_that_talks_is_not_used(serve: Any, load: Any, clock: PolledClock) -> None:
    def chatter(visit: Any) -> None:
        visit.ok()
        time.sleep(0.005)
        visit.send(OK + b"Content-Length: 0\r\n\r\n")

    server = serve(chatter)
    own = load(server.url, calls=4, rate=20)["LoadTest"]
    assert own["failed"] == 0
    assert own["reconnects"]["unsolicited"] >= 3
    assert server.requests == 4


def test_a_request_that_is_not_read(serve: Any, load: Any) -> None:
    """Too large for the socket's buffers, and the server does not read it."""

    def deaf(visit: Any) -> None:
        visit.closing.wait(60)
        visit.close()

    deaf.early = True  # type: ignore[attr-defined]
    server = serve(deaf)
    own = load(server.url, calls=1, payloads=[b"x" * 20_000_000], timeout=300_000_000)["LoadTest"]
    assert own["classes"] == {"timeout": 1}
    assert own["ledger"][0]["detail"] == "the request was not taken within the time-out"


def test_hung_up_on_while_writing(serve: Any, load: Any) -> None:
    def hang_up(visit: Any) -> None:
        visit.reset()

    hang_up.early = True  # type: ignore[attr-defined]
    server = serve(hang_up)
    own = load(server.url, calls=2, payloads=[b"x" * 20_000_000])["LoadTest"]
    assert own["classes"] == {"write": 2}
    assert {record["errno"] for record in own["ledger"]} <= {"ECONNRESET", "EPIPE"}


def test_closed_while_writing(serve: Any, load: Any) -> None:
    """Half closed, so that no reset comes: nothing will be answered, and the request was not taken.

    Nothing is read either: else the whole request could be taken before the client looks for an answer.
    """

    def half_close(visit: Any) -> None:
        visit.sock.shutdown(socket.SHUT_WR)
        visit.closing.wait(60)
        visit.close()

    half_close.early = True  # type: ignore[attr-defined]
    own = load(serve(half_close).url, calls=2, payloads=[b"x" * 20_000_000])["LoadTest"]
    assert own["classes"] == {"write": 2}


def test_an_early_answer_counts_and_its_connection_is_not_used_again(serve: Any, load: Any) -> None:
    def early(visit: Any) -> None:
        visit.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        time.sleep(0.05)
        visit.close()

    early.early = True  # type: ignore[attr-defined]
    server = serve(early)
    own = load(server.url, calls=2, payloads=[b"x" * 20_000_000])["LoadTest"]
    assert own["classes"] == {"status": 2}
    assert {record["status"] for record in own["ledger"]} == {413}
    assert [record["reuse"] for record in own["ledger"]] == [0, 0]


def test_refused(load: Any, serve: Any) -> None:
    server = serve(lambda visit: visit.ok())
    with refusing_port() as port, pytest.raises(LoadError, match=f"Cannot connect to 127.0.0.1:{port}"):
        load(f"http://127.0.0.1:{port}/", calls=1)
    assert server.requests == 0


def no_connection(code: int) -> Callable[..., None]:
    def refuse(self: Any, address: Any) -> None:
        self.address = address
        raise OSError(code, "simulated")

    return refuse


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ECONNREFUSED, "connect"),
        (errno.ENETUNREACH, "connect"),
        (errno.EMFILE, "client"),
        (errno.EADDRNOTAVAIL, "client"),
        (errno.ENOBUFS, "client"),
    ],
)
def test_no_connection(serve: Any, load: Any, monkeypatch: pytest.MonkeyPatch, code: int, kind: str) -> None:
    server = serve(lambda visit: visit.ok())
    monkeypatch.setattr(connection.Connection, "open", no_connection(code))
    own = load(server.url, calls=3, rate=100)["LoadTest"]
    assert own["classes"] == {kind: 3}
    assert own["client_faults"] == (3 if kind == "client" else 0)
    assert {record["errno"] for record in own["ledger"]} == {errno.errorcode[code]}
    assert server.requests == 0


def test_not_connected_within_the_time_out(load: Any) -> None:
    """A listener whose queue is full answers no further SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = []
        try:
            for _unused in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
            result: dict[str, Any] = {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(command, "probe", lambda target, seconds: None)
                result = load(f"http://127.0.0.1:{address[1]}/", calls=2, rate=50, timeout=300_000_000)
        finally:
            for filler in fillers:
                filler.close()
    own = result["LoadTest"]
    assert own["classes"] == {"connect": 2}
    assert {record["errno"] for record in own["ledger"]} == {"ETIMEDOUT"}


def test_expected_status_and_body(serve: Any, load: Any) -> None:
    server = serve(lambda visit: visit.send(b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone"))
    result = load(server.url, calls=2, expect_status=[404])
    assert result["RetCodes"] == {"404": 2}
    assert result["LoadTest"]["failed"] == 0
    result = load(server.url, calls=2, expect_status=[404], expect_body="predictions")
    assert result["LoadTest"]["classes"] == {"validation": 2}
    # Its status was right, so counting it under that would call it a success.
    assert result["RetCodes"] == {"-1": 2}


def test_head(serve: Any, load: Any) -> None:
    server = serve(lambda visit: visit.send(OK + b"Content-Length: 5\r\n\r\n"))
    own = load(server.url, calls=3, method="HEAD")["LoadTest"]
    assert own["failed"] == 0
    assert server.heads[0].startswith(b"HEAD /path?q=1 HTTP/1.1\r\n")


def alternating(visit: Any) -> None:
    revision = b"rev-b" if visit.number % 2 else b"rev-a"
    visit.ok(b'{"model": [{"revision": "%s"}]}' % revision, b"X-Revision: %s\r\n" % revision)


@pytest.mark.parametrize(
    "named",
    [{"revision_header": "X-Revision"}, {"revision_field": "model.0.revision"}],
    ids=["header", "field"],
)
def test_revisions(serve: Any, load: Any, named: dict[str, str]) -> None:
    server = serve(alternating)
    own = load(server.url, calls=10, **named)["LoadTest"]
    assert own["revisions"] == {name: {"requests": 5, "failed": 0} for name in ("rev-a", "rev-b")}
    assert sum(sum(row["revisions"].values()) for row in own["timeline"]) == 10
    assert {name: one["Count"] for name, one in own["response_time_by_revision"].items()} == {
        "rev-a": 5,
        "rev-b": 5,
    }


@pytest.mark.parametrize("rate", [0, 50])
def test_response_times_are_told_by_revision(serve: Any, load: Any, rate: int) -> None:
    """In the loop for heads that are known by sight, and where each is parsed."""

    def slow_canary(visit: Any) -> None:
        if visit.number % 2:
            time.sleep(0.03)
        visit.ok(headers=b"X-Revision: %s\r\n" % (b"canary" if visit.number % 2 else b"default"))

    # On one connection, of which every other request is the canary's.
    own = load(serve(slow_canary).url, calls=20, rate=rate, max_connections=1, revision_header="x-revision")[
        "LoadTest"
    ]
    times = own["response_time_by_revision"]
    assert {name: one["Count"] for name, one in times.items()} == {"default": 10, "canary": 10}
    assert times["canary"]["Min"] >= 0.03
    assert times["default"]["Min"] < times["canary"]["Min"]
    assert own["response_time"]["Count"] == 20
    assert own["response_time"]["Max"] == max(one["Max"] for one in times.values())
    assert own["histograms"]["response"]["sum"] == sum(
        one["sum"] for one in own["response_histograms"].values()
    )


def test_revisions_are_bounded(serve: Any, load: Any) -> None:
    """A header that differs in each response names no revision, and must not fill the memory."""
    server = serve(lambda visit: visit.ok(headers=b"X-Revision: %s%d\r\n" % (b"r" * 300, visit.number)))
    own = load(server.url, calls=110, revision_header="X-Revision")["LoadTest"]
    assert own["revisions"] == {"r" * 200: {"requests": 110, "failed": 0}}
    server = serve(lambda visit: visit.ok(headers=b"X-Revision: %d\r\n" % visit.number))
    own = load(server.url, calls=110, revision_header="X-Revision")["LoadTest"]
    assert len(own["revisions"]) == 101
    assert own["revisions"]["(others)"] == {"requests": 10, "failed": 0}


def test_the_failing_revision_is_named(serve: Any, load: Any) -> None:
    def canary(visit: Any) -> None:
        if visit.number % 2:
            visit.send(
                b"HTTP/1.1 500 No\r\nX-Revision: canary\r\nX-Request-Id: gateway-1\r\n"
                b"Content-Length: 0\r\n\r\n"
            )
        else:
            visit.ok(headers=b"X-Revision: default\r\n")

    own = load(serve(canary).url, calls=6, revision_header="x-revision")["LoadTest"]
    assert own["revisions"] == {
        "default": {"requests": 3, "failed": 0},
        "canary": {"requests": 3, "failed": 3},
    }
    assert {(record["revision"], record["request_id"]) for record in own["ledger"]} == {
        ("canary", "gateway-1")
    }


@pytest.mark.parametrize("more", range(4))
def test_what_follows_a_longer_answer_than_those_known_is_seen(serve: Any, load: Any, more: int) -> None:
    """No more is received at once than the known answers are long, and the end of this one may lie there."""

    def longer(visit: Any) -> None:
        body = b"x" * (2 + (more if visit.number else 0))
        excess = b"HTTP/1.1" if visit.number else b""
        visit.send(OK + b"Content-Length: %d\r\n\r\n%s%s" % (len(body), body, excess))

    own = load(serve(longer).url, calls=2)["LoadTest"]
    assert (own["ok"], own["classes"]) == (1, {"malformed": 1})


def test_a_reset_right_behind_a_receive_that_was_filled_is_no_end(
    serve: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket tells of it once; then it tells of an end, which is that of a body without a length."""
    head = OK + b"\r\n"
    monkeypatch.setattr(modes, "RECEIVE", 1000)
    begin = connection.Connection.open

    def busy(conn: Any, address: Any) -> None:
        begin(conn, address)
        receive = conn.recv

        def late(most: int) -> bytes:
            time.sleep(0.05)  # in which the reset comes
            data: bytes = receive(most)
            return data

        conn.recv = late

    monkeypatch.setattr(connection.Connection, "open", busy)
    server = serve(say_and_reset(head + b"x" * (1000 - len(head))))
    own = load(server.url, calls=1)["LoadTest"]
    assert own["classes"] == {"reset": 1}
    assert own["ledger"][0]["errno"] == "ECONNRESET"


@pytest.mark.parametrize("more", [{"expect_body": "x"}, {"revision_field": "model"}])
def test_a_body_beyond_what_is_read_is_no_fault_of_the_servers(
    serve: Any, load: Any, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(parser, "MAX_COLLECTED_BODY", 1 << 20)
    server = serve(lambda visit: visit.ok(b"x" * (1 << 20) + (b"x" if visit.number == 1 else b"")))
    own = load(server.url, calls=3, **more)["LoadTest"]
    assert (own["ok"], own["classes"], own["client_faults"]) == (2, {"client": 1}, 1)
    assert own["ledger"][0]["detail"] == "the body is longer than the 1 MiB that are read of one"
    # Where nothing is to be read of it, it may have any length.
    assert load(server.url, calls=3)["LoadTest"]["ok"] == 3


def test_request_ids_are_sent_and_on_record(serve: Any, load: Any) -> None:
    server = serve(lambda visit: visit.close())
    own = load(server.url, calls=3)["LoadTest"]
    sent = [head.rpartition(b"X-Request-Id: ")[2].decode() for head in server.heads]
    assert [record["request_id"] for record in own["ledger"]] == sent
    assert len(set(sent)) == 3


def test_payloads_in_turn_with_uuids(serve: Any, load: Any) -> None:
    server = serve(lambda visit: visit.ok())
    load(server.url, calls=4, payloads=[b"a{uuid}-{uuid}", b"b"], headers=[("Host", "other.example.com")])
    assert sorted(body[:1] for body in server.bodies) == [b"a", b"a", b"b", b"b"]
    with_uuids = [body for body in server.bodies if body.startswith(b"a")]
    assert {len(body) for body in with_uuids} == {1 + 36 + 1 + 36}
    assert len({part for body in with_uuids for part in (body[1:37], body[38:])}) == 4
    assert all(b"\r\nHost: other.example.com\r\n" in head + b"\r\n" for head in server.heads)
    assert all(head.startswith(b"POST ") for head in server.heads)


@pytest.mark.parametrize("payloads", [2, 3])
def test_each_mode_sends_every_payload(serve: Any, load: Any, payloads: int) -> None:
    server = serve(lambda visit: visit.ok())
    bodies = [b"%d" % number for number in range(payloads)]
    load(server.url, calls=4 * payloads, connection_modes="both", payloads=bodies, rate=400, pacing="closed")
    closing = [b"\r\nConnection: close" in head for head in server.heads]
    for mode in (True, False):
        sent = [body for body, closes in zip(server.bodies, closing) if closes is mode]
        assert sorted(sent) == sorted(bodies * 2)


def test_modes_are_counted_apart(serve: Any, load: Any) -> None:
    """Only the reused mode sees connections that go stale."""

    def second_fails(visit: Any) -> None:
        if visit.number:
            visit.close()
        visit.ok()

    server = serve(second_fails)
    own = load(server.url, calls=12, connection_modes="both", connections=1, max_connections=1, rate=200)[
        "LoadTest"
    ]
    connection_modes = {
        name: (row["requests"], row["failed"]) for name, row in own["connection_modes"].items()
    }
    assert connection_modes == {"keep-alive": (6, 3), "new": (6, 0)}
    closing = [head for head in server.heads if b"\r\nConnection: close" in head]
    assert len(closing) == 6


def test_ledger_is_bounded(serve: Any, load: Any) -> None:
    own = load(serve(lambda visit: visit.close()).url, calls=10, ledger_limit=4)["LoadTest"]
    assert (len(own["ledger"]), own["ledger_dropped"], own["failed"]) == (4, 6, 10)


def test_abort_on_failures(serve: Any, load: Any, clock: PolledClock) -> None:
    server = serve(lambda visit: visit.close())
    result = load(server.url, rate=200, duration=20_000_000_000, abort_failures=5)
    assert result["LoadTest"]["state"] == "aborted"
    assert 5 <= result["LoadTest"]["failed"] <= 10


def test_warm_up_is_not_counted(serve: Any, load: Any) -> None:
    def first_fails(visit: Any) -> None:
        if visit.count == 1:
            visit.close()
        visit.ok()

    server = serve(first_fails)
    own = load(server.url, calls=5, warmup=3, connections=2)["LoadTest"]
    assert (own["requests"], own["failed"], own["warmup_failed"]) == (5, 0, 1)
    assert server.requests == 8


def test_unix_socket(serve: Any, load: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    server = serve(lambda visit: visit.ok(), listener=listener)
    result = load("http://some.example.com/x", calls=4, unix_socket=path)
    assert result["LoadTest"]["failed"] == 0
    assert result["UnixDomainSocket"] == path
    assert b"Host: some.example.com\r\n" in server.heads[0] + b"\r\n"


def test_ipv6(serve: Any, load: Any) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    server = serve(lambda visit: visit.close(), listener=listener)
    own = load(f"http://[::1]:{server.port}/", calls=1)["LoadTest"]
    assert own["ledger"][0]["peer"] == f"[::1]:{server.port}"
    assert b"Host: [::1]:%d\r\n" % server.port in server.heads[0] + b"\r\n"
