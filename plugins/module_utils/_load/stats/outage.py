# SPDX-License-Identifier: GPL-3.0-or-later
"""The longest gap between successes, and the windows in which requests failed."""

from __future__ import annotations

from typing import Any, Callable, Optional

MAX_WINDOWS = 1000

Epoch = Callable[[Optional[int]], Optional[float]]


class Window:
    """Failures with no success in between that was sent after the first of them."""

    __slots__ = ("failed", "first_failed_send", "last_success", "recovered")

    def __init__(self, last_success: int | None, first_failed_send: int) -> None:
        self.last_success = last_success
        self.first_failed_send = first_failed_send
        self.recovered: int | None = None
        self.failed = 0


class Outages:
    """Fed with the end of each request, in the order of ends; all times are the clock's nanoseconds.

    A gap runs from the end of one success to the end of the next; the start of the load counts as one, and so
    does the end of a failure. The engine's inner loop keeps `last_success` itself.
    """

    __slots__ = ("dropped", "gap", "gap_end", "last_success", "open", "started", "windows")

    def __init__(self, started: int) -> None:
        self.started = started
        self.last_success = started
        self.gap = 0
        self.gap_end = started
        self.open: Window | None = None
        self.windows: list[Window] = []
        self.dropped = 0

    def success(self, sent: int, end: int) -> None:
        """A request that was sent and ended at these times succeeded."""
        if end - self.last_success > self.gap:
            self.gap = end - self.last_success
            self.gap_end = end
        window = self.open
        if window is not None and sent >= window.first_failed_send:
            window.recovered = end
            self.open = None
        self.last_success = end

    def failure(self, sent: int, end: int) -> None:
        """A request that was sent and ended at these times failed."""
        window = self.open
        if window is None:
            before = self.last_success if self.last_success != self.started else None
            window = self.open = Window(before, sent)
            if len(self.windows) < MAX_WINDOWS:
                self.windows.append(window)
            else:
                self.dropped += 1
        window.failed += 1
        window.first_failed_send = min(window.first_failed_send, sent)
        if end - self.last_success > self.gap:
            self.gap = end - self.last_success
            self.gap_end = end

    def gap_json(self, epoch: Epoch) -> dict[str, Any]:
        """The longest gap between successes."""
        return {
            "seconds": self.gap / 1e9, "start": epoch(self.gap_end - self.gap), "end": epoch(self.gap_end),
        }  # fmt: skip

    def windows_json(self, epoch: Epoch, mode: str) -> list[dict[str, Any]]:
        """The windows, oldest first; `recovered` is None while open, `last_success` if there was none."""
        return [
            {
                "connection_mode": mode,
                "last_success": epoch(window.last_success),
                "first_failed_send": epoch(window.first_failed_send),
                "recovered": epoch(window.recovered),
                "failed": window.failed,
            }
            for window in self.windows
        ]
