# SPDX-License-Identifier: GPL-3.0-or-later
"""Which payload a request carries: by weight, and by its number and the seed alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.grpc.method import Calls
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.request import Turns, build
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.target import parse_url
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.payloads import (
    OTHERS,
    WeightedChoice,
    names,
)
from hypothesis import given
from hypothesis import strategies as st


def test_draws_come_by_weight() -> None:
    choice = WeightedChoice([8, 0, 1.5, 0.5, 0], 3)
    counts = Counter(choice(k) for k in range(20_000))
    assert set(counts) == {0, 2, 3}
    # Within five standard deviations.
    assert abs(counts[0] - 16_000) < 5 * (20_000 * 0.8 * 0.2) ** 0.5
    assert abs(counts[3] - 1_000) < 5 * (20_000 * 0.05 * 0.95) ** 0.5


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), max_size=5), st.integers(0, 99))
def test_a_draw_depends_on_number_and_seed_alone(number: int, before: list[int], seed: int) -> None:
    weights = [1.0, 2.0, 3.0]
    choice = WeightedChoice(weights, seed)
    for other in before:
        choice(other)
    assert choice(number) == WeightedChoice(weights, seed)(number)


def test_another_seed_draws_others() -> None:
    def drawn(seed: int) -> list[int]:
        choice = WeightedChoice([1.0] * 4, seed)
        return [choice(k) for k in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    # Held fast, so that no version of Python draws others.
    assert drawn(1)[:12] == [3, 2, 0, 3, 0, 3, 3, 2, 2, 3, 0, 1]


def test_names() -> None:
    assert names(2, ()) == ["payload 1", "payload 2"]
    assert names(2, ["a", "b"]) == ["a", "b"]
    assert names(1002, ())[998:] == ["payload 999", "payload 1000", OTHERS, OTHERS]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"payload_weights": [1]}, "one weight for each payload"),
        ({"payload_weights": [1, -1]}, "must be a finite number of 0 or more"),
        ({"payload_weights": [1, float("inf")]}, "must be a finite number of 0 or more"),
        ({"payload_weights": [0, 0]}, "One payload at least must have a weight above 0"),
        ({"payload_names": ["a"]}, "one name for each payload"),
        ({"payload_names": ["a", "a"]}, "Two payloads are named 'a'"),
        ({"payload_names": ["a", "b\n"]}, "must be 1 to 200 printable characters"),
        ({"payload_names": ["a", ""]}, "must be 1 to 200 printable characters"),
        ({"payloads": [b""] * 100_001}, "There are 100001 payloads, and at most 100000"),
        ({"request_id_header": "A B"}, "request_id_header 'A B' is not a name that HTTP allows"),
        ({"request_id_header": "Host"}, "request_id_header 'Host' has a meaning of its own"),
        ({"request_id_header": "Content-Length"}, "has a meaning of its own"),
        ({"request_id_header": "X-Id", "headers": [("x-id", "1")]}, "'X-Id' is given, and cannot be"),
    ],
)
def test_payloads_that_make_no_sense(more: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        Options(url="http://h/", **{"payloads": [b"a", b"b"], **more}).check()


def heads(options: Options) -> list[bytes]:
    return [bytes(t.buffer) for t in build(options, parse_url(options), "run", close=False)]


def test_an_id_in_a_header_of_ones_own_is_the_same_as_that_in_x_request_id() -> None:
    options = Options(url="http://h/", request_id_header="X-Correlation-Id")
    template = build(options, parse_url(options), "run", close=False)[0]
    template.stamp(42)
    assert b"\r\nX-Request-Id: run-0000000042\r\nX-Correlation-Id: run-0000000042\r\n\r\n" in template.buffer
    assert template.own_id(42) == template.request_id(42) == "run-0000000042"


def test_where_the_user_gives_x_request_id_only_the_other_header_has_the_id() -> None:
    options = Options(
        url="http://h/", request_id_header="X-Correlation-Id", headers=[("X-Request-Id", "mine")]
    )
    template = build(options, parse_url(options), "run", close=False)[0]
    template.stamp(7)
    assert template.buffer.count(b"run-0000000007") == 1
    assert (template.request_id(7), template.own_id(7)) == (None, "run-0000000007")


def test_the_header_may_be_x_request_id_itself_and_goes_out_once() -> None:
    (head,) = heads(Options(url="http://h/", request_id_header="x-request-id"))
    assert head.lower().count(b"x-request-id:") == 1


def test_each_mode_draws_by_the_requests_number() -> None:
    options = Options(
        url="http://h/",
        payloads=[b"one", b"two"],
        payload_weights=[3, 1],
        payload_names=["small", "large"],
        connection_modes="both",
        seed=5,
    )
    turns = Turns(options, parse_url(options), "run")
    carried = [turns.mix.names[turns.template(k).payload] for k in range(4000)]
    for parity in (0, 1):
        assert abs(carried[parity::2].count("large") - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5
    again = Turns(options, parse_url(options), "other")
    assert [again.mix.names[again.template(k).payload] for k in range(4000)] == carried


def test_grpc_draws_and_stamps_alike() -> None:
    payload = b'{"inputs": [{"name": "x", "shape": [%d], "datatype": "FP32", "data": [%s]}]}'
    options = Options(
        url="grpc://h:1/v2/models/m",
        payloads=[payload % (1, b"1"), payload % (2, b"1,2")],
        payload_weights=[3, 1],
        payload_names=["small", "large"],
        request_id_header="X-Correlation-Id",
        seed=5,
    )
    options.check()
    calls = Calls(options, parse_url(options), "run")
    plain = WeightedChoice([3, 1], 5)
    sizes = [len(calls.make(k, options.timeout).body) for k in range(200)]
    assert [size == max(sizes) for size in sizes] == [plain(k) == 1 for k in range(200)]
    fields = calls.make(7, options.timeout).own
    assert (b"x-request-id", b"run-0000000007") in fields
    assert (b"x-correlation-id", b"run-0000000007") in fields
    assert calls.sent_id(7) == calls.request_id(7) == "run-0000000007"
