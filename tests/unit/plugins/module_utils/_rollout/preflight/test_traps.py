# SPDX-License-Identifier: GPL-3.0-or-later
"""Each state in which a rollout would lose requests or lead nowhere, and each that only looks like one."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.preflight.traps import (
    Situation,
    traps,
    version_of,
)

R1, R2 = "iris-predictor-00001", "iris-predictor-00002"
KSERVE, KFSERVING = "serving.kserve.io/v1beta1", "serving.kubeflow.org/v1beta1"


def knative(
    created: str = R1, rolledout: str = R1, previous: str = "", percent: Optional[int] = None, **more: Any
) -> dict[str, Any]:
    """An InferenceService in Knative mode whose latest revision is ready."""
    share = 100 if percent is None else percent
    traffic = [{"latestRevision": True, "percent": share, "revisionName": created}]
    if share < 100:
        traffic.append(
            {"latestRevision": False, "percent": 100 - share, "revisionName": rolledout, "tag": "prev"}
        )
    predictor = {
        "latestCreatedRevision": created,
        "latestReadyRevision": created,
        "latestRolledoutRevision": rolledout,
        "previousRolledoutRevision": previous,
        "traffic": traffic,
    }
    spec = {"predictor": {"model": {}, **({} if percent is None else {"canaryTrafficPercent": percent})}}
    return {
        "apiVersion": KSERVE,
        "metadata": {"name": "iris", **more},
        "spec": spec,
        "status": {
            "deploymentMode": "Knative",
            "conditions": [{"type": "Ready", "status": "True"}],
            "components": {"predictor": predictor},
        },
    }


def standard(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": KSERVE,
        "metadata": {"name": "iris"},
        "spec": {"predictor": {"model": {}}, **spec},
        "status": {"deploymentMode": "Standard"},
    }


def canary(
    api_version: str = KSERVE, percent: Optional[int] = 0, mode: str = "", **spec: Any
) -> dict[str, Any]:
    annotations = {"serving.kserve.io/deploymentMode": mode} if mode else {}
    predictor = {"model": {}} if percent is None else {"model": {}, "canaryTrafficPercent": percent}
    return {
        "apiVersion": api_version,
        "metadata": {"name": "iris", "annotations": annotations},
        "spec": {"predictor": predictor, **spec},
    }


CANARY = [{"name": "v2", "trafficPercent": 25, "predictor": {"model": {}}}]


@pytest.mark.parametrize(
    "now",
    [
        Situation("observe", knative()),
        Situation("observe", knative(percent=100)),
        Situation("observe", knative(), revisions=[R1]),
        Situation("progressive", knative(R2, R2, R1), canary()),
        Situation("progressive", knative(), canary(mode="Serverless")),
        Situation("observe", standard()),
        Situation(
            "progressive", standard(), canary(percent=None, canary=CANARY), kserve="v0.21.0", gateway_api=True
        ),
        Situation("iter8", {**knative(), "apiVersion": KFSERVING}, canary(KFSERVING, 20)),
    ],
)
def test_nothing_is_wrong(now: Situation) -> None:
    found = traps(now)
    assert (found.problems, found.notes) == ([], [])


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Situation("observe", None), "does not exist: deploy the first version"),
        (Situation("observe", knative(deletionTimestamp="t")), "is being deleted"),
        (Situation("observe", knative(annotations={"serving.kserve.io/stop": "true"})), "is stopped"),
        (Situation("progressive", knative(), canary(mode="Standard")), "cannot be changed"),
        (Situation("progressive", knative(), canary(KFSERVING)), "is of serving.kubeflow.org"),
        (Situation("iter8", knative()), "is KServe's: use rollout_driver=progressive or observe"),
        (Situation("progressive", knative(), canary(canary=CANARY)), "spec.canary is for Standard mode"),
        (Situation("observe", knative(), revisions=[R2]), f"{R1} no longer exists"),
        (Situation("observe", knative(percent=20)), "20 is left from an earlier rollout"),
        (Situation("observe", knative(R2, R2, R1, 20)), f"sends 80 % back to {R1}"),
        (Situation("observe", knative(R2, R1, percent=0)), f"{R2} gets the share"),
        (Situation("observe", standard(predictor={"canaryTrafficPercent": 20})), "ignored in Standard mode"),
        (
            Situation("progressive", standard(), canary(percent=20), kserve="v0.21.0"),
            "ignored in Standard mode",
        ),
        (
            Situation("observe", standard(canary=CANARY), kserve="kserve-controller:v0.20.0"),
            "no request at all",
        ),
        (Situation("progressive", standard(), kserve="v0.20.0"), "no request at all"),
        (Situation("observe", standard(canary=CANARY), kserve="v0.21.0", gateway_api=False), "plain Ingress"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(now: Situation, words: str) -> None:
    found = traps(now)
    assert len(found.problems) == 1, found
    assert words in found.problems[0]
    assert found.problems[0].endswith(".")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Situation("progressive", knative(percent=20), canary()), "the canary's own takes its place"),
        (Situation("progressive", knative(R2, R1, percent=0), canary()), "applied at 0 % first"),
        (Situation("observe", standard(canary=CANARY), gateway_api=True), "KServe's version is not told"),
    ],
)
def test_what_is_worth_knowing_is_told(now: Situation, words: str) -> None:
    found = traps(now)
    assert found.problems == []
    assert [words in note for note in found.notes] == [True]


def test_an_observed_rollout_whose_canary_comes_at_zero_does_not_fall_into_the_rejected_one() -> None:
    assert traps(Situation("observe", knative(R2, R1, percent=0), canary(percent=0))).problems == []


def test_all_is_told_at_once() -> None:
    now = Situation(
        "progressive",
        standard(predictor={"canaryTrafficPercent": 10}, canary=CANARY),
        None,
        kserve="v0.19.1",
        gateway_api=False,
    )
    assert len(traps(now).problems) == 3


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("v0.20.0", (0, 20)), ("kserve-controller:v0.21.0-rc1", (0, 21)), ("kserve-controller:0.9", (0, 9)),
        ("latest", ()), ("", ()), ("sandbox.iter8.kfserving/runtime", ()),
    ],
)  # fmt: skip
def test_versions(told: str, version: tuple[int, ...]) -> None:
    assert version_of(told) == version
