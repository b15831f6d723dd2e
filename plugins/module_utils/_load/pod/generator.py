# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a pod that sends one part of a load.

It is told what to do by a file that shows an annotation of its pod: to say what time it is here (`ask`), when
to begin (`start`), when to stop, to say its result again (its log may have been cut), and that all was heard.
The time it tells whoever connects to it as well, and nothing else: that is quicker than to wait for a file.
What it sends stands in a Secret, and what it has to say goes to its standard output (`lines`). The load
itself is a detached process, as on any host, so that what it counted is kept when it dies; and what was
counted so far is said every few seconds, which is all that remains of a pod that is killed.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import platform
import select
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Callable

from ..duration import SECOND
from ..errors import LoadError
from ..job import job
from ..job.state import Store, read_json
from ..options import Options
from ..result.result import public_options
from .lines import chunks, line

NAME = "load"
OPTIONS_FILE, CONTROL_FILE = "options/options", "control/control"
POLL_SECONDS = 0.02  # how late a file that has changed is seen, while nothing is sent
SENDING_POLL_SECONDS = 0.2
CHECKPOINT_SECONDS = 20.0  # between two reports of what was counted so far
PROGRESS_SECONDS = 2.0
ASKING_SECONDS = 0.2  # how long somebody who connects may take to ask
LINGER_SECONDS = 900.0  # how long it waits to be told that its result was heard

# Exit statuses; the lines before say more.
DONE, FAILED, ENDED_BY_OTHERS = 0, 1, 143


def main(folder: Path, index: int, address: str) -> int:
    """Send part `index` of the load that is described below `folder`; returns the exit status.

    The time is told at `address`.
    """
    return PodGenerator(folder, index, _say, address).run()


def _say(text: str) -> None:
    print(text, flush=True)


class PodGenerator:
    """One part of a load, from its first line to its last. `say` takes lines for the log."""

    def __init__(self, folder: Path, index: int, say: Callable[[str], None], address: str) -> None:
        self._control = folder / CONTROL_FILE
        self._options_file = folder / OPTIONS_FILE
        self._state_dir = str(folder / "state/loads")
        self._index = index
        self._say = say
        self._asked = 0
        self._said_results = 0
        self._started = False
        self._terminated = False
        self._reporter = Reporter(self._state_dir, say)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._clock = socket.create_server((address, 0), family=family)

    def run(self) -> int:
        """Until it is told that all was heard, its time is over, or something ends it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminate)
        try:
            options, patience = self._prepare()
            about = {"python": platform.python_version(), "port": self._clock.getsockname()[1]}
            self._say(line("ready", time=time.time(), index=self._index, **about))
            return self._serve(options, patience)
        except (LoadError, OSError, ValueError) as error:
            self._say(line("failed", time=time.time(), problem=str(error)))
            return FAILED

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    def _prepare(self) -> tuple[Options, float]:
        described = json.loads(gzip.decompress(self._options_file.read_bytes()))
        options = Options.from_json(described["options"]).part_of(self._index, described["parts"])
        deadline = time.monotonic() + described["connect"]
        os.makedirs(self._state_dir, mode=0o700, exist_ok=True)
        while True:
            try:
                job.prepare(options, "", self._state_dir, connect=described["connect"] > 0)
                return options, float(described["patience"])
            except LoadError:
                if time.monotonic() >= deadline or self._terminated:
                    raise
                time.sleep(1.0)

    def _serve(self, options: Options, patience: float) -> int:
        due = time.monotonic() + patience
        while True:
            told = read_json(self._control) or {}
            self._answer(told)
            if told.get("start") and not self._started:
                self._start(options, told["start"])
            if self._started:
                self._look(told)
                due = max(due, time.monotonic() + LINGER_SECONDS) if not self._said_results else due
            if told.get("done"):
                return DONE
            if self._terminated:
                self._end()
                return ENDED_BY_OTHERS
            if time.monotonic() >= due:
                self._say(line("failed", time=time.time(), problem="nobody told it what to do any more"))
                return DONE if self._said_results else FAILED
            sending = self._started and not self._said_results
            self._tell_time(SENDING_POLL_SECONDS if sending else POLL_SECONDS)

    def _tell_time(self, seconds: float) -> None:
        """Wait so long, or until somebody has asked what time it is. What they ask is not read to its end."""
        if not select.select([self._clock], [], [], seconds)[0]:
            return
        with contextlib.suppress(OSError):
            asking, _address = self._clock.accept()
            with asking:
                asking.settimeout(ASKING_SECONDS)
                asking.recv(65536)
                body = json.dumps({"time": time.time()}).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                asking.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)

    def _answer(self, told: dict[str, Any]) -> None:
        """What time it is, for whoever asks."""
        asked = int(told.get("ask") or 0)
        if asked > self._asked:
            self._asked = asked
            self._say(line("asked", ask=asked, time=time.time()))

    def _start(self, options: Options, told: dict[str, Any]) -> None:
        begins, ahead = float(told["at"]), float(told["clock_ahead"])
        if begins <= time.time() - ahead:
            raise LoadError("It was told to begin at a time that had passed when the node showed it.")
        options = replace(options, name=NAME, start_at=begins, clock_ahead=round(ahead * SECOND))
        job.start(job.prepare(options, "", self._state_dir, connect=False), self._state_dir)
        self._started = True
        self._say(line("started", time=time.time()))
        for text in chunks("options", 0, public_options(options)):
            self._say(text)

    def _look(self, told: dict[str, Any]) -> None:
        """How far the load is; its result once it has one, and again as often as that is asked for."""
        _reap()
        state = job.state(self._state_dir, NAME)
        if told.get("stop") and state == "running":
            job.stop(self._state_dir, NAME)
            state = job.state(self._state_dir, NAME)
        if state == "running":
            self._reporter.so_far()
        elif self._said_results <= int(told.get("again") or 0):
            self._say_result()

    def _say_result(self) -> None:
        result = job.result(self._state_dir, NAME)
        if result is None:
            raise LoadError("The load left nothing from which a result could be made.")
        for text in chunks("result", self._said_results, result):
            self._say(text)
        progress = job.progress(self._state_dir, NAME)
        ended = {"number": self._said_results, "terminated": self._terminated, "time": time.time()}
        self._say(line("ended", **ended, **progress))
        self._said_results += 1

    def _end(self) -> None:
        """Somebody else ends the pod: what it has is said at once."""
        if not self._started or self._said_results:
            return
        job.stop(self._state_dir, NAME)
        self._say_result()


class Reporter:
    """Says every few seconds what was counted since the last time: all that is left of a pod that dies."""

    def __init__(self, state_dir: str, say: Callable[[str], None]) -> None:
        self._state_dir = state_dir
        self._say = say
        self._number = 0
        self._progress_at = 0.0
        self._due = 0.0
        self._read = {"timeline": 0, "ledger": 0}  # bytes
        self._rows = {"timeline": 0, "ledger": 0}

    def so_far(self) -> None:
        """Say it if it is time."""
        now = time.monotonic()
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_SECONDS
            self._say(line("progress", time=time.time(), **job.progress(self._state_dir, NAME)))
        if now >= self._due:
            self._due = now + CHECKPOINT_SECONDS
            self._checkpoint()

    def _checkpoint(self) -> None:
        store = Store(self._state_dir, NAME)
        checkpoint = read_json(store.checkpoint)
        if checkpoint is None:
            return
        counted: dict[str, Any] = {"snapshot": checkpoint["snapshot"]}
        for name in ("timeline", "ledger"):
            rows = _lines_between(getattr(store, name), self._read[name], checkpoint[f"{name}_bytes"])
            counted[name], counted[f"{name}_before"] = rows, self._rows[name]
            self._read[name] = checkpoint[f"{name}_bytes"]
            self._rows[name] += len(rows)
        for text in chunks("checkpoint", self._number, counted):
            self._say(text)
        self._number += 1


def _lines_between(path: Path, begin: int, end: int) -> list[dict[str, Any]]:
    with open(path, "rb") as file:
        file.seek(begin)
        return [json.loads(row) for row in file.read(end - begin).splitlines()]


def _reap() -> None:
    """The first process of a container inherits what outlives its parents."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
