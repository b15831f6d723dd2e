# SPDX-License-Identifier: GPL-3.0-or-later
"""Who belongs to an InferenceService, in whatever order its objects are seen."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.family import (
    LABELS,
    MAX_HELD,
    Family,
)


def thing(kind, name, uid, owner="", labels=None, **spec):
    metadata = {"name": name, "namespace": "default", "uid": uid, "labels": labels or {}}
    if owner:
        metadata["ownerReferences"] = [{"kind": "x", "name": "x", "uid": owner}]
    return {"kind": kind, "metadata": metadata, "spec": spec}


def event(kind, name, uid=""):
    about = {"kind": kind, "name": name, **({"uid": uid} if uid else {})}
    return {"kind": "Event", "metadata": {"name": f"{name}.1", "uid": f"e-{name}"}, "involvedObject": about}


CHAIN = [
    thing("InferenceService", "m", "1"),
    thing("Service", "m-predictor", "2", owner="1"),
    thing("Configuration", "m-predictor", "3", owner="2"),
    thing("Revision", "m-00001", "4", owner="3"),
    thing("Pod", "p", "5", owner="4", nodeName="n1"),
    event("Pod", "p", "5"),
]


def test_a_chain_of_owners_belongs_in_any_order():
    for order in itertools.permutations(CHAIN):
        family = Family(("InferenceService", "m"))
        seen = [found["metadata"]["uid"] for each in order for found in family.take(each)]
        assert sorted(seen) == sorted(each["metadata"]["uid"] for each in CHAIN)


@pytest.mark.parametrize("label", LABELS)
def test_the_label_suffices(label):
    family = Family(("InferenceService", "m"))
    assert family.take(thing("Pod", "p", "9", labels={label: "m"}))
    assert not family.take(thing("Pod", "q", "8", labels={label: "other"}))


def test_what_belongs_to_another_does_not():
    family = Family(("InferenceService", "m"), ("Experiment", "e"))
    family.take(thing("InferenceService", "m", "1"))
    assert family.take(thing("Experiment", "e", "2"))
    for other in (
        thing("InferenceService", "m2", "7"),
        thing("Experiment", "e2", "8"),
        thing("Pod", "p", "9", owner="7"),
        event("Pod", "p", "9"),
        event("Node", "n9"),
    ):
        assert family.take(other) == []


def test_an_event_about_the_node_of_a_pod_belongs():
    family = Family(("InferenceService", "m"))
    assert family.take(event("Node", "n1")) == []
    family.take(thing("InferenceService", "m", "1"))
    found = family.take(thing("Pod", "p", "5", owner="1", nodeName="n1"))
    assert [each["kind"] for each in found] == ["Pod", "Event"]


def test_a_member_that_changed_is_a_member():
    family = Family(("InferenceService", "m"))
    assert len(family.take(thing("InferenceService", "m", "1"))) == 1
    assert len(family.take(thing("InferenceService", "m", "1"))) == 1


def test_what_is_held_is_bounded():
    family = Family(("InferenceService", "m"))
    for number in range(MAX_HELD + 5):
        family.take(thing("Pod", f"p{number}", f"u{number}", owner="1"))
    found = family.take(thing("InferenceService", "m", "1"))
    assert len(found) == MAX_HELD + 1
