# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a generator's pod, by objects as kubelets and controllers write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.objects import CONTROL, INDEX
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.pods import generators, read


def pod(index: int = 0, status: Any = None, **more: Any) -> dict[str, Any]:
    annotations = {INDEX: str(index), **more.pop("annotations", {})}
    owner = {"kind": "Job", "uid": more.pop("job", "job-1")}
    metadata = {"name": f"p-{index}", "uid": f"u-{index}", "annotations": annotations, **more}
    return {
        "metadata": {**metadata, "ownerReferences": [owner]},
        "spec": {"nodeName": "n"},
        "status": status or {},
    }


OOM = {"exitCode": 137, "reason": "OOMKilled"}
PULL = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "}
DISRUPTED = {
    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"phase": "Running"}, ""),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        ({"containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}, ""),
        (EVICTED, "its pod was ended (Evicted: The node was low on resource: memory)"),
        (
            {"containerStatuses": [{"state": {"terminated": OOM}}]},
            "its container ended with exit status 137 (OOMKilled)",
        ),
        (
            {"conditions": [DISRUPTED], "containerStatuses": [{"state": {"terminated": {"exitCode": 143}}}]},
            "its pod was ended (EvictionByEvictionAPI: Eviction API: evicting)",
        ),
        (
            {"containerStatuses": [{"state": {"waiting": PULL}}]},
            "its container waits (ImagePullBackOff: Back-off pulling image)",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "its pod has no node (Unschedulable)",
        ),
    ],
)
def test_why_a_pod_does_not_run(status: dict[str, Any], says: str) -> None:
    assert read(pod(status=status)).problem == says


def test_one_that_is_being_deleted_says_so() -> None:
    assert read(pod(deletionTimestamp="2026-01-31T12:00:00Z")).problem == "its pod is being deleted"


def test_each_part_has_its_pod_and_strangers_count_for_nothing() -> None:
    listed = [pod(1), pod(0, job="job-2"), pod(7), pod(2, annotations={INDEX: "x"})]
    found = generators(listed, "job-1", 2)
    assert [each.name if each else None for each in found] == [None, "p-1"]


def test_one_that_was_put_in_anothers_place_is_not_the_one_that_began() -> None:
    began = pod(0, annotations={CONTROL: json.dumps({"start": {"at": 1}})}, name="began")
    for listed in ([began, pod(0)], [pod(0), began]):
        (found,) = generators(listed, "job-1", 1)
        assert found is not None
        assert found.name == "began"


@pytest.mark.parametrize("bent", ["", "{", "[1]"])
def test_an_annotation_that_somebody_bent_tells_nothing(bent: str) -> None:
    assert read(pod(annotations={CONTROL: bent})).control == {}
