# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on the rollouts that were recorded on a real cluster."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import decide
from ansible_collections.iter8.kfserving.tests.support.observed import recorded, replicasets
from ansible_collections.iter8.kfserving.tests.support.recordings import NAMES

PROMOTED, ROLLED_BACK = Thresholds(), Thresholds(expect_winner="baseline")
SEVERAL = {"known_revisions_only": "inconclusive"}
NEVER_ASKED = {"canary_got_traffic": "inconclusive"}
LOST = {"nothing_lost": "fail"}
# By recording: what is expected of it, how many requests it lost by the notes of that day, and every reason
# against a pass.
VERDICTS: dict[str, tuple[Thresholds, int, dict[str, str]]] = {
    "knative-abrupt": (PROMOTED, 0, {}),
    "knative-promote": (PROMOTED, 0, {}),
    "knative-promote-500s": (PROMOTED, 0, {}),
    "knative-no-canary": (PROMOTED, 0, {}),
    "knative-rollback-after-scale-down": (ROLLED_BACK, 0, {}),
    # Several canaries one after the other, the rejected ones asked as well.
    "knative-canary-at-zero": (PROMOTED, 0, SEVERAL),
    "knative-reject-then-next": (PROMOTED, 0, SEVERAL),
    "knative-rollback-after-promotion": (PROMOTED, 0, SEVERAL),
    "knative-rollback-and-clean-up": (PROMOTED, 0, SEVERAL),
    "knative-canary-errors": (ROLLED_BACK, 121, LOST),
    "knative-never-ready": (ROLLED_BACK, 0, NEVER_ASKED),
    "knative-image-not-there": (
        PROMOTED,
        0,
        {"traffic_moved": "fail", "ready_at_end": "fail", **NEVER_ASKED},
    ),
    # Its status says that the canary is ready and has 25 %.
    "standard-canary-in-0.20.0": (PROMOTED, 0, {"traffic_moved": "fail", **NEVER_ASKED}),
    "standard-careful": (PROMOTED, 13, LOST),
    "standard-careful-drain": (PROMOTED, 0, {}),
    "standard-naive": (PROMOTED, 1502, {**LOST, "gap_short": "fail"}),
    "standard-naive-drain": (PROMOTED, 6, LOST),
    "standard-rollback": (ROLLED_BACK, 8, LOST),
    "standard-rollback-by-0": (ROLLED_BACK, 5, LOST),
    "standard-rollback-by-0-drain": (ROLLED_BACK, 0, {}),
    "standard-rolling": (PROMOTED, 6, LOST),
    "standard-rolling-drain": (PROMOTED, 0, {}),
}
# The stable Deployment takes over the canary's model: two ReplicaSets of one version.
NOT_JUDGED = {"standard-inplace"}


def evidence(name: str) -> Evidence:
    names = dict(zip(("v1", "v2"), replicasets(name)))
    return recorded(name, names)


def reasons(made: Evidence, thresholds: Thresholds = PROMOTED) -> dict[str, str]:
    return {rule.name: finding.grade.value for rule, finding in decide(made, thresholds).reasons()}


def test_every_recording_is_judged() -> None:
    assert set(NAMES) == set(VERDICTS) | NOT_JUDGED


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_recorded_rollout_gets_the_verdict_that_its_load_deserves(name: str) -> None:
    thresholds, lost, expected = VERDICTS[name]
    made = evidence(name)
    verdict = decide(made, thresholds)
    assert verdict.as_dict()["failed"] == lost
    assert reasons(made, thresholds) == expected
    other = ROLLED_BACK if thresholds is PROMOTED else PROMOTED
    ended_well = "traffic_moved" not in expected
    assert ("traffic_moved" in reasons(made, other)) is ended_well


def test_in_standard_mode_nothing_is_proven_without_what_the_observer_saw() -> None:
    made = replace(evidence("standard-careful-drain"), observations=None)
    assert reasons(made) == {"traffic_moved": "inconclusive"}


def test_a_rolling_update_is_judged_by_who_answered_not_by_weights() -> None:
    made = evidence("standard-rolling-drain")
    phases = [(phase["name"], phase["weights"]) for phase in decide(made).as_dict()["phases"]]
    assert ("canary at an unknown weight", {}) in phases
    load: dict[str, Any] = copy.deepcopy(dict(made.load or {}))
    new = replicasets("standard-rolling-drain")[1]
    late = load["LoadTest"]["timeline"][-2]["revisions"]
    late[replicasets("standard-rolling-drain")[0]] = late.pop(new)
    assert reasons(replace(made, load=load)).get("none_at_weight_zero") == "fail"


STANDARD = sorted(name for name in NAMES if name.startswith("standard"))
# The canary was never asked, so nothing could be learned of it.
LEARNED = {name: VERDICTS.get(name, (PROMOTED, 8, LOST)) for name in STANDARD}


@pytest.mark.parametrize("name", STANDARD)
def test_a_version_that_answers_tell_is_learned(name: str) -> None:
    """The model said v1 or v2, which are no revisions: nothing is known of them but what the load saw."""
    thresholds, lost, expected = LEARNED[name]
    made = recorded(name, learned=True)
    assert decide(made, thresholds).as_dict()["failed"] == lost
    assert reasons(made, thresholds) == expected
    if "canary_got_traffic" not in expected:
        named = decide(made, thresholds).as_dict()
        assert any("The baseline was told by v1" in each for each in named["not_covered"])


def test_without_the_playbooks_word_nothing_is_learned() -> None:
    assert reasons(recorded("standard-careful-drain"))["answers_named"] == "inconclusive"


def test_what_both_say_tells_nothing() -> None:
    made = recorded("standard-careful-drain", {"v2": "v1"}, learned=True)
    verdict = decide(made, PROMOTED)
    assert verdict.grade.value == "inconclusive"
    assert "the answers say v1 of both revisions" in verdict.summary


def test_what_one_says_differently_each_time_tells_nothing() -> None:
    made = recorded("standard-careful-drain", learned=True)
    seconds = (made.load or {})["LoadTest"]["timeline"]
    for number, second in enumerate(seconds):
        if "v2" in second["revisions"] and number % 2:
            second["revisions"]["v3"] = second["revisions"].pop("v2")
    half = sum(second["revisions"].get("v3", 0) for second in seconds)
    own = (made.load or {})["LoadTest"]["revisions"]
    own["v2"]["requests"] -= half
    own["v3"] = {"requests": half, "failed": 0}
    verdict = decide(made, PROMOTED)
    assert verdict.grade.value == "inconclusive"
    assert "several things: v2, v3" in verdict.summary


def test_a_late_answer_of_the_baseline_is_still_seen() -> None:
    made = recorded("standard-careful-drain", learned=True)
    second = (made.load or {})["LoadTest"]["timeline"][-3]
    second["revisions"] = Counter({"v1": second["revisions"]["v2"]})
    own = (made.load or {})["LoadTest"]["revisions"]
    own["v2"]["requests"] -= second["revisions"]["v1"]
    own["v1"]["requests"] += second["revisions"]["v1"]
    assert reasons(made)["none_at_weight_zero"] == "fail"


def test_a_pod_that_is_named_is_one_of_its_revision() -> None:
    name = "standard-careful-drain"
    old, new = replicasets(name)
    pods = {}
    for row in recorded(name).observations or ():
        obj = row.get("object") or {}
        if obj.get("kind") == "Pod":
            pods.setdefault(obj["metadata"]["ownerReferences"][0]["name"], obj["metadata"]["name"])
    made = recorded(name, {"v1": pods[old], "v2": pods[new]})
    verdict = decide(made, PROMOTED).as_dict()
    assert verdict["verdict"] == "pass"
    assert set(verdict["revisions"]) == {old, new}
