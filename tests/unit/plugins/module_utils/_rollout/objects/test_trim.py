# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects cut to what decides: nothing that decides goes, nothing that may be secret stays."""

from __future__ import annotations

import json

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects import (
    experiment,
    inferenceservice,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.trim import (
    MAX_MESSAGE,
    trim,
    without_credentials,
)
from hypothesis import given
from hypothesis import strategies as st

SECRET = "hunter2-"
METADATA = {
    "name": "m",
    "namespace": "default",
    "uid": "u1",
    "resourceVersion": "5",
    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": SECRET, "token": SECRET},
    "labels": {"serving.kserve.io/inferenceservice": "m", "other": SECRET},
    "managedFields": [{"manager": SECRET}],
    "ownerReferences": [{"kind": "Owner", "name": "o", "uid": "u0", "blockOwnerDeletion": True}],
}
CONTAINER = {
    "name": "c",
    "image": "model:1",
    "env": [{"name": "PASSWORD", "value": SECRET}],
    "args": ["--token", SECRET],
    "command": [SECRET],
    "volumeMounts": [{"name": SECRET}],
}
URI = f"https://user:{SECRET}@models/m?sig={SECRET}#{SECRET}"
SPECS = {
    "InferenceService": {
        "predictor": {
            "canaryTrafficPercent": 10,
            "containers": [CONTAINER],
            "model": {
                "storageUri": URI,
                "env": CONTAINER["env"],
            },
            "serviceAccountName": SECRET,
        }
    },
    "Service": {"traffic": [{"percent": 100}], "template": {"spec": {"containers": [CONTAINER]}}},
    "Revision": {"containers": [CONTAINER]},
    "Deployment": {"replicas": 2, "template": {"spec": {"containers": [CONTAINER]}}},
    "ReplicaSet": {"replicas": 2, "template": {"spec": {"containers": [CONTAINER]}}},
    "Pod": {"nodeName": "n", "containers": [CONTAINER], "volumes": [{"secret": {"secretName": SECRET}}]},
    "HTTPRoute": {"rules": [{"backendRefs": [{"name": "a", "weight": 3}], "filters": [{"x": SECRET}]}]},
    "Job": {"backoffLimit": 3, "template": {"spec": {"containers": [CONTAINER]}}},
    "Anything": {"data": SECRET},
}


@pytest.mark.parametrize("kind", SPECS)
def test_no_secret_stays(kind):
    made = trim({"apiVersion": "v1", "kind": kind, "metadata": METADATA, "spec": SPECS[kind]})
    assert SECRET not in json.dumps(made)
    assert made["metadata"]["resourceVersion"] == "5"
    assert made["metadata"]["ownerReferences"] == [{"kind": "Owner", "name": "o", "uid": "u0"}]


def test_what_decides_stays():
    made = trim({"kind": "InferenceService", "metadata": METADATA, "spec": SPECS["InferenceService"]})
    assert made["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert made["spec"]["predictor"]["model"] == {"storageUri": "https://models/m"}
    assert made["spec"]["predictor"]["containers"] == [{"name": "c", "image": "model:1"}]
    route = trim({"kind": "HTTPRoute", "metadata": METADATA, "spec": SPECS["HTTPRoute"]})
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": "a", "weight": 3}]}]


def test_a_pods_end_stays():
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:00Z", "containerID": "x"}
    status = {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "containerStatuses": [
            {"name": "c", "restartCount": 1, "lastState": {"terminated": ended}, "imageID": "x"}
        ],
    }
    made = trim({"kind": "Pod", "metadata": METADATA, "spec": {}, "status": status})
    (container,) = made["status"]["containerStatuses"]
    del ended["containerID"]
    assert container == {"name": "c", "restartCount": 1, "lastState": {"terminated": ended}}
    assert "hostIP" not in made["status"]


def test_an_events_message_is_cut_and_its_object_kept():
    about = {"kind": "Pod", "name": "p", "uid": "u", "fieldPath": "spec.containers{c}"}
    made = trim(
        {
            "kind": "Event",
            "metadata": METADATA,
            "reason": "Killing",
            "message": "x" * 9000,
            "involvedObject": about,
        }
    )
    assert made["message"] == "x" * MAX_MESSAGE
    assert made["involvedObject"] == {"kind": "Pod", "name": "p", "uid": "u"}


def test_waits_decide_alike_on_the_whole_and_on_what_is_kept():
    service = {
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": METADATA,
        "spec": SPECS["InferenceService"],
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "extra": 1}], "url": "http://m",
            "modelStatus": {"transitionStatus": "UpToDate"},
            "components": {"predictor": {
                "latestCreatedRevision": "m-2", "latestReadyRevision": "m-2",
                "traffic": [{"revisionName": "m-2", "percent": 10}, {"revisionName": "m-1", "percent": 90}],
            }},
        },
    }  # fmt: skip
    assert inferenceservice.assess(trim(service)) == inferenceservice.assess(service)
    run = {
        "apiVersion": "iter8.tools/v2alpha1", "kind": "Experiment", "metadata": METADATA,
        "spec": {"duration": {"maxIterations": 3}, "versionInfo": {"baseline": {"name": "a"}}},
        "status": {"completedIterations": 2, "currentWeightDistribution": [{"name": "a", "value": 5}]},
    }  # fmt: skip
    assert experiment.assess(trim(run)) == experiment.assess(run)


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("gs://bucket/model", "gs://bucket/model"),
        ("s3://key:secret@bucket/a/b?x=1", "s3://bucket/a/b"),
        ("hdfs://u@host:9000/m#frag", "hdfs://host:9000/m"),
        ("pvc://claim/path", "pvc://claim/path"),
        ("https://[bad", "(a URI that cannot be read)"),
    ],
)
def test_a_uri_keeps_its_place_alone(uri, kept):
    assert without_credentials(uri) == kept


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from(sorted(SPECS)), JSON, JSON, JSON)
def test_an_object_of_any_shape_is_cut_without_an_error(kind, metadata, spec, status):
    json.dumps(trim({"kind": kind, "metadata": metadata, "spec": spec, "status": status}))
