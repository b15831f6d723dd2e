# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a connection, and every step from one to the next: all there is of this state machine.

    NEW ── LOOK_UP ──▸ RESOLVING ── CONNECT ──▸ CONNECTING ── SECURE ──▸ HANDSHAKE
     └────────────── CONNECT ──────────────────────▴ │                       │     (and CONNECT again, to the
                                                     │                       │      next address of the name)
                                        WROTE_ALL,   ▾                       ▾
    IDLE ───────────────────────────▸   WROTE_PART:  WRITING ──▸ WAITING ── HEARD ──▸ READING
     ▴                                                              │                    │
     └─────────────────────────────── ANSWERED ─────────────────────┴────────────────────┘

of HTTP/1, which carries one request at a time, and of HTTP/2, whose many have states of their own

    CONNECTING, HANDSHAKE ── OPENED ──▸ OPEN

and CLOSE from each of them to CLOSED. Whoever has done one of these things says so by `Connection.step`, and
nobody else sets a state. A step that the table does not have is a fault of the engine's own and raises.
"""

from __future__ import annotations

from enum import IntEnum


class ConnectionState(IntEnum):
    """What a connection is doing. Compared by identity, which in the inner loop is the quickest."""

    NEW = 0  # made, and connected to nobody yet
    RESOLVING = 1  # waits for the addresses of its name
    CONNECTING = 2  # TCP's handshake is under way
    HANDSHAKE = 3  # TLS's handshake is under way
    IDLE = 4  # connected and without a request
    WRITING = 5  # its request is written in part; an answer may have begun all the same
    WAITING = 6  # plain, its request written, no byte of the answer here: the inner loop reads it itself
    READING = 7  # a part of the answer is here, or may be: whether TLS holds some only TLS knows
    CLOSED = 8  # given up; it never comes back
    OPEN = 9  # HTTP/2: connected, and carries any number of streams


NEW, RESOLVING, CONNECTING, HANDSHAKE, IDLE, WRITING, WAITING, READING, CLOSED, OPEN = ConnectionState


class ConnectionEvent(IntEnum):
    """What was done with a connection, or what it did."""

    LOOK_UP = 0  # its name has to be resolved first
    CONNECT = 1  # the socket began to connect
    SECURE = 2  # TLS's handshake began
    WROTE_PART = 3  # the socket took a part of the request, or nothing yet
    WROTE_ALL = 4  # the socket took the last of the request
    WRITE_REFUSED = 5  # the peer takes no more of it; what it said before that still counts
    HEARD = 6  # bytes of the answer came, or may have
    ANSWERED = 7  # the answer was whole, and the connection can serve again
    CLOSE = 8  # the engine gives it up
    OPENED = 9  # HTTP/2 began on it


LOOK_UP, CONNECT, SECURE, WROTE_PART, WROTE_ALL, WRITE_REFUSED, HEARD, ANSWERED, CLOSE, OPENED = (
    ConnectionEvent
)

_WRITES = {WROTE_PART: WRITING, WROTE_ALL: WAITING, WRITE_REFUSED: READING, CLOSE: CLOSED}

TRANSITIONS: dict[ConnectionState, dict[ConnectionEvent, ConnectionState]] = {
    NEW: {LOOK_UP: RESOLVING, CONNECT: CONNECTING, CLOSE: CLOSED},
    # Looked up once more: the addresses that came are too old by now.
    RESOLVING: {LOOK_UP: RESOLVING, CONNECT: CONNECTING, CLOSE: CLOSED},
    CONNECTING: {CONNECT: CONNECTING, SECURE: HANDSHAKE, OPENED: OPEN, **_WRITES},
    HANDSHAKE: {OPENED: OPEN, **_WRITES},
    IDLE: _WRITES,
    WRITING: {HEARD: WRITING, **_WRITES},
    WAITING: {HEARD: READING, ANSWERED: IDLE, CLOSE: CLOSED},
    READING: {HEARD: READING, ANSWERED: IDLE, CLOSE: CLOSED},
    OPEN: {CLOSE: CLOSED},
    CLOSED: {},
}


class IllegalStep(RuntimeError):
    """The engine did with a connection what cannot be done in its state."""


def after(state: ConnectionState, event: ConnectionEvent) -> ConnectionState:
    """The state that follows. Raises IllegalStep where there is none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalStep(f"{event.name} on a connection that is {state.name}") from None
