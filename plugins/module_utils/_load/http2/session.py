# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP/2 connection as its client sees it: bytes in, events out, and no I/O (RFC 9113, on h2).

Frames are handed to h2 one by one, so that what came before a wrong one counts, and that it is known which
stream a wrong one belongs to. GOAWAY alone h2 is not given: it would take the connection for closed, while
the streams up to the one that GOAWAY names are still to be answered (6.8).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import CLIENT, MALFORMED

if TYPE_CHECKING:
    from h2.connection import H2Connection

_WINDOW = 1 << 20  # bytes of a stream that the peer may send before it is told that they were taken
_WINDOW_OF_ALL = 1 << 24
_LARGEST_FRAME = 16384  # what a peer may send without being allowed more
_FRAME_HEAD = 9
_T_DATA, _T_HEADERS, _T_RST_STREAM, _T_SETTINGS, _T_GOAWAY, _T_WINDOW_UPDATE, _T_CONTINUATION = (
    0, 1, 3, 4, 7, 8, 9,
)  # fmt: skip
_OF_STREAMS = frozenset((_T_DATA, _T_HEADERS, _T_RST_STREAM, _T_WINDOW_UPDATE, _T_CONTINUATION))
_END_HEADERS = 4
CANCEL, REFUSED_STREAM = 8, 7
_CODES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip

# What there is to tell of.
SETTLED = "settled"  # the peer's settings came, the first or others
INTERIM = "interim"  # a response of 1xx
HEADERS = "headers"  # the header fields of a response, or its trailers
DATA = "data"
RESET = "reset"  # the peer gave the stream up
GOAWAY = "goaway"  # the peer takes no streams after `stream`
BROKEN = "broken"  # what came is not HTTP/2, or more than is read: nothing can be read any more


class SessionEvent(NamedTuple):
    """What the peer said. `ended`: the stream's last.

    Of BROKEN `kind` is the class of failure, and `stream` the one at fault, 0 if all of the connection is.
    """

    what: str
    stream: int = 0
    fields: list[tuple[bytes, bytes]] = []
    data: bytes = b""
    ended: bool = False
    code: int = 0
    kind: str = ""
    detail: str = ""


def code_name(code: int) -> str:
    """An error code as RFC 9113, 7, names it."""
    return _CODES[code] if code < len(_CODES) else f"code {code:#x}"


def _stream_of(frame: bytes) -> int:
    """The stream that a frame is on; the bit before its number means nothing (4.1)."""
    return int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF


class Http2Session:
    """Requests go out by `request`, events come by `receive`; `taken` has the bytes to be sent after either.

    `settled`: the peer's settings are known, and `limit` is how many streams it takes at once.
    """

    def __init__(self, max_head: int) -> None:
        from h2 import events
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.exceptions import DenialOfServiceError, FlowControlError, ProtocolError, StreamClosedError
        from h2.settings import SettingCodes, Settings
        from hpack import NeverIndexedHeaderTuple
        from hpack.exceptions import HPACKError
        from hyperframe.exceptions import HyperframeError

        # Fields are checked in `fields`; requests' are right, since the engine makes them.
        self._h2: H2Connection = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: max_head,
            },
        )
        self._h2.decoder.max_header_list_size = max_head
        self._events = {
            events.ResponseReceived: self._headers,
            events.TrailersReceived: self._headers,
            events.InformationalResponseReceived: lambda event: SessionEvent(
                INTERIM, event.stream_id, fields=event.headers
            ),
            events.DataReceived: self._data,
            events.StreamReset: self._reset,
            events.RemoteSettingsChanged: self._settings,
            events.WindowUpdated: self._window,
        }
        self._protocol_error = ProtocolError
        self._too_long = DenialOfServiceError
        self._of_the_connection = (DenialOfServiceError, FlowControlError, StreamClosedError)
        self._unreadable = (HPACKError, HyperframeError)
        self._push_setting = SettingCodes.ENABLE_PUSH
        self._literal = NeverIndexedHeaderTuple
        self._buffer = bytearray()
        self._bodies: dict[int, memoryview] = {}  # what flow control has not let through yet
        self._begun = False
        self._amid = 0  # the stream whose header fields are not whole yet
        self.settled = False
        self.limit = 0

    def begin(self) -> None:
        """Say who one is: the first bytes of the connection."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW_OF_ALL)

    def close(self) -> None:
        """Let go of h2, whose parts hold each other: without a garbage collection they would stay for
        ever.
        """
        vars(self._h2).clear()
        self._events.clear()

    def request(self, fields: list[tuple[bytes, bytes]], own: list[tuple[bytes, bytes]], body: bytes) -> int:
        """Begin a request and send what flow control lets through; returns the stream's number.

        `own` fields are sent as they are: in the compression's table they would only be in the way of those
        that come again, or are credentials. The body must not be empty. Raises OverflowError when the
        connection has used up its numbers.
        """
        if self._h2.highest_outbound_stream_id >= self._h2.HIGHEST_ALLOWED_STREAM_ID - 2:
            raise OverflowError
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, [*fields, *(self._literal(*field) for field in own)])
        self._bodies[stream] = memoryview(body)
        self._push(stream)
        return stream

    def is_sent(self, stream: int) -> bool:
        """Whether the request of a stream is sent whole."""
        return stream not in self._bodies

    def cancel(self, stream: int) -> None:
        """Tell the peer that nobody waits for this stream any more."""
        self._bodies.pop(stream, None)
        with contextlib.suppress(self._protocol_error):  # it is over already, or the connection is
            self._h2.reset_stream(stream, CANCEL)

    def taken(self) -> bytes:
        """The bytes to be sent now."""
        return self._h2.data_to_send()

    def receive(self, data: bytes) -> Iterator[SessionEvent]:
        """What these bytes tell. After BROKEN there is nothing more."""
        self._buffer += data
        buffer = self._buffer
        if not self._begun and self._is_other(buffer):
            yield self._broken(0, "the server does not begin with SETTINGS, so it does not speak HTTP/2")
            return
        while len(buffer) >= _FRAME_HEAD:
            length = int.from_bytes(buffer[:3], "big")
            if length > _LARGEST_FRAME:
                yield self._broken(0, f"a frame of {length} bytes, of which {_LARGEST_FRAME} are allowed")
                return
            if len(buffer) < _FRAME_HEAD + length:
                return
            frame = bytes(buffer[: _FRAME_HEAD + length])
            del buffer[: _FRAME_HEAD + length]
            self._begun = True
            wrong = self._out_of_place(frame)
            if wrong:
                yield self._broken(0, wrong)
                return
            if frame[3] == _T_GOAWAY:
                yield self._goaway(frame)
                continue
            if frame[3] > _T_CONTINUATION:
                continue  # an extension's, of which none was asked for (5.5)
            try:
                heard = self._h2.receive_data(frame)
            except self._protocol_error as error:
                yield self._wrong(frame, error)
                return
            for each in heard:
                turn = self._events.get(type(each))
                event = turn(each) if turn is not None else None
                if event is not None:
                    yield event

    def _out_of_place(self, frame: bytes) -> str:
        """Why a frame cannot come here, which is the fault of all of the connection; empty if it can."""
        kind, stream = frame[3], _stream_of(frame)
        if self._amid:
            if kind != _T_CONTINUATION or stream != self._amid:
                return "another frame came amid header fields (6.10)"
        elif kind == _T_CONTINUATION:
            return "a CONTINUATION came without what it continues (6.10)"
        if kind in (_T_HEADERS, _T_CONTINUATION):
            self._amid = 0 if frame[4] & _END_HEADERS else stream
        if kind not in _OF_STREAMS or (kind == _T_WINDOW_UPDATE and not stream):
            return ""
        is_ours = stream % 2 and stream <= self._h2.highest_outbound_stream_id
        return "" if is_ours else f"a frame came on stream {stream}, which was not begun (5.1)"

    def _is_other(self, buffer: bytearray) -> bool:
        """Whether the first frame cannot be SETTINGS, with which every server begins (3.4)."""
        return len(buffer) > 3 and buffer[3] != _T_SETTINGS

    def _goaway(self, frame: bytes) -> SessionEvent:
        if len(frame) < _FRAME_HEAD + 8 or _stream_of(frame):
            return self._broken(0, "a GOAWAY that is not valid")
        last, code = (int.from_bytes(frame[at : at + 4], "big") for at in (_FRAME_HEAD, _FRAME_HEAD + 4))
        return SessionEvent(GOAWAY, last & 0x7FFFFFFF, code=code)

    def _wrong(self, frame: bytes, error: Exception) -> SessionEvent:
        """What h2 refused: the fault of one stream, or of all of the connection."""
        if isinstance(error, self._too_long):
            return SessionEvent(
                BROKEN, kind=CLIENT, detail="header fields of more than the bytes that are read (max_head)"
            )
        own = frame[3] in (_T_DATA, _T_HEADERS, _T_CONTINUATION)
        if isinstance(error, self._of_the_connection) or isinstance(error.__cause__, self._unreadable):
            own = frame[3] == _T_WINDOW_UPDATE and len(frame) == _FRAME_HEAD + 4  # by nothing (6.9)
        return self._broken(
            _stream_of(frame) if own else 0, f"not HTTP/2 as RFC 9113 has it: {str(error)[:200]}"
        )

    def _broken(self, stream: int, detail: str) -> SessionEvent:
        return SessionEvent(BROKEN, stream, kind=MALFORMED, detail=detail)

    # What h2 tells

    def _headers(self, event: Any) -> SessionEvent:
        ended = event.stream_ended is not None
        return SessionEvent(HEADERS, event.stream_id, fields=event.headers, ended=ended)

    def _data(self, event: Any) -> SessionEvent:
        if event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        return SessionEvent(DATA, event.stream_id, data=event.data, ended=event.stream_ended is not None)

    def _reset(self, event: Any) -> SessionEvent:
        """By the peer; or by h2 itself, whose one reason is that the peer's windows overflow (6.9.1)."""
        kind = "" if event.remote_reset else MALFORMED
        return SessionEvent(RESET, event.stream_id, code=int(event.error_code), kind=kind)

    def _settings(self, event: Any) -> SessionEvent:
        push = event.changed_settings.get(self._push_setting)
        if push is not None and push.new_value:
            return self._broken(0, "the server sets SETTINGS_ENABLE_PUSH, which is the client's (6.5.2)")
        self.settled = True
        self.limit = self._h2.remote_settings.max_concurrent_streams
        for stream in list(self._bodies):  # the windows may be wider now
            self._push(stream)
        return SessionEvent(SETTLED)

    def _window(self, event: Any) -> None:
        for stream in [event.stream_id] if event.stream_id else list(self._bodies):
            if stream in self._bodies:
                self._push(stream)

    def _push(self, stream: int) -> None:
        """Send as much of a body as the windows allow."""
        left = self._bodies[stream]
        try:
            while left:
                room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
                if room <= 0:
                    self._bodies[stream] = left
                    return
                self._h2.send_data(stream, left[:room], end_stream=room >= len(left))
                left = left[room:]
        except self._protocol_error:
            pass  # the peer has ended the stream: what it said is known, and it wants no more
        del self._bodies[stream]
