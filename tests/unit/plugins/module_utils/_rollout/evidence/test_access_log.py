# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import (
    AccessLog,
    Format,
    Ids,
    LogEntry,
    LogReader,
    read_ids,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.flags import MEANINGS, meaning
from hypothesis import given
from hypothesis import strategies as st

ISTIO_CLUSTER = "outbound|80||my-model-wl2cv.default.svc.cluster.local"


def line(number: int, prefix: str = "ab12-", **changes: Any) -> bytes:
    """A line of Istio's log in JSON."""
    row = {
        "request_id": f"{prefix}{number:010d}",
        "start_time": "2026-11-25T08:00:01.900Z",
        "duration": 150,
        "response_code": 200,
        "response_flags": "-",
        "upstream_cluster": ISTIO_CLUSTER,
        **changes,
    }
    return json.dumps(row).encode() + b"\n"


def read(*lines: bytes, wanted: tuple[str, ...] = (), **form: Any) -> AccessLog:
    """What these lines say of a load with the ids from 1 to 100."""
    reader = LogReader(Format(**form), [Ids("ab12-", 1, 100)], wanted)
    for one in lines:
        reader.add(one)
    return reader.log()


def test_requests_are_counted_by_status_revision_and_the_second_in_which_they_ended() -> None:
    log = read(
        line(1),
        line(2, duration=50),
        line(
            3,
            response_code=503,
            response_flags="UH",
            upstream_cluster=ISTIO_CLUSTER.replace("wl2cv", "zwjbq"),
        ),
    )
    assert (log.lines, log.unread, log.requests, log.repeated) == (3, 0, 3, 0)
    assert log.statuses == {"200": 2, "503": 1}
    assert log.revisions == {"my-model-wl2cv": 2, "my-model-zwjbq": 1}
    # 08:00:02.050 and 08:00:01.950
    assert log.seconds == {
        1795593602: {"my-model-wl2cv": 1, "my-model-zwjbq": 1},
        1795593601: {"my-model-wl2cv": 1},
    }
    assert (log.first, log.last) == (1795593601.9, pytest.approx(1795593602.05))


def test_other_loads_and_other_requests_are_not_counted() -> None:
    log = read(line(1), line(1, prefix="cd34-"), line(1, request_id=None), line(0), line(101), line(100))
    assert (log.lines, log.requests) == (6, 2)


@pytest.mark.parametrize(
    "name",
    ["ab12-", "ab12-x", "ab12-²", "ab12-1 2", "xab12-0000000001", "ab12--000000001"],
)
def test_what_only_looks_like_an_id_is_none(name: str) -> None:
    assert read(line(1, request_id=name)).requests == 0


def test_text_around_and_between_is_skipped() -> None:
    log = read(
        b"[Envoy (Epoch 0)] [2026-11-25 08:00:00.000][21] [info] all clusters initialized\n",
        b"istio-ingressgateway-7d6 " + line(1),
        b'[2026-11-25T08:00:00.000Z] "POST / HTTP/1.1" 200 - "-" 5 2 1 1 "ab12-0000000002"\n',
        line(3)[:60],
        b"\n",
        b"[1, 2]\n",
        b'{"a": "ab12-", "request_id": {}}\n',
        b'{"request_id": "ab12-0000000004", "path": ' + b"[" * 60_000 + b"\n",
    )
    assert (log.lines, log.requests, log.unread) == (8, 1, 3)


def test_the_same_line_twice_is_one_and_another_of_the_same_request_is_not() -> None:
    log = read(
        line(1), line(1), line(1).rstrip(), line(2), line(2, response_code=503), line(2, response_code=200)
    )
    assert (log.requests, log.repeated) == (2, 1)
    assert log.statuses == {"200": 2}


def test_the_entries_of_failures_are_kept_whatever_their_ids() -> None:
    """A gateway that makes ids of its own tells them in its response, and the load keeps that."""
    log = read(
        line(1, response_code=503, response_flags="UF,URX"),
        line(2),
        line(
            0, request_id="made-by-the-gateway", response_code=404, response_flags="NR", upstream_cluster=None
        ),
        line(0, request_id="of-somebody-else"),
        wanted=("ab12-0000000001", "made-by-the-gateway"),
    )
    assert log.entries == {
        "ab12-0000000001": LogEntry(503, "UF,URX", "my-model-wl2cv", 1795593601.9),
        "made-by-the-gateway": LogEntry(404, "NR", "", 1795593601.9),
    }
    assert log.requests == 2


@pytest.mark.parametrize(
    ("cluster", "revision"),
    [
        (ISTIO_CLUSTER, "my-model-wl2cv"),
        ("default/my-model-wl2cv", "my-model-wl2cv"),
        ("my-model-wl2cv", "my-model-wl2cv"),
        ("outbound|80|v1|a.b", "a"),
        ("-", ""),
        ("", ""),
        (None, ""),
        ("a|", ""),
        (7, "7"),
    ],
)
def test_the_revision_in_the_upstreams_name(cluster: Any, revision: str) -> None:
    assert read(line(1, upstream_cluster=cluster)).revisions == {revision: 1}


def test_names_of_fields_and_the_pattern_may_be_given() -> None:
    row = {"id": "ab12-0000000001", "at": 1000.25, "ms": "250", "code": "200", "to": "v-7.pool"}
    form = {
        "fields": {"request_id": "id", "time": "at", "duration": "ms", "status": "code", "upstream": "to"},
        "revision": r"^v-(\d+)",
    }
    log = read(json.dumps(row).encode(), **form)
    assert (log.statuses, log.seconds) == ({"200": 1}, {1000: {"7": 1}})
    assert log.last == 1000.5


@pytest.mark.parametrize("status", ["soon", None, "²", "-1", "99999", 1.5])
def test_a_status_that_is_none_is_counted_as_such(status: Any) -> None:
    assert read(line(1, response_code=status)).statuses == {"None": 1}


@pytest.mark.parametrize("flags", ["-", "", None, 5, "<b>", "UH UF", "U" + "H," * 3])
def test_what_is_no_flag_is_left_out(flags: Any) -> None:
    log = read(line(1, response_flags=flags), wanted=("ab12-0000000001",))
    assert log.entries["ab12-0000000001"].flags == ""


@pytest.mark.parametrize("time", ["soon", None, "9" * 400, 1e300, "nan", {}])
def test_a_request_whose_time_cannot_be_read_is_counted_in_no_second(time: Any) -> None:
    log = read(line(1, start_time=time))
    assert log.requests == 1
    assert (log.seconds, log.first, log.last) == ({}, None, None)


@pytest.mark.parametrize("duration", [None, "soon", [], "-"])
def test_without_a_duration_it_ended_when_it_came(duration: Any) -> None:
    assert list(read(line(1, duration=duration)).seconds) == [1795593601]


@given(st.lists(st.binary(max_size=80)))
def test_rubbish_is_survived(pieces: list[bytes]) -> None:
    log = read(*[b'{"request_id": "ab12-0000000001", ' + piece for piece in pieces], line(1))
    assert log.lines == len(pieces) + 1
    assert log.requests == 1


@given(st.integers(0, 200))
def test_a_line_torn_anywhere_is_no_error_and_no_other_request(cut: int) -> None:
    whole = line(7)
    log = read(whole[:cut], line(8))
    assert log.requests == (2 if cut >= len(whole) - 1 else 1)


@pytest.mark.parametrize(
    ("result", "ids"),
    [
        ({"LoadTest": {"request_ids": [{"prefix": "a-", "first": 11, "last": 20}]}}, [Ids("a-", 11, 20)]),
        ({"LoadTest": {"request_ids": []}}, []),
        ({"LoadTest": {}}, []),
        ({"LoadTest": {"request_ids": "x"}}, []),
        ({"LoadTest": {"request_ids": [3, {}, {"prefix": 1, "first": 1, "last": 2}]}}, []),
        ({"LoadTest": {"request_ids": [{"prefix": "a-", "first": True, "last": 2}]}}, []),
        ({"LoadTest": {"request_ids": [{"prefix": "", "first": 1, "last": 2}]}}, []),
        ({"LoadTest": {"request_ids": [{"prefix": "a-", "first": 3, "last": 2}]}}, []),
        ({"LoadTest": {"request_ids": [{"prefix": "a-", "first": 1, "last": 10**12}]}}, []),
        (None, []),
        ({"LoadTest": 3}, []),
    ],
)
def test_the_ids_of_a_load(result: Any, ids: list[Ids]) -> None:
    assert read_ids(result) == ids


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"revision": "("}, "revision_pattern is not a regular expression"),
        ({"revision": "abc"}, "revision_pattern has no group"),
        ({"fields": {"id": "x"}}, "there is no field 'id', only request_id, time"),
    ],
)
def test_a_format_that_makes_no_sense_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Format(**wrong)


def test_flags_are_shown_with_their_meaning() -> None:
    assert meaning("UH") == f"UH, {MEANINGS['UH']}"
    assert meaning("UF,URX") == f"UF, {MEANINGS['UF']}; URX, {MEANINGS['URX']}"
    assert meaning("QQ") == "QQ"
    assert {"UH", "UF", "UC", "NC", "NR", "UT"} <= set(MEANINGS)
