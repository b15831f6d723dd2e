# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls in flight over HTTP/2: each on a stream of its own, of a connection that is kept or made for it.

What a server may have acted on is never sent twice. A call that the server says it has not processed, by a
GOAWAY that names an earlier stream as its last or by RST_STREAM with REFUSED_STREAM, is sent again, as RFC
9113 (6.8, 8.7) allows and gRPC clients do; `resent` counts it, and one refusal more than `MOST_RESENT` is a
loss.
"""

from __future__ import annotations

import ssl
from collections import Counter
from typing import Callable

from ..errors import CLIENT, GOAWAY, RESET, RST_STREAM, TLS, errno_name
from ..grpc.answer import Answer, AnswerJudge, WrongAnswer
from ..grpc.call import Call
from ..grpc.method import Calls
from ..http.states import CONNECTING, HANDSHAKE, OPEN, ConnectionEvent
from ..http.target import Target
from ..http2 import session as http2
from ..http2.classify import is_end, why_cut, why_late
from ..http2.connection import StreamConnection
from ..http2.library import require
from ..options import Options
from ..stats.outage import FOLD_EVERY
from ..stats.tally import Tally
from .in_flight import InFlight
from .poller import OUT, Poller
from .pool import ConnectFailed, ConnectionPool
from .schedule import Flood, Schedule
from .stream_pool import StreamPool
from .wire import Wire

MOST_RESENT = 3  # connections that end one after the other are gone by then; a server that refuses is not


class StreamExchange(InFlight):
    """All calls of a run. See `Exchange`, whose part this takes for gRPC."""

    refill: Flood | None = None  # no inner loop here asks the schedule itself

    def __init__(
        self,
        options: Options,
        target: Target,
        run_id: str,
        *,
        poller: Poller,
        pool: ConnectionPool,
        clock: Callable[[], int],
    ) -> None:
        require()  # here, since the first import takes a tenth of a second
        self._made = Calls(options, target, run_id)
        super().__init__(options, self._made.mix, pool, clock)
        self._wire = Wire(poller, clock, heard=self._heard, cut=self._cut, lose=self._lose)
        self._streams = StreamPool(options, pool, clock)
        self._judge = AnswerJudge(options, self._made.method)
        self._calls: dict[int, tuple[Call, StreamConnection]] = {}  # in flight, by number

    def begin(self, schedule: Schedule, tally: Tally) -> None:
        """From now on calls belong to this schedule and are counted here. None may be in flight."""
        self.count_in(schedule, tally, self._made.id_prefix)

    # Sending

    def start(self, intended: int, token: int) -> None:
        """Send the next call, on a kept connection that has room or on a new one."""
        self._seq += 1
        self.flying += 1
        self._tally.payloads.carry(self._counted_as(self._seq))
        mode = self._tally.connection_modes[self._made.connection_mode(self._seq)]
        self._place(Call(self._seq, mode, intended=intended, sent=self._clock(), token=token))

    def _counted_as(self, sequence: int) -> str:
        """What the payload of this call is counted by."""
        return self._mix.counted_as[self._mix.index(sequence)]

    def _place(self, call: Call) -> None:
        conn = self._streams.pick(call.mode)
        if conn is None:
            conn = self._streams.make(call.mode)
            self._queue(conn, call)
            try:
                self._pool.connect(conn)
            except ConnectFailed as refused:
                self._lose(conn, refused.kind, str(refused), refused.error)
        elif conn.ready:
            self._calls[call.seq] = (call, conn)
            self._send(conn, call)
        else:
            self._queue(conn, call)

    def _queue(self, conn: StreamConnection, call: Call) -> None:
        self._calls[call.seq] = (call, conn)
        call.connection, call.peer, call.reuse = conn.ident, conn.peer, conn.used
        conn.queue.append(call)

    def _send(self, conn: StreamConnection, call: Call) -> None:
        call.connection, call.peer, call.reuse = conn.ident, conn.peer, conn.used
        left = self._options.timeout - (self._clock() - call.sent)
        sent = self._made.make(call.seq, left)
        try:
            stream = conn.session.request(sent.fields, sent.own, sent.body)
        except OverflowError:  # after a thousand million calls
            self._streams.end_use(conn, "streams_used_up")
            self._place(call)
            return
        conn.used += 1
        call.begin(self._judge, stream, sent.asked)
        conn.calls[stream] = call
        self._wire.flush(conn)

    # What the poller and the resolver report

    def serve(self, events: list[tuple[int, int]]) -> None:
        """Act on what the poller reported."""
        by_fd = self._pool.by_fd
        for fd, event in events:
            conn = by_fd.get(fd)
            if not isinstance(conn, StreamConnection):
                continue
            if conn.state in (CONNECTING, HANDSHAKE):
                self._advance(conn)
                continue
            if event & ~OUT:
                self._wire.read(conn)
            if event & OUT and conn.state is OPEN:
                self._wire.flush(conn)
        if len(self._tally.outages.answered) >= FOLD_EVERY:
            self.settle()

    def resolved(self) -> None:
        """The resolver has answered."""
        for conn in self._pool.resolved():
            assert isinstance(conn, StreamConnection)
            try:
                self._pool.go_on(conn)
            except ConnectFailed as refused:
                self._lose(conn, refused.kind, str(refused), refused.error)

    def _advance(self, conn: StreamConnection) -> None:
        try:
            if not self._pool.advance(conn):
                return
        except ConnectFailed as refused:
            self._lose(conn, refused.kind, str(refused), refused.error)
            return
        if isinstance(conn.sock, ssl.SSLSocket) and conn.sock.selected_alpn_protocol() != "h2":
            self._lose(conn, TLS, "the server did not agree on HTTP/2 (ALPN)")
            return
        for call in conn.queue:
            call.peer = conn.peer
        conn.step(ConnectionEvent.OPENED)
        conn.session.begin()
        self._wire.flush(conn)

    # What the server says

    def _heard(self, conn: StreamConnection, event: http2.SessionEvent, now: int) -> None:
        if event.what == http2.SETTLED:
            self._settled(conn)
        elif event.what == http2.GOAWAY:
            self._leave(conn, event)
        elif event.what == http2.BROKEN:
            self._broken(conn, event)
        else:
            call = conn.calls.get(event.stream)
            if call is not None:
                self._of_call(conn, call, event, now)

    def _settled(self, conn: StreamConnection) -> None:
        """Send what waited, as far as the server takes it; the rest goes elsewhere, but for where it takes
        none: another connection would take none either, and it may come to take some."""
        if not conn.session.limit:
            return
        waiting, conn.queue = conn.queue, []
        for call in waiting:
            if conn.state is OPEN and conn.has_room(self._options.streams):
                self._send(conn, call)
            else:
                self._place(call)

    def _leave(self, conn: StreamConnection, event: http2.SessionEvent) -> None:
        """GOAWAY: no further streams, and those after the last one named were not processed."""
        conn.goaway = http2.code_name(event.code)
        self._streams.end_use(conn, "goaway")
        for call in [call for stream, call in conn.calls.items() if stream > event.stream]:
            del conn.calls[call.stream]
            conn.session.cancel(call.stream)
            said = f"GOAWAY ({conn.goaway}) says that it was not processed"
            if call.answer is not None and call.answer.begun:
                self._fail(call, GOAWAY, f"{said}, and its answer had begun")
            else:
                self._not_processed(call, GOAWAY, said)
        waiting, conn.queue = conn.queue, []
        for call in waiting:  # of these not a byte was sent
            if conn.used:
                self._place(call)
            else:  # or a server that greets with its end would be connected to for ever
                self._not_processed(call, GOAWAY, f"the server began with GOAWAY ({conn.goaway})")
        self._streams.drop_if_over(conn)

    def _broken(self, conn: StreamConnection, event: http2.SessionEvent) -> None:
        """Nothing more can be read. What is one stream's fault is not that of the calls beside it."""
        guilty = conn.calls.get(event.stream)
        if event.stream and guilty is not None:
            del conn.calls[event.stream]
            self._fail(guilty, event.kind, event.detail)
            detail = "given up with its connection, for what came on another stream"
            self._lose(conn, CLIENT, detail, reason=event.kind)
        else:
            self._lose(conn, event.kind, event.detail)

    def _of_call(self, conn: StreamConnection, call: Call, event: http2.SessionEvent, now: int) -> None:
        answer = call.answer
        assert answer is not None
        conn.answered_at = now
        if event.what == http2.RESET:
            del conn.calls[call.stream]
            name = http2.code_name(event.code)
            if event.kind:
                self._fail(call, event.kind, "the server's flow control is not that of RFC 9113")
            elif event.code == http2.REFUSED_STREAM and not answer.begun:
                self._not_processed(call, RST_STREAM, f"the server refused the stream (RST_STREAM, {name})")
            else:
                self._fail(call, RST_STREAM, f"the server reset the stream (RST_STREAM, {name})")
            self._streams.drop_if_over(conn)
            return
        if call.first_byte is None:
            call.first_byte = now
        try:
            if event.what == http2.HEADERS:
                answer.headers(event.fields)
            elif event.what == http2.DATA:
                answer.data(event.data)
            else:
                answer.interim(event.fields)
            if not event.ended:
                return
            answer.end()
        except WrongAnswer as wrong:
            self._fail(call, wrong.kind, str(wrong))
        else:
            self._succeed(call, answer, now)
        del conn.calls[call.stream]
        if not event.ended or not conn.session.is_sent(call.stream):
            conn.session.cancel(call.stream)
        self._streams.drop_if_over(conn)

    # The end of a call

    def _succeed(self, call: Call, answer: Answer, now: int) -> None:
        self._tally.success(
            call.mode,
            answer.head,
            total=answer.size,
            revision=answer.revision,
            seq=call.seq,
            intended=call.intended,
            sent=call.sent,
            end=now,
        )
        self._done(call, now)

    def _fail(
        self, call: Call, kind: str, detail: str, error: OSError | None = None, errno: str | None = None
    ) -> None:
        """Record the failure of a call that is on no connection any more."""
        now, answer = self._clock(), call.answer
        failure = call.failed(
            kind,
            detail,
            now,
            self._made.request_id(call.seq),
            errno or (errno_name(error) if error else None),
        )._replace(sent_id=self._made.sent_id(call.seq), payload=self._mix.names[self._mix.index(call.seq)])
        self._tally.payloads.fail(self._counted_as(call.seq))
        size, head_size = (answer.size, answer.head_size) if answer else (0, 0)
        self._tally.failure(call.mode, failure, size, head_size)
        self._done(call, now)

    def _done(self, call: Call, now: int) -> None:
        self.flying -= 1
        del self._calls[call.seq]
        self._schedule.answered(call.token, now)

    def _not_processed(self, call: Call, kind: str, detail: str) -> None:
        """The server has told that it did nothing for this call, so it may be sent again."""
        if call.resent == MOST_RESENT:
            self._fail(call, kind, f"{detail}, as {MOST_RESENT} times before")
            return
        call.resent += 1
        call.answer = None
        call.stream = 0
        self._tally.sent_again(kind)
        self._place(call)

    # The end of a connection

    def _cut(self, conn: StreamConnection, error: OSError | None) -> None:
        """The connection has ended, by an error or in order: what is in flight on it is lost."""
        error = None if error is not None and is_end(error) else error
        lost = [*conn.calls.values(), *conn.queue]
        self._streams.end_use(conn, RESET if lost else "idle_close")
        for call in lost:
            self._fail(call, *why_cut(conn, call, error), error)
        self._streams.drop(conn)

    def _lose(
        self, conn: StreamConnection, kind: str, detail: str, error: OSError | None = None, reason: str = ""
    ) -> None:
        """Hang up: every call on the connection fails alike."""
        self._streams.end_use(conn, reason or kind)
        for call in [*conn.calls.values(), *conn.queue]:
            self._fail(call, kind, detail, error)
        self._streams.drop(conn)

    # What the loop asks for now and then

    def expire(self, now: int) -> int:
        """Fail the calls that have had their time; returns when the earliest of the others began."""
        timeout = self._options.timeout
        earliest = now
        for number in list(self._calls):
            if number not in self._calls:
                continue  # lost with its connection just now
            call, conn = self._calls[number]  # which it may have changed just now
            lost = self.stood_still(call.sent)
            if now - call.sent - lost >= timeout:
                self._time_out(conn, call)
            else:
                earliest = min(earliest, call.sent + lost)
        for conn in [conn for _call, conn in self._calls.values() if conn.state is CONNECTING]:
            self._hurry(conn, now)
        return earliest

    def _hurry(self, conn: StreamConnection, now: int) -> None:
        """An address that does not answer must not take the time that the next one needs."""
        if conn.state is not CONNECTING:
            return
        try:
            self._pool.hurry(conn, now)
        except ConnectFailed as refused:
            self._lose(conn, refused.kind, str(refused), refused.error)

    def _time_out(self, conn: StreamConnection, call: Call) -> None:
        kind, detail = why_late(conn, call)
        if call.stream and call.stream in conn.calls:
            del conn.calls[call.stream]
            conn.session.cancel(call.stream)
        else:
            conn.queue.remove(call)
        if conn.heard_at < call.sent:
            # It may be dead: whoever comes next is not to wait on it.
            self._streams.end_use(conn, "silent" if conn.ready else kind)
        self._fail(call, kind, f"{detail} within the time-out", errno="ETIMEDOUT")
        if conn.state is OPEN:
            self._wire.flush(conn)
        self._streams.drop_if_over(conn)

    def settle(self) -> None:
        """Bring the outages up to date with what is in flight now, and trim the kept connections."""
        flying: dict[str, list[int]] = {name: [] for name in self._tally.connection_modes}
        for call, _conn in self._calls.values():
            flying[call.mode.name].append(call.seq)
        self._tally.settle(flying)
        self._tally.payloads.flying = Counter(self._counted_as(seq) for seq in self._calls)
        self._streams.trim()
