# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds the engine up is told as its own stall, and its disk does not hold it up."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.engine import Engine
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.target import parse_url
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import recorder as recorder_module
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.recorder import Recorder
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.state import Store, read_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.tally import Tally
from ansible_collections.iter8.kfserving.tests.support.waiting import until

SECOND = 1_000_000_000


def engine_for(url: str, sink: Any, **more: Any) -> Engine:
    options = Options(url=url, **{"timeout": 5 * SECOND, **more})
    return Engine(options, parse_url(options), "cafe", sink)


@pytest.mark.parametrize(
    "more",
    [{"rate": 25, "connections": 2}, {"rate": 25, "connections": 1, "max_connections": 1}],
    ids=["a connection is free", "none is free"],
)
def test_time_that_the_sink_takes_is_a_stall_and_costs_no_request(serve: Any, more: dict[str, Any]) -> None:
    """It takes longer than the requests in flight have; the server answers 0.2 s after each was sent."""

    def slow_once(_row: Any, _failures: Any, _tally: Any) -> None:
        rows.append(1)
        if len(rows) == 1:
            time.sleep(0.9)

    rows: list[int] = []
    server = serve(lambda visit: (time.sleep(0.2), visit.ok()))
    tally = engine_for(server.url, slow_once, duration=2 * SECOND, timeout=600_000_000, **more).run()
    assert tally.counts.failed == 0
    longest = max(end - begin for begin, end in tally.health.stalls)
    assert 0.85 * SECOND < longest < 1.5 * SECOND


def slow_disk(monkeypatch: pytest.MonkeyPatch, wait: Any) -> None:
    def write(*given: Any, **more: Any) -> None:
        wait()
        write_atomically(*given, **more)

    monkeypatch.setattr(recorder_module, "write_atomically", write)


def store_in(folder: Path) -> Store:
    store = Store(str(folder), "one")
    store.folder.mkdir()
    return store


def test_a_slow_disk_does_not_hold_up_the_sending(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each checkpoint takes longer than the second that it tells of."""
    recorders: list[Recorder] = []

    def report(*second: Any) -> None:
        recorders[0].report(*second)

    running = engine_for(serve(lambda visit: visit.ok()).url, report, rate=50, duration=3 * SECOND)
    store = store_in(tmp_path)
    recorders.append(Recorder(store, running.tally))
    slow_disk(monkeypatch, lambda: time.sleep(1.3))
    tally = running.run()
    recorders[0].close()
    assert (tally.counts.requests, tally.counts.failed) == (150, 0)
    # Were the sink to wait for it, there would be two of 1.3 s.
    assert max([0] + [end - begin for begin, end in tally.health.stalls]) < 0.8 * SECOND
    rows = read_lines(store.timeline, recorders[0].timeline.size)
    assert sum(row["ok"] for row in rows) == 150
    told = json.loads(store.checkpoint.read_text())
    assert told["timeline_bytes"] == recorders[0].timeline.size
    assert told["snapshot"]["requests"] == 150


def test_what_a_hanging_disk_cannot_take_is_bounded_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 3)
    store, tally = store_in(tmp_path), Tally(0, 10**18, 10, True)
    recorder = Recorder(store, tally)
    hangs, asked = threading.Event(), threading.Event()
    slow_disk(monkeypatch, lambda: (asked.set(), hangs.wait(20)))
    recorder.report({"second": 0}, [], tally)
    until(asked.is_set, 10, "the first write")
    before = time.monotonic()
    for second in range(1, 9):
        recorder.report({"second": second}, [], tally)
    assert time.monotonic() - before < 5
    hangs.set()
    recorder.close()
    assert [row["second"] for row in read_lines(store.timeline, recorder.timeline.size)] == [0, 1, 2, 3]
    assert json.loads(store.checkpoint.read_text())["snapshot"]["timeline_dropped"] == 5
    assert recorder.snapshot(tally)["timeline_dropped"] == 5
