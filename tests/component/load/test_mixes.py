# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads like real ones: several payloads by weight, arrivals along a profile or a trace, ids of one's own."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.arrivals import Stretch
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import ensure, inputs
from ansible_collections.iter8.kfserving.plugins.module_utils._load.payloads import MAX_PAYLOADS
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.merge import merge
from ansible_collections.iter8.kfserving.tests.component.load.polled_clock import PolledClock

SECOND = 1_000_000_000


def refuses_large(visit: Any) -> None:
    """Answers what is large with 503, anything else with 200."""
    if visit.body == b"large":
        visit.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    else:
        visit.ok()


MIX: dict[str, Any] = {
    "payloads": [b"small", b"large", b"never"],
    "payload_names": ["small.json", "large.json", "never.json"],
    "payload_weights": [3, 1, 0],
    "seed": 11,
}


@pytest.mark.parametrize("paced", [{"rate": 2000}, {}])
@pytest.mark.parametrize("mode", ["keep-alive", "new", "both"])
def test_each_payload_is_counted_as_the_server_counts_it(
    serve: Any, load: Any, mode: str, paced: dict[str, Any]
) -> None:
    server = serve(refuses_large)
    result = load(server.url, calls=200, connection_modes=mode, connections=3, warmup=5, **MIX, **paced)
    own = result["LoadTest"]
    seen = Counter(server.bodies[5:])
    assert 25 < seen[b"large"] < 75
    assert own["payloads"] == {
        "small.json": {"weight": 3, "requests": seen[b"small"], "failed": 0},
        "large.json": {"weight": 1, "requests": seen[b"large"], "failed": seen[b"large"]},
        "never.json": {"weight": 0, "requests": 0, "failed": 0},
    }
    assert {row["payload"] for row in own["ledger"]} == {"large.json"}
    again = serve(refuses_large)
    load(again.url, calls=200, connection_modes=mode, connections=3, warmup=5, **MIX, **paced)
    assert Counter(again.bodies) == Counter(server.bodies)
    other = serve(refuses_large)
    load(other.url, calls=200, connection_modes=mode, warmup=5, **{**MIX, "seed": 12}, **paced)
    assert Counter(other.bodies) != Counter(server.bodies)


def test_payloads_in_turn_are_counted_as_well_and_one_alone_is_not(serve: Any, load: Any) -> None:
    server = serve(refuses_large)
    own = load(server.url, calls=5, payloads=[b"small", b"large"])["LoadTest"]
    assert own["payloads"] == {
        "payload 1": {"weight": 1, "requests": 2, "failed": 0},
        "payload 2": {"weight": 1, "requests": 3, "failed": 3},
    }
    own = load(server.url, calls=5, payloads=[b"large"])["LoadTest"]
    assert own["payloads"] == {}
    assert {row["payload"] for row in own["ledger"]} == {""}


def test_payloads_are_merged(serve: Any, load: Any) -> None:
    server = serve(refuses_large)
    parts = [load(server.url, calls=60, **{**MIX, "seed": seed}) for seed in (1, 2)]
    merged = merge(parts)["LoadTest"]
    seen = Counter(server.bodies)
    assert merged["payloads"]["small.json"] == {"weight": 3, "requests": seen[b"small"], "failed": 0}
    assert merged["payloads"]["large.json"]["failed"] == seen[b"large"]
    assert [one["seed"] for one in merged["arrivals"]] == [1, 2]
    heavier = load(server.url, calls=6, **{**MIX, "payload_weights": [4, 1, 0]})
    again = merge([merge(parts), heavier])["LoadTest"]
    assert again["payloads"]["small.json"]["weight"] is None
    assert again["payloads"]["large.json"]["weight"] == 1
    assert sum(row["requests"] for row in again["payloads"].values()) == 126 == again["requests"]


def test_each_request_carries_its_own_id_and_a_lost_one_can_be_looked_up(serve: Any, load: Any) -> None:
    def answer(visit: Any) -> None:
        own = re.search(rb"\r\nX-Correlation-Id: (\S+)", visit.head)
        assert own is not None
        seen.append(own.group(1).decode())
        if len(seen) % 4 == 0:
            # As a gateway does that gives requests ids of its own.
            visit.send(b"HTTP/1.1 503 No\r\nX-Request-Id: gateways-own\r\nContent-Length: 0\r\n\r\n")
        else:
            visit.ok()

    seen: list[str] = []
    server = serve(answer)
    own = load(server.url, calls=12, request_id_header="X-Correlation-Id")["LoadTest"]
    assert [row["sent_id"] for row in own["ledger"]] == seen[3::4]
    assert {row["request_id"] for row in own["ledger"]} == {"gateways-own"}
    load(server.url, calls=12, request_id_header="X-Correlation-Id")
    assert len(set(seen)) == 24  # of each request and run


def test_a_profile_is_followed_and_told(serve: Any, load: Any, clock: PolledClock) -> None:
    server = serve(lambda visit: visit.ok())
    profile = [Stretch(0, 20, 2 * SECOND), Stretch(0, 0, 3 * SECOND), Stretch(10, 10, SECOND)]
    result = load(server.url, profile=profile, seed=4)
    own = result["LoadTest"]
    assert own["requests"] == 30
    assert own["arrivals"] == [
        {
            "arrival": "uniform",
            "seed": 4,
            "profile": [
                {"from": 0.0, "to": 20.0, "seconds": 2.0},
                {"from": 0.0, "to": 0.0, "seconds": 3.0},
                {"from": 10.0, "to": 10.0, "seconds": 1.0},
            ],
            "send_times": 0,
            "repeat": False,
        }
    ]
    assert own["longest_pause"] == pytest.approx(3, abs=0.1)
    assert own["asked_rate"] == pytest.approx(5, rel=0.01)
    assert own["rate_kept"] is True
    assert own["unsent"] == 0
    assert result["ActualDuration"] == pytest.approx(6 * SECOND, rel=0.01)
    sent = [row["sent"] for row in own["timeline"]]
    assert sent[0] == 5  # half of 2 s: the ramp's first quarter
    assert sum(sent) == 30
    assert own["lateness"]["max"] < 0.1


def test_poisson_arrivals_wait_for_nobody(serve: Any, load: Any, clock: PolledClock) -> None:
    """All requests go out at their own times though none is answered."""
    server = serve(lambda visit: visit.hang())
    own = load(server.url, rate=20, duration=2 * SECOND, arrival="poisson", seed=9, timeout=SECOND // 2)[
        "LoadTest"
    ]
    intended = [row["intended"] for row in sorted(own["ledger"], key=lambda row: row["seq"])]
    gaps = [b - a for a, b in zip(intended, intended[1:])]
    assert own["classes"] == {"timeout": own["requests"]}
    assert max(gaps) > 3 * min(gaps)
    assert own["longest_pause"] >= max(gaps) - 1e-5
    assert own["lateness"]["max"] < 0.05


def test_a_trace_is_replayed(serve: Any, load: Any, clock: PolledClock) -> None:
    server = serve(lambda visit: visit.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
    times = [0, SECOND // 2, SECOND // 2, 2 * SECOND]
    own = load(server.url, send_times=times)["LoadTest"]
    intended = sorted(row["intended"] for row in own["ledger"])
    assert [round(at - intended[0], 3) for at in intended] == [0, 0.5, 0.5, 2]
    assert own["arrivals"][0]["arrival"] == "trace"
    assert own["arrivals"][0]["send_times"] == 4
    again = load(server.url, send_times=times, repeat=True, calls=6)["LoadTest"]
    assert again["requests"] == 6


def test_a_slow_server_makes_what_a_profile_asks_for_late_and_that_is_told(
    serve: Any, load: Any, clock: PolledClock
) -> None:
    def slow(visit: Any) -> None:
        released.wait(5)
        visit.ok()

    released = threading.Event()
    clock.at(2, released.set)
    server = serve(slow)
    own = load(server.url, profile=[Stretch(10, 10, 3 * SECOND)], max_connections=1, timeout=9 * SECOND)[
        "LoadTest"
    ]
    assert own["lateness"]["max"] > 1.5
    assert own["rate_kept"] is False


# What users write


def read(**arguments: Any) -> dict[str, Any]:
    return inputs.payload_options(arguments)


def test_payloads_as_users_write_them(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_bytes(b"\xff\x00")
    rows = [
        {"payload": {"a": 1}, "weight": 2.0},
        {"payload": "text", "name": "mine"},
        {"payload_file": str(file), "weight": 0.5},
    ]
    assert read(payloads=rows) == {
        "payloads": [b'{"a": 1}', b"text", b"\xff\x00"],
        "payload_names": ["payload 1", "mine", "large.json"],
        "payload_weights": [2.0, 1.0, 0.5],
    }
    assert not inputs.is_json({"payloads": rows})
    assert inputs.is_json({"payloads": rows[:1]})
    assert inputs.is_json({"payload": {"a": 1}})
    assert not inputs.is_json({"payload": "text"})
    assert not inputs.is_json({})


def test_payload_lines(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(b'{"a": 1}\n\n  {"b": "\xc3\xa4"}  \r\n[3]')
    assert read(payload_lines=str(file)) == {
        "payloads": [b'{"a": 1}', b'{"b": "\xc3\xa4"}', b"[3]"],
        "payload_names": ["line 1", "line 3", "line 4"],
        "payload_weights": [1.0] * 3,
    }
    assert inputs.is_json({"payload_lines": str(file)})
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n[3]\r\n')  # as Windows' editors begin a file
    assert read(payload_lines=str(file))["payloads"] == [b'{"a": 1}', b"[3]"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no payload"),
        (b"\n \n", "has no payload"),
        (b'{"a": 1}\n{secret', "Line 2 of the file of payloads .* is not JSON"),
        (b"[" * 100_000, "Line 1 of the file of payloads .* is not JSON"),
        (b'"\xff"\n', "Line 1 of the file of payloads .* is not JSON"),
        ('{"a": 1}'.encode("utf-16"), "Line 1 of the file of payloads .* is not JSON"),
        (b"1\n\xef\xbb\xbf2\n", "Line 2 of the file of payloads .* is not JSON"),
        (b"1\n" * (MAX_PAYLOADS + 1), "has more than 100000 lines"),
    ],
)
def test_payload_lines_that_cannot_be_sent(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(content)
    with pytest.raises(LoadError, match=why) as refused:
        read(payload_lines=str(file))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"weight": 1}], "Payload 1 of the list must have either payload or payload_file"),
        ([{"payload": 1}, {"payload": 1, "payload_file": "/x"}], "Payload 2 of the list must have either"),
        ([{"payload_file": "/nowhere/x"}], "payload file /nowhere/x cannot be read: No such file"),
        ([{"payload": float("nan")}], "holds what neither UTF-8 nor JSON can carry"),
    ],
)
def test_payloads_that_cannot_be_read(rows: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        read(payloads=rows)


def test_profiles_as_users_write_them() -> None:
    rows = [{"rate": 5.0, "duration": "1m"}, {"from": 5.0, "to": 0.0, "duration": "300ms"}]
    assert inputs.profile(rows) == [Stretch(5, 5, 60 * SECOND), Stretch(5, 0, 300_000_000)]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"duration": "1s"}, "Step 2 of the profile must have either a rate, or from and to"),
        ({"rate": 1.0, "to": 2.0, "duration": "1s"}, "Step 2 of the profile must have either a rate"),
        ({"from": 1.0, "duration": "1s"}, "Step 2 of the profile must have both from and to"),
        ({"rate": 1.0}, "Step 2 of the profile must have a duration"),
        ({"rate": 1.0, "duration": "soon"}, "The duration of step 2 'soon' cannot be read"),
    ],
)
def test_profiles_that_make_no_sense(row: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        inputs.profile([{"rate": 1.0, "duration": "1s"}, row])


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0\n0.5\n0.5\n2.25\n", [0, 0.5, 0.5, 2.25]),
        # BurstGPT's columns, and Azure's, whose times have seven digits.
        ("Timestamp,Model,Request tokens\n5,ChatGPT,472\n45,ChatGPT,1087\n", [0, 40]),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n"
            "2023-11-16 18:17:04.0319600,110,27\r\n",
            [0, 0.052],
        ),
        ('\ufeff"TIMESTAMP",x\n"2023-11-16T18:17:03Z",1\n"2023-11-16T20:17:04+02:00",1\n', [0, 1]),
        ("1e3\n1001\n\n1002", [0, 1, 2]),
    ],
)
def test_send_times_as_public_traces_have_them(tmp_path: Path, text: str, times: list[float]) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text, encoding="utf-8")
    assert inputs.send_times(str(file)) == [round(time * SECOND) for time in times]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no time"),
        (b"head,x\n", "has no time"),
        (b"head\nagain\n", "Line 2 of the file of send times .* begins with no time: 'again'"),
        (b"1\nnan\n", "Line 2 of the file of send times .* begins with no time: 'nan'"),
        (b"2\n1\n", "Line 2 of the file of send times .* is earlier than the one before it"),
        (b"\xff\xfe1\n", "is not UTF-8"),
    ],
)
def test_send_times_that_are_none(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_bytes(content)
    with pytest.raises(LoadError, match=why):
        inputs.send_times(str(file))


def arguments(**more: Any) -> dict[str, Any]:
    return {
        "url": "http://h/", "name": "x", "pacing": "open", "catch_up": True, "arrival": "uniform", "seed": 0,
        "repeat": False, "calls": 0, "connections": 1, "connection_modes": "both", "warmup": 0,
        "abort_failures": 0, "ledger_limit": 1, "verify": True, "labels": "", "timeout": "1s", **more,
    }  # fmt: skip


def test_what_says_when_requests_are_due() -> None:
    plain = ensure.options_from(arguments())
    assert (plain.rate, plain.duration) == (2, 300 * SECOND)
    shaped = ensure.options_from(arguments(profile=[{"rate": 1.0, "duration": "9s"}]))
    assert (shaped.rate, shaped.duration, shaped.planned_span) == (0, 0, 9 * SECOND)
    shaped.check()
    with pytest.raises(LoadError, match="Only one of rate and profile"):
        ensure.options_from(arguments(rate=1.0, profile=[{"rate": 1.0, "duration": "9s"}]))
    with pytest.raises(LoadError, match="The profile has no step"):
        ensure.options_from(arguments(profile=[]))


def test_payloads_of_a_list_are_not_shown() -> None:
    shown = ensure.shown({"payloads": [{"payload": "s3cret", "name": "a"}, {"payload_file": "/x"}]})
    assert "s3cret" not in json.dumps(shown)
    assert shown["payloads"][0]["name"] == "a"
    assert shown["payloads"][1] == {"payload_file": "/x"}
