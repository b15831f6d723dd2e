# SPDX-License-Identifier: GPL-3.0-or-later
"""One observation as it is written: rows, checkpoints, the end.

A full disk ends nothing: what cannot be written is kept, and written later with the time when it was seen.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import own_record
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import HeldFolder, Lines

from ..client.watch import Clock
from .coverage import UnobservedInterval
from .plan import Make, ObserverPlan, ObserverStore
from .recorder import ObservationRecorder, Row

CHECKPOINT_SECONDS = 0.5
FLUSH_AT_END_SECONDS = 5.0
"""How long the end is held up for a disk that is full."""


class Session:
    """One plan observed from its beginning to its end, and what is written of it into its store.

    It ends once its folder is lost.
    """

    def __init__(
        self, plan: ObserverPlan, store: ObserverStore, stopped: Callable[[], bool], ready: Callable[[], None]
    ) -> None:
        """It goes on until `stopped`; `ready` is called once all that is needed has been listed."""
        self._plan = plan
        self._store = store
        self._stopped = stopped
        self._tell_ready = ready
        self._failed_writes = 0
        self._written = 0.0
        self._unobserved: dict[str, Any] = {}
        self._folder = HeldFolder(store.folder)
        store.hold_room()
        self._observations = Lines(store.observations)
        self._transitions = Lines(store.timeline)
        self._timeline = Appended(Path(plan.timeline)) if plan.timeline else None
        write_atomically(store.record, json.dumps(own_record()))

    def run(self, make: Make) -> None:
        """Observe to the end. Raises ClusterError where what is needed cannot be listed."""
        clock = Clock()
        recorder = ObservationRecorder(
            self._plan.inferenceservice, self._plan.experiment, self._observe, self._transition
        )
        deadline = clock.now() + self._plan.duration
        make().run(recorder, deadline, lambda: self._folder.lost or self._stopped(), self._ready, self._tick)
        self._finish()

    def close(self) -> None:
        """Let go of its files."""
        self._folder.close()
        self._observations.close()
        self._transitions.close()
        if self._timeline is not None:
            self._timeline.close()

    def _ready(self) -> None:
        self._checkpoint()
        self._tell_ready()

    def _observe(self, row: Row) -> None:
        with self._despite_full_disk():
            self._observations.add([row])

    def _transition(self, row: Row) -> None:
        with self._despite_full_disk():
            self._transitions.add([row])
        if self._timeline is not None:
            with self._despite_full_disk():
                self._timeline.add(row)

    def _tick(self, unobserved: Mapping[str, UnobservedInterval]) -> None:
        self._unobserved = {feed: asdict(gap) for feed, gap in unobserved.items()}
        if time.monotonic() - self._written >= CHECKPOINT_SECONDS:
            self._checkpoint()

    def _checkpoint(self) -> None:
        self._written = time.monotonic()
        with self._despite_full_disk():
            self._flush()
        checkpoint = {
            "heartbeat": time.time(),
            "observations_bytes": self._observations.size,
            "timeline_bytes": self._transitions.size,
            "unobserved": self._unobserved,
        }
        if self._folder.look():
            return
        with self._despite_full_disk():
            write_atomically(self._store.checkpoint, json.dumps(checkpoint), durable=False)

    def _flush(self) -> None:
        """What a full disk kept back."""
        self._observations.add(())
        self._transitions.add(())
        if self._timeline is not None:
            self._timeline.flush()

    def _finish(self) -> None:
        if not self._folder.look():
            self._store.give_room()
        deadline = time.monotonic() + FLUSH_AT_END_SECONDS
        while True:
            try:
                self._flush()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    print(f"{time.time():.3f} not all could be written: {error}", flush=True)
                    break
                time.sleep(0.2)
        self._checkpoint()
        self._deliver()
        if self._folder.look():
            print(f"{time.time():.3f} the folder {self._store.folder} is gone, or another's", flush=True)
            return
        result = {"ended": time.time(), "failed_writes": self._failed_writes}
        write_atomically(self._store.result, json.dumps(result))

    def _deliver(self) -> None:
        """Before the end is told, so that whoever knows of it finds the file."""
        if self._plan.dest:
            with self._despite_full_disk():
                write_atomically(Path(self._plan.dest), self._observations.written(), 0o644)

    @contextlib.contextmanager
    def _despite_full_disk(self) -> Iterator[None]:
        """What cannot be written is kept, and written with the next."""
        try:
            yield
        except OSError as error:
            self._failed_writes += 1
            if self._failed_writes == 1:
                with contextlib.suppress(OSError):
                    print(f"{time.time():.3f} cannot write: {error}", flush=True)


class Appended:
    """The timeline of the run, to which others append as well: whole lines at its end, each in one write."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._pending: list[bytes] = []
        self._half: tuple[int, int] | None = None

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def add(self, row: Row) -> None:
        """Append a line. Raises OSError if it could not be written; it is kept then."""
        self._pending.append(json.dumps(row).encode() + b"\n")
        self.flush()

    def flush(self) -> None:
        """Write what was kept."""
        while self._pending:
            line = self._pending[0]
            begin = 0
            if self._half is not None:
                # Half of it went onto a disk that was full then. Where nobody has written since, the rest
                # follows; else the half stays a line of its own, and the whole is written anew.
                size, written = self._half
                begin = written if os.fstat(self._handle).st_size == size else 0
                line = line if begin else b"\n" + line
            written = begin + os.write(self._handle, line[begin:])
            if written < len(line):
                self._half = os.fstat(self._handle).st_size, written
                self._pending[0] = line
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._half = None
            self._pending.pop(0)
