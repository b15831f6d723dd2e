# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in flight: sends each on a connection and learns what became of it. Nothing is ever sent twice."""

from __future__ import annotations

import ssl
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Tuple, Union

from .answer import Judge
from .connection import (
    CONNECTING,
    HANDSHAKE,
    IDLE,
    READING,
    RECEIVE,
    WAITING,
    WRITING,
    Connection,
)
from .failure import (
    CLIENT,
    CONNECT,
    MALFORMED,
    RESET,
    STALE_KEEPALIVE,
    STATUS,
    TIMEOUT,
    TLS,
    TRUNCATED,
    VALIDATION,
    WRITE,
    errno_name,
    is_own_fault,
)
from .http1 import LENGTH, NO_BODY, Malformed, Parser, Truncated
from .ledger import Failure
from .options import Options
from .poller import IN, OUT, Poller
from .request import build
from .schedule import Flood, Schedule
from .tally import Lane, Tally
from .target import Address, Target, tls_context

_WANT = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
_WHOLE = (STATUS, VALIDATION)  # failures whose response was whole, so that the connection may be kept
_TIMED_OUT_IN = {CONNECTING: CONNECT, HANDSHAKE: TLS}


class Exchange:
    """All connections of a run. `flying` counts the requests in flight.

    `refill` is the schedule of a run at full speed, which the inner loop asks itself; None stops that.
    """

    def __init__(
        self,
        options: Options,
        target: Target,
        addresses: List[Address],
        run_id: str,
        poller: Poller,
        schedule: Schedule,
        tally: Tally,
        clock: Callable[[], int],
    ) -> None:
        self._options = options
        self._target = target
        self._addresses = deque(addresses)
        self._poller = poller
        self._schedule = schedule
        self._tally = tally
        self._clock = clock
        self._context = tls_context(options, target)
        self._judge = Judge(options)
        self._templates = {lane: build(options, target, run_id, close=lane == "new") for lane in tally.lanes}
        self._by_fd: Dict[int, Connection] = {}
        self._idle: Deque[Connection] = deque()
        self._seq = 0
        self._kept = 0  # open connections of the lane that keeps them
        self._paced = bool(options.rate)
        self.flying = 0
        self.refill: Optional[Flood] = None
        if isinstance(schedule, Flood) and options.lanes == "reused":
            self.refill = schedule

    # Sending

    def start(self, intended: int, token: int) -> None:
        """Send the next request, on an idle connection of its lane or a new one."""
        self._seq += 1
        self._tally.sent += 1
        self.flying += 1
        lane = self._lane()
        if lane.name == "reused" and self._idle and self._kept >= self._options.connections:
            conn = self._idle.popleft()
            if self._paced:
                self._tally.slept[(self._clock() - conn.freed) // 1000] += 1
        else:
            conn = self._new_connection(lane)
        conn.intended, conn.token = intended, token
        self._load(conn)
        if conn.state == IDLE and conn.sock is not None:
            self._write(conn, conn.template.buffer)
        else:
            self._connect(conn)

    def _lane(self) -> Lane:
        lanes, wanted = self._tally.lanes, self._options.lanes
        if wanted == "both":
            return lanes["reused" if self._seq % 2 else "new"]
        return lanes[wanted]

    def _new_connection(self, lane: Lane) -> Connection:
        self._tally.sockets += 1
        self._kept += lane.name == "reused"
        parser = Parser(self._options.verb == "HEAD", self._judge.reads_body)
        return Connection(self._tally.sockets, lane, parser, self._context is not None)

    def _load(self, conn: Connection) -> None:
        """Put the next request on the connection."""
        templates = self._templates[conn.lane.name]
        conn.seq = self._seq
        conn.template = templates[self._seq % len(templates)]
        conn.template.stamp(self._seq)
        conn.first_byte = None
        conn.sent = self._clock()

    def _connect(self, conn: Connection) -> None:
        try:
            conn.open(self._addresses[0])
        except OSError as error:
            self._connect_failed(conn, error)
            return
        self._by_fd[conn.fd] = conn
        self._poller.register(conn.fd, OUT)
        # The template serves other requests until this one can be written.
        conn.out = bytes(conn.template.buffer)

    def _connect_failed(self, conn: Connection, error: OSError) -> None:
        self._addresses.rotate(-1)  # the next connection tries the next address of the name
        kind = CLIENT if is_own_fault(error.errno) else CONNECT
        self._fail(conn, kind, error.strerror or str(error), error)

    def _write(self, conn: Connection, data: Union[bytes, bytearray]) -> None:
        """Write what can be written now; the rest when the socket takes it."""
        try:
            count = conn.send(data)
        except _WANT:
            count = 0
        except OSError as error:
            conn.out = bytes(data)  # so that this connection is not used again
            self._write_failed(conn, error)
            return
        if count == len(data):
            if conn.state == WRITING:
                self._poller.modify(conn.fd, IN)
                conn.out = b""
            conn.state = READING if conn.tls or conn.first_byte else WAITING
            return
        conn.out = bytes(data[count:])
        if conn.state != WRITING:
            conn.state = WRITING
            self._poller.modify(conn.fd, IN | OUT)

    def _write_failed(self, conn: Connection, error: OSError) -> None:
        """The peer takes no more. It may have answered before that, and then its answer is what counts."""
        try:
            data = conn.recv(RECEIVE)
        except OSError:
            data = b""
        if data:
            conn.state = READING
            self._received(conn, data, self._clock())
            if conn.state == READING:
                self._fail(conn, WRITE, "closed while the request was written, after a part of a response", error)
        elif conn.used:
            self._fail(conn, STALE_KEEPALIVE, "the reused connection was closed before the request was written", error)
        else:
            self._fail(conn, WRITE, "the request could not be written", error)

    # Receiving

    def serve(self, events: List[Tuple[int, int]]) -> None:
        """Act on what the poller reported. The common case stays in this loop: a plain connection, its request
        written, receives in one piece a response whose head is, byte for byte, the one that came before it.
        """
        by_fd, clock, tally = self._by_fd, self._clock, self._tally
        service, response, outages, paced = tally.service, tally.response, tally.outages, self._paced
        for fd, event in events:
            conn = by_fd.get(fd)
            if conn is None:
                continue
            if conn.state != WAITING or event != IN:
                self._event(conn, event)
                continue
            try:
                data = conn.recv(RECEIVE)
            except OSError as error:
                self._read_failed(conn, error)
                continue
            now = clock()
            shape = conn.lane.shape
            if len(data) != shape.total or not data.startswith(shape.head):
                known = tally.recall(conn.lane, data)
                if known is None:
                    self._received(conn, data, now)
                    continue
                shape = known
            shape.count += 1
            service[(now - conn.sent + 999) // 1000] += 1
            if paced:
                response[(now - conn.intended + 999) // 1000] += 1
            if outages.open is not None or now - outages.last_success > outages.gap:
                outages.success(conn.sent, now)
            else:
                outages.last_success = now
            self._release(conn, now)

    def _release(self, conn: Connection, now: int) -> None:
        """The request on a connection that can serve again has ended."""
        conn.used += 1
        refill = self.refill
        if refill is not None and refill.left and now < refill.end:
            refill.left -= 1
            self._seq += 1
            self._tally.sent += 1
            self._load(conn)
            conn.intended = conn.sent
            self._write(conn, conn.template.buffer)
            return
        if len(self._idle) >= self._options.connections:
            self._finish(conn, now, "surplus")
            return
        conn.state = IDLE
        conn.freed = now
        self._idle.append(conn)
        self.flying -= 1
        self._schedule.answered(conn.token, now)

    def _event(self, conn: Connection, event: int) -> None:
        """What is not the common case."""
        if conn.state == CONNECTING:
            self._on_connected(conn)
        elif conn.state == HANDSHAKE:
            self._on_handshake(conn)
        elif conn.state == IDLE:
            self._on_idle(conn)
        else:
            if event & ~OUT:
                self._on_readable(conn)
            if conn.state == WRITING and event & OUT:
                self._write(conn, conn.out)

    def _on_connected(self, conn: Connection) -> None:
        try:
            conn.connected()
        except OSError as error:
            self._connect_failed(conn, error)
            return
        self._tally.connects.add((self._clock() - conn.sent) // 1000)
        peers = self._tally.peers
        peers[conn.peer] = peers.get(conn.peer, 0) + 1
        if self._context is not None:
            conn.wrap(self._context, self._target.server_name)
            self._on_handshake(conn)
        else:
            self._begin_write(conn)

    def _on_handshake(self, conn: Connection) -> None:
        try:
            conn.handshake()
        except ssl.SSLWantReadError:
            self._poller.modify(conn.fd, IN)
        except ssl.SSLWantWriteError:
            self._poller.modify(conn.fd, OUT)
        except (OSError, ValueError) as error:  # ValueError: a server name that cannot be one
            detail = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
            self._fail(conn, TLS, f"the TLS handshake failed: {detail}", error)
        else:
            self._begin_write(conn)

    def _begin_write(self, conn: Connection) -> None:
        data, conn.out = conn.out, b""
        self._poller.modify(conn.fd, IN)
        conn.state = READING  # that is: neither connecting nor writing in part
        self._write(conn, data)

    def _on_idle(self, conn: Connection) -> None:
        """Nothing was asked, so the peer closes or says what nobody asked for."""
        try:
            reason = "unsolicited" if conn.recv(RECEIVE) else "idle_close"
        except _WANT:
            return
        except OSError:
            reason = "idle_close"
        self._idle.remove(conn)
        self._drop(conn, reason)

    def _on_readable(self, conn: Connection) -> None:
        """Read all there is: TLS may hold more than the poller knows of."""
        while True:
            try:
                data = conn.recv(RECEIVE)
            except _WANT:
                return
            except OSError as error:
                self._read_failed(conn, error)
                return
            self._received(conn, data, self._clock())
            if not conn.tls or conn.state not in (READING, WRITING) or not conn.pending():
                return

    def _read_failed(self, conn: Connection, error: OSError) -> None:
        if isinstance(error, _WANT):
            return
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            # Without TLS's own notice of the end a body that ends with the connection may have been cut.
            self._closed(conn, self._clock(), cut=isinstance(error, ssl.SSLEOFError))
        elif conn.used and conn.first_byte is None:
            self._fail(conn, STALE_KEEPALIVE, "the reused connection was reset before the first byte", error)
        else:
            self._fail(conn, CLIENT if is_own_fault(error.errno) else RESET, error.strerror or str(error), error)

    def _received(self, conn: Connection, data: bytes, now: int) -> None:
        """Bytes came (none: the peer closed)."""
        if not data:
            self._closed(conn, now, cut=False)
            return
        if conn.first_byte is None:
            conn.first_byte = now
            if conn.state == WAITING:
                conn.state = READING
        try:
            whole = conn.parser.feed(data)
        except Malformed as error:
            self._fail(conn, MALFORMED, str(error))
            return
        if whole:
            self._answered(conn, now)

    def _closed(self, conn: Connection, now: int, cut: bool) -> None:
        if conn.first_byte is None:
            if conn.used:
                self._fail(conn, STALE_KEEPALIVE, "the reused connection was closed before the first byte")
            else:
                self._fail(conn, RESET, "the connection was closed without a response")
            return
        try:
            if cut:
                raise Truncated("the TLS connection was cut without a notice of its end")
            conn.parser.eof()
        except Truncated as error:
            self._fail(conn, TRUNCATED, str(error))
        else:
            self._answered(conn, now)

    # Ending

    def _answered(self, conn: Connection, now: int) -> None:
        """The response is whole."""
        parser = conn.parser
        head = parser.head
        assert head is not None
        if parser.excess or conn.pending():
            self._fail(conn, MALFORMED, "bytes follow the end of the response")
            return
        wrong = self._judge.verdict(parser)
        if wrong is not None:
            self._fail(conn, wrong[0], wrong[1])
            return
        revision = self._judge.revision(head, parser.body)
        self._tally.success(conn.lane, head, parser.size, revision, conn.intended, conn.sent, now)
        if self._may_serve_again(conn):
            if head.framing in (LENGTH, NO_BODY) and not self._judge.reads_body:
                self._tally.remember(conn.lane, parser.raw_head, parser.size, head, revision)
            parser.reset()
            self._release(conn, now)
        else:
            self._finish(conn, now, "" if conn.lane.name == "new" else "server_close")

    def _may_serve_again(self, conn: Connection) -> bool:
        head = conn.parser.head
        return conn.lane.name == "reused" and head is not None and head.keep_alive and not conn.out

    def expire(self, now: int) -> int:
        """Fail the requests that have had their time; returns when the earliest of the others began."""
        timeout = self._options.timeout
        earliest = now
        for conn in list(self._by_fd.values()):
            if conn.state == IDLE:
                continue
            if now - conn.sent < timeout:
                earliest = min(earliest, conn.sent)
                continue
            kind = _TIMED_OUT_IN.get(conn.state, TIMEOUT)
            doing = {CONNECT: "not connected", TLS: "TLS not agreed on"}.get(kind, "not answered whole")
            self._fail(conn, kind, f"{doing} within the time-out", name="ETIMEDOUT")
        return earliest

    def _fail(
        self, conn: Connection, kind: str, detail: str, error: Optional[BaseException] = None, name: str = ""
    ) -> None:
        """Record the failure. The connection serves on only if its response was whole and it may be kept."""
        now = self._clock()
        head = conn.parser.head
        self._tally.failure(
            conn.lane,
            Failure(
                seq=conn.seq,
                kind=kind,
                detail=detail,
                intended=conn.intended,
                sent=conn.sent,
                first_byte=conn.first_byte,
                end=now,
                connection=conn.ident,
                reuse=conn.used,
                peer=conn.peer,
                status=head.status if head else None,
                errno=name or (errno_name(error) if error else None),
                request_id=(head.field(b"x-request-id") if head else None) or conn.template.request_id(conn.seq),
                revision=self._judge.revision(head, conn.parser.body),
                lane=conn.lane.name,
            ),
        )
        if kind in _WHOLE and self._may_serve_again(conn):
            conn.parser.reset()
            self._release(conn, now)
        else:
            self._finish(conn, now, kind)

    def _finish(self, conn: Connection, now: int, reason: str) -> None:
        """End the request and its connection."""
        self.flying -= 1
        self._schedule.answered(conn.token, now)
        self._drop(conn, reason)

    def _drop(self, conn: Connection, reason: str) -> None:
        self._kept -= conn.lane.name == "reused"
        if reason:
            self._tally.reconnect(reason)
        if self._by_fd.pop(conn.fd, None) is not None:
            self._poller.unregister(conn.fd)
        conn.close()

    def close(self) -> None:
        """Hang up on everybody."""
        for conn in list(self._by_fd.values()):
            self._drop(conn, "")
