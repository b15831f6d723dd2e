# SPDX-License-Identifier: GPL-3.0-or-later
"""A response as h11 reads it, which the load generator's parser is held against."""

from __future__ import annotations

import h11


def oracle(data: bytes) -> tuple[int, bytes] | None:
    """What h11 makes of the bytes and an end of the connection; None if it refuses them."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status: int | None = None
    body = b""
    fed_end = False
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if fed_end:
                    return None
                connection.receive_data(b"")
                fed_end = True
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                trailing = connection.trailing_data[0]
                return None if status is None or trailing else (status, body)
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None
    except h11.RemoteProtocolError:
        return None
