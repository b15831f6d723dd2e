# SPDX-License-Identifier: GPL-3.0-or-later
"""The handlers against an API in memory; `sleep` moves the clock."""

from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import handlers, main
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.kube.client import (
    JSON_PATCH,
    ApiError,
)


def inference_service(ready=True, **predictor):
    predictor = predictor or {"latestRolledoutRevision": "r1", "latestCreatedRevision": "r2"}
    return {
        "apiVersion": "serving.kubeflow.org/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "my-model", "namespace": "default"},
        "status": {
            "conditions": [
                {"type": "PredictorReady", "status": "True"},
                {"type": "Ready", "status": str(ready)},
            ],
            "components": {"predictor": predictor},
        },
    }


class FakeApi:
    """Answers with `experiment` and with the InferenceService of that moment; keeps the patches."""

    def __init__(
        self, at=lambda seconds: inference_service(), recommended="canary", target="default/my-model"
    ):
        self.now = 0.0
        self.at = at
        self.experiment = {"spec": {"target": target}, "status": {"recommendedBaseline": recommended}}
        self.patches = []

    def sleep(self, seconds):
        self.now += seconds

    def get(self, path):
        if path == "/apis/iter8.tools/v2alpha1/namespaces/default/experiments/experiment-1":
            return self.experiment
        assert path == "/apis/serving.kubeflow.org/v1beta1/namespaces/default/inferenceservices/my-model"
        found = self.at(self.now)
        if found is None:
            raise ApiError(404, "NotFound", "")
        return found

    def patch(self, path, body, content_type):
        assert content_type == JSON_PATCH
        self.patches += [(path.split("/")[-2], p["op"], p["path"], p["value"]) for p in body]


def run(api, what):
    made = handlers.Handlers(api, lambda: api.now, api.sleep, lambda line: None)
    getattr(made, what)("default", "experiment-1")
    return api.patches


def test_start_gives_the_canary_one_percent_and_names_the_versions():
    percent, versions = run(FakeApi(), "start")
    assert percent == ("inferenceservices", "add", "/spec/predictor/canaryTrafficPercent", 1)
    assert versions[:3] == ("experiments", "add", "/spec/versionInfo")
    assert versions[3] == {
        "baseline": {"name": "default", "tags": {"revision": "r1"}},
        "candidates": [
            {
                "name": "canary",
                "tags": {"revision": "r2"},
                "weightObjRef": {
                    "apiVersion": "serving.kubeflow.org/v1beta1",
                    "kind": "InferenceService",
                    "namespace": "default",
                    "name": "my-model",
                    "fieldPath": "/spec/predictor/canaryTrafficPercent",
                },
            }
        ],
    }


def test_start_waits_for_the_inference_service_and_then_for_ready():
    api = FakeApi(lambda now: None if now < 100 else inference_service(ready=now >= 200))
    assert len(run(api, "start")) == 2
    assert api.now == 200


@pytest.mark.parametrize(
    ("at", "patches", "waited"),
    [(lambda now: None, 0, "be there"), (lambda now: inference_service(ready=False), 1, "be Ready")],
)
def test_start_gives_up_after_three_minutes(at, patches, waited):
    api = FakeApi(at)
    with pytest.raises(handlers.HandlerError, match=f"180 s for .* default/my-model to {waited}"):
        run(api, "start")
    assert len(api.patches) == patches
    assert api.now == 180


def test_start_needs_the_revisions():
    api = FakeApi(lambda now: inference_service(latestCreatedRevision="r2"))
    with pytest.raises(handlers.HandlerError, match="latestRolledoutRevision"):
        run(api, "start")


@pytest.mark.parametrize("target", ["my-model", "a/b/c", "/x", ""])
def test_a_target_that_is_no_name(target):
    with pytest.raises(handlers.HandlerError, match="namespace/name"):
        run(FakeApi(target=target), "start")


@pytest.mark.parametrize(("recommended", "percent"), [("canary", 100), ("default", 0), ("other", 0)])
def test_finish_promotes_what_is_recommended(recommended, percent):
    api = FakeApi(lambda now: inference_service(ready=now >= 30), recommended)
    assert run(api, "finish") == [
        ("inferenceservices", "add", "/spec/predictor/canaryTrafficPercent", percent)
    ]
    assert api.now == 30


def test_finish_without_a_recommendation_changes_nothing():
    api = FakeApi(recommended=None)
    with pytest.raises(handlers.HandlerError, match="recommends no baseline"):
        run(api, "finish")
    assert api.patches == []


def test_other_answers_of_the_api_server_are_passed_on():
    api = FakeApi()
    api.get = lambda _path: (_unused for _unused in ()).throw(ApiError(403, "Forbidden", ""))
    with pytest.raises(ApiError):
        run(api, "finish")


@pytest.mark.parametrize("arguments", [[], ["stop"], ["start", "finish"]])
def test_usage(arguments):
    with pytest.raises(SystemExit, match="usage"):
        main._main(arguments)
