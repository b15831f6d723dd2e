# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: run a load in the foreground, or be the process of a detached job."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from .._common.files import write_atomically
from .engine.engine import Engine
from .errors import LoadError
from .http.request import new_run_id
from .http.target import parse_url, probe, tls_context
from .http2.library import require
from .job import worker
from .options import Options
from .result import fortio
from .result.merge import merge
from .result.result import build, public_options
from .stats.ledger import FailedRequest
from .stats.snapshot import snapshot
from .stats.tally import Tally
from .stats.timeline import Row


def main(arguments: list[str]) -> int:
    """Exit status 0 for a run that was made, whatever became of its requests; 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="_load", description="Send HTTP requests on a schedule, and account for each."
    )
    parser.add_argument("--options", default="-", help="file with the options as JSON (default: stdin)")
    parser.add_argument("--json", help="file for the result")
    parser.add_argument("--merge", nargs="+", metavar="FILE", help="run nothing, merge these results")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.job:
        return worker.main(Path(given.job))
    try:
        result = _merged(given.merge) if given.merge else run(_options(given.options))
        print(fortio.text(result), end="")
        if given.json:
            write_atomically(Path(given.json), json.dumps(result) + "\n", 0o644)
    except (LoadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _options(file: str) -> Options:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return Options.from_json(json.loads(text))
    except (OSError, ValueError, TypeError) as error:
        raise LoadError(f"The options cannot be read: {error}.") from None


def _merged(files: list[str]) -> dict[str, Any]:
    try:
        return merge([json.loads(Path(file).read_text(encoding="utf-8")) for file in files])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(f"The results cannot be merged: {error!r}.") from None


def run(options: Options, handle_signals: bool = True) -> dict[str, Any]:
    """Run a load in this process and return its result. Raises LoadError for bad input."""
    options.check()
    target = parse_url(options)
    tls_context(options, target)
    if options.grpc:
        require()
    probe(target, options.timeout / 1e9)
    timeline: list[Row] = []
    ledger: list[dict[str, Any]] = []

    def keep(row: Row, failures: list[FailedRequest], tally: Tally) -> None:
        timeline.append(row)
        ledger.extend(failure.to_json(tally.epoch) for failure in failures)

    engine = Engine(options, target, new_run_id(), keep)
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        engine.stop()

    if handle_signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
    tally = engine.run()
    state = "aborted" if tally.aborted else "stopped" if stopped else "finished"
    return build(public_options(options), state, snapshot(tally), timeline, ledger)
