# SPDX-License-Identifier: GPL-3.0-or-later
"""One load, sent by one generator or by several: the result is the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.generators import (
    GeneratorResult,
    merge_generators,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.merge import merge
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.together import NOTED_SECONDS
from ansible_collections.iter8.kfserving.tests.support import artefacts
from ansible_collections.iter8.kfserving.tests.support.loads import SECOND, Request, result
from hypothesis import given, settings
from hypothesis import strategies as st

MILLISECOND = 1_000_000
TIMES = st.integers(1, 3 * SECOND)  # nothing is answered at the moment at which it was sent
REQUESTS = st.lists(
    st.builds(
        Request,
        late=st.one_of(st.just(0), st.integers(0, SECOND)),
        took=st.one_of(st.integers(1000, 50 * MILLISECOND), TIMES),
        failed_as=st.sampled_from(["", "", "", "", "reset", "timeout"]),
        revision=st.sampled_from(["baseline", "canary"]),
        mode=st.sampled_from(["new", "keep-alive"]),
    ),
    min_size=1,
    max_size=60,
)
# What is a sum or a list of all requests, and so the same however they are divided.
SAME = (
    "started", "ended", "ok", "requests", "failed", "unsent", "classes", "revisions", "ledger_dropped",
    "lateness", "response_time", "response_time_by_revision", "asked_rate", "warmup",
)  # fmt: skip


def plain(rows: Iterable[dict[str, Any]], *without: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in without} for row in rows]


def generators(requests: list[Request], rate: int, parts: int) -> list[GeneratorResult]:
    """The results of all parts, which are there as they would be in files."""
    made = [result(requests, rate, part, parts) for part in range(parts)]
    return [
        GeneratorResult(f"host-{part}", part, lambda one=one: json.loads(json.dumps(one)), (-0.01, 0.02))  # type: ignore[misc]
        for part, one in enumerate(made)
    ]


def counts(result: dict[str, Any]) -> dict[str, Any]:
    """All that is the same however the requests are divided."""
    own = result["LoadTest"]
    told: dict[str, Any] = {name: own[name] for name in SAME}
    told["codes"] = result["RetCodes"]
    for name in ("histograms", "response_histograms"):
        told[name] = {
            key: {**one, "counts": [list(pair) for pair in one["counts"]]} for key, one in own[name].items()
        }
    told["modes"] = {n: (mode["requests"], mode["failed"]) for n, mode in own["connection_modes"].items()}
    told["seconds"] = [
        {**row, "revisions": dict(sorted(row["revisions"].items()))}
        for row in plain(own["timeline"], "p50", "p99", "gaps")
        if row["sent"] or row["ok"] or row["failed"]
    ]
    told["ledger"] = sorted(plain(own["ledger"], "generator"), key=lambda row: (row["end"], row["seq"]))
    return told


def gaps(result: dict[str, Any]) -> dict[str, Any]:
    own = result["LoadTest"]
    modes = {name: mode["longest_success_gap"] for name, mode in own["connection_modes"].items()}
    return {"all": own["longest_success_gap"], **modes}


@settings(max_examples=150, deadline=None)
@given(requests=REQUESTS, rate=st.sampled_from([1, 3, 20, 1000]), parts=st.integers(2, 5))
def test_the_parts_add_up_to_the_whole(requests: list[Request], rate: int, parts: int) -> None:
    whole = result(requests, rate)
    merged = merge_generators(generators(requests, rate, parts))
    assert counts(merged) == counts(whole)
    for name, gap in gaps(whole).items():
        mine = gaps(merged)[name]
        if gap is None:
            assert mine is None
        elif gap["seconds"] > NOTED_SECONDS + 1e-5:
            assert mine["seconds"] == pytest.approx(gap["seconds"], abs=3e-6), name
        else:
            assert gap["seconds"] - 1e-5 <= mine["seconds"], name


@settings(max_examples=50, deadline=None)
@given(
    took=st.lists(st.integers(MILLISECOND, 2 * SECOND), min_size=20, max_size=60),
    rate=st.sampled_from([3, 20]),
    parts=st.integers(2, 4),
)
def test_the_longest_gap_is_exact_where_all_succeed(took: list[int], rate: int, parts: int) -> None:
    requests = [Request(0, time) for time in took]
    whole = gaps(result(requests, rate))["all"]["seconds"]
    mine = gaps(merge_generators(generators(requests, rate, parts)))["all"]["seconds"]
    if whole > NOTED_SECONDS + 1e-5:
        assert mine == pytest.approx(whole, abs=3e-6)
    else:
        assert whole - 1e-5 <= mine <= NOTED_SECONDS + 1e-5


def one_failure() -> list[Request]:
    return [Request(0, MILLISECOND, "reset" if number == 7 else "") for number in range(30)]


def test_what_is_told_of_each_generator() -> None:
    found = generators(one_failure(), 10, 3)
    merged = merge_generators(reversed(found))
    own = merged["LoadTest"]
    assert list(artefacts.CHECKS["load.json"](json.dumps(merged))) == []
    assert [(row["name"], row["index"], row["of"], row["phase"]) for row in own["generators"]] == [
        ("host-0", 0, 3, 0.0), ("host-1", 1, 3, 0.1), ("host-2", 2, 3, 0.2),
    ]  # fmt: skip
    assert [(row["requests"], row["failed"], row["state"]) for row in own["generators"]] == [
        (10, 0, "stopped"), (10, 1, "stopped"), (10, 0, "stopped"),
    ]  # fmt: skip
    assert [row["generator"] for row in (*own["ledger"], *own["outages"])] == ["host-1", "host-1"]
    assert {str(row["clock_offset"]) for row in own["generators"]} == {"{'low': -0.01, 'high': 0.02}"}
    assert (own["part"], own["asked_rate"], own["state"]) == (None, 10, "stopped")


def test_a_generator_that_left_nothing_is_named_and_the_load_did_not_end_well() -> None:
    found = generators(one_failure(), 10, 3)
    gone = GeneratorResult("host-1", 1, lambda: None, None, "unreachable")
    merged = merge_generators([found[0], gone, found[2]])
    own = merged["LoadTest"]
    assert list(artefacts.CHECKS["load.json"](json.dumps(merged))) == []
    assert (own["state"], own["rate_kept"]) == ("interrupted", False)
    assert (own["requests"], own["asked_rate"]) == (20, 10)
    assert (own["generators"][1]["state"], own["generators"][1]["problem"]) == ("missing", "unreachable")
    assert own["generators"][1]["requests"] is None


def test_what_does_not_belong_together_is_refused() -> None:
    found = generators(one_failure(), 10, 3)
    with pytest.raises(LoadError, match=r"parts are \[0, 2\]"):
        merge_generators([found[0], found[2]])
    with pytest.raises(LoadError, match="host-1 is not that of part 1 of 3"):
        merge_generators([found[0], GeneratorResult("host-1", 1, found[2].read), found[2]])
    alone = GeneratorResult("alone", 0, lambda: result(one_failure(), 10))
    with pytest.raises(LoadError, match="not that of part 0 of 1, but of None"):
        merge_generators([alone])
    with pytest.raises(LoadError, match="No generator left a result: a: unreachable; b: missing"):
        merge_generators(
            [
                GeneratorResult("a", 0, lambda: None, None, "unreachable"),
                GeneratorResult("b", 1, lambda: None),
            ]
        )


def test_what_is_merged_is_not_changed() -> None:
    made = [result(one_failure(), 10, part, 2) for part in range(2)]
    before = copy.deepcopy(made)
    merge(made)
    assert made == before


def test_seconds_that_were_not_kept_may_have_been_a_gap() -> None:
    requests = [Request(0, MILLISECOND) for _number in range(100)]
    made = [result(requests, 10, part, 2) for part in range(2)]
    assert merge(made)["LoadTest"]["longest_success_gap"]["seconds"] == 0.1
    for one in made:
        one["LoadTest"]["timeline"] = [
            row for row in one["LoadTest"]["timeline"] if row["second"] % 10 not in (4, 5)
        ]
        one["LoadTest"]["timeline_dropped"] = 2
    assert merge(made)["LoadTest"]["longest_success_gap"]["seconds"] >= 2
