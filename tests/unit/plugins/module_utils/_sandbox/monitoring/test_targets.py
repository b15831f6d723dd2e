# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.monitoring.targets import (
    Targets,
    target,
)


def pod(uid="u1", ip="127.1.0.5", phase="Running", revision="r1", **annotations):
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", **annotations}
    return {
        "metadata": {
            "uid": uid,
            "name": f"pod-{uid}",
            "namespace": "default",
            "annotations": annotations,
            "labels": {"serving.knative.dev/revision": revision} if revision else {},
        },
        "status": {"phase": phase, "podIP": ip},
    }


def test_an_annotated_pod_is_scraped_at_its_port():
    assert target(pod()) == {
        "targets": ["127.1.0.5:9090"],
        "labels": {"namespace": "default", "pod": "pod-u1", "revision": "r1"},
    }
    assert "revision" not in target(pod(revision=None))["labels"]


@pytest.mark.parametrize(
    "other",
    [
        pod(phase="Pending"),
        pod(phase="Succeeded"),
        pod(ip=""),
        pod(**{"prometheus.io/scrape": "false"}),
        pod(**{"prometheus.io/port": "metrics"}),
        {"metadata": {"uid": "u", "name": "n", "namespace": "d"}},
    ],
)
def test_other_pods_are_not_scraped(other):
    assert target(other) is None


@pytest.fixture
def written():
    return []


@pytest.fixture
def targets(written):
    return Targets(written.append)


def addresses(text):
    return [entry["targets"][0] for entry in json.loads(text)]


def test_the_file_follows_the_pods(targets, written):
    targets.listed([pod("u2", "127.1.0.6"), pod()])
    targets.changed("ADDED", pod("u3", "127.1.0.7", phase="Pending"))
    targets.changed("MODIFIED", pod("u3", "127.1.0.7"))
    targets.changed("MODIFIED", pod("u2", "127.1.0.6", phase="Failed"))
    targets.changed("DELETED", pod())
    assert [addresses(text) for text in written] == [
        ["127.1.0.5:9090", "127.1.0.6:9090"],
        ["127.1.0.5:9090", "127.1.0.6:9090", "127.1.0.7:9090"],
        ["127.1.0.5:9090", "127.1.0.7:9090"],
        ["127.1.0.7:9090"],
    ]


def test_a_new_list_replaces_the_old_one(targets, written):
    targets.listed([pod()])
    targets.listed([])
    assert [addresses(text) for text in written] == [["127.1.0.5:9090"], []]


def test_nothing_is_written_when_nothing_changes(targets, written):
    targets.listed([pod()])
    again = copy.deepcopy(pod())
    again["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    targets.changed("MODIFIED", again)
    targets.listed([again])
    assert len(written) == 1
