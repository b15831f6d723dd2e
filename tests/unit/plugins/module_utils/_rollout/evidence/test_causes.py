# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened around losses: found, nearest first, and not more than that."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.causes import (
    BEFORE_SECONDS,
    causes,
    sentence,
    windows,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import Lost

START = 1_000_000.0


def lost(at: float, revision: str = "m-2", flags: str = "", kind: str = "status") -> Lost:
    return Lost(START + at, kind, revision, "new", 503 if kind == "status" else None, {}, flags)


def pod(
    at: float, ready: bool = True, revision: str = "m-2", gone: bool = False, **status: Any
) -> dict[str, Any]:
    metadata = {"name": f"p-{revision}", "labels": {"serving.knative.dev/revision": revision}}
    whole = {"conditions": [{"type": "Ready", "status": str(ready)}], **status}
    obj = {"kind": "Pod", "metadata": metadata, "status": whole}
    return {"time": START + at, "feed": "pod", "type": "deleted" if gone else "present", "object": obj}


def service(at: float, **traffic: int) -> dict[str, Any]:
    entries = [{"revisionName": name.replace("_", "-"), "percent": share} for name, share in traffic.items()]
    status = {"components": {"predictor": {"traffic": entries}}}
    obj = {"kind": "InferenceService", "metadata": {"name": "m"}, "status": status}
    return {"time": START + at, "feed": "inferenceservice", "type": "present", "object": obj}


def warning(at: float, kind: str, reason: str) -> dict[str, Any]:
    about = {"kind": kind, "name": "x"}
    obj = {
        "kind": "Event",
        "metadata": {"name": f"e{at}"},
        "type": "Warning",
        "reason": reason,
        "involvedObject": about,
    }
    return {"time": START + at, "feed": "event", "type": "present", "object": obj}


def ended(reason: str, restarts: int) -> dict[str, Any]:
    last = {"terminated": {"reason": reason, "exitCode": 137}}
    return {"containerStatuses": [{"name": "c", "restartCount": restarts, "lastState": last}]}


def found(row: dict[str, Any]) -> dict[str, Any]:
    """It was there when the observer came."""
    return {**row, "listed": True}


def around(rows: list[dict[str, Any]], *failed: Lost) -> list[str]:
    (cause,) = causes(failed or (lost(10.0), lost(10.2)), rows)
    return [each["kind"] for each in cause["around"]]


def test_losses_make_a_window_as_long_as_no_second_passes_between_two_sends():
    found = windows([lost(5.0), lost(0.0), lost(0.9), lost(1.8), lost(5.5)])
    assert [(each.begin, len(each.lost)) for each in found] == [(START, 3), (START + 5, 2)]
    assert [each.end for each in found] == [START + 1.8, START + 5.5]


def test_a_container_killed_for_its_memory_is_told():
    rows = [pod(0.0, **ended("", 0)), pod(9.9, ready=False, **ended("OOMKilled", 1))]
    (cause,) = causes([lost(10.0), lost(10.2)], rows)
    kinds = {each["kind"]: each for each in cause["around"]}
    assert set(kinds) == {"restarted", "unready"}
    assert "OOMKilled" in kinds["restarted"]["what"]
    assert kinds["restarted"]["seconds"] == pytest.approx(-0.1)
    assert "around" in sentence(cause)
    assert "because" not in sentence(cause)


def test_the_nearest_comes_first_whether_before_or_after():
    rows = [
        pod(0.0),
        warning(2.0, "Pod", "Unhealthy"),
        warning(9.0, "Node", "NodeNotReady"),
        pod(10.5, gone=True),
    ]
    assert around(rows) == ["gone", "node", "warning"]


def test_moves_of_the_traffic_do_not_crowd_out_a_pods_own_end():
    moves = [service(10.0 + second, m_1=90 - second, m_2=10 + second) for second in range(12)]
    kinds = around([pod(0.0), *moves, pod(22.5, ready=False)], *(lost(10.0 + at / 2) for at in range(26)))
    assert "unready" in kinds
    assert 0 < kinds.count("traffic") < len(moves)


def test_weights_that_move_before_the_revision_is_ready():
    rows = [pod(0.0, ready=False), service(1.0, m_1=100), service(9.5, m_1=90, m_2=10)]
    assert around(rows) == ["traffic", "not_ready"]
    rows[0] = pod(0.0, ready=True)
    assert around(rows) == ["traffic"]


def test_what_happens_to_a_revision_that_was_not_asked_is_no_cause():
    rows = [pod(0.0), pod(0.0, revision="m-1"), pod(9.9, ready=False, revision="m-1")]
    assert around(rows) == []
    assert around(rows, lost(10.0, "m-1")) == ["unready"]
    # Who was asked is not known: anybody may have been.
    assert around(rows, lost(10.0, "")) == ["unready"]


@pytest.mark.parametrize("at", [10.0 - BEFORE_SECONDS - 1, 20.0])
def test_what_is_far_away_is_no_cause(at):
    assert around([pod(-100.0), warning(at, "Pod", "Unhealthy")]) == []


def test_the_gateways_own_flags_are_told():
    (cause,) = causes([lost(10.0, flags="UH"), lost(10.1, flags="UH"), lost(10.2, flags="UF")], [])
    assert cause["flags"] == {"UH": 2, "UF": 1}
    assert "UH" in sentence(cause)


def test_without_observations_it_says_so():
    (cause,) = causes([lost(10.0)], [])
    assert cause["around"] == []
    assert sentence(cause) == "1 lost: nothing was seen to happen around it"


def test_no_loss_has_no_cause():
    assert causes([], [pod(0.0), pod(1.0, ready=False)]) == []


def test_rows_that_are_none_are_left_out():
    rows = [
        {},
        {"time": "x", "object": {}},
        {"time": 1.0, "type": "unobserved"},
        {"time": START + 9.9, "object": []},
    ]
    assert around(rows) == []


def test_what_was_found_when_the_observer_came_did_not_happen_then() -> None:
    rows = [
        found(warning(5.0, "Pod", "Unhealthy")),
        found(pod(5.0, **ended("OOMKilled", 4))),
        pod(9.0, **ended("OOMKilled", 5)),
        warning(9.5, "Pod", "BackOff"),
    ]
    assert around(rows) == ["warning", "restarted"]
