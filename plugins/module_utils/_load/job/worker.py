# SPDX-License-Identifier: GPL-3.0-or-later
"""The detached process of a job: runs the load, which is reported every second into the state folder."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from ..._common.files import write_atomically
from ..._common.processes import own_record
from ..engine.engine import Engine
from ..errors import LoadError
from ..http.request import new_run_id
from ..http.target import parse_url
from ..options import Options
from ..result import fortio
from ..result.result import build, public_options
from ..stats.ledger import FailedRequest
from ..stats.tally import Tally
from ..stats.timeline import Row
from .recorder import Recorder, log
from .state import Store


def main(folder: Path) -> int:
    """Read the options from standard input, say `ready` or what is wrong on standard output, then run."""
    if os.fork():
        os._exit(0)  # the caller need not wait for what outlives it
    os.setsid()
    store = Store(str(folder.parent), folder.name)
    try:
        given = json.load(sys.stdin)
        # Before anything that may take long, as a name server may, so that whoever waits can end this.
        write_atomically(store.record, json.dumps(own_record()))
        job = Job(store, given)
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
        options = Options.from_json(given["options"])
        self._about = public_options(options)
        target = parse_url(options)
        store.hold_room()
        self._engine = Engine(options, target, new_run_id(), self._report)
        self._recorder = Recorder(store, self._engine.tally)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _report(self, row: Row, failures: list[FailedRequest], tally: Tally) -> None:
        self._recorder.report(row, failures, tally)
        if self._recorder.folder.lost:
            self._engine.stop()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        self._engine.stop()

    def run(self) -> None:
        """Run the load and write its result."""
        # Nothing in the loop makes cycles, and a collection in the middle would make requests late.
        gc.disable()
        recorder = self._recorder
        try:
            tally = self._engine.run()
        finally:
            if not recorder.folder.look():
                self._store.give_room()
            recorder.close()
        state = "aborted" if tally.aborted else "stopped" if self._stopped else "finished"
        if recorder.folder.lost:
            state = "interrupted"
            log(f"the folder {self._store.folder} is gone, or another load's")
        rows = [lines.rows() for lines in (recorder.timeline, recorder.ledger)]
        result = build(self._about, state, recorder.snapshot(tally), *rows)
        text = json.dumps(result) + "\n"
        if self._dest:
            try:
                write_atomically(Path(self._dest), text, 0o644)
            except OSError as error:  # the result is still to be had from the state folder
                log(f"cannot write {self._dest}: {error}")
        if recorder.folder.look():
            return
        with recorder.despite_full_disk():
            write_atomically(self._store.report, fortio.text(result))
        write_atomically(self._store.result, text)
