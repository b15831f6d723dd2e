# SPDX-License-Identifier: GPL-3.0-or-later
"""The detached process of a job: runs the load and reports every second into the state folder."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from ..._common.files import write_atomically
from ..._common.processes import own_record
from ..engine.engine import Engine
from ..errors import LoadError
from ..http.target import parse_url
from ..options import Options
from ..result import fortio
from ..result.result import build
from ..stats.ledger import FailedRequest
from ..stats.snapshot import snapshot
from ..stats.tally import Tally
from ..stats.timeline import Row
from .state import Lines, Store, read_json, read_lines


def main(folder: Path) -> int:
    """Read the options from standard input, say `ready` or what is wrong on standard output, then run."""
    if os.fork():
        os._exit(0)  # the caller need not wait for what outlives it
    os.setsid()
    store = Store(str(folder.parent), folder.name)
    try:
        job = Job(store, json.load(sys.stdin))
        write_atomically(store.record, json.dumps(own_record()))
    except (LoadError, OSError, ValueError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"ready": True}), flush=True)
    _let_go()
    try:
        job.run()
    except Exception:
        traceback.print_exc()  # into the log: the checkpoint stays, and the result says `interrupted`
        return 1
    return 0


def _let_go() -> None:
    """Keep nothing of the caller's open."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


class Job:
    """The run and what it writes."""

    def __init__(self, store: Store, given: dict[str, Any]) -> None:
        self._store = store
        self._dest: str = given.get("dest") or ""
        self._stopped = False
        self._failed_writes = 0
        options = Options.from_json(given["options"])
        target = parse_url(options)
        store.hold_room()
        self._timeline = Lines(store.timeline)
        self._ledger = Lines(store.ledger)
        self._engine = Engine(options, target, secrets.token_hex(4), self._report)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._checkpoint(self._engine.tally)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        self._engine.stop()

    def _report(self, row: Row, failures: list[FailedRequest], tally: Tally) -> None:
        """Once a second. A full disk must not end the load: the next second tries again."""
        for lines, rows in (
            (self._timeline, [row]),
            (self._ledger, [failure.to_json(tally.epoch) for failure in failures]),
        ):
            with self._despite_full_disk():
                lines.add(rows)
        with self._despite_full_disk():
            self._checkpoint(tally)

    @contextlib.contextmanager
    def _despite_full_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed_writes += 1
            if self._failed_writes == 1:
                _log(f"cannot write the state: {error}")

    def _checkpoint(self, tally: Tally) -> None:
        write_atomically(
            self._store.checkpoint,
            json.dumps(
                {
                    "heartbeat": time.time(),
                    "timeline_bytes": self._timeline.size,
                    "ledger_bytes": self._ledger.size,
                    "snapshot": snapshot(tally),
                }
            ),
            durable=False,  # between two sends nobody waits for a disk
        )

    def run(self) -> None:
        """Run the load and write its result."""
        # Nothing in the loop makes cycles, and a collection in the middle would make requests late.
        gc.disable()
        tally = self._engine.run()
        self._store.give_room()
        for lines in (self._timeline, self._ledger):
            with self._despite_full_disk():
                lines.add(())
        if self._failed_writes:
            _log(f"{self._failed_writes} times the state could not be written")
        state = "aborted" if tally.aborted else "stopped" if self._stopped else "finished"
        job = read_json(self._store.description) or {}
        timeline = read_lines(self._store.timeline, self._timeline.size)
        ledger = read_lines(self._store.ledger, self._ledger.size)
        result = build(job["options"], state, snapshot(tally), timeline, ledger)
        text = json.dumps(result) + "\n"
        if self._dest:
            try:
                write_atomically(Path(self._dest), text, 0o644)
            except OSError as error:  # the result is still to be had from the state folder
                _log(f"cannot write {self._dest}: {error}")
        with self._despite_full_disk():
            write_atomically(self._store.report, fortio.text(result))
        write_atomically(self._store.result, text)


def _log(message: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{time.time():.3f} {message}", file=sys.stderr, flush=True)
