# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a run reports, in a thread of its own: no disk, however slow, holds up the sending."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..._common.files import write_atomically
from ..stats.ledger import FailedRequest
from ..stats.snapshot import snapshot
from ..stats.tally import Tally
from ..stats.timeline import Row
from .state import HeldFolder, Lines, Store

MAX_WAITING = 3600  # seconds of the run that may wait for the disk; what is more is not kept, and counted
_SWITCH = (
    0.0005  # seconds after which Python lets another thread run: the engine's must not wait for this one
)


class Recorder:
    """The state on disk of a run that goes on: timeline, ledger and checkpoint.

    The engine calls `report` once a second and goes on at once. What cannot be written is tried again with
    the next second, and a disk that hangs costs nothing but memory, up to `MAX_WAITING` seconds of rows.

    Nothing is written into its `folder` once that is lost.
    """

    def __init__(self, store: Store, tally: Tally) -> None:
        """Write the first checkpoint, here and now. Raises OSError if that cannot be done."""
        self._store = store
        self.folder = HeldFolder(store.folder)
        self.timeline = Lines(store.timeline)
        self.ledger = Lines(store.ledger)
        self.failed_writes = 0
        self._waiting: list[tuple[Row, list[FailedRequest]]] = []
        self._latest: tuple[float, dict[str, Any]] | None = None
        self._dropped = {"timeline_dropped": 0, "ledger_dropped": 0}
        self._tally = tally
        self._closed = False
        self._changed = threading.Condition()
        self._checkpoint(time.time(), snapshot(tally))
        sys.setswitchinterval(_SWITCH)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def report(self, row: Row, failures: list[FailedRequest], tally: Tally) -> None:
        """Hand over what the last second added. Never waits for the disk."""
        with self._changed:
            self._tally = tally
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append((row, failures))
            else:
                self._dropped["timeline_dropped"] += 1
                self._dropped["ledger_dropped"] += len(failures)
            self._latest = (time.time(), self.snapshot(tally))
            self._changed.notify()

    def snapshot(self, tally: Tally) -> dict[str, Any]:
        """That of the tally, with what could not be kept."""
        counts = snapshot(tally)
        return {**counts, **{name: counts[name] + count for name, count in self._dropped.items()}}

    def close(self) -> None:
        """Return once all that was reported is on the disk, or has been tried."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self.folder.look()
        for lines in (self.timeline, self.ledger):
            with self.despite_full_disk():
                lines.add(())
        if self.failed_writes:
            log(f"{self.failed_writes} times the state could not be written")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                reports, self._waiting = self._waiting, []
                latest, tally = self._latest, self._tally
            self._write(reports, latest, tally)

    def _write(
        self,
        reports: list[tuple[Row, list[FailedRequest]]],
        latest: tuple[float, dict[str, Any]] | None,
        tally: Tally,
    ) -> None:
        """A full disk must not end the load: the next second tries again."""
        with self.despite_full_disk():
            self.timeline.add(row for row, _failures in reports)
        with self.despite_full_disk():
            self.ledger.add(lost.to_json(tally.epoch) for _row, failures in reports for lost in failures)
        if latest is not None and not self.folder.look():
            with self.despite_full_disk():
                self._checkpoint(*latest)

    def _checkpoint(self, moment: float, counts: dict[str, Any]) -> None:
        write_atomically(
            self._store.checkpoint,
            json.dumps(
                {
                    "heartbeat": moment,
                    "timeline_bytes": self.timeline.size,
                    "ledger_bytes": self.ledger.size,
                    "snapshot": counts,
                }
            ),
            durable=False,  # after a crash of the machine the run is over, and half a file is known as such
        )

    @contextlib.contextmanager
    def despite_full_disk(self) -> Iterator[None]:
        """Count and log what cannot be written, and go on."""
        try:
            yield
        except OSError as error:
            self.failed_writes += 1
            if self.failed_writes == 1:
                log(f"cannot write the state: {error}")


def log(message: str) -> None:
    """A line in the job's log."""
    with contextlib.suppress(OSError):
        print(f"{time.time():.3f} {message}", file=sys.stderr, flush=True)
