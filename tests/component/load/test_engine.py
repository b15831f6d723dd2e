# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: rates, ends, stops, stalls, and names that stop resolving."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import engine as engine_module
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine import poller, pool
from ansible_collections.iter8.kfserving.plugins.module_utils._load.engine.engine import Engine
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.target import (
    SocketAddress,
    parse_url,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.snapshot import snapshot
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock
from ansible_collections.iter8.kfserving.tests.support import busy
from ansible_collections.iter8.kfserving.tests.support.waiting import until


def make(url: str, rows: list[Any], **more: Any) -> Engine:
    timed = {name: more.pop(name) for name in ("lookup", "clock", "wall") if name in more}
    options = Options(url=url, **{"timeout": 5_000_000_000, **more})
    return Engine(
        options, parse_url(options), "cafe", lambda row, _failures, _tally: rows.append(row), **timed
    )


def ok(visit: Any) -> None:
    visit.ok()


@pytest.mark.parametrize("pacing", ["open", "closed"])
def test_the_rate_and_the_count_are_exact(serve: Any, load: Any, clock: PolledClock, pacing: str) -> None:
    server = serve(ok)
    result = load(server.url, rate=100, duration=500_000_000, connections=4, pacing=pacing)
    assert result["LoadTest"]["requests"] == server.requests == 50
    assert result["LoadTest"]["failed"] == 0
    assert result["ActualDuration"] >= 490_000_000
    assert clock.seconds < 0.6


def test_open_loop_does_not_wait_for_answers(serve: Any, load: Any) -> None:
    """Half a second without an answer: requests go out all the same, on more connections."""
    waiting = most = 0
    lock = threading.Lock()
    begun: list[float] = []  # with the first request: who knows when the load comes to it

    def slow(visit: Any) -> None:
        nonlocal waiting, most
        with lock:
            begun.append(time.monotonic())
            waiting += 1
            most = max(most, waiting)
        time.sleep(max(0.0, 0.5 - (time.monotonic() - begun[0])))
        with lock:
            waiting -= 1
        visit.ok()

    before = busy.waits()
    own = load(serve(slow).url, rate=50, duration=400_000_000, connections=1)["LoadTest"]
    assert (own["requests"] + own["unsent"], own["failed"]) == (20, 0)
    assert own["unsent"] <= 50 * busy.waited_since(before)
    # A loop that waits for answers never has more than one request on its one connection.
    assert most >= 5
    # Timed from the intended send, the wait shows in every request that it hit.
    assert own["response_time"]["Max"] >= 0.4


def slow_for(seconds: float) -> Any:
    """Nobody gets an answer before so much of the load is over."""
    begun: list[float] = []

    def answer(visit: Any) -> None:
        begun.append(time.monotonic())
        time.sleep(max(0.0, seconds - (time.monotonic() - begun[0])))
        visit.ok()

    return answer


def test_connections_that_a_slow_time_made_are_kept_for_a_second_and_no_longer(serve: Any, load: Any) -> None:
    result = load(serve(slow_for(0.3)).url, rate=50, duration=2_500_000_000, connections=2)
    surplus = result["LoadTest"]["reconnects"]["surplus"]
    assert surplus >= 8
    # All that were made are gone but those asked for.
    assert result["SocketCount"] == surplus + 2


def test_a_crowd_of_them_goes_some_at_a_time(serve: Any, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due while many are closed would be sent late, and make as many anew."""
    monkeypatch.setattr(pool, "TRIMMED_AT_ONCE", 3)
    own = load(serve(slow_for(0.5)).url, rate=50, duration=1_500_000_000, connections=2)["LoadTest"]
    # At the end of each second, and of the load.
    assert own["reconnects"]["surplus"] in range(3, 3 * len(own["timeline"]) + 4, 3)


def slow(visit: Any) -> None:
    time.sleep(0.1)
    visit.ok()


def test_a_pool_that_is_too_small_shows(serve: Any, load: Any) -> None:
    result = load(
        serve(slow).url,
        rate=50,
        duration=500_000_000,
        connections=1,
        max_connections=1,
        timeout=3_000_000_000,
    )
    own = result["LoadTest"]
    assert own["unsent"] > 0
    assert own["requests"] + own["unsent"] == 25
    assert own["rate_kept"] is False
    assert own["response_time"]["Max"] > result["DurationHistogram"]["Max"]


@pytest.mark.parametrize("catch_up", [True, False])
def test_a_closed_loop_that_is_too_slow_shows(serve: Any, load: Any, catch_up: bool) -> None:
    """Also where a late loop shifts its plan, and no single request is late then."""
    own = load(
        serve(slow).url,
        rate=50,
        duration=500_000_000,
        connections=1,
        pacing="closed",
        catch_up=catch_up,
    )["LoadTest"]
    assert own["unsent"] >= 15
    assert own["rate_kept"] is False


def test_every_connection_takes_its_turn(serve: Any, load: Any) -> None:
    result = load(serve(ok).url, rate=200, calls=40, connections=4)
    assert result["SocketCount"] >= 4


def test_stop_waits_for_what_is_in_flight(serve: Any) -> None:
    asked, answer = threading.Event(), threading.Event()
    order: list[str] = []

    def held(visit: Any) -> None:
        if visit.number == 3:
            asked.set()
            answer.wait(10)
        visit.ok()

    def end() -> None:
        asked.wait(10)
        running.stop()
        order.append("stopped")
        time.sleep(0.2)  # in which it would return if it did not wait
        order.append("answered")
        answer.set()

    rows: list[Any] = []
    running = make(serve(held).url, rows, rate=0, connections=1, timeout=60_000_000_000)
    ending = threading.Thread(target=end)
    ending.start()
    tally = running.run()
    order.append("returned")
    ending.join()
    assert order == ["stopped", "answered", "returned"]
    assert tally.counts.failed == 0
    assert tally.counts.requests == tally.sent == 4
    assert sum(row["ok"] for row in rows) == tally.counts.requests


def test_stop_takes_at_most_the_time_out(serve: Any, clock: PolledClock) -> None:
    rows: list[Any] = []
    url = serve(lambda visit: visit.hang()).url
    running = make(url, rows, connections=2, timeout=300_000_000, clock=clock, wall=clock.wall)
    clock.at(0.1, running.stop)
    tally = running.run()
    assert 0.3 <= clock.seconds <= 0.35  # of which the last 0.05 s lie between two looks for time-outs
    assert dict(tally.counts.classes) == {"timeout": 2}


def test_a_stop_after_the_end_writes_into_no_file_that_is_open_by_then(serve: Any, tmp_path: Any) -> None:
    """The result is being written then, under the lowest number that is free."""
    ended = make(serve(ok).url, [], calls=1)
    ended.run()
    paths = [tmp_path / str(number) for number in range(8)]
    with contextlib.ExitStack() as opened:
        for path in paths:
            opened.enter_context(open(path, "wb"))
        ended.stop()
    assert [path.read_bytes() for path in paths] == [b""] * 8


def test_stop_at_a_time(serve: Any, load: Any, clock: PolledClock) -> None:
    own = load(serve(ok).url, rate=100, stop_at=clock.wall() / 1e9 + 0.3)["LoadTest"]
    assert 25 <= own["requests"] + own["unsent"] <= 31


def test_calls_end_a_run_at_full_speed(serve: Any, load: Any) -> None:
    server = serve(ok)
    assert load(server.url, calls=100, connections=3)["LoadTest"]["requests"] == server.requests == 100


def test_a_name_that_stops_resolving(serve: Any, clock: PolledClock) -> None:
    server = serve(lambda visit: visit.ok(headers=b"Connection: close\r\n"))
    answers = [[SocketAddress(socket.AF_INET, ("127.0.0.1", server.port), "there")]]

    def lookup() -> list[SocketAddress]:
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop()

    options = Options(url=server.url, rate=20, duration=1_400_000_000, timeout=5_000_000_000)
    failures: list[Any] = []
    running = Engine(
        options,
        parse_url(options),
        "cafe",
        lambda _row, new, _tally: failures.extend(new),
        lookup=lookup,
        clock=clock,
        wall=clock.wall,
    )
    tally = running.run()
    assert set(tally.counts.classes) == {"dns"}
    assert {failure.errno for failure in failures} == {"EAI_NONAME"}
    assert tally.counts.requests == tally.sent == 28
    assert server.requests == tally.counts.requests - tally.counts.failed
    assert 5 <= tally.counts.failed <= 10


def test_a_name_that_moves(serve: Any, clock: PolledClock) -> None:
    first = serve(lambda visit: visit.ok(headers=b"Connection: close\r\n"))
    second = serve(lambda visit: visit.ok(headers=b"Connection: close\r\n"))
    ports = [first.port]

    def lookup() -> list[SocketAddress]:
        port = ports.pop() if ports else second.port
        return [SocketAddress(socket.AF_INET, ("127.0.0.1", port), str(port))]

    tally = make(
        first.url, [], rate=20, duration=1_400_000_000, lookup=lookup, clock=clock, wall=clock.wall
    ).run()
    assert tally.counts.failed == 0
    assert first.requests + second.requests == tally.counts.requests == 28
    assert second.requests >= 5


def test_an_address_on_which_nobody_listens_costs_no_request(serve: Any, clock: PolledClock) -> None:
    """As `localhost`, which is ::1 too; and a new look at the name does not bring it to the front."""
    server = serve(lambda visit: visit.ok(headers=b"Connection: close\r\n"))
    dead = SocketAddress(socket.AF_INET, ("127.0.0.1", 1), "dead")
    live = SocketAddress(socket.AF_INET, ("127.0.0.1", server.port), "live")
    options = {"rate": 20, "duration": 1_400_000_000, "lookup": lambda: [dead, live]}
    tally = make(server.url, [], clock=clock, wall=clock.wall, **options).run()
    assert (tally.counts.requests, tally.counts.failed) == (28, 0)
    assert server.requests == 28


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(serve: Any) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        make(serve(ok).url, [], calls=300, connections=300).run()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_poll_in_place_of_epoll(
    serve: Any, load: Any, clock: PolledClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs on systems without epoll and timerfd."""
    asked: list[float] = []

    class Poll(poller._Poll):
        def poll(self, timeout: float) -> list[tuple[int, int]]:
            asked.append(timeout)
            return super().poll(timeout)

    monkeypatch.setattr(poller, "make_poller", Poll)
    server = serve(ok)
    own = load(server.url, rate=100, duration=300_000_000, connection_modes="both")["LoadTest"]
    assert (own["requests"], own["failed"], server.requests) == (30, 0, 30)
    assert asked


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from module_utils._load.engine.engine import Engine
from module_utils._load.options import Options
from module_utils._load.http.target import parse_url
options = Options(url=sys.argv[2], rate=10, duration=3_500_000_000, timeout=1_500_000_000)
engine = Engine(options, parse_url(options), "cafe", lambda row, failures, tally: None)
print("go", flush=True)
tally = engine.run()
longest = max([0] + [end - start for start, end in tally.health.stalls])
print(tally.counts.requests, tally.unsent, tally.counts.failed, tally.health.stalled, longest)
"""


def test_a_wall_clock_that_is_set_is_told_and_dates_nothing(serve: Any) -> None:
    options = Options(url=serve(ok).url, rate=20, duration=1_200_000_000)
    anchor = time.time_ns() - time.monotonic_ns()
    steps = iter([0, 0])

    def wall() -> int:
        """Right when the engine is made and when the run begins, five seconds back from then on."""
        return time.monotonic_ns() + anchor + next(steps, -5_000_000_000)

    engine = Engine(options, parse_url(options), "cafe", lambda row, failures, tally: None, wall=wall)
    told = snapshot(engine.run())
    assert told["wall_clock_drift"] == pytest.approx(-5, abs=0.1)
    assert told["ended"] - told["started"] == pytest.approx(1.2, abs=0.5)


def test_its_own_stall_is_not_the_servers_fault(serve: Any) -> None:
    """The process is stopped for longer than the time-out of its requests, and says so itself."""
    server = serve(lambda visit: (time.sleep(0.03), visit.ok()))
    root = os.path.abspath(os.path.join(os.path.dirname(engine_module.__file__), "../../.."))
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, root, server.url], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        until(lambda: server.requests >= 4, 10, "the first requests")
        before, waited = time.monotonic(), busy.stalled()
        child.send_signal(signal.SIGSTOP)
        time.sleep(2)
        child.send_signal(signal.SIGCONT)
        stopped = time.monotonic() - before
        requests, unsent, failed, stalls, longest = map(int, child.stdout.readline().split())
    assert (requests + unsent, failed) == (35, 0)
    assert unsent <= 10 * (busy.stalled() - waited)
    assert stalls >= 1
    assert 1_500_000_000 < longest < (stopped + 0.3) * 1e9


def test_outage_windows(serve: Any, load: Any, clock: PolledClock) -> None:
    """A known outage of 0.3 s in the middle of the load is seen, and its length is right."""

    def outage(visit: Any) -> None:
        if 0.3 < clock.seconds < 0.6:
            visit.reset()
        visit.ok()

    result: dict[str, Any] = load(serve(outage).url, rate=100, duration=900_000_000)
    own = result["LoadTest"]
    assert own["connection_modes"]["keep-alive"]["longest_success_gap"] == own["longest_success_gap"]
    assert len(own["outages"]) == 1
    window = own["outages"][0]
    assert window["failed"] == own["failed"] >= 20
    assert 0.2 < window["recovered"] - window["last_success"] < 0.5
    assert own["longest_success_gap"]["seconds"] == pytest.approx(
        window["recovered"] - window["last_success"], abs=1e-4
    )
    assert window["last_success"] <= window["first_failed_send"] <= window["recovered"]


@pytest.mark.parametrize("hit", ["new", "keep-alive"])
def test_an_outage_of_one_kind_of_connection_is_not_hidden_by_the_other(
    serve: Any, load: Any, hit: str
) -> None:
    """One request after the other, on a kept and on a new connection in turn: each cuts 20 of one kind."""
    seen = {"new": 0, "keep-alive": 0}

    def cut(visit: Any) -> None:
        mode = "new" if b"\r\nConnection: close" in visit.head else "keep-alive"
        seen[mode] += 1
        if mode == hit and 10 < seen[mode] <= 30:
            visit.reset()
        visit.ok()

    own = load(serve(cut).url, rate=400, calls=80, pacing="closed", connection_modes="both")["LoadTest"]
    assert {name: (row["requests"], row["failed"]) for name, row in own["connection_modes"].items()} == {
        name: (40, 20 if name == hit else 0) for name in ("keep-alive", "new")
    }
    (window,) = own["outages"]
    assert (window["connection_mode"], window["failed"]) == (hit, 20)
    assert own["outages_of_all"] != own["outages"]
    assert all(one["failed"] == 1 for one in own["outages_of_all"])  # in between the other kind succeeded
    gap = own["connection_modes"][hit]["longest_success_gap"]
    # The one is by sends and the other by answers, of which each took its time.
    slowest = max(row["max"] for row in own["timeline"])
    assert gap["seconds"] == pytest.approx(window["recovered"] - window["last_success"], abs=slowest + 1e-4)
    assert gap != own["longest_success_gap"]


def test_an_outage_of_all_requests_is_one_of_each_kind_of_connection(serve: Any, load: Any) -> None:
    def cut(visit: Any) -> None:
        if 20 < visit.count <= 60:
            visit.reset()
        visit.ok()

    own = load(serve(cut).url, rate=400, calls=80, pacing="closed", connection_modes="both")["LoadTest"]
    assert [(window["connection_mode"], window["failed"]) for window in own["outages"]] == [
        ("keep-alive", 20),
        ("new", 20),
    ]
    begun = [window["first_failed_send"] for window in own["outages"]]
    assert begun == sorted(begun)
    (whole,) = own["outages_of_all"]
    assert (whole["connection_mode"], whole["failed"]) == ("all", 40)
    assert whole["last_success"] == max(w["last_success"] for w in own["outages"])
    assert whole["first_failed_send"] == min(begun)
    assert whole["recovered"] == min(w["recovered"] for w in own["outages"])
    slowest = max(row["max"] for row in own["timeline"])
    assert own["longest_success_gap"]["seconds"] == pytest.approx(
        whole["recovered"] - whole["last_success"], abs=slowest + 1e-4
    )


def test_slow_losses_among_answers_are_no_outage_as_long_as_they_took(serve: Any, load: Any) -> None:
    """Three requests get their 503 only after a second, while all others are answered at once."""

    def slow(visit: Any) -> None:
        if visit.count in slowly:
            time.sleep(1.0)
            visit.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        else:
            visit.ok()

    slowly = (9, 12, 30)
    before = busy.waits()
    own = load(serve(slow).url, rate=40, duration=2_000_000_000, connections=2)["LoadTest"]
    assert (own["requests"] + own["unsent"], own["failed"], len(own["outages"])) == (80, 3, 3)
    # What is not sent is what a busy machine kept this process from sending.
    assert own["unsent"] <= 40 * busy.waited_since(before)
    assert own["outages_of_all"] == [{**one, "connection_mode": "all"} for one in own["outages"]]
    for outage, lost in zip(own["outages"], sorted(own["ledger"], key=lambda row: float(row["sent"]))):
        assert outage["failed"] == 1
        assert outage["first_failed_send"] == lost["sent"]
        assert outage["last_success"] < outage["first_failed_send"] < outage["recovered"]
        assert outage["recovered"] - outage["last_success"] < 0.5
        assert outage["longest_wait"] == lost["waited"] >= 1.0
        assert lost["waited"] == pytest.approx(lost["end"] - lost["sent"], abs=1e-5)
    assert own["longest_success_gap"]["seconds"] < 0.5
