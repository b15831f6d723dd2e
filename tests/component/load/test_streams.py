# SPDX-License-Identifier: GPL-3.0-or-later
"""Streamed answers: each judged by the server's own record of what it sent, timed, and counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.merge import merge
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock
from ansible_collections.iter8.kfserving.tests.support import streaming
from ansible_collections.iter8.kfserving.tests.support.busy import waited_since, waits
from ansible_collections.iter8.kfserving.tests.support.streaming import ALL, RIGHT, WRONG, Record, judged
from ansible_collections.iter8.kfserving.tests.support.waiting import until

SECOND = 1_000_000_000


def asking(*names: str) -> dict[str, Any]:
    """The options of a load that asks for these answers in turn."""
    return {
        "stream": "sse",
        "payloads": [json.dumps({"answer": name}).encode() for name in names],
        "revision_header": "X-Revision",
        "timeout": SECOND // 2,
    }


def wanted_of(record: Record, row: dict[str, Any] | None) -> str:
    """The class that the record asks for; on a connection that served before, a close at once is stale."""
    if not record.begun and row is not None and row["reuse"] > 0:
        return "stale_keepalive"
    return judged(record)


def compare(server: streaming.Server, own: dict[str, Any]) -> None:
    """Hold every request's outcome, and the counts of all, to the server's records."""
    lost = {row["sent_id"]: row for row in own["ledger"]}
    assert len(server.records) == own["requests"]
    for ident, record in server.records.items():
        row = lost.get(ident)
        found = (record.name, row["class"] if row else "", row["tokens"] if row else record.tokens)
        assert found == (record.name, wanted_of(record, row), record.tokens), (row, record)
    tokens = [record.tokens for record in server.records.values()]
    assert own["streamed"]["tokens"] == sum(tokens)
    assert own["streamed"]["first_token"]["Count"] == sum(count > 0 for count in tokens)
    assert own["streamed"]["token_gap"]["Count"] == sum(max(0, count - 1) for count in tokens)
    assert "s3cret" not in json.dumps(own)


def test_there_are_enough_ways_to_be_wrong() -> None:
    assert len(WRONG) >= 40
    assert len(RIGHT) >= 10


@pytest.mark.parametrize("name", ALL)
def test_each_answer_is_judged_by_its_record(serve: Any, load: Any, name: str) -> None:
    """After each comes a good one on the same connection, if that was left in order."""
    behaviour = streaming.Server()
    server = serve(behaviour)
    own = load(server.url, calls=4, **asking(name, "good"))["LoadTest"]
    compare(behaviour, own)
    assert own["failed"] == (2 if name in WRONG else 0)
    assert {row["revision"] for row in own["ledger"]} <= {"rev-1", ""}
    expected_by_status = own["classes"].get("status", 0)
    assert expected_by_status == (2 if name == "unavailable" else 0)


def test_completions_are_read_as_chat_completions_are(serve: Any, load: Any) -> None:
    behaviour = streaming.Server(completions=True)
    own = load(serve(behaviour).url, calls=2, **asking("good", "no done"))["LoadTest"]
    compare(behaviour, own)
    assert own["classes"] == {"stream_no_done": 1}


@pytest.mark.parametrize("mode", ["keep-alive", "new", "both"])
def test_all_of_them_at_once(serve: Any, load: Any, mode: str) -> None:
    behaviour = streaming.Server()
    server = serve(behaviour)
    own = load(
        server.url, calls=2 * len(ALL), rate=100, connection_modes=mode, connections=5, **asking(*ALL)
    )["LoadTest"]
    compare(behaviour, own)
    wanted = Counter(judged(record) for record in behaviour.records.values() if record.begun)
    del wanted[""]
    begun = [row["class"] for row in own["ledger"] if behaviour.records[row["sent_id"]].begun]
    assert Counter(begun) == wanted
    assert set(own["streamed"]["first_token_by_revision"]) == {"rev-1"}


def test_what_is_said_of_a_loss(serve: Any, load: Any) -> None:
    behaviour = streaming.Server()
    names = (
        "closed in mid stream",
        "one of two not finished",
        "ends early",
        "error object",
        "stalls",
        "no done",
    )
    own = load(serve(behaviour).url, calls=len(names), **asking(*names))["LoadTest"]
    details = {behaviour.records[row["sent_id"]].name: row["detail"] for row in own["ledger"]}
    assert details == {
        "closed in mid stream": "the connection was closed in the middle of the response after 2 tokens",
        "one of two not finished": "no finish_reason came for choice 1 after 2 tokens",
        "ends early": "no finish_reason came for choice 0, nor did [DONE] after 2 tokens",
        "error object": "an error object came (type Internal, code 500) after 1 token",
        "stalls": "no further event within the time-out after 2 tokens",
        "no done": "the stream ended without [DONE] after 1 token",
    }


def slowly(pause: float, tokens: int, first: float = 0.0) -> Any:
    def answer(visit: Any) -> None:
        stream = streaming.Stream(visit, Record("slow")).head()
        threading.Event().wait(first)
        for k in range(tokens):
            if k:
                threading.Event().wait(pause)
            stream.token()
        stream.finish().done().end()

    return answer


STREAM: dict[str, Any] = {"stream": "sse", "payloads": [b"{}"]}


def test_first_tokens_and_gaps_are_timed(serve: Any, load: Any) -> None:
    server = serve(slowly(0.05, 4, first=0.12))
    before = waits()
    own = load(server.url, calls=3, rate=20, max_connections=3, **STREAM)["LoadTest"]
    waited = waited_since(before)
    streamed = own["streamed"]
    assert own["failed"] == 0
    assert streamed["tokens"] == 12
    assert 0.12 <= streamed["first_token"]["Min"] <= streamed["first_token"]["Max"] < 0.4 + waited
    assert streamed["token_gap"]["Count"] == 9
    assert 0.04 <= streamed["token_gap"]["Avg"] < 0.15 + waited
    assert [tuple(row) for row in streamed["histograms"]["tokens"]["counts"]] == [(4, 3)]


def test_the_time_out_is_for_silence_and_another_for_the_whole(serve: Any, load: Any) -> None:
    """A stream may take longer than the time-out as long as tokens come."""
    server = serve(slowly(0.1, 8))
    own = load(server.url, calls=1, timeout=SECOND // 2, **STREAM)["LoadTest"]
    assert own["failed"] == 0
    assert own["response_time"]["Max"] > 0.6
    endless = serve(slowly(0.1, 100))
    own = load(endless.url, calls=1, timeout=SECOND // 2, stream_timeout=SECOND // 4, **STREAM)["LoadTest"]
    (lost,) = own["ledger"]
    assert lost["class"] == "timeout"
    assert lost["detail"].startswith("no end of the stream within stream_timeout after ")
    assert 1 <= lost["tokens"] < 50
    assert 0.25 <= lost["waited"] < 5


def test_a_first_token_shows_that_requests_are_answered(serve: Any, load: Any) -> None:
    """The longest gap is not the length of a stream."""
    server = serve(slowly(0.1, 9))
    before = waits()
    own = load(server.url, calls=8, rate=10, max_connections=9, **STREAM)["LoadTest"]
    waited = waited_since(before)
    assert own["failed"] == 0
    assert own["response_time"]["Min"] > 0.75
    assert own["longest_success_gap"]["seconds"] < 0.7 + waited


def test_the_revision_may_stand_in_the_events(serve: Any, load: Any) -> None:
    def answer(visit: Any) -> None:
        stream = streaming.Stream(visit, Record("named"))
        stream.head()
        body = b'{"model": "m", "system_fingerprint": "fp-2", "choices": [{"index": 0, "text": "a"}]}'
        stream.event(body, "token 0").event(body, "token 0").finish().done().end()

    own = load(serve(answer).url, calls=2, revision_field="system_fingerprint", **STREAM)["LoadTest"]
    assert own["revisions"] == {"fp-2": {"requests": 2, "failed": 0}}
    assert own["streamed"]["token_gap_by_revision"]["fp-2"]["Count"] == 2


def test_an_event_that_never_ends_is_the_loads_limit(serve: Any, load: Any) -> None:
    def answer(visit: Any) -> None:
        stream = streaming.Stream(visit, Record("endless")).head().token()
        for _unused in range(18):
            stream.raw(b"data: " + b"x" * (1 << 20))
        stream.end()

    own = load(serve(answer).url, calls=1, **STREAM)["LoadTest"]
    assert own["classes"] == {"client": 1}
    assert own["ledger"][0]["tokens"] == 1


def test_streams_are_merged(serve: Any, load: Any) -> None:
    behaviour = streaming.Server()
    server = serve(behaviour)
    parts = [load(server.url, calls=4, **asking("good", "ends early")) for _unused in range(2)]
    plain = load(serve(lambda visit: visit.ok()).url, calls=3)
    own = merge([*parts, plain])["LoadTest"]
    one = parts[0]["LoadTest"]["streamed"]
    assert own["streamed"]["tokens"] == 2 * one["tokens"] == 20
    assert own["streamed"]["token_gap"]["Count"] == 2 * one["token_gap"]["Count"]
    assert own["streamed"]["histograms"]["tokens"]["count"] == 8
    assert merge([plain])["LoadTest"]["streamed"] is None


def test_without_streams_nothing_is_told_of_them(serve: Any, load: Any) -> None:
    own = load(serve(lambda visit: visit.close()).url, calls=1)["LoadTest"]
    assert own["streamed"] is None
    assert own["ledger"][0]["tokens"] is None


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"stream": "yes"}, "stream must be sse, not 'yes'"),
        ({"stream": "sse", "expect_body": "x"}, "expect_body cannot be had with stream"),
        ({"stream": "sse", "url": "grpc://h:1/v2/models/m"}, "stream is for HTTP"),
        ({"stream": "sse", "stream_timeout": 0}, "stream_timeout must be at least one millisecond"),
    ],
)
def test_options_that_make_no_sense(more: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        Options(**{"url": "http://h/", **more}).check()


POD = """
    import asyncio, json, sys, time

    async def answer(reader, writer):
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        await reader.readexactly(2)
        ident = head.decode().split("X-Request-Id: ")[1].split("\\r\\n")[0]
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n")
        writer.write(b"Transfer-Encoding: chunked\\r\\n\\r\\n")
        for k in range(1000):
            data = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\\n\\n'
            writer.write(b"%x\\r\\n%s\\r\\n" % (len(data), data))
            await writer.drain()
            with open(sys.argv[1], "a") as file:
                file.write(json.dumps([ident, time.time()]) + "\\n")
            await asyncio.sleep(0.05)

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_streams_in_flight_when_a_pod_ends_are_lost_and_tell_how_far_they_were(
    load: Any, tmp_path: Path, number: int
) -> None:
    stamps = tmp_path / "stamps"
    stamps.touch()

    def noted() -> list[tuple[str, float]]:
        return [json.loads(line) for line in stamps.read_text().splitlines()]

    def told() -> Counter[str]:
        return Counter(ident for ident, _at in noted())

    command = [sys.executable, "-c", textwrap.dedent(POD), str(stamps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pod:
        assert pod.stdout is not None
        port = int(pod.stdout.readline())

        def end() -> None:
            until(lambda: sum(times >= 2 for times in told().values()) == 20, 60, "two tokens of each stream")
            os.kill(pod.pid, number)

        ending = threading.Thread(target=end)
        ending.start()
        own = load(f"http://127.0.0.1:{port}/", calls=20, rate=20, max_connections=20, **STREAM)["LoadTest"]
        ended = time.time()
        ending.join()
    sent = noted()
    assert own["requests"] == own["failed"] == 20
    # A process that is killed closes its sockets, by a RST where something had come that it had not read.
    assert set(own["classes"]) <= {"truncated", "reset"}
    counts = told()
    for row in own["ledger"]:
        assert abs(row["tokens"] - counts[row["sent_id"]]) <= 1  # one may be noted or sent before the other
        first = min(at for ident, at in sent if ident == row["sent_id"])
        assert row["first_token"] == pytest.approx(first, abs=0.3)
        assert row["waited"] == pytest.approx(row["end"] - row["sent"], abs=1e-5)
        assert 0.05 < row["waited"] < ended - first + 1


def test_a_stall_of_the_engine_is_no_silence_of_the_server(serve: Any, load: Any, clock: PolledClock) -> None:
    server = serve(slowly(0.0, 3))
    own = load(server.url, calls=5, rate=10, timeout=SECOND // 4, **STREAM)["LoadTest"]
    assert own["failed"] == 0


def test_a_stall_of_the_engine_is_no_part_of_a_stream(serve: Any, load: Any, clock: PolledClock) -> None:
    """Tokens that come after it are no reason to count it."""
    server = serve(slowly(0.1, 6, first=0.1))
    clock.at(0.15, lambda: clock.go_on(60 * SECOND))
    own = load(server.url, calls=1, timeout=9 * SECOND, stream_timeout=20 * SECOND, **STREAM)["LoadTest"]
    assert clock.seconds > 60
    assert (own["failed"], own["streamed"]["tokens"]) == (0, 6)
