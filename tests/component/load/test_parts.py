# SPDX-License-Identifier: GPL-3.0-or-later
"""A load that several generators send: each its part, all at one time, whatever their clocks say."""

from __future__ import annotations

import functools
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load import command
from ansible_collections.iter8.kfserving.plugins.module_utils._load.command import run
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import engine
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.generators import (
    GeneratorResult,
    merge_generators,
)
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock

SECOND = 1_000_000_000
AHEAD = (0.0, 3.0, -3.0)


def ok(visit: Any) -> None:
    visit.ok(headers=b"X-Revision: baseline\r\n")


@pytest.fixture
def part_of(clock: PolledClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs one part of a load on a machine whose clock is so far ahead."""

    def make(options: Options, part: int, ahead: float) -> dict[str, Any]:
        def wall() -> int:
            return clock.wall() + round(ahead * SECOND)

        monkeypatch.setattr(command, "Engine", functools.partial(engine.Engine, clock=clock, wall=wall))
        own = options.part_of(part, len(AHEAD))
        own.clock_ahead = round(ahead * SECOND)
        clock.now = clock.started  # the same time, on another machine
        return run(own, handle_signals=False)

    return make


@pytest.mark.parametrize("modes", ["keep-alive", "both"])
def test_three_machines_send_one_load(
    serve: Any, load: Any, clock: PolledClock, part_of: Callable[..., dict[str, Any]], modes: str
) -> None:
    server = serve(ok)
    begin = clock.wall() / SECOND + 1.5
    options = Options(
        url=server.url,
        rate=20,
        duration=2 * SECOND,
        connections=4,
        warmup=3,
        start_at=begin,
        connection_modes=modes,
        revision_header="X-Revision",
    )
    results = [part_of(options, part, ahead) for part, ahead in enumerate(AHEAD)]
    assert server.requests == 40 + 3
    assert [one["LoadTest"]["requests"] for one in results] == [14, 13, 13]
    assert [one["LoadTest"]["started"] for one in results] == pytest.approx([begin] * 3, abs=1e-5)
    assert [one["LoadTest"]["part"]["phase"] for one in results] == pytest.approx([0, 0.05, 0.1])
    found = [
        GeneratorResult(f"host-{part}", part, lambda one=one: one)  # type: ignore[misc]
        for part, one in enumerate(results)
    ]
    merged = merge_generators(found)
    own = merged["LoadTest"]
    assert (own["requests"], own["failed"], own["asked_rate"], merged["ActualQPS"]) == (
        40, 0, 20, pytest.approx(20, abs=0.01),
    )  # fmt: skip
    assert merged["NumThreads"] == 4
    # Of each full second all 20, in the same second of all three.
    sent = {row["second"]: row["sent"] for row in own["timeline"]}
    assert sent == {int(begin): 10, int(begin) + 1: 20, int(begin) + 2: 10}
    assert own["longest_success_gap"]["seconds"] <= 0.1


def test_a_load_that_is_stopped_before_it_begins_has_sent_nothing(serve: Any, clock: PolledClock) -> None:
    server = serve(ok)
    options = Options(url=server.url, rate=20, duration=SECOND, start_at=clock.wall() / SECOND + 5)
    rows: list[Any] = []
    target = command.parse_url(options)
    running = engine.Engine(
        options, target, "id", lambda row, *_rest: rows.append(row), clock=clock, wall=clock.wall
    )
    clock.at(0.2, running.stop)
    tally = running.run()
    assert (tally.counts.requests, tally.sent, server.requests) == (0, 0, 0)
    assert clock.seconds < 0.4


def test_what_a_time_to_start_at_has_made_late_is_sent_late(
    serve: Any, load: Any, clock: PolledClock
) -> None:
    """The schedule is the load's, not the machine's: one that comes too late lags, and says so."""
    own = load(serve(ok).url, rate=20, duration=SECOND, start_at=clock.wall() / SECOND - 0.5)["LoadTest"]
    assert own["requests"] == 20
    assert own["lateness"]["max"] >= 0.5
    assert not own["rate_kept"]
