# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in flight: sends each on a connection and learns what became of it. Nothing is ever sent twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Callable

from ..errors import MALFORMED, TIMEOUT, errno_name
from ..http.answer import MAX_NAME, Judge
from ..http.classify import TIMED_OUT, WHOLE
from ..http.connection import Connection
from ..http.parser import LENGTH, NO_BODY, Head
from ..http.reader import ResponseReader
from ..http.request import Turns
from ..http.states import CONNECTING, HANDSHAKE, IDLE, WAITING, WRITING, ConnectionEvent
from ..http.target import Target
from ..options import Options
from ..sse.answer import StreamedAnswer
from ..stats.ledger import FailedRequest
from ..stats.outage import FOLD_EVERY
from ..stats.tally import Tally
from .in_flight import InFlight
from .poller import IN, OUT, Poller
from .pool import ConnectFailed, ConnectionPool
from .schedule import Flood, Schedule
from .tokens import Tokens
from .writer import RequestWriter

# At full speed a look before each request, for bytes that are there already, would cost a fifth of it. A
# server whose answers are all one ahead shows all the same.
SPOT_CHECK = 64


class Exchange(InFlight):
    """All requests of a run, from the sending to what became of each.

    Connections are made by the pool, requests written by the writer, answers read by the reader; here is what
    begins and ends a request, and the inner loop, which does all of that itself in the common case. `refill`
    is the schedule of a run at full speed, which the inner loop asks itself; None stops that.
    """

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
        self._turns = Turns(options, target, run_id)
        super().__init__(options, self._turns.mix, pool, clock)
        self._judge = Judge(options)
        self._several = self._mix.count > 1  # payloads
        self._reader = ResponseReader(clock, self._answered, self._fail)
        self._tokens = Tokens(pool, poller, self._reader, clock)
        self._writer = RequestWriter(poller, self._reader)
        self.refill: Flood | None = None

    def begin(self, schedule: Schedule, tally: Tally) -> None:
        """From now on requests belong to this schedule and are counted here. None may be in flight."""
        self.count_in(schedule, tally, self._turns.id_prefix)
        plain = self._options.connection_modes == "keep-alive" and not self._options.stream
        self.refill = schedule if plain and isinstance(schedule, Flood) else None

    # Sending

    def start(self, intended: int, token: int) -> None:
        """Send the next request, on an idle connection of its mode or a new one."""
        self._seq += 1
        self.flying += 1
        mode = self._tally.connection_modes[self._turns.connection_mode(self._seq)]
        conn = self._pool.acquire(mode, self._judge.reads_body)
        conn.intended, conn.token = intended, token
        self._load(conn)
        if conn.sock is not None:
            self._writer.write(conn, conn.template.buffer)
            return
        # The template serves other requests until this one can be written.
        conn.out = bytes(conn.template.buffer)
        try:
            self._pool.connect(conn)
        except ConnectFailed as refused:
            self._fail(conn, refused.kind, str(refused), refused.error)

    def _load(self, conn: Connection) -> None:
        """Put the next request on the connection."""
        conn.seq = seq = self._seq
        conn.template = template = self._turns.template(seq)
        if self._several:
            self._tally.payloads.sent[self._mix.counted_as[template.payload]] += 1
        template.stamp(seq)
        conn.first_byte = None
        conn.sent = self._clock()
        if self._options.stream:
            tally = self._tally
            outages = {id(one): one for one in (conn.mode.outages, tally.outages)}.values()
            conn.streamed = StreamedAnswer(self._judge, tally.streamed, [*outages], conn.intended)

    # What the poller and the resolver report

    def serve(self, events: list[tuple[int, int]]) -> None:
        """Act on what the poller reported."""
        if self._options.stream:
            for conn, event in self._tokens.serve(events):
                self._event(conn, event)
        else:
            self._serve_answers(events)

    def _serve_answers(self, events: list[tuple[int, int]]) -> None:
        """The common case stays in this loop: a plain connection, its request written, receives in one piece
        a response whose head is, byte for byte, one that the parser has passed before. All are received
        before the next requests are sent: a server that finds several at once need not be woken for each.
        """
        by_fd, clock, tally, reader = self._pool.by_fd, self._clock, self._tally, self._reader
        service, overall, paced = tally.service.fresh, tally.outages, tally.paced
        answered: list[Connection] = []
        for fd, event in events:
            conn = by_fd.get(fd)
            if conn is None:
                continue
            if conn.state is not WAITING or event != IN:
                self._event(conn, event)
                continue
            mode = conn.mode
            try:
                data = conn.recv(mode.reach)
            except OSError as error:
                reader.failed(conn, error)
                continue
            now = clock()
            answer = mode.latest
            if len(data) != answer.total or not data.startswith(answer.head):
                known = mode.recall(data)
                if known is None:
                    reader.begun(conn, data, now)
                    continue
                answer = known
            answer.count += 1
            conn.idle_limit = answer.idle_limit
            if paced:
                service[(now - conn.sent + 999) // 1000] += 1
                answer.times[(now - conn.intended + 999) // 1000] += 1
            else:
                answer.times[(now - conn.sent + 999) // 1000] += 1
            own = mode.outages
            if now - own.last_success > own.floor:
                own.widen(now)
            own.last_success = now
            own.answered.append((conn.seq, conn.sent))
            if overall is not own:
                overall.success(conn.seq, conn.sent, now)
            answered.append(conn)
        if answered:
            self._go_on(answered, now)
            if len(overall.answered) >= FOLD_EVERY:
                self.settle()

    def _go_on(self, ended: list[Connection], now: int) -> None:
        """The requests on these connections have ended, and the connections can serve again."""
        refill, several, clock, writer = self.refill, self._several, self._clock, self._writer
        for conn in ended:
            conn.used += 1
            if refill is None or not refill.left or now >= refill.end:
                self._pool.keep(conn, now)
                self.flying -= 1
                self._schedule.answered(conn.token, now)
                continue
            if not conn.used % SPOT_CHECK and conn.heard():
                self._finish(conn, now, "unsolicited")
                continue
            refill.left -= 1
            self._seq = conn.seq = seq = self._seq + 1
            if several:
                conn.template = self._turns.template(seq)
                self._tally.payloads.sent[self._mix.counted_as[conn.template.payload]] += 1
            template = conn.template
            template.stamp(seq)
            conn.first_byte = None
            conn.intended = conn.sent = now = clock()
            try:
                count = conn.send(template.buffer)
            except OSError as error:
                conn.step(ConnectionEvent.ANSWERED)
                writer.not_taken(conn, template.buffer, error)
                continue
            if count == template.size and conn.state is WAITING:
                continue  # the common case: from WAITING through IDLE to WAITING, and so no step
            conn.step(ConnectionEvent.ANSWERED)
            writer.taken(conn, template.buffer, count)

    def _event(self, conn: Connection, event: int) -> None:
        """What is not the common case."""
        if conn.state in (CONNECTING, HANDSHAKE):
            self._advance(conn)
        elif conn.state is IDLE:
            self._pool.idle_event(conn)
        else:
            if event & ~OUT:
                self._reader.readable(conn)
            if conn.state is WRITING and event & OUT:
                self._writer.write(conn, conn.out)

    def _advance(self, conn: Connection) -> None:
        try:
            if not self._pool.advance(conn):
                return
        except ConnectFailed as refused:
            self._fail(conn, refused.kind, str(refused), refused.error)
            return
        # TLS is not read before the request: an alert in it is the reason of what follows.
        if conn.pending() or (not conn.tls and conn.heard() == "unsolicited"):
            self._fail(conn, MALFORMED, "bytes were there before the request was sent")
            return
        self._writer.write(conn, conn.out)

    def resolved(self) -> None:
        """The resolver has answered."""
        for conn in self._pool.resolved():
            try:
                self._pool.go_on(conn)
            except ConnectFailed as refused:
                self._fail(conn, refused.kind, str(refused), refused.error)

    # Ending

    def _answered(self, conn: Connection, now: int) -> None:
        """The response is whole."""
        parser = conn.parser
        head = parser.head
        assert head is not None
        if parser.excess or conn.pending():
            self._fail(conn, MALFORMED, "bytes follow the end of the response")
            return
        streamed = conn.streamed
        wrong = self._judge.verdict(parser) or (streamed.end() if streamed is not None else None)
        if wrong is not None:
            self._fail(conn, wrong[0], wrong[1])
            return
        conn.idle_limit = head.idle_limit
        if streamed is None:
            revision = self._judge.revision(head, parser.body)
        else:
            revision = streamed.revision
            self._tally.streamed.tokens.add(streamed.tokens)
        self._tally.success(
            conn.mode,
            head,
            total=parser.size,
            revision=revision,
            seq=conn.seq,
            intended=conn.intended,
            sent=conn.sent,
            end=now,
        )
        if self._may_serve_again(conn):
            if head.framing in (LENGTH, NO_BODY) and not self._judge.reads_body:
                self._tally.learn(conn.mode, parser.raw_head, parser.size, head, revision)
            parser.reset()
            self._go_on([conn], now)
        else:
            self._finish(conn, now, "" if conn.mode.name == "new" else "server_close")

    def _may_serve_again(self, conn: Connection) -> bool:
        head = conn.parser.head
        return conn.mode.name == "keep-alive" and head is not None and head.keep_alive and not conn.out

    def expire(self, now: int) -> int:
        """Fail the requests that have had their time; returns when the earliest of the others began.

        A stream begins anew with each event, as far as the whole of it may take.
        """
        timeout = self._options.timeout
        earliest = now
        for conn in self._in_flight():
            streamed = conn.streamed
            since = conn.sent if streamed is None or streamed.heard is None else streamed.heard
            lost = self.stood_still(since)
            if now - since - lost >= timeout:
                kind, detail = TIMED_OUT[conn.state]
                if since != conn.sent:
                    detail = "no further event"
                self._fail(conn, kind, f"{detail} within the time-out", errno="ETIMEDOUT")
            elif streamed is not None and self._is_too_long(conn, now):
                self._fail(conn, TIMEOUT, "no end of the stream within stream_timeout", errno="ETIMEDOUT")
            else:
                earliest = min(earliest, since + lost)
                self._hurry(conn, now)
        return earliest

    def _is_too_long(self, conn: Connection, now: int) -> bool:
        """Whether a stream has had the time for the whole of it, but for that in which the engine stood."""
        return now - conn.sent - self.stood_still(conn.sent) >= self._options.stream_timeout

    def _hurry(self, conn: Connection, now: int) -> None:
        """An address that does not answer must not take the time that the next one needs."""
        if conn.state is not CONNECTING:
            return
        try:
            self._pool.hurry(conn, now)
        except ConnectFailed as refused:
            self._fail(conn, refused.kind, str(refused), refused.error)

    def settle(self) -> None:
        """Bring the outages up to date with what is in flight now."""
        flying: dict[str, list[int]] = {name: [] for name in self._tally.connection_modes}
        payloads: Counter[str] = Counter()
        for conn in self._in_flight():
            flying[conn.mode.name].append(conn.seq)
            payloads[self._mix.counted_as[conn.template.payload]] += 1
        self._tally.settle(flying)
        self._tally.payloads.flying = payloads

    def _in_flight(self) -> Iterator[Connection]:
        for conn in [*self._pool.by_fd.values(), *self._pool.waiting]:
            if conn.state is not IDLE:
                yield conn

    def _fail(
        self,
        conn: Connection,
        kind: str,
        detail: str,
        error: OSError | None = None,
        errno: str | None = None,
    ) -> None:
        """Record the failure. The connection serves on only if its response was whole and it may be kept."""
        now = self._clock()
        head, streamed = conn.parser.head, conn.streamed
        why = kind, detail
        if streamed is not None:
            self._tally.streamed.tokens.add(streamed.tokens)
            why = (kind, detail) if kind in WHOLE else streamed.why(kind, detail)
        failure = FailedRequest(
            seq=conn.seq,
            kind=why[0],
            detail=why[1],
            intended=conn.intended,
            sent=conn.sent,
            first_byte=conn.first_byte,
            end=now,
            connection=conn.ident,
            reuse=conn.used,
            peer=conn.peer,
            status=head.status if head else None,
            errno=errno or (errno_name(error) if error else None),
            request_id=self._request_id(conn, head),
            revision=(streamed and streamed.revision) or self._judge.revision(head, conn.parser.body),
            connection_mode=conn.mode.name,
            sent_id=conn.template.own_id(conn.seq),
            payload=self._mix.names[conn.template.payload],
            first_token=streamed.first_token if streamed is not None else None,
            tokens=streamed.tokens if streamed is not None else None,
        )
        self._tally.payloads.fail(self._mix.counted_as[conn.template.payload])
        self._tally.failure(conn.mode, failure, conn.parser.size, head.size if head else 0)
        if kind in WHOLE and self._may_serve_again(conn):
            conn.parser.reset()
            self._go_on([conn], now)
        else:
            self._finish(conn, now, kind)

    def _request_id(self, conn: Connection, head: Head | None) -> str | None:
        """The id of the answer, if it names one: what stands before the server may have given its own."""
        answered = head.field(b"x-request-id") if head else None
        return answered[:MAX_NAME] if answered else conn.template.request_id(conn.seq)

    def _finish(self, conn: Connection, now: int, reason: str) -> None:
        """End the request and its connection."""
        self.flying -= 1
        self._pool.drop(conn, reason)
        self._schedule.answered(conn.token, now)
